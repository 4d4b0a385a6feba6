/* <skep/message.h>: publishing, and looking at what is retained.  Consumers: api_consumer.c. */
#include <stdlib.h>

#include "base/mem.h"
#include "core/broker.h"
#include "core/event.h"
#include "core/identity.h"
#include "core/idset.h"
#include "core/retained.h"
#include "core/router.h"
#include "core/session.h"
#include "host/consumer.h"
#include "host/decide.h"
#include "host/packing.h"
#include "host/traffic.h"
#include "mqtt/encode.h"
#include "mqtt/reason.h"
#include "mqtt/topic.h"

enum {
    PROPS_ON_STACK = 1024,
    UNDER_WAY_MOST = 10000,         /* messages of one module */
    UNDER_WAY_BYTES_MOST = 64 << 20 /* and their bytes; a single one may be larger */
};

/* -- Routing -- */

/* One publication as the router wants it. */
struct sending {
    struct publication p;
    struct skep_consumer *as;
    uint16_t once;
};

/* 0, or the reason it is refused with: what a client would be told. */
static uint8_t check(const struct limits *l, const struct publication *p)
{
    size_t most = l->max_packet ? l->max_packet : UINT32_MAX;

    if (topic_name_check(p->topic, l->max_topic_levels) != TOPIC_OK ||
        p->topic.len > l->max_topic_length)
        return RC_TOPIC_INVALID;
    if (p->retain && !l->retain)
        return RC_RETAIN_NOT_SUPPORTED;
    if ((l->max_payload && p->payload.len > l->max_payload) ||
        p->topic.len + p->payload.len + p->props.len > most)
        return RC_PACKET_TOO_LARGE;
    return 0;
}

static uint8_t reason_of(const struct routed *r)
{
    if (r->memory || r->store || r->retain_refused || (r->full > 0 && r->full == r->targets))
        return RC_QUOTA_EXCEEDED;
    return r->targets ? RC_SUCCESS : RC_NO_SUBSCRIBERS;
}

/* True: the consumer holds that number already, and the message was published when it took it. */
static bool held(const struct session *s, uint16_t once)
{
    return s->received && idset_has(s->received, once);
}

/* The number goes to the log in the message's own record, or by itself if there is none; a
 * refused message holds nothing. */
static bool hold(struct worker *w, struct session *s, uint16_t once, uint8_t reason,
                 const struct routed *r)
{
    bool added = reason < 0x80;

    if (!s->received)
        s->received = xcalloc(1, sizeof *s->received);
    if (added)
        idset_add(s->received, once);
    bool right = added == r->id_written || !session_written(w, s);
    if (!right)
        journal_received(w, s, once, !added);
    return r->written || !right;
}

/* *written: `done` has to wait for the log. */
static uint8_t route(struct host_place *place, struct sending *out, bool *written)
{
    struct worker *w = place_worker(place);
    struct session *s = out->as ? out->as->session : NULL;
    struct publication *p = &out->p;
    struct routed routed;
    uint8_t reason;

    ASSERT(w->hit_count == 0 && !w->journal.message); /* not inside another */
    if ((reason = check(w->limits, p)) != 0) {
        router_count_received(w, p->qos);
        REFUSED(w, p, reason, invalid);
        return reason;
    }
    p->publisher = s ? s->serial : 0;
    p->publisher_hash = s ? s->hash : 0;
    if (p->qos > w->limits->maximum_qos)
        p->qos = w->limits->maximum_qos;
    if (out->once && s) {
        *written = true; /* also when it is held: that may not have settled yet */
        if (held(s, out->once))
            return RC_SUCCESS;
        p->origin = session_written(w, s) ? s->serial : 0;
        p->packet_id = out->once;
    }
    p->who = s && core_wants_publisher(w) ? session_identity(s) : NULL;
    place->traffic->routing++;
    host_publish(place->host, w, p, &routed);
    place->traffic->routing--;
    identity_unref(p->who);
    reason = routed.denied ? routed.denied : reason_of(&routed);
    if (out->once && s)
        *written = hold(w, s, out->once, reason, &routed);
    else
        *written = routed.written;
    return reason;
}

/* -- Later -- */

static struct str piece(const struct outgoing *o, size_t at, size_t len)
{
    return (struct str){o->bytes + at, len};
}

void outgoing_route(struct outgoing *o)
{
    struct traffic *t = o->place->traffic;
    size_t payload_at = o->topic_len, props_at = payload_at + o->payload_len;
    struct sending out = {
        .p = {.topic = piece(o, 0, o->topic_len),
              .payload = piece(o, payload_at, o->payload_len),
              .props = piece(o, props_at, o->props_len),
              .props_plain = true,
              .qos = o->qos,
              .retain = o->retain,
              .expiry = o->expiry,
              .refusable = true},
        .as = o->as && o->as->session ? o->as : NULL,
        .once = o->once,
    };
    bool written = false;

    if (t->ended || (o->as && !out.as)) /* whose number it was to be is gone */
        o->reason = RC_SERVER_UNAVAILABLE;
    else
        o->reason = route(o->place, &out, &written);
    if (o->as)
        consumer_unpin(o->as);
    o->as = NULL;
    outgoing_settle(t, o, written);
}

static void route_arrived(struct loop_task *task, struct loop *l)
{
    outgoing_route(CONTAINER_OF(task, struct outgoing, task));
}

static void copy_bytes(struct outgoing *o, const struct skep_message *m, size_t props_len)
{
    char *p = o->bytes;

    o->topic_len = (uint32_t)m->topic.len;
    o->payload_len = (uint32_t)m->payload.len;
    o->props_len = (uint32_t)props_len;
    memcpy(p, m->topic.ptr, m->topic.len);
    p += m->topic.len;
    if (m->payload.len)
        memcpy(p, m->payload.ptr, m->payload.len);
    message_props_write(m, p + m->payload.len);
}

static struct host_place *fixed_place(struct host *h)
{
    static _Atomic unsigned threads;
    static _Thread_local unsigned mine;

    if (mine == 0)
        mine = 1 + atomic_fetch_add(&threads, 1) % 0xffff;
    return &h->places[mine % h->loop_count];
}

static uint32_t expiry_of(const struct skep_message *m)
{
    return m->expiry_s ? m->expiry_s : UINT32_MAX;
}

static int publish_later(struct skep_module *m, const struct skep_message *message,
                         struct skep_consumer *as, skep_published_fn *done, void *arg)
{
    struct host_place *here = host_here && host_here->worker ? host_here : NULL;
    struct host_place *place = here ? here : fixed_place(m->host);
    size_t props_len = message_props_size(message);
    size_t size = message->topic.len + message->payload.len + props_len;
    uint64_t bytes = atomic_fetch_add(&m->publishing_bytes, size);

    if (atomic_load(&m->publishing) >= UNDER_WAY_MOST ||
        (bytes > 0 && bytes + size > UNDER_WAY_BYTES_MOST)) {
        atomic_fetch_sub(&m->publishing_bytes, size);
        return SKEP_E_LIMIT;
    }
    struct outgoing *o = outgoing_new(m, place, size);
    if (!o) {
        atomic_fetch_sub(&m->publishing_bytes, size);
        return SKEP_E_MEMORY;
    }
    o->charged = size;
    o->done = done;
    o->arg = arg;
    o->as = as;
    o->qos = message->qos;
    o->retain = message->retain;
    o->expiry = expiry_of(message);
    o->once = message->once;
    copy_bytes(o, message, props_len);
    if (as)
        consumer_pin(as);
    if (here) {
        outgoing_put(&here->traffic->queue, o);
    } else {
        o->task.run = route_arrived;
        loop_post(place->loop, &o->task);
    }
    return SKEP_OK;
}

/* -- At once -- */

static int note_done(struct skep_module *m, struct host_place *here, skep_published_fn *done,
                     void *arg, uint8_t reason, bool written)
{
    struct outgoing *o = outgoing_new(m, here, 0);

    ASSERT(o != NULL);
    o->done = done;
    o->arg = arg;
    o->reason = reason;
    outgoing_settle(here->traffic, o, written);
    return SKEP_OK;
}

static int publish_now(struct skep_module *m, const struct skep_message *message,
                       struct skep_consumer *as, skep_published_fn *done, void *arg)
{
    char stack[PROPS_ON_STACK];
    size_t props_len = message_props_size(message);
    char *props = props_len <= sizeof stack ? stack : malloc(props_len);
    bool written = false;

    if (done && atomic_load_explicit(&m->publishing, memory_order_relaxed) >= UNDER_WAY_MOST)
        return SKEP_E_LIMIT;
    if (!props)
        return SKEP_E_MEMORY;
    message_props_write(message, props);
    struct sending out = {
        .p = {.topic = str_in(message->topic),
              .payload = str_in(message->payload),
              .props = {props, props_len},
              .props_plain = true,
              .qos = message->qos,
              .retain = message->retain,
              .expiry = expiry_of(message),
              .refusable = true},
        .as = as,
        .once = message->once,
    };
    uint8_t reason = route(host_here, &out, &written);
    if (props != stack)
        free(props);
    return done ? note_done(m, host_here, done, arg, reason, written) : SKEP_OK;
}

int skep_publish(struct skep_module *m, const struct skep_message *message,
                 struct skep_consumer *as, skep_published_fn *done, void *arg)
{
    struct host_place *here = host_here;
    struct skep_message known;

    if (!message_take(&known, message) || (known.once && (known.qos != 2 || !as)))
        return SKEP_E_INVALID;
    if (as && (here != as->place || as->state != CONSUMER_LIVE || as->close_asked))
        return SKEP_E_STATE;
    if (!here || !here->worker || here->within > 0 || here->traffic->routing > 0 ||
        here->traffic->queue.first)
        return publish_later(m, &known, as, done, arg);
    if (here->traffic->ended)
        return SKEP_E_REFUSED;
    return publish_now(m, &known, as, done, arg);
}

/* -- Retained messages -- */

struct looking {
    bool (*each)(const struct skep_message *message, void *arg);
    void *arg;
    struct unpacking room;
    uint64_t now_ms;
    size_t left;
    bool stopped;
};

static bool look_at(void *arg, struct message *m)
{
    struct looking *l = arg;
    struct skep_message out = {.size = sizeof out,
                               .qos = m->qos,
                               .retain = true,
                               .topic = str_out(message_topic(m)),
                               .payload = str_out(message_payload(m))};

    if (m->expires_ms != MESSAGE_NO_EXPIRY) {
        uint64_t left_s = m->expires_ms > l->now_ms ? (m->expires_ms - l->now_ms) / 1000 : 0;
        out.expiry_s = left_s ? (uint32_t)left_s : 1;
    }
    message_props_read(&out, message_props(m), &l->room);
    l->left--;
    l->stopped = !l->each(&out, l->arg);
    return !l->stopped;
}

int skep_retained(struct skep_module *m, struct skep_str filter, size_t most,
                  bool (*each)(const struct skep_message *message, void *arg), void *arg)
{
    struct host_place *here = host_here;
    struct looking l = {.each = each, .arg = arg, .left = most};
    struct str name, rest, f = str_in(filter);

    if (!here)
        return SKEP_E_STATE;
    if (topic_filter_check(f, 0) != TOPIC_OK || topic_share_split(f, &name, &rest))
        return SKEP_E_INVALID;
    l.now_ms = loop_now_ms(here->loop);
    struct retained_cursor *cursor = retained_cursor_new(f);
    bool more = true;
    while (more && l.left > 0 && !l.stopped) {
        unsigned slice = l.left < UINT16_MAX ? (unsigned)l.left : UINT16_MAX;
        more = retained_replay(m->host->broker->retained, cursor, l.now_ms, slice, look_at, &l);
    }
    retained_cursor_free(&cursor);
    unpacking_fini(&l.room);
    return SKEP_OK;
}
