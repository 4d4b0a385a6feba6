/* Retained messages: what one costs in memory, and what replaying all of them costs.
 *
 * One publisher fills r/RUN/NNNN/NNNN, each batch closed by a PINGREQ whose answer says that the
 * broker has it (at QoS 1 the acknowledgements do); then new subscribers ask for # one after the
 * other, and every message must come to each exactly once.  Afterwards they are deleted, unless
 * --keep.
 */
#include "chan.h"
#include "scenario.h"
#include "target.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT = 16 };

struct retained {
    struct turn *turn;
    const struct plan *plan;
    struct chan pub, sub;
    uint8_t *frames;
    uint8_t *seen;                                  /* one bit a message, of this replay */
    char prefix[TEXT];                              /* "r/RUN/" */
    uint64_t answers, arrived, duplicated, foreign; /* answers: PINGRESP, at QoS 1 PUBACK */
};

static size_t publisher_bytes(struct chan *c, const uint8_t *p, size_t n)
{
    struct retained *s = c->scenario;
    struct wire_frame frame;
    size_t used = 0;

    while (wire_next(p + used, n - used, &frame) > 0) {
        used += frame.total;
        s->answers += frame.head >> 4 == (s->plan->qos ? WIRE_PUBACK : WIRE_PINGRESP);
        if (frame.len >= 3 && frame.body[2] >= 0x80)
            turn_fail(s->turn, "a publish was refused, reason 0x%02x", frame.body[2]);
    }
    return used;
}

static void message_note(struct retained *s, const struct wire_frame *frame)
{
    struct wire_message m;
    uint32_t i;

    /* Others may have retained something, too: that is theirs. */
    if (!wire_message(&m, frame, (int)s->plan->version) || m.topic_len != TEXT ||
        memcmp(m.topic, s->prefix, 7) != 0)
        return;
    if (m.payload_len == s->plan->payload)
        memcpy(&i, m.payload, 4);
    if (m.payload_len != s->plan->payload || i >= s->plan->retained || !(frame->head & 1)) {
        s->foreign++;
        return;
    }
    if (s->seen[i / 8] >> (i % 8) & 1) {
        s->duplicated++;
        return;
    }
    s->seen[i / 8] |= (uint8_t)(1 << (i % 8));
    s->arrived++;
}

static size_t subscriber_bytes(struct chan *c, const uint8_t *p, size_t n)
{
    struct retained *s = c->scenario;
    struct wire_frame frame;
    size_t used = 0;
    int whole;

    while ((whole = wire_next(p + used, n - used, &frame)) > 0) {
        used += frame.total;
        if (frame.head >> 4 == WIRE_PUBLISH)
            message_note(s, &frame);
        else if (frame.head >> 4 == WIRE_SUBACK && wire_suback(&frame, (int)s->plan->version))
            turn_fail(s->turn, "the subscription to # was refused");
    }
    if (whole < 0)
        turn_fail(s->turn, "received what is not MQTT");
    return used;
}

static const struct chan_owner publisher_owner = {.bytes = publisher_bytes};
static const struct chan_owner subscriber_owner = {.bytes = subscriber_bytes};

/* Wait until *value is at least `want`; a stall fails. */
static void retained_until(struct retained *s, const uint64_t *value, uint64_t want)
{
    uint64_t seen = *value, moved = turn_now();

    while (!s->turn->failed && *value < want) {
        turn_run(s->turn, 50000000);
        uint64_t now = turn_now();
        if (*value != seen) {
            seen = *value;
            moved = now;
        } else if (now - moved > 10000000000u) {
            turn_fail(s->turn, "stalled at %llu of %llu", (unsigned long long)seen,
                      (unsigned long long)want);
        }
    }
}

/* Publish all of them, with the plan's payload or an empty one, which deletes. */
static void retained_publish(struct retained *s, size_t payload)
{
    char topic[32];
    uint64_t want = s->answers, qos = s->plan->qos;
    struct wire_publish l = {.version = (int)s->plan->version,
                             .qos = (int)qos,
                             .retain = true,
                             .topic = topic,
                             .topic_len = TEXT,
                             .payload_len = payload};
    uint8_t *at = s->frames;

    wire_publish_layout(&l);
    for (uint32_t i = 0; i < s->plan->retained && !s->turn->failed; i++) {
        snprintf(topic, sizeof topic, "%s%04u/%04u", s->prefix, i / 1000, i % 1000);
        wire_publish(at, &l);
        if (payload)
            memcpy(at + l.payload_at, &i, 4);
        if (qos) {
            at[l.id_at] = (uint8_t)((i % 65535 + 1) >> 8);
            at[l.id_at + 1] = (uint8_t)(i % 65535 + 1);
            want++;
        }
        at += l.size;
        if ((i + 1) % s->plan->batch && i + 1 < s->plan->retained)
            continue;
        if (!qos) {
            at += wire_pingreq(at);
            want++;
        }
        chan_send(&s->pub, s->frames, (size_t)(at - s->frames));
        at = s->frames;
        retained_until(s, &s->answers, want);
    }
}

static void fill_measure(struct retained *s, struct report *r)
{
    const struct plan *plan = s->plan;
    double n = (double)plan->retained;

    turn_pause(s->turn, plan->settle_ms);
    uint64_t rss = plan->pid ? target_rss(plan->pid) : 0, begin = turn_now();
    uint64_t cpu = plan->pid ? target_cpu_ns(plan->pid) : 0;
    retained_publish(s, plan->payload);
    report_note(r, "retained", n, "");
    report_note(r, "fill_per_second", n / ((double)(turn_now() - begin) / 1e9), "/s");
    if (!plan->pid)
        return;
    report_note(r, "fill_cpu_us", (double)(target_cpu_ns(plan->pid) - cpu) / 1e3 / n,
                "us broker/message");
    turn_pause(s->turn, plan->settle_ms);
    report_note(r, "bytes_each", ((double)target_rss(plan->pid) - (double)rss) / n,
                "bytes/message");
}

static void replay_once(struct retained *s, uint32_t round)
{
    uint8_t packet[64];

    memset(s->seen, 0, s->plan->retained / 8 + 1);
    s->arrived = 0;
    if (!chan_open_all(&s->sub, 1, s->turn, &subscriber_owner, s, 1 + round))
        return;
    chan_send(&s->sub, packet, wire_subscribe(packet, (int)s->plan->version, 1, "#", 1, 1, 0));
    retained_until(s, &s->arrived, s->plan->retained);
    chan_leave(&s->sub);
}

static void replay_measure(struct retained *s, struct report *r)
{
    const struct plan *plan = s->plan;
    double n = (double)plan->retained * (double)plan->rounds;
    uint64_t begin = turn_now(), cpu = plan->pid ? target_cpu_ns(plan->pid) : 0;
    uint64_t own = target_own_ns();

    for (uint32_t i = 0; i < plan->rounds && !s->turn->failed; i++)
        replay_once(s, i);
    report_note(r, "seconds", (double)(turn_now() - begin) / 1e9, "s");
    report_note(r, "replayed", n, "");
    report_note(r, "replayed_per_second", n / ((double)(turn_now() - begin) / 1e9), "/s");
    if (plan->pid)
        report_note(r, "cpu_us", (double)(target_cpu_ns(plan->pid) - cpu) / 1e3 / n,
                    "us broker/replayed");
    report_note(r, "own_cpu_us", (double)(target_own_ns() - own) / 1e3 / n, "us here/replayed");
    report_note(r, "duplicated", (double)s->duplicated, "");
    report_note(r, "foreign", (double)s->foreign, "");
    if (s->duplicated)
        r->verdict = "messages duplicated";
    else if (s->foreign)
        r->verdict = "messages not as they were retained";
}

bool retained_run(struct turn *t, struct report *r)
{
    const struct plan *plan = t->plan;
    struct retained s = {.turn = t,
                         .plan = plan,
                         .frames = malloc(plan->batch * (plan->payload + TEXT + 16) + 2),
                         .seen = malloc(plan->retained / 8 + 1)};

    snprintf(s.prefix, sizeof s.prefix, "r/%04x/", t->run_id);
    if (!s.frames || !s.seen)
        turn_fail(t, "out of memory");
    else if (chan_open_all(&s.pub, 1, t, &publisher_owner, &s, 0)) {
        if (!plan->filled)
            fill_measure(&s, r);
        if (!t->failed && plan->rounds)
            replay_measure(&s, r);
        if (!plan->keep && !t->failed)
            retained_publish(&s, 0);
    }
    chan_leave(&s.pub);
    chan_close(&s.sub);
    free(s.frames);
    free(s.seen);
    return !t->failed;
}
