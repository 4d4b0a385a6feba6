#include "host/connecting.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "host/decide.h"
#include "host/instance.h"
#include "host/rules.h"
#include "host/services.h"
#include "mqtt/topic.h"

enum {
    ATTRIBUTES_MAX = 64,
    ATTRIBUTE_BYTES = 64 * 1024,
    RULES_MAX = 4096,
    REPLY_MAX = 65535,
};

struct connecting *connecting_new(const struct identity_facts *facts, struct presence *presence)
{
    struct connecting *c = xcalloc(1, sizeof *c);

    c->who = identity_new(facts, presence);
    /* What it has already is the beginning of what it will have. */
    c->attributes = xcalloc(ATTRIBUTES_MAX, sizeof *c->attributes);
    for (uint16_t i = 0; i < facts->attribute_count && i < ATTRIBUTES_MAX; i++) {
        const struct identity_pair *pair = &facts->attributes[i];
        c->attributes[c->attribute_count++] = (struct identity_pair){
            {str_dup(pair->name), pair->name.len}, {str_dup(pair->value), pair->value.len}};
        c->attribute_bytes += pair->name.len + pair->value.len;
    }
    return c;
}

void connecting_drop_state(struct connecting *c)
{
    struct skep_module *m = c->state_module;
    void (*drop)(void *state) = c->state_drop;
    void *state = c->state;

    c->state = NULL;
    c->state_drop = NULL;
    c->state_module = NULL;
    if (!m)
        return;
    if (drop) {
        struct blame before = blame_begin(m, "drop");
        drop(state);
        blame_end(before);
    }
    instance_release(m);
}

static void rules_forget(struct connecting *c)
{
    for (uint16_t i = 0; i < c->rule_count; i++)
        free((char *)c->rules[i].filter.ptr);
    free(c->rules);
    c->rules = NULL;
    c->rule_count = 0;
}

void connecting_free(struct connecting **connecting)
{
    struct connecting *c = *connecting;

    if (!c)
        return;
    connecting_drop_state(c);
    identity_unref(c->who);
    for (unsigned i = 0; i < c->old_count; i++)
        identity_unref(c->old[i]);
    free(c->old);
    for (uint16_t i = 0; i < c->attribute_count; i++) {
        free((char *)c->attributes[i].name.ptr);
        free((char *)c->attributes[i].value.ptr);
    }
    free(c->attributes);
    rules_forget(c);
    free(c->username);
    free(c->server);
    free(c->reply);
    free(c);
    *connecting = NULL;
}

static struct identity_facts facts_now(const struct connecting *c)
{
    struct identity_facts f = c->who->facts;

    if (c->username) {
        f.username = (struct str){c->username, c->username_len};
        f.has_username = true;
    }
    f.attributes = c->attributes;
    f.attribute_count = c->attribute_count;
    return f;
}

const struct skep_client *connecting_who(struct connecting *c)
{
    if (c->stale) {
        struct identity_facts f = facts_now(c);
        struct skep_client *who = identity_new(&f, c->who->presence);
        c->old = xrealloc(c->old, (c->old_count + 1) * sizeof(struct skep_client *));
        c->old[c->old_count++] = c->who;
        c->who = who;
        c->stale = false;
    }
    return c->who;
}

struct skep_client *connecting_result(struct connecting *c, struct str id, const uint64_t *quotas,
                                      uint64_t expiry_ms)
{
    struct identity_facts f = facts_now(c);
    struct identity_rule *rules = NULL;

    f.id = id;
    f.quotas = quotas;
    f.quota_count = quotas ? HOST_QUOTAS : 0;
    f.expiry_ms = expiry_ms;
    if (c->rule_count > 0) { /* a re-authentication that gives rules replaces those there were */
        rules = rules_fill_in(c->rules, c->rule_count, f.id, f.username);
        f.rules = rules;
        f.rule_count = c->rule_count;
    }
    struct skep_client *who = identity_new(&f, c->who->presence);
    rules_filled_free(rules, c->rule_count);
    return who;
}

/* -- What modules see of the packet -- */

static const struct mqtt_connect *packet_of(const struct skep_request *r)
{
    static const struct mqtt_connect none;

    return r->connecting ? &r->connecting->packet : &none;
}

static struct skep_str give(struct str s)
{
    return skep_bytes(s.ptr, s.len);
}

struct skep_str skep_connect_client_id(const struct skep_request *r)
{
    return r->connecting && r->connecting->reauth ? give(r->connecting->who->facts.id)
                                                  : give(packet_of(r)->client_id);
}

struct skep_str skep_connect_username(const struct skep_request *r)
{
    return give(packet_of(r)->username);
}

bool skep_connect_has_username(const struct skep_request *r)
{
    return packet_of(r)->has_username;
}

struct skep_str skep_connect_password(const struct skep_request *r)
{
    return give(packet_of(r)->password);
}

bool skep_connect_has_password(const struct skep_request *r)
{
    return packet_of(r)->has_password;
}

bool skep_connect_clean_start(const struct skep_request *r)
{
    return packet_of(r)->clean_start;
}

unsigned skep_connect_keep_alive_s(const struct skep_request *r)
{
    return packet_of(r)->keep_alive;
}

/* -- What they say about the client -- */

void skep_connect_set_username(struct skep_request *r, struct skep_str username)
{
    struct connecting *c = r->connecting;

    if (!c || username.len > UINT16_MAX)
        return;
    free(c->username);
    c->username = str_dup((struct str){username.ptr, username.len});
    c->username_len = (uint32_t)username.len;
    c->stale = true;
}

static struct identity_pair *attribute_find(struct connecting *c, struct str name)
{
    for (uint16_t i = 0; i < c->attribute_count; i++) {
        if (str_eq(c->attributes[i].name, name))
            return &c->attributes[i];
    }
    return NULL;
}

int skep_connect_set_attribute(struct skep_request *r, const char *name, struct skep_str value)
{
    struct connecting *c = r->connecting;
    struct str key = str_of(name);

    if (!c)
        return SKEP_E_STATE;
    if (key.len == 0 || key.len > UINT16_MAX || value.len > ATTRIBUTE_BYTES)
        return SKEP_E_INVALID;
    struct identity_pair *pair = attribute_find(c, key);
    size_t before = pair ? pair->value.len : 0;
    size_t more = value.len + (pair ? 0 : key.len);
    if (c->attribute_bytes - before + more > ATTRIBUTE_BYTES ||
        (!pair && c->attribute_count == ATTRIBUTES_MAX))
        return SKEP_E_LIMIT;
    if (pair) {
        free((char *)pair->value.ptr);
    } else {
        pair = &c->attributes[c->attribute_count++];
        pair->name = (struct str){str_dup(key), key.len};
    }
    pair->value = (struct str){str_dup((struct str){value.ptr, value.len}), value.len};
    c->attribute_bytes += more - before;
    c->stale = true;
    return 0;
}

int skep_connect_set_quota(struct skep_request *r, enum skep_quota quota, uint64_t value)
{
    struct host_client *hc = r->client;

    if (!r->connecting || !hc)
        return SKEP_E_STATE;
    if ((unsigned)quota >= HOST_QUOTAS)
        return SKEP_E_INVALID;
    if (!hc->quotas) {
        hc->quotas = xmalloc(HOST_QUOTAS * sizeof *hc->quotas);
        for (unsigned i = 0; i < HOST_QUOTAS; i++)
            hc->quotas[i] = UINT64_MAX;
    }
    hc->quotas[quota] = value;
    return 0;
}

void skep_connect_set_expiry(struct skep_request *r, uint64_t wall_ms)
{
    if (r->connecting && r->client)
        r->client->expiry_ms = wall_ms;
}

int skep_connect_add_rule(struct skep_request *r, bool allow, unsigned actions,
                          struct skep_str filter)
{
    struct connecting *c = r->connecting;
    struct str f = {filter.ptr, filter.len};
    const unsigned all = SKEP_MAY_PUBLISH | SKEP_MAY_SUBSCRIBE | SKEP_MAY_RECEIVE | SKEP_MAY_RETAIN;

    if (!c)
        return SKEP_E_STATE;
    if (actions == 0 || (actions & ~all) || topic_filter_check(f, 0) != TOPIC_OK)
        return SKEP_E_INVALID;
    if (c->rule_count == RULES_MAX)
        return SKEP_E_LIMIT;
    if ((c->rule_count & (c->rule_count - 1)) == 0) /* full at each power of two */
        c->rules = xrealloc(c->rules, (c->rule_count ? c->rule_count * 2u : 1) * sizeof *c->rules);
    c->rules[c->rule_count++] = (struct identity_rule){
        .allow = allow, .actions = (uint8_t)actions, .filter = {str_dup(f), f.len}};
    return 0;
}

void skep_connect_set_server_reference(struct skep_request *r, struct skep_str server)
{
    struct str s = {server.ptr, server.len};

    if (!r->connecting || s.len > UINT16_MAX || !utf8_is_text(s))
        return;
    free(r->connecting->server);
    r->connecting->server = s.len > 0 ? str_dup(s) : NULL;
}

/* -- Enhanced authentication -- */

struct skep_str skep_auth_method(const struct skep_request *r)
{
    return r->connecting ? give(r->connecting->method) : give(STR_NONE);
}

struct skep_str skep_auth_data(const struct skep_request *r)
{
    return r->connecting ? give(r->connecting->data) : give(STR_NONE);
}

unsigned skep_auth_round(const struct skep_request *r)
{
    return r->connecting ? r->connecting->round : 0;
}

bool skep_auth_is_reauth(const struct skep_request *r)
{
    return r->connecting && r->connecting->reauth;
}

void skep_auth_reply(struct skep_request *r, struct skep_str data)
{
    struct connecting *c = r->connecting;

    if (!c || data.len > REPLY_MAX)
        return;
    free(c->reply);
    c->reply = data.len > 0 ? str_dup((struct str){data.ptr, data.len}) : NULL;
    c->reply_len = data.len;
}

void skep_auth_set_state(struct skep_request *r, void *state, void (*drop)(void *state))
{
    struct connecting *c = r->connecting;

    if (!c) { /* nobody will come back for it */
        if (drop)
            drop(state);
        return;
    }
    if (c->state_module != r->module || c->state != state)
        connecting_drop_state(c);
    if (!c->state_module && r->module)
        instance_hold(r->module);
    c->state_module = r->module;
    c->state = state;
    c->state_drop = drop;
}

void *skep_auth_state(const struct skep_request *r)
{
    const struct connecting *c = r->connecting;

    return c && c->state_module == r->module ? c->state : NULL;
}
