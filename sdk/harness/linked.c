/* A module that is part of the test program instead of a file: the program's own descriptor, taken
 * for an object that is always there.
 *
 * The linker passes object_open() through here (--wrap).  The reference to the descriptor below is
 * weak; that this library has one makes the linker export the program's. */
#include <skep/module.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "harness.h"
#include "host/bind.h"
#include "host/object.h"

extern const struct skep_descriptor skep_module_descriptor __attribute__((weak));

int __real_object_open(struct object **out, const char *path, char *why, size_t why_size);
int __wrap_object_open(struct object **out, const char *path, char *why, size_t why_size);

static struct object *linked;

static int linked_open(struct object **out, char *why, size_t why_size)
{
    const struct skep_descriptor *d = &skep_module_descriptor;

    if (!d) {
        snprintf(why, why_size, "no module is linked into the test program, and none was named");
        return ERR_NOT_FOUND;
    }
    if (!linked) {
        linked = xcalloc(1, sizeof *linked);
        linked->refs = 1; /* for ever */
        linked->path = str_dup(str_of("the test program"));
        linked->memory = -1;
        memcpy(&linked->d, d, d->size < sizeof linked->d ? d->size : sizeof linked->d);
        if (bind_object(linked, why, why_size) < 0)
            return ERR_INVALID;
    }
    *out = object_ref(linked);
    return 0;
}

int __wrap_object_open(struct object **out, const char *path, char *why, size_t why_size)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;

    if (strcmp(name, strrchr(TEST_LINKED, '/') + 1) == 0)
        return linked_open(out, why, why_size);
    return __real_object_open(out, path, why, why_size);
}
