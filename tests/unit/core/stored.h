/* A rig that writes down what must survive: with a real store in a folder of its own, and a
 * clock for both that stands still until told.  What the log holds is read back as text.
 * Include behind cmocka.h, in a test that runs between in_scratch() and out_of_scratch(). */
#ifndef TESTS_UNIT_CORE_STORED_H
#define TESTS_UNIT_CORE_STORED_H

#include <stdarg.h>
#include <stdatomic.h>

#include "../store/scratch.h"
#include "core/restore.h"
#include "core/will.h"
#include "rig.h"
#include "store/segment.h"

enum { STORED_TEXT = 64 << 10, STORED_SEGMENT = 4 << 20 };

static _Atomic uint64_t stored_ms = 1000000; /* the committer looks too */

static inline uint64_t stored_clock(void)
{
    return atomic_load(&stored_ms);
}

static const struct store_clock stored_clocks = {stored_clock, stored_clock};

struct stored {
    struct rig *rig;
    struct store *store;
    struct restore_stats found; /* at the start */
    uint64_t seen;              /* of the log, by stored_log() */
    char text[STORED_TEXT];
    size_t len;
};

/* -- Life -- */

static inline void stored_open(struct stored *st, const struct limits *limits)
{
    struct store_conf conf = conf_of(NULL);
    char why[512] = "";

    conf.segment_bytes = STORED_SEGMENT;
    conf.checkpoint_bytes = STORED_SEGMENT * 4ull;
    conf.clock = &stored_clocks;
    memset(st, 0, sizeof *st);
    st->rig = rig_open(limits);
    st->rig->now_ms = stored_clock();
    rig_begin(st->rig);
    must_open(&st->store, &conf);
    st->rig->broker->store_offset_ms = store_clock_offset_ms(st->store);
    if (restore_run(st->rig->workers[0], st->store, &st->found, why, sizeof why) < 0)
        fail_msg("%s", why);
    for (unsigned i = 0; i < RIG_WORKERS; i++)
        st->rig->workers[i]->journal.store = st->store;
    st->seen = store_stats(st->store).log.end;
    journal_submit(st->rig->workers[0]); /* as front/server.c does */
}

/* What has been handed over is on the disk, and each worker has heard of it. */
static inline void stored_settle(struct stored *st)
{
    for (unsigned i = 0; i < RIG_WORKERS; i++)
        store_wait(st->store, journal_submit(st->rig->workers[i]));
    for (unsigned i = 0; i < RIG_WORKERS; i++)
        journal_settled(st->rig->workers[i], store_settled(st->store));
}

/* A turn in which everything settles. */
static inline void stored_turn(struct stored *st)
{
    rig_turn(st->rig);
    stored_settle(st);
    rig_turn(st->rig);
}

static inline void stored_wait(struct stored *st, uint64_t ms)
{
    atomic_fetch_add(&stored_ms, ms);
    rig_wait(st->rig, ms);
}

/* The process ends, its sessions do not.  Its clients are to be freed behind it, see
 * stored_peer_free(). */
static inline void stored_close(struct stored *st)
{
    stored_turn(st);
    for (unsigned i = 0; i < RIG_WORKERS; i++)
        journal_stop(st->rig->workers[i]);
}

static inline void stored_free(struct stored *st)
{
    rig_close(&st->rig);
    assert_int_equal(store_close(&st->store), 0);
}

/* -- Clients -- */

/* As peer_connect(), and written down if it is one to be kept. */
static inline struct peer *stored_claim(struct peer *p, const char *id, uint32_t expiry, bool clean)
{
    assert_int_equal(peer_claim(p, id, NULL, clean), CLAIM_GRANTED);
    p->claim.session->expiry = expiry;
    p->claim.session->version = p->link.version;
    sessions_record(p->w, &p->claim, p->claim.session);
    peer_attach(p, expiry);
    return p;
}

static inline struct peer *stored_connect(struct stored *st, unsigned worker, const char *id,
                                          uint32_t expiry)
{
    return stored_claim(peer_new(st->rig, worker, MQTT_50), id, expiry, expiry == 0);
}

static inline void stored_will(struct peer *p, const char *payload, uint32_t delay)
{
    struct mqtt_will will = {.topic = STR("will"),
                             .payload = str_of(payload),
                             .qos = 1,
                             .delay = delay,
                             .expiry = UINT32_MAX};
    will_set(p->s ? p->s : p->claim.session, &will, STR_NONE);
}

/* -- The log as text -- */

__attribute__((format(printf, 2, 3))) static inline void stored_say(struct stored *st,
                                                                    const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    int n = vsnprintf(st->text + st->len, STORED_TEXT - st->len, fmt, args);
    va_end(args);
    assert_true(n >= 0 && st->len + (size_t)n < STORED_TEXT);
    st->len += (size_t)n;
}

#define STORED_NUMBER(n) ((unsigned long long)(n))

static inline void stored_say_pub(struct stored *st, const struct record_pub *pub, unsigned flags)
{
    const struct record_message *m = &pub->message;

    stored_say(st, "PUB %.*s=%.*s", (int)m->topic.len, m->topic.ptr, (int)m->payload.len,
               m->payload.ptr);
    for (uint32_t i = 0; i < pub->target_count; i++) {
        struct record_target t = record_target_at(pub, i);
        stored_say(st, " %llu#%llu:q%u", STORED_NUMBER(t.session), STORED_NUMBER(t.counter), t.qos);
        if (t.sub_id)
            stored_say(st, ",id%u", t.sub_id);
        if (t.retain)
            stored_say(st, ",retain");
    }
    if (flags & RECORD_KEEP)
        stored_say(st, " KEEP");
    if (flags & RECORD_INBOUND)
        stored_say(st, " INBOUND %llu:%u", STORED_NUMBER(pub->origin), pub->packet_id);
    if (flags & RECORD_FROM_WILL)
        stored_say(st, " WILL %llu", STORED_NUMBER(pub->origin));
}

/* Seconds from now. */
static inline long long stored_from_now(const struct stored *st, uint64_t store_ms)
{
    uint64_t now = st->rig->now_ms + (uint64_t)st->rig->broker->store_offset_ms;
    return (long long)(store_ms - now) / 1000;
}

static inline void stored_say_away(struct stored *st, const struct record_away *away)
{
    stored_say(st, "AWAY %llu", STORED_NUMBER(away->number));
    if (away->ends_ms != UINT64_MAX)
        stored_say(st, " ends %lld", stored_from_now(st, away->ends_ms));
    if (away->will_ms)
        stored_say(st, " will %lld", stored_from_now(st, away->will_ms));
}

static inline void stored_say_sub(struct stored *st, const char *what, const struct record_sub *sub)
{
    stored_say(st, "%s %llu %.*s", what, STORED_NUMBER(sub->number), (int)sub->filter.len,
               sub->filter.ptr);
    if (sub->options || sub->id)
        stored_say(st, " options %u id %u", sub->options, sub->id);
}

static inline void stored_say_record(struct stored *st, const struct record_body *b)
{
    unsigned gone = b->flags & RECORD_GONE;

    switch (b->type) {
    case RECORD_PUB:
        stored_say_pub(st, &b->pub, b->flags);
        break;
    case RECORD_ACK:
    case RECORD_RELEASE:
        stored_say(st, "%s %llu#%llu+%u%s%s", b->type == RECORD_ACK ? "ACK" : "RELEASE",
                   STORED_NUMBER(b->run.session), STORED_NUMBER(b->run.first), b->run.count,
                   b->type == RECORD_ACK && b->flags & RECORD_EXPIRED ? " EXPIRED" : "",
                   b->type == RECORD_ACK && b->flags & RECORD_DROPPED ? " DROPPED" : "");
        break;
    case RECORD_RECEIVED:
        stored_say(st, "%s %llu:%u", gone ? "GONE" : "RECEIVED", STORED_NUMBER(b->received.session),
                   b->received.packet_id);
        break;
    case RECORD_SESSION:
        stored_say(st, "SESSION %llu %.*s %u", STORED_NUMBER(b->session.number),
                   (int)b->session.client_id.len, b->session.client_id.ptr, b->session.expiry);
        break;
    case RECORD_END:
        stored_say(st, "END %llu", STORED_NUMBER(b->end));
        break;
    case RECORD_AWAY:
        stored_say_away(st, &b->away);
        break;
    case RECORD_SUB:
    case RECORD_UNSUB:
        stored_say_sub(st, b->type == RECORD_SUB ? "SUB" : "UNSUB", &b->sub);
        break;
    case RECORD_WILL:
        stored_say(st, "%s %llu", gone ? "NO WILL" : "WILL", STORED_NUMBER(b->will.number));
        if (!gone)
            stored_say(st, " %.*s delay %u", (int)b->will.message.payload.len,
                       b->will.message.payload.ptr, b->will.delay);
        break;
    default:
        fail_msg("a record of type %u", b->type);
    }
    stored_say(st, b->flags & RECORD_MORE ? " +\n" : "\n");
}

/* The segment that is written now; tests do not fill one. */
static inline struct segment *stored_segment(const struct stored *st)
{
    struct segment *newest = NULL, *s;
    char why[512];

    for (unsigned slot = 0; slot < 16; slot++) {
        if (segment_open(&s, &disk_system, "d", slot, why, sizeof why) < 0)
            continue;
        if (s->sequence && s->base <= st->seen && (!newest || s->sequence > newest->sequence)) {
            segment_free(&newest);
            newest = s;
        } else {
            segment_free(&s);
        }
    }
    assert_non_null(newest);
    return newest;
}

/* What has been written since the last call, all workers' batches handed over first. */
static inline const char *stored_log(struct stored *st)
{
    static uint8_t bytes[STORED_SEGMENT];
    struct record record;
    struct record_body body;

    stored_settle(st);
    struct segment *s = stored_segment(st);
    uint64_t at = st->seen - s->base;
    ssize_t n = disk_read(s->disk, s->fd, bytes, sizeof bytes, SEGMENT_HEAD);
    assert_true(n > 0);
    st->len = 0;
    st->text[0] = 0;
    while (record_read(bytes + at, (size_t)n - at, s->base + at, s->salt, &record) ==
           RECORD_VALID) {
        assert_int_equal(record_decode(&record, &body), 0);
        if (body.type != RECORD_COMMIT)
            stored_say_record(st, &body);
        at += record_size(record.body.len);
    }
    st->seen = s->base + at;
    segment_free(&s);
    return st->text;
}

#define assert_log(st, expected) assert_string_equal(stored_log(st), expected)

#endif
