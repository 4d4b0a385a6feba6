/* The hot path: one publication, its matching nodes, their subscribers.
 *
 * With one matching node (the common case) every session in it is there once.  With
 * several, a session may be met more than once: it gets one copy at the highest granted
 * QoS with all subscription identifiers [MQTT-3.3.4-2, -3, -4].  A small hash of this
 * turn's hits finds it again. */
#include "core/router.h"

#include <stdlib.h>

#include "base/hash.h"
#include "base/mem.h"
#include "core/broker.h"
#include "core/event.h"
#include "core/message.h"
#include "core/retained.h"
#include "core/session.h"
#include "core/share.h"
#include "mqtt/encode.h"
#include "mqtt/reason.h"

enum { PREFETCH_AHEAD = 4 };

/* -- Hits -- */

static struct hit *hit_new(struct worker *w, void *target, unsigned options)
{
    if (w->hit_count == w->hit_cap) {
        w->hit_cap = w->hit_cap ? w->hit_cap * 2 : 256;
        w->hits = xrealloc(w->hits, w->hit_cap * sizeof *w->hits);
    }
    struct hit *h = &w->hits[w->hit_count++];
    *h = (struct hit){.target = target, .options = options};
    return h;
}

static uint32_t hit_home(const struct worker *w, const void *target)
{
    return (uint32_t)hash_fold((uintptr_t)target, hash_key[1]) & (w->hit_table_cap - 1);
}

static void hit_table_reset(struct worker *w, uint32_t cap)
{
    if (cap != w->hit_table_cap) {
        free(w->hit_table);
        w->hit_table = xcalloc(cap, sizeof *w->hit_table);
        w->hit_table_cap = cap;
        w->hit_stamp = 0;
    }
    if (++w->hit_stamp == 0) {
        memset(w->hit_table, 0, w->hit_table_cap * sizeof *w->hit_table);
        w->hit_stamp = 1;
    }
    for (uint32_t i = 0; i < w->hit_count; i++) {
        uint32_t at = hit_home(w, w->hits[i].target);
        while (w->hit_table[at].stamp == w->hit_stamp)
            at = (at + 1) & (cap - 1);
        w->hit_table[at] = (struct hit_slot){w->hit_stamp, i};
    }
}

/* The hit of this session in the current publication; a new one if it has none. */
static struct hit *hit_of(struct worker *w, struct session *s, unsigned options)
{
    if (w->hit_count * 2 >= w->hit_table_cap)
        hit_table_reset(w, w->hit_table_cap ? w->hit_table_cap * 2 : 512);

    uint32_t at = hit_home(w, s);
    for (; w->hit_table[at].stamp == w->hit_stamp; at = (at + 1) & (w->hit_table_cap - 1)) {
        struct hit *h = &w->hits[w->hit_table[at].index];
        if (h->target == s)
            return h;
    }
    w->hit_table[at] = (struct hit_slot){w->hit_stamp, w->hit_count};
    return hit_new(w, s, options);
}

static void hit_add_id(struct worker *w, struct hit *h, uint32_t id)
{
    if (id == 0)
        return;
    if (h->sub_id == 0) {
        h->sub_id = id;
        return;
    }
    if (w->id_count == w->id_cap) {
        w->id_cap = w->id_cap ? w->id_cap * 2 : 64;
        w->ids = xrealloc(w->ids, w->id_cap * sizeof *w->ids);
    }
    w->ids[w->id_count] = (struct hit_id){id, h->more_ids};
    h->more_ids = ++w->id_count;
}

/* Overlapping subscriptions: the highest QoS; retain as published if any asks for it. */
static void hit_merge(struct hit *h, unsigned options)
{
    unsigned qos = h->options & SUB_QOS, other = options & SUB_QOS;
    h->options = (h->options & ~(unsigned)SUB_QOS) | (qos > other ? qos : other) |
                 (options & SUB_RETAIN_AS_PUBLISHED);
}

/* -- One publication -- */

struct job {
    struct worker *w;
    const struct publication *p;
    struct message *m;
    struct routed *out;
    uint32_t groups; /* hits that are shared groups */
    uint32_t own;    /* hits that got a message of their own */
    unsigned keeps;  /* RECORD_*: what the message's record says beside who gets it */
};

static unsigned delivered_qos(const struct job *j, unsigned options)
{
    unsigned granted = options & SUB_QOS;
    if (j->w->limits->upgrade_outgoing_qos)
        return granted;
    return granted < j->p->qos ? granted : j->p->qos; /* [MQTT-3.8.4-8] */
}

static void note(struct job *j, enum delivery how)
{
    j->out->targets++;
    if (UNLIKELY(how == DELIVERY_FULL))
        j->out->full++;
}

/* Several identifiers on one copy: the entry holds one, so the others travel with a
 * private copy of the message. */
static struct message *message_with_ids(struct job *j, const struct hit *h)
{
    uint8_t *buf, *p;
    uint32_t count = 0;

    for (uint32_t i = h->more_ids; i; i = j->w->ids[i - 1].next)
        count++;
    struct str props = message_props(j->m);
    p = buf = xmalloc(props.len + count * 5u);
    memcpy(p, props.ptr, props.len);
    p += props.len;
    for (uint32_t i = h->more_ids; i; i = j->w->ids[i - 1].next) {
        *p++ = PROP_SUBSCRIPTION_ID;
        p = mqtt_varint_write(p, j->w->ids[i - 1].id);
    }
    struct message *m =
        message_new(message_topic(j->m), message_payload(j->m),
                    (struct str){(char *)buf, (size_t)(p - buf)}, j->m->qos, j->m->retain);
    free(buf);
    if (m) {
        m->expires_ms = j->m->expires_ms;
        m->publisher = j->m->publisher;
    }
    return m;
}

static void deliver_hit(struct job *j, const struct hit *h, struct message *m)
{
    bool retain = (h->options & SUB_RETAIN_AS_PUBLISHED) && j->p->retain; /* [MQTT-3.3.1-13] */

    unsigned qos = delivered_qos(j, h->options);
    enum delivery how = session_deliver(j->w, h->target, m, qos, retain, h->sub_id, 0);

    note(j, how);
    if (UNLIKELY(how == DELIVERY_FULL) && core_wants(j->w, CORE_DROPPED))
        core_tell_unlocked(j->w, CORE_DROPPED, h->target, j->m, qos, "queue_full");
}

/* Those who get a message of their own come first: each is a record by itself, and counts only
 * together with the next if that one says more than who gets it. */
static void deliver_own(struct job *j)
{
    struct worker *w = j->w;

    for (uint32_t i = 0; i < w->hit_count; i++) {
        struct hit *h = &w->hits[i];
        struct message *own = h->more_ids ? message_with_ids(j, h) : NULL;
        if (!own)
            continue;
        journal_begin(w, own, 0, 0, 0);
        deliver_hit(j, h, own);
        h->target = NULL;
        j->own++;
        j->out->written |= j->keeps ? journal_end_joined(w) : journal_end(w);
    }
}

static void deliver_hits(struct job *j)
{
    struct worker *w = j->w;

    if (UNLIKELY(w->id_count > 0))
        deliver_own(j);
    journal_begin(w, j->m, j->keeps, j->p->origin, j->p->packet_id);
    message_ref(j->m, w->hit_count - j->groups - j->own);
    for (uint32_t i = 0; i < w->hit_count; i++) {
        const struct hit *h = &w->hits[i];
        if (i + PREFETCH_AHEAD < w->hit_count)
            __builtin_prefetch(w->hits[i + PREFETCH_AHEAD].target, 1);
        if (UNLIKELY(h->options & SUB_GROUP))
            note(j, share_deliver(w, h->target, j->m, j->p));
        else if (LIKELY(h->target != NULL))
            deliver_hit(j, h, j->m);
    }
    w->hit_count = 0;
    w->id_count = 0;
}

static void collect(struct job *j, struct sub_node *node, bool overlapping)
{
    struct worker *w = j->w;
    struct sub_walk walk = sub_walk_begin(node);

    for (uint64_t e; (e = sub_walk_next(&walk)) != 0;) {
        unsigned options = sub_entry_options(e);
        struct session *s = sub_entry_target(e);

        if (UNLIKELY(options & SUB_GROUP)) {
            hit_new(w, sub_entry_target(e), options);
            j->groups++;
            continue;
        }
        /* [MQTT-3.8.3-3] */
        if (UNLIKELY((options & SUB_NO_LOCAL) && s->serial == j->p->publisher))
            continue;
        struct hit *h;
        if (overlapping) {
            h = hit_of(w, s, options);
            hit_merge(h, options);
        } else {
            h = hit_new(w, s, options);
        }
        if (UNLIKELY(options & SUB_HAS_ID))
            hit_add_id(w, h, subtable_id(&s->subs, node));
    }
}

static void keep(struct job *j)
{
    struct worker *w = j->w;
    bool changed = true;

    if (j->p->payload.len == 0) { /* [MQTT-3.3.1-6] */
        changed = retained_remove(w->broker->retained, w->slot, j->p->topic);
        COUNT_N(w, retained_cleared, changed);
    } else if (retained_put(w->broker->retained, w->slot, j->m) < 0) {
        j->out->retain_refused = true;
        return;
    } else {
        COUNT(w, retained_set);
    }
    if (j->p->internal)
        return;
    j->keeps |= RECORD_KEEP;
    if (changed && core_wants(w, CORE_RETAINED))
        core_tell_retained(w, j->p);
}

/* -- While the disk takes nothing -- */

/* Whether somebody's queue in the store, or the topic's retained message, would change.  Which
 * member of a group gets it is not known yet. */
static bool needs_store(const struct job *j)
{
    const struct worker *w = j->w;

    if (j->p->retain)
        return true;
    for (uint32_t i = 0; i < w->hit_count; i++) {
        const struct hit *h = &w->hits[i];
        if ((h->options & SUB_GROUP) ||
            (delivered_qos(j, h->options) > 0 && session_stored(h->target)))
            return true;
    }
    return false;
}

/* True: refused as a whole. */
static bool refuse_for_store(struct job *j)
{
    struct worker *w = j->w;

    if (!j->p->refusable || j->p->qos == 0 || !needs_store(j))
        return false;
    j->out->store = true;
    w->hit_count = w->id_count = 0;
    return true;
}

static uint64_t expires_ms(const struct worker *w, const struct publication *p)
{
    uint32_t expiry = p->expiry;

    if (w->limits->message_expiry_max && expiry > w->limits->message_expiry_max)
        expiry = w->limits->message_expiry_max;
    if (expiry == UINT32_MAX)
        return MESSAGE_NO_EXPIRY;
    return w->now_ms + (uint64_t)expiry * 1000 + (expiry == 0);
}

void router_count_received(struct worker *w, unsigned qos)
{
    if (qos == 0)
        COUNT(w, received_qos0);
    else if (qos == 1)
        COUNT(w, received_qos1);
    else
        COUNT(w, received_qos2);
}

static void count_outcome(struct worker *w, const struct publication *p, const struct routed *out)
{
    if (p->internal)
        return;
    if (out->memory) {
        REFUSED(w, p, RC_QUOTA_EXCEEDED, memory);
    } else if (out->store) {
        REFUSED(w, p, RC_QUOTA_EXCEEDED, store);
    } else if (out->retain_refused || (out->full > 0 && out->full == out->targets)) {
        REFUSED(w, p, RC_QUOTA_EXCEEDED, quota);
    } else {
        COUNT(w, accepted);
        if (core_wants(w, CORE_PUBLISHED))
            core_tell_published(w, p, out->targets);
    }
    if (out->targets == 0 && !out->memory && !out->store && !out->retain_refused)
        COUNT(w, accepted_unmatched);
}

static void find_hits(struct job *j, struct sub_node *const *nodes, unsigned n)
{
    struct worker *w = j->w;

    w->hit_count = w->id_count = 0;
    if (n > 1)
        hit_table_reset(w, w->hit_table_cap ? w->hit_table_cap : 512);
    for (unsigned i = 0; i < n; i++)
        collect(j, nodes[i], n > 1);
}

static void keep_and_deliver(struct job *j)
{
    const struct publication *p = j->p;

    if (p->retain && !(p->qos == 0 && journal_refusing(j->w) && !p->internal))
        keep(j);
    else if (p->retain)
        j->out->retain_refused = true;
    if (p->origin && p->packet_id)
        j->keeps |= RECORD_INBOUND;
    if (p->origin && p->from_will)
        j->keeps |= RECORD_FROM_WILL;
    deliver_hits(j);
    bool written = journal_end(j->w);
    j->out->id_written = written && (j->keeps & RECORD_INBOUND);
    j->out->written |= written;
}

void router_publish(struct worker *w, const struct publication *p, struct routed *out)
{
    struct job j = {.w = w, .p = p, .out = out};
    struct sub_node *const *nodes;

    *out = (struct routed){0};
    if (!p->internal)
        router_count_received(w, p->qos);
    unsigned n = subs_match(w->broker->subs, w->cache, p->topic, &nodes);
    if (n == 0 && !p->retain) {
        count_outcome(w, p, out); /* nobody wants it: no message is ever made */
        return;
    }
    j.m = message_from_publish(p->topic, p->payload, p->props, p->props_plain, p->qos, p->retain);
    if (!j.m) {
        out->memory = true;
        count_outcome(w, p, out);
        return;
    }
    j.m->expires_ms = expires_ms(w, p);
    j.m->publisher = p->publisher;
    find_hits(&j, nodes, n);
    if (LIKELY(!journal_refusing(w)) || !refuse_for_store(&j))
        keep_and_deliver(&j);
    message_unref(j.m);
    count_outcome(w, p, out);
}
