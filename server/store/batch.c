#include "store/batch.h"

#include <stdlib.h>

#include "base/mem.h"
#include "store/octets.h"

enum { BATCH_FIRST = 4096 };

void batch_fini(struct batch *b)
{
    free(b->bytes);
    *b = (struct batch){0};
}

static uint8_t *room(struct batch *b, size_t len)
{
    if (b->cap - b->len < len) {
        size_t cap = b->cap ? b->cap * 2 : BATCH_FIRST;
        while (cap - b->len < len)
            cap *= 2;
        b->bytes = xrealloc(b->bytes, cap);
        b->cap = cap;
    }
    return b->bytes + b->len;
}

/* Begins a record whose body is known to be that long; returns where the body goes. */
static uint8_t *begin(struct batch *b, unsigned type, unsigned flags, size_t body_len)
{
    size_t start = b->len, size = record_size(body_len);
    uint8_t *p = room(b, size);

    ASSERT(!b->open && body_len <= RECORD_BODY_MAX);
    memset(p, 0, RECORD_HEAD);
    memset(p + size - 3, 0, 3); /* the padding, at most */
    put_u32(p + 4, (uint32_t)body_len);
    p[16] = (uint8_t)type;
    p[17] = (uint8_t)flags;
    b->len += size;
    b->run = 0;
    b->last = start + 1;
    return p + RECORD_HEAD;
}

/* -- Messages -- */

void batch_pub_begin(struct batch *b, const struct record_message *m, unsigned flags,
                     uint64_t origin, uint16_t packet_id)
{
    size_t start = b->len, last = b->last, body_len = 16 + record_message_size(m);
    uint8_t *p = begin(b, RECORD_PUB, flags, body_len);

    p = put_u64(p, origin);
    p = put_u32(p, 0);
    p = put_u16(p, packet_id);
    p = put_u16(p, 0);
    record_message_put(p, m);
    b->len = start + RECORD_HEAD + body_len; /* the padding comes behind the targets */
    b->open = start + 1;
    b->last = last; /* for it may be taken back */
}

void batch_pub_target(struct batch *b, const struct record_target *t)
{
    uint8_t *p = room(b, RECORD_TARGET);

    ASSERT(b->open);
    p = put_u64(p, t->session);
    p = put_u64(p, t->counter);
    p = put_u32(p, t->sub_id);
    p = put_u16(p, t->share);
    *p++ = t->qos;
    *p++ = t->retain;
    b->len += RECORD_TARGET;
    uint8_t *count = b->bytes + b->open - 1 + RECORD_HEAD + 8;
    put_u32(count, get_u32(count) + 1);
}

bool batch_pub_end(struct batch *b)
{
    size_t start = b->open - 1;
    uint8_t *p;

    ASSERT(b->open);
    b->open = 0;
    p = b->bytes + start;
    if (p[17] == 0 && get_u32(p + RECORD_HEAD + 8) == 0) {
        b->len = start;
        return false;
    }
    size_t body_len = b->len - start - RECORD_HEAD, end = start + record_size(body_len);
    ASSERT(body_len <= RECORD_BODY_MAX);
    memset(room(b, end - b->len), 0, end - b->len);
    put_u32(b->bytes + start + 4, (uint32_t)body_len);
    b->len = end;
    b->last = start + 1;
    return true;
}

/* -- Runs -- */

static void run_begin(struct batch *b, unsigned type, unsigned flags, uint64_t session,
                      uint64_t counter)
{
    uint8_t *p = begin(b, type, flags, 20);

    p = put_u64(p, session);
    p = put_u64(p, counter);
    put_u32(p, 1);
}

static bool run_grows(struct batch *b, unsigned flags, uint64_t session, uint64_t counter)
{
    if (!b->run)
        return false;
    uint8_t *p = b->bytes + b->run - 1, *body = p + RECORD_HEAD;
    uint32_t count = get_u32(body + 16);
    if (p[17] != flags || get_u64(body) != session || get_u64(body + 8) + count != counter ||
        count == UINT32_MAX)
        return false;
    put_u32(body + 16, count + 1);
    return true;
}

void batch_ack(struct batch *b, uint64_t session, uint64_t counter, unsigned flags)
{
    size_t start = b->len;

    if (run_grows(b, flags, session, counter))
        return;
    run_begin(b, RECORD_ACK, flags, session, counter);
    b->run = start + 1;
}

void batch_release(struct batch *b, uint64_t session, uint64_t counter)
{
    run_begin(b, RECORD_RELEASE, 0, session, counter);
}

/* -- The rest -- */

void batch_received(struct batch *b, uint64_t session, uint16_t packet_id, bool gone)
{
    uint8_t *p = begin(b, RECORD_RECEIVED, gone ? RECORD_GONE : 0, 10);

    p = put_u64(p, session);
    put_u16(p, packet_id);
}

void batch_session(struct batch *b, const struct record_session *s)
{
    uint8_t *p = begin(b, RECORD_SESSION, 0, 22 + s->client_id.len + s->username.len);

    p = put_u64(p, s->number);
    p = put_u32(p, s->expiry);
    p = put_u32(p, s->realm);
    *p++ = s->version;
    *p++ = s->has_username;
    p = put_u16(p, (uint16_t)s->client_id.len);
    p = put_u16(p, (uint16_t)s->username.len);
    p = put_str(p, s->client_id);
    put_str(p, s->username);
}

void batch_end(struct batch *b, uint64_t session)
{
    put_u64(begin(b, RECORD_END, 0, 8), session);
}

void batch_away(struct batch *b, const struct record_away *away)
{
    uint8_t *p = begin(b, RECORD_AWAY, 0, 32);

    p = put_u64(p, away->number);
    p = put_u64(p, away->ends_ms);
    p = put_u64(p, away->will_ms);
    put_u64(p, away->sent);
}

static void put_sub(struct batch *b, unsigned type, const struct record_sub *sub)
{
    uint8_t *p = begin(b, type, 0, 16 + sub->filter.len);

    p = put_u64(p, sub->number);
    p = put_u32(p, sub->id);
    *p++ = sub->options;
    *p++ = sub->retain_handling;
    p = put_u16(p, (uint16_t)sub->filter.len);
    put_str(p, sub->filter);
}

void batch_sub(struct batch *b, const struct record_sub *sub)
{
    put_sub(b, RECORD_SUB, sub);
}

void batch_unsub(struct batch *b, uint64_t session, struct str filter)
{
    put_sub(b, RECORD_UNSUB, &(struct record_sub){.number = session, .filter = filter});
}

void batch_will(struct batch *b, const struct record_will *will)
{
    bool gone = will->message.topic.len == 0;
    uint8_t *p = begin(b, RECORD_WILL, gone ? RECORD_GONE : 0,
                       16 + (gone ? 0 : record_message_size(&will->message)));

    p = put_u64(p, will->number);
    p = put_u32(p, will->delay);
    p = put_u32(p, will->expiry);
    if (!gone)
        record_message_put(p, &will->message);
}

void batch_join(struct batch *b)
{
    ASSERT(b->last && !b->open);
    b->bytes[b->last - 1 + 17] |= RECORD_MORE;
    b->run = 0;
}

void batch_raw(struct batch *b, unsigned type, unsigned flags, struct str body)
{
    put_str(begin(b, type, flags, body.len), body);
}
