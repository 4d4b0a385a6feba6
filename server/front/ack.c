/* PUBACK, PUBREC, PUBREL, PUBCOMP from a client [MQTT 3.4 to 3.7, 4.3]. */
#include "core/session.h"
#include "front/client.h"

enum { ACK_ROOM = 8 };

static void put(struct client *c, uint8_t type, uint16_t packet_id, uint8_t reason, bool waits)
{
    struct mqtt_out out = client_answer(c, ACK_ROOM, waits);

    mqtt_put_ack(&out, type, c->version, packet_id, reason, STR_NONE, c->link.maximum_packet);
    client_answer_done(c, &out, waits);
}

/* An acknowledgement for an id that is not in flight is no reason to end: a client that
 * lost its state may send one.  In another state it is [MQTT-4.13.1-1]. */
static void puback_like(struct client *c, int err)
{
    if (err == RC_PROTOCOL_ERROR)
        client_end(c, RC_PROTOCOL_ERROR, "acknowledgement does not fit the message's QoS");
    else
        client_replay_wake(c);
}

static void pubrec(struct client *c, const struct mqtt_ack *ack)
{
    bool release;
    int err = session_pubrec(c->desk->w, c->session, ack->packet_id, ack->reason, &release);

    if (err == RC_PACKET_ID_NOT_FOUND && ack->reason < 0x80)
        put(c, MQTT_PUBREL, ack->packet_id, RC_PACKET_ID_NOT_FOUND, false);
    else if (release) /* [MQTT-4.3.3-4], once a restart would not send the message again */
        put(c, MQTT_PUBREL, ack->packet_id, 0, session_written(c->desk->w, c->session));
    else
        puback_like(c, err);
}

static void pubrel(struct client *c, const struct mqtt_ack *ack)
{
    struct session *s = c->session;
    bool known = s->received && idset_remove(s->received, ack->packet_id);

    bool written = known && session_written(c->desk->w, s);

    if (written)
        journal_received(c->desk->w, s, ack->packet_id, true);
    put(c, MQTT_PUBCOMP, ack->packet_id, known ? 0 : RC_PACKET_ID_NOT_FOUND, written);
}

void client_ack(struct client *c, const struct mqtt_frame *frame)
{
    struct mqtt_ack ack;
    int err = mqtt_decode_ack(frame, c->version, &ack);

    if (err) {
        client_end(c, (uint8_t)err, NULL);
        return;
    }
    switch (frame->type) {
    case MQTT_PUBACK:
        puback_like(c, session_puback(c->desk->w, c->session, ack.packet_id, ack.reason));
        return;
    case MQTT_PUBREC:
        pubrec(c, &ack);
        return;
    case MQTT_PUBREL:
        pubrel(c, &ack);
        return;
    default:
        puback_like(c, session_pubcomp(c->desk->w, c->session, ack.packet_id, ack.reason));
        return;
    }
}
