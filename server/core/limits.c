#include "core/limits.h"

void limits_default(struct limits *l)
{
    *l = (struct limits){
        .max_packet = 1u << 20,
        .connect_max_packet = 64u << 10,
        .max_topic_levels = 200,
        .max_topic_length = 65535,
        .max_client_id = 65535,
        .v31_long_client_id = true,
        .receive_maximum = 64,
        .max_inflight = 64,
        .topic_alias_maximum = 16,
        .topic_alias_out = 16,
        .max_queue_messages = 1000,
        .max_queue_bytes = 8u << 20,
        .queue_memory_messages = 1000,
        .queue_memory_bytes = 4u << 20,
        .qos0_queue_bytes = 1u << 20,
        .queue_full = QUEUE_DROP_NEW,
        .slow_consumer = SLOW_DROP,
        .rate_excess = RATE_PAUSE,
        .max_subscriptions = 10000,
        .max_pending_connects = 10000,
        .connect_timeout_ms = 10000,
        .session_expiry_max = UINT32_MAX,
        .will_delay_max = UINT32_MAX,
        .maximum_qos = 2,
        .retain = true,
        .wildcard_subscriptions = true,
        .shared_subscriptions = true,
        .subscription_identifiers = true,
        .empty_client_id = true,
        .reason_strings = true,
        .share_strategy = SHARE_ROUND_ROBIN,
        .client_id_prefix = "skep-",
    };
}
