/* A client as the modules see it, and what becomes of their answers that took a while. */
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "core/session.h"
#include "front/client.h"
#include "front/entrance.h"

static void decided(void *owner, struct skep_request *r)
{
    struct client *c = owner;

    CHECK(c, CLIENT_MAGIC);
    desk_worker(c->desk);
    if (c->state == CLIENT_DECIDING)
        client_connect_decided(c, r);
    else if (c->state == CLIENT_CLAIMING && c->extra->resumption)
        client_resume_decided(c, r);
    else if (c->state != CLIENT_LIVE)
        request_end(&r); /* it is being closed */
    else if (r->stage == SKEP_STAGE_AUTH)
        client_auth_decided(c, r);
    else if (r->stage == SKEP_STAGE_SUBSCRIBE)
        client_subscribe_decided(c, r);
    else
        client_publish_decided(c, r);
}

static struct skep_client *identity(void *owner)
{
    struct client *c = owner;

    return session_identity(c->session);
}

struct host_client *client_host(struct client *c)
{
    static const struct host_client_ops ops = {.decided = decided, .identity = identity};

    if (!c->host)
        c->host = host_client_new(c->desk->host, c->policy->chain, &ops, c);
    return c->host;
}

void client_facts(const struct client *c, const struct conn_facts *conn, char *address,
                  struct identity_facts *out)
{
    *out = (struct identity_facts){
        .address = str_of(conn_peer(c->conn, address)),
        .listener = str_of(c->policy->name),
        .cert_cn = conn->cert_verified ? conn->cert_cn : STR_NONE,
        .cert_subject = conn->cert_verified ? conn->cert_subject : STR_NONE,
        .connected_at = clock_wall_ms(),
        .chain = c->policy->chain,
        .mount = {c->policy->mount_point, c->policy->mount_len},
        .protocol = c->version,
        .is_tls = conn->is_tls,
        .is_websocket = conn->is_websocket,
    };
}

struct skep_client *client_identity_new(const struct client *c)
{
    const struct session *s = c->session;
    struct identity_facts facts;
    struct conn_facts conn;
    char address[CONN_ADDR_MAX];

    conn_facts(c->conn, &conn);
    client_facts(c, &conn, address, &facts);
    facts.connected_at =
        atomic_load_explicit(&s->subs.connected_s, memory_order_relaxed) * UINT64_C(1000);
    facts.id = session_id(s);
    facts.username = str_of(s->username);
    facts.has_username = s->username != NULL;
    return identity_new(&facts, NULL);
}

uint8_t client_reason(uint8_t type, uint8_t reason)
{
    return reason >= 0x80 && mqtt_reason_allowed(type, reason) ? reason : RC_NOT_AUTHORIZED;
}

/* -- A packet that waits -- */

void client_ask_later(struct client *c, const struct mqtt_frame *frame, struct skep_request *r)
{
    struct asked *a = &client_extra(c)->asked;

    if (!c->asking) {
        char *copy = xmalloc(frame->body.len + 1);
        memcpy(copy, frame->body.ptr, frame->body.len);
        a->frame = *frame;
        a->frame.body.ptr = copy;
        c->asking = true;
        conn_pause(c->conn);
    }
    request_kept(r, frame->body, a->frame.body.ptr);
}

void client_asked_drop(struct client *c)
{
    if (!c->asking)
        return;
    struct asked *a = &c->extra->asked;
    free((char *)a->frame.body.ptr);
    free(a->codes);
    free(a->granted);
    *a = (struct asked){0};
    c->asking = false;
}

void client_asked_over(struct client *c)
{
    if (!c->asking)
        return;
    client_asked_drop(c);
    if (c->state != CLIENT_LIVE)
        return;
    c->heard_ms = c->desk->w->now_ms; /* its silence was our doing */
    client_read_on(c);
}
