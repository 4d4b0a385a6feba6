#include "core/will.h"

#include <stdlib.h>

#include "base/mem.h"
#include "core/broker.h"
#include "core/event.h"
#include "core/identity.h"
#include "core/router.h"
#include "core/session.h"

void will_set(struct session *s, const struct mqtt_will *from, struct str forwarded_props)
{
    struct will *will = xcalloc(1, sizeof *will);

    will->topic = str_dup(from->topic);
    will->topic_len = (uint16_t)from->topic.len;
    will->payload = str_dup(from->payload);
    will->payload_len = (uint32_t)from->payload.len;
    will->props = str_dup(forwarded_props);
    will->props_len = (uint32_t)forwarded_props.len;
    will->qos = from->qos;
    will->retain = from->retain;
    will->delay = from->delay;
    will->expiry = from->expiry;
    will->publisher = s->serial;
    will->publisher_hash = s->hash;
    will_free(&s->will);
    s->will = will;
}

void will_free(struct will **will)
{
    if (!*will)
        return;
    free((*will)->topic);
    free((*will)->payload);
    free((*will)->props);
    identity_unref((*will)->by);
    free(*will);
    *will = NULL;
}

void will_send(struct worker *w, struct will *will)
{
    struct publication p = {
        .topic = {will->topic, will->topic_len},
        .payload = {will->payload, will->payload_len},
        .props = {will->props, will->props_len},
        .props_plain = true,
        .qos = will->qos,
        .retain = will->retain,
        .expiry = will->expiry,
        .publisher = will->publisher,
        .publisher_hash = will->publisher_hash,
        .origin = serial_stored(will->publisher) ? will->publisher : 0,
        .from_will = true,
        .who = will->by,
    };
    const struct broker *b = w->broker;
    struct routed routed;

    if (b->guard)
        b->guard->will(b->guard_arg, w, will->by, &p, &routed);
    else
        router_publish(w, &p, &routed);
    if (!routed.written)
        journal_will_gone(w, p.origin);
    COUNT(w, wills_published);
    will_free(&will);
}

void will_publish(struct worker *w, struct session *s)
{
    struct will *will = s->will;

    s->will = NULL;
    if (!will)
        return;
    if (!will->by && (w->broker->guard || core_wants_publisher(w)))
        will->by = session_identity(s);
    will_send(w, will);
}
