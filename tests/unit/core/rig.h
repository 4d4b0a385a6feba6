/* A broker without sockets: workers driven by hand, a clock that stands still until told,
 * and links that remember what was sent.  Include after cmocka.h. */
#ifndef TESTS_UNIT_CORE_RIG_H
#define TESTS_UNIT_CORE_RIG_H

#include <stdio.h>

#include "base/hash.h"
#include "base/mem.h"
#include "core/alias.h"
#include "core/broker.h"
#include "core/router.h"
#include "core/session.h"
#include "core/sessions.h"
#include "core/subscribe.h"
#include "mqtt/packet.h"
#include "mqtt/reason.h"
#include "packets.h"

enum { RIG_WORKERS = 3, RIG_BATCHES = 64 };

/* -- Workers -- */

struct rig {
    struct broker *broker;
    struct limits limits;
    struct qsbr_slot slots[RIG_WORKERS];
    struct worker *workers[RIG_WORKERS];
    uint64_t now_ms;
    struct {
        unsigned worker;
        struct flush_batch *batch;
    } posted[RIG_BATCHES];
    unsigned posted_count;
};

static inline void rig_post_flush(void *arg, unsigned worker, struct flush_batch *batch)
{
    struct rig *r = arg;
    assert_true(r->posted_count < RIG_BATCHES);
    r->posted[r->posted_count].worker = worker;
    r->posted[r->posted_count++].batch = batch;
}

static const struct broker_ops rig_ops = {.post_flush = rig_post_flush};

static inline void rig_begin(struct rig *r)
{
    for (unsigned i = 0; i < RIG_WORKERS; i++)
        worker_turn_begin(r->workers[i], r->now_ms);
}

static inline struct rig *rig_open(const struct limits *limits)
{
    struct rig *r = xcalloc(1, sizeof *r);

    limits_default(&r->limits);
    if (limits)
        r->limits = *limits;
    r->now_ms = 1000000;
    r->broker = broker_new(&r->limits, &rig_ops, r);
    for (unsigned i = 0; i < RIG_WORKERS; i++) {
        qsbr_join(&r->slots[i]);
        r->workers[i] = worker_new(r->broker, &r->slots[i], i);
    }
    rig_begin(r);
    return r;
}

static inline void rig_limit(struct rig *r)
{
    broker_limit(r->broker, &r->slots[0], &r->limits);
    rig_begin(r);
}

/* The turn of each worker ends, and a new one begins. */
static inline void rig_turn(struct rig *r)
{
    for (unsigned i = 0; i < RIG_WORKERS; i++)
        worker_turn_end(r->workers[i]);
    while (r->posted_count > 0) {
        r->posted_count--;
        worker_flush_batch(r->workers[r->posted[r->posted_count].worker],
                           r->posted[r->posted_count].batch);
    }
    for (unsigned i = 0; i < RIG_WORKERS; i++)
        qsbr_quiescent(&r->slots[i]);
    rig_begin(r);
}

static inline void rig_wait(struct rig *r, uint64_t ms)
{
    r->now_ms += ms;
    rig_turn(r);
    while (broker_tick(r->workers[0]))
        ;
    rig_turn(r);
}

static inline void rig_sum(struct rig *r, struct ledger_sum *sum)
{
    broker_ledger(r->broker, sum);
}

static inline bool rig_count_queued(void *total, struct session *s)
{
    *(uint64_t *)total += session_queued(s);
    return true;
}

/* Both accounts, and that what the ledger says is waiting does stand in queues (M4). */
static inline void rig_check_ledger(struct rig *r)
{
    struct ledger_sum sum;
    uint64_t queued = 0;

    rig_sum(r, &sum);
    assert_int_equal(ledger_received(&sum), ledger_refused(&sum) + sum.accepted);
    sessions_each(r->broker->sessions, rig_count_queued, &queued);
    assert_int_equal(ledger_waiting(&sum), queued);
}

static inline void rig_close(struct rig **rig)
{
    struct rig *r = *rig;
    struct ledger_sum sum;

    rig_turn(r);
    rig_check_ledger(r);
    sessions_end_all(r->workers[0]);
    rig_turn(r);
    rig_sum(r, &sum);
    assert_int_equal(ledger_waiting(&sum), 0);
    for (unsigned i = 1; i < RIG_WORKERS; i++)
        qsbr_offline(&r->slots[i]);
    for (unsigned i = 0; i < RIG_WORKERS; i++) {
        qsbr_online(&r->slots[i]);
        qsbr_leave(&r->slots[i]);
    }
    for (unsigned i = RIG_WORKERS; i-- > 0;)
        worker_free(&r->workers[i]);
    broker_free(&r->broker);
    free(r);
    *rig = NULL;
}

/* -- Clients -- */

struct peer {
    struct link link;
    struct rig *rig;
    struct worker *w;
    struct session *s;
    uint8_t *bytes; /* sent to it and not read yet */
    size_t len, cap, at;
    enum link_sent result; /* of the next send */
    unsigned sends;
    unsigned
        sent_by_foreign; /* sends from another thread than a link that is not shareable allows */
    uint8_t kicked;
    bool present;
    struct claim claim;
    enum claim_result claimed;
    bool answered; /* ready() was called */
};

static struct worker *rig_running; /* who sends; set by tests that care */

static inline enum link_sent peer_send(struct link *link, const struct out_vec *vec, unsigned count)
{
    struct peer *p = CONTAINER_OF(link, struct peer, link);

    assert_false(link->blocked);
    p->sends++;
    if (!link->shareable && rig_running && rig_running->index != link->worker)
        p->sent_by_foreign++;
    if (p->result == LINK_FAILED)
        return LINK_FAILED;
    for (unsigned i = 0; i < count; i++) {
        if (p->len + vec[i].len > p->cap) {
            p->cap = (p->len + vec[i].len) * 2;
            p->bytes = xrealloc(p->bytes, p->cap);
        }
        memcpy(p->bytes + p->len, vec[i].ptr, vec[i].len);
        p->len += vec[i].len;
    }
    return p->result;
}

static inline void peer_kick(struct link *link, uint8_t reason)
{
    struct peer *p = CONTAINER_OF(link, struct peer, link);
    p->kicked = reason;
}

static const struct link_ops peer_ops = {.send = peer_send, .kick = peer_kick};

static inline void peer_ready(struct claim *claim, enum claim_result result)
{
    struct peer *p = CONTAINER_OF(claim, struct peer, claim);
    p->answered = true;
    p->claimed = result;
}

static inline struct peer *peer_new(struct rig *r, unsigned worker, uint8_t version)
{
    struct peer *p = xcalloc(1, sizeof *p);

    p->rig = r;
    p->cap = 256;
    p->bytes = xmalloc(p->cap);
    p->w = r->workers[worker];
    p->link = (struct link){.ops = &peer_ops,
                            .maximum_packet = UINT32_MAX,
                            .quota = 65535,
                            .version = version,
                            .worker = (uint8_t)worker,
                            .shareable = true};
    return p;
}

static inline enum claim_result peer_claim(struct peer *p, const char *id, const char *user,
                                           bool clean)
{
    p->claim = (struct claim){.client_id = str_of(id),
                              .username = str_of(user),
                              .has_username = user != NULL,
                              .clean_start = clean,
                              .ready = peer_ready};
    p->answered = false;
    p->claimed = sessions_claim(p->w, &p->claim);
    return p->claimed;
}

/* The claim was granted: the connection begins. */
static inline void peer_attach(struct peer *p, uint32_t expiry)
{
    assert_int_equal(p->claimed, CLAIM_GRANTED);
    p->s = p->claim.session;
    p->present = p->claim.present;
    p->s->expiry = expiry;
    p->s->version = p->link.version;
    session_attach(p->w, p->s, &p->link, STR_NONE);
}

/* A client of that id on that worker, connected.  expiry 0: clean. */
static inline struct peer *peer_connect(struct rig *r, unsigned worker, uint8_t version,
                                        const char *id, uint32_t expiry)
{
    struct peer *p = peer_new(r, worker, version);

    assert_int_equal(peer_claim(p, id, NULL, expiry == 0), CLAIM_GRANTED);
    peer_attach(p, expiry);
    return p;
}

/* The connection ends; the session is let go. */
static inline void peer_leave(struct peer *p)
{
    if (!p->s)
        return;
    session_detach(p->w, p->s);
    sessions_release(p->w, p->s);
    p->s = NULL;
}

static inline void peer_free(struct peer **peer)
{
    peer_leave(*peer);
    free((*peer)->bytes);
    free(*peer);
    *peer = NULL;
}

static inline bool peer_subscribe_with(struct peer *p, const char *filter, unsigned options,
                                       uint32_t id)
{
    struct subscribe_request r = {.filter = str_of(filter), .options = options, .id = id};
    bool existed;

    assert_int_equal(session_subscribe(p->w, p->s, &r, &existed), 0);
    return existed;
}

static inline void peer_subscribe(struct peer *p, const char *filter, unsigned qos)
{
    peer_subscribe_with(p, filter, qos, 0);
}

static inline struct publication rig_publication(const char *topic, const char *payload,
                                                 unsigned qos)
{
    return (struct publication){.topic = str_of(topic),
                                .payload = str_of(payload),
                                .props_plain = true,
                                .qos = (uint8_t)qos,
                                .expiry = UINT32_MAX};
}

static inline struct routed rig_publish_as(struct worker *w, const struct publication *p)
{
    struct routed out;
    router_publish(w, p, &out);
    return out;
}

static inline struct routed rig_publish(struct rig *r, const char *topic, const char *payload,
                                        unsigned qos)
{
    struct publication p = rig_publication(topic, payload, qos);
    return rig_publish_as(r->workers[0], &p);
}

/* -- What a client got -- */

/* The next packet sent to it; false when there is none. */
static inline bool peer_next(struct peer *p, struct packet *out)
{
    int whole = packet_read(p->bytes + p->at, p->len - p->at, p->link.version, out);

    assert_true(whole >= 0);
    if (whole == 0) {
        assert_int_equal(p->at, p->len); /* nothing is ever left half said */
        return false;
    }
    p->at += out->size;
    return true;
}

static inline void assert_text(const uint8_t *bytes, uint32_t len, const char *text)
{
    assert_int_equal(len, strlen(text));
    assert_memory_equal(bytes, text, len);
}

/* A PUBLISH with this payload comes next; returned for more questions. */
static inline struct packet peer_expect(struct peer *p, const char *payload, unsigned qos)
{
    struct packet got;

    assert_true(peer_next(p, &got));
    assert_int_equal(got.type, MQTT_PUBLISH);
    assert_text(got.payload, got.payload_len, payload);
    assert_int_equal(got.qos, qos);
    return got;
}

static inline void peer_expect_nothing(struct peer *p)
{
    struct packet got;
    assert_false(peer_next(p, &got));
}

static inline unsigned peer_drain(struct peer *p)
{
    struct packet got;
    unsigned n = 0;
    while (peer_next(p, &got))
        n++;
    return n;
}

#endif
