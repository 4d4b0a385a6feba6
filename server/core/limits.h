/* Limits and switches, as plain numbers.  server/main/settings.c fills one from the
 * configuration; a reload publishes a new one and retires the old by QSBR.  A worker reads
 * the pointer once a turn.  Every limit works down to 1; 0 means "no limit" only where said. */
#ifndef SKEP_CORE_LIMITS_H
#define SKEP_CORE_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

enum share_strategy { SHARE_ROUND_ROBIN, SHARE_STICKY, SHARE_HASH };
enum queue_full { QUEUE_DROP_NEW, QUEUE_DROP_OLD };
enum slow_consumer { SLOW_DROP, SLOW_CLOSE };
enum rate_excess { RATE_PAUSE, RATE_CLOSE };

struct limits {
    /* packets */
    uint32_t max_packet;         /* bytes, announced as Maximum Packet Size */
    uint32_t connect_max_packet; /* bytes, for the CONNECT packet */
    uint32_t max_payload;        /* bytes; 0: bounded by max_packet alone */
    uint16_t max_topic_levels;
    uint32_t max_topic_length; /* bytes */
    uint32_t max_client_id;    /* bytes */
    bool v31_long_client_id;   /* accept MQTT 3.1 client ids above 23 bytes */

    /* flow */
    uint16_t receive_maximum;       /* announced: unacknowledged QoS>0 PUBLISHes from a client */
    uint16_t max_inflight;          /* towards a client; the lower of this and its own counts */
    uint16_t topic_alias_maximum;   /* announced */
    uint16_t topic_alias_out;       /* aliases the broker assigns at most per connection */
    uint32_t max_queue_messages;    /* QoS>0 messages waiting per session */
    uint64_t max_queue_bytes;       /* and their bytes */
    uint64_t max_queued_messages;   /* QoS>0 messages waiting in all sessions together; 0: none */
    uint32_t queue_memory_messages; /* of those in memory, each at a long queue's head and end */
    uint64_t queue_memory_bytes;    /* and their bytes */
    uint64_t qos0_queue_bytes;      /* bytes of QoS 0 waiting for a slow consumer */
    enum queue_full queue_full;     /* what gives way in a full queue */
    enum slow_consumer slow_consumer;
    uint64_t memory_limit; /* bytes of messages in memory; 0: none */
    uint32_t message_rate; /* PUBLISHes a second per client; 0: none */
    uint64_t byte_rate;    /* bytes a second per client; 0: none */
    enum rate_excess rate_excess;

    /* sessions */
    uint32_t max_connections;      /* 0: none */
    uint32_t max_sessions;         /* 0: none */
    uint32_t max_subscriptions;    /* per session; 0: none */
    uint32_t max_pending_connects; /* connections before CONNACK; 0: none */
    uint32_t connect_rate;         /* CONNECTs a second, whole broker; 0: none */
    uint32_t connect_timeout_ms;   /* from accept to the whole CONNECT */
    uint32_t session_expiry_max;   /* seconds; UINT32_MAX: none */
    uint32_t message_expiry_max;   /* seconds; 0: none */
    uint32_t will_delay_max;       /* seconds; UINT32_MAX: none */
    uint16_t keep_alive_max;       /* seconds, 0: none; a higher or absent one is lowered to it */
    uint16_t server_keep_alive;    /* seconds, imposed on MQTT 5 clients; 0: the client's own */

    /* switches */
    uint8_t maximum_qos;
    bool retain;
    bool wildcard_subscriptions;
    bool shared_subscriptions;
    bool subscription_identifiers;
    bool empty_client_id;
    bool upgrade_outgoing_qos; /* deliver at the granted QoS even if published lower */
    bool reason_strings;
    enum share_strategy share_strategy;
    uint64_t max_retained_messages; /* 0: none */
    uint64_t max_retained_bytes;    /* 0: none */
    char client_id_prefix[32];      /* of ids the broker assigns */
    char response_prefix[64];       /* Response Information is this and the client id; "": none */
};

/* The defaults of docs/guide/configuration.md. */
void limits_default(struct limits *l);

#endif
