/* The MQTT wire format: bytes in, structs out, and back.  Pure: no allocation but
 * from the arena given, no state between packets, any thread.
 *
 * Decoding never trusts a length and never reads past the frame.  Results hold
 * views into the frame's bytes, valid as long as those are.  Every decoder returns
 * 0 or the MQTT 5 reason code (>= 0x80) that names the fault: 0x81 malformed, 0x82
 * protocol error, 0x94 a topic alias of 0; for 3.x the caller just closes.  What
 * mqtt_decode_connect returns may stand in a CONNACK, what the others return in a
 * DISCONNECT.  Whether a payload is UTF-8 where payload_format says so is left to
 * the caller (base/utf8.h, 0x99). */
#ifndef SKEP_MQTT_PACKET_H
#define SKEP_MQTT_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

enum mqtt_version { MQTT_31 = 3, MQTT_311 = 4, MQTT_50 = 5 };

enum mqtt_type {
    MQTT_CONNECT = 1,
    MQTT_CONNACK,
    MQTT_PUBLISH,
    MQTT_PUBACK,
    MQTT_PUBREC,
    MQTT_PUBREL,
    MQTT_PUBCOMP,
    MQTT_SUBSCRIBE,
    MQTT_SUBACK,
    MQTT_UNSUBSCRIBE,
    MQTT_UNSUBACK,
    MQTT_PINGREQ,
    MQTT_PINGRESP,
    MQTT_DISCONNECT,
    MQTT_AUTH,
};

/* Names for logs: "CONNECT" ...; "reserved" for 0 and above AUTH. */
const char *mqtt_type_name(unsigned type);

/* -- Frames [MQTT 2.1] -- */

struct mqtt_frame {
    uint8_t type;  /* enum mqtt_type, 0 is reserved and refused by the decoders */
    uint8_t flags; /* low four bits of the first byte */
    uint32_t size; /* whole packet: fixed header and body */
    struct str body;
};

/* Looks at the first bytes of a stream.  Returns 1 with *frame filled when a whole
 * packet is there, 0 when more bytes are needed (frame->size is then the size if
 * the header is complete, else 0; type and flags are set once one byte is there),
 * or -1 when the remaining length is over-long or not in the fewest bytes
 * [MQTT-1.5.5-1].  The caller enforces its packet limit on frame->size, also on 0. */
int mqtt_frame_peek(const uint8_t *buf, size_t len, struct mqtt_frame *frame);

/* -- Properties [MQTT 2.2.2] -- */

enum mqtt_prop {
    PROP_PAYLOAD_FORMAT = 0x01,
    PROP_MESSAGE_EXPIRY = 0x02,
    PROP_CONTENT_TYPE = 0x03,
    PROP_RESPONSE_TOPIC = 0x08,
    PROP_CORRELATION_DATA = 0x09,
    PROP_SUBSCRIPTION_ID = 0x0B,
    PROP_SESSION_EXPIRY = 0x11,
    PROP_ASSIGNED_CLIENT_ID = 0x12,
    PROP_SERVER_KEEP_ALIVE = 0x13,
    PROP_AUTH_METHOD = 0x15,
    PROP_AUTH_DATA = 0x16,
    PROP_REQUEST_PROBLEM_INFO = 0x17,
    PROP_WILL_DELAY = 0x18,
    PROP_REQUEST_RESPONSE_INFO = 0x19,
    PROP_RESPONSE_INFO = 0x1A,
    PROP_SERVER_REFERENCE = 0x1C,
    PROP_REASON_STRING = 0x1F,
    PROP_RECEIVE_MAXIMUM = 0x21,
    PROP_TOPIC_ALIAS_MAXIMUM = 0x22,
    PROP_TOPIC_ALIAS = 0x23,
    PROP_MAXIMUM_QOS = 0x24,
    PROP_RETAIN_AVAILABLE = 0x25,
    PROP_USER_PROPERTY = 0x26,
    PROP_MAXIMUM_PACKET_SIZE = 0x27,
    PROP_WILDCARD_AVAILABLE = 0x28,
    PROP_SUBSCRIPTION_ID_AVAILABLE = 0x29,
    PROP_SHARED_AVAILABLE = 0x2A,
};

/* One property while walking a block that a decoder has accepted. */
struct mqtt_prop_item {
    uint8_t id;
    uint32_t number;   /* integer types */
    struct str value;  /* strings, binary data, and the value of a user property */
    struct str name;   /* user property only */
    struct str raw;    /* the whole property as it stands on the wire */
};

/* Takes the next property off *rest (the block without its length).  Returns 1, 0 at
 * the end, or -1 if malformed (never on a block that was accepted). */
int mqtt_prop_next(struct str *rest, struct mqtt_prop_item *item);

/* -- CONNECT [MQTT 3.1] -- */

struct mqtt_will {
    struct str topic, payload;
    uint8_t qos;
    bool retain;
    uint32_t delay;   /* seconds */
    uint32_t expiry;  /* seconds; UINT32_MAX is none */
    struct str props; /* those to forward (see mqtt_publish.props), already filtered: in wire order,
                         possibly with others between: copy with mqtt_props_forward() */
};

struct mqtt_connect {
    uint8_t version; /* enum mqtt_version */
    bool bridge;     /* level had bit 0x80 (bridge convention), cleared in version */
    bool clean_start;
    bool has_will, has_username, has_password;
    uint16_t keep_alive; /* seconds, 0 is off */
    struct str client_id, username, password;
    struct mqtt_will will;
    /* MQTT 5 properties with their defaults filled in. */
    uint32_t session_expiry;      /* seconds; UINT32_MAX never; 3.x: 0 if clean, else UINT32_MAX */
    uint16_t receive_maximum;     /* 65535 if absent */
    uint32_t maximum_packet_size; /* UINT32_MAX if absent */
    uint16_t topic_alias_maximum; /* 0 if absent */
    bool request_response_info;   /* default false */
    bool request_problem_info;    /* default true */
    bool has_auth_method;
    struct str auth_method, auth_data;
    struct str props; /* the raw block, for user properties */
};

/* Also checks UTF-8 of every string, the will topic as a topic name, and the property
 * rules.  Returns 0; a reason code (0x90 for a will topic that is no topic name); 0x84 for an
 * unknown protocol name or level (then out->version tells how to answer: the level asked
 * for, but 3 whenever the name is MQIsdp).  [MQTT-3.1.2-1 ...] */
int mqtt_decode_connect(const struct mqtt_frame *frame, struct mqtt_connect *out);

/* -- PUBLISH [MQTT 3.3]: the hot path -- */

struct mqtt_publish {
    struct str topic;     /* NOT yet checked: see mqtt/topic.h.  Empty with an alias. */
    struct str payload;
    uint16_t packet_id;   /* 0 at QoS 0 */
    uint16_t topic_alias; /* 0: none (an alias of 0 on the wire is refused with 0x94) */
    uint8_t qos;
    bool retain, dup;
    bool props_plain;     /* every property in props is to be forwarded: copy the block as it is */
    uint8_t payload_format;
    uint32_t expiry;      /* seconds; UINT32_MAX is none */
    struct str props;     /* raw properties without the length; empty in 3.x */
    struct str response_topic, correlation_data, content_type; /* views for the router's users */
};

/* The frame must be a PUBLISH.  version is the connection's.  A subscription identifier from a client is refused
 * with 0x82 [MQTT-3.3.4-6]; one from a broker (skepctl sub, bridges) is accepted when
 * from_server, and found again by walking props. */
int mqtt_decode_publish(const struct mqtt_frame *frame, uint8_t version, bool from_server,
                        struct mqtt_publish *out);

/* Copies to dst (at least props.len bytes) the properties that a broker forwards:
 * payload format, content type, response topic, correlation data, user properties, in
 * their order [MQTT-3.3.2-18].  Returns the bytes written. */
size_t mqtt_props_forward(struct str props, uint8_t *dst);

/* -- PUBACK, PUBREC, PUBREL, PUBCOMP [MQTT 3.4 to 3.7] -- */

struct mqtt_ack {
    uint16_t packet_id;
    uint8_t reason; /* 0 in 3.x */
    struct str reason_string;
    struct str props;
};

int mqtt_decode_ack(const struct mqtt_frame *frame, uint8_t version, struct mqtt_ack *out);

/* -- SUBSCRIBE, UNSUBSCRIBE [MQTT 3.8, 3.10] -- */

/* A cursor over the filters; the whole packet is checked before the first is handed
 * out, except for the syntax of each filter (see mqtt/topic.h): that is answered
 * filter by filter in MQTT 5. */
struct mqtt_subscribe {
    uint16_t packet_id;
    uint32_t subscription_id; /* 0: none */
    uint32_t count;           /* filters in the packet, at least 1 */
    struct str props;
    struct str rest; /* private: filters not yet taken */
    uint8_t version;
};

struct mqtt_subscription {
    struct str filter;
    uint8_t qos;
    bool no_local, retain_as_published;
    uint8_t retain_handling; /* 0, 1, 2 */
};

int mqtt_decode_subscribe(const struct mqtt_frame *frame, uint8_t version,
                          struct mqtt_subscribe *out);
bool mqtt_subscribe_next(struct mqtt_subscribe *s, struct mqtt_subscription *out);

int mqtt_decode_unsubscribe(const struct mqtt_frame *frame, uint8_t version,
                            struct mqtt_subscribe *out);
bool mqtt_unsubscribe_next(struct mqtt_subscribe *s, struct str *filter);

/* -- DISCONNECT, AUTH, PINGREQ [MQTT 3.12, 3.14, 3.15] -- */

struct mqtt_disconnect {
    uint8_t reason;
    bool has_session_expiry;
    uint32_t session_expiry;
    struct str reason_string, server_reference;
    struct str props;
};

int mqtt_decode_disconnect(const struct mqtt_frame *frame, uint8_t version,
                           struct mqtt_disconnect *out);

struct mqtt_auth {
    uint8_t reason; /* 0x00, 0x18, 0x19 */
    bool has_method;
    struct str method, data, reason_string;
    struct str props;
};

int mqtt_decode_auth(const struct mqtt_frame *frame, struct mqtt_auth *out);

/* PINGREQ, PINGRESP: flags 0 and an empty body, else 0x81. */
int mqtt_decode_ping(const struct mqtt_frame *frame);

/* -- Answers, decoded (skepctl, bridges) -- */

struct mqtt_connack {
    bool session_present;
    uint8_t reason; /* the 3.x return code or the 5.0 reason code */
    /* defaults filled in */
    uint32_t session_expiry; /* UINT32_MAX - 1: not given */
    uint16_t receive_maximum, topic_alias_maximum;
    uint32_t maximum_packet_size;
    uint8_t maximum_qos;
    bool retain_available, wildcard_available, subscription_id_available, shared_available;
    bool has_server_keep_alive;
    uint16_t server_keep_alive;
    struct str assigned_client_id, reason_string, response_info, server_reference;
    struct str auth_method, auth_data;
    struct str props;
};

int mqtt_decode_connack(const struct mqtt_frame *frame, uint8_t version, struct mqtt_connack *out);

struct mqtt_suback {
    uint16_t packet_id;
    struct str codes; /* one byte a filter; empty for a 3.x UNSUBACK */
    struct str reason_string;
    struct str props;
};

int mqtt_decode_suback(const struct mqtt_frame *frame, uint8_t version, struct mqtt_suback *out);

#endif
