#include "core/replay.h"

#include <stdlib.h>

#include "base/mem.h"
#include "core/broker.h"
#include "core/event.h"
#include "core/retained.h"
#include "core/session.h"
#include "mqtt/topic.h"

struct replay {
    struct replay *next;
    struct retained_cursor *cursor;
    uint32_t sub_id;
    uint8_t options;
};

static bool nothing_kept(struct worker *w, struct str filter)
{
    return !topic_filter_has_wildcard(filter) &&
           !retained_get(w->broker->retained, filter, w->now_ms);
}

bool replays_add(struct worker *w, struct replays *list, struct str filter, unsigned options,
                 uint32_t sub_id)
{
    if (nothing_kept(w, filter))
        return false;

    struct replay *r = xcalloc(1, sizeof *r);
    r->cursor = retained_cursor_new(filter);
    r->options = (uint8_t)options;
    r->sub_id = sub_id;
    if (list->first)
        list->last->next = r;
    else
        list->first = r;
    list->last = r;
    list->count++;
    return true;
}

static void drop_first(struct replays *list)
{
    struct replay *r = list->first;

    list->first = r->next;
    retained_cursor_free(&r->cursor);
    free(r);
    list->count--;
}

void replays_fini(struct replays *list)
{
    while (list->first)
        drop_first(list);
}

struct slice {
    struct worker *w;
    struct session *session;
    const struct replay *replay;
    unsigned left;
};

static void deliver(struct worker *w, struct session *s, struct message *m, const struct replay *r)
{
    unsigned granted = r->options & SUB_QOS;
    unsigned qos = granted < m->qos || w->limits->upgrade_outgoing_qos ? granted : m->qos;

    if ((r->options & SUB_NO_LOCAL) && m->publisher == s->serial)
        return;
    message_ref(m, 1);
    journal_begin(w, m, 0, 0, 0);
    enum delivery how = session_deliver(w, s, m, qos, true, r->sub_id, 0); /* [MQTT-3.3.1-8] */
    journal_end(w);
    if (how == DELIVERY_FULL && core_wants(w, CORE_DROPPED))
        core_tell_unlocked(w, CORE_DROPPED, s, m, qos, "queue_full");
}

static bool visit(void *arg, struct message *m)
{
    struct slice *slice = arg;

    deliver(slice->w, slice->session, m, slice->replay);
    slice->left--;
    return true;
}

bool replays_slice(struct worker *w, struct replays *list, struct session *s)
{
    uint64_t room = session_room(w, s);
    struct slice slice = {
        .w = w, .session = s, .left = room < REPLAY_SLICE ? (unsigned)room : REPLAY_SLICE};

    for (unsigned i = 0; i < REPLAY_SLICE && slice.left > 0 && list->first; i++) {
        slice.replay = list->first;
        if (retained_replay(w->broker->retained, list->first->cursor, w->now_ms, slice.left, visit,
                            &slice))
            break; /* it looked at as much as one slice may */
        drop_first(list);
    }
    return room > 0 && list->first;
}
