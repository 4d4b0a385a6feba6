/* A module's .so file in memory.
 *
 * The file is copied into anonymous memory and loaded from there: glibc takes a replaced file under
 * the same name for the old one, and a file that is overwritten in place crashes whoever has it
 * mapped.  Two loads of the same bytes under the same path share one object, also over a reload.
 *
 * Main thread only. */
#ifndef SKEP_HOST_OBJECT_H
#define SKEP_HOST_OBJECT_H

#include <skep/module.h>
#include <stdio.h>

#include "base/arena.h"

struct directive_table;

struct object {
    struct object *next; /* of all that are loaded */
    unsigned refs;
    char *path;
    unsigned char hash[32]; /* of the bytes */
    int memory;             /* the descriptor; open as long as the code is there */
    void *handle;
    char sdk[16];                        /* "1.0": what it was made for */
    struct skep_descriptor d;            /* what an older module does not have is 0 */
    const struct directive_table *table; /* of its load block: bind.h */
    struct arena arena;
    uintptr_t base, end; /* where its code is, for the crash report */
};

enum { OBJECT_FILE_MAX = 256 << 20 };

/* 0 and one more reference, or a negative error and one line without the path. */
int object_open(struct object **out, const char *path, char *why, size_t why_size);
struct object *object_ref(struct object *o);
/* Accepts NULL; leaves it. */
void object_unref(struct object **o);

/* SHA-256 of a regular file's bytes, of anything else its kind, size and time; zeros: not there. */
void object_hash_file(const char *path, unsigned char out[32]);

#endif
