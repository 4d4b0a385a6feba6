/* What the control socket answers about clients; control.h has the protocol. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/qsbr.h"
#include "core/broker.h"
#include "core/identity.h"
#include "core/session.h"
#include "core/sessions.h"
#include "core/subs.h"
#include "core/subscribe.h"
#include "host/explain.h"
#include "host/note.h"
#include "host/ring.h"
#include "host/trace.h"
#include "main/answer.h"
#include "mqtt/packet.h"
#include "mqtt/reason.h"
#include "mqtt/topic.h"

enum { CLIENTS_MOST = 10000, CLIENTS_USUAL = 1000, SUBSCRIPTIONS_MOST = 1000 };

static const char *text_of(const cJSON *request, const char *name)
{
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(request, name));
}

static double number_of(const cJSON *request, const char *name, double otherwise)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(request, name);
    return cJSON_IsNumber(item) ? item->valuedouble : otherwise;
}

static bool is_on(const cJSON *request, const char *name)
{
    return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(request, name));
}

static void add_str(cJSON *o, const char *name, struct str s)
{
    char *text = str_dup(s);

    cJSON_AddStringToObject(o, name, text);
    free(text);
}

static struct sessions *sessions_of(struct daemon *d)
{
    return server_host(d->server)->broker->sessions;
}

/* -- One client -- */

/* What both the table and the single client tell.  The session's lock is not held. */
static void add_facts(cJSON *o, struct session *s, const struct skep_client *who, bool connected)
{
    const struct identity_facts *f = &who->facts;

    add_str(o, "id", session_id(s));
    if (f->has_username)
        add_str(o, "username", f->username);
    cJSON_AddBoolToObject(o, "connected", connected);
    if (connected && f->address.len > 0)
        add_str(o, "address", f->address);
    if (f->listener.len > 0)
        add_str(o, "listener", f->listener);
    cJSON_AddNumberToObject(o, "protocol", f->protocol);
    if (f->connected_at)
        cJSON_AddNumberToObject(o, "connected_at", (double)f->connected_at);
    lock_take(&s->subs.lock);
    cJSON_AddNumberToObject(o, "subscriptions", s->subs.count);
    lock_drop(&s->subs.lock);
    cJSON_AddNumberToObject(o, "queued", (double)session_queued(s));
    cJSON_AddNumberToObject(o, "in_flight", session_in_flight(s));
}

static struct skep_client *describe(struct session *s, bool *connected)
{
    lock_take(&s->lock);
    struct skep_client *who = session_describe(s);
    *connected = session_link(s) != NULL;
    lock_drop(&s->lock);
    return who;
}

/* -- The table -- */

struct listing {
    cJSON *list;
    const char *filter, *username, *listener;
    bool all;
    size_t most, count, left_out;
};

static bool holds(struct str s, const char *word)
{
    return !word || (s.len > 0 && memmem(s.ptr, s.len, word, strlen(word)));
}

static bool is(struct str s, const char *word)
{
    return !word || str_eq(s, str_of(word));
}

static void list_one(void *listing, struct session *s)
{
    struct listing *l = listing;
    bool connected;

    if (!l->all && !session_link(s))
        return;
    struct skep_client *who = describe(s, &connected);
    const struct identity_facts *f = &who->facts;
    bool wanted = (l->all || connected) && is(f->username, l->username) &&
                  is(f->listener, l->listener) &&
                  (holds(session_id(s), l->filter) || holds(f->username, l->filter) ||
                   holds(f->address, l->filter));
    if (wanted && l->count == l->most) {
        l->left_out++;
    } else if (wanted) {
        cJSON *o = cJSON_CreateObject();
        add_facts(o, s, who, connected);
        cJSON_AddItemToArray(l->list, o);
        l->count++;
    }
    identity_unref(who);
}

void answer_clients(struct daemon *d, const cJSON *request, cJSON *answer)
{
    struct listing l = {.filter = text_of(request, "filter"),
                        .username = text_of(request, "username"),
                        .listener = text_of(request, "listener"),
                        .all = is_on(request, "all"),
                        .most = (size_t)number_of(request, "most", CLIENTS_USUAL)};
    uint32_t at = 0;

    cJSON_AddNumberToObject(answer, "connections", server_connections(d->server));
    if (!is_on(request, "list"))
        return;
    if (l.most > CLIENTS_MOST)
        l.most = CLIENTS_MOST;
    l.list = cJSON_AddArrayToObject(answer, "clients");
    while (sessions_walk(sessions_of(d), &at, list_one, &l))
        ;
    cJSON_AddNumberToObject(answer, "left_out", (double)l.left_out);
}

/* -- All about one -- */

static void add_attributes(cJSON *o, const struct identity_facts *f)
{
    cJSON *attributes = cJSON_AddObjectToObject(o, "attributes");

    for (uint16_t i = 0; i < f->attribute_count; i++) {
        char *name = str_dup(f->attributes[i].name);
        add_str(attributes, name, f->attributes[i].value);
        free(name);
    }
}

static void add_quotas(cJSON *o, const struct identity_facts *f)
{
    static const char *const names[] = {
        [SKEP_QUOTA_MESSAGE_RATE] = "messages_a_second",
        [SKEP_QUOTA_BYTE_RATE] = "bytes_a_second",
        [SKEP_QUOTA_SUBSCRIPTIONS] = "subscriptions",
        [SKEP_QUOTA_SESSION_EXPIRY_S] = "session_expiry_s",
        [SKEP_QUOTA_KEEP_ALIVE_S] = "keep_alive_s",
    };
    cJSON *quotas = cJSON_AddObjectToObject(o, "quotas");

    for (uint16_t i = 0; i < f->quota_count && i < ARRAY_LEN(names); i++) {
        if (f->quotas[i] != UINT64_MAX)
            cJSON_AddNumberToObject(quotas, names[i], (double)f->quotas[i]);
    }
    if (f->expiry_ms)
        cJSON_AddNumberToObject(o, "ends_at", (double)f->expiry_ms);
}

static void add_rules(cJSON *o, const struct identity_facts *f)
{
    static const char *const actions[] = {"publish", "subscribe", "receive", "retain"};
    cJSON *rules = cJSON_AddArrayToObject(o, "rules");

    for (uint16_t i = 0; i < f->rule_count; i++) {
        char text[64] = "";
        for (unsigned a = 0; a < ARRAY_LEN(actions); a++) {
            if (f->rules[i].actions >> a & 1) {
                strcat(text, text[0] ? "," : "");
                strcat(text, actions[a]);
            }
        }
        cJSON *rule = cJSON_CreateObject();
        cJSON_AddStringToObject(rule, "rule", f->rules[i].allow ? "allow" : "deny");
        cJSON_AddStringToObject(rule, "to", text);
        add_str(rule, "topic", f->rules[i].filter);
        cJSON_AddItemToArray(rules, rule);
    }
}

struct subscriptions {
    cJSON *list;
    struct str mount;
    size_t left_out;
};

/* As its client knows it. */
static char *shown(struct str filter, struct str mount)
{
    struct str group, rest = filter;

    topic_share_split(filter, &group, &rest);
    if (rest.len < mount.len)
        return str_dup(filter);
    size_t head = filter.len - rest.len;
    char *out = str_dup(filter);
    memmove(out + head, out + head + mount.len, filter.len - head - mount.len + 1);
    return out;
}

static void add_subscription(void *subscriptions, struct str filter, const struct subscription *sub)
{
    struct subscriptions *all = subscriptions;

    if (cJSON_GetArraySize(all->list) == SUBSCRIPTIONS_MOST) {
        all->left_out++;
        return;
    }
    cJSON *o = cJSON_CreateObject();
    char *text = shown(filter, all->mount);
    cJSON_AddStringToObject(o, "filter", text);
    free(text);
    cJSON_AddNumberToObject(o, "qos", sub->options & SUB_QOS);
    if (sub->id)
        cJSON_AddNumberToObject(o, "id", sub->id);
    if (sub->options & SUB_NO_LOCAL)
        cJSON_AddBoolToObject(o, "no_local", true);
    if (sub->options & SUB_RETAIN_AS_PUBLISHED)
        cJSON_AddBoolToObject(o, "retain_as_published", true);
    cJSON_AddItemToArray(all->list, o);
}

/* The owner changes them under their lock, and what they hang on stays until we are quiescent. */
static void add_subscriptions(cJSON *o, struct session *s, struct str mount)
{
    struct subscriptions all = {.list = cJSON_AddArrayToObject(o, "filters"), .mount = mount};

    lock_take(&s->subs.lock);
    session_each_subscription(s, add_subscription, &all);
    lock_drop(&s->subs.lock);
    if (all.left_out > 0)
        cJSON_AddNumberToObject(o, "filters_left_out", (double)all.left_out);
}

static void add_decision(void *list, const struct ring_entry *e)
{
    cJSON *o = cJSON_CreateObject();

    cJSON_AddNumberToObject(o, "wall_ms", (double)e->wall_ms);
    cJSON_AddStringToObject(o, "stage", stage_name(e->stage));
    cJSON_AddStringToObject(o, "verdict", verdict_name(e->verdict));
    if (e->verdict == SKEP_DENY)
        cJSON_AddStringToObject(o, "reason", mqtt_reason_text(e->reason));
    if (e->topic.len > 0)
        add_str(o, "topic", e->topic);
    cJSON_AddStringToObject(o, "by", "skep");
    if (e->module.len > 0) {
        cJSON_DeleteItemFromObjectCaseSensitive(o, "by");
        add_str(o, "by", e->module);
    }
    if (e->where.len > 0)
        add_str(o, "where", e->where);
    cJSON_AddItemToArray(list, o);
}

static void describe_one(void *object, struct session *s)
{
    cJSON *o = object;
    bool connected;
    struct skep_client *who = describe(s, &connected);
    const struct identity_facts *f = &who->facts;

    add_facts(o, s, who, connected);
    cJSON_AddBoolToObject(o, "tls", f->is_tls);
    cJSON_AddBoolToObject(o, "websocket", f->is_websocket);
    if (f->cert_subject.len > 0)
        add_str(o, "certificate", f->cert_subject);
    if (f->mount.len > 0)
        add_str(o, "mount_point", f->mount);
    if (s->expiry == EXPIRY_NEVER)
        cJSON_AddStringToObject(o, "session_expiry_s", "never");
    else
        cJSON_AddNumberToObject(o, "session_expiry_s", s->expiry);
    cJSON_AddBoolToObject(o, "durable", session_stored(s));
    add_attributes(o, f);
    add_quotas(o, f);
    add_rules(o, f);
    add_subscriptions(o, s, f->mount);
    ring_each(who->presence, add_decision, cJSON_AddArrayToObject(o, "decisions"));
    identity_unref(who);
}

static void refuse_unknown(cJSON *answer, const char *id)
{
    char why[256];

    snprintf(why, sizeof why, "there is no client %s", id);
    control_refuse(answer, why);
}

void answer_client(struct daemon *d, const cJSON *request, cJSON *answer)
{
    const char *id = text_of(request, "id");
    struct qsbr_slot *slot = &server_host(d->server)->main_slot;
    cJSON *o = cJSON_CreateObject();

    qsbr_online(slot);
    bool found = id && sessions_with(sessions_of(d), str_of(id), describe_one, o);
    qsbr_quiescent(slot);
    qsbr_offline(slot);
    if (found) {
        cJSON_AddItemToObject(answer, "client", o);
        return;
    }
    cJSON_Delete(o);
    refuse_unknown(answer, id ? id : "(no id given)");
}

void answer_kick(struct daemon *d, const cJSON *request, cJSON *answer)
{
    const char *id = text_of(request, "id"), *text = text_of(request, "text");
    double reason = number_of(request, "reason", RC_ADMINISTRATIVE);

    if (!(reason >= 0x80 && reason <= 0xff) ||
        !mqtt_reason_allowed(MQTT_DISCONNECT, (uint8_t)reason))
        control_refuse(answer, "\"reason\" is one that DISCONNECT may carry, 128 to 162");
    else if (!id || !sessions_kick_text(sessions_of(d), str_of(id), NULL, (uint8_t)reason, text))
        control_refuse(answer, "no such client is connected");
}

/* -- Explain -- */

static void explained(void *daemon, uint64_t ticket, cJSON *answer)
{
    struct daemon *d = daemon;

    cJSON_AddBoolToObject(answer, "ok", true);
    if (d->control)
        control_finish(d->control, ticket, answer);
    cJSON_Delete(answer);
}

/* One line of what is wrong with the question, or NULL. */
static const char *question_of(struct daemon *d, const cJSON *request, struct explain_question *q)
{
    const char *what = text_of(request, "what");
    bool name = what && strcmp(what, "publish") == 0;

    *q = (struct explain_question){.client_id = text_of(request, "client"),
                                   .username = text_of(request, "username"),
                                   .listener = text_of(request, "listener"),
                                   .address = text_of(request, "address"),
                                   .password = text_of(request, "password"),
                                   .topic = text_of(request, "topic"),
                                   .payload = text_of(request, "payload"),
                                   .qos = (unsigned)number_of(request, "qos", 0),
                                   .retain = is_on(request, "retain")};
    if (!q->listener)
        q->listener = server_listener(d->server, 0, NULL);
    for (size_t i = 0; q->listener; i++) {
        const char *known = server_listener(d->server, i, &q->anonymous);
        if (!known)
            return "no listener has that name";
        if (strcmp(known, q->listener) == 0)
            break;
    }
    if (what && strcmp(what, "connect") == 0) {
        q->stage = SKEP_STAGE_CONNECT;
        return NULL;
    }
    if (!what || (!name && strcmp(what, "subscribe") != 0))
        return "\"what\" is connect, subscribe or publish";
    q->stage = name ? SKEP_STAGE_PUBLISH : SKEP_STAGE_SUBSCRIBE;
    if (!q->client_id)
        return "\"client\" is who asks";
    if (!q->topic || q->qos > 2 ||
        (name ? topic_name_check(str_of(q->topic), 0) : topic_filter_check(str_of(q->topic), 0)) !=
            TOPIC_OK)
        return name ? "that is no topic name" : "that is no topic filter";
    return NULL;
}

void answer_explain(struct daemon *d, const cJSON *request, cJSON *answer)
{
    struct explain_question q;
    const char *wrong = d->state == DAEMON_RUNNING ? question_of(d, request, &q)
                                                   : "Skep is not running yet, or stopping";

    if (wrong)
        control_refuse(answer, wrong);
    else
        explain(server_host(d->server), &q, explained, d, control_later(d->control));
}

/* -- Trace -- */

void answer_trace(struct daemon *d, const cJSON *request, cJSON *answer)
{
    struct host *h = server_host(d->server);
    unsigned next = (unsigned)number_of(request, "next", 0),
             end = (unsigned)number_of(request, "end", 0);
    const char *topic = text_of(request, "topic");
    uint64_t now_ms = clock_mono_ms(), dropped = 0;

    if (end) {
        trace_end(h, end);
    } else if (next) {
        cJSON *events = trace_take(h, next, now_ms, &dropped);
        if (!events) {
            control_refuse(answer, "that trace has ended");
            return;
        }
        cJSON_AddItemToObject(answer, "events", events);
        cJSON_AddNumberToObject(answer, "dropped", (double)dropped);
    } else if (topic && topic_filter_check(str_of(topic), 0) != TOPIC_OK) {
        control_refuse(answer, "\"topic\" is no topic filter");
    } else {
        unsigned number = trace_begin(h, text_of(request, "client"), topic, now_ms);
        if (number)
            cJSON_AddNumberToObject(answer, "trace", number);
        else
            control_refuse(answer, "there are four traces already");
    }
}
