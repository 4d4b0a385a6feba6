#include "store/record.h"

#include "base/err.h"
#include "store/crc32c.h"
#include "store/octets.h"

enum { MESSAGE_HEAD = 28, MESSAGE_RETAIN = 1, SESSION_HAS_USERNAME = 1 };

/* -- The frame -- */

size_t record_length(const uint8_t *p)
{
    return record_size(get_u32(p + 4));
}

bool record_more(const uint8_t *p)
{
    return p[17] & RECORD_MORE;
}

void record_seal(uint8_t *p, uint64_t lsn, uint32_t salt)
{
    put_u64(p + 8, lsn);
    put_u32(p, crc32c(salt, p + 4, record_length(p) - 4));
}

enum record_found record_read(const uint8_t *p, size_t room, uint64_t lsn, uint32_t salt,
                              struct record *out)
{
    if (room < RECORD_HEAD || get_u64(p + 8) != lsn || p[16] == 0) /* zeros, even at lsn 0 */
        return RECORD_NONE;
    uint32_t len = get_u32(p + 4);
    if (len > RECORD_BODY_MAX || record_size(len) > room)
        return RECORD_BROKEN;
    if (get_u32(p) != crc32c(salt, p + 4, record_size(len) - 4))
        return RECORD_BROKEN;
    *out = record_at(p, lsn);
    return RECORD_VALID;
}

struct record record_at(const uint8_t *p, uint64_t lsn)
{
    return (struct record){lsn, p[16], p[17], {(const char *)p + RECORD_HEAD, get_u32(p + 4)}};
}

const char *record_name(unsigned type)
{
    static const char *const names[RECORD_TYPES] = {
        [RECORD_COMMIT] = "COMMIT",   [RECORD_PUB] = "PUB",           [RECORD_ACK] = "ACK",
        [RECORD_RELEASE] = "RELEASE", [RECORD_RECEIVED] = "RECEIVED", [RECORD_SESSION] = "SESSION",
        [RECORD_END] = "END",         [RECORD_AWAY] = "AWAY",         [RECORD_SUB] = "SUB",
        [RECORD_UNSUB] = "UNSUB",     [RECORD_WILL] = "WILL",
    };
    return type < RECORD_TYPES && names[type] ? names[type] : "?";
}

/* -- Messages -- */

size_t record_message_size(const struct record_message *m)
{
    return MESSAGE_HEAD + m->topic.len + m->payload.len + m->props.len;
}

uint8_t *record_message_put(uint8_t *p, const struct record_message *m)
{
    p = put_u64(p, m->expires_ms);
    p = put_u64(p, m->publisher);
    p = put_u32(p, (uint32_t)m->payload.len);
    p = put_u32(p, (uint32_t)m->props.len);
    p = put_u16(p, (uint16_t)m->topic.len);
    *p++ = m->qos;
    *p++ = m->retain ? MESSAGE_RETAIN : 0;
    p = put_str(p, m->topic);
    p = put_str(p, m->payload);
    return put_str(p, m->props);
}

static void take_message(struct octets *o, struct record_message *m)
{
    m->expires_ms = take_u64(o);
    m->publisher = take_u64(o);
    uint32_t payload_len = take_u32(o), props_len = take_u32(o);
    uint16_t topic_len = take_u16(o);
    uint8_t qos = take_u8(o), flags = take_u8(o);
    m->topic = take_str(o, topic_len);
    m->payload = take_str(o, payload_len);
    m->props = take_str(o, props_len);
    m->qos = qos;
    m->retain = flags & MESSAGE_RETAIN;
    if (qos > 2 || flags & ~MESSAGE_RETAIN)
        o->bad = true;
}

int record_message_get(struct str bytes, struct record_message *out)
{
    struct octets o = octets_of(bytes);

    take_message(&o, out);
    return octets_done(&o) ? 0 : ERR_SYNTAX;
}

/* -- Bodies -- */

static struct record_target target_get(const uint8_t *p)
{
    return (struct record_target){
        .session = get_u64(p),
        .counter = get_u64(p + 8),
        .sub_id = get_u32(p + 16),
        .share = (uint16_t)(p[20] | p[21] << 8),
        .qos = p[22],
        .retain = p[23] & 1,
    };
}

struct record_target record_target_at(const struct record_pub *pub, uint32_t at)
{
    return target_get(pub->targets + (size_t)at * RECORD_TARGET);
}

static void take_pub(struct octets *o, unsigned flags, struct record_pub *pub)
{
    pub->origin = take_u64(o);
    pub->target_count = take_u32(o);
    pub->packet_id = take_u16(o);
    if (take_u16(o) != 0)
        o->bad = true;
    if ((flags & (RECORD_INBOUND | RECORD_FROM_WILL) && !pub->origin) ||
        (flags & RECORD_INBOUND && !pub->packet_id))
        o->bad = true;
    take_message(o, &pub->message);
    struct str targets = take_str(o, (size_t)pub->target_count * RECORD_TARGET);
    pub->targets = (const uint8_t *)targets.ptr;
    for (uint32_t i = 0; !o->bad && i < pub->target_count; i++) {
        const uint8_t *t = pub->targets + (size_t)i * RECORD_TARGET;
        if (get_u64(t) == 0 || t[22] == 0 || t[22] > 2 || t[23] > 1)
            o->bad = true;
    }
}

static void take_run(struct octets *o, struct record_run *run)
{
    run->session = take_u64(o);
    run->first = take_u64(o);
    run->count = take_u32(o);
    if (run->count == 0 || run->session == 0 || run->first > UINT64_MAX - run->count)
        o->bad = true;
}

static void take_received(struct octets *o, struct record_received *r)
{
    r->session = take_u64(o);
    r->packet_id = take_u16(o);
    if (r->session == 0 || r->packet_id == 0)
        o->bad = true;
}

static void take_session(struct octets *o, struct record_session *s)
{
    s->number = take_u64(o);
    s->expiry = take_u32(o);
    s->realm = take_u32(o);
    s->version = take_u8(o);
    uint8_t flags = take_u8(o);
    uint16_t id_len = take_u16(o), user_len = take_u16(o);
    s->has_username = flags & SESSION_HAS_USERNAME;
    s->client_id = take_str(o, id_len);
    s->username = take_str(o, user_len);
    if (s->number == 0 || flags & ~SESSION_HAS_USERNAME || (user_len && !s->has_username))
        o->bad = true;
}

static void take_away(struct octets *o, struct record_away *a)
{
    a->number = take_u64(o);
    a->ends_ms = take_u64(o);
    a->will_ms = take_u64(o);
    a->sent = take_u64(o);
    if (a->number == 0)
        o->bad = true;
}

static void take_sub(struct octets *o, struct record_sub *s)
{
    s->number = take_u64(o);
    s->id = take_u32(o);
    s->options = take_u8(o);
    s->retain_handling = take_u8(o);
    s->filter = take_str(o, take_u16(o));
    if (s->number == 0 || s->filter.len == 0)
        o->bad = true;
}

static void take_will(struct octets *o, unsigned flags, struct record_will *w)
{
    w->number = take_u64(o);
    w->delay = take_u32(o);
    w->expiry = take_u32(o);
    if (!(flags & RECORD_GONE))
        take_message(o, &w->message);
    if (w->number == 0)
        o->bad = true;
}

int record_decode(const struct record *r, struct record_body *out)
{
    struct octets o = octets_of(r->body);

    *out = (struct record_body){.type = r->type, .flags = r->flags};
    switch (r->type) {
    case RECORD_COMMIT:
        out->commit.synced = take_u64(&o);
        out->commit.moment.wall_ms = take_u64(&o);
        out->commit.moment.store_ms = take_u64(&o);
        break;
    case RECORD_PUB:
        take_pub(&o, r->flags, &out->pub);
        break;
    case RECORD_ACK:
    case RECORD_RELEASE:
        take_run(&o, &out->run);
        break;
    case RECORD_RECEIVED:
        take_received(&o, &out->received);
        break;
    case RECORD_SESSION:
        take_session(&o, &out->session);
        break;
    case RECORD_END:
        out->end = take_u64(&o);
        o.bad |= out->end == 0;
        break;
    case RECORD_AWAY:
        take_away(&o, &out->away);
        break;
    case RECORD_SUB:
    case RECORD_UNSUB:
        take_sub(&o, &out->sub);
        break;
    case RECORD_WILL:
        take_will(&o, r->flags, &out->will);
        break;
    default:
        return ERR_NOT_FOUND;
    }
    return octets_done(&o) ? 0 : ERR_SYNTAX;
}
