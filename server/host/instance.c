#include "host/instance.h"

#include "host/life.h"

void instance_release(struct skep_module *m)
{
    struct host_life *life = m->host->life;
    bool going = atomic_load(&m->going);

    /* The one that is left is life's own.  From here on m may be gone. */
    if (atomic_fetch_sub(&m->holds, 1) == 2 && going)
        life_wake(life);
}
