/* Bytes that grow at the end and are taken from the front. */
#ifndef BRIDGE_BUF_H
#define BRIDGE_BUF_H

#include <skep/base.h>

struct buf {
    uint8_t *ptr;
    size_t start, end, cap; /* what is in it: ptr[start] to ptr[end - 1] */
};

static inline size_t buf_len(const struct buf *b)
{
    return b->end - b->start;
}

static inline const uint8_t *buf_data(const struct buf *b)
{
    return b->ptr ? b->ptr + b->start : NULL;
}

/* Room for n more bytes behind the end; buf_grew() makes what was written there part of it. */
uint8_t *buf_room(struct buf *b, size_t n);
void buf_grew(struct buf *b, size_t n);

void buf_put(struct buf *b, const void *data, size_t len);
void buf_u8(struct buf *b, unsigned value);
void buf_u16(struct buf *b, unsigned value);
void buf_u32(struct buf *b, uint32_t value);
/* Two bytes of length in front. */
void buf_str(struct buf *b, struct skep_str s);

/* Takes n bytes from the front. */
void buf_drop(struct buf *b, size_t n);
/* Empties it; large memory is given back. */
void buf_clear(struct buf *b);
void buf_fini(struct buf *b);

/* Memory that is there, or the end of the process: for what is small or bounded. */
void *bridge_alloc(size_t size);
char *bridge_strdup(struct skep_str s);

#endif
