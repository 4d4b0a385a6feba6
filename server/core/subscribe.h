/* Subscribing and unsubscribing a session [MQTT 3.8, 3.10]; the owner's thread. */
#ifndef SKEP_CORE_SUBSCRIBE_H
#define SKEP_CORE_SUBSCRIBE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "core/session.h"

struct subscribe_request {
    struct str filter; /* checked; may begin with $share/ */
    unsigned options;  /* SUB_QOS, SUB_NO_LOCAL, SUB_RETAIN_AS_PUBLISHED */
    uint32_t id;       /* subscription identifier, 0: none */
    uint8_t retain_handling;
    uint64_t most; /* subscriptions this client may have, beside the limit of all; 0: any number */
};

/* Adds or replaces.  *existed tells which.  Returns 0 or ERR_LIMIT. */
int session_subscribe(struct worker *w, struct session *s, const struct subscribe_request *r,
                      bool *existed);

/* False when there was none [MQTT-3.10.4-1]. */
bool session_unsubscribe(struct worker *w, struct session *s, struct str filter);

void session_unsubscribe_all(struct worker *w, struct session *s);

/* Calls each with the full filter ($share/ included) and the subscription. */
void session_each_subscription(struct session *s,
                               void (*each)(void *arg, struct str filter,
                                            const struct subscription *sub),
                               void *arg);

#endif
