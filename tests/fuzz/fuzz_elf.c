/* A file that is said to be a module: any bytes may be in it.  Names lie in the file and end. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "host/elf.h"

struct seen {
    const char *bytes;
    size_t size;
};

static void see(const char *name, void *arg)
{
    const struct seen *s = arg;

    MUST(name >= s->bytes && name < s->bytes + s->size);
    MUST(strlen(name) < (size_t)(s->bytes + s->size - name));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = malloc(size ? size : 1); /* aligned, and with nothing behind it */
    struct seen seen = {copy, size};

    memcpy(copy, data, size);
    elf_undefined(copy, size, see, &seen);
    free(copy);
    return 0;
}
