/* SUBSCRIBE and UNSUBSCRIBE from a client [MQTT 3.8 to 3.11]. */
#include "core/subscribe.h"

#include <stdlib.h>

#include "base/mem.h"
#include "front/client.h"
#include "front/entrance.h"
#include "mqtt/topic.h"

enum { CODES_ON_STACK = 64, ANSWER_HEAD = 16 };

/* Puts the mount point into the filter, behind $share/NAME/ where there is one. */
static struct str mounted(struct client *c, struct str filter)
{
    const struct policy *policy = c->policy;
    struct str name, rest = filter;
    uint8_t *p = c->desk->topic;

    if (policy->mount_len == 0)
        return filter;
    topic_share_split(filter, &name, &rest);
    size_t head = filter.len - rest.len;
    memcpy(p, filter.ptr, head);
    memcpy(p + head, policy->mount_point, policy->mount_len);
    memcpy(p + head + policy->mount_len, rest.ptr, rest.len);
    return (struct str){(char *)p, filter.len + policy->mount_len};
}

/* 0, or the reason this filter is refused with; *fatal: the connection ends with it. */
static uint8_t check_filter(struct client *c, const struct mqtt_subscription *sub, bool *fatal)
{
    const struct limits *l = c->desk->w->limits;
    enum topic_fault fault = topic_filter_check(sub->filter, l->max_topic_levels);
    struct str name, rest;

    *fatal = false;
    if (fault == TOPIC_UTF8 || fault == TOPIC_NUL) {
        *fatal = true;
        return RC_MALFORMED; /* [MQTT-3.8.3-1] */
    }
    if (fault != TOPIC_OK || sub->filter.len > l->max_topic_length ||
        sub->filter.len + c->policy->mount_len > UINT16_MAX) {
        /* 3.x has no code for it: a violation of its rules closes [MQTT-4.7.1-2] */
        *fatal = c->version != MQTT_50 && fault != TOPIC_DEPTH && fault != TOPIC_OK;
        return RC_FILTER_INVALID;
    }
    if (topic_share_split(sub->filter, &name, &rest)) {
        if (!l->shared_subscriptions)
            return RC_SHARED_NOT_SUPPORTED;
        if (sub->no_local) {
            *fatal = true;
            return RC_PROTOCOL_ERROR; /* [MQTT-3.8.3-4] */
        }
    }
    if (!l->wildcard_subscriptions && topic_filter_has_wildcard(sub->filter))
        return RC_WILDCARD_NOT_SUPPORTED;
    return 0;
}

static bool wants_retained(const struct mqtt_subscription *sub, bool existed)
{
    struct str name, rest;

    if (topic_share_split(sub->filter, &name, &rest))
        return false; /* [MQTT 4.8.2]: a shared subscription gets none */
    return sub->retain_handling == 0 || (sub->retain_handling == 1 && !existed);
}

/* A bridge of MQTT 3.1.1 cannot ask for what keeps messages from going round. */
static unsigned options_of(const struct client *c, const struct mqtt_subscription *sub)
{
    struct str name, rest;
    bool shared = topic_share_split(sub->filter, &name, &rest);

    return (sub->no_local || (c->bridge && !shared) ? SUB_NO_LOCAL : 0u) |
           (sub->retain_as_published || c->bridge ? SUB_RETAIN_AS_PUBLISHED : 0u);
}

/* Adds one subscription; the SUBACK code. */
static uint8_t subscribe_one(struct client *c, const struct mqtt_subscription *sub, uint8_t qos,
                             uint32_t id)
{
    struct subscribe_request r = {
        .filter = mounted(c, sub->filter),
        .options = qos | options_of(c, sub),
        .id = id,
        .retain_handling = sub->retain_handling,
        .most = host_client_quota(c->host, SKEP_QUOTA_SUBSCRIPTIONS),
    };
    bool existed;

    if (r.most == 0 || (journal_refusing(c->desk->w) && session_stored(c->session)))
        return RC_QUOTA_EXCEEDED; /* the disk could not keep it */
    if (session_subscribe(c->desk->w, c->session, &r, &existed) < 0)
        return RC_QUOTA_EXCEEDED;
    COUNT(c->desk->w, subscribes);
    client_tell_subscribed(c, r.filter, qos);
    if (wants_retained(sub, existed))
        client_replay_start(c, r.filter, r.options, id);
    return qos;
}

/* Whether a subscription came or went, which was written down. */
static bool any_done(const uint8_t *codes, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (codes[i] < 0x80 && codes[i] != RC_NO_SUBSCRIPTION)
            return true;
    }
    return false;
}

static void answer(struct client *c, uint8_t type, uint16_t packet_id, uint8_t *codes,
                   uint32_t count)
{
    bool waits = session_written(c->desk->w, c->session) && any_done(codes, count);

    if (type == MQTT_SUBACK && c->version != MQTT_50) {
        for (uint32_t i = 0; i < count; i++) {
            if (codes[i] > 2)
                codes[i] = 0x80; /* [MQTT-3.9.3-2] */
        }
    }
    struct mqtt_out out = client_answer(c, ANSWER_HEAD + count, waits);
    mqtt_put_suback(&out, type, c->version, packet_id, codes, count, STR_NONE,
                    c->link.maximum_packet);
    client_answer_done(c, &out, waits);
}

static uint8_t *codes_room(uint8_t *stack, uint32_t count)
{
    return count <= CODES_ON_STACK ? stack : xmalloc(count);
}

/* Looks at every filter; codes[i] is 0, or the reason it is refused with.  False: the client was
 * ended. */
static bool check_all(struct client *c, struct mqtt_subscribe packet, uint8_t *codes)
{
    struct mqtt_subscription sub;
    bool fatal;

    for (uint32_t i = 0; mqtt_subscribe_next(&packet, &sub); i++) {
        codes[i] = check_filter(c, &sub, &fatal);
        /* 3.1 cannot be told of a failure [MQTT-V31-9]. */
        if (fatal || (codes[i] && c->version == MQTT_31)) {
            client_end(c, codes[i], NULL);
            return false;
        }
    }
    return true;
}

/* granted: the QoS that is left of what was asked for; NULL: all of it. */
static void subscribe_all(struct client *c, struct mqtt_subscribe packet, uint8_t *codes,
                          const uint8_t *granted)
{
    uint8_t most = c->desk->w->limits->maximum_qos; /* [MQTT-3.2.2-10] */
    struct mqtt_subscription sub;

    for (uint32_t i = 0; mqtt_subscribe_next(&packet, &sub); i++) {
        uint8_t qos = granted && granted[i] < sub.qos ? granted[i] : sub.qos;
        if (codes[i] == 0)
            codes[i] = subscribe_one(c, &sub, qos < most ? qos : most, packet.subscription_id);
    }
    answer(c, MQTT_SUBACK, packet.packet_id, codes, packet.count); /* [MQTT-3.8.4-1] */
}

/* -- Modules: each filter is asked about in turn, and then all is done at once -- */

static void take_answer(struct client *c, struct asked *a, uint32_t i, struct skep_request *r)
{
    if (r->verdict == SKEP_ALLOW)
        a->granted[i] = r->granted;
    else
        a->codes[i] = client_reason(MQTT_SUBACK, r->reason);
    request_end(&r);
}

static struct skep_request *ask_one(struct client *c, const struct mqtt_subscribe *packet,
                                    const struct mqtt_subscription *sub)
{
    struct str group = STR_NONE, filter = sub->filter;

    topic_share_split(sub->filter, &group, &filter);
    return ask_subscribe(client_host(c), filter, group, sub->qos, packet->props, false);
}

/* From filter a->at on.  False: one has to wait. */
static bool ask_rest(struct client *c, const struct mqtt_frame *frame, struct mqtt_subscribe packet)
{
    struct asked *a = &c->extra->asked;
    struct mqtt_subscription sub;

    for (uint32_t i = 0; mqtt_subscribe_next(&packet, &sub); i++) {
        if (i < a->at || a->codes[i] != 0)
            continue;
        struct skep_request *r = ask_one(c, &packet, &sub);
        if (r->verdict == SKEP_PENDING) {
            a->at = i;
            client_ask_later(c, frame, r);
            return false;
        }
        take_answer(c, a, i, r);
    }
    return true;
}

/* 3.1 has no code for a refusal [MQTT-V31-9]. */
static bool refused_in_v31(const struct client *c, const uint8_t *codes, uint32_t count)
{
    for (uint32_t i = 0; c->version == MQTT_31 && i < count; i++) {
        if (codes[i])
            return true;
    }
    return false;
}

static void asked_all(struct client *c, const struct mqtt_subscribe *packet)
{
    struct asked *a = &c->extra->asked;
    uint8_t *codes = a->codes, *granted = a->granted;

    a->codes = a->granted = NULL;
    if (refused_in_v31(c, codes, packet->count))
        client_end(c, RC_NOT_AUTHORIZED, NULL);
    else
        subscribe_all(c, *packet, codes, granted);
    free(codes);
    free(granted);
    client_asked_over(c);
}

static void ask(struct client *c, const struct mqtt_frame *frame,
                const struct mqtt_subscribe *packet)
{
    struct asked *a = &client_extra(c)->asked;

    a->codes = xcalloc(packet->count, 1);
    a->granted = xcalloc(packet->count, 1);
    a->at = 0;
    if (!check_all(c, *packet, a->codes)) {
        free(a->codes);
        free(a->granted);
        a->codes = a->granted = NULL;
    } else if (ask_rest(c, frame, *packet)) {
        asked_all(c, packet);
    }
}

void client_subscribe_decided(struct client *c, struct skep_request *r)
{
    const struct mqtt_frame frame = c->extra->asked.frame;
    struct mqtt_subscribe packet;
    int err = mqtt_decode_subscribe(&frame, c->version, &packet);
    struct asked *a = &c->extra->asked;

    ASSERT(err == 0);
    take_answer(c, a, a->at++, r);
    if (ask_rest(c, &frame, packet))
        asked_all(c, &packet);
}

void client_subscribe(struct client *c, const struct mqtt_frame *frame)
{
    struct mqtt_subscribe packet;
    uint8_t stack[CODES_ON_STACK];
    int err = mqtt_decode_subscribe(frame, c->version, &packet);

    if (!err && packet.subscription_id && !c->desk->w->limits->subscription_identifiers)
        err = RC_SUBSCRIPTION_ID_NOT_SUPPORTED;
    if (err) {
        client_end(c, (uint8_t)err, NULL);
        return;
    }
    if (client_asks(c, SKEP_STAGE_SUBSCRIBE)) {
        ask(c, frame, &packet);
        return;
    }
    uint8_t *codes = codes_room(stack, packet.count);
    if (check_all(c, packet, codes))
        subscribe_all(c, packet, codes, NULL);
    if (codes != stack)
        free(codes);
}

static bool filter_broken(enum topic_fault fault)
{
    return fault == TOPIC_UTF8 || fault == TOPIC_NUL;
}

static uint8_t unsubscribe_one(struct client *c, struct str filter)
{
    if (!session_unsubscribe(c->desk->w, c->session, filter))
        return RC_NO_SUBSCRIPTION;
    client_tell_unsubscribed(c, filter);
    return RC_SUCCESS;
}

static bool unsubscribe_all(struct client *c, struct mqtt_subscribe *packet, uint8_t *codes)
{
    const struct limits *l = c->desk->w->limits;
    struct str filter;

    for (uint32_t i = 0; mqtt_unsubscribe_next(packet, &filter); i++) {
        enum topic_fault fault = topic_filter_check(filter, l->max_topic_levels);
        if (filter_broken(fault)) {
            client_end(c, RC_MALFORMED, NULL); /* [MQTT-3.10.3-1] */
            return false;
        }
        if (fault != TOPIC_OK || filter.len + c->policy->mount_len > UINT16_MAX)
            codes[i] = RC_FILTER_INVALID;
        else
            codes[i] = unsubscribe_one(c, mounted(c, filter));
        COUNT(c->desk->w, unsubscribes);
    }
    return true;
}

void client_unsubscribe(struct client *c, const struct mqtt_frame *frame)
{
    struct mqtt_subscribe packet;
    uint8_t stack[CODES_ON_STACK];
    int err = mqtt_decode_unsubscribe(frame, c->version, &packet);

    if (err) {
        client_end(c, (uint8_t)err, NULL);
        return;
    }
    uint8_t *codes = codes_room(stack, packet.count);
    if (unsubscribe_all(c, &packet, codes))
        answer(c, MQTT_UNSUBACK, packet.packet_id, codes, packet.count);
    if (codes != stack)
        free(codes);
}
