/* The directive `load NAME { ... }`: from a label to the module's table of options.
 *
 *     load auth_http { }            auth_http.so in a directory of module_path
 *     load auth_http:internal { }   the same, once more, under that name
 *     load ./hello.so;              a path, seen from the file it is written in
 *
 * Main thread. */
#ifndef SKEP_HOST_LOAD_H
#define SKEP_HOST_LOAD_H

#include "host/bind.h"

/* What is opened while one configuration is read: directive_context.user. */
struct load_context {
    const char *const *path; /* directories to look in */
    size_t path_count;
    struct object **objects; /* held until load_close() */
    size_t count;
    unsigned
        failed; /* names that came to nothing: what follows from them is not complained about */
};

/* For the `load` directive, a DIRECTIVE_BLOCKS. */
directive_find_fn load_find;
void load_close(struct load_context *ctx);

/* Where the modules of this very program are: of its build tree, or of its installation. */
const char *load_default_path(struct arena *arena);

/* "auth_http" or "auth_http:internal": by that it is known everywhere. */
const char *load_name(const struct load_block *b, struct arena *arena);

/* Complains about two of one name, and lets each module check its options. */
void load_check(const struct directive_blocks *blocks, struct complaints *complaints);

/* Does it decide who may connect? */
bool load_authenticates(const struct load_block *b);

#endif
