/* Writing packets.  A `struct mqtt_out` is a window of memory that the caller owns;
 * writing past its end is counted but not stored, so `need` tells the size and
 * `mqtt_out_fits` whether all of it is there.  No allocation.  Any thread.
 *
 * PUBLISH towards subscribers is written by core/outflow.c, from the pieces at the
 * end of this file. */
#ifndef SKEP_MQTT_ENCODE_H
#define SKEP_MQTT_ENCODE_H

#include "mqtt/packet.h"

struct mqtt_out {
    uint8_t *ptr;
    size_t cap;
    size_t need;
};

static inline bool mqtt_out_fits(const struct mqtt_out *o)
{
    return o->need <= o->cap;
}

/* Every packet writer appends one whole packet.  Optional text is left out when the
 * packet would exceed `limit` (the peer's maximum packet size, UINT32_MAX for none): first
 * user properties, then the reason string [MQTT-3.4.2-2 and its sisters].  What remains is
 * written even if it is above the limit still; `need` tells.  Strings are at most 65535
 * bytes (asserted); a longer reason string is left out. */

/* CONNACK for every version; 3.x uses reason (already a return code) and session_present
 * (always 0 on the wire in 3.1 [MQTT-V31-7]).  A property equal to the MQTT default is not
 * written.  has_* fields select the rest. */
struct mqtt_connack_out {
    uint8_t version;
    bool session_present;
    uint8_t reason;
    bool has_session_expiry;
    uint32_t session_expiry;
    uint16_t receive_maximum;     /* 65535 is the default */
    uint8_t maximum_qos;          /* 2 is the default */
    bool no_retain, no_wildcard, no_subscription_id, no_shared;
    uint32_t maximum_packet_size; /* 0: not written */
    uint16_t topic_alias_maximum; /* 0 is the default */
    bool has_server_keep_alive;
    uint16_t server_keep_alive;
    struct str assigned_client_id, reason_string, response_info, server_reference;
    bool has_auth_method;
    struct str auth_method, auth_data;
    struct str user_props; /* raw user properties, or empty */
};
void mqtt_put_connack(struct mqtt_out *o, const struct mqtt_connack_out *c, uint32_t limit);

/* type: MQTT_PUBACK, PUBREC, PUBREL, PUBCOMP.  In 3.x reason is not written; in 5.0 it is
 * left out when 0 and there is no reason string. */
void mqtt_put_ack(struct mqtt_out *o, uint8_t type, uint8_t version, uint16_t packet_id,
                  uint8_t reason, struct str reason_string, uint32_t limit);

/* type: MQTT_SUBACK or MQTT_UNSUBACK.  3.x UNSUBACK has no codes; the caller has already
 * mapped codes for 3.x. */
void mqtt_put_suback(struct mqtt_out *o, uint8_t type, uint8_t version, uint16_t packet_id,
                     const uint8_t *codes, size_t count, struct str reason_string, uint32_t limit);

void mqtt_put_pingresp(struct mqtt_out *o);
void mqtt_put_pingreq(struct mqtt_out *o);

/* DISCONNECT.  3.x: two bytes. */
void mqtt_put_disconnect(struct mqtt_out *o, uint8_t version, uint8_t reason,
                         struct str reason_string, struct str server_reference, uint32_t limit);
/* A client's DISCONNECT may carry a session expiry. */
void mqtt_put_client_disconnect(struct mqtt_out *o, uint8_t version, uint8_t reason,
                                bool has_session_expiry, uint32_t session_expiry);

void mqtt_put_auth(struct mqtt_out *o, uint8_t reason, struct str method, struct str data,
                   struct str reason_string, uint32_t limit);

/* Towards a broker (skepctl, bridges).  Properties are written from the fields (strings where
 * ptr is not NULL); from the raw props only user properties are taken, and from those of a
 * will all that are forwarded.  A field left at its MQTT default is not written, so start
 * from those defaults: receive_maximum 65535, maximum_packet_size and expiry UINT32_MAX,
 * request_problem_info true. */
void mqtt_put_connect(struct mqtt_out *o, const struct mqtt_connect *c);
void mqtt_put_publish(struct mqtt_out *o, uint8_t version, const struct mqtt_publish *p);
void mqtt_put_subscribe(struct mqtt_out *o, uint8_t version, uint16_t packet_id,
                        uint32_t subscription_id, const struct mqtt_subscription *subs,
                        size_t count, struct str user_props);
void mqtt_put_unsubscribe(struct mqtt_out *o, uint8_t version, uint16_t packet_id,
                          const struct str *filters, size_t count, struct str user_props);

/* -- Pieces -- */

/* One user property, to build raw user_props and props with. */
void mqtt_put_user_property(struct mqtt_out *o, struct str name, struct str value);

/* Bytes of a variable byte integer: 1 to 4. */
static inline unsigned mqtt_varint_size(uint32_t v)
{
    return v < 128 ? 1 : v < 16384 ? 2 : v < 2097152 ? 3 : 4;
}

/* Writes v in the fewest bytes [MQTT-1.5.5-1] and returns the byte after it. */
static inline uint8_t *mqtt_varint_write(uint8_t *p, uint32_t v)
{
    while (v >= 128) {
        *p++ = (uint8_t)(v | 128);
        v >>= 7;
    }
    *p++ = (uint8_t)v;
    return p;
}

static inline uint8_t *mqtt_u16_write(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
    return p + 2;
}

static inline uint8_t *mqtt_u32_write(uint8_t *p, uint32_t v)
{
    p = mqtt_u16_write(p, v >> 16);
    return mqtt_u16_write(p, v & 0xffff);
}

#endif
