/* Asking a running Skep on this machine: its control socket takes one JSON object a line and
 * answers with one (server/main/control.h has the protocol). */
#ifndef SKEP_CTL_CONTROL_H
#define SKEP_CTL_CONTROL_H

#include <cjson/cJSON.h>

#include "ctl/arg.h"
#include "ctl/fault.h"

/* Options that all commands of this kind have. */
struct control_conf {
    const char *socket; /* NULL: look in the customary places */
    uint32_t timeout_ms;
    bool json;
};

extern const struct arg_option control_options[];

struct control_link; /* a connection to the socket */

/* CTL_OK, or CTL_UNREACHABLE with fault. */
enum ctl_status control_connect(struct control_link **out, const struct control_conf *conf,
                                struct fault *fault);
void control_free(struct control_link **c);

/* Sends a request (and frees it) and waits for the answer, which the caller deletes.  An answer
 * with "ok":false counts: it has *answer set and CTL_FAILED, and fault has its words. */
enum ctl_status control_ask(struct control_link *c, cJSON *request, cJSON **answer,
                            struct fault *fault);

/* Waits until Skep has closed the connection, as it does when it ends.  False after wait_ms. */
bool control_wait_end(struct control_link *c, unsigned wait_ms);

#endif
