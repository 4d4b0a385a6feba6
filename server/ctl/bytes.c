#include "ctl/bytes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/mem.h"

uint8_t *bytes_room(struct bytes *b, size_t more)
{
    if (b->cap - b->len < more) {
        size_t cap = b->cap ? b->cap : 256;

        while (cap - b->len < more)
            cap *= 2;
        b->ptr = xrealloc(b->ptr, cap);
        b->cap = cap;
    }
    return b->ptr + b->len;
}

void bytes_add(struct bytes *b, const void *data, size_t len)
{
    if (len == 0)
        return;
    memcpy(bytes_room(b, len), data, len);
    b->len += len;
}

void bytes_take(struct bytes *b, size_t n)
{
    ASSERT(n <= b->len);
    if (n == 0)
        return;
    b->len -= n;
    memmove(b->ptr, b->ptr + n, b->len);
}

void bytes_fini(struct bytes *b)
{
    free(b->ptr);
    *b = (struct bytes){0};
}

int bytes_read(struct bytes *b, FILE *file, size_t limit)
{
    size_t got;

    do {
        got = fread(bytes_room(b, 65536), 1, 65536, file);
        b->len += got;
        if (b->len > limit) {
            errno = EFBIG;
            return -1;
        }
    } while (got > 0);
    return ferror(file) ? -1 : 0;
}

void bytes_base64(struct bytes *b, const void *data, size_t len)
{
    /* EVP_EncodeBlock writes a NUL behind the text. */
    uint8_t *room = bytes_room(b, (len + 2) / 3 * 4 + 1);

    b->len += (size_t)EVP_EncodeBlock(room, data, (int)len);
}

int bytes_unbase64(struct bytes *b, struct str text)
{
    int len;

    if (text.len == 0)
        return 0;
    if (text.len % 4 != 0)
        return -1;
    len = EVP_DecodeBlock(bytes_room(b, text.len), (const uint8_t *)text.ptr, (int)text.len);
    if (len < 0)
        return -1;
    b->len += (size_t)len;
    for (size_t i = text.len; i > text.len - 2 && text.ptr[i - 1] == '='; i--)
        b->len--;
    return 0;
}
