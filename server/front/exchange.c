/* AUTH and DISCONNECT from a client [MQTT 3.14, 3.15, 4.12]. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "core/session.h"
#include "core/will.h"
#include "front/client.h"

void client_disconnect(struct client *c, const struct mqtt_frame *frame)
{
    struct mqtt_disconnect p;
    int err = mqtt_decode_disconnect(frame, c->version, &p);

    if (!err && c->state != CLIENT_LIVE) { /* it gives up authenticating */
        client_close(c, CONN_PEER_CLOSED);
        return;
    }
    /* An expiry that was 0 in CONNECT stays 0 [MQTT 3.14.2.2.2]. */
    if (!err && p.has_session_expiry && p.session_expiry != 0 && c->session->expiry == 0)
        err = RC_PROTOCOL_ERROR;
    if (err) {
        client_end(c, (uint8_t)err, NULL);
        return;
    }
    if (p.has_session_expiry) {
        uint32_t most = c->desk->w->limits->session_expiry_max;
        c->session->expiry = p.session_expiry < most ? p.session_expiry : most;
    }
    if (p.reason == RC_NORMAL_DISCONNECT)
        will_free(&c->session->will); /* [MQTT-3.14.4-3] */
    c->said_goodbye = true;
    c->end_reason = p.reason;
    client_close(c, CONN_PEER_CLOSED);
}

void client_put_auth(struct client *c, uint8_t reason, struct str method, struct str data)
{
    struct mqtt_out out = client_out(c, 64 + method.len + data.len);

    mqtt_put_auth(&out, reason, method, data, STR_NONE, c->link.maximum_packet);
    client_out_done(c, &out);
}

/* May this AUTH come now? */
static bool auth_in_turn(const struct client *c, const struct mqtt_auth *p)
{
    const char *method = c->extra ? c->extra->auth_method : NULL;

    if (!method || c->reauth_asked)
        return false;
    if (p->has_method && !str_eq(p->method, str_of(method)))
        return false; /* [MQTT-4.12.0-7] [MQTT-4.12.1-1] */
    if (c->state == CLIENT_DECIDING || c->reauth)
        return p->reason == RC_CONTINUE_AUTH;
    return p->reason == RC_REAUTH;
}

static void reauth_denied(struct client *c, const struct skep_request *r)
{
    client_redirect(c, client_reason(MQTT_DISCONNECT, r->reason), r->text,
                    host_server_reference(c->host));
    host_auth_end(c->host);
}

static void reauth_allowed(struct client *c)
{
    client_put_auth(c, RC_SUCCESS, str_of(c->extra->auth_method), host_auth_reply(c->host));
    session_identify(c->session, host_client_admit(c->host, session_id(c->session)));
    host_auth_end(c->host);
    client_arm(c); /* a new expiry may have been set */
}

/* Of a re-authentication, which ends in AUTH 0x00 or DISCONNECT [MQTT-4.12.1-2]. */
void client_auth_decided(struct client *c, struct skep_request *r)
{
    if (r->verdict == SKEP_PENDING)
        return;
    c->reauth_asked = false;
    c->reauth = r->verdict == SKEP_CONTINUE;
    if (r->verdict == SKEP_ALLOW)
        reauth_allowed(c);
    else if (r->verdict == SKEP_CONTINUE)
        client_put_auth(c, RC_CONTINUE_AUTH, str_of(c->extra->auth_method),
                        host_auth_reply(c->host));
    else
        reauth_denied(c, r);
    request_end(&r);
}

/* The request has to wait, and the packet goes. */
static void keep_auth(struct client *c, const struct mqtt_frame *frame, struct skep_request *r)
{
    char *copy = xmalloc(frame->body.len + 1);

    memcpy(copy, frame->body.ptr, frame->body.len);
    request_kept(r, frame->body, copy);
    free(c->extra->auth);
    c->extra->auth = copy;
}

/* The exchange belongs to a module: during CONNECT it ends in CONNACK, afterwards it is a
 * re-authentication, during which the client goes on. */
void client_auth(struct client *c, const struct mqtt_frame *frame)
{
    struct mqtt_auth p;
    int err = c->version == MQTT_50 ? mqtt_decode_auth(frame, &p) : RC_PROTOCOL_ERROR;

    if (!err && !auth_in_turn(c, &p))
        err = RC_PROTOCOL_ERROR;
    if (err) {
        client_end(c, (uint8_t)err, NULL);
        return;
    }
    bool live = c->state == CLIENT_LIVE;
    c->reauth = c->reauth_asked = live;
    struct skep_request *r =
        ask_auth(client_host(c), NULL, NULL, str_of(c->extra->auth_method), p.data, p.props);
    if (r->verdict == SKEP_PENDING)
        keep_auth(c, frame, r);
    if (live)
        client_auth_decided(c, r);
    else
        client_connect_decided(c, r);
}
