#include "front/entrance.h"

#include <stdlib.h>

#include "base/mem.h"
#include "core/limits.h"
#include "front/client.h"
#include "host/chain.h"
#include "net/listen.h"

/* FNV-1a: the store keeps it, so it must be the same in each process. */
static uint32_t realm_of(const char *mount_point)
{
    uint32_t hash = 2166136261u;

    for (; *mount_point; mount_point++)
        hash = (hash ^ (uint8_t)*mount_point) * 16777619u;
    return hash | 1;
}

const struct policy *policy_new(struct host *host, const struct server_listener *conf)
{
    struct policy *p = xcalloc(1, sizeof *p);

    atomic_init(&p->refs, 1);
    p->anonymous = conf->anonymous;
    p->username_from_psk = conf->username_from_psk;
    p->versions = conf->versions;
    p->connect_timeout_ms = conf->connect_timeout_ms;
    p->username_from = conf->username_from;
    if (conf->mount_point && *conf->mount_point) {
        p->mount_point = str_dup(str_of(conf->mount_point));
        p->mount_len = (uint16_t)strlen(conf->mount_point);
        p->realm = realm_of(p->mount_point);
    }
    p->name = str_dup(str_of(conf->listen.name));
    p->chain = chain_slot(host, p->name);
    return p;
}

void policy_unref(const struct policy *policy)
{
    struct policy *p = (struct policy *)policy;

    if (p && atomic_fetch_sub(&p->refs, 1) == 1) {
        free(p->mount_point);
        free(p->name);
        free(p);
    }
}

const struct policy *entrance_policy(struct entrance *e)
{
    struct policy *p = (struct policy *)atomic_load(&e->policy);
    atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
    return p;
}

bool entrance_admit(struct entrance *e, struct worker *w)
{
    struct door *door = e->door;
    const struct limits *l = w->limits;

    if (atomic_load(&door->draining))
        return false;
    if (l->max_connections && atomic_load(&door->connections) >= l->max_connections)
        return false;
    if (l->max_pending_connects && atomic_load(&door->pending) >= l->max_pending_connects)
        return false;
    atomic_fetch_add(&door->connections, 1);
    atomic_fetch_add(&door->pending, 1);
    return true;
}

void entrance_settled(struct client *c)
{
    atomic_fetch_sub(&c->desk->door->pending, 1);
    c->settled = true;
}

void entrance_left(struct client *c)
{
    struct door *door = c->desk->door;

    atomic_fetch_sub(&door->connections, 1);
    if (!c->settled)
        atomic_fetch_sub(&door->pending, 1);
}

bool entrance_connect_rate(struct client *c)
{
    uint32_t most = c->desk->w->limits->connect_rate;
    struct door *door = c->desk->door;
    uint64_t second = c->desk->w->now_ms / 1000;
    uint64_t old = atomic_load(&door->rate_window), next;

    if (most == 0)
        return true;
    do {
        if (old >> 32 == second && (uint32_t)old >= most)
            return false;
        next = old >> 32 == second ? old + 1 : second << 32 | 1;
    } while (!atomic_compare_exchange_weak(&door->rate_window, &old, next));
    return true;
}
