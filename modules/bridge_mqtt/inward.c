/* Messages from the remote broker: into this one, as the bridge's consumer, so that they do not go
 * straight back. */
#include <stdlib.h>

#include "bridge.h"

enum { SOME_USERS = 16 };

/* A message that is being published. */
struct publishing {
    struct remote *r;
    struct incoming *in;
};

static bool id_held(const struct remote *r, uint16_t id)
{
    return r->held[id / 64] >> (id % 64) & 1;
}

static void id_hold(struct remote *r, uint16_t id, bool hold)
{
    uint64_t bit = UINT64_C(1) << (id % 64);

    r->held[id / 64] = hold ? r->held[id / 64] | bit : r->held[id / 64] & ~bit;
}

/* The consumer's session holds packet ids of one connection alone; and not after a clean start. */
static bool consumer_holds(const struct remote *r)
{
    return r->index == 0 && r->bridge->durable;
}

void inward_begin(struct remote *r)
{
    memset(r->held, 0, sizeof r->held);
    if (consumer_holds(r) && bridge_is_open(r->bridge))
        skep_consumer_forget(r->bridge->queues[QUEUE_LIVE].consumer, 0, NULL, NULL);
}

/* -- Published -- */

/* The broker will never take it, however often it is tried. */
static bool is_final(enum skep_reason reason)
{
    return reason == SKEP_RC_TOPIC_INVALID || reason == SKEP_RC_PAYLOAD_INVALID ||
           reason == SKEP_RC_NOT_AUTHORIZED;
}

static void publish_done(struct remote *r, struct incoming *in, enum skep_reason reason)
{
    bool final = is_final(reason);

    if (final)
        skep_counter_add(r->bridge->meters.dropped_invalid, 1);
    if (reason >= 0x80 && !final && in->engine) {
        if (in->qos == 2)
            id_hold(r, in->packet_id, false);
        remote_fail(r, "this broker refuses messages from it"); /* it sends them again */
    }
    engine_taken(in, 0);
    if (r->state == REMOTE_UP && r->engine.waiting)
        remote_input(r, NULL, 0);
    remote_flush_soon(r);
}

static void published(void *arg, enum skep_reason reason)
{
    struct publishing *p = arg;

    if (p->r->timer)
        publish_done(p->r, p->in, reason);
    else
        engine_taken(p->in, 0); /* the connection is gone for good */
    remote_unref(p->r);
    free(p);
}

static struct skep_message make_message(const struct wire_packet *p, struct skep_str topic,
                                        const struct skep_user_property *users, size_t count)
{
    return (struct skep_message){
        .size = sizeof(struct skep_message),
        .qos = p->qos,
        .retain = p->retain,
        .payload_is_utf8 = p->props.payload_utf8 == 1,
        .expiry_s = p->props.message_expiry,
        .topic = topic,
        .payload = p->payload,
        .content_type = p->props.content_type,
        .response_topic = p->props.response_topic,
        .correlation_data = p->props.correlation,
        .user_properties = users,
        .user_property_count = count,
    };
}

static enum handing publish(struct remote *r, const struct skep_message *m, struct incoming *in)
{
    struct bridge *b = r->bridge;
    struct publishing *p = in ? bridge_alloc(sizeof *p) : NULL;

    if (p) {
        *p = (struct publishing){r, in};
        r->refs++;
    }
    int err = skep_publish(b->m, m, b->queues[QUEUE_LIVE].consumer, p ? published : NULL, p);
    if (err == 0) {
        skep_counter_add(b->meters.in_messages, 1);
        skep_counter_add(b->meters.in_bytes, m->payload.len);
        return HANDED;
    }
    if (p) {
        free(p);
        r->refs--;
    }
    if (err == SKEP_E_LIMIT)
        return HAND_LATER;
    if (err != SKEP_E_INVALID)
        return HAND_FAILED;
    skep_counter_add(b->meters.dropped_invalid, 1);
    skep_log(b->m, SKEP_LOG_WARN, "%s: a message to %.*s cannot be published here",
             b->conf->block.label, (int)m->topic.len, m->topic.ptr);
    if (in)
        engine_taken(in, 0);
    return HANDED;
}

/* -- Received -- */

static bool came_back(struct bridge *b, const struct skep_user_property *users, size_t count)
{
    if (!b->conf->loop_guard || !path_has(users, count, 0, skep_str(b->broker_id)))
        return false;
    skep_counter_add(b->meters.loops, 1);
    return true;
}

static size_t count_users(const struct wire_props *props)
{
    struct skep_user_property one;
    struct skep_str rest = props->all;
    size_t count = 0;

    while (wire_user_next(&rest, &one))
        count++;
    return count;
}

static enum handing pass_on(struct remote *r, const struct wire_packet *p, struct incoming *in,
                            struct skep_user_property *users, size_t count)
{
    struct bridge *b = r->bridge;
    bool once = in && p->qos == 2 && consumer_holds(r);
    bool again = in && p->qos == 2 && !once && id_held(r, p->id);

    if (again || came_back(b, users, count) || !route_in(&b->routes, p->topic, &b->topic)) {
        if (in)
            engine_taken(in, 0);
        return HANDED;
    }
    if (b->conf->loop_guard && b->conf->version == 0)
        count = path_add(users, count, PATH_IN, skep_str(b->broker_id), users, &b->path);
    struct skep_message m =
        make_message(p, skep_bytes(buf_data(&b->topic), buf_len(&b->topic)), users, count);
    m.once = once ? p->id : 0;
    enum handing handing = publish(r, &m, in);
    if (handing == HANDED && in && p->qos == 2 && !once)
        id_hold(r, p->id, true);
    return handing;
}

enum handing inward_message(void *remote, const struct wire_packet *p, struct incoming *in)
{
    struct remote *r = remote;
    struct skep_user_property some[SOME_USERS], *users = some;
    size_t count = count_users(&p->props);

    if (!bridge_is_open(r->bridge))
        return HAND_LATER;
    if (count + 1 > SOME_USERS) /* one more for the path */
        users = bridge_alloc((count + 1) * sizeof *users);
    count = wire_users(&p->props, users, count);
    enum handing handing = pass_on(r, p, in, users, count);
    if (users != some)
        free(users);
    return handing;
}

/* -- Released -- */

struct forgetting {
    struct remote *r;
    uint64_t generation;
    uint16_t packet_id;
};

static void forgotten(void *arg)
{
    struct forgetting *f = arg;
    struct remote *r = f->r;

    if (r->timer && r->generation == f->generation) {
        engine_complete(&r->engine, f->packet_id);
        remote_flush_soon(r);
    }
    remote_unref(r);
    free(f);
}

void inward_forget(void *remote, uint16_t packet_id)
{
    struct remote *r = remote;

    id_hold(r, packet_id, false);
    if (!consumer_holds(r)) {
        engine_complete(&r->engine, packet_id);
        return;
    }
    if (!bridge_is_open(r->bridge))
        return; /* PUBREL comes again on the next connection */
    struct forgetting *f = bridge_alloc(sizeof *f);
    *f = (struct forgetting){r, r->generation, packet_id};
    r->refs++;
    skep_consumer_forget(r->bridge->queues[QUEUE_LIVE].consumer, packet_id, forgotten, f);
}
