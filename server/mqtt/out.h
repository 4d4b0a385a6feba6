/* Appending fields to a packet.  A packet's body is written twice by one function:
 * first into a window of no bytes, which only counts, then for good behind a fixed
 * header that knows the size.  Private to server/mqtt. */
#ifndef SKEP_MQTT_OUT_H
#define SKEP_MQTT_OUT_H

#include "base/mem.h"
#include "mqtt/encode.h"

static inline void out_bytes(struct mqtt_out *o, const void *bytes, size_t len)
{
    if (len > 0 && o->need <= o->cap && len <= o->cap - o->need)
        memcpy(o->ptr + o->need, bytes, len);
    o->need += len;
}

static inline void out_u8(struct mqtt_out *o, unsigned v)
{
    uint8_t byte = (uint8_t)v;
    out_bytes(o, &byte, 1);
}

static inline void out_u16(struct mqtt_out *o, unsigned v)
{
    uint8_t bytes[2];
    mqtt_u16_write(bytes, v);
    out_bytes(o, bytes, sizeof bytes);
}

static inline void out_u32(struct mqtt_out *o, uint32_t v)
{
    uint8_t bytes[4];
    mqtt_u32_write(bytes, v);
    out_bytes(o, bytes, sizeof bytes);
}

static inline void out_varint(struct mqtt_out *o, uint32_t v)
{
    uint8_t bytes[4];
    out_bytes(o, bytes, (size_t)(mqtt_varint_write(bytes, v) - bytes));
}

static inline void out_raw(struct mqtt_out *o, struct str bytes)
{
    out_bytes(o, bytes.ptr, bytes.len);
}

/* A string or binary data.  Callers bound what they hand in; a length that does not
 * fit would corrupt the stream. */
static inline void out_str(struct mqtt_out *o, struct str s)
{
    ASSERT(s.len <= UINT16_MAX);
    out_u16(o, (unsigned)s.len);
    out_raw(o, s);
}

static inline void out_prop_u8(struct mqtt_out *o, enum mqtt_prop id, unsigned v)
{
    out_u8(o, id);
    out_u8(o, v);
}

static inline void out_prop_u16(struct mqtt_out *o, enum mqtt_prop id, unsigned v)
{
    out_u8(o, id);
    out_u16(o, v);
}

static inline void out_prop_u32(struct mqtt_out *o, enum mqtt_prop id, uint32_t v)
{
    out_u8(o, id);
    out_u32(o, v);
}

static inline void out_prop_str(struct mqtt_out *o, enum mqtt_prop id, struct str s)
{
    out_u8(o, id);
    out_str(o, s);
}

/* Optional text: absent when NULL or empty. */
static inline void out_prop_text(struct mqtt_out *o, enum mqtt_prop id, struct str s)
{
    if (s.len > 0)
        out_prop_str(o, id, s);
}

/* Those properties of `raw` whose bit is in `ids`, in their order. */
void out_props_of(struct mqtt_out *o, struct str raw, uint64_t ids);

/* The body of one packet, or a property block without its length. */
typedef void out_part_fn(struct mqtt_out *o, const void *arg);

/* Bytes that `part` writes. */
size_t out_size(out_part_fn *part, const void *arg);

/* A property block: its length, then what `part` writes. */
void out_props(struct mqtt_out *o, out_part_fn *part, const void *arg);

/* A whole packet: first byte, remaining length, then what `body` writes. */
void out_packet(struct mqtt_out *o, unsigned first, out_part_fn *body, const void *arg);

/* The size of that packet. */
size_t out_packet_size(out_part_fn *body, const void *arg);

#endif
