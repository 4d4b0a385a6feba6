/* PUBLISH from a client: the broker's front door for messages [MQTT 3.3]. */
#include <stdlib.h>

#include "base/mem.h"
#include "core/broker.h"
#include "core/event.h"
#include "core/identity.h"
#include "core/router.h"
#include "core/session.h"
#include "front/client.h"
#include "front/entrance.h"
#include "host/guard.h"
#include "mqtt/topic.h"

/* -- Topic aliases [MQTT 3.3.2.3.4] -- */

static bool alias_set(struct client *c, uint16_t alias, struct str topic)
{
    struct client_extra *x = client_extra(c);

    if (!x->aliases) {
        x->alias_count = c->desk->w->limits->topic_alias_maximum;
        x->aliases = xcalloc(x->alias_count, sizeof(char *));
        x->alias_lens = xcalloc(x->alias_count, sizeof *x->alias_lens);
    }
    if (alias > x->alias_count)
        return false;
    char **slot = &x->aliases[alias - 1];
    if (*slot && str_eq((struct str){*slot, x->alias_lens[alias - 1]}, topic))
        return true;
    free(*slot);
    *slot = str_dup(topic);
    x->alias_lens[alias - 1] = (uint16_t)topic.len;
    return true;
}

static bool alias_get(const struct client *c, uint16_t alias, struct str *topic)
{
    const struct client_extra *x = c->extra;

    if (!x || !x->aliases || alias > x->alias_count || !x->aliases[alias - 1])
        return false;
    *topic = (struct str){x->aliases[alias - 1], x->alias_lens[alias - 1]};
    return true;
}

/* -- Checks: 0, or the reason to end the connection with -- */

static int check_topic(struct client *c, struct mqtt_publish *p)
{
    const struct limits *l = c->desk->w->limits;

    if (p->topic.len == 0) {
        if (p->topic_alias == 0)
            return c->version == MQTT_50 ? RC_PROTOCOL_ERROR : RC_TOPIC_INVALID;
        if (p->topic_alias > l->topic_alias_maximum)
            return RC_TOPIC_ALIAS_INVALID; /* [MQTT-3.3.2-9] */
        return alias_get(c, p->topic_alias, &p->topic) ? 0 : RC_PROTOCOL_ERROR;
    }
    enum topic_fault fault = topic_name_check(p->topic, l->max_topic_levels);
    if (fault == TOPIC_UTF8 || fault == TOPIC_NUL)
        return RC_MALFORMED;
    if (fault != TOPIC_OK || p->topic.len > l->max_topic_length ||
        p->topic.len + c->policy->mount_len > UINT16_MAX)
        return RC_TOPIC_INVALID; /* [MQTT-3.3.2-2] */
    if (p->topic_alias &&
        (p->topic_alias > l->topic_alias_maximum || !alias_set(c, p->topic_alias, p->topic)))
        return RC_TOPIC_ALIAS_INVALID;
    return 0;
}

static int check_publish(struct client *c, struct mqtt_publish *p)
{
    const struct limits *l = c->desk->w->limits;
    const struct session *s = c->session;

    if (p->qos > l->maximum_qos)
        return RC_QOS_NOT_SUPPORTED; /* [MQTT-3.2.2-11] */
    if (p->retain && !l->retain)
        return RC_RETAIN_NOT_SUPPORTED; /* [MQTT-3.2.2-14] */
    if (l->max_payload && p->payload.len > l->max_payload)
        return RC_PACKET_TOO_LARGE;
    /* A client that has seen none of our acknowledgements since has that many open
     * [MQTT-3.3.4-7]. */
    if (p->qos && c->version == MQTT_50) {
        uint32_t open = c->unacked + (s->received ? s->received->count : 0);
        bool repeated = p->qos == 2 && s->received && idset_has(s->received, p->packet_id);
        if (open >= l->receive_maximum && !repeated)
            return RC_RECEIVE_MAXIMUM;
    }
    return check_topic(c, p);
}

/* -- Rate limits -- */

static bool bucket_take(double *tokens, double rate, double elapsed_s, double cost)
{
    *tokens += rate * elapsed_s;
    if (*tokens > rate)
        *tokens = rate; /* a burst of one second's worth */
    *tokens -= cost;
    return *tokens >= 0;
}

struct rates {
    double messages, bytes; /* a second; 0: no limit */
};

static double lower(uint64_t configured, uint64_t quota)
{
    if (quota == UINT64_MAX || (configured && configured < quota))
        return (double)configured;
    return quota ? (double)quota : 0.001; /* nothing at all: a message in many minutes */
}

static struct rates rates_of(const struct client *c)
{
    const struct limits *l = c->desk->w->limits;

    return (struct rates){
        .messages = lower(l->message_rate, host_client_quota(c->host, SKEP_QUOTA_MESSAGE_RATE)),
        .bytes = lower(l->byte_rate, host_client_quota(c->host, SKEP_QUOTA_BYTE_RATE))};
}

static bool buckets_take(struct client *c, const struct rates *r, double messages, double bytes)
{
    struct client_extra *x = c->extra;
    uint64_t now = c->desk->w->now_ms;
    double elapsed = (double)(now - x->tokens_ms) / 1000.0;
    bool within = true;

    x->tokens_ms = now;
    if (r->messages > 0)
        within &= bucket_take(&x->message_tokens, r->messages, elapsed, messages);
    if (r->bytes > 0)
        within &= bucket_take(&x->byte_tokens, r->bytes, elapsed, bytes);
    return within;
}

/* The message in hand is always taken; what exceeds the rate is made up for by a pause. */
static void meter(struct client *c, size_t bytes)
{
    const struct limits *l = c->desk->w->limits;

    if (LIKELY(!l->message_rate && !l->byte_rate && !(c->host && c->host->quotas)))
        return;
    struct rates rates = rates_of(c);
    struct client_extra *x = client_extra(c);
    if (x->tokens_ms == 0) {
        x->tokens_ms = c->desk->w->now_ms;
        x->message_tokens = rates.messages;
        x->byte_tokens = rates.bytes;
    }
    if (buckets_take(c, &rates, 1, (double)bytes))
        return;
    if (l->rate_excess == RATE_CLOSE)
        client_end(c, RC_MESSAGE_RATE, NULL);
    else
        client_hold(c);
}

bool client_rate_recovered(struct client *c)
{
    struct rates rates = rates_of(c);

    return !c->extra || c->extra->tokens_ms == 0 || buckets_take(c, &rates, 0, 0);
}

/* -- Routing -- */

static struct str mounted(struct client *c, struct str topic)
{
    const struct policy *policy = c->policy;

    if (policy->mount_len == 0)
        return topic;
    memcpy(c->desk->topic, policy->mount_point, policy->mount_len);
    memcpy(c->desk->topic + policy->mount_len, topic.ptr, topic.len);
    return (struct str){(char *)c->desk->topic, policy->mount_len + topic.len};
}

static bool is_system(struct str topic)
{
    return topic.ptr[0] == '$' && str_starts(topic, STR("$SYS/"));
}

/* r: what the modules made of it, NULL: nobody was asked.  Returns the reason code for the
 * publisher. */
static uint8_t route(struct client *c, const struct mqtt_publish *p, struct skep_request *r,
                     struct routed *routed)
{
    struct worker *w = c->desk->w;
    struct session *s = c->session;

    if (UNLIKELY(is_system(p->topic))) {
        COUNT_N(w, refused_not_authorized, 1);
        router_count_received(w, p->qos);
        client_tell_publish_refused(c, p, RC_NOT_AUTHORIZED, "not_authorized");
        *routed = (struct routed){0};
        return RC_NOT_AUTHORIZED;
    }
    struct publication pub = {
        .topic = mounted(c, p->topic),
        .payload = p->payload,
        .props = p->props,
        .props_plain = p->props_plain,
        .qos = p->qos,
        .retain = p->retain,
        .expiry = p->expiry,
        .publisher = s->serial,
        .publisher_hash = s->hash,
        .origin = session_written(w, s) ? s->serial : 0,
        .packet_id = p->qos == 2 ? p->packet_id : 0,
        .refusable = c->version == MQTT_50,
        .who = core_wants_publisher(w) ? session_identity(s) : NULL,
    };
    if (!r || request_is_plain(r))
        router_publish(w, &pub, routed);
    else
        guard_route(r, w, &pub, c->policy->mount_len, routed);
    if (UNLIKELY(pub.who != NULL))
        identity_unref(pub.who);
    if (routed->denied)
        return routed->denied;
    if (routed->memory || routed->store || routed->retain_refused ||
        (routed->full > 0 && routed->full == routed->targets))
        return RC_QUOTA_EXCEEDED;
    if (r && r->verdict == SKEP_DROP)
        return RC_SUCCESS;
    return routed->targets ? RC_SUCCESS : RC_NO_SUBSCRIBERS;
}

static void put_ack(struct client *c, uint8_t type, uint16_t packet_id, uint8_t reason,
                    struct str text, bool waits)
{
    text = client_reason_string(c, type, text);
    struct mqtt_out out = client_answer(c, 16 + text.len, waits);

    if (c->version != MQTT_50)
        reason = 0;
    else if (reason >= 0x80)
        reason = client_reason(type, reason);
    mqtt_put_ack(&out, type, c->version, packet_id, reason, text, c->link.maximum_packet);
    client_answer_done(c, &out, waits);
}

/* The id itself has to survive too: with the message, or alone. */
static bool write_received(struct client *c, uint16_t packet_id, bool added,
                           const struct routed *routed)
{
    struct worker *w = c->desk->w;
    bool right = added == routed->id_written || !session_written(w, c->session);

    if (!right)
        journal_received(w, c->session, packet_id, !added);
    return routed->written || !right;
}

/* True: it came before, and its PUBREC goes out again [MQTT-4.3.3-10]. */
static bool repeated_qos2(struct client *c, const struct mqtt_publish *p)
{
    const struct session *s = c->session;

    if (!s->received || !idset_has(s->received, p->packet_id))
        return false;
    put_ack(c, MQTT_PUBREC, p->packet_id, 0, STR_NONE, false);
    return true;
}

static void publish_qos2(struct client *c, const struct mqtt_publish *p, struct skep_request *r,
                         struct routed *routed)
{
    struct session *s = c->session;

    if (!s->received)
        s->received = xcalloc(1, sizeof *s->received);
    uint8_t reason = route(c, p, r, routed);
    bool added = reason < 0x80 || c->version != MQTT_50;
    if (added)
        idset_add(s->received, p->packet_id);
    bool waits = write_received(c, p->packet_id, added, routed);
    /* [MQTT-4.3.3-8] [MQTT-4.3.3-9] */
    put_ack(c, MQTT_PUBREC, p->packet_id, reason, r ? r->text : STR_NONE, waits);
}

/* It was decided, or nobody had to be asked. */
static void take(struct client *c, const struct mqtt_publish *p, struct skep_request *r,
                 size_t bytes)
{
    struct routed routed = {0};

    if (p->qos == 0) {
        route(c, p, r, &routed);
    } else if (p->qos == 1) {
        c->unacked++;
        uint8_t reason = route(c, p, r, &routed);
        put_ack(c, MQTT_PUBACK, p->packet_id, reason, r ? r->text : STR_NONE, routed.written);
    } else {
        publish_qos2(c, p, r, &routed);
    }
    meter(c, bytes);
    if (UNLIKELY(atomic_load_explicit(&c->desk->w->broker->pressure, memory_order_relaxed) ||
                 (routed.written && desk_store_behind(c->desk))))
        client_hold(c);
}

/* -- Modules -- */

/* As far as r has come: on to what becomes of the message, to its taking, or it waits. */
static void go_on(struct client *c, const struct mqtt_frame *frame, const struct mqtt_publish *p,
                  struct skep_request *r)
{
    if (r->verdict == SKEP_ALLOW && r->stage == SKEP_STAGE_PUBLISH &&
        host_asks_message(c->policy->chain, p->topic))
        ask_message(r);
    if (UNLIKELY(r->verdict == SKEP_PENDING)) {
        client_ask_later(c, frame, r);
        return;
    }
    take(c, p, r, frame->size);
    request_end(&r);
    client_asked_over(c);
}

static void ask(struct client *c, const struct mqtt_frame *frame, const struct mqtt_publish *p)
{
    go_on(c, frame, p,
          ask_publish(client_host(c), &(struct asked_message){.topic = p->topic,
                                                              .payload = p->payload,
                                                              .props = p->props,
                                                              .props_plain = p->props_plain,
                                                              .expiry = p->expiry,
                                                              .qos = p->qos,
                                                              .retain = p->retain}));
}

void client_publish_decided(struct client *c, struct skep_request *r)
{
    const struct mqtt_frame frame = c->extra->asked.frame;
    struct mqtt_publish p;
    int err = mqtt_decode_publish(&frame, c->version, false, &p);

    if (!err)
        err = check_topic(c, &p); /* finds its alias again */
    ASSERT(err == 0);
    go_on(c, &frame, &p, r);
}

void client_publish(struct client *c, const struct mqtt_frame *frame)
{
    struct mqtt_publish p;
    int err = mqtt_decode_publish(frame, c->version, false, &p);

    if (LIKELY(!err) && UNLIKELY((err = check_publish(c, &p)) != 0)) {
        router_count_received(c->desk->w, p.qos);
        COUNT(c->desk->w, refused_invalid);
        client_tell_publish_refused(c, &p, (uint8_t)err, "invalid");
    }
    if (UNLIKELY(err)) {
        client_end(c, (uint8_t)err, NULL);
        return;
    }
    if (p.qos == 2 && repeated_qos2(c, &p)) {
        meter(c, frame->size);
        return;
    }
    if (UNLIKELY(client_asks_publish(c, p.topic)) && !is_system(p.topic))
        ask(c, frame, &p);
    else
        take(c, &p, NULL, frame->size);
}
