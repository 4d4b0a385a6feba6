/* The functions of <skep/client.h>; slots are in decide.c. */
#include <skep/client.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "core/broker.h"
#include "core/identity.h"
#include "core/session.h"
#include "core/sessions.h"
#include "host/instance.h"

static struct skep_str give(struct str s)
{
    return skep_bytes(s.ptr, s.len);
}

struct skep_str skep_client_id(const struct skep_client *c)
{
    return give(c->facts.id);
}

struct skep_str skep_client_username(const struct skep_client *c)
{
    return give(c->facts.username);
}

bool skep_client_has_username(const struct skep_client *c)
{
    return c->facts.has_username;
}

struct skep_str skep_client_address(const struct skep_client *c)
{
    return give(c->facts.address);
}

struct skep_str skep_client_host(const struct skep_client *c)
{
    return skep_bytes(c->facts.address.ptr, c->host_len);
}

struct skep_str skep_client_listener(const struct skep_client *c)
{
    return give(c->facts.listener);
}

unsigned skep_client_protocol(const struct skep_client *c)
{
    return c->facts.protocol;
}

bool skep_client_is_tls(const struct skep_client *c)
{
    return c->facts.is_tls;
}

bool skep_client_is_websocket(const struct skep_client *c)
{
    return c->facts.is_websocket;
}

struct skep_str skep_client_cert_cn(const struct skep_client *c)
{
    return give(c->facts.cert_cn);
}

struct skep_str skep_client_cert_subject(const struct skep_client *c)
{
    return give(c->facts.cert_subject);
}

uint64_t skep_client_connected_at(const struct skep_client *c)
{
    return c->facts.connected_at;
}

uint64_t skep_client_serial(const struct skep_client *c)
{
    return c->presence->serial;
}

struct skep_str skep_client_attribute(const struct skep_client *c, const char *name)
{
    struct str key = str_of(name);

    for (uint16_t i = 0; i < c->facts.attribute_count; i++) {
        if (str_eq(c->facts.attributes[i].name, key))
            return give(c->facts.attributes[i].value);
    }
    return give(STR_NONE);
}

bool skep_client_attribute_at(const struct skep_client *c, size_t i, struct skep_str *name,
                              struct skep_str *value)
{
    if (i >= c->facts.attribute_count)
        return false;
    *name = give(c->facts.attributes[i].name);
    *value = give(c->facts.attributes[i].value);
    return true;
}

const struct skep_client *skep_client_ref(const struct skep_client *c)
{
    return identity_ref(c);
}

void skep_client_unref(const struct skep_client *c)
{
    identity_unref(c);
}

bool skep_client_is_connected(const struct skep_client *c)
{
    return atomic_load(&c->presence->connected);
}

/* -- All clients -- */

/* Core may hold locks, where modules are called from within it. */
static bool out_of_reach(void)
{
    return host_here && host_here->within > 0;
}

static int kick(struct skep_module *m, struct str id, const struct presence *only,
                enum skep_reason reason, const char *text)
{
    if (out_of_reach())
        return SKEP_E_STATE;
    if ((unsigned)reason < 0x80 || (unsigned)reason > UINT8_MAX)
        return SKEP_E_INVALID;
    return sessions_kick_text(m->host->broker->sessions, id, only, (uint8_t)reason, text)
               ? 0
               : SKEP_E_NOT_FOUND;
}

int skep_kick(struct skep_module *m, struct skep_str client_id, enum skep_reason reason,
              const char *text)
{
    return kick(m, (struct str){client_id.ptr, client_id.len}, NULL, reason, text);
}

int skep_kick_client(struct skep_module *m, const struct skep_client *c, enum skep_reason reason,
                     const char *text)
{
    return kick(m, c->facts.id, c->presence, reason, text);
}

struct visit {
    bool (*each)(const struct skep_client *c, void *arg);
    void *arg;
};

static bool visit(void *arg, struct session *s)
{
    const struct visit *v = arg;
    bool more = true;

    lock_take(&s->lock);
    if (session_link(s))
        more = v->each(session_identity_locked(s), v->arg);
    lock_drop(&s->lock);
    return more;
}

void skep_clients(struct skep_module *m, bool (*each)(const struct skep_client *c, void *arg),
                  void *arg)
{
    struct visit v = {each, arg};

    if (!out_of_reach())
        sessions_each(m->host->broker->sessions, visit, &v);
}

const struct skep_client *skep_client_find(struct skep_module *m, struct skep_str client_id)
{
    if (out_of_reach())
        return NULL;
    return sessions_identity(m->host->broker->sessions, (struct str){client_id.ptr, client_id.len},
                             true);
}
