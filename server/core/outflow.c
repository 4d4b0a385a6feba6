/* From queue to bytes: session_flush.
 *
 * Small packets are put together in the worker's scratch, so that many of them leave in
 * one system call; a large payload goes as a vector of its own, never copied.  The header
 * is made here and not stored: a subscriber costs one 16-byte entry however its QoS,
 * protocol version and properties differ from the next one's. */
#include "base/mem.h"
#include "core/alias.h"
#include "core/broker.h"
#include "core/event.h"
#include "core/session.h"
#include "core/share.h"
#include "core/spill.h"
#include "mqtt/encode.h"

enum {
    GATHER_VECS = 64,
    COPY_MAX = 1024,           /* larger pieces go by reference */
    HEAD_MAX = 64,             /* fixed header, ids, property lengths, expiry, alias */
    REMAINING_MAX = 268435455, /* [MQTT-1.5.5-1] */
    PACKET_SCRATCH = HEAD_MAX + 3 * COPY_MAX,
    PACKET_VECS = 8,
    ALIAS_ROOM = 5,
};

struct gather {
    struct worker *w;
    struct link *link;
    uint8_t *start, *at; /* scratch not yet in a vector */
    struct out_vec vec[GATHER_VECS];
    unsigned count;
    size_t bytes;
    struct message *held[GATHER_VECS]; /* QoS 0 messages whose bytes stand in vec */
    unsigned held_count;
};

static void gather_close(struct gather *g)
{
    if (g->at > g->start) {
        g->vec[g->count++] = (struct out_vec){g->start, (size_t)(g->at - g->start), NULL};
        g->start = g->at;
    }
}

static void gather_bytes(struct gather *g, const void *ptr, size_t len, struct refbuf *owner)
{
    g->bytes += len;
    if (len <= COPY_MAX) {
        memcpy(g->at, ptr, len);
        g->at += len;
        return;
    }
    gather_close(g);
    g->vec[g->count++] = (struct out_vec){ptr, len, owner};
}

static enum link_sent gather_send(struct gather *g)
{
    enum link_sent sent = LINK_SENT;

    gather_close(g);
    if (g->count > 0) {
        sent = g->link->ops->send(g->link, g->vec, g->count);
        if (sent != LINK_FAILED)
            COUNT_N(g->w, bytes_sent, g->bytes);
    }
    for (unsigned i = 0; i < g->held_count; i++)
        message_unref(g->held[i]);
    g->count = g->held_count = 0;
    g->bytes = 0;
    g->start = g->at = g->w->scratch;
    if (sent == LINK_BLOCKED)
        g->link->blocked = true;
    return sent;
}

static bool gather_tight(const struct gather *g)
{
    return g->count + PACKET_VECS > GATHER_VECS || g->held_count == GATHER_VECS ||
           g->at + PACKET_SCRATCH > g->w->scratch + WORKER_SCRATCH;
}

/* -- One PUBLISH -- */

struct publish_head {
    uint32_t remaining;  /* remaining length */
    uint32_t props;      /* property bytes in all */
    uint32_t expiry;     /* seconds left; 0: no property */
    uint16_t alias;      /* 0: none */
    bool topic_left_out; /* the alias stands for it */
    uint8_t props_size;  /* bytes of the property length itself; 0 before MQTT 5 */
};

static uint32_t seconds_left(const struct message *m, uint64_t now_ms)
{
    uint64_t left = m->expires_ms > now_ms ? m->expires_ms - now_ms : 0;
    return left < 1000 ? 1 : (uint32_t)(left / 1000);
}

static void head_properties(const struct worker *w, const struct entry *e, struct publish_head *h)
{
    const struct message *m = e->message;

    h->props = m->props_len;
    if (m->expires_ms != MESSAGE_NO_EXPIRY) {
        h->expiry = seconds_left(m, w->now_ms); /* [MQTT-3.3.2-6] */
        h->props += 5;
    }
    if (e->sub_id)
        h->props += 1 + mqtt_varint_size(e->sub_id);
}

/* "#" behind the mount point "m/" also matches "m" itself: no topic this client could know. */
static bool outside_mount(const struct link *link, const struct message *m)
{
    return UNLIKELY(link->mount_len && m->topic_len <= link->mount_len);
}

/* The topic as this client knows it: without its mount point. */
static struct str topic_shown(const struct link *link, const struct message *m)
{
    struct str topic = message_topic(m);
    return (struct str){topic.ptr + link->mount_len, topic.len - link->mount_len};
}

static uint32_t head_remaining(const struct link *link, const struct entry *e,
                               struct publish_head *h)
{
    const struct message *m = e->message;
    uint32_t n = 2 + m->topic_len - link->mount_len + (e->qos ? 2 : 0) + m->payload_len;

    if (link->version == MQTT_50) {
        h->props_size = (uint8_t)mqtt_varint_size(h->props);
        n += h->props_size + h->props;
    }
    return n;
}

/* Picks an alias where the client takes them. */
static void head_alias(struct worker *w, struct link *link, const struct entry *e,
                       struct publish_head *h)
{
    uint16_t most = link->alias_maximum;

    if (most > w->limits->topic_alias_out)
        most = w->limits->topic_alias_out;
    if (most == 0)
        return;
    if (!link->aliases)
        link->aliases = alias_table_new(most);
    h->alias = alias_assign(link->aliases, message_topic(e->message), &h->topic_left_out);
    if (!h->alias)
        return;
    h->props += 3;
    h->remaining = head_remaining(link, e, h);
    if (h->topic_left_out)
        h->remaining -= e->message->topic_len - link->mount_len;
}

static uint8_t *write_properties(uint8_t *p, const struct entry *e, const struct publish_head *h)
{
    p = mqtt_varint_write(p, h->props);
    if (h->expiry) {
        *p++ = PROP_MESSAGE_EXPIRY;
        p = mqtt_u32_write(p, h->expiry);
    }
    if (h->alias) {
        *p++ = PROP_TOPIC_ALIAS;
        p = mqtt_u16_write(p, h->alias);
    }
    if (e->sub_id) {
        *p++ = PROP_SUBSCRIPTION_ID;
        p = mqtt_varint_write(p, e->sub_id);
    }
    return p;
}

static uint8_t first_byte(const struct entry *e)
{
    return (uint8_t)(MQTT_PUBLISH << 4 | ((e->sent_before || e->restored) && e->qos ? 8 : 0) |
                     e->qos << 1 | e->retain);
}

static void put_publish(struct gather *g, const struct entry *e, uint16_t packet_id,
                        const struct publish_head *h)
{
    struct message *m = e->message;
    struct str topic = topic_shown(g->link, m), payload = message_payload(m),
               props = message_props(m);
    uint8_t *begin = g->at, *p = begin;

    *p++ = first_byte(e);
    p = mqtt_varint_write(p, h->remaining);
    p = mqtt_u16_write(p, h->topic_left_out ? 0 : (unsigned)topic.len);
    g->at = p;
    g->bytes += (size_t)(p - begin);
    if (!h->topic_left_out)
        gather_bytes(g, topic.ptr, topic.len, &m->buf);

    begin = p = g->at;
    if (e->qos)
        p = mqtt_u16_write(p, packet_id);
    if (g->link->version == MQTT_50)
        p = write_properties(p, e, h);
    g->at = p;
    g->bytes += (size_t)(p - begin);
    if (h->props_size)
        gather_bytes(g, props.ptr, props.len, &m->buf);
    gather_bytes(g, payload.ptr, payload.len, &m->buf);
}

/* The commonest packet stands ready in the message: one copy. */
static void put_ready_made(struct gather *g, const struct entry *e)
{
    struct message *m = e->message;

    if (m->wire_len <= COPY_MAX) {
        memcpy(g->at, message_wire(m), m->wire_len);
        g->at[0] = first_byte(e);
        g->at += m->wire_len;
        g->bytes += m->wire_len;
        return;
    }
    *g->at++ = first_byte(e);
    g->bytes++;
    gather_bytes(g, message_wire(m) + 1, m->wire_len - 1, &m->buf);
}

/* False: the packet would exceed the client's limit [MQTT-3.1.2-24]. */
static bool gather_publish(struct gather *g, const struct entry *e, uint16_t packet_id)
{
    struct link *link = g->link;
    const struct message *m = e->message;

    if (link->version != MQTT_50 && e->qos == 0 && link->mount_len == 0) {
        if (m->wire_len > link->maximum_packet)
            return false;
        put_ready_made(g, e);
    } else {
        struct publish_head h = {0};
        if (link->version == MQTT_50)
            head_properties(g->w, e, &h);
        h.remaining = head_remaining(link, e, &h);
        uint64_t size = (uint64_t)h.remaining + 1 + mqtt_varint_size(h.remaining);
        if (size > link->maximum_packet || h.remaining + ALIAS_ROOM > REMAINING_MAX)
            return false;
        /* a new alias costs three bytes and may lengthen both lengths */
        if (link->alias_maximum && size + ALIAS_ROOM <= link->maximum_packet)
            head_alias(g->w, link, e, &h);
        put_publish(g, e, packet_id, &h);
    }
    COUNT(g->w, sent_publishes);
    return true;
}

static void gather_pubrel(struct gather *g, uint16_t packet_id)
{
    uint8_t *p = g->at;
    *p++ = MQTT_PUBREL << 4 | 2;
    *p++ = 2;
    g->at = mqtt_u16_write(p, packet_id);
    g->bytes += 4;
    COUNT(g->w, sent_control);
}

static bool expired(const struct worker *w, const struct entry *e)
{
    return e->message->expires_ms != MESSAGE_NO_EXPIRY && e->message->expires_ms <= w->now_ms;
}

/* -- The queues -- */

/* Whether the entry's bytes may still stand in a vector, so that its reference must wait. */
static bool by_reference(const struct message *m)
{
    return m->wire_len > COPY_MAX || m->props_len > COPY_MAX;
}

static enum link_sent flush_qos0(struct gather *g, struct session *s)
{
    struct outbox *out = s->out;
    struct fifo *f = &out->q0;

    while (f->head != f->tail) {
        if (gather_tight(g)) {
            enum link_sent sent = gather_send(g);
            if (sent != LINK_SENT)
                return sent;
        }
        struct entry *e = fifo_at(f, f->head);
        struct message *m = e->message;
        f->next = ++f->head;
        out->q0_bytes -= message_size(m);
        if (expired(g->w, e)) {
            DROPPED(g->w, s, m, 0, expired); /* [MQTT-3.3.2-5] */
        } else if (outside_mount(g->link, m)) {
            DROPPED(g->w, s, m, 0, outside_mount);
        } else if (!broker_may_receive(g->w, s, m, 0, e->retain)) {
            DROPPED(g->w, s, m, 0, not_authorized);
        } else if (!gather_publish(g, e, 0)) {
            DROPPED(g->w, s, m, 0, too_large); /* [MQTT-3.1.2-25] */
        } else {
            COUNT(g->w, delivered_qos0);
            DELIVERED(g->w, s, m, 0);
            if (by_reference(m)) {
                g->held[g->held_count++] = m;
                continue;
            }
        }
        message_unref(m);
    }
    fifo_trim(f);
    return LINK_SENT;
}

/* A QoS>0 message that leaves the queue unsent. */
static void discard(struct worker *w, struct session *s, struct entry *e, unsigned why)
{
    struct outbox *out = s->out;

    journal_done(w, s, fifo_counter(&out->q1, e), why);
    out->q1_bytes -= message_size(e->message);
    message_unref(e->message);
    e->message = NULL;
    e->state = ENTRY_DONE;
}

/* It may not have it (any more).  What came through a shared group goes to another member. */
static void not_for(struct worker *w, struct session *s, struct entry *e)
{
    if (e->share) {
        message_ref(e->message, 1);
        share_orphan(w, s, e);
    } else {
        DROPPED(w, s, e->message, e->qos, not_authorized);
    }
    discard(w, s, e, RECORD_DROPPED);
}

static void send_waiting(struct gather *g, struct session *s, struct entry *e, uint16_t id)
{
    /* Once sent, a message does not expire any more [MQTT-4.3.3-7]; at QoS 2 not even if the
     * process before this one may have sent it, for the client may hold its id. */
    bool first = !e->sent_before && !(e->restored && e->qos == 2);

    if (first && expired(g->w, e)) {
        DROPPED(g->w, s, e->message, e->qos, expired);
        discard(g->w, s, e, RECORD_EXPIRED);
    } else if (outside_mount(g->link, e->message)) {
        DROPPED(g->w, s, e->message, e->qos, outside_mount);
        discard(g->w, s, e, RECORD_DROPPED);
    } else if (first && !broker_may_receive(g->w, s, e->message, e->qos, e->retain)) {
        not_for(g->w, s, e);
    } else if (!gather_publish(g, e, id)) {
        DROPPED(g->w, s, e->message, e->qos, too_large);
        discard(g->w, s, e, RECORD_DROPPED);
    } else {
        if (e->sent_before || e->restored)
            COUNT(g->w, redelivered);
        e->state = ENTRY_SENT;
        e->sent_before = 1; /* the next time carries DUP [MQTT-3.3.1-1] */
        e->in_flight = 1;
        s->out->in_flight++;
    }
}

/* q1 has something to send, now or once what follows it has moved up. */
static bool more_to_send(struct gather *g, struct session *s)
{
    struct outbox *out = s->out;

    if (UNLIKELY(out->spill != NULL))
        spill_refill(g->w, s);
    return out->q1.next != out->q1.tail;
}

/* How far the newest in-flight id may run ahead of the oldest: bounds the memory a client
 * costs that acknowledges all but one, and keeps ids unique [MQTT-2.2.1-4]. */
static uint64_t window_of(const struct link *link)
{
    uint64_t window = (uint64_t)link->quota * 4 + 1024;
    return window < 65000 ? window : 65000;
}

static enum link_sent flush_qos12(struct gather *g, struct session *s)
{
    struct outbox *out = s->out;
    struct fifo *f = &out->q1;
    uint64_t window = window_of(g->link);

    while (more_to_send(g, s) && f->next - f->head < window) {
        struct entry *e = fifo_at(f, f->next);
        if (e->state != ENTRY_DONE && out->in_flight >= g->link->quota) /* [MQTT-3.3.4-9] */
            break;
        if (UNLIKELY(e->held)) /* and those behind it keep their place */
            break;
        if (gather_tight(g)) {
            enum link_sent sent = gather_send(g);
            if (sent != LINK_SENT)
                return sent;
        }
        uint16_t id = fifo_packet_id(fifo_advance(f));
        if (e->state == ENTRY_WAITING) {
            send_waiting(g, s, e, id);
        } else if (e->state == ENTRY_RELEASED) {
            gather_pubrel(g, id); /* [MQTT-4.4.0-1] */
            e->in_flight = 1;
            out->in_flight++;
        }
        if (e->state == ENTRY_DONE)
            fifo_settle(f); /* or those discarded would fill the window for good */
    }
    fifo_trim(f);
    return LINK_SENT;
}

static enum link_sent flush_locked(struct worker *w, struct session *s, struct str first)
{
    struct gather g;
    enum link_sent sent = LINK_SENT;

    g.w = w;
    g.link = session_link(s);
    g.start = g.at = w->scratch;
    g.count = g.held_count = 0;
    g.bytes = 0;
    if (first.len > 0) {
        g.vec[g.count++] = (struct out_vec){first.ptr, first.len, NULL};
        g.bytes = first.len;
    }
    if (s->out) {
        sent = flush_qos12(&g, s);
        if (sent == LINK_SENT)
            sent = flush_qos0(&g, s);
    }
    enum link_sent last = gather_send(&g);
    return sent == LINK_SENT ? last : sent;
}

static enum link_sent flush_linked(struct worker *w, struct session *s, struct str first)
{
    s->dirty = false;
    if (session_link(s)->blocked)
        return LINK_BUSY;
    return flush_locked(w, s, first);
}

enum link_sent session_flush(struct worker *w, struct session *s, struct str first)
{
    enum link_sent sent;

    lock_take(&s->lock);
    struct link *link = session_link(s);
    if (!link)
        sent = LINK_FAILED;
    else if (!link->shareable && link->worker != w->index)
        sent = LINK_SENT; /* another client has it since it was made dirty: sent with its CONNACK */
    else
        sent = flush_linked(w, s, first);
    lock_drop(&s->lock);
    return sent;
}

enum link_sent session_attach(struct worker *w, struct session *s, struct link *link,
                              struct str first)
{
    lock_take(&s->lock);
    atomic_store_explicit(&s->link, link, memory_order_relaxed);
    enum link_sent sent = flush_linked(w, s, first);
    lock_drop(&s->lock);
    return sent;
}

enum link_sent session_unblock(struct worker *w, struct session *s, struct str first)
{
    enum link_sent sent = LINK_FAILED;

    lock_take(&s->lock);
    if (session_link(s)) {
        session_link(s)->blocked = false;
        sent = flush_linked(w, s, first);
    }
    lock_drop(&s->lock);
    return sent;
}
