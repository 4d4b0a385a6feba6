/* How a client ends: what it is told, what becomes of its session, when its memory goes. */
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "core/session.h"
#include "front/client.h"
#include "front/client_impl.h"
#include "front/entrance.h"

enum { LINGER_MS = 1000 };

static void put_farewell(struct client *c, uint8_t reason, struct str text,
                         struct str server_reference)
{
    uint32_t limit = c->link.maximum_packet;
    struct mqtt_out out = client_out(c, 64 + text.len + server_reference.len);

    if (c->state == CLIENT_LIVE) {
        mqtt_put_disconnect(&out, c->version, reason,
                            client_reason_string(c, MQTT_DISCONNECT, text), server_reference,
                            limit);
    } else if (c->version == MQTT_50) {
        struct mqtt_connack_out ack = {.version = MQTT_50,
                                       .reason = reason,
                                       .receive_maximum = 65535,
                                       .maximum_qos = 2,
                                       .reason_string = client_reason_string(c, MQTT_CONNACK, text),
                                       .server_reference = server_reference};
        mqtt_put_connack(&out, &ack, limit);
    } else {
        struct mqtt_connack_out ack = {.version = c->version,
                                       .reason = mqtt_reason_to_v3_connack(reason)};
        mqtt_put_connack(&out, &ack, limit);
    }
    ASSERT(mqtt_out_fits(&out));
    c->ctl->len += (uint32_t)out.need;
    COUNT(c->desk->w, sent_control);
}

/* May this reason be told in the packet that the state allows? */
static bool may_say(const struct client *c, uint8_t reason)
{
    if (c->state == CLIENT_LIVE)
        return c->version == MQTT_50 && reason != RC_SUCCESS &&
               mqtt_reason_allowed(MQTT_DISCONNECT, reason);
    if (c->version == MQTT_50)
        return mqtt_reason_allowed(MQTT_CONNACK, reason);
    /* [MQTT-3.1.4-1]: a CONNECT that breaks its format is closed without CONNACK. */
    return c->version != 0 && reason != RC_MALFORMED && reason != RC_PROTOCOL_ERROR;
}

static void leave_session(struct client *c)
{
    if (c->session)
        session_detach(desk_worker(c->desk), c->session);
}

static void log_end(const struct client *c, uint8_t reason, struct str text)
{
    char peer[CONN_ADDR_MAX];

    if (reason == RC_SHUTTING_DOWN || log_level_get() > LOG_LEVEL_INFO)
        return;
    log_kv_limited(LOG_LEVEL_INFO, "front", "connection ended by the broker",
                   LOG_TEXT("reason", mqtt_reason_text(reason)), LOG_STR("detail", text),
                   LOG_STR("client", c->session ? session_id(c->session) : STR_NONE),
                   LOG_TEXT("address", conn_peer(c->conn, peer)),
                   LOG_TEXT("listener", c->policy->name));
}

void client_redirect(struct client *c, uint8_t reason, struct str text, struct str server_reference)
{
    if (c->state == CLIENT_CLOSING)
        return;
    if (c->state != CLIENT_LIVE) {
        COUNT(desk_worker(c->desk), connects_refused);
        client_tell_refused(c, reason, text);
    }
    c->end_reason = reason;
    log_end(c, reason, text);
    if (may_say(c, reason))
        put_farewell(c, reason, text, server_reference);
    leave_session(c); /* from here on nobody else writes [MQTT-3.14.4-1] */
    c->state = CLIENT_CLOSING;
    if (!c->link.blocked)
        client_flush(c);
    conn_kill_later(c->conn, CONN_KILLED, LINGER_MS);
}

void client_end(struct client *c, uint8_t reason, const char *text)
{
    client_redirect(c, reason, str_of(text), STR_NONE);
}

void client_close(struct client *c, enum conn_cause cause)
{
    leave_session(c);
    c->state = CLIENT_CLOSING;
    conn_kill(c->conn, cause);
}

static void extra_fini(struct client *c)
{
    struct client_extra *x = c->extra;

    if (!x)
        return;
    client_replay_stop(c);
    if (x->aliases) {
        for (unsigned i = 0; i < x->alias_count; i++)
            free(x->aliases[i]);
    }
    free(x->aliases);
    free(x->alias_lens);
    x->aliases = NULL;
    x->alias_lens = NULL;
}

void client_extra_trim(struct client *c)
{
    struct client_extra *x = c->extra;

    if (!x || c->claiming || c->state == CLIENT_DECIDING)
        return;
    free(x->connect);
    x->connect = NULL;
    if (!x->aliases && !x->replays.first && !x->auth_method && x->tokens_ms == 0 && !x->settling &&
        !c->asking && !client_parked(c)) {
        free(x);
        c->extra = NULL;
    }
}

/* Who it was is of interest as long as its session or its will is: to modules. */
static void keep_identity(struct client *c)
{
    if (c->session && (c->session->expiry > 0 || c->session->will) &&
        host_has_modules(c->desk->host))
        identity_unref(session_identity(c->session));
}

void client_closed(struct conn *conn, void *owner, enum conn_cause cause)
{
    struct client *c = owner;
    struct desk *d = c->desk;
    struct worker *w = desk_worker(d);

    CHECK(c, CLIENT_MAGIC);
    keep_identity(c);
    host_client_left(&c->host);
    client_resume_drop(c);
    client_asked_drop(c);
    log_debug("front", "connection closed: %s", conn_cause_text(cause));
    if (c->claiming && sessions_cancel(w, &c->extra->claim)) {
        c->claiming = false;
        atomic_fetch_sub(&c->pending, 1);
    }
    if (c->session) {
        COUNT(w, disconnects);
        client_tell_disconnected(c, cause);
        session_detach(w, c->session);
        sessions_release(w, c->session);
        c->session = NULL;
    }
    if (c->extra && c->extra->settling)
        sessions_release(w, c->extra->settling);
    client_park_drop(c);
    wheel_cancel(loop_wheel(d->loop), &c->timer);
    if (c->talking)
        client_list_remove(&d->talking, c);
    if (c->paused)
        client_list_remove(&d->paused, c);
    client_ctl_drop(c);
    extra_fini(c);
    entrance_left(c);
    policy_unref(c->policy);
    c->policy = NULL;
    c->conn = NULL;
    c->gone = true;
    if (atomic_load(&c->pending) == 0)
        client_free(c);
}
