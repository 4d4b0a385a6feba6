/* What happens to clients, for those who want to know (core/event.h). */
#include "core/event.h"

#include "core/router.h"
#include "core/session.h"
#include "front/client.h"
#include "host/connecting.h"

/* Of the client's session, if it has one. */
static void tell(struct client *c, struct session *s, const struct core_event *e)
{
    struct worker *w = c->desk->w;
    struct core_event event = *e;

    event.session = s;
    if (s)
        lock_take(&s->lock);
    core_tell_event(w, &event);
    if (s)
        lock_drop(&s->lock);
}

void client_tell_connected(struct client *c, struct session *s, bool present)
{
    if (core_wants(c->desk->w, CORE_CONNECTED))
        tell(c, s, &(struct core_event){.kind = CORE_CONNECTED, .flag = present});
}

void client_tell_refused(struct client *c, uint8_t reason, struct str text)
{
    const struct host_client *hc = c->host;

    if (core_wants(c->desk->w, CORE_REFUSED))
        tell(c, NULL,
             &(struct core_event){.kind = CORE_REFUSED,
                                  .who = hc && hc->connecting ? connecting_who(hc->connecting)
                                                              : (hc ? hc->who : NULL),
                                  .reason = reason,
                                  .text = text.len ? text : str_of(mqtt_reason_text(reason))});
}

void client_tell_disconnected(struct client *c, enum conn_cause cause)
{
    const char *text = c->end_reason ? mqtt_reason_text(c->end_reason) : conn_cause_text(cause);

    if (!core_wants(c->desk->w, CORE_DISCONNECTED))
        return;
    if (c->said_goodbye && c->end_reason == RC_NORMAL_DISCONNECT)
        text = "normal disconnection";
    tell(c, c->session,
         &(struct core_event){.kind = CORE_DISCONNECTED,
                              .reason = c->end_reason,
                              .text = str_of(text),
                              .flag = c->said_goodbye});
}

void client_tell_subscribed(struct client *c, struct str filter, uint8_t qos)
{
    if (core_wants(c->desk->w, CORE_SUBSCRIBED))
        tell(c, c->session,
             &(struct core_event){.kind = CORE_SUBSCRIBED, .topic = filter, .qos = qos});
}

void client_tell_unsubscribed(struct client *c, struct str filter)
{
    if (core_wants(c->desk->w, CORE_UNSUBSCRIBED))
        tell(c, c->session, &(struct core_event){.kind = CORE_UNSUBSCRIBED, .topic = filter});
}

void client_tell_publish_refused(struct client *c, const struct mqtt_publish *p, uint8_t reason,
                                 const char *why)
{
    if (core_wants(c->desk->w, CORE_PUBLISH_REFUSED))
        tell(c, c->session,
             &(struct core_event){.kind = CORE_PUBLISH_REFUSED,
                                  .topic = p->topic,
                                  .payload = p->payload,
                                  .qos = p->qos,
                                  .retain = p->retain,
                                  .reason = reason,
                                  .text = str_of(why)});
}
