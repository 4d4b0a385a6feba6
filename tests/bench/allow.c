/* Allows every message at once: what asking costs (./dev bench). */
#include <skep/module.h>

static enum skep_verdict on_publish(struct skep_request *r, void *self)
{
    return skep_allow(r);
}

SKEP_MODULE = {
    SKEP_MODULE_HEAD("allow", "1", "allows every message"),
    .on_publish = on_publish,
};
