/* <skep/http.h>: what a reply says. */
#include "host/http_head.h"
#include "host/http_impl.h"

struct skep_str skep_http_reply_header(const struct skep_http_reply *reply, const char *name)
{
    const struct flight *f = reply->internal;

    return f ? http_head_find(skep_bytes(f->head.ptr, f->head.len), name) : skep_bytes(NULL, 0);
}
