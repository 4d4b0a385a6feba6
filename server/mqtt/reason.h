/* MQTT 5 reason codes [MQTT 2.4] and the 3.x CONNACK return codes. */
#ifndef SKEP_MQTT_REASON_H
#define SKEP_MQTT_REASON_H

#include <stdbool.h>
#include <stdint.h>

#define MQTT_REASON_LIST(X)                                                                        \
    X(0x00, RC_SUCCESS, "success")                                                                 \
    X(0x01, RC_GRANTED_QOS_1, "granted QoS 1")                                                     \
    X(0x02, RC_GRANTED_QOS_2, "granted QoS 2")                                                     \
    X(0x04, RC_DISCONNECT_WITH_WILL, "disconnect with will message")                               \
    X(0x10, RC_NO_SUBSCRIBERS, "no matching subscribers")                                          \
    X(0x11, RC_NO_SUBSCRIPTION, "no subscription existed")                                         \
    X(0x18, RC_CONTINUE_AUTH, "continue authentication")                                           \
    X(0x19, RC_REAUTH, "re-authenticate")                                                          \
    X(0x80, RC_UNSPECIFIED, "unspecified error")                                                   \
    X(0x81, RC_MALFORMED, "malformed packet")                                                      \
    X(0x82, RC_PROTOCOL_ERROR, "protocol error")                                                   \
    X(0x83, RC_IMPLEMENTATION, "implementation specific error")                                    \
    X(0x84, RC_UNSUPPORTED_VERSION, "unsupported protocol version")                                \
    X(0x85, RC_CLIENT_ID_INVALID, "client identifier not valid")                                   \
    X(0x86, RC_BAD_CREDENTIALS, "bad user name or password")                                       \
    X(0x87, RC_NOT_AUTHORIZED, "not authorized")                                                   \
    X(0x88, RC_SERVER_UNAVAILABLE, "server unavailable")                                           \
    X(0x89, RC_SERVER_BUSY, "server busy")                                                         \
    X(0x8A, RC_BANNED, "banned")                                                                   \
    X(0x8B, RC_SHUTTING_DOWN, "server shutting down")                                              \
    X(0x8C, RC_BAD_AUTH_METHOD, "bad authentication method")                                       \
    X(0x8D, RC_KEEP_ALIVE_TIMEOUT, "keep alive timeout")                                           \
    X(0x8E, RC_TAKEN_OVER, "session taken over")                                                   \
    X(0x8F, RC_FILTER_INVALID, "topic filter invalid")                                             \
    X(0x90, RC_TOPIC_INVALID, "topic name invalid")                                                \
    X(0x91, RC_PACKET_ID_IN_USE, "packet identifier in use")                                       \
    X(0x92, RC_PACKET_ID_NOT_FOUND, "packet identifier not found")                                 \
    X(0x93, RC_RECEIVE_MAXIMUM, "receive maximum exceeded")                                        \
    X(0x94, RC_TOPIC_ALIAS_INVALID, "topic alias invalid")                                         \
    X(0x95, RC_PACKET_TOO_LARGE, "packet too large")                                               \
    X(0x96, RC_MESSAGE_RATE, "message rate too high")                                              \
    X(0x97, RC_QUOTA_EXCEEDED, "quota exceeded")                                                   \
    X(0x98, RC_ADMINISTRATIVE, "administrative action")                                            \
    X(0x99, RC_PAYLOAD_FORMAT, "payload format invalid")                                           \
    X(0x9A, RC_RETAIN_NOT_SUPPORTED, "retain not supported")                                       \
    X(0x9B, RC_QOS_NOT_SUPPORTED, "QoS not supported")                                             \
    X(0x9C, RC_USE_ANOTHER_SERVER, "use another server")                                           \
    X(0x9D, RC_SERVER_MOVED, "server moved")                                                       \
    X(0x9E, RC_SHARED_NOT_SUPPORTED, "shared subscriptions not supported")                         \
    X(0x9F, RC_CONNECTION_RATE, "connection rate exceeded")                                        \
    X(0xA0, RC_MAXIMUM_CONNECT_TIME, "maximum connect time")                                       \
    X(0xA1, RC_SUBSCRIPTION_ID_NOT_SUPPORTED, "subscription identifiers not supported")            \
    X(0xA2, RC_WILDCARD_NOT_SUPPORTED, "wildcard subscriptions not supported")

#define RC_VALUE(code, name, text) name = code,
enum mqtt_reason { MQTT_REASON_LIST(RC_VALUE) };
#undef RC_VALUE
#define RC_NORMAL_DISCONNECT RC_SUCCESS
#define RC_GRANTED_QOS_0     RC_SUCCESS

/* English for logs and reason strings; never NULL. */
const char *mqtt_reason_text(unsigned reason);

/* Whether `reason` may stand in a packet of that type sent by a server (type: enum
 * mqtt_type).  Encoders assert it. */
bool mqtt_reason_allowed(uint8_t type, uint8_t reason);

/* The 3.x CONNACK return code that comes nearest: 1 to 5. */
uint8_t mqtt_reason_to_v3_connack(uint8_t reason);

#endif
