/* What the store must remember, told a second time in the plainest way: arrays, and records
 * applied one by one in the order of the log.  Both sides are written out as text and compared.
 *
 * A `life` makes up the records: two workers, each with a batch of its own that it hands over
 * now and then, so that ACKs come before their messages. */
#ifndef TESTS_STORE_MODEL_H
#define TESTS_STORE_MODEL_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "store/store.h"

enum {
    M_SESSIONS = 48,
    M_COUNTERS = 400,
    M_IDS = 12,
    M_NAMES = 6, /* filters and topics */
    M_WORKERS = 2,
    M_LIVE = 8,
};

enum m_kind { M_BEGIN, M_END, M_AWAY, M_SUB, M_UNSUB, M_WILL, M_RECEIVED, M_PUB, M_ACK, M_RELEASE };

struct m_op {
    enum m_kind kind;
    uint64_t end; /* lsn behind its record, once handed over */
    unsigned session, value, extra;
    unsigned target_count;
    struct {
        unsigned session, counter;
    } targets[M_LIVE];
    bool keep, inbound, from_will, gone;
};

struct m_state {
    bool alive[M_SESSIONS];
    unsigned expiry[M_SESSIONS], away[M_SESSIONS], will[M_SESSIONS], tail[M_SESSIONS];
    unsigned sub[M_SESSIONS][M_NAMES];
    bool received[M_SESSIONS][M_IDS];
    struct {
        char state; /* 0, 'M'essage, 'R'eleased, 'D'one */
        unsigned value;
    } queue[M_SESSIONS][M_COUNTERS];
    unsigned retained[M_NAMES];
};

/* -- Names and bytes that follow from a number -- */

static inline struct str m_name(unsigned i)
{
    static char longest[1000];
    static const char *const names[M_NAMES] = {"a/0", "a/1", "a/2", "a/3", "a/4", NULL};

    if (names[i])
        return str_of(names[i]);
    memset(longest, 'x', sizeof longest); /* longer than a key may be */
    return (struct str){longest, sizeof longest};
}

static inline struct record_message m_message(unsigned value, unsigned topic)
{
    static char payload[3000];

    snprintf(payload, sizeof payload, "%u", value);
    return (struct record_message){.topic = m_name(topic),
                                   .payload = {payload, 20 + value * 37 % 2000},
                                   .props = STR("\x01\x01"),
                                   .qos = 2};
}

static inline unsigned m_value(const struct record_message *m)
{
    unsigned v = (unsigned)strtoul(m->payload.ptr, NULL, 10);
    return m->payload.len == 20 + v * 37 % 2000 ? v : 999999999;
}

/* -- Text -- */

struct m_text {
    char *bytes;
    size_t len, cap;
    uint64_t rows;   /* subscriptions, ids and queue entries */
    uint64_t shared; /* queue entries that share their message */
};

__attribute__((format(printf, 2, 3))) static inline void m_print(struct m_text *t, const char *fmt,
                                                                 ...)
{
    va_list args;

    if (t->cap - t->len < 256) {
        t->cap = t->cap ? t->cap * 2 : 4096;
        t->bytes = xrealloc(t->bytes, t->cap);
    }
    va_start(args, fmt);
    t->len += (size_t)vsnprintf(t->bytes + t->len, t->cap - t->len, fmt, args);
    va_end(args);
}

/* -- The model -- */

static inline void m_forget(struct m_state *m, unsigned s)
{
    m->alive[s] = false;
    m->expiry[s] = m->away[s] = m->will[s] = m->tail[s] = 0;
    memset(m->sub[s], 0, sizeof m->sub[s]);
    memset(m->received[s], 0, sizeof m->received[s]);
    memset(m->queue[s], 0, sizeof m->queue[s]);
}

static inline void m_queue(struct m_state *m, unsigned s, unsigned c, char state, unsigned value)
{
    if (!m->alive[s])
        return;
    if (c >= m->tail[s])
        m->tail[s] = c + 1;
    char was = m->queue[s][c].state;
    if (state == 'M' && (was == 'D' || was == 'R'))
        return;
    m->queue[s][c].state = state;
    m->queue[s][c].value = value;
}

static inline void m_apply(struct m_state *m, const struct m_op *op)
{
    unsigned s = op->session;

    switch (op->kind) {
    case M_BEGIN:
        m->alive[s] = true;
        m->expiry[s] = op->value;
        m->away[s] = 0;
        break;
    case M_END:
        m_forget(m, s);
        break;
    case M_AWAY:
        m->away[s] = m->alive[s] ? op->value : 0;
        break;
    case M_SUB:
    case M_UNSUB:
        m->sub[s][op->extra] = m->alive[s] && op->kind == M_SUB ? op->value : 0;
        break;
    case M_WILL:
        m->will[s] = m->alive[s] && !op->gone ? op->value : 0;
        break;
    case M_RECEIVED:
        m->received[s][op->value] = m->alive[s] && !op->gone;
        break;
    case M_PUB:
        for (unsigned i = 0; i < op->target_count; i++)
            m_queue(m, op->targets[i].session, op->targets[i].counter, 'M', op->value);
        if (op->keep)
            m->retained[op->extra] = op->gone ? 0 : op->value;
        if (op->inbound && m->alive[s])
            m->received[s][op->value % (M_IDS - 1) + 1] = true;
        if (op->from_will)
            m->will[s] = 0;
        break;
    case M_ACK:
        m_queue(m, s, op->extra, 'D', 0);
        break;
    case M_RELEASE:
        m_queue(m, s, op->extra, 'R', 0);
        break;
    }
}

static inline void m_dump(const struct m_state *m, struct m_text *t)
{
    for (unsigned s = 0; s < M_SESSIONS; s++) {
        if (!m->alive[s])
            continue;
        unsigned queued = 0;
        for (unsigned c = 0; c < M_COUNTERS; c++)
            queued += m->queue[s][c].state == 'M' || m->queue[s][c].state == 'R';
        m_print(t, "session %u expiry %u away %u will %u tail %u queued %u\n", s, m->expiry[s],
                m->away[s], m->will[s], m->tail[s], queued);
        for (unsigned i = 0; i < M_NAMES; i++) {
            if (m->sub[s][i])
                m_print(t, " sub %u: %u\n", i, m->sub[s][i]);
        }
        for (unsigned i = 0; i < M_IDS; i++) {
            if (m->received[s][i])
                m_print(t, " received %u\n", i);
        }
        for (unsigned c = 0; c < M_COUNTERS; c++) {
            if (m->queue[s][c].state == 'M')
                m_print(t, " queue %u: %u\n", c, m->queue[s][c].value);
            else if (m->queue[s][c].state == 'R')
                m_print(t, " queue %u: released\n", c);
        }
    }
    for (unsigned i = 0; i < M_NAMES; i++) {
        if (m->retained[i])
            m_print(t, "retained %u: %u\n", i, m->retained[i]);
    }
}

/* -- The store, in the same words -- */

static inline unsigned m_index(struct str name)
{
    for (unsigned i = 0; i < M_NAMES; i++) {
        if (str_eq(m_name(i), name))
            return i;
    }
    return 999;
}

static inline int m_on_session(void *arg, const struct load_session *s)
{
    char id[32];

    snprintf(id, sizeof id, "client-%u", (unsigned)s->head.number);
    if (!str_eq(s->head.client_id, str_of(id)) || !str_eq(s->head.username, STR("user")))
        m_print(arg, "strange names\n");
    m_print(arg, "session %u expiry %u away %u will %u tail %u queued %u\n",
            (unsigned)s->head.number, s->head.expiry, s->away ? (unsigned)s->ends_ms : 0,
            s->has_will ? m_value(&s->will.message) : 0, (unsigned)s->tail, (unsigned)s->queued);
    return 0;
}

static inline int m_on_subscription(void *arg, const struct record_sub *sub)
{
    ((struct m_text *)arg)->rows++;
    m_print(arg, " sub %u: %u\n", m_index(sub->filter), sub->id);
    return 0;
}

static inline int m_on_received(void *arg, uint64_t session, uint16_t packet_id)
{
    ((struct m_text *)arg)->rows++;
    m_print(arg, " received %u\n", packet_id);
    return 0;
}

static inline int m_on_entry(void *arg, const struct load_entry *e)
{
    ((struct m_text *)arg)->rows++;
    ((struct m_text *)arg)->shared += e->shared != 0;
    if (e->released)
        m_print(arg, " queue %u: released\n", (unsigned)e->target.counter);
    else if (e->target.qos != 2 || e->target.sub_id != (unsigned)e->target.counter)
        m_print(arg, "strange target\n");
    else
        m_print(arg, " queue %u: %u\n", (unsigned)e->target.counter, m_value(&e->message));
    return 0;
}

static inline int m_on_retained(void *arg, const struct record_message *m)
{
    m_print(arg, "retained %u: %u\n", m_index(m->topic), m_value(m));
    return 0;
}

static inline struct loader m_loader(struct m_text *t)
{
    return (struct loader){.session = m_on_session,
                           .subscription = m_on_subscription,
                           .received = m_on_received,
                           .entry = m_on_entry,
                           .retained = m_on_retained,
                           .arg = t};
}

/* -- A life -- */

struct life {
    struct store *store;
    uint64_t seed;
    struct batch batches[M_WORKERS];
    struct m_op *ops; /* handed over, in the order of the log */
    size_t op_count, op_cap;
    struct m_op *pending[M_WORKERS];
    size_t pending_count[M_WORKERS];
    /* What the workers know, which is ahead of the log. */
    unsigned live[M_LIVE], live_count, next_session, next_value;
    unsigned tail[M_SESSIONS];
    char entry[M_SESSIONS][M_COUNTERS]; /* 'M' 'R' or 0 */
};

enum { PENDING_MAX = 4096 };

static inline unsigned life_dice(struct life *l, unsigned sides)
{
    l->seed = l->seed * 6364136223846793005ull + 1442695040888963407ull;
    return (unsigned)(l->seed >> 33) % sides;
}

static inline void life_init(struct life *l, uint64_t seed)
{
    memset(l, 0, sizeof *l);
    l->seed = seed;
    l->next_session = l->next_value = 1;
    for (unsigned i = 0; i < M_WORKERS; i++)
        l->pending[i] = xcalloc(PENDING_MAX, sizeof(struct m_op));
}

static inline void life_fini(struct life *l)
{
    for (unsigned i = 0; i < M_WORKERS; i++) {
        batch_fini(&l->batches[i]);
        free(l->pending[i]);
    }
    free(l->ops);
}

/* What happened within a chain happened at its end. */
static inline void life_chains(const struct batch *b, struct m_op *ops, size_t count)
{
    for (size_t at = 0, i = 0; at < b->len;) {
        bool more;
        do {
            more = record_more(b->bytes + at);
            at += record_length(b->bytes + at);
        } while (more);
        for (; i < count && ops[i].end <= at; i++)
            ops[i].end = at;
    }
}

static inline uint64_t life_submit(struct life *l, unsigned worker)
{
    struct batch *b = &l->batches[worker];

    if (batch_joining(b)) /* a last one that changes nothing */
        batch_end(b, M_SESSIONS + 1);
    life_chains(b, l->pending[worker], l->pending_count[worker]);
    size_t len = b->len;
    uint64_t end = store_submit(l->store, worker, b);

    for (size_t i = 0; i < l->pending_count[worker]; i++) {
        if (l->op_count == l->op_cap) {
            l->op_cap = l->op_cap ? l->op_cap * 2 : 1024;
            l->ops = xrealloc(l->ops, l->op_cap * sizeof *l->ops);
        }
        l->ops[l->op_count] = l->pending[worker][i];
        l->ops[l->op_count++].end += end - len;
    }
    l->pending_count[worker] = 0;
    return end;
}

static inline void life_note(struct life *l, unsigned worker, const struct m_op *op)
{
    struct m_op *p = &l->pending[worker][l->pending_count[worker]++];

    ASSERT(l->pending_count[worker] < PENDING_MAX);
    *p = *op;
    p->end = l->batches[worker].len;
}

static inline void life_begin(struct life *l, unsigned s, bool fresh)
{
    char id[32];
    struct m_op op = {.kind = M_BEGIN, .session = s, .value = 1 + life_dice(l, 1000)};
    unsigned worker = s % M_WORKERS;

    snprintf(id, sizeof id, "client-%u", s);
    batch_session(&l->batches[worker], &(struct record_session){.number = s,
                                                                .client_id = str_of(id),
                                                                .username = STR("user"),
                                                                .has_username = true,
                                                                .expiry = op.value,
                                                                .version = 5});
    life_note(l, worker, &op);
    if (fresh) { /* before anybody else can see it */
        life_submit(l, worker);
        l->live[l->live_count++] = s;
    }
}

static inline void life_end(struct life *l, unsigned at)
{
    unsigned s = l->live[at], worker = s % M_WORKERS;

    batch_end(&l->batches[worker], s);
    life_note(l, worker, &(struct m_op){.kind = M_END, .session = s});
    l->live[at] = l->live[--l->live_count];
}

static inline void life_pub(struct life *l)
{
    unsigned worker = life_dice(l, M_WORKERS);
    struct batch *b = &l->batches[worker];
    struct m_op op = {.kind = M_PUB, .value = l->next_value++, .extra = life_dice(l, M_NAMES)};
    unsigned flags = 0, from = l->live_count ? l->live[life_dice(l, l->live_count)] : 0;

    op.keep = life_dice(l, 5) == 0;
    op.gone = op.keep && life_dice(l, 3) == 0;
    if (from && from % M_WORKERS == worker) {
        op.inbound = life_dice(l, 6) == 0;
        op.from_will = !op.inbound && life_dice(l, 10) == 0;
        op.session = op.inbound || op.from_will ? from : 0;
    }
    flags = (op.keep ? RECORD_KEEP : 0u) | (op.inbound ? RECORD_INBOUND : 0u) |
            (op.from_will ? RECORD_FROM_WILL : 0u);
    struct record_message m = m_message(op.value, op.extra);
    if (op.gone)
        m.payload.len = 0;
    batch_pub_begin(b, &m, flags, op.session, (uint16_t)(op.value % (M_IDS - 1) + 1));
    for (unsigned i = 0; !op.gone && i < l->live_count; i++) {
        unsigned s = l->live[i];
        if (life_dice(l, 2) || l->tail[s] == M_COUNTERS)
            continue;
        unsigned c = l->tail[s]++;
        l->entry[s][c] = 'M';
        op.targets[op.target_count].session = s;
        op.targets[op.target_count++].counter = c;
        batch_pub_target(
            b, &(struct record_target){.session = s, .counter = c, .sub_id = c, .qos = 2});
    }
    if (batch_pub_end(b))
        life_note(l, worker, &op);
}

/* Acknowledges some of the session's oldest messages, or only releases them. */
static inline void life_ack(struct life *l, unsigned s)
{
    struct batch *b = &l->batches[s % M_WORKERS];
    unsigned most = 1 + life_dice(l, 6);

    for (unsigned c = 0; c < l->tail[s] && most > 0; c++) {
        if (!l->entry[s][c] || life_dice(l, 8) == 0)
            continue;
        struct m_op op = {.kind = M_ACK, .session = s, .extra = c};
        if (l->entry[s][c] == 'M' && life_dice(l, 3) == 0) {
            op.kind = M_RELEASE;
            batch_release(b, s, c);
            l->entry[s][c] = 'R';
        } else {
            batch_ack(b, s, c, 0);
            l->entry[s][c] = 0;
        }
        life_note(l, s % M_WORKERS, &op);
        most--;
    }
}

static inline void life_detail(struct life *l, unsigned s)
{
    struct batch *b = &l->batches[s % M_WORKERS];
    struct m_op op = {
        .session = s, .value = 1 + life_dice(l, 1000), .extra = life_dice(l, M_NAMES)};

    switch (life_dice(l, 6)) {
    case 0:
    case 1:
        op.kind = M_SUB;
        batch_sub(b, &(struct record_sub){s, m_name(op.extra), op.value, 2, 0});
        break;
    case 2:
        op.kind = M_UNSUB;
        batch_unsub(b, s, m_name(op.extra));
        break;
    case 3:;
        op.kind = M_WILL;
        op.gone = life_dice(l, 2);
        struct record_will will = {.number = s};
        if (!op.gone)
            will.message = m_message(op.value, 0);
        batch_will(b, &will);
        break;
    case 4:
        op.kind = M_RECEIVED;
        op.value = 1 + life_dice(l, M_IDS - 1);
        op.gone = life_dice(l, 2);
        batch_received(b, s, (uint16_t)op.value, op.gone);
        break;
    default:
        op.kind = M_AWAY;
        batch_away(b, &(struct record_away){s, op.value, 0, 0});
        break;
    }
    life_note(l, s % M_WORKERS, &op);
}

/* One thing happens.  Returns the lsn that was handed over, or 0. */
static inline uint64_t life_step(struct life *l)
{
    unsigned what = life_dice(l, 100);
    unsigned s = l->live_count ? l->live[life_dice(l, l->live_count)] : 0;

    if (!s || (what < 4 && l->live_count < M_LIVE && l->next_session < M_SESSIONS))
        life_begin(l, l->next_session++, true);
    else if (what < 6 && l->live_count > 2 && l->next_session < M_SESSIONS)
        life_end(l, life_dice(l, l->live_count));
    else if (what < 10)
        life_begin(l, s, false);
    else if (what < 50)
        life_pub(l);
    else if (what < 75)
        life_ack(l, s);
    else
        life_detail(l, s);
    struct batch *joined = &l->batches[life_dice(l, M_WORKERS)];
    if (!batch_empty(joined) && life_dice(l, 3) == 0)
        batch_join(joined);
    if (life_dice(l, 4) == 0)
        return life_submit(l, life_dice(l, M_WORKERS));
    return 0;
}

/* The model after the first `most` of all that stands in the log before `lsn`, as text. */
static inline void life_expect(const struct life *l, uint64_t lsn, size_t most, struct m_text *t)
{
    struct m_state *m = xcalloc(1, sizeof *m);

    m_print(t, " ");
    for (size_t i = 0; i < l->op_count && i < most; i++) {
        if (l->ops[i].end <= lsn)
            m_apply(m, &l->ops[i]);
    }
    m_dump(m, t);
    free(m);
}

#endif
