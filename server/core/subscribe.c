#include "core/subscribe.h"

#include "base/err.h"
#include "core/broker.h"
#include "core/share.h"
#include "mqtt/topic.h"

/* What a filter hangs on, if this broker knows it at all. */
static void *key_of(struct worker *w, struct str filter)
{
    struct str name, rest;

    if (topic_share_split(filter, &name, &rest))
        return share_find(w, name, rest);
    return subs_find(w->broker->subs, filter);
}

static void *index_add(struct worker *w, struct session *s, const struct subscribe_request *r,
                       unsigned options, bool *existed)
{
    struct str name, rest;

    if (topic_share_split(r->filter, &name, &rest))
        return share_join(w, s, name, rest, options, r->id, existed);
    return subs_add(w->broker->subs, w->slot, r->filter, s, options, existed);
}

int session_subscribe(struct worker *w, struct session *s, const struct subscribe_request *r,
                      bool *existed)
{
    struct str name, rest;
    uint64_t most = w->limits->max_subscriptions;
    unsigned options = r->options | (r->id ? SUB_HAS_ID : 0u);
    struct subscription sub = {.id = r->id, .retain_handling = r->retain_handling};

    if (r->most && (!most || r->most < most))
        most = r->most;
    if (most && s->subs.count >= most) {
        void *key = key_of(w, r->filter);
        if (!key || !subtable_find(&s->subs, key))
            return ERR_LIMIT;
    }
    sub.options = (uint8_t)(options | (topic_share_split(r->filter, &name, &rest) ? SUB_GROUP : 0));

    /* Held across both: who meets the new entry in the index may ask for its identifier. */
    lock_take(&s->subs.lock);
    sub.key = index_add(w, s, r, options, existed);
    struct subscription *there = subtable_find(&s->subs, sub.key);
    if (there)
        *there = sub;
    else
        subtable_put(&s->subs, &sub);
    lock_drop(&s->subs.lock);
    journal_subscribed(w, s, r);
    return 0;
}

static void index_remove(struct worker *w, struct session *s, const struct subscription *sub)
{
    if (sub->options & SUB_GROUP)
        share_leave(w, s, sub->key);
    else
        subs_remove(w->broker->subs, w->slot, sub->key, s);
}

bool session_unsubscribe(struct worker *w, struct session *s, struct str filter)
{
    void *key = key_of(w, filter);
    struct subscription *sub = key ? subtable_find(&s->subs, key) : NULL;

    if (!sub)
        return false;
    struct subscription gone = *sub;
    lock_take(&s->subs.lock);
    subtable_remove(&s->subs, key);
    lock_drop(&s->subs.lock);
    index_remove(w, s, &gone);
    journal_unsubscribed(w, s, filter);
    return true;
}

void session_unsubscribe_all(struct worker *w, struct session *s)
{
    struct subtable old = {0};

    lock_take(&s->subs.lock);
    old.slots = s->subs.slots;
    old.cap = s->subs.cap;
    s->subs.slots = NULL;
    s->subs.count = s->subs.cap = 0;
    lock_drop(&s->subs.lock);
    for (uint32_t i = 0; i < old.cap; i++) {
        if (old.slots[i].key)
            index_remove(w, s, &old.slots[i]);
    }
    subtable_fini(&old);
}

void session_each_subscription(struct session *s,
                               void (*each)(void *arg, struct str filter,
                                            const struct subscription *sub),
                               void *arg)
{
    for (uint32_t i = 0; i < s->subs.cap; i++) {
        const struct subscription *sub = &s->subs.slots[i];
        if (sub->key)
            each(arg, sub->options & SUB_GROUP ? share_filter(sub->key) : sub_node_filter(sub->key),
                 sub);
    }
}
