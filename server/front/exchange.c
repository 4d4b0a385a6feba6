/* AUTH and DISCONNECT from a client [MQTT 3.14, 3.15, 4.12]. */
#include "core/session.h"
#include "core/will.h"
#include "front/client.h"
#include "front/hooks.h"

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

    if (!method || !c->desk->hooks->auth || c->reauth_asked)
        return false;
    if (p->has_method && !str_eq(p->method, str_of(method)))
        return false; /* [MQTT-4.12.0-7] [MQTT-4.12.1-1] */
    if (c->state == CLIENT_DECIDING || c->reauth)
        return p->reason == RC_CONTINUE_AUTH;
    return p->reason == RC_REAUTH;
}

/* The exchange belongs to a hook: during CONNECT it ends in client_decided(), afterwards it
 * is a re-authentication that ends in AUTH 0x00 or DISCONNECT [MQTT-4.12.1-2]. */
void client_auth(struct client *c, const struct mqtt_frame *frame)
{
    const struct hooks *hooks = c->desk->hooks;
    struct hook_answer answer = {0};
    struct mqtt_auth p;
    int err = c->version == MQTT_50 ? mqtt_decode_auth(frame, &p) : RC_PROTOCOL_ERROR;

    if (!err && !auth_in_turn(c, &p))
        err = RC_PROTOCOL_ERROR;
    if (err) {
        client_end(c, (uint8_t)err, NULL);
        return;
    }
    c->reauth = c->reauth_asked = c->state == CLIENT_LIVE;
    struct str method = str_of(c->extra->auth_method);
    enum hook_verdict v = hooks->auth(hooks->arg, c, method, p.data, &p, &answer);
    client_decided(c, v, &answer);
}

void client_reauth_decided(struct client *c, enum hook_verdict verdict,
                           const struct hook_answer *answer)
{
    struct str method = str_of(c->extra->auth_method);
    /* A reason for a CONNACK may not be one for a DISCONNECT. */
    bool sayable = mqtt_reason_allowed(MQTT_DISCONNECT, answer->reason);

    if (c->state != CLIENT_LIVE || verdict == HOOK_PENDING)
        return;
    c->reauth_asked = false;
    c->reauth = verdict == HOOK_CONTINUE;
    if (verdict == HOOK_ALLOW)
        client_put_auth(c, RC_SUCCESS, method, answer->auth_data);
    else if (verdict == HOOK_CONTINUE)
        client_put_auth(c, RC_CONTINUE_AUTH, method, answer->auth_data);
    else
        client_redirect(c, sayable && answer->reason ? answer->reason : RC_NOT_AUTHORIZED,
                        answer->reason_string, answer->server_reference);
}
