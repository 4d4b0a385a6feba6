#include "host/decide.h"

#include <stdlib.h>

#include "base/mem.h"
#include "core/broker.h"
#include "host/connecting.h"
#include "host/guard.h"
#include "host/instance.h"
#include "host/remember.h"
#include "host/rules.h"
#include "host/services.h"
#include "host/verdict.h"

/* -- A connection -- */

struct host_client *host_client_new(struct host *h, struct chain_slot *chain,
                                    const struct host_client_ops *ops, void *owner)
{
    struct host_client *hc = xcalloc(1, sizeof *hc);
    struct host_place *p = host_place(h);

    hc->magic = HOST_CLIENT_MAGIC;
    hc->place = p;
    hc->chain = chain;
    hc->ops = ops;
    hc->owner = owner;
    hc->link = &p->clients;
    hc->next = p->clients;
    if (hc->next)
        hc->next->link = &hc->next;
    p->clients = hc;
    return hc;
}

static void slot_empty(struct client_slot *slot)
{
    struct skep_module *m = slot->module;
    void *value = slot->value;

    slot->module = NULL;
    slot->value = NULL;
    if (!m || !value || !m->slot_drop)
        return;
    struct blame before = blame_begin(m, "drop");
    m->slot_drop(value);
    blame_end(before);
}

static struct skep_client *client_who(struct host_client *hc)
{
    if (!hc->who)
        hc->who = hc->ops->identity(hc->owner);
    if (!hc->dry)
        hc->who->presence->client = hc;
    return hc->who;
}

void host_client_left(struct host_client **client)
{
    struct host_client *hc = *client;

    if (!hc)
        return;
    CHECK(hc, HOST_CLIENT_MAGIC);
    *client = NULL;
    while (hc->waiting) {
        struct skep_request *r = hc->waiting;
        request_cancelled(r);
        request_end(&r);
    }
    for (unsigned i = 0; i < hc->slot_count; i++)
        slot_empty(&hc->slots[i]);
    free(hc->slots);
    if (hc->connecting) {
        hc->connecting->who->presence->client = NULL;
        connecting_free(&hc->connecting);
    }
    if (hc->who && !hc->dry) {
        hc->who->presence->client = NULL;
        atomic_store(&hc->who->presence->connected, false);
    }
    identity_unref(hc->who);
    if (hc->next)
        hc->next->link = hc->link;
    *hc->link = hc->next;
    free(hc->verdicts);
    free(hc->quotas);
    hc->magic = 0;
    free(hc);
}

/* -- Words of modules -- */

static void slots_grow(struct host_client *hc, unsigned count)
{
    hc->slots = xrealloc(hc->slots, count * sizeof *hc->slots);
    while (hc->slot_count < count)
        hc->slots[hc->slot_count++] = (struct client_slot){0};
}

void **skep_client_slot(struct skep_module *m, const struct skep_client *c)
{
    static _Thread_local void *nobodys;
    struct host_client *hc = c->presence->client;

    nobodys = NULL;
    if (!hc || !host_here || hc->place != host_here)
        return &nobodys; /* away, or not its loop: nothing is kept */
    if (m->slot >= hc->slot_count)
        slots_grow(hc, m->slot + 1u);
    struct client_slot *slot = &hc->slots[m->slot];
    slot->module = m;
    return &slot->value;
}

void skep_client_slot_dropper(struct skep_module *m, void (*drop)(void *value))
{
    m->slot_drop = drop;
}

void host_forget_slots(struct host_place *p, struct skep_module *m)
{
    for (struct host_client *hc = p->clients; hc; hc = hc->next) {
        if (m->slot < hc->slot_count && hc->slots[m->slot].module == m)
            slot_empty(&hc->slots[m->slot]);
    }
}

/* -- CONNECT and AUTH -- */

static struct connecting *connecting_of(struct host_client *hc, const struct mqtt_connect *packet,
                                        const struct identity_facts *facts)
{
    struct connecting *c = hc->connecting;

    if (!c) {
        c = hc->connecting = facts
                                 ? connecting_new(facts, NULL)
                                 : connecting_new(&client_who(hc)->facts, client_who(hc)->presence);
        c->reauth = !facts;
        c->who->presence->client = hc;
    }
    if (packet)
        c->packet = *packet;
    return c;
}

struct skep_request *ask_connect(struct host_client *hc, const struct mqtt_connect *packet,
                                 const struct identity_facts *facts, bool otherwise)
{
    struct skep_request *r = request_take(hc->place, hc, hc->chain, SKEP_STAGE_CONNECT);

    r->connecting = connecting_of(hc, packet, facts);
    r->connecting->otherwise = otherwise;
    r->props = packet->props;
    request_run(r);
    return r;
}

struct skep_request *ask_auth(struct host_client *hc, const struct mqtt_connect *packet,
                              const struct identity_facts *facts, struct str method,
                              struct str data, struct str props)
{
    struct skep_request *r = request_take(hc->place, hc, hc->chain, SKEP_STAGE_AUTH);
    struct connecting *c = connecting_of(hc, packet, facts);

    r->connecting = c;
    c->method = method;
    c->data = data;
    r->props = props;
    free(c->reply);
    c->reply = NULL;
    c->reply_len = 0;
    request_run(r);
    c->round++;
    return r;
}

struct str host_auth_reply(const struct host_client *hc)
{
    const struct connecting *c = hc ? hc->connecting : NULL;

    return c ? (struct str){c->reply, c->reply_len} : STR_NONE;
}

struct str host_server_reference(const struct host_client *hc)
{
    return hc && hc->connecting ? str_of(hc->connecting->server) : STR_NONE;
}

void host_auth_end(struct host_client *hc)
{
    if (hc && hc->connecting)
        connecting_free(&hc->connecting);
}

struct skep_client *host_client_admit(struct host_client *hc, struct str id)
{
    struct skep_client *who = connecting_result(hc->connecting, id, hc->quotas, hc->expiry_ms);

    identity_unref(hc->who);
    hc->who = who;
    who->presence->client = hc;
    hc->has_rules = who->facts.rule_count > 0;
    if (hc->has_rules && rules_have(&who->facts, SKEP_MAY_RECEIVE))
        guard_rules(hc->place->host);
    return identity_ref(who);
}

void host_client_introduce(struct host_client *hc, const struct identity_facts *facts)
{
    identity_unref(hc->who);
    hc->who = identity_new(facts, NULL);
    hc->who->presence->client = hc;
}

uint64_t host_client_quota(const struct host_client *hc, enum skep_quota quota)
{
    return hc && hc->quotas ? hc->quotas[quota] : UINT64_MAX;
}

uint64_t host_client_expiry_ms(const struct host_client *hc)
{
    return hc ? hc->expiry_ms : 0;
}

/* -- Topics -- */

/* True: the connection's own rules decided. */
static bool own_rules(struct skep_request *r, enum rule_answer answer)
{
    if (answer == RULE_SILENT)
        return false;
    request_decide(r, answer == RULE_ALLOW ? SKEP_ALLOW : SKEP_DENY, SKEP_RC_NOT_AUTHORIZED,
                   "a rule of this connection");
    return true;
}

static bool own_rules_publish(struct skep_request *r)
{
    unsigned actions = SKEP_MAY_PUBLISH | (r->message.retain ? (unsigned)SKEP_MAY_RETAIN : 0);

    return r->client->has_rules &&
           own_rules(r, rules_topic(&client_who(r->client)->facts, actions, r->message.topic));
}

static struct skep_request *message_request(struct host_client *hc, enum skep_stage stage,
                                            const struct asked_message *message)
{
    struct skep_request *r = request_take(hc->place, hc, hc->chain, stage);

    r->message = *message;
    r->props = message->props;
    return r;
}

struct skep_request *ask_will(struct host_client *hc, const struct asked_message *will)
{
    struct skep_request *r = message_request(hc, SKEP_STAGE_WILL, will);

    if (!own_rules_publish(r))
        request_run(r);
    if (r->verdict == SKEP_DROP) /* it may be left, and will be asked about again */
        r->verdict = SKEP_ALLOW;
    return r;
}

struct skep_request *ask_publish(struct host_client *hc, const struct asked_message *message)
{
    struct skep_request *r = message_request(hc, SKEP_STAGE_PUBLISH, message);

    if (own_rules_publish(r) || (!r->dry && remembered(hc->verdicts, r)))
        return r;
    request_run(r);
    if (!r->not_cacheable && r->module && !r->dry)
        remember(&hc->verdicts, r);
    return r;
}

void ask_message(struct skep_request *r)
{
    r->stage = SKEP_STAGE_MESSAGE;
    r->at = 0;
    r->module = NULL;
    r->reason = 0;
    r->text = STR_NONE;
    r->data = NULL;
    r->remembered = false;
    request_run(r);
}

struct skep_request *ask_subscribe(struct host_client *hc, struct str filter, struct str group,
                                   uint8_t qos, struct str props, bool resumed)
{
    struct skep_request *r = request_take(hc->place, hc, hc->chain, SKEP_STAGE_SUBSCRIBE);

    r->filter = filter;
    r->group = group;
    r->qos = r->granted = qos;
    r->props = props;
    r->resumed = resumed;
    if (!hc->has_rules || !own_rules(r, rules_filter(&client_who(hc)->facts, filter)))
        request_run(r);
    return r;
}

/* -- What modules see and say -- */

static struct skep_str give(struct str s)
{
    return skep_bytes(s.ptr, s.len);
}

struct skep_str skep_subscribe_filter(const struct skep_request *r)
{
    return give(r->filter);
}

struct skep_str skep_subscribe_group(const struct skep_request *r)
{
    return give(r->group);
}

unsigned skep_subscribe_qos(const struct skep_request *r)
{
    return r->qos;
}

void skep_subscribe_set_qos(struct skep_request *r, unsigned qos)
{
    if (qos < r->granted)
        r->granted = (uint8_t)qos;
}

bool skep_subscribe_is_resumed(const struct skep_request *r)
{
    return r->resumed;
}
