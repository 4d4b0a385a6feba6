#include "mqtt/reason.h"

#include "base/mem.h"
#include "mqtt/packet.h"

const char *mqtt_reason_text(unsigned reason)
{
    switch (reason) {
#define RC_TEXT(code, name, text)                                                                  \
    case code:                                                                                     \
        return text;
        MQTT_REASON_LIST(RC_TEXT)
#undef RC_TEXT
    default:
        return "unknown reason";
    }
}

/* Codes from 0x00 to 0x1F are bits of `low`, those from 0x80 to 0xBF bits of `high`. */
struct reason_set {
    uint32_t low;
    uint64_t high;
};

#define LOW(code)  (UINT32_C(1) << (code))
#define HIGH(code) (UINT64_C(1) << ((code)-0x80))

/* The tables of each packet's section in the specification. */
static const struct reason_set sets[] = {
    [MQTT_CONNACK] = {LOW(RC_SUCCESS),
                      HIGH(RC_UNSPECIFIED) | HIGH(RC_MALFORMED) | HIGH(RC_PROTOCOL_ERROR) |
                          HIGH(RC_IMPLEMENTATION) | HIGH(RC_UNSUPPORTED_VERSION) |
                          HIGH(RC_CLIENT_ID_INVALID) | HIGH(RC_BAD_CREDENTIALS) |
                          HIGH(RC_NOT_AUTHORIZED) | HIGH(RC_SERVER_UNAVAILABLE) |
                          HIGH(RC_SERVER_BUSY) | HIGH(RC_BANNED) | HIGH(RC_BAD_AUTH_METHOD) |
                          HIGH(RC_TOPIC_INVALID) | HIGH(RC_PACKET_TOO_LARGE) |
                          HIGH(RC_QUOTA_EXCEEDED) | HIGH(RC_PAYLOAD_FORMAT) |
                          HIGH(RC_RETAIN_NOT_SUPPORTED) | HIGH(RC_QOS_NOT_SUPPORTED) |
                          HIGH(RC_USE_ANOTHER_SERVER) | HIGH(RC_SERVER_MOVED) |
                          HIGH(RC_CONNECTION_RATE)},
#define ACK_HIGH                                                                                   \
    (HIGH(RC_UNSPECIFIED) | HIGH(RC_IMPLEMENTATION) | HIGH(RC_NOT_AUTHORIZED) |                    \
     HIGH(RC_TOPIC_INVALID) | HIGH(RC_PACKET_ID_IN_USE) | HIGH(RC_QUOTA_EXCEEDED) |                \
     HIGH(RC_PAYLOAD_FORMAT))
    [MQTT_PUBACK] = {LOW(RC_SUCCESS) | LOW(RC_NO_SUBSCRIBERS), ACK_HIGH},
    [MQTT_PUBREC] = {LOW(RC_SUCCESS) | LOW(RC_NO_SUBSCRIBERS), ACK_HIGH},
    [MQTT_PUBREL] = {LOW(RC_SUCCESS), HIGH(RC_PACKET_ID_NOT_FOUND)},
    [MQTT_PUBCOMP] = {LOW(RC_SUCCESS), HIGH(RC_PACKET_ID_NOT_FOUND)},
    [MQTT_SUBACK] = {LOW(RC_GRANTED_QOS_0) | LOW(RC_GRANTED_QOS_1) | LOW(RC_GRANTED_QOS_2),
                     HIGH(RC_UNSPECIFIED) | HIGH(RC_IMPLEMENTATION) | HIGH(RC_NOT_AUTHORIZED) |
                         HIGH(RC_FILTER_INVALID) | HIGH(RC_PACKET_ID_IN_USE) |
                         HIGH(RC_QUOTA_EXCEEDED) | HIGH(RC_SHARED_NOT_SUPPORTED) |
                         HIGH(RC_SUBSCRIPTION_ID_NOT_SUPPORTED) | HIGH(RC_WILDCARD_NOT_SUPPORTED)},
    [MQTT_UNSUBACK] = {LOW(RC_SUCCESS) | LOW(RC_NO_SUBSCRIPTION),
                       HIGH(RC_UNSPECIFIED) | HIGH(RC_IMPLEMENTATION) | HIGH(RC_NOT_AUTHORIZED) |
                           HIGH(RC_FILTER_INVALID) | HIGH(RC_PACKET_ID_IN_USE)},
    /* 0x8C stands in the general table (2.4) only; a failed re-authentication needs it. */
    [MQTT_DISCONNECT] =
        {0, HIGH(RC_UNSPECIFIED) | HIGH(RC_MALFORMED) | HIGH(RC_PROTOCOL_ERROR) |
                HIGH(RC_IMPLEMENTATION) | HIGH(RC_NOT_AUTHORIZED) | HIGH(RC_SERVER_BUSY) |
                HIGH(RC_SHUTTING_DOWN) | HIGH(RC_BAD_AUTH_METHOD) | HIGH(RC_KEEP_ALIVE_TIMEOUT) |
                HIGH(RC_TAKEN_OVER) | HIGH(RC_FILTER_INVALID) | HIGH(RC_TOPIC_INVALID) |
                HIGH(RC_RECEIVE_MAXIMUM) | HIGH(RC_TOPIC_ALIAS_INVALID) |
                HIGH(RC_PACKET_TOO_LARGE) | HIGH(RC_MESSAGE_RATE) | HIGH(RC_QUOTA_EXCEEDED) |
                HIGH(RC_ADMINISTRATIVE) | HIGH(RC_PAYLOAD_FORMAT) | HIGH(RC_RETAIN_NOT_SUPPORTED) |
                HIGH(RC_QOS_NOT_SUPPORTED) | HIGH(RC_USE_ANOTHER_SERVER) | HIGH(RC_SERVER_MOVED) |
                HIGH(RC_SHARED_NOT_SUPPORTED) | HIGH(RC_CONNECTION_RATE) |
                HIGH(RC_MAXIMUM_CONNECT_TIME) | HIGH(RC_SUBSCRIPTION_ID_NOT_SUPPORTED) |
                HIGH(RC_WILDCARD_NOT_SUPPORTED)},
    [MQTT_AUTH] = {LOW(RC_SUCCESS) | LOW(RC_CONTINUE_AUTH), 0},
};

bool mqtt_reason_allowed(uint8_t type, uint8_t reason)
{
    if (type >= ARRAY_LEN(sets))
        return false;
    if (reason < 0x20)
        return sets[type].low >> reason & 1;
    return reason >= 0x80 && reason < 0xC0 && (sets[type].high >> (reason - 0x80) & 1);
}

uint8_t mqtt_reason_to_v3_connack(uint8_t reason)
{
    switch (reason) {
    case RC_UNSUPPORTED_VERSION:
        return 1; /* unacceptable protocol version */
    case RC_CLIENT_ID_INVALID:
        return 2; /* identifier rejected */
    case RC_UNSPECIFIED:
    case RC_IMPLEMENTATION:
    case RC_SERVER_UNAVAILABLE:
    case RC_SERVER_BUSY:
    case RC_SHUTTING_DOWN:
    case RC_QUOTA_EXCEEDED:
    case RC_USE_ANOTHER_SERVER:
    case RC_SERVER_MOVED:
    case RC_CONNECTION_RATE:
        return 3; /* server unavailable: try again, here or elsewhere */
    case RC_BAD_CREDENTIALS:
    case RC_BAD_AUTH_METHOD:
        return 4; /* bad user name or password */
    default:
        return 5; /* not authorized: trying again will not help */
    }
}
