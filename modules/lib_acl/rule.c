#include "rule.h"

static bool text_fits(const struct condition *c, struct skep_str value)
{
    if (!c->prefix)
        return skep_str_eq(c->text, value);
    return value.len >= c->text.len && memcmp(value.ptr, c->text.ptr, c->text.len) == 0;
}

static bool is_plain(struct skep_str name)
{
    return !name.len || (!memchr(name.ptr, '+', name.len) && !memchr(name.ptr, '#', name.len));
}

static bool holds(const struct condition *c, const struct acl_who *who)
{
    struct net_address address;

    switch (c->kind) {
    case WHEN_USER:
        return who->has_user && text_fits(c, who->user);
    case WHEN_CLIENT:
        return text_fits(c, who->client);
    case WHEN_GROUP:
        return who->has_user && map_get(c->members, who->user);
    case WHEN_LISTENER:
        return text_fits(c, who->listener);
    case WHEN_ADDRESS:
        return net_address_parse(who->host, &address) && net_holds(&c->net, &address);
    case WHEN_ATTRIBUTE:
        return who->attribute && text_fits(c, who->attribute(who->arg, c->attribute.ptr));
    case WHEN_ANONYMOUS:
        return !who->has_user;
    case WHEN_PLAIN_NAMES:
        return is_plain(who->user) && is_plain(who->client);
    }
    return false;
}

static bool action_fits(const struct rule *r, const struct ask *ask)
{
    switch (ask->action) {
    case MAY_PUBLISH:
        return ((r->actions & MAY_PUBLISH) || (ask->retain && (r->actions & MAY_RETAIN))) &&
               ask->qos <= r->qos_max;
    case MAY_SUBSCRIBE: /* an allowed subscription gets the rule's QoS at most */
        return (r->actions & MAY_SUBSCRIBE) && (r->allow || ask->qos <= r->qos_max);
    default: /* a limit is one of the subscription, which was asked for already */
        return (r->actions & (MAY_SUBSCRIBE | MAY_RECEIVE)) && (r->allow || r->qos_max == QOS_ANY);
    }
}

static bool fits_from(const struct rule *r, const struct ask *ask, unsigned first)
{
    if (!action_fits(r, ask))
        return false;
    for (unsigned i = first; i < r->condition_count; i++) {
        const struct condition *c = &r->conditions[i];

        if (holds(c, ask->who) == c->negate)
            return false;
    }
    return true;
}

bool rule_fits(const struct rule *r, const struct ask *ask)
{
    return fits_from(r, ask, 0);
}

bool rule_fits_there(const struct rule *r, const struct ask *ask)
{
    return fits_from(r, ask, r->keyed);
}

void rule_list_add(struct rule_list *l, struct region *region, const struct rule *r)
{
    const struct rule **grown;

    if (l->count == 0) {
        l->one = r;
        l->count = 1;
        return;
    }
    if (l->count >= (l->cap ? l->cap : 1)) {
        grown = REGION_ARRAY(region, const struct rule *, l->count * 2);
        memcpy(grown, rule_list_items(l), l->count * sizeof *grown);
        l->cap = l->count * 2;
        l->many = grown;
    }
    l->many[l->count++] = r;
}
