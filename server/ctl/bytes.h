/* A byte string that grows: what a packet, a line or a file is read or written in.
 * One owner, one thread. */
#ifndef SKEP_CTL_BYTES_H
#define SKEP_CTL_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/str.h"

struct bytes {
    uint8_t *ptr;
    size_t len, cap;
};

/* Makes room for `more` bytes behind len and returns where they go. */
uint8_t *bytes_room(struct bytes *b, size_t more);
void bytes_add(struct bytes *b, const void *data, size_t len);
/* Drops the first n bytes. */
void bytes_take(struct bytes *b, size_t n);
void bytes_fini(struct bytes *b);

static inline struct str bytes_str(const struct bytes *b)
{
    return (struct str){(const char *)b->ptr, b->len};
}

/* Reads a stream to its end, at most `limit` bytes.  0; -1 with errno (EFBIG above the limit). */
int bytes_read(struct bytes *b, FILE *file, size_t limit);

/* Standard base64 with padding, appended. */
void bytes_base64(struct bytes *b, const void *data, size_t len);
/* The reverse; 0, or -1 when the text is not base64. */
int bytes_unbase64(struct bytes *b, struct str text);

#endif
