/* One client that asks until it is let in: how long a broker takes to start. */
#include "chan.h"
#include "scenario.h"
#include "target.h"

static size_t ready_bytes(struct chan *c, const uint8_t *p, size_t n)
{
    turn_fail(c->turn, "a client without subscriptions was sent a packet");
    return n;
}

bool ready_run(struct turn *t, struct report *r)
{
    static const struct chan_owner owner = {.bytes = ready_bytes};
    uint64_t pid = t->plan->pid, begin = turn_now();
    struct chan c = {0};

    if (chan_open_all(&c, 1, t, &owner, NULL, 0)) {
        /* The process may have been running for a while when we came. */
        uint64_t age = pid ? target_age_ns(pid) : turn_now() - begin;
        report_note(r, "seconds", (double)age / 1e9, pid ? "s since it was started" : "s");
        if (pid) {
            report_note(r, "cpu_seconds", (double)target_cpu_ns(pid) / 1e9, "s");
            report_note(r, "rss", (double)target_rss(pid), "bytes");
        }
    }
    chan_leave(&c);
    return !t->failed;
}
