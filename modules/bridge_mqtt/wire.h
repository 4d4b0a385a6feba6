/* MQTT 3.1.1 and 5 as a client speaks and hears it.  Bytes in, structs out, and back. */
#ifndef BRIDGE_WIRE_H
#define BRIDGE_WIRE_H

#include <skep/message.h>

#include "buf.h"

enum wire_version { WIRE_311 = 4, WIRE_5 = 5 };

enum wire_type {
    WIRE_CONNECT = 1,
    WIRE_CONNACK,
    WIRE_PUBLISH,
    WIRE_PUBACK,
    WIRE_PUBREC,
    WIRE_PUBREL,
    WIRE_PUBCOMP,
    WIRE_SUBSCRIBE,
    WIRE_SUBACK,
    WIRE_UNSUBSCRIBE,
    WIRE_UNSUBACK,
    WIRE_PINGREQ,
    WIRE_PINGRESP,
    WIRE_DISCONNECT,
    WIRE_AUTH,
};

/* Of MQTT 5 packets: what a bridge needs.  Views into the packet. */
struct wire_props {
    uint64_t has; /* bit of each property's identifier */
    uint32_t session_expiry, maximum_packet, message_expiry;
    uint16_t receive_maximum, keep_alive, topic_alias;
    uint8_t maximum_qos, retain_available, wildcard, shared, payload_utf8;
    struct skep_str assigned_id, reason_text, server_reference;
    struct skep_str content_type, response_topic, correlation;
    struct skep_str all; /* the whole section, for wire_user_next() */
};

struct wire_packet {
    uint8_t type, qos, reason;
    bool dup, retain, session_present;
    uint16_t id;
    struct skep_str topic, payload;
    struct skep_str codes; /* SUBACK, UNSUBACK: a byte for each filter */
    struct wire_props props;
    size_t size; /* of the whole packet */
};

enum wire_taken {
    WIRE_MORE = 0, /* it has not come whole */
    WIRE_TAKEN = 1,
    WIRE_MALFORMED = -1,
    WIRE_TOO_LARGE = -2,
};

/* Reads one packet of a server from the front. */
enum wire_taken wire_take(enum wire_version version, const void *data, size_t len, size_t most,
                          struct wire_packet *out);

/* The next user property in `rest`, which begins as props.all; false behind the last. */
bool wire_user_next(struct skep_str *rest, struct skep_user_property *out);
/* Reads the user properties of a packet into `out`, `most` of them at most. */
size_t wire_users(const struct wire_props *props, struct skep_user_property *out, size_t most);

struct wire_will {
    struct skep_str topic, payload;
    uint8_t qos;
    bool retain;
};

struct wire_connect {
    enum wire_version version;
    bool clean, bridge; /* bridge: bit 0x80 of the protocol level, MQTT 3.1.1 */
    uint16_t keep_alive_s;
    struct skep_str client_id, username, password;
    bool has_username, has_password;
    const struct wire_will *will; /* NULL: none */
    uint32_t session_expiry_s, maximum_packet;
    uint16_t receive_maximum;
};

struct wire_filter {
    struct skep_str filter;
    uint8_t qos;
    bool no_local, keep_retain, only_new; /* only_new: retained messages for a new one alone */
};

void wire_connect(struct buf *out, const struct wire_connect *c);
/* m->size is not looked at.  id 0 with QoS 0. */
void wire_publish(struct buf *out, enum wire_version version, const struct skep_message *m,
                  uint16_t id, bool dup);
/* The size that it will have. */
size_t wire_publish_size(enum wire_version version, const struct skep_message *m);
/* PUBACK, PUBREC, PUBREL, PUBCOMP. */
void wire_ack(struct buf *out, enum wire_version version, enum wire_type type, uint16_t id,
              unsigned reason);
void wire_subscribe(struct buf *out, enum wire_version version, uint16_t id,
                    const struct wire_filter *filters, size_t count);
void wire_unsubscribe(struct buf *out, enum wire_version version, uint16_t id,
                      const struct skep_str *filters, size_t count);
void wire_ping(struct buf *out);
void wire_disconnect(struct buf *out, enum wire_version version, unsigned reason);

/* "not authorized", ...: of a CONNACK, SUBACK or DISCONNECT. */
const char *wire_reason_text(enum wire_version version, enum wire_type type, unsigned reason);

#endif
