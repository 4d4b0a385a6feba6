/* Decisions about messages under way (core/broker.h's struct broker_guard), and what on_message
 * makes of them. */
#ifndef SKEP_HOST_GUARD_H
#define SKEP_HOST_GUARD_H

#include "host/request.h"

struct publication;
struct routed;
struct worker;

/* host_new(): the broker asks us from now on. */
void guard_open(struct host *h);
/* A chain was swapped. */
void guard_chains(struct host *h);
/* Somebody has rules of its own about what it may receive. */
void guard_rules(struct host *h);

/* r went through ask_message(), or was refused before: routes what has become of p, and its
 * copies, or counts it as refused or dropped.  p->topic begins with the mount point. */
void guard_route(struct skep_request *r, struct worker *w, struct publication *p, size_t mount_len,
                 struct routed *out);

struct message;
struct session;

/* What would be said about this delivery; tell is not called if nobody has to be asked.  Session
 * lock held. */
void guard_explain(struct host *h, struct worker *w, struct session *s, const struct message *m,
                   unsigned qos, bool retain, void (*tell)(void *arg, const struct skep_request *r),
                   void *arg);

#endif
