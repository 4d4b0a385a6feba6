/* One publication after another through router and queues to links that throw everything away:
 * what a message costs in core, with nobody who wants to know of it and with somebody who does.
 *
 *     skep-route-bench [MESSAGES]          nanoseconds a message
 *     valgrind --tool=callgrind ...        instructions, which a busy machine does not change */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/hash.h"
#include "base/mem.h"
#include "core/broker.h"
#include "core/event.h"
#include "core/router.h"
#include "core/session.h"
#include "core/sessions.h"
#include "core/subscribe.h"
#include "mqtt/packet.h"

enum { SUBSCRIBERS = 4, BATCH = 16 };

struct receiver {
    struct link link;
    struct session *s;
    uint64_t next; /* counter of the next QoS 1 message */
};

static enum link_sent swallow(struct link *link, const struct out_vec *vec, unsigned count)
{
    return LINK_SENT;
}

static void ignore_kick(struct link *link, uint8_t reason)
{
}

static void no_flush(void *arg, unsigned worker, struct flush_batch *batch)
{
    abort();
}

static const struct link_ops link_ops = {.send = swallow, .kick = ignore_kick};
static const struct broker_ops broker_ops = {.post_flush = no_flush};

static uint64_t events;

static void count_event(struct worker_guest *guest, const struct core_event *e)
{
    events++;
}

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void join(struct worker *w, struct receiver *r, unsigned number, unsigned qos)
{
    char id[16];
    bool existed;
    struct subscribe_request ask = {.filter = STR("a/topic"), .options = qos};

    snprintf(id, sizeof id, "c%u", number);
    struct claim claim = {.client_id = str_of(id), .clean_start = true};
    ASSERT(sessions_claim(w, &claim) == CLAIM_GRANTED);
    r->s = claim.session;
    r->link = (struct link){
        .ops = &link_ops, .maximum_packet = UINT32_MAX, .quota = 65535, .version = MQTT_311};
    session_attach(w, r->s, &r->link, STR_NONE);
    ASSERT(session_subscribe(w, r->s, &ask, &existed) == 0);
}

static void leave(struct worker *w, struct receiver *r)
{
    session_detach(w, r->s);
    sessions_release(w, r->s);
}

static void round_of(struct worker *w, struct receiver *all, unsigned qos)
{
    struct publication p = {.topic = STR("a/topic"),
                            .payload = STR("twenty bytes or so.."),
                            .qos = (uint8_t)qos,
                            .expiry = UINT32_MAX};
    struct routed routed;

    worker_turn_begin(w, 1000);
    for (unsigned i = 0; i < BATCH; i++)
        router_publish(w, &p, &routed);
    worker_turn_end(w);
    for (unsigned i = 0; qos && i < SUBSCRIBERS; i++) {
        for (unsigned n = 0; n < BATCH; n++)
            session_puback(w, all[i].s, fifo_packet_id(all[i].next++), 0);
    }
    worker_turn_end(w);
    qsbr_quiescent(w->slot);
}

static void measure(struct worker *w, unsigned qos, uint64_t messages, const char *what)
{
    struct receiver all[SUBSCRIBERS] = {0};

    for (unsigned i = 0; i < SUBSCRIBERS; i++)
        join(w, &all[i], i, qos);
    for (unsigned i = 0; i < 1000; i++)
        round_of(w, all, qos);
    uint64_t begun = now_ns();
    for (uint64_t done = 0; done < messages; done += BATCH)
        round_of(w, all, qos);
    printf("QoS %u, %u receivers, %s: %.1f ns a message\n", qos, SUBSCRIBERS, what,
           (double)(now_ns() - begun) / (double)messages);
    for (unsigned i = 0; i < SUBSCRIBERS; i++)
        leave(w, &all[i]);
}

int main(int argc, char **argv)
{
    uint64_t messages = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    struct worker_guest guest = {.event = count_event};
    struct qsbr_slot slot = {0};
    struct limits limits;

    limits_default(&limits);
    struct broker *b = broker_new(&limits, &broker_ops, NULL);
    qsbr_join(&slot);
    struct worker *w = worker_new(b, &slot, 0);
    measure(w, 0, messages, "nobody listens");
    measure(w, 1, messages, "nobody listens");
    if (argc <= 2) { /* with a third argument only the above, for counting instructions */
        w->guest = &guest;
        atomic_store(&b->events, UINT32_MAX);
        measure(w, 0, messages, "every event is counted");
        measure(w, 1, messages, "every event is counted");
        printf("%llu events\n", (unsigned long long)events);
    }
    worker_turn_begin(w, 1000);
    sessions_end_all(w);
    qsbr_leave(&slot);
    worker_free(&w);
    broker_free(&b);
    return 0;
}
