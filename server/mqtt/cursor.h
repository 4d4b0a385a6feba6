/* Reading a packet's body from front to back.  Each function takes one field and
 * returns false, with the cursor and the output untouched, when it does not fit
 * into what is left.  Private to server/mqtt. */
#ifndef SKEP_MQTT_CURSOR_H
#define SKEP_MQTT_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "base/utf8.h"

struct cursor {
    const uint8_t *at;
    size_t left;
};

static inline struct cursor cursor_of(struct str bytes)
{
    return (struct cursor){(const uint8_t *)bytes.ptr, bytes.len};
}

static inline struct str cursor_rest(const struct cursor *c)
{
    return (struct str){(const char *)c->at, c->left};
}

static inline void cursor_skip(struct cursor *c, size_t n)
{
    c->at += n;
    c->left -= n;
}

static inline bool cursor_u8(struct cursor *c, uint8_t *out)
{
    if (c->left < 1)
        return false;
    *out = c->at[0];
    cursor_skip(c, 1);
    return true;
}

static inline bool cursor_u16(struct cursor *c, uint16_t *out)
{
    if (c->left < 2)
        return false;
    *out = (uint16_t)(c->at[0] << 8 | c->at[1]);
    cursor_skip(c, 2);
    return true;
}

static inline bool cursor_u32(struct cursor *c, uint32_t *out)
{
    if (c->left < 4)
        return false;
    *out = (uint32_t)c->at[0] << 24 | (uint32_t)c->at[1] << 16 | (uint32_t)c->at[2] << 8 | c->at[3];
    cursor_skip(c, 4);
    return true;
}

/* A variable byte integer: at most four bytes and no more than needed
 * [MQTT-1.5.5-1]. */
static inline bool cursor_varint(struct cursor *c, uint32_t *out)
{
    uint32_t value = 0;

    for (size_t i = 0; i < 4 && i < c->left; i++) {
        uint8_t byte = c->at[i];
        value |= (uint32_t)(byte & 0x7F) << (7 * i);
        if (byte & 0x80)
            continue;
        if (byte == 0 && i > 0)
            return false;
        cursor_skip(c, i + 1);
        *out = value;
        return true;
    }
    return false;
}

static inline bool cursor_take(struct cursor *c, size_t len, struct str *out)
{
    if (c->left < len)
        return false;
    *out = (struct str){(const char *)c->at, len};
    cursor_skip(c, len);
    return true;
}

/* Binary data: a 16-bit length, then bytes of any value. */
static inline bool cursor_binary(struct cursor *c, struct str *out)
{
    size_t len;

    if (c->left < 2)
        return false;
    len = (size_t)c->at[0] << 8 | c->at[1];
    if (c->left - 2 < len)
        return false;
    *out = (struct str){(const char *)c->at + 2, len};
    cursor_skip(c, 2 + len);
    return true;
}

/* A string: the same on the wire, and well-formed UTF-8 without U+0000. */
static inline bool cursor_text(struct cursor *c, struct str *out)
{
    struct cursor ahead = *c;
    struct str s;

    if (!cursor_binary(&ahead, &s) || !utf8_is_text(s))
        return false;
    *c = ahead;
    *out = s;
    return true;
}

#endif
