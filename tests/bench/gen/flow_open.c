/* Setting a flow up: memory, connections, subscriptions, and sessions left behind. */
#include "flow.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void topic_print(const struct flow *f, char *out, size_t group)
{
    snprintf(out, FLOW_TOPIC + 1, "b/%04x/%06zu", f->turn->run_id, group % 1000000);
}

static void subscriber_up(struct chan *c)
{
    struct flow *f = c->scenario;
    char topic[FLOW_TOPIC + 1];
    uint8_t packet[WIRE_SMALL];

    if (f->plan->relay) {
        f->subscribed++;
        return;
    }
    topic_print(f, topic, c->index / f->plan->subscribers);
    chan_send(
        c, packet,
        wire_subscribe(packet, f->layout.version, 1, topic, 1, FLOW_TOPIC, (int)f->plan->qos));
}

static void subscriber_gone(struct chan *c, const char *why)
{
    struct flow *f = c->scenario;
    f->leaving--;
}

static const struct chan_owner publisher_owner = {.bytes = flow_publisher_bytes};
static const struct chan_owner subscriber_owner = {.up = subscriber_up,
                                                   .bytes = flow_subscriber_bytes};
static const struct chan_owner returned_owner = {.bytes = flow_subscriber_bytes};
static const struct chan_owner leaving_owner = {.bytes = flow_subscriber_bytes,
                                                .down = subscriber_gone};

static bool frames_make(struct flow *f)
{
    static char topic[FLOW_TOPIC + 1];
    topic_print(f, topic, 0);
    f->layout = (struct wire_publish){.version = (int)f->plan->version,
                                      .qos = (int)f->plan->qos,
                                      .topic = topic,
                                      .topic_len = FLOW_TOPIC,
                                      .payload_len = f->plan->payload};
    wire_publish_layout(&f->layout);
    f->frames = malloc(f->batch * f->layout.size);
    for (uint64_t i = 0; f->frames && i < f->batch; i++)
        wire_publish(f->frames + i * f->layout.size, &f->layout);
    return f->frames != NULL;
}

static bool memory_take(struct flow *f)
{
    f->pubs = calloc(f->publishers, sizeof *f->pubs);
    f->subs = calloc(f->subscribers, sizeof *f->subs);
    f->state = calloc(f->publishers, sizeof *f->state);
    f->tracks = calloc(f->subscribers * f->plan->publishers, sizeof *f->tracks);
    f->group_of = calloc(f->plan->groups, sizeof *f->group_of);
    f->ready = calloc(f->publishers, sizeof *f->ready);
    f->greetings = calloc(f->publishers + f->subscribers, sizeof *f->greetings);
    return f->pubs && f->subs && f->state && f->tracks && f->group_of && f->ready && f->greetings &&
           frames_make(f);
}

/* Publishers open in another order than their subscribers: a broker that deals connections to its
 * threads in turn must not find every pair on one thread, as if messages never had to cross. */
static void groups_mix(struct flow *f)
{
    uint64_t random = 0x9e3779b97f4a7c15u;

    for (uint32_t i = 0; i < f->plan->groups; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        uint32_t other = (uint32_t)((random >> 11) % (i + 1));
        f->group_of[i] = f->group_of[other];
        f->group_of[other] = i;
    }
}

/* The relay learns who is who from one line instead of CONNECT: role and group. */
static void greetings_make(struct flow *f)
{
    for (size_t i = 0; i < f->subscribers; i++) {
        snprintf(f->greetings[i], 16, "S %06u\n", (unsigned)(i / f->plan->subscribers) % 1000000);
        f->subs[i].greeting = f->greetings[i];
    }
    for (size_t i = 0; i < f->publishers; i++) {
        snprintf(f->greetings[f->subscribers + i], 16, "P %06u\n",
                 f->group_of[i / f->plan->publishers] % 1000000);
        f->pubs[i].greeting = f->greetings[f->subscribers + i];
    }
}

/* A broker may allow less in flight than we planned. */
static void window_fit(struct flow *f)
{
    uint64_t most = f->pubs[0].receive_maximum;
    if (f->plan->relay || f->plan->qos == 0 || most == 0)
        return;
    if (f->window > most)
        f->window = most;
    if (f->batch > f->window)
        f->batch = f->window;
}

bool flow_prepare(struct flow *f, struct turn *t)
{
    const struct plan *plan = t->plan;
    *f = (struct flow){.turn = t,
                       .plan = plan,
                       .batch = plan->batch,
                       .window = plan->window,
                       .publishers = plan->groups * plan->publishers,
                       .subscribers = plan->groups * plan->subscribers};
    if (!memory_take(f)) {
        turn_fail(t, "out of memory");
        return false;
    }
    groups_mix(f);
    if (plan->relay)
        greetings_make(f);
    return true;
}

static bool subscribers_open(struct flow *f)
{
    return chan_open_all(f->subs, f->subscribers, f->turn, &subscriber_owner, f, 0);
}

bool flow_publishers_open(struct flow *f)
{
    if (!chan_open_all(f->pubs, f->publishers, f->turn, &publisher_owner, f,
                       (uint32_t)f->subscribers))
        return false;
    window_fit(f);
    return true;
}

static bool subscribed_wait(struct flow *f)
{
    uint64_t deadline = turn_now() + 10000000000u;

    while (!f->turn->failed && f->subscribed < f->subscribers && turn_now() < deadline)
        turn_run(f->turn, 100000000);
    if (f->subscribed < f->subscribers)
        turn_fail(f->turn, "%zu subscriptions got no SUBACK", f->subscribers - f->subscribed);
    return !f->turn->failed;
}

bool flow_open(struct flow *f, struct turn *t)
{
    return flow_prepare(f, t) && subscribers_open(f) && flow_publishers_open(f) &&
           subscribed_wait(f);
}

/* --- subscribers that are away ------------------------------------------------------------ */

static void sessions_set(struct flow *f, bool kept)
{
    for (size_t i = 0; i < f->subscribers; i++)
        f->subs[i].kept = kept;
}

/* Closed by the broker, that is, after it has seen the DISCONNECT. */
static bool subscribers_leave(struct flow *f)
{
    uint64_t deadline = turn_now() + 10000000000u;
    uint8_t bye[2];

    f->leaving = f->subscribers;
    for (size_t i = 0; i < f->subscribers; i++) {
        f->subs[i].owner = &leaving_owner;
        chan_send(&f->subs[i], bye, wire_disconnect(bye));
    }
    while (!f->turn->failed && f->leaving && turn_now() < deadline)
        turn_run(f->turn, 100000000);
    if (f->leaving)
        turn_fail(f->turn, "%zu connections stay open after DISCONNECT", f->leaving);
    return !f->turn->failed;
}

bool flow_leave_sessions(struct flow *f)
{
    f->offline = true;
    sessions_set(f, true);
    return subscribers_open(f) && subscribed_wait(f) && subscribers_leave(f);
}

bool flow_return(struct flow *f)
{
    sessions_set(f, true);
    if (!chan_open_all(f->subs, f->subscribers, f->turn, &returned_owner, f, 0))
        return false;
    for (size_t i = 0; i < f->subscribers; i++)
        if (!f->subs[i].resumed)
            turn_fail(f->turn, "subscriber %zu: the broker has forgotten the session", i);
    return !f->turn->failed;
}

bool flow_forget_sessions(struct flow *f)
{
    if (!subscribers_leave(f))
        return false;
    sessions_set(f, false);
    return chan_open_all(f->subs, f->subscribers, f->turn, &returned_owner, f, 0) &&
           subscribers_leave(f);
}

void flow_close(struct flow *f)
{
    for (size_t i = 0; f->pubs && i < f->publishers; i++)
        chan_leave(&f->pubs[i]);
    for (size_t i = 0; f->subs && i < f->subscribers; i++)
        chan_leave(&f->subs[i]);
    free(f->pubs);
    free(f->subs);
    free(f->state);
    free(f->tracks);
    free(f->group_of);
    free(f->ready);
    free(f->greetings);
    free(f->frames);
}
