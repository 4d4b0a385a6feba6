/* Connections that do nothing: what one costs the broker in memory, and whether it stays asleep. */
#include "chan.h"
#include "scenario.h"
#include "target.h"

#include <stdlib.h>

enum { WARM = 64 }; /* opened and closed first, so that code and pools are in memory already */

static size_t idle_bytes(struct chan *c, const uint8_t *p, size_t n)
{
    turn_fail(c->turn, "connection %u: an idle client was sent a packet", c->index);
    return n;
}

static const struct chan_owner idle_owner = {.bytes = idle_bytes};

static void idle_measure(struct turn *t, struct report *r, struct chan *chans)
{
    const struct plan *plan = t->plan;
    double n = (double)plan->connections;
    uint64_t before = plan->pid ? target_rss(plan->pid) : 0, begin = turn_now();
    uint64_t broker = plan->pid ? target_cpu_ns(plan->pid) : 0;

    if (!chan_open_all(chans, plan->connections, t, &idle_owner, NULL, WARM))
        return;
    double seconds = (double)(turn_now() - begin) / 1e9;
    turn_pause(t, plan->settle_ms);
    report_note(r, "connections", n, "");
    report_note(r, "connections_per_second", n / seconds, "/s");
    if (!plan->pid)
        return;
    uint64_t opened = target_cpu_ns(plan->pid);
    report_note(r, "open_cpu_us", (double)(opened - broker) / 1e3 / n, "us broker/connection");
    report_note(r, "rss_before", (double)before, "bytes");
    report_note(r, "rss_after", (double)target_rss(plan->pid), "bytes");
    report_note(r, "bytes_each", ((double)target_rss(plan->pid) - (double)before) / n,
                "bytes/connection");
    begin = turn_now();
    turn_pause(t, 500);
    report_note(r, "idle_busy",
                (double)(target_cpu_ns(plan->pid) - opened) / (double)(turn_now() - begin),
                "cores");
}

bool idle_run(struct turn *t, struct report *r)
{
    size_t n = t->plan->connections;
    struct chan *chans = calloc(n + WARM, sizeof *chans), warm[WARM] = {0};

    if (!chans) {
        turn_fail(t, "out of memory");
        return false;
    }
    bool ready = chan_open_all(warm, WARM, t, &idle_owner, NULL, 0);
    for (size_t i = 0; i < WARM; i++)
        chan_leave(&warm[i]);
    if (ready) {
        turn_pause(t, t->plan->settle_ms);
        idle_measure(t, r, chans);
    }
    for (size_t i = 0; i < n; i++)
        chan_leave(&chans[i]);
    free(chans);
    return !t->failed;
}
