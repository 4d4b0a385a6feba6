#include "buf.h"

#include <stdlib.h>

enum { BUF_FIRST = 512, BUF_KEEP = 256 * 1024 };

void *bridge_alloc(size_t size)
{
    void *p = calloc(1, size ? size : 1);

    if (!p)
        abort();
    return p;
}

char *bridge_strdup(struct skep_str s)
{
    char *copy = bridge_alloc(s.len + 1);

    if (s.len)
        memcpy(copy, s.ptr, s.len);
    return copy;
}

uint8_t *buf_room(struct buf *b, size_t n)
{
    size_t len = buf_len(b), cap = b->cap ? b->cap : BUF_FIRST;

    if (b->ptr && b->end + n <= b->cap)
        return b->ptr + b->end;
    if (b->start) {
        memmove(b->ptr, b->ptr + b->start, len);
        b->start = 0;
        b->end = len;
    }
    while (cap < len + n)
        cap *= 2;
    if (cap != b->cap) {
        uint8_t *bigger = realloc(b->ptr, cap);

        if (!bigger)
            abort();
        b->ptr = bigger;
        b->cap = cap;
    }
    return b->ptr + b->end;
}

void buf_grew(struct buf *b, size_t n)
{
    b->end += n;
}

void buf_put(struct buf *b, const void *data, size_t len)
{
    if (len == 0)
        return;
    memcpy(buf_room(b, len), data, len);
    b->end += len;
}

void buf_u8(struct buf *b, unsigned value)
{
    uint8_t byte = (uint8_t)value;

    buf_put(b, &byte, 1);
}

void buf_u16(struct buf *b, unsigned value)
{
    buf_u8(b, value >> 8);
    buf_u8(b, value);
}

void buf_u32(struct buf *b, uint32_t value)
{
    buf_u16(b, value >> 16);
    buf_u16(b, value);
}

void buf_str(struct buf *b, struct skep_str s)
{
    buf_u16(b, (unsigned)s.len);
    buf_put(b, s.ptr, s.len);
}

void buf_drop(struct buf *b, size_t n)
{
    b->start += n;
    if (b->start == b->end)
        buf_clear(b);
}

void buf_clear(struct buf *b)
{
    b->start = b->end = 0;
    if (b->cap > BUF_KEEP)
        buf_fini(b);
}

void buf_fini(struct buf *b)
{
    free(b->ptr);
    *b = (struct buf){0};
}
