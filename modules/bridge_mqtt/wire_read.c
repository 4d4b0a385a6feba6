/* Packets of a server.  Whatever comes, nothing outside the given bytes is read. */
#include "wire.h"

struct cursor {
    const uint8_t *at, *end;
    bool bad;
};

static uint32_t take_number(struct cursor *c, unsigned bytes)
{
    uint32_t value = 0;

    if ((size_t)(c->end - c->at) < bytes) {
        c->bad = true;
        return 0;
    }
    while (bytes--)
        value = value << 8 | *c->at++;
    return value;
}

static struct skep_str take_bytes(struct cursor *c, size_t len)
{
    struct skep_str s = {0};

    if ((size_t)(c->end - c->at) < len) {
        c->bad = true;
        return s;
    }
    s = skep_bytes(c->at, len);
    c->at += len;
    return s;
}

static struct skep_str take_str(struct cursor *c)
{
    return take_bytes(c, take_number(c, 2));
}

/* A variable byte integer; -1: not whole, -2: malformed. */
static int64_t take_varint(struct cursor *c)
{
    uint32_t value = 0;

    for (unsigned shift = 0; shift < 28; shift += 7) {
        if (c->at == c->end)
            return -1;
        value |= (uint32_t)(*c->at & 0x7f) << shift;
        if (!(*c->at++ & 0x80))
            return value;
    }
    return -2;
}

enum prop_kind { PROP_NONE, PROP_U8, PROP_U16, PROP_U32, PROP_VARINT, PROP_STR, PROP_PAIR };

enum { PROP_USER = 38, PROP_LAST = 42 };

/* Every property of MQTT 5 [MQTT 2.2.2.2], and where a bridge keeps it (0: nowhere). */
static const struct {
    uint8_t kind;
    size_t at;
} properties[PROP_LAST + 1] = {
#define KEEP(member) offsetof(struct wire_props, member)
    [1] = {PROP_U8, KEEP(payload_utf8)},
    [2] = {PROP_U32, KEEP(message_expiry)},
    [3] = {PROP_STR, KEEP(content_type)},
    [8] = {PROP_STR, KEEP(response_topic)},
    [9] = {PROP_STR, KEEP(correlation)},
    [11] = {PROP_VARINT, 0},
    [17] = {PROP_U32, KEEP(session_expiry)},
    [18] = {PROP_STR, KEEP(assigned_id)},
    [19] = {PROP_U16, KEEP(keep_alive)},
    [21] = {PROP_STR, 0},
    [22] = {PROP_STR, 0},
    [23] = {PROP_U8, 0},
    [24] = {PROP_U32, 0},
    [25] = {PROP_U8, 0},
    [26] = {PROP_STR, 0},
    [28] = {PROP_STR, KEEP(server_reference)},
    [31] = {PROP_STR, KEEP(reason_text)},
    [33] = {PROP_U16, KEEP(receive_maximum)},
    [34] = {PROP_U16, 0},
    [35] = {PROP_U16, KEEP(topic_alias)},
    [36] = {PROP_U8, KEEP(maximum_qos)},
    [37] = {PROP_U8, KEEP(retain_available)},
    [PROP_USER] = {PROP_PAIR, 0},
    [39] = {PROP_U32, KEEP(maximum_packet)},
    [40] = {PROP_U8, KEEP(wildcard)},
    [41] = {PROP_U8, 0},
    [42] = {PROP_U8, KEEP(shared)},
#undef KEEP
};

static void keep_number(struct wire_props *p, size_t at, enum prop_kind kind, uint32_t value)
{
    uint8_t *to = (uint8_t *)p + at;

    if (at == 0)
        return;
    if (kind == PROP_U8)
        *to = (uint8_t)value;
    else if (kind == PROP_U16)
        *(uint16_t *)(void *)to = (uint16_t)value;
    else
        *(uint32_t *)(void *)to = value;
}

/* One property; *out gets a user property.  Returns its identifier, 0 when malformed. */
static unsigned take_prop(struct cursor *c, struct wire_props *p, struct skep_user_property *out)
{
    int64_t id = take_varint(c);

    if (id <= 0 || id > PROP_LAST || properties[id].kind == PROP_NONE)
        return 0;
    enum prop_kind kind = properties[id].kind;
    size_t at = properties[id].at;
    if (kind == PROP_U8 || kind == PROP_U16 || kind == PROP_U32) {
        keep_number(p, at, kind, take_number(c, 1u << (kind - PROP_U8)));
    } else if (kind == PROP_VARINT) {
        c->bad |= take_varint(c) < 0;
    } else {
        struct skep_str s = take_str(c);
        if (at)
            *(struct skep_str *)(void *)((uint8_t *)p + at) = s;
        if (kind == PROP_PAIR)
            *out = (struct skep_user_property){s, take_str(c)};
    }
    return c->bad ? 0 : (unsigned)id;
}

static void take_props(struct cursor *c, enum wire_version version, struct wire_props *p)
{
    struct skep_user_property user;

    if (version != WIRE_5)
        return;
    int64_t len = take_varint(c);
    if (len < 0 || len > c->end - c->at) {
        c->bad = true;
        return;
    }
    p->all = take_bytes(c, (size_t)len);
    struct cursor in = {(const uint8_t *)p->all.ptr, (const uint8_t *)p->all.ptr + len, false};
    while (in.at < in.end && !c->bad) {
        unsigned id = take_prop(&in, p, &user);
        bool again = p->has >> id & 1;
        c->bad = id == 0 || (again && id != PROP_USER && id != 11);
        p->has |= UINT64_C(1) << id;
    }
}

bool wire_user_next(struct skep_str *rest, struct skep_user_property *out)
{
    struct wire_props ignored;

    if (rest->len == 0)
        return false;
    struct cursor c = {(const uint8_t *)rest->ptr, (const uint8_t *)rest->ptr + rest->len, false};

    while (c.at < c.end) {
        unsigned id = take_prop(&c, &ignored, out);
        if (id == 0)
            return false;
        *rest = skep_bytes(c.at, (size_t)(c.end - c.at));
        if (id == PROP_USER)
            return true;
    }
    return false;
}

size_t wire_users(const struct wire_props *props, struct skep_user_property *out, size_t most)
{
    struct skep_str rest = props->all;
    size_t count = 0;

    while (count < most && wire_user_next(&rest, &out[count]))
        count++;
    return count;
}

static void take_publish(struct cursor *c, enum wire_version version, struct wire_packet *p)
{
    p->topic = take_str(c);
    if (p->qos)
        p->id = (uint16_t)take_number(c, 2);
    take_props(c, version, &p->props);
    c->bad |= p->qos > 2 || (p->qos && p->id == 0) || (p->qos == 0 && p->dup);
    if (!c->bad)
        p->payload = take_bytes(c, (size_t)(c->end - c->at));
}

/* PUBACK and its like: reason and properties may be left out [MQTT 3.4.2]. */
static void take_ack(struct cursor *c, enum wire_version version, struct wire_packet *p)
{
    p->id = (uint16_t)take_number(c, 2);
    if (version == WIRE_5 && c->at < c->end)
        p->reason = (uint8_t)take_number(c, 1);
    if (version == WIRE_5 && c->at < c->end)
        take_props(c, version, &p->props);
    c->bad |= p->id == 0;
}

static void take_body(struct cursor *c, enum wire_version version, struct wire_packet *p)
{
    switch (p->type) {
    case WIRE_CONNACK:
        p->session_present = take_number(c, 1) & 1;
        p->reason = (uint8_t)take_number(c, 1);
        take_props(c, version, &p->props);
        break;
    case WIRE_PUBLISH:
        take_publish(c, version, p);
        break;
    case WIRE_PUBACK:
    case WIRE_PUBREC:
    case WIRE_PUBREL:
    case WIRE_PUBCOMP:
        take_ack(c, version, p);
        break;
    case WIRE_SUBACK:
    case WIRE_UNSUBACK:
        p->id = (uint16_t)take_number(c, 2);
        take_props(c, version, &p->props);
        if (!c->bad)
            p->codes = take_bytes(c, (size_t)(c->end - c->at));
        break;
    case WIRE_PINGRESP:
        break;
    case WIRE_DISCONNECT:
    case WIRE_AUTH:
        c->bad |= version != WIRE_5;
        if (c->at < c->end)
            p->reason = (uint8_t)take_number(c, 1);
        if (c->at < c->end)
            take_props(c, version, &p->props);
        break;
    default: /* what only clients send */
        c->bad = true;
    }
}

enum wire_taken wire_take(enum wire_version version, const void *data, size_t len, size_t most,
                          struct wire_packet *out)
{
    struct cursor c = {data, (const uint8_t *)data + len, false};

    *out = (struct wire_packet){
        .props = {.maximum_qos = 2, .retain_available = 1, .wildcard = 1, .shared = 1}};
    if (len < 2)
        return WIRE_MORE;
    unsigned first = take_number(&c, 1), flags = first & 15;
    out->type = (uint8_t)(first >> 4);
    if (out->type == WIRE_PUBLISH) {
        out->dup = flags >> 3 & 1;
        out->qos = flags >> 1 & 3;
        out->retain = flags & 1;
    } else if (flags != (out->type == WIRE_PUBREL ? 2 : 0)) {
        return WIRE_MALFORMED;
    }
    int64_t body = take_varint(&c);
    if (body < 0)
        return body == -1 ? WIRE_MORE : WIRE_MALFORMED;
    out->size = (size_t)(c.at - (const uint8_t *)data) + (size_t)body;
    if (out->size > most)
        return WIRE_TOO_LARGE;
    if (out->size > len)
        return WIRE_MORE;
    c.end = c.at + body;
    take_body(&c, version, out);
    return c.bad || c.at != c.end ? WIRE_MALFORMED : WIRE_TAKEN;
}
