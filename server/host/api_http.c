/* <skep/http.h>: asking outside of decisions. */
#include "host/http.h"

uint64_t skep_http_send(struct skep_module *m, const struct skep_http_request *ask,
                        skep_http_done_fn *done, void *arg)
{
    return http_send(m->host, m, ask, done, arg);
}

void skep_http_cancel(struct skep_module *m, uint64_t number)
{
    http_cancel(m->host, number);
}
