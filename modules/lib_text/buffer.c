#include "lib_text/buffer.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib_json/json.h"

static bool make_room(struct buffer *b, size_t more)
{
    size_t cap = b->cap ? b->cap : 256;
    char *ptr;

    if (b->failed || more > b->limit || b->len > b->limit - more)
        return false;
    while (cap < b->len + more + 1)
        cap *= 2;
    if (cap == b->cap)
        return true;
    if (!(ptr = realloc(b->ptr, cap)))
        return false;
    b->ptr = ptr;
    b->cap = cap;
    return true;
}

void buffer_add(struct buffer *b, const void *bytes, size_t len)
{
    if (!make_room(b, len)) {
        b->failed = true;
        return;
    }
    if (len)
        memcpy(b->ptr + b->len, bytes, len);
    b->len += len;
    b->ptr[b->len] = '\0';
}

void buffer_fini(struct buffer *b)
{
    if (b->ptr) /* it may have held a password */
        OPENSSL_cleanse(b->ptr, b->cap);
    free(b->ptr);
    *b = (struct buffer){0};
}

static void add_percent(struct buffer *b, unsigned char c)
{
    static const char hex[] = "0123456789ABCDEF";
    buffer_add(b, (char[]){'%', hex[c >> 4], hex[c & 15]}, 3);
}

static bool is_unreserved(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

void buffer_percent(struct buffer *b, struct skep_str bytes)
{
    for (size_t i = 0; i < bytes.len; i++) {
        if (is_unreserved((unsigned char)bytes.ptr[i]))
            buffer_add(b, bytes.ptr + i, 1);
        else
            add_percent(b, (unsigned char)bytes.ptr[i]);
    }
}

void buffer_header(struct buffer *b, struct skep_str bytes)
{
    for (size_t i = 0; i < bytes.len; i++) {
        unsigned char c = (unsigned char)bytes.ptr[i];
        if (c >= 0x20 && c < 0x7f && c != '%')
            buffer_add(b, bytes.ptr + i, 1);
        else
            add_percent(b, c);
    }
}

bool buffer_json(struct buffer *b, struct skep_str text)
{
    if (!json_is_text(text))
        return false;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        char escape[8];
        if (c == '"' || c == '\\')
            buffer_add(b, (char[]){'\\', (char)c}, 2);
        else if (c < 0x20 || c == 0x7f)
            buffer_add(b, escape, (size_t)snprintf(escape, sizeof escape, "\\u%04x", c));
        else
            buffer_add(b, text.ptr + i, 1);
    }
    return true;
}

void buffer_base64(struct buffer *b, struct skep_str bytes)
{
    size_t need = (bytes.len + 2) / 3 * 4;

    if (!make_room(b, need)) {
        b->failed = true;
        return;
    }
    if (need)
        EVP_EncodeBlock((unsigned char *)b->ptr + b->len, (const unsigned char *)bytes.ptr,
                        (int)bytes.len);
    b->len += need;
    b->ptr[b->len] = '\0';
}
