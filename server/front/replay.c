/* Retained messages for new subscriptions, a slice a turn.
 *
 * A replay owns a cursor; each turn it moves as many messages as the session has room for,
 * at most SLICE, so that neither a turn nor a queue grows with the number of retained
 * messages.  Without room it leaves the desk's list until the client acknowledged or its
 * socket drained (client_replay_wake).  A client with PENDING_MAX replays under way is not read
 * from, so that subscribing again and again costs only itself. */
#include <stdlib.h>

#include "base/mem.h"
#include "core/broker.h"
#include "core/retained.h"
#include "core/session.h"
#include "front/client.h"
#include "front/entrance.h"
#include "mqtt/topic.h"

enum { SLICE = 256, PENDING_MAX = 256 };

static void list(struct client *c)
{
    if (!c->extra->replay_listed) {
        c->extra->replay_listed = true;
        client_list_add(&c->desk->replaying, c);
    }
}

void client_replay_wake(struct client *c)
{
    if (c->extra && c->extra->replays && c->state == CLIENT_LIVE)
        list(c);
}

static void deliver(struct client *c, struct message *m, unsigned options, uint32_t sub_id)
{
    struct worker *w = c->desk->w;
    unsigned granted = options & SUB_QOS;
    unsigned qos = granted < m->qos || w->limits->upgrade_outgoing_qos ? granted : m->qos;

    if ((options & SUB_NO_LOCAL) && m->publisher == c->session->serial)
        return;
    message_ref(m, 1);
    journal_begin(w, m, 0, 0, 0);
    session_deliver(w, c->session, m, qos, true, sub_id, 0); /* [MQTT-3.3.1-8] */
    journal_end(w);
}

struct slice {
    struct client *c;
    unsigned left;
};

static bool visit(void *arg, struct message *m)
{
    struct slice *slice = arg;
    struct replay *r = slice->c->extra->replays;

    deliver(slice->c, m, r->options, r->sub_id);
    slice->left--;
    return true;
}

/* Whether it can be told at once that nothing is kept for a filter.  What is kept waits for
 * the slice in any case: behind the SUBACK, whoever flushes the session meanwhile. */
static bool nothing_kept(struct client *c, struct str filter)
{
    struct worker *w = c->desk->w;

    return !topic_filter_has_wildcard(filter) &&
           !retained_get(w->broker->retained, filter, w->now_ms);
}

void client_replay_start(struct client *c, struct str filter, unsigned options, uint32_t sub_id)
{
    if (nothing_kept(c, filter))
        return;

    struct client_extra *x = client_extra(c);
    struct replay *r = xcalloc(1, sizeof *r);
    r->cursor = retained_cursor_new(filter);
    r->options = (uint8_t)options;
    r->sub_id = sub_id;
    if (x->replays)
        x->replay_last->next = r;
    else
        x->replays = r;
    x->replay_last = r;
    if (++x->replay_count >= PENDING_MAX)
        client_hold(c);
    list(c);
}

static void replay_drop_first(struct client_extra *x)
{
    struct replay *r = x->replays;

    x->replays = r->next;
    retained_cursor_free(&r->cursor);
    free(r);
    x->replay_count--;
}

bool client_replay(struct client *c)
{
    struct client_extra *x = c->extra;
    struct worker *w = c->desk->w;

    if (c->state != CLIENT_LIVE || client_suback_parked(c))
        return false;
    uint64_t room = session_room(w, c->session);
    struct slice slice = {.c = c, .left = room < SLICE ? (unsigned)room : SLICE};

    for (unsigned i = 0; i < SLICE && slice.left > 0 && x->replays; i++) {
        if (retained_replay(w->broker->retained, x->replays->cursor, w->now_ms, slice.left, visit,
                            &slice))
            break; /* it looked at as much as one slice may */
        replay_drop_first(x);
    }
    if (c->paused)
        desk_unpause(c->desk, c);
    return room > 0 && x->replays;
}

bool client_replay_crowded(const struct client *c)
{
    return c->extra && c->extra->replay_count >= PENDING_MAX;
}

void client_replay_stop(struct client *c)
{
    struct client_extra *x = c->extra;

    while (x->replays)
        replay_drop_first(x);
    if (x->replay_listed)
        client_list_remove(&c->desk->replaying, c);
    x->replay_listed = false;
}
