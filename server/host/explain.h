/* `skepctl explain`: what the chain would say, and who would get the message.
 *
 * The real modules are asked, on the loop of the client if it is connected, with requests that they
 * can see are dry.  Answers that take a while are waited for. */
#ifndef SKEP_HOST_EXPLAIN_H
#define SKEP_HOST_EXPLAIN_H

#include <cjson/cJSON.h>
#include <skep/decide.h>

#include "base/str.h"
#include "host/host.h"

struct explain_question {
    enum skep_stage stage; /* SKEP_STAGE_CONNECT, _SUBSCRIBE or _PUBLISH */
    const char *client_id;
    /* For CONNECT, and for a client that is not known. */
    const char *username, *listener, *address; /* username NULL: none */
    const char *password;                      /* NULL: none */
    bool anonymous;                            /* the listener lets in whom nobody vouches for */
    const char *topic;                         /* or filter */
    const char *payload;
    unsigned qos;
    bool retain;
};

/* answer: {"verdict":...}, the callee's; on the main thread. */
typedef void explain_ended_fn(void *arg, uint64_t ticket, cJSON *answer);

/* Main thread; everything is copied. */
void explain(struct host *h, const struct explain_question *q, explain_ended_fn *ended, void *arg,
             uint64_t ticket);

#endif
