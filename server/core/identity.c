#include "core/identity.h"

#include <stdlib.h>

#include "base/mem.h"

static _Atomic uint64_t last_serial;

uint64_t identity_serial(void)
{
    return atomic_fetch_add_explicit(&last_serial, 1, memory_order_relaxed) + 1;
}

static struct presence *presence_new(bool connected)
{
    struct presence *p = xcalloc(1, sizeof *p);

    atomic_init(&p->refs, 1);
    atomic_init(&p->connected, connected);
    p->serial = identity_serial();
    return p;
}

static void presence_unref(struct presence *p)
{
    if (atomic_fetch_sub(&p->refs, 1) == 1) {
        free(p->ring);
        free(p->received);
        free(p);
    }
}

/* -- One block of memory: the struct, its arrays, its text -- */

static size_t text_size(const struct identity_facts *f)
{
    size_t n = f->id.len + f->username.len + f->address.len + f->listener.len + f->cert_cn.len +
               f->cert_subject.len + f->mount.len;

    for (size_t i = 0; i < f->attribute_count; i++)
        n += f->attributes[i].name.len + f->attributes[i].value.len;
    for (size_t i = 0; i < f->rule_count; i++)
        n += f->rules[i].filter.len;
    return n;
}

static void take(struct str *s, char **at)
{
    if (s->len == 0) {
        *s = STR_NONE;
        return;
    }
    memcpy(*at, s->ptr, s->len);
    s->ptr = *at;
    *at += s->len;
}

static void take_all(struct identity_facts *f, struct identity_pair *attributes,
                     struct identity_rule *rules, uint64_t *quotas, char *at)
{
    if (f->quota_count > 0)
        memcpy(quotas, f->quotas, f->quota_count * sizeof *quotas);
    f->quotas = quotas;
    take(&f->id, &at);
    take(&f->username, &at);
    take(&f->address, &at);
    take(&f->listener, &at);
    take(&f->cert_cn, &at);
    take(&f->cert_subject, &at);
    take(&f->mount, &at);
    for (size_t i = 0; i < f->attribute_count; i++) {
        attributes[i] = f->attributes[i];
        take(&attributes[i].name, &at);
        take(&attributes[i].value, &at);
    }
    for (size_t i = 0; i < f->rule_count; i++) {
        rules[i] = f->rules[i];
        take(&rules[i].filter, &at);
    }
    f->attributes = attributes;
    f->rules = rules;
}

static uint16_t host_len(struct str address)
{
    const char *colon = address.len ? memrchr(address.ptr, ':', address.len) : NULL;

    return (uint16_t)(colon ? (size_t)(colon - address.ptr) : address.len);
}

struct skep_client *identity_new(const struct identity_facts *facts, struct presence *presence)
{
    size_t pairs = facts->attribute_count * sizeof(struct identity_pair);
    size_t rules = facts->rule_count * sizeof(struct identity_rule);
    size_t quotas = facts->quota_count * sizeof(uint64_t);
    struct skep_client *c = xcalloc(1, sizeof *c + pairs + rules + quotas + text_size(facts));
    char *behind = (char *)(c + 1);

    c->magic = IDENTITY_MAGIC;
    atomic_init(&c->refs, 1);
    c->facts = *facts;
    take_all(&c->facts, (struct identity_pair *)behind, (struct identity_rule *)(behind + pairs),
             (uint64_t *)(behind + pairs + rules), behind + pairs + rules + quotas);
    c->host_len = host_len(c->facts.address);
    if (presence)
        atomic_fetch_add_explicit(&presence->refs, 1, memory_order_relaxed);
    c->presence = presence ? presence : presence_new(facts->address.len > 0);
    return c;
}

struct skep_client *identity_ref(const struct skep_client *c)
{
    struct skep_client *counted = (struct skep_client *)c;

    atomic_fetch_add_explicit(&counted->refs, 1, memory_order_relaxed);
    return counted;
}

void identity_unref(const struct skep_client *c)
{
    struct skep_client *counted = (struct skep_client *)c;

    if (!counted || atomic_fetch_sub(&counted->refs, 1) != 1)
        return;
    CHECK(counted, IDENTITY_MAGIC);
    counted->magic = 0;
    presence_unref(counted->presence);
    free(counted);
}
