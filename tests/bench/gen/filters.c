/* Publishing against many filters: what a filter costs in memory, and a publish in time.
 *
 * The filters are w/RUN/NNNN/+/NNNN (or exact, or ending in #), spread over a few subscribers.
 * Topics are drawn at random over all of them, so no cache of topics can help: with --match each
 * meets exactly one filter, without it none, though all levels but the last exist.  Where nothing
 * is delivered, a PINGREQ closing each batch says when the broker has done it.
 */
#include "chan.h"
#include "scenario.h"
#include "target.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT = 18, PACKET_FILTERS = 100 };

struct publisher {
    uint64_t sent, delivered;
    bool pinged; /* a PINGRESP is due */
};

struct filters {
    struct turn *turn;
    const struct plan *plan;
    struct chan *subs, *pubs;
    uint64_t *next; /* per subscriber: the first filter not sent yet */
    struct publisher *state;
    struct wire_publish layout;
    uint8_t *frames; /* a batch and its PINGREQ */
    uint64_t subscribed, published, delivered, foreign, random;
    bool publishing;
};

static void number_put(char *p, unsigned v)
{
    for (int i = 3; i >= 0; i--, v /= 10)
        p[i] = (char)('0' + v % 10);
}

/* "w/RUN/aaaa/M/cccc" or "w/RUN/aaaa/cccc/M", where M is the level a wildcard stands for. */
static void text_put(const struct filters *f, char *p, uint64_t i, char middle, unsigned miss)
{
    unsigned a = (unsigned)(i / 1000), c = (unsigned)(i % 1000) + miss;
    bool last = f->plan->shape == PLAN_SHAPE_HASH;

    memcpy(p, "w/RUNS/aaaa/./cccc", TEXT);
    snprintf(p + 2, 5, "%04x", f->turn->run_id);
    p[6] = '/';
    number_put(p + 7, a);
    number_put(p + (last ? 12 : 14), c);
    p[last ? 16 : 13] = '/';
    p[last ? 17 : 12] = middle;
}

/* --- subscribing -------------------------------------------------------------------------- */

static void filters_subscribe(struct filters *f, size_t sub)
{
    static const char wildcard[] = {'+', 'x', '#'};
    char texts[PACKET_FILTERS * TEXT + 1];
    uint8_t *packet = turn_scratch(f->turn, wire_subscribe_size(PACKET_FILTERS, TEXT));
    size_t n = 0;

    for (; n < PACKET_FILTERS && f->next[sub] < f->plan->filters; n++) {
        text_put(f, texts + n * TEXT, f->next[sub], wildcard[f->plan->shape], 0);
        f->next[sub] += f->plan->subscribers;
    }
    if (n > 0)
        chan_send(&f->subs[sub], packet,
                  wire_subscribe(packet, (int)f->plan->version, 1, texts, n, TEXT, 0));
}

static void publisher_go(struct filters *f, size_t publisher);

static void message_note(struct filters *f, const struct wire_frame *frame)
{
    struct wire_message m;
    uint32_t publisher = UINT32_MAX;

    if (wire_message(&m, frame, (int)f->plan->version) && m.payload_len == f->plan->payload)
        memcpy(&publisher, m.payload, 4);
    if (publisher >= f->plan->publishers || !f->plan->match) {
        f->foreign++;
        return;
    }
    f->delivered++;
    f->state[publisher].delivered++;
    publisher_go(f, publisher);
}

static size_t subscriber_bytes(struct chan *c, const uint8_t *p, size_t n)
{
    struct filters *f = c->scenario;
    struct wire_frame frame;
    size_t used = 0;
    int whole;

    while ((whole = wire_next(p + used, n - used, &frame)) > 0) {
        used += frame.total;
        if (frame.head >> 4 == WIRE_PUBLISH) {
            message_note(f, &frame);
        } else if (frame.head >> 4 == WIRE_SUBACK) {
            int refused = wire_suback(&frame, (int)f->plan->version);
            if (refused != 0)
                turn_fail(f->turn, "%d filters refused after %llu", refused,
                          (unsigned long long)f->subscribed);
            f->subscribed += frame.len - 2 - (f->plan->version == 5);
            filters_subscribe(f, c->index);
        }
    }
    if (whole < 0)
        turn_fail(f->turn, "subscriber %u: received what is not MQTT", c->index);
    return used;
}

/* --- publishing --------------------------------------------------------------------------- */

static uint64_t random_next(struct filters *f)
{
    f->random ^= f->random << 13;
    f->random ^= f->random >> 7;
    f->random ^= f->random << 17;
    return f->random >> 11;
}

/* The next batch, once the last one is done with. */
static void publisher_go(struct filters *f, size_t publisher)
{
    struct publisher *p = &f->state[publisher];
    uint8_t *frame = f->frames;
    uint32_t name = (uint32_t)publisher;

    if (!f->publishing || p->pinged || (f->plan->match && p->delivered < p->sent))
        return;
    for (uint64_t i = 0; i < f->plan->batch; i++, frame += f->layout.size) {
        text_put(f, (char *)frame + f->layout.topic_at, random_next(f) % f->plan->filters, 'x',
                 f->plan->match ? 0 : 9000);
        memcpy(frame + f->layout.payload_at, &name, 4);
    }
    p->sent += f->plan->batch;
    p->pinged = true;
    f->published += f->plan->batch;
    chan_send(&f->pubs[publisher], f->frames, (size_t)(frame - f->frames) + wire_pingreq(frame));
}

static size_t publisher_bytes(struct chan *c, const uint8_t *p, size_t n)
{
    struct filters *f = c->scenario;
    struct wire_frame frame;
    size_t used = 0, publisher = c->index - f->plan->subscribers;

    while (wire_next(p + used, n - used, &frame) > 0) {
        used += frame.total;
        if (frame.head >> 4 == WIRE_PINGRESP)
            f->state[publisher].pinged = false;
        else
            turn_fail(f->turn, "publisher %zu: unexpected packet type %d", publisher,
                      frame.head >> 4);
    }
    publisher_go(f, publisher);
    return used;
}

static const struct chan_owner subscriber_owner = {.bytes = subscriber_bytes};
static const struct chan_owner publisher_owner = {.bytes = publisher_bytes};

/* --- the run ------------------------------------------------------------------------------ */

/* Run until `end`, or until *value reaches `most`; stalls fail. */
static void filters_until(struct filters *f, uint64_t end, const uint64_t *value, uint64_t most)
{
    uint64_t seen = *value, moved = turn_now();

    for (uint64_t now = moved; !f->turn->failed && now < end && *value < most; now = turn_now()) {
        turn_run(f->turn, 50000000);
        if (*value != seen) {
            seen = *value;
            moved = now;
        } else if (now - moved > 10000000000u) {
            turn_fail(f->turn, "stalled at %llu", (unsigned long long)seen);
        }
    }
}

static void fill_measure(struct filters *f, struct report *r)
{
    const struct plan *plan = f->plan;
    double n = (double)plan->filters;

    turn_pause(f->turn, plan->settle_ms);
    uint64_t rss = plan->pid ? target_rss(plan->pid) : 0, begin = turn_now();
    uint64_t cpu = plan->pid ? target_cpu_ns(plan->pid) : 0;
    for (size_t i = 0; i < plan->subscribers; i++)
        filters_subscribe(f, i);
    filters_until(f, UINT64_MAX, &f->subscribed, plan->filters);
    report_note(r, "filters", n, "");
    report_note(r, "subscribe_per_second", n / ((double)(turn_now() - begin) / 1e9), "/s");
    if (!plan->pid)
        return;
    report_note(r, "subscribe_cpu_us", (double)(target_cpu_ns(plan->pid) - cpu) / 1e3 / n,
                "us broker/filter");
    turn_pause(f->turn, plan->settle_ms);
    report_note(r, "bytes_each", ((double)target_rss(plan->pid) - (double)rss) / n, "bytes/filter");
}

static void publish_measure(struct filters *f, struct report *r)
{
    const struct plan *plan = f->plan;

    f->publishing = true;
    for (size_t i = 0; i < plan->publishers; i++)
        publisher_go(f, i);
    filters_until(f, turn_now() + plan->warmup_ms * 1000000, &f->published, UINT64_MAX);
    uint64_t published = f->published, begin = turn_now(), own = target_own_ns();
    uint64_t cpu = plan->pid ? target_cpu_ns(plan->pid) : 0;
    filters_until(f, begin + plan->duration_ms * 1000000, &f->published,
                  plan->count ? plan->count : UINT64_MAX);
    double n = (double)(f->published - published), seconds = (double)(turn_now() - begin) / 1e9;
    report_note(r, "seconds", seconds, "s");
    report_note(r, "published", n, "");
    report_note(r, "published_per_second", n / seconds, "/s");
    if (plan->pid && n > 0)
        report_note(r, "cpu_us", (double)(target_cpu_ns(plan->pid) - cpu) / 1e3 / n,
                    "us broker/published");
    if (n > 0)
        report_note(r, "own_cpu_us", (double)(target_own_ns() - own) / 1e3 / n,
                    "us here/published");
}

static void verdict_note(struct filters *f, struct report *r)
{
    f->publishing = false;
    if (f->plan->match)
        filters_until(f, turn_now() + 5000000000u, &f->delivered, f->published);
    uint64_t expected = f->plan->match ? f->published : 0;
    report_note(r, "delivered", (double)f->delivered, "");
    report_note(r, "lost", (double)expected - (double)f->delivered, "");
    report_note(r, "foreign", (double)f->foreign, "");
    if (f->foreign)
        r->verdict = "messages that no filter asked for";
    else if (f->delivered < expected)
        r->verdict = "messages lost";
    else if (f->delivered > expected)
        r->verdict = "messages duplicated";
}

static bool filters_open(struct filters *f)
{
    const struct plan *plan = f->plan;
    static const char topic[] = "..................";

    f->layout = (struct wire_publish){.version = (int)plan->version,
                                      .topic = topic,
                                      .topic_len = TEXT,
                                      .payload_len = plan->payload};
    wire_publish_layout(&f->layout);
    f->subs = calloc(plan->subscribers, sizeof *f->subs);
    f->pubs = calloc(plan->publishers, sizeof *f->pubs);
    f->next = calloc(plan->subscribers, sizeof *f->next);
    f->state = calloc(plan->publishers, sizeof *f->state);
    f->frames = malloc(plan->batch * f->layout.size + 2);
    if (!f->subs || !f->pubs || !f->next || !f->state || !f->frames) {
        turn_fail(f->turn, "out of memory");
        return false;
    }
    for (uint64_t i = 0; i < plan->batch; i++)
        wire_publish(f->frames + i * f->layout.size, &f->layout);
    for (size_t i = 0; i < plan->subscribers; i++)
        f->next[i] = i;
    return chan_open_all(f->subs, plan->subscribers, f->turn, &subscriber_owner, f, 0) &&
           chan_open_all(f->pubs, plan->publishers, f->turn, &publisher_owner, f,
                         (uint32_t)plan->subscribers);
}

static void filters_close(struct filters *f)
{
    for (size_t i = 0; f->subs && i < f->plan->subscribers; i++)
        chan_leave(&f->subs[i]);
    for (size_t i = 0; f->pubs && i < f->plan->publishers; i++)
        chan_leave(&f->pubs[i]);
    free(f->subs);
    free(f->pubs);
    free(f->next);
    free(f->state);
    free(f->frames);
}

bool filters_run(struct turn *t, struct report *r)
{
    struct filters f = {.turn = t, .plan = t->plan, .random = 0x9e3779b97f4a7c15u};

    if (filters_open(&f))
        fill_measure(&f, r);
    if (!t->failed)
        publish_measure(&f, r);
    if (!t->failed)
        verdict_note(&f, r);
    filters_close(&f);
    return !t->failed;
}
