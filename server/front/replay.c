/* Retained messages for new subscriptions, a slice a turn.
 *
 * A replay owns a cursor; each turn it moves as many messages as the session has room for,
 * at most SLICE, so that neither a turn nor a queue grows with the number of retained
 * messages.  Without room it leaves the desk's list until the client acknowledged or its
 * socket drained (client_replay_wake). */
#include <stdlib.h>

#include "base/mem.h"
#include "core/broker.h"
#include "core/retained.h"
#include "core/session.h"
#include "front/client.h"
#include "front/entrance.h"

enum { SLICE = 256 };

static void list(struct client *c)
{
    if (!c->extra->replay_listed) {
        c->extra->replay_listed = true;
        client_list_add(&c->desk->replaying, c);
    }
}

void client_replay_start(struct client *c, struct str filter, unsigned options, uint32_t sub_id)
{
    struct client_extra *x = client_extra(c);
    struct replay *r = xcalloc(1, sizeof *r), **last = &x->replays;

    r->cursor = retained_cursor_new(filter);
    r->options = (uint8_t)options;
    r->sub_id = sub_id;
    while (*last)
        last = &(*last)->next;
    *last = r;
    list(c);
}

void client_replay_wake(struct client *c)
{
    if (c->extra && c->extra->replays && c->state == CLIENT_LIVE)
        list(c);
}

static bool visit(void *arg, struct message *m)
{
    struct client *c = arg;
    struct replay *r = c->extra->replays;
    struct worker *w = c->desk->w;
    unsigned granted = r->options & SUB_QOS;
    unsigned qos = granted < m->qos || w->limits->upgrade_outgoing_qos ? granted : m->qos;

    if ((r->options & SUB_NO_LOCAL) && m->publisher == c->session->serial)
        return true;
    message_ref(m, 1);
    session_deliver(w, c->session, m, qos, true, r->sub_id, 0); /* [MQTT-3.3.1-8] */
    return true;
}

static void replay_drop_first(struct client_extra *x)
{
    struct replay *r = x->replays;

    x->replays = r->next;
    retained_cursor_free(&r->cursor);
    free(r);
}

bool client_replay(struct client *c)
{
    struct client_extra *x = c->extra;
    struct worker *w = c->desk->w;

    if (c->state != CLIENT_LIVE)
        return false;
    uint64_t room = session_room(w, c->session);
    if (room == 0)
        return false;
    if (!retained_replay(w->broker->retained, x->replays->cursor, w->now_ms,
                         room < SLICE ? (unsigned)room : SLICE, visit, c))
        replay_drop_first(x);
    return x->replays != NULL;
}

void client_replay_stop(struct client *c)
{
    struct client_extra *x = c->extra;
    struct client_list *l = &c->desk->replaying;

    while (x->replays)
        replay_drop_first(x);
    for (uint32_t i = 0; x->replay_listed && i < l->count; i++) {
        if (l->items[i] == c) {
            l->items[i] = l->items[--l->count];
            x->replay_listed = false;
        }
    }
}
