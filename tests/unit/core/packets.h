/* Reading what a broker sent, byte by byte, without the broker's own codec: a codec tested
 * by itself proves nothing.  Good for the core's unit tests and for tests/sim. */
#ifndef TESTS_UNIT_CORE_PACKETS_H
#define TESTS_UNIT_CORE_PACKETS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { PACKET_SUB_IDS = 8 };

struct packet {
    unsigned type; /* 1 CONNECT ... 15 AUTH */
    unsigned flags;
    unsigned qos;
    bool dup, retain;
    uint32_t size; /* all bytes of it */
    const uint8_t *body;
    uint32_t body_len;
    unsigned id;
    unsigned reason; /* acks, CONNACK, DISCONNECT, AUTH */
    bool session_present;
    const uint8_t *topic, *payload, *props;
    uint32_t topic_len, payload_len, props_len;
    bool has_expiry;
    uint32_t expiry; /* message expiry; session expiry in CONNACK */
    unsigned alias;  /* of PUBLISH; alias maximum of CONNACK */
    uint32_t sub_ids[PACKET_SUB_IDS];
    unsigned sub_id_count;
    unsigned receive_maximum, keep_alive;
    bool has_keep_alive;
    const uint8_t *auth_method, *auth_data, *assigned;
    uint32_t auth_method_len, auth_data_len, assigned_len;
};

struct reader {
    const uint8_t *at, *end;
    bool bad;
};

static inline uint32_t read_number(struct reader *r, unsigned bytes)
{
    uint32_t v = 0;
    for (unsigned i = 0; i < bytes; i++) {
        if (r->at == r->end) {
            r->bad = true;
            return 0;
        }
        v = v << 8 | *r->at++;
    }
    return v;
}

static inline uint32_t read_varint(struct reader *r)
{
    uint32_t v = 0;
    for (unsigned shift = 0; shift < 28; shift += 7) {
        uint32_t byte = read_number(r, 1);
        v |= (byte & 127) << shift;
        if (!(byte & 128)) {
            if (byte == 0 && shift > 0)
                r->bad = true; /* not in the fewest bytes */
            return v;
        }
    }
    r->bad = true;
    return 0;
}

static inline const uint8_t *read_bytes(struct reader *r, uint32_t len)
{
    const uint8_t *p = r->at;
    if ((size_t)(r->end - r->at) < len) {
        r->bad = true;
        return p;
    }
    r->at += len;
    return p;
}

static inline const uint8_t *read_string(struct reader *r, uint32_t *len)
{
    *len = read_number(r, 2);
    return read_bytes(r, *len);
}

/* How the value of each property is written; 0: no such property. */
static inline char property_kind(unsigned id)
{
    static const char kinds[] = {
        [0x01] = '1', [0x02] = '4', [0x03] = 's', [0x08] = 's', [0x09] = 's', [0x0B] = 'v',
        [0x11] = '4', [0x12] = 's', [0x13] = '2', [0x15] = 's', [0x16] = 's', [0x17] = '1',
        [0x18] = '4', [0x19] = '1', [0x1A] = 's', [0x1C] = 's', [0x1F] = 's', [0x21] = '2',
        [0x22] = '2', [0x23] = '2', [0x24] = '1', [0x25] = '1', [0x26] = 'p', [0x27] = '4',
        [0x28] = '1', [0x29] = '1', [0x2A] = '1'};
    return id < sizeof kinds ? kinds[id] : 0;
}

static inline void read_property(struct reader *r, struct packet *p)
{
    unsigned id = read_number(r, 1);
    uint32_t number = 0, len = 0;
    const uint8_t *text = NULL;

    switch (property_kind(id)) {
    case '1':
        number = read_number(r, 1);
        break;
    case '2':
        number = read_number(r, 2);
        break;
    case '4':
        number = read_number(r, 4);
        break;
    case 'v':
        number = read_varint(r);
        break;
    case 's':
        text = read_string(r, &len);
        break;
    case 'p':
        read_string(r, &len);
        text = read_string(r, &len);
        break;
    default:
        r->bad = true;
        return;
    }
    if (id == 0x02 || id == 0x11) {
        p->has_expiry = true;
        p->expiry = number;
    } else if (id == 0x23 || id == 0x22) {
        p->alias = number;
    } else if (id == 0x0B && p->sub_id_count < PACKET_SUB_IDS) {
        p->sub_ids[p->sub_id_count++] = number;
    } else if (id == 0x21) {
        p->receive_maximum = number;
    } else if (id == 0x13) {
        p->has_keep_alive = true;
        p->keep_alive = number;
    } else if (id == 0x15) {
        p->auth_method = text;
        p->auth_method_len = len;
    } else if (id == 0x16) {
        p->auth_data = text;
        p->auth_data_len = len;
    } else if (id == 0x12) {
        p->assigned = text;
        p->assigned_len = len;
    }
}

static inline void read_properties(struct reader *r, struct packet *p)
{
    p->props_len = read_varint(r);
    p->props = read_bytes(r, p->props_len);
    if (r->bad)
        return;
    struct reader inner = {p->props, p->props + p->props_len, false};
    while (inner.at < inner.end && !inner.bad)
        read_property(&inner, p);
    r->bad |= inner.bad;
}

static inline void read_publish(struct reader *r, struct packet *p, unsigned version)
{
    p->qos = p->flags >> 1 & 3;
    p->dup = p->flags >> 3;
    p->retain = p->flags & 1;
    p->topic = read_string(r, &p->topic_len);
    if (p->qos)
        p->id = read_number(r, 2);
    if (version == 5)
        read_properties(r, p);
    p->payload = r->at;
    p->payload_len = (uint32_t)(r->end - r->at);
    r->bad |= p->qos == 3 || (p->qos && p->id == 0) || (p->dup && p->qos == 0);
}

static inline void read_body(struct reader *r, struct packet *p, unsigned version)
{
    switch (p->type) {
    case 2: /* CONNACK */
        p->session_present = read_number(r, 1) == 1;
        p->reason = read_number(r, 1);
        if (version == 5)
            read_properties(r, p);
        break;
    case 3:
        read_publish(r, p, version);
        break;
    case 4: /* PUBACK, PUBREC, PUBREL, PUBCOMP */
    case 5:
    case 6:
    case 7:
        p->id = read_number(r, 2);
        r->bad |= p->flags != (p->type == 6 ? 2u : 0u) || p->id == 0;
        if (version == 5 && r->at < r->end)
            p->reason = read_number(r, 1);
        if (version == 5 && r->at < r->end)
            read_properties(r, p);
        r->bad |= r->at != r->end;
        break;
    case 9: /* SUBACK, UNSUBACK */
    case 11:
        p->id = read_number(r, 2);
        if (version == 5)
            read_properties(r, p);
        p->payload = r->at;
        p->payload_len = (uint32_t)(r->end - r->at);
        break;
    case 14: /* DISCONNECT, AUTH */
    case 15:
        if (r->at < r->end)
            p->reason = read_number(r, 1);
        if (r->at < r->end)
            read_properties(r, p);
        break;
    default: /* PINGRESP; all else is not for a client */
        r->bad |= p->type != 13 || r->at != r->end;
        break;
    }
}

/* The packet at bytes: 1, 0 when it is not whole, -1 when it breaks the format.  version is
 * 3, 4 or 5. */
static inline int packet_read(const uint8_t *bytes, size_t len, unsigned version, struct packet *p)
{
    struct reader r = {bytes, bytes + len, false};

    memset(p, 0, sizeof *p);
    if (len < 2)
        return 0;
    p->type = bytes[0] >> 4;
    p->flags = bytes[0] & 15;
    r.at++;
    for (size_t i = 1; i < 5; i++) {
        if (i == len)
            return 0;
        if (!(bytes[i] & 128))
            break;
    }
    p->body_len = read_varint(&r);
    if (r.bad)
        return -1;
    if ((size_t)(r.end - r.at) < p->body_len)
        return 0;
    p->body = r.at;
    p->size = (uint32_t)(r.at - bytes) + p->body_len;
    r.end = r.at + p->body_len;
    read_body(&r, p, version);
    return r.bad ? -1 : 1;
}

#endif
