/* Where configuration text comes from.  The file system, unless a test or a fuzzer
 * supplies its own. */
#ifndef SKEP_CONF_SOURCE_H
#define SKEP_CONF_SOURCE_H

#include <stddef.h>

#include "base/arena.h"

struct source {
    /* The whole file into the arena, with a NUL behind it; NULL in out->ptr and a reason in
     * `why` when it cannot be read or is longer than max_bytes. */
    void (*read)(void *arg, const char *path, size_t max_bytes, struct arena *arena,
                 struct str *out, const char **why);
    /* The paths that match, sorted; count 0 for none. */
    const char **(*glob)(void *arg, const char *pattern, struct arena *arena, size_t *count);
    void *arg;
};

extern const struct source source_files;

/* `path` as seen from the directory of `file`, unless it is absolute. */
const char *source_relative(struct arena *arena, const char *file, struct str path);

#endif
