/* What the engine of a connection tells, but for messages in (inward.c) and notes (notes.c). */
#include "bridge.h"

static void engine_is_up(void *arg, bool session)
{
    struct remote *r = arg;

    if (!session)
        inward_begin(r);
    notes_subscriptions(r, session);
}

static void engine_is_live(void *arg)
{
    struct remote *r = arg;
    struct bridge *b = r->bridge;
    uint64_t share = bridge_backlog(b) / b->count;

    r->state = REMOTE_UP;
    r->up_since_ms = skep_now_ms();
    skep_timer_set(r->timer, BRIDGE_TICK_MS);
    notes_subscribed(r);
    engine_pace(&r->engine, (double)b->conf->backlog_rate / b->count,
                b->conf->live_first ? 0 : share, skep_now_ms());
    skep_log(b->m, SKEP_LOG_INFO, "%s: connected to %s as %s", b->conf->block.label,
             b->conf->address.items[r->address], r->client_id);
    if (r->ever_up)
        skep_counter_add(b->meters.reconnects, 1);
    r->ever_up = true;
    bridge_changed(b);
    remote_flush_soon(r);
}

static void engine_refused(void *arg, struct skep_str filter, unsigned reason)
{
    struct remote *r = arg;

    skep_log(r->bridge->m, SKEP_LOG_WARN,
             "%s: the remote broker refuses a subscription to %.*s: %s",
             r->bridge->conf->block.label, (int)filter.len, filter.ptr,
             wire_reason_text(r->engine_conf.connect.version, WIRE_SUBACK, reason));
}

static void engine_left(void *arg, const struct item *item, enum outcome outcome, unsigned reason)
{
    struct remote *r = arg;
    struct bridge *b = r->bridge;
    const struct meters *m = &b->meters;

    if (outcome == OUTCOME_DONE) {
        skep_counter_add(m->out_messages, 1);
        skep_counter_add(m->out_bytes, item->m.payload.len);
    } else {
        skep_counter_add(outcome == OUTCOME_REFUSED     ? m->dropped_refused
                         : outcome == OUTCOME_EXPIRED   ? m->dropped_expired
                         : outcome == OUTCOME_TOO_LARGE ? m->dropped_large
                                                        : m->dropped_overflow,
                         1);
    }
    if (outcome == OUTCOME_REFUSED)
        skep_log(b->m, SKEP_LOG_WARN, "%s: the remote broker refuses a message to %.*s: %s",
                 b->conf->block.label, (int)item->m.topic.len, item->m.topic.ptr,
                 wire_reason_text(WIRE_5, WIRE_PUBACK, reason));
    bridge_ack(b, item->id);
}

const struct engine_calls remote_engine_calls = {
    .up = engine_is_up,
    .live = engine_is_live,
    .refused = engine_refused,
    .message = inward_message,
    .forget = inward_forget,
    .note = notes_note,
    .clear = notes_clear,
    .left = engine_left,
};
