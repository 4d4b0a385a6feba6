/* Questions of clients, put to the host as front puts them, and what became of them. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "core/router.h"
#include "core/session.h"
#include "core/subs.h"
#include "core/subscribe.h"
#include "harness.h"
#include "host/event.h"
#include "host/guard.h"
#include "host/life.h"
#include "host/rules.h"
#include "net/loop.h"
#include "world.h"

/* -- Asking -- */

static struct skep_client *identity_of(void *client)
{
    const struct skep_test_client *c = client;
    return session_identity(c->session);
}

static void decided(void *client, struct skep_request *r);

const struct host_client_ops ask_ops = {.decided = decided, .identity = identity_of};

static struct identity_facts facts_of(const struct skep_test_client *c)
{
    return (struct identity_facts){
        .id = str_of(c->id),
        .username = str_of(c->username ? c->username : ""),
        .has_username = c->username != NULL,
        .address = str_of(c->address),
        .listener = STR(TEST_LISTENER),
        .cert_cn = str_of(c->cert_cn ? c->cert_cn : ""),
        .cert_subject = STR_NONE,
        .is_tls = c->cert_cn != NULL,
        .connected_at = clock_wall_ms(),
        .chain = chain_slot(c->test->host, TEST_LISTENER),
        .protocol = MQTT_50,
    };
}

static void packet_fill(struct skep_test_client *c)
{
    struct mqtt_connect *p = &c->packet;

    p->version = MQTT_50;
    p->clean_start = true;
    p->keep_alive = 60;
    p->client_id = str_of(c->id);
    p->has_username = c->username != NULL;
    p->username = str_of(c->username ? c->username : "");
    p->has_password = c->has_password;
    p->password = c->password;
    p->receive_maximum = UINT16_MAX;
    p->maximum_packet_size = UINT32_MAX;
    p->request_problem_info = true;
}

/* As `anonymous auto` of a listener has it. */
static bool authenticates(const struct skep_test_client *c)
{
    const struct roll *roll = life_roll(c->test->host);

    for (size_t i = 0; i < roll->count; i++) {
        const struct skep_descriptor *d = roll->modules[i]->d;
        if ((d->on_connect || d->on_auth) && !(d->flags & SKEP_ADVISES))
            return true;
    }
    return false;
}

static void ask_about_connect(struct skep_test_client *c)
{
    struct identity_facts facts = facts_of(c);

    packet_fill(c);
    c->asked = host_client_new(c->test->host, facts.chain, &ask_ops, c);
    c->connecting = true;
    c->request = ask_connect(c->asked, &c->packet, &facts, !authenticates(c));
}

static void ask_about_auth(struct skep_test_client *c)
{
    struct identity_facts facts = facts_of(c);
    struct str data = str_of(NULL);
    bool first = !c->asked;

    if (c->payload)
        data = c->message.payload;
    packet_fill(c);
    c->packet.has_auth_method = true;
    c->packet.auth_method = str_of(c->method);
    c->packet.auth_data = data;
    if (first) {
        c->asked = host_client_new(c->test->host, facts.chain, &ask_ops, c);
        c->connecting = true;
    }
    c->request = ask_auth(c->asked, first ? &c->packet : NULL, first ? &facts : NULL,
                          str_of(c->method), data, STR_NONE);
}

/* "$share/GROUP/FILTER" in its parts. */
static struct skep_request *ask_about_subscribe(struct skep_test_client *c)
{
    struct str filter = str_of(c->topic), group = STR_NONE;
    const char *slash;

    if (str_starts(filter, STR("$share/")) && (slash = strchr(c->topic + 7, '/'))) {
        group = (struct str){c->topic + 7, (size_t)(slash - c->topic - 7)};
        filter = str_of(slash + 1);
    }
    return ask_subscribe(c->asked, filter, group, (uint8_t)c->qos, STR_NONE, false);
}

static void ask(struct skep_test_client *c)
{
    switch (c->question) {
    case ASK_CONNECT:
        ask_about_connect(c);
        break;
    case ASK_AUTH:
        ask_about_auth(c);
        break;
    case ASK_WILL:
        c->request = ask_will(c->asked, &c->message);
        break;
    case ASK_SUBSCRIBE:
        c->request = ask_about_subscribe(c);
        break;
    case ASK_PUBLISH:
        c->request = ask_publish(c->asked, &c->message);
        break;
    case ASK_MESSAGE:
        ask_message(c->request);
        break;
    default:
        break;
    }
}

/* -- Acting on the answer -- */

/* It also goes to whoever is subscribed: a module's consumer, other clients of the test. */
static void route(struct skep_test_client *c, struct skep_request *r)
{
    struct publication p = {.topic = c->message.topic,
                            .payload = c->message.payload,
                            .qos = c->message.qos,
                            .retain = c->message.retain,
                            .expiry = UINT32_MAX,
                            .publisher = c->session->serial,
                            .refusable = true};
    struct routed routed;

    if (r->verdict == SKEP_ALLOW) {
        outcome_message(c, &r->message);
        for (const struct message_copy *copy = r->copies; copy; copy = copy->next)
            outcome_message(c, &copy->message);
    }
    guard_route(r, c->test->worker, &p, 0, &routed);
}

static void subscribe(struct skep_test_client *c)
{
    struct subscribe_request request = {.filter = str_of(c->topic),
                                        .options = c->outcome.granted_qos};
    bool existed;

    if (session_subscribe(c->test->worker, c->session, &request, &existed) < 0)
        test_fault("the subscription to %s was not taken", c->topic);
}

static bool is_let_in(const struct skep_test_client *c)
{
    return c->outcome.verdict == SKEP_ALLOW ||
           (c->outcome.verdict == SKEP_NEXT && !authenticates(c));
}

/* As front does it: who it is, then its will, then its session.  True: a question about the will.
 */
static bool connect_decided(struct skep_test_client *c)
{
    const struct mqtt_will *will = &c->packet.will;

    if (c->question != ASK_WILL && is_let_in(c)) {
        identity_unref(host_client_admit(c->asked, str_of(c->id)));
        if (c->packet.has_will) {
            c->question = ASK_WILL;
            c->message = (struct asked_message){.topic = will->topic,
                                                .payload = will->payload,
                                                .qos = will->qos,
                                                .retain = will->retain,
                                                .expiry = UINT32_MAX};
            return true;
        }
    }
    if (is_let_in(c))
        client_admit(c);
    c->connecting = false;
    host_auth_end(c->asked);
    return false;
}

static void reauth_decided(struct skep_test_client *c)
{
    if (c->outcome.verdict == SKEP_ALLOW)
        session_identify(c->session, host_client_admit(c->asked, str_of(c->id)));
    host_auth_end(c->asked);
}

/* True: a further question is to be asked. */
static bool act(struct skep_test_client *c)
{
    enum skep_verdict v = c->outcome.verdict;

    switch (c->question) {
    case ASK_CONNECT:
    case ASK_AUTH:
        if (v == SKEP_CONTINUE)
            return false;
        if (c->connecting)
            return connect_decided(c);
        reauth_decided(c);
        return false;
    case ASK_WILL:
        return connect_decided(c);
    case ASK_SUBSCRIBE:
        if (v == SKEP_ALLOW)
            subscribe(c);
        return false;
    default:
        return false;
    }
}

/* A publication that was allowed is changed by on_message with the same request, then it goes out.
 */
static bool publish_goes_on(struct skep_test_client *c)
{
    struct skep_request *r = c->request;

    if (c->question == ASK_PUBLISH && r->verdict == SKEP_ALLOW) {
        c->question = ASK_MESSAGE;
        return true;
    }
    route(c, r);
    return false;
}

/* The request has an answer, or waits. */
static void go_on(struct skep_test_client *c)
{
    bool again = true;

    while (again) {
        struct skep_request *r = c->request;
        outcome_take(c, r);
        if (r->verdict == SKEP_PENDING)
            return;
        bool publication = c->question == ASK_PUBLISH || c->question == ASK_MESSAGE;
        again = publication ? publish_goes_on(c) : act(c);
        if (!publication || !again)
            request_end(&c->request);
        if (again)
            ask(c);
    }
    c->question = ASK_NOTHING;
}

static void decided(void *client, struct skep_request *r)
{
    struct skep_test_client *c = client;

    ASSERT(c->request == r);
    go_on(c);
}

static void begin(void *client)
{
    ask(client);
    go_on(client);
}

static void must_be_free(const struct skep_test_client *c, bool connected)
{
    if (c->over)
        test_fail("client %s has left", c->id);
    if (c->question != ASK_NOTHING)
        test_fail("client %s waits for an answer: it can ask nothing else", c->id);
    if (connected && !c->connected)
        test_fail("client %s is not connected", c->id);
}

static void ask_begin(struct skep_test_client *c, enum question question)
{
    c->question = question;
    rig_call(c->test, begin, c);
    rig_settle(c->test);
    test_check();
}

/* -- Deliveries: what host/guard.c asks for each receiver -- */

static void deliver(void *client)
{
    struct skep_test_client *c = client;
    struct skep_request *r = request_take(host_here, NULL, c->asked->chain, SKEP_STAGE_DELIVER);
    enum rule_answer answer;

    r->who = session_identity(c->session);
    r->at_once = true;
    r->message = c->message;
    r->message.props_plain = true;
    answer = rules_topic(&r->who->facts, SKEP_MAY_RECEIVE, r->message.topic);
    if (answer == RULE_SILENT)
        request_run(r);
    else
        request_decide(r, answer == RULE_ALLOW ? SKEP_ALLOW : SKEP_DENY, SKEP_RC_NOT_AUTHORIZED,
                       "a rule of this connection");
    outcome_take(c, r);
    identity_unref(r->who);
    request_end(&r);
}

/* -- <skep/test.h> -- */

static void question_set(struct skep_test_client *c, const char *topic, struct skep_str payload,
                         unsigned qos, bool retain)
{
    free(c->topic);
    free(c->payload);
    c->topic = topic ? str_dup(str_of(topic)) : NULL;
    c->payload = str_dup((struct str){payload.ptr ? payload.ptr : "", payload.len});
    c->qos = qos;
    c->message = (struct asked_message){.topic = str_of(c->topic),
                                        .payload = {c->payload, payload.len},
                                        .qos = (uint8_t)qos,
                                        .retain = retain,
                                        .expiry = UINT32_MAX};
}

enum skep_verdict skep_test_connect(struct skep_test_client *c)
{
    if (c->asked)
        test_fail("client %s has connected before: one connection is one client", c->id);
    ask_begin(c, ASK_CONNECT);
    return c->outcome.verdict;
}

enum skep_verdict skep_test_auth(struct skep_test_client *c, const char *method,
                                 struct skep_str data)
{
    if (method) {
        free(c->method);
        c->method = str_dup(str_of(method));
    }
    if (!c->method)
        test_fail("client %s: the first call names the method", c->id);
    must_be_free(c, false);
    question_set(c, NULL, data, 0, false);
    ask_begin(c, ASK_AUTH);
    return c->outcome.verdict;
}

enum skep_verdict skep_test_subscribe(struct skep_test_client *c, const char *filter, unsigned qos)
{
    must_be_free(c, true);
    question_set(c, filter, skep_bytes(NULL, 0), qos, false);
    ask_begin(c, ASK_SUBSCRIBE);
    return c->outcome.verdict;
}

enum skep_verdict skep_test_publish(struct skep_test_client *c, const char *topic,
                                    const char *payload, unsigned qos, bool retain)
{
    must_be_free(c, true);
    question_set(c, topic, skep_str(payload), qos, retain);
    ask_begin(c, ASK_PUBLISH);
    return c->outcome.verdict;
}

enum skep_verdict skep_test_deliver(struct skep_test_client *c, const char *topic,
                                    const char *payload, unsigned qos, bool retain)
{
    must_be_free(c, true);
    question_set(c, topic, skep_str(payload), qos, retain);
    rig_call(c->test, deliver, c);
    rig_settle(c->test);
    test_check();
    return c->outcome.verdict;
}
