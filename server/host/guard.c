#include "host/guard.h"

#include <string.h>

#include "base/mem.h"
#include "core/broker.h"
#include "core/event.h"
#include "core/router.h"
#include "core/session.h"
#include "core/sessions.h"
#include "host/decide.h"
#include "host/remember.h"
#include "host/rules.h"

/* -- Who receives what -- */

static uint32_t expiry_left_s(const struct worker *w, const struct message *m)
{
    if (m->expires_ms == MESSAGE_NO_EXPIRY)
        return UINT32_MAX;
    uint64_t left = m->expires_ms > w->now_ms ? m->expires_ms - w->now_ms : 0;
    return left < 1000 ? 1 : (uint32_t)(left / 1000);
}

static struct skep_request *deliver_request(struct host *h, const struct worker *w,
                                            const struct skep_client *who, struct chain_slot *chain,
                                            const struct message *m)
{
    struct skep_request *r = request_take(&h->places[w->index], NULL, chain, SKEP_STAGE_DELIVER);
    struct str topic = message_topic(m);
    uint16_t mount = who->facts.mount.len;

    r->who = who;
    r->at_once = true;
    r->message = (struct asked_message){.topic = {topic.ptr + mount, topic.len - mount},
                                        .payload = message_payload(m),
                                        .props = message_props(m),
                                        .props_plain = true,
                                        .expiry = expiry_left_s(w, m)};
    return r;
}

static void run_delivery(struct skep_request *r)
{
    r->place->within++;
    request_run(r);
    r->place->within--;
}

/* Decided; NULL: nobody has to be asked.  Session lock held. */
static struct skep_request *ask_delivery(struct host *h, struct worker *w, struct session *s,
                                         const struct message *m, unsigned qos, bool retain,
                                         bool dry)
{
    const struct skep_client *who = session_identity_locked(s);
    struct chain_slot *slot = who->facts.chain ? who->facts.chain : h->nowhere;
    bool asks = chain_now(slot)->asks >> SKEP_STAGE_DELIVER & 1;
    struct presence *presence = who->presence;

    if ((!asks && who->facts.rule_count == 0) || m->topic_len <= who->facts.mount.len)
        return NULL;
    struct skep_request *r = deliver_request(h, w, who, slot, m);
    r->dry = dry;
    r->message.qos = (uint8_t)qos;
    r->message.retain = retain;
    enum rule_answer answer = rules_topic(&who->facts, SKEP_MAY_RECEIVE, r->message.topic);
    if (answer != RULE_SILENT) {
        request_decide(r, answer == RULE_ALLOW ? SKEP_ALLOW : SKEP_DENY, SKEP_RC_NOT_AUTHORIZED,
                       "a rule of this connection");
    } else if (!asks) {
        r->verdict = SKEP_ALLOW;
    } else if (dry) {
        run_delivery(r);
    } else if (!remembered(presence->received, r)) {
        run_delivery(r);
        if (!r->not_cacheable && r->module)
            remember(&presence->received, r);
    }
    return r;
}

static bool may_receive(void *host, struct worker *w, struct session *s, const struct message *m,
                        unsigned qos, bool retain)
{
    if (s->realm == REALM_MODULE) /* a consumer: modules get what they ask for */
        return true;
    if (s->realm && !session_link(s) && (!s->identity || s->identity->facts.mount.len == 0))
        return true; /* its mount point is not known before it is back: asked then */
    struct skep_request *r = ask_delivery(host, w, s, m, qos, retain, false);
    bool allowed = !r || r->verdict == SKEP_ALLOW;
    request_end(&r);
    return allowed;
}

void guard_explain(struct host *h, struct worker *w, struct session *s, const struct message *m,
                   unsigned qos, bool retain, void (*tell)(void *arg, const struct skep_request *r),
                   void *arg)
{
    struct skep_request *r =
        s->realm == REALM_MODULE ? NULL : ask_delivery(h, w, s, m, qos, retain, true);

    if (r)
        tell(arg, r);
    request_end(&r);
}

void guard_chains(struct host *h)
{
    bool asked = h->receive_rules;

    if (!h->broker)
        return;
    lock_take(&h->chains_lock);
    for (const struct chain_slot *slot = h->chains; slot; slot = slot->next)
        asked |= atomic_load(&slot->chain)->asks >> SKEP_STAGE_DELIVER & 1;
    lock_drop(&h->chains_lock);
    atomic_store(&h->broker->receive_guarded, asked);
}

void guard_rules(struct host *h)
{
    if (!atomic_exchange(&h->receive_rules, true))
        atomic_store(&h->broker->receive_guarded, true);
}

/* -- What becomes of a message -- */

static void count_refused(struct worker *w, const struct publication *p, uint8_t reason)
{
    if (reason == SKEP_RC_QUOTA)
        REFUSED(w, p, reason, quota);
    else if (reason == SKEP_RC_PAYLOAD_INVALID || reason == SKEP_RC_TOPIC_INVALID)
        REFUSED(w, p, reason, invalid);
    else
        REFUSED(w, p, reason, not_authorized);
}

/* The topic behind the mount point, which p->topic begins with. */
static struct str mounted(struct skep_request *r, const struct publication *p, size_t mount_len,
                          struct str topic)
{
    if (mount_len == 0)
        return topic;
    char *whole = arena_alloc(&r->memory, mount_len + topic.len + 1);
    memcpy(whole, p->topic.ptr, mount_len);
    memcpy(whole + mount_len, topic.ptr, topic.len);
    return (struct str){whole, mount_len + topic.len};
}

static void take_over(struct skep_request *r, const struct asked_message *m, size_t mount_len,
                      struct publication *p)
{
    p->topic = mounted(r, p, mount_len, m->topic);
    p->payload = m->payload;
    p->props = m->props;
    p->props_plain = m->props_plain;
    p->qos = m->qos;
    p->retain = m->retain;
    p->expiry = m->expiry;
}

static void route_copies(struct skep_request *r, struct worker *w, const struct publication *p,
                         size_t mount_len, struct routed *out)
{
    for (const struct message_copy *c = r->copies; c; c = c->next) {
        struct publication copy = *p;
        struct routed routed;
        copy.origin = 0; /* what the store notes of the publisher goes with the message itself */
        copy.packet_id = 0;
        copy.from_will = copy.refusable = false;
        take_over(r, &c->message, mount_len, &copy);
        router_publish(w, &copy, &routed);
        out->written |= routed.written;
    }
}

void guard_route(struct skep_request *r, struct worker *w, struct publication *p, size_t mount_len,
                 struct routed *out)
{
    const struct publication as_it_came = *p;

    *out = (struct routed){0};
    if (r->verdict == SKEP_ALLOW) {
        if (r->changed)
            take_over(r, &r->message, mount_len, p);
        router_publish(w, p, out);
    } else if (!p->internal) {
        router_count_received(w, p->qos);
        if (r->verdict == SKEP_DROP) {
            COUNT(w, accepted);
            COUNT(w, accepted_dropped);
            if (core_wants(w, CORE_PUBLISHED))
                core_tell_published(w, p, 0);
        } else {
            count_refused(w, p, r->reason);
        }
    }
    if (r->verdict != SKEP_ALLOW && r->verdict != SKEP_DROP)
        out->denied = r->reason;
    else if (r->copies)
        route_copies(r, w, &as_it_came, mount_len, out);
}

static struct asked_message message_of(const struct publication *p, size_t mount_len)
{
    return (struct asked_message){.topic = {p->topic.ptr + mount_len, p->topic.len - mount_len},
                                  .payload = p->payload,
                                  .props = p->props,
                                  .props_plain = p->props_plain,
                                  .expiry = p->expiry,
                                  .qos = p->qos,
                                  .retain = p->retain};
}

/* -- Wills -- */

static void decide_will(struct skep_request *r)
{
    unsigned actions = SKEP_MAY_PUBLISH | (r->message.retain ? (unsigned)SKEP_MAY_RETAIN : 0);
    enum rule_answer answer =
        r->who ? rules_topic(&r->who->facts, actions, r->message.topic) : RULE_SILENT;

    if (answer == RULE_SILENT)
        request_run(r);
    else
        request_decide(r, answer == RULE_ALLOW ? SKEP_ALLOW : SKEP_DENY, SKEP_RC_NOT_AUTHORIZED,
                       "a rule of this connection");
}

static void send_will(void *host, struct worker *w, const struct skep_client *by,
                      struct publication *p, struct routed *out)
{
    struct host *h = host;
    struct chain_slot *slot = by && by->facts.chain ? by->facts.chain : h->nowhere;
    size_t mount = by && by->facts.mount.len < p->topic.len ? by->facts.mount.len : 0;
    const unsigned stages = 1u << SKEP_STAGE_WILL | 1u << SKEP_STAGE_MESSAGE;

    if (!(chain_now(slot)->asks & stages) && !(by && by->facts.rule_count)) {
        router_publish(w, p, out);
        return;
    }
    struct skep_request *r = request_take(&h->places[w->index], NULL, slot, SKEP_STAGE_WILL);
    r->who = by;
    r->at_once = true;
    r->message = message_of(p, mount);
    r->message.is_will = true;
    decide_will(r);
    if (r->verdict == SKEP_ALLOW)
        ask_message(r);
    guard_route(r, w, p, mount, out);
    request_end(&r);
}

/* -- From inside -- */

void host_publish(struct host *h, struct worker *w, struct publication *p, struct routed *out)
{
    if (!chain_now(h->nowhere)->sees_internal) {
        router_publish(w, p, out);
        return;
    }
    struct skep_request *r =
        request_take(&h->places[w->index], NULL, h->nowhere, SKEP_STAGE_MESSAGE);
    r->at_once = r->internal = true;
    r->message = message_of(p, 0);
    ask_message(r);
    guard_route(r, w, p, 0, out);
    request_end(&r);
}

void guard_open(struct host *h)
{
    static const struct broker_guard guard = {.receive = may_receive, .will = send_will};

    if (!h->broker)
        return;
    h->broker->guard = &guard;
    h->broker->guard_arg = h;
}
