/* Messages for sessions whose clients are away: what a broker has to keep.
 *
 * The subscribers subscribe and leave, publishers fill their queues in a closed loop over the
 * acknowledgements, then the subscribers come back for everything, each message exactly once and in
 * order.  With --keep the queue stays as it is; with --filled an earlier run (same --run, --count,
 * publishers and size) has filled it, perhaps before the broker was started anew. */
#include "flow.h"
#include "scenario.h"
#include "target.h"

#include <stdlib.h>

/* Both ends of a measured part. */
struct sample {
    uint64_t at, moved, broker, own;
};

static struct sample sample_take(const struct flow *f, uint64_t moved)
{
    uint64_t pid = f->plan->pid;
    return (struct sample){.at = turn_now(),
                           .moved = moved,
                           .broker = pid ? target_cpu_ns(pid) : 0,
                           .own = target_own_ns()};
}

/* Names of one phase's figures: literals, for report_note keeps them. */
struct names {
    const char *moved, *seconds, *rate, *cpu, *busy, *own;
};

static const struct names filling = {
    .moved = "acknowledged",
    .seconds = "seconds",
    .rate = "acknowledged_per_second",
    .cpu = "cpu_us",
    .busy = "broker_busy",
    .own = "own_cpu_us",
};
static const struct names draining = {
    .moved = "drained",
    .seconds = "drain_seconds",
    .rate = "drained_per_second",
    .cpu = "drain_cpu_us",
    .busy = "drain_broker_busy",
    .own = "drain_own_cpu_us",
};

static void phase_note(struct report *r, const struct names *names, const struct sample *a,
                       const struct sample *b)
{
    double seconds = (double)(b->at - a->at) / 1e9, n = (double)(b->moved - a->moved);

    report_note(r, names->moved, n, "");
    report_note(r, names->seconds, seconds, "s");
    report_note(r, names->rate, n / seconds, "/s");
    if (n > 0 && b->broker > a->broker) {
        report_note(r, names->cpu, (double)(b->broker - a->broker) / 1e3 / n, "us broker/message");
        report_note(r, names->busy, (double)(b->broker - a->broker) / 1e9 / seconds, "cores");
    }
    if (n > 0)
        report_note(r, names->own, (double)(b->own - a->own) / 1e3 / n, "us here/message");
}

/* A stall fails: who waits for the last acknowledgement would wait for ever. */
struct patience {
    uint64_t seen, moved;
};

static void patience_check(struct patience *p, struct flow *f, uint64_t progress, const char *what)
{
    uint64_t now = turn_now();

    if (progress != p->seen)
        *p = (struct patience){.seen = progress, .moved = now};
    else if (now - p->moved > f->plan->patience_ms * 1000000)
        turn_fail(f->turn, "%s stalled at %llu of %llu", what, (unsigned long long)progress,
                  (unsigned long long)f->sent);
}

/* Publish until `end` and at least so many are acknowledged, or until the count is full; then the
 * acknowledgements are still on their way.
 */
static void fill_until(struct flow *f, uint64_t end, uint64_t least)
{
    uint64_t count = f->plan->count;
    struct patience p = {.moved = turn_now()};

    while (!f->turn->failed && (turn_now() < end || f->acked < least) &&
           !(count && f->acked >= count)) {
        flow_turn(f);
        patience_check(&p, f, f->acked, "publishing");
    }
}

static void acknowledged_wait(struct flow *f)
{
    struct patience p = {.moved = turn_now()};

    f->stopping = true;
    while (!f->turn->failed && f->acked < f->sent) {
        turn_run(f->turn, 50000000);
        patience_check(&p, f, f->acked, "acknowledging");
    }
}

/* By time, or with a count by the count alone. */
static void fill(struct flow *f, struct report *r)
{
    const struct plan *plan = f->plan;

    if (!flow_leave_sessions(f) || !flow_publishers_open(f))
        return;
    flow_kick(f);
    if (!plan->count)
        /* Not steady before every window has gone round once: some brokers take all before they
         * acknowledge any. */
        fill_until(f, turn_now() + plan->warmup_ms * 1000000, f->publishers * f->window);
    struct sample a = sample_take(f, f->acked);
    fill_until(f, plan->count ? UINT64_MAX : a.at + plan->duration_ms * 1000000, 0);
    struct sample b = sample_take(f, f->acked);
    /* What is only measured by time and left behind need not be complete. */
    if (plan->count || !plan->keep)
        acknowledged_wait(f);
    phase_note(r, &filling, &a, &b);
    report_note(r, "published", (double)f->sent, "");
    if (plan->pid)
        report_note(r, "rss", (double)target_rss(plan->pid), "bytes");
    if (b.moved == a.moved)
        r->verdict = "nothing was acknowledged in time";
}

static void drain(struct flow *f, struct report *r)
{
    struct patience p = {.moved = turn_now()};
    struct sample a = sample_take(f, 0);

    flow_return(f);
    while (!f->turn->failed && f->delivered < f->sent * f->plan->subscribers &&
           turn_now() - p.moved < f->plan->patience_ms * 1000000) {
        turn_run(f->turn, 50000000);
        if (f->delivered != p.seen)
            p = (struct patience){.seen = f->delivered, .moved = turn_now()};
    }
    struct sample b = sample_take(f, f->delivered);
    phase_note(r, &draining, &a, &b);
}

static void verdict_note(struct report *r, const struct flow *f)
{
    uint64_t expected = f->sent * f->plan->subscribers;
    uint64_t lost = expected > f->delivered ? expected - f->delivered : 0;

    report_note(r, "lost", (double)lost, "");
    report_note(r, "duplicated", (double)f->sums.duplicated, "");
    report_note(r, "reordered", (double)f->sums.reordered, "");
    report_note(r, "foreign", (double)f->foreign, "");
    if (lost)
        r->verdict = "acknowledged messages lost";
    else if (f->sums.duplicated)
        r->verdict = "messages duplicated";
    else if (f->sums.reordered)
        r->verdict = "messages out of order";
    else if (f->foreign)
        r->verdict = "messages that nobody sent";
}

bool offline_run(struct turn *t, struct report *r)
{
    const struct plan *plan = t->plan;
    struct flow *f = malloc(sizeof *f); /* the histogram is 30 KB */

    if (f && flow_prepare(f, t)) {
        if (plan->filled)
            f->sent = plan->count;
        else
            fill(f, r);
        if (!t->failed && !plan->keep) {
            drain(f, r);
            verdict_note(r, f);
            flow_forget_sessions(f);
        }
    }
    if (f)
        flow_close(f);
    free(f);
    return !t->failed;
}
