/* Decisions: one shape for all of them.
 *
 * A hook gets a `struct skep_request`, reads what is asked, and returns a verdict:
 *
 *     SKEP_NEXT     no opinion: the next module in the chain is asked
 *     skep_allow(r) yes
 *     skep_deny(r, reason, text)  no
 *     SKEP_ERROR    cannot tell: `on_error` of the load block decides (default: deny)
 *     skep_wait_*() the answer comes later (SKEP_PENDING)
 *
 * While an answer is pending only that client is parked: what it sends waits, in order, and every
 * other client goes on.  The host enforces `decision_timeout` of the load block (then: SKEP_ERROR),
 * and cancels the wait when the client leaves: the function that was to be called is then not
 * called.  An answer belongs to one request of one connection; a late, second or foreign one finds
 * nothing and does nothing.
 *
 * Hooks and the functions that continue them run on the client's loop; on_deliver on whichever
 * loop is sending.  A request lives until it is decided. */
#ifndef SKEP_DECIDE_H
#define SKEP_DECIDE_H

#include <skep/base.h>

SKEP_BEGIN

struct skep_http_reply; /* <skep/http.h> */
struct skep_http_request;

enum skep_verdict {
    SKEP_NEXT,
    SKEP_ALLOW,
    SKEP_DENY,
    SKEP_ERROR,
    SKEP_PENDING,
    SKEP_CONTINUE, /* on_auth: send the client skep_auth_reply() and wait for its AUTH */
    SKEP_DROP,     /* on_message, on_publish: accept it, and give it to nobody */
};

enum skep_stage {
    SKEP_STAGE_CONNECT,
    SKEP_STAGE_AUTH,
    SKEP_STAGE_SUBSCRIBE,
    SKEP_STAGE_PUBLISH,
    SKEP_STAGE_WILL,
    SKEP_STAGE_DELIVER,
    SKEP_STAGE_MESSAGE,
};

/* -- Every request -- */

/* What is asked. */
SKEP_EXPORT enum skep_stage skep_stage(const struct skep_request *r);

/* The instance that is asked. */
SKEP_EXPORT struct skep_module *skep_request_module(const struct skep_request *r);

/* Who asks; in on_deliver, who would receive.  Borrowed.  During CONNECT it grows: attributes and
 * user name may still be set. */
SKEP_EXPORT const struct skep_client *skep_request_client(const struct skep_request *r);

/* True: `skepctl explain` asks what would be; leave no trace (no ban, no counter). */
SKEP_EXPORT bool skep_request_is_dry(const struct skep_request *r);

/* Verdicts, to be returned.  text reaches MQTT 5 clients as reason string and the log; NULL for
 * none; it is copied. */
SKEP_EXPORT enum skep_verdict skep_allow(struct skep_request *r);
SKEP_EXPORT enum skep_verdict skep_deny(struct skep_request *r, enum skep_reason reason,
                                        const char *text);
/* A message is accepted and goes nowhere, counted as dropped; why is copied. */
SKEP_EXPORT enum skep_verdict skep_drop(struct skep_request *r, const char *why);

/* Where the verdict comes from, for `skepctl explain` and the client's ring of decisions:
 * file:line of a rule, or line 0, and a few words.  Both strings must live as long as the
 * instance; either may be NULL. */
SKEP_EXPORT void skep_note(struct skep_request *r, const char *file, unsigned line,
                           const char *text);

/* The verdict depends on nothing but the client and on topic, QoS and retain flag (publish,
 * deliver): the host may remember it for this connection until the next reload or
 * skep_forget_verdicts(). */
SKEP_EXPORT void skep_cacheable(struct skep_request *r);
/* Rules changed without a reload: all remembered verdicts are void.  Any thread. */
SKEP_EXPORT void skep_forget_verdicts(struct skep_module *m);

/* Memory that lives until the request is decided.  NULL when `size` is above 64 KiB. */
SKEP_EXPORT void *skep_request_memory(struct skep_request *r, size_t size);
/* A word of the module's own that stays with the request; NULL at first. */
SKEP_EXPORT void **skep_request_data(struct skep_request *r);

/* -- Waiting: each returns SKEP_PENDING, to be returned by the hook; `then` runs on the client's
 * loop and returns the verdict, which may be pending again.  Not in on_deliver. -- */

typedef enum skep_verdict skep_then_fn(struct skep_request *r, void *self);
typedef enum skep_verdict skep_http_then_fn(struct skep_request *r,
                                            const struct skep_http_reply *reply, void *self);

/* Asks an HTTP server; `then` also gets failures (reply->error). */
SKEP_EXPORT enum skep_verdict skep_wait_http(struct skep_request *r,
                                             const struct skep_http_request *ask,
                                             skep_http_then_fn *then);

/* Runs work(data) in the job pool, where it may block.  It must not touch r.  drop(data) is called
 * last, in any case, on the client's loop or, when the client left, on some other thread; it may
 * be NULL.  When the pool's queue is full the answer is SKEP_ERROR. */
SKEP_EXPORT enum skep_verdict skep_wait_job(struct skep_request *r, void (*work)(void *data),
                                            void *data, void (*drop)(void *data),
                                            skep_then_fn *then);

/* Waits so many milliseconds. */
SKEP_EXPORT enum skep_verdict skep_wait_ms(struct skep_request *r, uint32_t ms, skep_then_fn *then);

/* Waits for skep_complete() with the token, from any thread; drop(skep_request_data) is called if
 * the client leaves or time runs out first; may be NULL. */
SKEP_EXPORT enum skep_verdict skep_wait_token(struct skep_request *r, uint64_t *token,
                                              void (*drop)(void *data), skep_then_fn *then);
/* Any thread.  True: it was the one completion; `then` will run (it finds `data` in
 * skep_request_data()).  False: nobody waits under that token any more. */
SKEP_EXPORT bool skep_complete(uint64_t token, void *data);

/* -- on_connect: may this client connect? [MQTT 3.1] -- */

/* As in the CONNECT. */
SKEP_EXPORT struct skep_str skep_connect_client_id(const struct skep_request *r);
SKEP_EXPORT struct skep_str skep_connect_username(const struct skep_request *r);
SKEP_EXPORT bool skep_connect_has_username(const struct skep_request *r);
/* A byte string, empty if none came. */
SKEP_EXPORT struct skep_str skep_connect_password(const struct skep_request *r);
SKEP_EXPORT bool skep_connect_has_password(const struct skep_request *r);
SKEP_EXPORT bool skep_connect_clean_start(const struct skep_request *r);
SKEP_EXPORT unsigned skep_connect_keep_alive_s(const struct skep_request *r);
/* The i-th user property of the packet at hand (also publish, subscribe, auth) [MQTT-3.1.2-27]. */
SKEP_EXPORT bool skep_request_user_property(const struct skep_request *r, size_t i,
                                            struct skep_str *name, struct skep_str *value);

/* What a module that allows may say about the client (on_connect and on_auth; copied).  The user
 * name also decides whose session it is. */
SKEP_EXPORT void skep_connect_set_username(struct skep_request *r, struct skep_str username);
SKEP_EXPORT int skep_connect_set_attribute(struct skep_request *r, const char *name,
                                           struct skep_str value);
enum skep_quota {
    SKEP_QUOTA_MESSAGE_RATE,  /* PUBLISHes a second */
    SKEP_QUOTA_BYTE_RATE,     /* bytes of PUBLISHes a second */
    SKEP_QUOTA_SUBSCRIPTIONS, /* in number */
    SKEP_QUOTA_SESSION_EXPIRY_S,
    SKEP_QUOTA_KEEP_ALIVE_S, /* at most */
};
/* Narrower than the configured limit only. */
SKEP_EXPORT int skep_connect_set_quota(struct skep_request *r, enum skep_quota quota,
                                       uint64_t value);
/* The connection ends then, with SKEP_RC_MAXIMUM_CONNECT_TIME, unless a re-authentication moved
 * it.  Milliseconds since 1970 UTC; 0: never. */
SKEP_EXPORT void skep_connect_set_expiry(struct skep_request *r, uint64_t wall_ms);

/* A rule for this connection alone, asked before the chain in the order given: the first that
 * matches decides.  actions: set of SKEP_MAY_*; filter: topic filter, %c and %u stand for client id
 * and user name; `#` that denies covers names that begin with $, too.  A name that is empty, has
 * + # / in it or begins with $ cannot widen a rule: one that allows then matches nothing, and one
 * that denies matches everything.  A subscription is allowed by a rule that covers all of its
 * filter, and denied by one that has a topic in common with it; a retained message needs PUBLISH
 * and RETAIN. What no rule speaks of goes to the chain. */
enum skep_actions {
    SKEP_MAY_PUBLISH = 1,
    SKEP_MAY_SUBSCRIBE = 2,
    SKEP_MAY_RECEIVE = 4,
    SKEP_MAY_RETAIN = 8
};
SKEP_EXPORT int skep_connect_add_rule(struct skep_request *r, bool allow, unsigned actions,
                                      struct skep_str filter);

/* Where to go instead, with a denial of SKEP_RC_USE_ANOTHER_SERVER or _SERVER_MOVED. */
SKEP_EXPORT void skep_connect_set_server_reference(struct skep_request *r, struct skep_str server);

/* -- on_auth: enhanced authentication [MQTT 4.12] --
 * Asked for a CONNECT with an authentication method, for each AUTH after it, and for a
 * re-authentication.  SKEP_NEXT: the method is not ours.  Functions of on_connect work too. */

/* As in the packet; data is a byte string. */
SKEP_EXPORT struct skep_str skep_auth_method(const struct skep_request *r);
SKEP_EXPORT struct skep_str skep_auth_data(const struct skep_request *r);
/* 0 for the first call of an exchange, then counted up. */
SKEP_EXPORT unsigned skep_auth_round(const struct skep_request *r);
/* The client is connected already and proves itself again [MQTT 4.12.1]. */
SKEP_EXPORT bool skep_auth_is_reauth(const struct skep_request *r);
/* Data for the client with SKEP_CONTINUE or SKEP_ALLOW; copied. */
SKEP_EXPORT void skep_auth_reply(struct skep_request *r, struct skep_str data);
/* A word that stays for the whole exchange; drop is called with it when that ends. */
SKEP_EXPORT void skep_auth_set_state(struct skep_request *r, void *state,
                                     void (*drop)(void *state));
SKEP_EXPORT void *skep_auth_state(const struct skep_request *r);

/* -- on_subscribe: may it have this filter?  Asked for each filter of a SUBSCRIBE, and again for
 * the subscriptions of a resumed session [MQTT 3.8] -- */

/* As sent; with $share/NAME/ taken off, see the next. */
SKEP_EXPORT struct skep_str skep_subscribe_filter(const struct skep_request *r);
/* Name of the shared subscription's group; empty: not shared [MQTT 4.8.2]. */
SKEP_EXPORT struct skep_str skep_subscribe_group(const struct skep_request *r);
SKEP_EXPORT unsigned skep_subscribe_qos(const struct skep_request *r);
/* Grants at most this QoS. */
SKEP_EXPORT void skep_subscribe_set_qos(struct skep_request *r, unsigned qos);
/* The session is resumed; the client does not hear the answer. */
SKEP_EXPORT bool skep_subscribe_is_resumed(const struct skep_request *r);

/* -- on_publish: may it publish this?  on_will: may it leave this will? (NULL: on_publish is asked;
 * also asked when the will is sent, where an answer that does not come at once counts as the one
 * given at CONNECT.)  on_deliver: may this client receive it? (at once, and brief: it is asked for
 * each receiver.)  on_message: what becomes of it? -- */

/* The message as the client sent it or, in on_message, as the modules before left it. */
SKEP_EXPORT struct skep_str skep_publish_topic(const struct skep_request *r);
SKEP_EXPORT struct skep_str skep_publish_payload(const struct skep_request *r);
SKEP_EXPORT unsigned skep_publish_qos(const struct skep_request *r);
SKEP_EXPORT bool skep_publish_retain(const struct skep_request *r);
/* Seconds; UINT32_MAX: none. */
SKEP_EXPORT uint32_t skep_publish_expiry_s(const struct skep_request *r);
enum skep_property {
    SKEP_PROP_CONTENT_TYPE,
    SKEP_PROP_RESPONSE_TOPIC,
    SKEP_PROP_CORRELATION_DATA,
    SKEP_PROP_PAYLOAD_IS_UTF8, /* "1" or empty */
};
/* False: not there. */
SKEP_EXPORT bool skep_publish_property(const struct skep_request *r, enum skep_property property,
                                       struct skep_str *value);
/* It is a will that is being sent. */
SKEP_EXPORT bool skep_publish_is_will(const struct skep_request *r);

/* on_message only.  What is set is copied.  SKEP_E_INVALID for what MQTT does not allow. */
SKEP_EXPORT int skep_message_set_topic(struct skep_request *r, struct skep_str topic);
SKEP_EXPORT int skep_message_set_payload(struct skep_request *r, struct skep_str payload);
SKEP_EXPORT int skep_message_set_qos(struct skep_request *r, unsigned qos);
SKEP_EXPORT int skep_message_set_retain(struct skep_request *r, bool retain);
SKEP_EXPORT int skep_message_set_expiry(struct skep_request *r, uint32_t seconds);
/* An empty value takes the property away. */
SKEP_EXPORT int skep_message_set_property(struct skep_request *r, enum skep_property property,
                                          struct skep_str value);
/* Adds one; skep_message_clear_user_properties() first to replace. */
SKEP_EXPORT int skep_message_add_user_property(struct skep_request *r, struct skep_str name,
                                               struct skep_str value);
SKEP_EXPORT void skep_message_clear_user_properties(struct skep_request *r);
/* One more copy as it now stands, to another topic; the publisher's acknowledgement covers it. */
SKEP_EXPORT int skep_message_copy_to(struct skep_request *r, struct skep_str topic);

SKEP_END
#endif
