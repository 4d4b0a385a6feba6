#include "host/instance.h"

#include "host/life.h"

bool instance_has(const struct skep_module *m, enum skep_stage stage)
{
    const struct skep_descriptor *d = m->d;

    switch (stage) {
    case SKEP_STAGE_CONNECT:
        return d->on_connect;
    case SKEP_STAGE_AUTH:
        return d->on_auth;
    case SKEP_STAGE_SUBSCRIBE:
        return d->on_subscribe;
    case SKEP_STAGE_PUBLISH:
        return d->on_publish;
    case SKEP_STAGE_WILL:
        return d->on_will || d->on_publish;
    case SKEP_STAGE_DELIVER:
        return d->on_deliver;
    case SKEP_STAGE_MESSAGE:
        return d->on_message;
    default:
        return false;
    }
}

void instance_release(struct skep_module *m)
{
    struct host_life *life = m->host->life;
    bool going = atomic_load(&m->going);

    /* The one that is left is life's own.  From here on m may be gone. */
    if (atomic_fetch_sub(&m->holds, 1) == 2 && going)
        life_wake(life);
}
