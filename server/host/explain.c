#include "host/explain.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "core/broker.h"
#include "core/message.h"
#include "core/receivers.h"
#include "core/session.h"
#include "core/sessions.h"
#include "host/decide.h"
#include "host/guard.h"
#include "host/note.h"
#include "mqtt/packet.h"
#include "mqtt/reason.h"
#include "mqtt/topic.h"
#include "net/loop.h"

enum { RECEIVERS_SHOWN = 200 };

struct explanation {
    struct loop_task task;
    struct host_main_task back;
    struct host *host;
    struct host_place *place;
    explain_ended_fn *ended;
    void *arg;
    uint64_t ticket;
    enum skep_stage stage;
    char *client_id, *username, *listener, *address, *password, *topic, *payload;
    bool anonymous, retain, known;
    uint8_t qos;
    struct skep_client *who; /* a session's; NULL: nobody with that id */
    struct host_client *hc;
    cJSON *answer, *steps;
};

static char *copy(const char *text)
{
    return text ? str_dup(str_of(text)) : NULL;
}

/* -- The end -- */

static void wipe(char *secret)
{
    if (secret)
        explicit_bzero(secret, strlen(secret));
    free(secret);
}

static void end_on_main(struct host_main_task *task)
{
    struct explanation *e = CONTAINER_OF(task, struct explanation, back);

    e->ended(e->arg, e->ticket, e->answer);
    free(e->client_id);
    free(e->username);
    free(e->listener);
    free(e->address);
    wipe(e->password);
    free(e->topic);
    free(e->payload);
    free(e);
}

static void end(struct explanation *e)
{
    host_client_left(&e->hc);
    identity_unref(e->who);
    e->who = NULL;
    e->back.run = end_on_main;
    host_post_main(e->host, &e->back);
}

/* -- Saying it -- */

static void add_str(cJSON *o, const char *name, struct str s)
{
    char *text = str_dup(s);

    cJSON_AddStringToObject(o, name, text);
    free(text);
}

static void add_words(cJSON *o, const struct skep_request *r)
{
    char where[512];
    struct str text = note_where(r, where, sizeof where);

    cJSON_AddStringToObject(o, "by", r->module ? r->module->name : "skep");
    if (text.len > 0)
        add_str(o, "where", text);
    if (r->text.len > 0)
        add_str(o, "text", r->text);
}

static void add_verdict(void *object, const struct skep_request *r)
{
    cJSON *o = object;

    cJSON_DeleteItemFromObjectCaseSensitive(o, "verdict");
    cJSON_AddStringToObject(o, "verdict", verdict_name(r->verdict));
    if (r->verdict == SKEP_DENY) {
        cJSON_AddNumberToObject(o, "reason", r->reason);
        cJSON_AddStringToObject(o, "reason_text", mqtt_reason_text(r->reason));
    }
    add_words(o, r);
}

/* What each module said on the way. */
static void step(void *explanation, const struct skep_request *r, enum skep_verdict v)
{
    struct explanation *e = explanation;
    cJSON *o = cJSON_CreateObject();

    cJSON_AddStringToObject(o, "stage", stage_name(r->stage));
    cJSON_AddStringToObject(o, "says", verdict_name(v));
    add_words(o, r);
    cJSON_AddItemToArray(e->steps, o);
}

static void add_client(cJSON *answer, const struct skep_client *who, bool known)
{
    cJSON *o = cJSON_AddObjectToObject(answer, "client"), *attributes;

    if (who->facts.id.len > 0)
        add_str(o, "id", who->facts.id);
    if (who->facts.has_username)
        add_str(o, "username", who->facts.username);
    if (who->facts.address.len > 0)
        add_str(o, "address", who->facts.address);
    if (who->facts.listener.len > 0)
        add_str(o, "listener", who->facts.listener);
    cJSON_AddBoolToObject(o, "known", known);
    attributes = cJSON_AddObjectToObject(o, "attributes");
    for (uint16_t i = 0; i < who->facts.attribute_count; i++) {
        char *name = str_dup(who->facts.attributes[i].name);
        add_str(attributes, name, who->facts.attributes[i].value);
        free(name);
    }
}

/* -- Receivers -- */

struct audience {
    struct explanation *e;
    struct message *message;
    cJSON *list;
    struct session *seen[RECEIVERS_SHOWN];
    unsigned count, more;
};

static bool seen_before(const struct audience *a, const struct session *s)
{
    for (unsigned i = 0; i < a->count; i++) {
        if (a->seen[i] == s)
            return true;
    }
    return false;
}

static void add_receiver(void *audience, struct session *s, unsigned options, struct str group)
{
    struct audience *a = audience;
    unsigned granted = options & SUB_QOS;
    unsigned qos = granted < a->message->qos ? granted : a->message->qos;

    if (group.len == 0 && seen_before(a, s))
        return;
    if (a->count == RECEIVERS_SHOWN) {
        a->more++;
        return;
    }
    a->seen[a->count++] = s;
    cJSON *o = cJSON_CreateObject();
    add_str(o, "client", session_id(s));
    cJSON_AddNumberToObject(o, "qos", qos);
    if (group.len > 0)
        add_str(o, "shared", group);
    lock_take(&s->lock);
    cJSON_AddBoolToObject(o, "connected", session_link(s) != NULL);
    cJSON_AddStringToObject(o, "verdict", "allow");
    guard_explain(a->e->host, a->e->place->worker, s, a->message, qos,
                  (options & SUB_RETAIN_AS_PUBLISHED) && a->message->retain, add_verdict, o);
    lock_drop(&s->lock);
    cJSON_AddItemToArray(a->list, o);
}

static struct str mounted(const struct skep_client *who, const char *topic)
{
    struct str mount = who->facts.mount;
    char *whole = xmalloc(mount.len + strlen(topic) + 1);

    if (mount.len > 0)
        memcpy(whole, mount.ptr, mount.len);
    strcpy(whole + mount.len, topic);
    return str_of(whole);
}

static void add_receivers(struct explanation *e, const struct asked_message *m)
{
    char *shown = str_dup(m->topic);
    struct str topic = mounted(e->hc->who, shown);
    struct audience a = {.e = e, .list = cJSON_AddArrayToObject(e->answer, "receivers")};

    a.message = message_new(topic, m->payload, STR_NONE, m->qos, m->retain);
    if (a.message) {
        receivers_each(e->place->worker, topic, add_receiver, &a);
        message_unref(a.message);
    }
    if (a.more > 0)
        cJSON_AddNumberToObject(e->answer, "receivers_more", a.more);
    free((char *)topic.ptr);
    free(shown);
}

/* -- The course of it -- */

static void answered(struct explanation *e, struct skep_request *r)
{
    if (r->verdict == SKEP_ALLOW && r->stage == SKEP_STAGE_PUBLISH) {
        add_verdict(e->answer, r);
        ask_message(r);
        if (r->verdict == SKEP_PENDING)
            return;
    } else if (r->stage != SKEP_STAGE_MESSAGE) {
        add_verdict(e->answer, r);
    }
    if (r->stage == SKEP_STAGE_SUBSCRIBE && r->verdict == SKEP_ALLOW)
        cJSON_AddNumberToObject(e->answer, "qos", r->granted);
    if (r->stage == SKEP_STAGE_MESSAGE) {
        cJSON_AddStringToObject(e->answer, "message", verdict_name(r->verdict));
        if (r->changed)
            add_str(e->answer, "topic", r->message.topic);
        if (r->verdict == SKEP_ALLOW)
            add_receivers(e, &r->message);
    }
    if (r->connecting)
        add_client(e->answer, request_who(r), e->known);
    request_end(&r);
    end(e);
}

static void decided(void *explanation, struct skep_request *r)
{
    answered(explanation, r);
}

static struct skep_client *identity(void *explanation)
{
    return identity_ref(((struct explanation *)explanation)->who);
}

static struct identity_facts facts_of(const struct explanation *e, struct chain_slot *slot)
{
    return (struct identity_facts){.id = str_of(e->client_id),
                                   .username = str_of(e->username),
                                   .has_username = e->username != NULL,
                                   .address = str_of(e->address ? e->address : "127.0.0.1:0"),
                                   .listener = str_of(e->listener),
                                   .connected_at = clock_wall_ms(),
                                   .chain = slot,
                                   .protocol = MQTT_50};
}

static struct skep_request *ask_to_connect(struct explanation *e, struct chain_slot *slot)
{
    struct identity_facts facts = facts_of(e, slot);
    struct mqtt_connect p = {.version = MQTT_50,
                             .clean_start = true,
                             .keep_alive = 60,
                             .client_id = str_of(e->client_id),
                             .has_username = e->username != NULL,
                             .username = str_of(e->username),
                             .has_password = e->password != NULL,
                             .password = str_of(e->password),
                             .request_problem_info = true};

    return ask_connect(e->hc, &p, &facts, e->anonymous);
}

static struct skep_request *ask_to_subscribe(struct explanation *e)
{
    struct str group = STR_NONE, filter = str_of(e->topic);

    topic_share_split(filter, &group, &filter);
    return ask_subscribe(e->hc, filter, group, e->qos, STR_NONE, false);
}

static struct skep_request *ask_to_publish(struct explanation *e)
{
    return ask_publish(e->hc, &(struct asked_message){.topic = str_of(e->topic),
                                                      .payload = str_of(e->payload),
                                                      .props_plain = true,
                                                      .expiry = UINT32_MAX,
                                                      .qos = e->qos,
                                                      .retain = e->retain});
}

static void run(struct loop_task *task, struct loop *l)
{
    static const struct host_client_ops ops = {
        .decided = decided, .identity = identity, .step = step};
    struct explanation *e = CONTAINER_OF(task, struct explanation, task);
    struct chain_slot *slot = e->listener ? chain_slot(e->host, e->listener) : e->host->nowhere;

    e->steps = cJSON_AddArrayToObject(e->answer, "steps");
    e->known = e->who != NULL;
    if (!e->who && e->stage != SKEP_STAGE_CONNECT) {
        struct identity_facts facts = facts_of(e, slot);
        e->who = identity_new(&facts, NULL);
    }
    if (e->who && e->who->facts.chain && e->stage != SKEP_STAGE_CONNECT)
        slot = e->who->facts.chain;
    e->hc = host_client_new(e->host, slot, &ops, e);
    e->hc->dry = true;
    if (e->stage != SKEP_STAGE_CONNECT) {
        e->hc->who = identity_ref(e->who);
        e->hc->has_rules = e->who->facts.rule_count > 0;
        add_client(e->answer, e->who, e->known);
    }
    struct skep_request *r = e->stage == SKEP_STAGE_CONNECT     ? ask_to_connect(e, slot)
                             : e->stage == SKEP_STAGE_SUBSCRIBE ? ask_to_subscribe(e)
                                                                : ask_to_publish(e);
    if (r->verdict != SKEP_PENDING)
        answered(e, r);
}

static void look(void *explanation, struct session *s)
{
    struct explanation *e = explanation;

    lock_take(&s->lock);
    e->who = session_describe(s);
    if (session_link(s))
        e->place = &e->host->places[session_link(s)->worker];
    lock_drop(&s->lock);
}

void explain(struct host *h, const struct explain_question *q, explain_ended_fn *ended, void *arg,
             uint64_t ticket)
{
    struct explanation *e = xcalloc(1, sizeof *e);

    *e = (struct explanation){.task = {.run = run},
                              .host = h,
                              .place = &h->places[0],
                              .ended = ended,
                              .arg = arg,
                              .ticket = ticket,
                              .stage = q->stage,
                              .client_id = copy(q->client_id),
                              .username = copy(q->username),
                              .listener = copy(q->listener),
                              .address = copy(q->address),
                              .password = copy(q->password),
                              .topic = copy(q->topic),
                              .payload = copy(q->payload),
                              .anonymous = q->anonymous,
                              .retain = q->retain,
                              .qos = (uint8_t)q->qos,
                              .answer = cJSON_CreateObject()};
    if (q->stage != SKEP_STAGE_CONNECT)
        sessions_with(h->broker->sessions, str_of(e->client_id), look, e);
    loop_post(e->place->loop, &e->task);
}
