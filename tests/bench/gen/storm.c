/* Connect and disconnect as fast as the broker lets us, a bounded number at a time.
 *
 * A cycle is: connect, CONNECT, CONNACK, DISCONNECT, and the broker's close.  Waiting for that
 * close leaves TIME_WAIT with the broker, so that our ports are free again at once.
 */
#include "chan.h"
#include "scenario.h"
#include "target.h"

#include <stdlib.h>
#include <string.h>

struct storm {
    struct chan *chans;
    bool *leaving;   /* DISCONNECT is sent: the close is expected */
    uint32_t *again; /* slots to open after this turn, never inside a callback */
    size_t again_count;
    uint64_t cycles;
    uint32_t opened;
};

static void slot_up(struct chan *c)
{
    struct storm *s = c->scenario;
    uint8_t bye[2];

    s->leaving[c - s->chans] = true;
    chan_send(c, bye, wire_disconnect(bye));
}

static size_t slot_bytes(struct chan *c, const uint8_t *p, size_t n)
{
    turn_fail(c->turn, "connection %u: bytes after DISCONNECT", c->index);
    return n;
}

static void slot_down(struct chan *c, const char *why)
{
    struct storm *s = c->scenario;
    size_t slot = (size_t)(c - s->chans);

    if (!s->leaving[slot]) {
        turn_fail(c->turn, "connection %u: %s", c->index, why);
        return;
    }
    s->leaving[slot] = false;
    s->cycles++;
    s->again[s->again_count++] = (uint32_t)slot;
}

static const struct chan_owner slot_owner = {.up = slot_up, .bytes = slot_bytes, .down = slot_down};

static void storm_turn(struct storm *s, struct turn *t)
{
    for (size_t i = 0; i < s->again_count; i++)
        chan_open(&s->chans[s->again[i]], t, &slot_owner, s, s->opened++ % 1000000);
    s->again_count = 0;
    turn_run(t, 50000000);
}

static void storm_until(struct storm *s, struct turn *t, uint64_t end)
{
    uint64_t seen = s->cycles, moved = turn_now();

    for (uint64_t now = moved; !t->failed && now < end; now = turn_now()) {
        if (t->plan->count && s->cycles >= t->plan->count)
            return;
        storm_turn(s, t);
        if (s->cycles != seen) {
            seen = s->cycles;
            moved = now;
        } else if (now - moved > 5000000000u) {
            turn_fail(t, "stalled after %llu connections", (unsigned long long)seen);
        }
    }
}

static void storm_measure(struct storm *s, struct turn *t, struct report *r)
{
    const struct plan *plan = t->plan;

    storm_until(s, t, turn_now() + plan->warmup_ms * 1000000);
    uint64_t cycles = s->cycles, resumed = t->resumed, begin = turn_now();
    uint64_t broker = plan->pid ? target_cpu_ns(plan->pid) : 0, own = target_own_ns();
    storm_until(s, t, begin + plan->duration_ms * 1000000);
    if (plan->pid)
        broker = target_cpu_ns(plan->pid) - broker;
    double n = (double)(s->cycles - cycles), seconds = (double)(turn_now() - begin) / 1e9;

    report_note(r, "seconds", seconds, "s");
    report_note(r, "connections", n, "");
    report_note(r, "connections_per_second", n / seconds, "/s");
    if (n == 0)
        r->verdict = "no connection in time";
    if (plan->pid && n > 0)
        report_note(r, "cpu_us", (double)broker / 1e3 / n, "us broker/connection");
    if (n > 0)
        report_note(r, "own_cpu_us", (double)(target_own_ns() - own) / 1e3 / n,
                    "us here/connection");
    if (plan->tls)
        report_note(r, "resumed", (double)(t->resumed - resumed), "TLS sessions");
}

/* The broker may still be starting: one plain connection first, under --wait. */
static bool storm_first(struct storm *s, struct turn *t)
{
    static const struct chan_owner probe = {.bytes = slot_bytes};
    struct chan c = {0};
    bool ok = chan_open_all(&c, 1, t, &probe, s, 999999);

    /* TLS 1.3 sends its tickets after the handshake: read them before leaving. */
    uint64_t deadline = turn_now() + 1000000000u;
    while (ok && t->plan->resume && !t->session && turn_now() < deadline)
        turn_run(t, 10000000);
    chan_leave(&c);
    return ok;
}

bool storm_run(struct turn *t, struct report *r)
{
    size_t n = t->plan->concurrency;
    struct storm s = {.chans = calloc(n, sizeof *s.chans),
                      .leaving = calloc(n, sizeof(bool)),
                      .again = calloc(n, sizeof *s.again)};

    if (!s.chans || !s.leaving || !s.again)
        turn_fail(t, "out of memory");
    else if (storm_first(&s, t)) {
        for (size_t i = 0; i < n; i++)
            s.again[s.again_count++] = (uint32_t)i;
        storm_measure(&s, t, r);
    }
    for (size_t i = 0; s.chans && i < n; i++)
        chan_close(&s.chans[i]);
    free(s.chans);
    free(s.leaving);
    free(s.again);
    return !t->failed;
}
