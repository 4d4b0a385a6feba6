#include "host/alarm.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "host/event.h"
#include "net/loop.h"

enum { ALARMS_MAX = 1000 };

struct alarm {
    struct alarm *next;
    char *module, *name, *text; /* module: an instance's name; its successor knows it by that */
    uint64_t since_ms;          /* wall clock */
};

struct host_alarms {
    pthread_mutex_t lock;
    struct alarm *first;
    unsigned count;
};

struct host_alarms *alarms_open(void)
{
    struct host_alarms *a = xcalloc(1, sizeof *a);

    pthread_mutex_init(&a->lock, NULL);
    return a;
}

static void alarm_free(struct alarm *a)
{
    free(a->module);
    free(a->name);
    free(a->text);
    free(a);
}

void alarms_close(struct host_alarms **alarms)
{
    struct host_alarms *all = *alarms;

    if (!all)
        return;
    while (all->first) {
        struct alarm *a = all->first;
        all->first = a->next;
        alarm_free(a);
    }
    pthread_mutex_destroy(&all->lock);
    free(all);
    *alarms = NULL;
}

/* Where it is linked, or the end. */
static struct alarm **find(struct host_alarms *all, const char *module, const char *name)
{
    struct alarm **at = &all->first;

    while (*at && (strcmp((*at)->module, module) != 0 || strcmp((*at)->name, name) != 0))
        at = &(*at)->next;
    return at;
}

/* -- Telling modules -- */

struct notice {
    struct loop_task task;
    struct host *host;
    char *name, *text;
    bool cleared;
};

static void notice_run(struct loop_task *task, struct loop *l)
{
    struct notice *n = CONTAINER_OF(task, struct notice, task);
    struct skep_event e = {
        .size = sizeof e,
        .kind = SKEP_EVENT_ALARM,
        .now_ms = loop_now_ms(l),
        .topic = skep_str(n->name),
        .text = skep_str(n->text),
        .flag = n->cleared,
    };

    if (host_wants(n->host, SKEP_EVENT_ALARM))
        host_event(n->host, &e);
    free(n->name);
    free(n->text);
    free(n);
}

/* Alarms may be raised on threads that no hook may run on. */
static void tell(struct host *h, const char *name, const char *text, bool cleared)
{
    struct notice *n;

    if (!host_wants(h, SKEP_EVENT_ALARM) || atomic_load(&h->ending))
        return;
    n = xcalloc(1, sizeof *n);
    *n = (struct notice){.task = {.run = notice_run},
                         .host = h,
                         .name = str_dup(str_of(name)),
                         .text = str_dup(str_of(text)),
                         .cleared = cleared};
    loop_post(h->management, &n->task);
}

/* -- The SDK's -- */

static struct alarm *alarm_new(const struct skep_module *m, const char *name)
{
    struct alarm *a = xcalloc(1, sizeof *a);

    a->module = str_dup(str_of(m->name));
    a->name = str_dup(str_of(name));
    a->since_ms = clock_wall_ms();
    return a;
}

void skep_alarm(struct skep_module *m, const char *name, const char *text)
{
    struct host_alarms *all = m->host->alarms;
    bool raised = false, full = false;
    struct alarm **at;

    pthread_mutex_lock(&all->lock);
    at = find(all, m->name, name);
    if (!*at && (full = all->count >= ALARMS_MAX) == false) {
        *at = alarm_new(m, name);
        all->count++;
        raised = true;
    }
    if (*at) {
        free((*at)->text);
        (*at)->text = str_dup(str_of(text));
    }
    pthread_mutex_unlock(&all->lock);
    if (full)
        log_limited(LOG_LEVEL_ERROR, "modules", "%s: more than %d alarms", m->name, ALARMS_MAX);
    if (raised) {
        log_warn(m->name, "alarm %s: %s", name, text);
        tell(m->host, name, text, false);
    }
}

static bool take_away(struct host_alarms *all, const char *module, const char *name)
{
    struct alarm **at, *a;

    pthread_mutex_lock(&all->lock);
    at = find(all, module, name);
    a = *at;
    if (a) {
        *at = a->next;
        all->count--;
    }
    pthread_mutex_unlock(&all->lock);
    if (a)
        alarm_free(a);
    return a != NULL;
}

void skep_alarm_clear(struct skep_module *m, const char *name)
{
    if (!take_away(m->host->alarms, m->name, name))
        return;
    log_info(m->name, "alarm %s: cleared", name);
    tell(m->host, name, "", true);
}

void alarm_forget(struct skep_module *m, bool taken_over)
{
    struct host_alarms *all = m->host->alarms;
    char *name;

    if (taken_over)
        return;
    do {
        struct alarm *a;
        pthread_mutex_lock(&all->lock);
        for (a = all->first; a && strcmp(a->module, m->name) != 0; a = a->next)
            ;
        name = a ? str_dup(str_of(a->name)) : NULL;
        pthread_mutex_unlock(&all->lock);
        if (name)
            skep_alarm_clear(m, name);
        free(name);
    } while (name);
}

cJSON *alarm_list(struct host *h, const struct skep_module *m)
{
    cJSON *list = cJSON_CreateArray();

    pthread_mutex_lock(&h->alarms->lock);
    for (const struct alarm *a = h->alarms->first; a; a = a->next) {
        cJSON *o;
        if (m && strcmp(a->module, m->name) != 0)
            continue;
        o = cJSON_CreateObject();
        cJSON_AddStringToObject(o, "module", a->module);
        cJSON_AddStringToObject(o, "name", a->name);
        cJSON_AddStringToObject(o, "text", a->text);
        cJSON_AddNumberToObject(o, "since_ms", (double)a->since_ms);
        cJSON_AddItemToArray(list, o);
    }
    pthread_mutex_unlock(&h->alarms->lock);
    return list;
}
