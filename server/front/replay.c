/* Retained messages for new subscriptions (core/replay.h), for the desk.
 *
 * Without room a client leaves the desk's list until it acknowledged or its socket drained
 * (client_replay_wake).  A client with PENDING_MAX replays under way is not read from, so that
 * subscribing again and again costs only itself. */
#include "front/client.h"

enum { PENDING_MAX = 256 };

static void list(struct client *c)
{
    if (!c->extra->replay_listed) {
        c->extra->replay_listed = true;
        client_list_add(&c->desk->replaying, c);
    }
}

void client_replay_wake(struct client *c)
{
    if (c->extra && c->extra->replays.first && c->state == CLIENT_LIVE)
        list(c);
}

/* What is kept waits for the slice in any case: behind the SUBACK, whoever flushes the session
 * meanwhile. */
void client_replay_start(struct client *c, struct str filter, unsigned options, uint32_t sub_id)
{
    struct replays few = {0}, *replays = c->extra ? &c->extra->replays : &few;

    if (!replays_add(c->desk->w, replays, filter, options, sub_id))
        return;
    if (replays == &few)
        client_extra(c)->replays = few;
    if (c->extra->replays.count >= PENDING_MAX)
        client_hold(c);
    list(c);
}

bool client_replay(struct client *c)
{
    if (c->state != CLIENT_LIVE || client_suback_parked(c))
        return false;
    bool more = replays_slice(c->desk->w, &c->extra->replays, c->session);
    if (c->paused)
        desk_unpause(c->desk, c);
    return more;
}

bool client_replay_crowded(const struct client *c)
{
    return c->extra && c->extra->replays.count >= PENDING_MAX;
}

void client_replay_stop(struct client *c)
{
    struct client_extra *x = c->extra;

    replays_fini(&x->replays);
    if (x->replay_listed)
        client_list_remove(&c->desk->replaying, c);
    x->replay_listed = false;
}
