/* The HTTP client as the rest of the host sees it (sdk/include/skep/http.h says what it does).
 *
 * Everything of it that a place owns hangs on place->http and is touched by that place's thread
 * alone.  An exchange holds the instance until its callback returned or it was cancelled. */
#ifndef SKEP_HOST_HTTP_H
#define SKEP_HOST_HTTP_H

#include <skep/http.h>

#include "host/instance.h"

/* Copies what is asked and begins.  On a loop it is that loop's; from any other thread the
 * management loop does it.  done(reply, arg) is called on that loop in a later turn, exactly once
 * unless cancelled; the reply is borrowed until it returns.  0: no sensible request (method, url),
 * done is not called. */
uint64_t http_send(struct host *h, struct skep_module *m, const struct skep_http_request *ask,
                   skep_http_done_fn *done, void *arg);

/* On the loop that does it: done will not be called.  No-op when it was. */
void http_cancel(struct host *h, uint64_t number);

/* Ends all exchanges of that place: each done is called with an error, on the calling thread.  For
 * the end of the host (host->ending): the loop has stopped and is not freed yet. */
void http_stop(struct host_place *p);

#endif
