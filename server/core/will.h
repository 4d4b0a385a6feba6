/* A will: the message a client leaves with its CONNECT [MQTT 3.1.2.5]. */
#ifndef SKEP_CORE_WILL_H
#define SKEP_CORE_WILL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "core/worker.h"
#include "mqtt/packet.h"

struct session;
struct skep_client;

struct will {
    char *topic, *payload, *props; /* props: filtered to what is forwarded */
    uint32_t payload_len, props_len;
    uint32_t delay;  /* seconds */
    uint32_t expiry; /* seconds from publication; UINT32_MAX: none */
    uint16_t topic_len;
    uint8_t qos;
    bool retain;
    uint64_t publisher;      /* the session's serial */
    uint32_t publisher_hash; /* of its client id */
    struct skep_client *by;  /* a reference to who left it; NULL: nobody has asked */
};

/* Gives the session a will in place of the one it has.  All bytes are copied.  Owner. */
void will_set(struct session *s, const struct mqtt_will *will, struct str forwarded_props);
void will_free(struct will **will);

/* Publishes and frees a will that was taken from its session. */
void will_send(struct worker *w, struct will *will);

/* Publishes the session's will and forgets it [MQTT-3.1.2-10].  Owner. */
void will_publish(struct worker *w, struct session *s);

#endif
