/* Clients that are not there: what front knows of a connection, and the session behind it. */
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "core/identity.h"
#include "core/session.h"
#include "core/will.h"
#include "harness.h"
#include "host/event.h"
#include "net/loop.h"
#include "world.h"

/* -- The session's way out: nobody reads -- */

static enum link_sent link_send(struct link *link, const struct out_vec *vec, unsigned count)
{
    return LINK_SENT;
}

struct kick {
    struct loop_task task;
    struct skep_test_client *client;
};

static void kick_run(struct loop_task *task, struct loop *l)
{
    struct kick *k = CONTAINER_OF(task, struct kick, task);

    client_end(k->client, k->client->kick_reason, false);
    free(k);
}

static void link_kick(struct link *link, uint8_t reason)
{
    struct skep_test_client *c = CONTAINER_OF(link, struct skep_test_client, link);
    struct kick *k = xcalloc(1, sizeof *k);

    c->kick_reason = reason;
    *k = (struct kick){.task = {.run = kick_run}, .client = c};
    loop_post(c->test->loop, &k->task);
}

static const struct link_ops link_ops = {.send = link_send, .kick = link_kick};

/* -- Making one -- */

struct skep_test_client *skep_test_client(struct skep_test *t, const char *client_id,
                                          const char *username, const char *password)
{
    struct skep_test_client *c = xcalloc(1, sizeof *c), **last = &t->clients;

    c->test = t;
    c->id = str_dup(str_of(client_id));
    c->username = username ? str_dup(str_of(username)) : NULL;
    c->address = str_dup(str_of("127.0.0.1:40000"));
    if (password)
        skep_test_client_password(c, skep_str(password));
    c->link = (struct link){.ops = &link_ops,
                            .maximum_packet = UINT32_MAX,
                            .quota = UINT16_MAX,
                            .version = MQTT_50,
                            .shareable = true};
    while (*last)
        last = &(*last)->next;
    *last = c;
    return c;
}

static void text_set(char **text, const char *value)
{
    free(*text);
    *text = value ? str_dup(str_of(value)) : NULL;
}

static void must_not_have_begun(const struct skep_test_client *c)
{
    if (c->asked || c->connected)
        test_fail("client %s: that has to be said before its CONNECT", c->id);
}

void skep_test_client_address(struct skep_test_client *c, const char *address)
{
    must_not_have_begun(c);
    text_set(&c->address, address);
}

void skep_test_client_cert(struct skep_test_client *c, const char *common_name)
{
    must_not_have_begun(c);
    text_set(&c->cert_cn, common_name);
}

void skep_test_client_password(struct skep_test_client *c, struct skep_str password)
{
    must_not_have_begun(c);
    free((void *)c->password.ptr);
    c->password = (struct str){str_dup((struct str){password.ptr, password.len}), password.len};
    c->has_password = true;
}

void skep_test_client_will(struct skep_test_client *c, const char *topic, const char *payload,
                           unsigned qos, bool retain)
{
    must_not_have_begun(c);
    text_set(&c->will_topic, topic);
    text_set(&c->will_payload, payload);
    c->packet.has_will = true;
    c->packet.will = (struct mqtt_will){.topic = str_of(c->will_topic),
                                        .payload = str_of(c->will_payload),
                                        .qos = (uint8_t)qos,
                                        .retain = retain,
                                        .expiry = UINT32_MAX};
}

bool skep_test_is_connected(const struct skep_test_client *c)
{
    return c->connected;
}

const struct skep_client *skep_test_identity(const struct skep_test_client *c)
{
    return c->asked ? c->asked->who : NULL;
}

/* -- The session -- */

static void claim_ready(struct claim *claim, enum claim_result result)
{
    /* Only after a wait, and there is none: see client_admit(). */
}

/* With one id twice, the older client has to let go first; there is one thread to do it on. */
static bool session_take(struct skep_test_client *c)
{
    const struct identity_facts *who = &c->asked->who->facts;

    for (int tries = 0; tries < 2; tries++) {
        c->claim = (struct claim){.client_id = str_of(c->id),
                                  .username = who->username,
                                  .has_username = who->has_username,
                                  .clean_start = true,
                                  .ready = claim_ready};
        switch (sessions_claim(c->test->worker, &c->claim)) {
        case CLAIM_GRANTED:
            c->session = c->claim.session;
            return true;
        case CLAIM_WAITING:
            sessions_cancel(c->test->worker, &c->claim);
            for (struct skep_test_client *other = c->test->clients; other; other = other->next)
                if (other != c && other->session && strcmp(other->id, c->id) == 0)
                    client_end(other, SKEP_RC_UNSPECIFIED, false);
            break;
        default:
            return false;
        }
    }
    return false;
}

static void emit(struct skep_test_client *c, enum skep_event_kind kind, uint8_t reason, bool flag)
{
    struct host *h = c->test->host;
    struct skep_event event = {.size = sizeof event,
                               .kind = kind,
                               .now_ms = clock_mono_ms(),
                               .client = c->asked ? c->asked->who : NULL,
                               .reason = reason,
                               .flag = flag};

    if (host_wants(h, kind))
        host_event(h, &event);
}

void client_admit(struct skep_test_client *c)
{
    if (!session_take(c)) {
        c->outcome.verdict = SKEP_DENY;
        c->outcome.reason = SKEP_RC_NOT_AUTHORIZED;
        return;
    }
    c->session->version = MQTT_50;
    c->session->expiry = 0;
    session_identify(c->session, identity_ref(c->asked->who));
    if (c->packet.has_will) {
        will_set(c->session, &c->packet.will, STR_NONE);
        c->session->will->by = identity_ref(c->asked->who);
    }
    session_attach(c->test->worker, c->session, &c->link, STR_NONE);
    sessions_attached(c->test->worker, c->session);
    c->connected = true;
    emit(c, SKEP_EVENT_CONNECTED, 0, false);
}

void client_end(struct skep_test_client *c, uint8_t reason, bool orderly)
{
    if (c->over)
        return;
    c->over = true;
    request_end(&c->request);
    if (c->connected)
        emit(c, SKEP_EVENT_DISCONNECTED, reason, orderly);
    c->connected = false;
    if (c->session) {
        struct session *s = c->session;
        c->session = NULL;
        session_detach(c->test->worker, s);
        sessions_release(c->test->worker, s);
    }
    host_client_left(&c->asked);
}

static void leave(void *arg)
{
    client_end(arg, 0, false);
}

void skep_test_leave(struct skep_test_client *c)
{
    rig_call(c->test, leave, c);
    rig_settle(c->test);
    test_check();
}

/* -- The end -- */

static void client_free(struct skep_test_client *c)
{
    outcome_clear(c);
    free(c->id);
    free(c->username);
    free(c->address);
    free(c->cert_cn);
    free(c->method);
    free((void *)c->password.ptr);
    free(c->will_topic);
    free(c->will_payload);
    free(c->topic);
    free(c->payload);
    free(c);
}

void client_free_all(struct skep_test *t)
{
    for (struct skep_test_client *c = t->clients; c; c = c->next)
        rig_call(t, leave, c);
    rig_settle(t);
    while (t->clients) {
        struct skep_test_client *c = t->clients;
        t->clients = c->next;
        client_free(c);
    }
}
