/* Messages from inside: publishing, and consuming what others publish.
 *
 * A consumer is a session of the broker whose client is a module.  A durable one has its
 * subscriptions and its queue in the store: what it has not acknowledged is there again after a
 * restart, with everything a session has (limits, ordering, expiry, `skepctl clients`). */
#ifndef SKEP_MESSAGE_H
#define SKEP_MESSAGE_H

#include <skep/base.h>

SKEP_BEGIN

struct skep_user_property {
    struct skep_str name, value;
};

/* Used both ways.  What a module hands in is copied. */
struct skep_message {
    uint32_t size;
    uint8_t qos;
    bool retain;
    bool duplicate; /* delivered: it may have been delivered before */
    bool payload_is_utf8;
    uint32_t expiry_s; /* what is left; 0: none */
    /* Handed in, QoS 2, `as` a durable consumer: not 0: published unless the consumer holds this
     * number already, and held from then on, in one write.  See skep_consumer_forget(). */
    uint16_t once;
    struct skep_str topic, payload;
    struct skep_str content_type, response_topic, correlation_data;
    const struct skep_user_property *user_properties;
    size_t user_property_count;
    uint64_t reserved[4];
};

struct skep_consumer;

/* What became of a message.  SKEP_RC_SUCCESS, SKEP_RC_NO_SUBSCRIBERS, or a reason >= 0x80. */
typedef void skep_published_fn(void *arg, enum skep_reason reason);

/* Publishes.  Any thread; messages of one thread keep their order.  `as` may be NULL: with it,
 * what is published does not come back to that consumer (no local); it must be ready, and this its
 * loop.  done may be NULL; else it is called later on the loop that asked (the management loop if
 * none did), with QoS above 0 not before the message is as safe as the store makes it.  0, or
 * SKEP_E_INVALID, SKEP_E_STATE (`as`), SKEP_E_REFUSED (the broker ends), SKEP_E_MEMORY,
 * SKEP_E_LIMIT (too much of this module under way: try again after a done); then done is not
 * called.  No ACL is asked: what a module publishes is its own responsibility. */
SKEP_EXPORT int skep_publish(struct skep_module *m, const struct skep_message *message,
                             struct skep_consumer *as, skep_published_fn *done, void *arg);

struct skep_consumer_conf {
    uint32_t size;
    unsigned loop;     /* where it lives and is called: a loop's number; SKEP_ANY_LOOP: any */
    const char *name;  /* the client id is "$NAME/..." with the module's name in front */
    bool durable;      /* the session outlives the broker */
    bool paused;       /* delivers nothing before skep_consumer_pause(c, false) */
    uint16_t window;   /* QoS > 0 messages delivered and not acknowledged; 0: 100 */
    uint32_t expiry_s; /* durable: the session ends so long after close; 0: never */
    /* QoS 0: id is 0, nothing to acknowledge.  Else acknowledge each id once, in any order.  What
     * is delivered again, after a restart too, has the id that it had, which no other message of
     * this session ever gets. */
    void (*on_message)(struct skep_consumer *c, const struct skep_message *message, uint64_t id,
                       void *arg);
    /* Ready: `resumed` tells that the session was there already.  Not ready (error not NULL): it
     * will not be, for a limit is reached or the disk takes no sessions; or it is not any more,
     * for a newer consumer has its name.  Close it all the same. */
    void (*on_ready)(struct skep_consumer *c, bool resumed, const char *error, void *arg);
    void *arg;
    uint64_t reserved[4];
};

enum { SKEP_ANY_LOOP = 0xffff };

/* Opens it; on_ready comes later, on its loop, in any case.  Any thread but main.  During a reload
 * the new instance's consumer of the same name takes over the session from the old one's.  From
 * another thread than its loop's, callbacks may run before this returns: use the consumer that
 * they are given.  NULL: conf is not valid. */
SKEP_EXPORT struct skep_consumer *skep_consumer_open(struct skep_module *m,
                                                     const struct skep_consumer_conf *conf);
/* The loop it lives on.  All that follows is for that loop and not for on_event and on_deliver;
 * what can fail says SKEP_E_STATE there, and while the consumer is not ready. */
SKEP_EXPORT unsigned skep_consumer_loop(const struct skep_consumer *c);

enum skep_subscribe_options {
    SKEP_SUBSCRIBE_NO_LOCAL = 1,    /* not what was published `as` this consumer */
    SKEP_SUBSCRIBE_NO_RETAINED = 2, /* retained messages only as they are published */
    SKEP_SUBSCRIBE_KEEP_RETAIN = 4, /* retain as published */
};
/* As SUBSCRIBE and UNSUBSCRIBE do; options: a set of the above.  Subscribing to a filter that is
 * there replaces it.  0, SKEP_E_INVALID (the filter), SKEP_E_LIMIT, SKEP_E_REFUSED (the disk takes
 * nothing), SKEP_E_STATE; unsubscribing also SKEP_E_NOT_FOUND. */
SKEP_EXPORT int skep_consumer_subscribe(struct skep_consumer *c, struct skep_str filter,
                                        unsigned qos, unsigned options);
SKEP_EXPORT int skep_consumer_unsubscribe(struct skep_consumer *c, struct skep_str filter);
/* Calls each for every subscription, also those from before a restart. */
SKEP_EXPORT void skep_consumer_subscriptions(struct skep_consumer *c,
                                             void (*each)(struct skep_str filter, unsigned qos,
                                                          void *arg),
                                             void *arg);
/* The message with that id is done: its place in the window is free. */
SKEP_EXPORT void skep_consumer_ack(struct skep_consumer *c, uint64_t id);
/* The number of a message published `once` may be used again: what a QoS 2 receiver does at PUBREL.
 * 0: all numbers that it holds.  done may be NULL; else it is called once that is on the disk. */
SKEP_EXPORT void skep_consumer_forget(struct skep_consumer *c, uint16_t once,
                                      void (*done)(void *arg), void *arg);
/* Stops and goes on delivering; what is in the window already may still come. */
SKEP_EXPORT void skep_consumer_pause(struct skep_consumer *c, bool paused);
/* Messages in its queue, those delivered and not acknowledged included. */
SKEP_EXPORT uint64_t skep_consumer_queued(const struct skep_consumer *c);
/* forget: the session ends with it, else a durable one waits.  Also from its callbacks; none
 * comes any more. */
SKEP_EXPORT void skep_consumer_close(struct skep_consumer *c, bool forget);

/* Calls `each` for retained messages that match the filter, at most `most`, until it returns false.
 * On a loop; costs what it reads. */
SKEP_EXPORT int skep_retained(struct skep_module *m, struct skep_str filter, size_t most,
                              bool (*each)(const struct skep_message *message, void *arg),
                              void *arg);

SKEP_END
#endif
