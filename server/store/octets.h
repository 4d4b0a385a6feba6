/* Little-endian numbers and runs of bytes in stored data.  A reader that has once gone past the
 * end gives zeros from then on and says so at the end: check `bad` once. */
#ifndef SKEP_STORE_OCTETS_H
#define SKEP_STORE_OCTETS_H

#include <endian.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/str.h"

static inline uint8_t *put_u16(uint8_t *p, uint16_t v)
{
    v = htole16(v);
    memcpy(p, &v, sizeof v);
    return p + sizeof v;
}

static inline uint8_t *put_u32(uint8_t *p, uint32_t v)
{
    v = htole32(v);
    memcpy(p, &v, sizeof v);
    return p + sizeof v;
}

static inline uint8_t *put_u64(uint8_t *p, uint64_t v)
{
    v = htole64(v);
    memcpy(p, &v, sizeof v);
    return p + sizeof v;
}

static inline uint8_t *put_str(uint8_t *p, struct str s)
{
    if (s.len)
        memcpy(p, s.ptr, s.len);
    return p + s.len;
}

static inline uint32_t get_u32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return le32toh(v);
}

static inline uint64_t get_u64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return le64toh(v);
}

struct octets {
    const uint8_t *at, *end;
    bool bad;
};

static inline struct octets octets_of(struct str s)
{
    return (struct octets){(const uint8_t *)s.ptr, (const uint8_t *)s.ptr + s.len, false};
}

static inline struct str take_str(struct octets *o, size_t len)
{
    if (o->bad || (size_t)(o->end - o->at) < len) {
        o->bad = true;
        return STR_NONE;
    }
    struct str s = {(const char *)o->at, len};
    o->at += len;
    return s;
}

static inline uint8_t take_u8(struct octets *o)
{
    struct str s = take_str(o, 1);
    return s.ptr ? (uint8_t)*s.ptr : 0;
}

static inline uint16_t take_u16(struct octets *o)
{
    struct str s = take_str(o, 2);
    uint16_t v = 0;
    if (s.ptr)
        memcpy(&v, s.ptr, sizeof v);
    return le16toh(v);
}

static inline uint32_t take_u32(struct octets *o)
{
    struct str s = take_str(o, 4);
    return s.ptr ? get_u32((const uint8_t *)s.ptr) : 0;
}

static inline uint64_t take_u64(struct octets *o)
{
    struct str s = take_str(o, 8);
    return s.ptr ? get_u64((const uint8_t *)s.ptr) : 0;
}

/* Everything was read and nothing is left. */
static inline bool octets_done(const struct octets *o)
{
    return !o->bad && o->at == o->end;
}

#endif
