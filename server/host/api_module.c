/* The functions of sdk/include/skep/module.h, but for skep_warm_done() (life.c) and alarms
 * (alarm.c). */
#include <errno.h>
#include <sys/stat.h>

#include "base/arena.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "host/instance.h"
#include "host/life.h"

const char *skep_module_name(const struct skep_module *m)
{
    return m->name;
}

static bool make(const char *path)
{
    return mkdir(path, 0700) == 0 || errno == EEXIST;
}

/* "auth_http:internal" keeps its things apart from those of "auth_http". */
const char *skep_module_directory(struct skep_module *m)
{
    struct arena arena = {0};
    const char *parent, *path;

    lock_take(&m->host->chains_lock);
    if (!m->directory && m->host->data_dir) {
        parent = arena_printf(&arena, "%s/modules", m->host->data_dir);
        path = arena_printf(&arena, "%s/%s", parent, m->name);
        if (make(parent) && make(path))
            m->directory = str_dup(str_of(path));
        else
            log_error("modules", "%s: cannot make %s: %s", m->name, path, strerror(errno));
        arena_fini(&arena);
    }
    lock_drop(&m->host->chains_lock);
    return m->directory;
}

void skep_module_narrow(struct skep_module *m, unsigned stages, uint64_t events)
{
    struct skep_descriptor *d = &m->narrow;

    *d = *m->d;
    m->d = d;
    d->events &= events;
    if (!(stages >> SKEP_STAGE_CONNECT & 1))
        d->on_connect = NULL;
    if (!(stages >> SKEP_STAGE_AUTH & 1))
        d->on_auth = NULL;
    if (!(stages >> SKEP_STAGE_SUBSCRIBE & 1))
        d->on_subscribe = NULL;
    if (!(stages >> SKEP_STAGE_PUBLISH & 1))
        d->on_publish = NULL;
    if (!(stages >> SKEP_STAGE_WILL & 1))
        d->on_will = NULL;
    if (!(stages >> SKEP_STAGE_DELIVER & 1))
        d->on_deliver = NULL;
    if (!(stages >> SKEP_STAGE_MESSAGE & 1))
        d->on_message = NULL;
}

void skep_module_topics(struct skep_module *m, const struct skep_str *filters, size_t count)
{
    m->topics_named = true;
    for (size_t i = 0; i < count; i++)
        topic_set_add(&m->topics, (struct str){filters[i].ptr, filters[i].len});
}

void skep_request_reload(struct skep_module *m)
{
    atomic_store(&m->host->reload_wanted, true);
    life_wake(m->host->life);
}
