/* From a module's option list (sdk/include/skep/option.h) to a table of directives (conf), so that
 * its options are read, checked, printed and described as the core's are.
 *
 * A load block in memory is a struct load_block and behind it the module's own struct. */
#ifndef SKEP_HOST_BIND_H
#define SKEP_HOST_BIND_H

#include <stdalign.h>

#include "conf/directive.h"
#include "host/object.h"

struct load_block {
    struct directive_block block;
    uint32_t decision_timeout_ms;
    unsigned on_error; /* enum load_on_error */
};

enum load_on_error { ON_ERROR_DENY, ON_ERROR_NEXT, ON_ERROR_ALLOW };

enum {
    BIND_CONF = (sizeof(struct load_block) + alignof(max_align_t) - 1) / alignof(max_align_t) *
                alignof(max_align_t)
};

/* The module's own struct. */
static inline void *bind_conf(const struct load_block *b)
{
    return (char *)b + BIND_CONF;
}

/* Whose block it is. */
struct object *bind_object_of(const struct load_block *b);

/* Makes o->table; complains about option lists that make no sense, in one line. */
int bind_object(struct object *o, char *why, size_t why_size);

/* What every load block takes. */
extern const struct directive_table bind_host_table;

#endif
