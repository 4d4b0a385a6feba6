#include "host/life.h"

#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "host/alarm.h"
#include "host/command.h"
#include "host/crash.h"
#include "host/life_impl.h"
#include "host/report.h"
#include "host/services.h"
#include "host/traffic.h"

/* -- Looking things up -- */

struct skep_module *life_set_find(const struct life_set *set, const char *name)
{
    for (size_t i = 0; set && i < set->count; i++)
        if (strcmp(set->modules[i]->name, name) == 0)
            return set->modules[i];
    return NULL;
}

struct skep_module *life_find(struct host *h, const char *name)
{
    return life_set_find(h->life->running, name);
}

const struct roll *life_roll(const struct host *h)
{
    return atomic_load_explicit(&h->roll, memory_order_acquire);
}

static uint16_t free_slot(const struct host_life *life)
{
    for (unsigned slot = 0;; slot++) {
        const struct skep_module *m = life->living;
        while (m && m->slot != slot)
            m = m->next;
        if (!m)
            return (uint16_t)slot;
    }
}

static struct instance_stats *stats_of(struct host_life *life, const char *name)
{
    struct life_stats *s = life->stats;

    while (s && strcmp(s->name, name) != 0)
        s = s->next;
    if (!s) {
        s = xcalloc(1, sizeof *s);
        s->name = str_dup(str_of(name));
        s->stats = xcalloc(life->host->loop_count + 1, sizeof *s->stats);
        s->next = life->stats;
        life->stats = s;
    }
    return s->stats;
}

/* -- One instance -- */

static enum skep_verdict verdict_of(enum load_on_error on_error)
{
    static const enum skep_verdict verdicts[] = {
        [ON_ERROR_DENY] = SKEP_DENY, [ON_ERROR_NEXT] = SKEP_NEXT, [ON_ERROR_ALLOW] = SKEP_ALLOW};

    return verdicts[on_error];
}

static struct skep_module *instance_new(struct host_life *life, const struct life_conf *conf,
                                        const struct load_block *b, const char *name)
{
    struct skep_module *m = xcalloc(1, sizeof *m);

    m->magic = SKEP_MODULE_MAGIC;
    m->host = life->host;
    m->name = str_dup(str_of(name));
    m->object = object_ref(bind_object_of(b));
    m->d = &m->object->d;
    m->conf = m->self = bind_conf(b);
    m->pos = b->block.pos;
    life_digest(b, m->digest);
    m->decision_timeout_ms = b->decision_timeout_ms;
    m->on_error = verdict_of(b->on_error);
    m->stats = stats_of(life, name);
    m->slot = free_slot(life);
    atomic_init(&m->holds, 1); /* life's own, until it has left */
    if (conf->retain)
        conf->retain(conf->owner);
    m->conf_owner = conf->owner;
    m->conf_release = conf->release;
    m->next = life->living;
    life->living = m;
    return m;
}

static void instance_free(struct skep_module *m)
{
    struct skep_module **at = &m->host->life->living;

    while (*at != m)
        at = &(*at)->next;
    *at = m->next;
    if (m->warm)
        free(m->warm->error);
    free(m->warm);
    if (m->conf_release)
        m->conf_release(m->conf_owner);
    object_unref(&m->object);
    free(m->directory);
    free(m->name);
    m->magic = 0;
    free(m);
}

void life_unload(struct skep_module *m)
{
    struct blame mark = blame_begin(m, "unload");

    if (m->d->unload)
        m->d->unload(m->self);
    blame_end(mark);
    services_forget(m);
    instance_log_end(m);
    traffic_forget(m);
    command_forget(m);
    alarm_forget(m, life_find(m->host, m->name) != NULL);
    log_debug("modules", "%s: unloaded", m->name);
    instance_free(m);
}

/* NULL: complained. */
static struct skep_module *instance_load(struct host_life *life, const struct life_conf *conf,
                                         const struct load_block *b, const char *name,
                                         struct complaints *complaints)
{
    struct skep_module *m = instance_new(life, conf, b, name);
    struct skep_report report = {complaints, b->block.pos};
    unsigned errors = complaints->errors;
    struct blame mark = blame_begin(m, "load");
    int err = m->d->load ? m->d->load(m, m->conf, &m->self, &report) : 0;

    blame_end(mark);
    if (err == 0)
        return m;
    if (complaints->errors == errors)
        complaint_error(complaints, b->block.pos, NULL, "module %s refused to load", name);
    instance_free(m);
    return NULL;
}

/* -- A set of them -- */

static bool keeps(const struct skep_module *old, const struct load_block *b)
{
    unsigned char digest[32];

    if (!old || !(old->d->flags & SKEP_KEEP) || old->object != bind_object_of(b))
        return false;
    life_digest(b, digest);
    return memcmp(digest, old->digest, sizeof digest) == 0;
}

void life_set_free(struct life_set **sp)
{
    struct life_set *set = *sp;

    if (!set)
        return;
    free(set->modules);
    free(set->kept);
    free(set);
    *sp = NULL;
}

int life_build(struct life_set **out, struct host *h, const struct life_conf *conf,
               struct complaints *complaints)
{
    struct host_life *life = h->life;
    struct life_set *set = xcalloc(1, sizeof *set);

    set->host = h;
    set->conf = *conf;
    set->modules = xcalloc(conf->loads->count + 1, sizeof(struct skep_module *));
    set->kept = xcalloc(conf->loads->count + 1, sizeof *set->kept);
    for (size_t i = 0; i < conf->loads->count; i++) {
        const struct load_block *b = conf->loads->items[i];
        const char *name = load_name(b, complaints->arena);
        struct skep_module *old = life_set_find(life->running, name), *m;
        set->kept[i] = keeps(old, b);
        m = set->kept[i] ? old : instance_load(life, conf, b, name, complaints);
        if (!m) {
            life_abandon(&set);
            return ERR_INVALID;
        }
        set->modules[set->count++] = m;
        if (!set->kept[i])
            m->previous = old && old->object == m->object ? old : NULL;
    }
    *out = set;
    return 0;
}

void life_abandon(struct life_set **set)
{
    struct life_set *s = *set;

    if (s->prepared)
        life_unprepare(s);
    for (size_t i = s->count; i-- > 0;)
        if (!s->kept[i]) {
            s->modules[i]->previous = NULL;
            leave_begin(s->modules[i], false);
        }
    life_set_free(set);
}

/* -- The whole -- */

void life_wake(struct host_life *life)
{
    uint64_t one = 1;
    ssize_t n = write(life->wake_fd, &one, sizeof one);

    (void)n; /* full means that a wake-up is pending already */
}

void life_open(struct host *h)
{
    struct host_life *life = xcalloc(1, sizeof *life);

    life->host = h;
    life->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    ASSERT(life->wake_fd >= 0);
    h->life = life;
    atomic_init(&h->roll, xcalloc(1, sizeof(struct roll)));
    h->alarms = alarms_open();
    host_on_leave(h, command_leave);
}

void life_free(struct host_life *life)
{
    struct host *h = life->host;

    life_set_free(&life->running);
    while (life->stats) {
        struct life_stats *s = life->stats;
        life->stats = s->next;
        free(s->stats);
        free(s->name);
        free(s);
    }
    alarms_close(&h->alarms);
    close(life->wake_fd);
    free(atomic_load(&h->roll));
    free(life);
}

int life_wake_fd(const struct host *h)
{
    return h->life->wake_fd;
}
