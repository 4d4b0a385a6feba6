/* Encoders and the few decoders the generator needs. */
#include "wire.h"

#include <string.h>

static uint8_t *put16(uint8_t *p, size_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
    return p + 2;
}

static uint8_t *put_varint(uint8_t *p, size_t v)
{
    do {
        *p++ = (uint8_t)((v & 127) | (v > 127 ? 128 : 0));
        v >>= 7;
    } while (v);
    return p;
}

static uint8_t *put_text(uint8_t *p, const char *text)
{
    size_t n = strlen(text);
    p = put16(p, n);
    memcpy(p, text, n);
    return p + n;
}

static size_t varint_size(size_t v)
{
    return v < 128 ? 1 : v < 16384 ? 2 : v < 2097152 ? 3 : 4;
}

size_t wire_connect(uint8_t *out, const struct wire_login *login)
{
    uint8_t body[WIRE_SMALL - 8], *p = body;

    p = put_text(p, login->version == 3 ? "MQIsdp" : "MQTT");
    *p++ = (uint8_t)login->version;
    *p++ = (uint8_t)((login->kept ? 0 : 2) | (login->user ? 128 : 0) | (login->password ? 64 : 0));
    p = put16(p, 0); /* keep-alive off */
    if (login->version == 5) {
        static const uint8_t expiry[] = {5, 0x11, 0xff, 0xff, 0xff, 0xff};
        size_t n = login->kept ? sizeof expiry : 1;
        memcpy(p, login->kept ? expiry : (const uint8_t[]){0}, n);
        p += n;
    }
    p = put_text(p, login->client_id);
    if (login->user)
        p = put_text(p, login->user);
    if (login->password)
        p = put_text(p, login->password);

    size_t len = (size_t)(p - body);
    out[0] = WIRE_CONNECT << 4;
    p = put_varint(out + 1, len);
    memcpy(p, body, len);
    return (size_t)(p - out) + len;
}

size_t wire_pingreq(uint8_t *out)
{
    out[0] = 0xC0;
    out[1] = 0;
    return 2;
}

size_t wire_disconnect(uint8_t *out)
{
    out[0] = WIRE_DISCONNECT << 4;
    out[1] = 0;
    return 2;
}

size_t wire_subscribe_size(size_t n, size_t each)
{
    return 8 + n * (each + 3);
}

size_t wire_subscribe(uint8_t *out, int version, uint16_t packet_id, const char *filters, size_t n,
                      size_t each, int qos)
{
    uint8_t *p = out;

    *p++ = 0x82;
    p = put_varint(p, 2 + (version == 5) + n * (each + 3));
    p = put16(p, packet_id);
    if (version == 5)
        *p++ = 0;
    for (size_t i = 0; i < n; i++) {
        p = put16(p, each);
        memcpy(p, filters + i * each, each);
        p += each;
        *p++ = (uint8_t)qos;
    }
    return (size_t)(p - out);
}

static size_t publish_body(const struct wire_publish *p)
{
    return 2 + p->topic_len + (p->qos ? 2 : 0) + (p->version == 5) + p->payload_len;
}

void wire_publish_layout(struct wire_publish *p)
{
    size_t len = publish_body(p);
    p->topic_at = 1 + varint_size(len) + 2;
    p->id_at = p->topic_at + p->topic_len;
    p->payload_at = p->id_at + (p->qos ? 2 : 0) + (p->version == 5);
    p->size = p->payload_at + p->payload_len;
}

void wire_publish(uint8_t *out, const struct wire_publish *p)
{
    memset(out, 0, p->size);
    out[0] = (uint8_t)(WIRE_PUBLISH << 4 | p->qos << 1 | p->retain);
    uint8_t *at = put_varint(out + 1, publish_body(p));
    put16(at, p->topic_len);
    memcpy(out + p->topic_at, p->topic, p->topic_len);
}

/* Returns the bytes used, 0 when it does not end within n. */
static size_t varint_read(const uint8_t *p, size_t n, size_t *out)
{
    *out = 0;
    for (size_t i = 0; i < n && i < 4; i++) {
        *out |= (size_t)(p[i] & 127) << (7 * i);
        if (!(p[i] & 128))
            return i + 1;
    }
    return 0;
}

bool wire_message(struct wire_message *m, const struct wire_frame *f, int version)
{
    if (f->len < 2)
        return false;
    size_t at = 2, topic = (size_t)f->body[0] << 8 | f->body[1], id = f->head & 6 ? 2 : 0;

    if (f->len - at < topic + id)
        return false;
    m->topic = f->body + at;
    m->topic_len = topic;
    at += topic;
    m->packet_id = id ? f->body + at : NULL;
    at += id;
    if (version == 5) {
        size_t props, used = varint_read(f->body + at, f->len - at, &props);
        if (!used || f->len - at - used < props)
            return false;
        at += used + props;
    }
    m->payload = f->body + at;
    m->payload_len = f->len - at;
    return true;
}

/* The size of one CONNACK property after its identifier, 0 when it is unknown or cut. */
static size_t property_size(uint8_t id, const uint8_t *p, size_t n)
{
    size_t text;

    switch (id) {
    case 0x11:
    case 0x27: /* session expiry, maximum packet size */
        return 4;
    case 0x13:
    case 0x21:
    case 0x22: /* server keep-alive, receive maximum, alias maximum */
        return 2;
    case 0x24:
    case 0x25:
    case 0x28:
    case 0x29:
    case 0x2A:
        return 1;
    case 0x26: /* user property: two strings */
        if (n < 2 || n < 4 + (text = (size_t)p[0] << 8 | p[1]))
            return 0;
        return 4 + text + ((size_t)p[2 + text] << 8 | p[3 + text]);
    default: /* the others are one string or binary */
        return n < 2 ? 0 : 2 + ((size_t)p[0] << 8 | p[1]);
    }
}

int wire_connack(const struct wire_frame *f, int version, uint16_t *receive_maximum)
{
    *receive_maximum = 65535;
    if (f->len < 2)
        return -1;
    if (version == 5 && f->len > 2) {
        size_t props, used = varint_read(f->body + 2, f->len - 2, &props);
        if (!used || f->len - 2 - used < props)
            return -1;
        const uint8_t *p = f->body + 2 + used, *end = p + props;
        while (p < end) {
            uint8_t id = *p++;
            size_t size = property_size(id, p, (size_t)(end - p));
            if (size == 0 || size > (size_t)(end - p))
                return -1;
            if (id == 0x21)
                *receive_maximum = (uint16_t)(p[0] << 8 | p[1]);
            p += size;
        }
    }
    return f->body[1];
}

int wire_suback(const struct wire_frame *f, int version)
{
    size_t at = 2, props, used;
    int refused = 0;

    if (f->len < 3)
        return -1;
    if (version == 5) {
        used = varint_read(f->body + at, f->len - at, &props);
        if (!used || f->len - at - used < props)
            return -1;
        at += used + props;
    }
    for (; at < f->len; at++)
        refused += f->body[at] >= 0x80;
    return refused;
}
