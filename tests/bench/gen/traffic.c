/* Scenarios made of a flow: closed loop (pairs, fan-in, fan-out) and open loop (latency). */
#include "flow.h"
#include "scenario.h"
#include "target.h"

#include <stdio.h>
#include <stdlib.h>

enum { PATIENCE_S = 5, BACKLOG_MOST = 64 << 20 };

/* Everything that is read at both ends of the measured part. */
struct sample {
    uint64_t at, sent, delivered, broker, own;
    struct target_threads threads;
};

static void sample_take(struct sample *s, const struct flow *f)
{
    *s = (struct sample){.sent = f->sent, .delivered = f->delivered, .own = target_own_ns()};
    if (f->plan->pid) {
        s->broker = target_cpu_ns(f->plan->pid);
        target_threads(&s->threads, f->plan->pid);
    }
    s->at = turn_now();
}

static bool count_reached(const struct flow *f)
{
    return f->plan->count && f->sent >= f->plan->count;
}

/* Run the closed loop until `end`; true when something moved at least every PATIENCE_S. */
static bool loop_until(struct flow *f, uint64_t end)
{
    uint64_t moved = turn_now(), seen = f->delivered + f->acked, now = moved;

    while (!f->turn->failed && now < end && !count_reached(f)) {
        flow_turn(f);
        now = turn_now();
        if (f->delivered + f->acked != seen) {
            seen = f->delivered + f->acked;
            moved = now;
        } else if (now - moved > PATIENCE_S * 1000000000ull) {
            return false;
        }
    }
    return true;
}

/* Let everything in flight arrive. */
static void drain(struct flow *f)
{
    uint64_t seen = 0, moved = turn_now();

    f->stopping = true;
    while (!f->turn->failed && !flow_settled(f)) {
        turn_run(f->turn, 50000000);
        uint64_t now = turn_now();
        if (f->delivered + f->acked + f->sums.duplicated != seen) {
            seen = f->delivered + f->acked + f->sums.duplicated;
            moved = now;
        } else if (now - moved > PATIENCE_S * 1000000000ull) {
            return;
        }
    }
}

static void rates_note(struct report *r, const struct sample *a, const struct sample *b)
{
    double seconds = (double)(b->at - a->at) / 1e9, n = (double)(b->delivered - a->delivered);

    report_note(r, "seconds", seconds, "s");
    report_note(r, "published", (double)(b->sent - a->sent), "");
    report_note(r, "delivered", n, "");
    report_note(r, "delivered_per_second", n / seconds, "/s");
    if (b->broker > a->broker && n > 0) {
        report_note(r, "cpu_us", (double)(b->broker - a->broker) / 1e3 / n, "us broker/delivered");
        report_note(r, "busiest_us", (double)target_busiest_ns(&a->threads, &b->threads) / 1e3 / n,
                    "us busiest thread/delivered");
        report_note(r, "broker_busy", (double)(b->broker - a->broker) / 1e9 / seconds, "cores");
    }
    if (n > 0)
        report_note(r, "own_cpu_us", (double)(b->own - a->own) / 1e3 / n, "us here/delivered");
}

/* Over the whole run, warm-up included. */
static void verdict_note(struct report *r, const struct flow *f, bool moving)
{
    uint64_t expected = f->sent * f->plan->subscribers;
    uint64_t lost = expected > f->delivered ? expected - f->delivered : 0;

    report_note(r, "lost", (double)lost, "");
    report_note(r, "duplicated", (double)f->sums.duplicated, "");
    report_note(r, "reordered", (double)f->sums.reordered, "");
    report_note(r, "foreign", (double)f->foreign, "");
    if (f->plan->qos)
        report_note(r, "unacknowledged", (double)(f->sent - f->acked), "");
    if (!moving)
        r->verdict = "stalled";
    else if (lost)
        r->verdict = "messages lost";
    else if (f->sums.duplicated)
        r->verdict = "messages duplicated";
    else if (f->sums.reordered)
        r->verdict = "messages out of order";
    else if (f->foreign)
        r->verdict = "messages that nobody sent";
    else if (f->plan->qos && f->acked != f->sent)
        r->verdict = "acknowledgements missing";
}

static bool closed_run(struct flow *f, struct report *r)
{
    const struct plan *plan = f->plan;

    flow_kick(f);
    bool moving = loop_until(f, turn_now() + plan->warmup_ms * 1000000);
    struct sample a, b;
    sample_take(&a, f);
    moving = moving && loop_until(f, a.at + plan->duration_ms * 1000000);
    sample_take(&b, f);
    if (moving)
        drain(f);
    if (f->turn->failed)
        return false;
    rates_note(r, &a, &b);
    verdict_note(r, f, moving);
    if (b.delivered == a.delivered && !count_reached(f) && !r->verdict)
        r->verdict = "nothing arrived in time";
    return true;
}

/* --- open loop ---------------------------------------------------------------------------- */

static void latency_note(struct report *r, const struct hdr *h)
{
    static const struct {
        const char *name;
        double share;
    } points[] = {{"p50_us", 0.5}, {"p90_us", 0.9}, {"p99_us", 0.99}, {"p999_us", 0.999}};

    report_note(r, "timed", (double)h->count, "");
    for (unsigned i = 0; i < sizeof points / sizeof points[0]; i++)
        report_note(r, points[i].name, (double)hdr_at(h, points[i].share) / 1e3, "us");
    report_note(r, "max_us", (double)h->most / 1e3, "us");
}

/* Send all that is due.  What cannot go now keeps the time it was due, so a slow broker shows up
 * as latency and never as a lower rate. */
static void due_send(struct flow *f, uint64_t begin, uint64_t now, uint64_t *next)
{
    for (;;) {
        uint64_t due = begin + (uint64_t)((double)*next * 1e9 / (double)f->plan->rate);
        size_t publisher = *next % f->publishers;
        if (due > now || due >= f->count_until || !flow_open_window(f, publisher, 1))
            return;
        flow_send(f, publisher, 1, due);
        ++*next;
    }
}

static bool open_run(struct flow *f, struct report *r)
{
    const struct plan *plan = f->plan;
    uint64_t begin = turn_now(), next = 0, now;
    struct sample a = {0}, b;

    f->timed = true;
    f->count_from = begin + plan->warmup_ms * 1000000;
    f->count_until = f->count_from + plan->duration_ms * 1000000;
    while (!f->turn->failed && !count_reached(f) && (now = turn_now()) < f->count_until) {
        if (!a.at && now >= f->count_from)
            sample_take(&a, f);
        due_send(f, begin, now, &next);
        uint64_t due = begin + (uint64_t)((double)next * 1e9 / (double)plan->rate);
        /* Sleeping costs 50 us of precision: close to the next send, look without waiting. */
        turn_run(f->turn, due > now + 100000 ? due - now - 60000 : 0);
        if (f->turn->backlog > BACKLOG_MOST)
            turn_fail(f->turn, "the broker does not keep up with %d messages a second",
                      (int)plan->rate);
    }
    sample_take(&b, f);
    drain(f);
    if (f->turn->failed)
        return false;
    rates_note(r, &a, &b);
    latency_note(r, &f->hdr);
    verdict_note(r, f, true);
    return true;
}

bool traffic_run(struct turn *t, struct report *r)
{
    struct flow *f = malloc(sizeof *f); /* the histogram is 30 KB */
    bool ran = false;

    if (f && flow_open(f, t))
        ran = t->plan->scenario == PLAN_LATENCY ? open_run(f, r) : closed_run(f, r);
    if (f)
        flow_close(f);
    free(f);
    return ran;
}
