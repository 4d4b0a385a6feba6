#include "core/share.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/mem.h"
#include "core/broker.h"
#include "core/event.h"
#include "mqtt/topic.h"

struct member {
    struct session *session;
    uint32_t sub_id;
    uint16_t options;
    bool denied; /* may not have the message that is being offered */
};

struct share_group {
    struct lock lock; /* guards the members; taken before a session's lock */
    uint32_t count, cap;
    uint32_t turn;     /* round robin: who is next; sticky: who it is */
    uint16_t tag;      /* names the group in queue entries; 0: all tags are taken */
    uint16_t name_len; /* text is "$share/NAME/FILTER" */
    uint16_t text_len;
    struct member *members;
    struct sub_node *node;
    struct share_group *chain; /* in shares; guarded by its mutex */
    uint64_t hash;
    char text[];
};

enum {
    SHARE_BUCKETS_FIRST = 64,
    TAGS = 65536,
    PREFIX = 7, /* "$share/" */
    MEMBER_OPTIONS = SUB_QOS | SUB_RETAIN_AS_PUBLISHED,
};

struct shares {
    pthread_mutex_t mutex;
    struct share_group **buckets;
    uint32_t bucket_count, count;
    struct share_group **by_tag; /* TAGS; allocated with the first group */
    uint16_t last_tag;
};

struct shares *shares_new(void)
{
    struct shares *sh = xcalloc(1, sizeof *sh);
    pthread_mutex_init(&sh->mutex, NULL);
    sh->bucket_count = SHARE_BUCKETS_FIRST;
    sh->buckets = xcalloc(sh->bucket_count, sizeof(struct share_group *));
    return sh;
}

static void group_release(void *object)
{
    struct share_group *g = object;
    free(g->members);
    free(g);
}

void shares_free(struct shares **sh)
{
    if (!*sh)
        return;
    for (uint32_t i = 0; i < (*sh)->bucket_count; i++) {
        while ((*sh)->buckets[i]) {
            struct share_group *g = (*sh)->buckets[i];
            (*sh)->buckets[i] = g->chain;
            group_release(g);
        }
    }
    pthread_mutex_destroy(&(*sh)->mutex);
    free((*sh)->buckets);
    free((*sh)->by_tag);
    free(*sh);
    *sh = NULL;
}

struct str share_filter(const struct share_group *g)
{
    return (struct str){g->text, g->text_len};
}

/* -- The table of groups -- */

static uint64_t key_hash(struct str name, struct str filter)
{
    return hash_bytes_with(hash_bytes(name.ptr, name.len), filter.ptr, filter.len);
}

static struct str group_name(const struct share_group *g)
{
    return (struct str){g->text + PREFIX, g->name_len};
}

static struct str group_filter(const struct share_group *g)
{
    size_t skip = PREFIX + g->name_len + 1u;
    return (struct str){g->text + skip, g->text_len - skip};
}

static struct share_group **place_of(struct shares *sh, struct str name, struct str filter,
                                     uint64_t hash)
{
    struct share_group **p = &sh->buckets[hash & (sh->bucket_count - 1)];

    while (*p && !((*p)->hash == hash && str_eq(group_name(*p), name) &&
                   str_eq(group_filter(*p), filter)))
        p = &(*p)->chain;
    return p;
}

static void table_grow(struct shares *sh)
{
    uint32_t cap = sh->bucket_count * 2;
    struct share_group **buckets = xcalloc(cap, sizeof(struct share_group *));

    for (uint32_t i = 0; i < sh->bucket_count; i++) {
        for (struct share_group *g = sh->buckets[i], *next; g; g = next) {
            next = g->chain;
            g->chain = buckets[g->hash & (cap - 1)];
            buckets[g->hash & (cap - 1)] = g;
        }
    }
    free(sh->buckets);
    sh->buckets = buckets;
    sh->bucket_count = cap;
}

/* Tags go round, so that one still standing in a queue is not given to another group soon. */
static uint16_t tag_take(struct shares *sh, struct share_group *g)
{
    if (!sh->by_tag)
        sh->by_tag = xcalloc(TAGS, sizeof(struct share_group *));
    for (uint32_t tries = 0; tries < TAGS; tries++) {
        uint16_t tag = ++sh->last_tag;
        if (tag != 0 && !sh->by_tag[tag]) {
            sh->by_tag[tag] = g;
            return tag;
        }
    }
    return 0;
}

static struct share_group *group_new(struct shares *sh, struct str name, struct str filter,
                                     uint64_t hash)
{
    size_t len = PREFIX + name.len + 1 + filter.len;
    struct share_group *g = xcalloc(1, sizeof *g + len);

    memcpy(g->text, "$share/", PREFIX);
    memcpy(g->text + PREFIX, name.ptr, name.len);
    g->text[PREFIX + name.len] = '/';
    memcpy(g->text + PREFIX + name.len + 1, filter.ptr, filter.len);
    g->name_len = (uint16_t)name.len;
    g->text_len = (uint16_t)len;
    g->hash = hash;
    g->tag = tag_take(sh, g);
    return g;
}

struct share_group *share_find(struct worker *w, struct str name, struct str filter)
{
    struct shares *sh = w->broker->shares;

    pthread_mutex_lock(&sh->mutex);
    struct share_group *g = *place_of(sh, name, filter, key_hash(name, filter));
    pthread_mutex_unlock(&sh->mutex);
    return g;
}

/* -- Members -- */

static struct member *member_find(struct share_group *g, const struct session *s)
{
    for (uint32_t i = 0; i < g->count; i++) {
        if (g->members[i].session == s)
            return &g->members[i];
    }
    return NULL;
}

static bool member_put(struct share_group *g, const struct member *m)
{
    struct member *there;
    bool existed;

    lock_take(&g->lock);
    there = member_find(g, m->session);
    existed = there != NULL;
    if (!there) {
        if (g->count == g->cap) {
            g->cap = g->cap ? g->cap * 2 : 4;
            g->members = xrealloc(g->members, g->cap * sizeof *g->members);
        }
        there = &g->members[g->count++];
    }
    *there = *m;
    lock_drop(&g->lock);
    return existed;
}

struct share_group *share_join(struct worker *w, struct session *s, struct str name,
                               struct str filter, unsigned options, uint32_t sub_id, bool *existed)
{
    struct shares *sh = w->broker->shares;
    uint64_t hash = key_hash(name, filter);

    pthread_mutex_lock(&sh->mutex);
    struct share_group **p = place_of(sh, name, filter, hash), *g = *p;
    if (!g) {
        g = *p = group_new(sh, name, filter, hash);
        if (++sh->count > sh->bucket_count)
            table_grow(sh);
    }
    *existed = member_put(
        g, &(struct member){.session = s, .sub_id = sub_id, .options = options & MEMBER_OPTIONS});
    if (!g->node) {
        bool there;
        g->node = subs_add(w->broker->subs, w->slot, filter, g, SUB_GROUP, &there);
    }
    pthread_mutex_unlock(&sh->mutex);
    return g;
}

void share_leave(struct worker *w, struct session *s, struct share_group *g)
{
    struct shares *sh = w->broker->shares;

    pthread_mutex_lock(&sh->mutex);
    lock_take(&g->lock);
    struct member *m = member_find(g, s);
    if (m)
        *m = g->members[--g->count];
    bool empty = g->count == 0;
    lock_drop(&g->lock);
    if (empty) {
        subs_remove(w->broker->subs, w->slot, g->node, g);
        *place_of(sh, group_name(g), group_filter(g), g->hash) = g->chain;
        sh->count--;
        if (g->tag)
            sh->by_tag[g->tag] = NULL;
        qsbr_retire(w->slot, g, group_release);
    }
    pthread_mutex_unlock(&sh->mutex);
}

void share_each(struct share_group *g, void (*each)(void *arg, struct session *s, unsigned options),
                void *arg)
{
    lock_take(&g->lock);
    for (uint32_t i = 0; i < g->count; i++)
        each(arg, g->members[i].session, g->members[i].options);
    lock_drop(&g->lock);
}

/* -- Choosing -- */

static uint32_t first_choice(struct worker *w, struct share_group *g, const struct publication *p)
{
    switch (w->limits->share_strategy) {
    case SHARE_STICKY:
        return g->turn % g->count;
    case SHARE_HASH:
        return (uint32_t)(hash_fold(p ? p->publisher_hash : 0, hash_key[1]) % g->count);
    case SHARE_ROUND_ROBIN:
    default:
        return g->turn++ % g->count;
    }
}

/* A member that can take the message now, is merely connected, or is away. */
enum fitness { FIT_READY, FIT_CONNECTED, FIT_AWAY, FIT_COUNT };

static enum fitness fitness_of(struct session *s)
{
    enum fitness fit = FIT_AWAY;

    lock_take(&s->lock);
    struct link *link = session_link(s);
    if (link)
        fit = link->blocked || (s->out && s->out->in_flight >= link->quota) ? FIT_CONNECTED
                                                                            : FIT_READY;
    lock_drop(&s->lock);
    return fit;
}

struct offer {
    struct message *m;
    const struct publication *p;
    const struct session *except;
    unsigned qos; /* as published */
    uint16_t tag;
};

/* As published and as granted, the lower [MQTT-4.8.2-3]; or always as granted. */
static unsigned offered_qos(const struct worker *w, const struct member *member,
                            const struct offer *offer)
{
    unsigned granted = member->options & SUB_QOS;

    return granted < offer->qos || w->limits->upgrade_outgoing_qos ? granted : offer->qos;
}

static bool offered_retain(const struct member *member, const struct offer *offer)
{
    return (member->options & SUB_RETAIN_AS_PUBLISHED) && offer->m->retain;
}

/* Who may not have the message is left out, or it would end with them. */
static void ask_members(struct worker *w, struct share_group *g, const struct offer *offer)
{
    bool guarded = atomic_load_explicit(&w->broker->receive_guarded, memory_order_relaxed);

    for (uint32_t i = 0; i < g->count; i++) {
        struct member *member = &g->members[i];
        member->denied = false;
        if (LIKELY(!guarded))
            continue;
        lock_take(&member->session->lock);
        member->denied =
            !broker_may_receive(w, member->session, offer->m, offered_qos(w, member, offer),
                                offered_retain(member, offer));
        lock_drop(&member->session->lock);
    }
}

static enum delivery offer_to(struct worker *w, const struct member *member,
                              const struct offer *offer)
{
    message_ref(offer->m, 1);
    return session_deliver(w, member->session, offer->m, offered_qos(w, member, offer),
                           offered_retain(member, offer), member->sub_id, offer->tag);
}

/* Lock held.  Walks the members from the first choice, fitter ones first.  Fitness changes
 * under our hands, so each pass also takes those that have become fitter than it wants. */
static enum delivery offer_around(struct worker *w, struct share_group *g,
                                  const struct offer *offer)
{
    uint32_t start = first_choice(w, g, offer->p);
    enum delivery how = DELIVERY_DROPPED;
    struct session *last = NULL;
    bool tried = false, denied = false;

    ask_members(w, g, offer);
    for (enum fitness want = FIT_READY; want < FIT_COUNT; want++) {
        for (uint32_t i = 0; i < g->count; i++) {
            uint32_t at = (start + i) % g->count;
            struct member *member = &g->members[at];
            if (member->session == offer->except)
                continue;
            denied |= member->denied;
            if (member->denied || fitness_of(member->session) > want)
                continue;
            if (tried) { /* what the one before refused is not an outcome of its own */
                COUNT_N(w, routed, (uint64_t)-1);
                if (how == DELIVERY_FULL)
                    COUNT_N(w, dropped_queue_full, (uint64_t)-1);
            }
            how = offer_to(w, member, offer);
            last = member->session;
            tried = true;
            if (how != DELIVERY_FULL) {
                if (w->limits->share_strategy == SHARE_STICKY)
                    g->turn = at;
                return how;
            }
        }
    }
    if (how == DELIVERY_FULL && core_wants(w, CORE_DROPPED))
        core_tell_unlocked(w, CORE_DROPPED, last, offer->m, offer->qos, "queue_full");
    if (tried || !denied)
        return tried ? how : DELIVERY_FULL;
    COUNT(w, routed);
    DROPPED(w, NULL, offer->m, offer->qos, not_authorized);
    return DELIVERY_DROPPED;
}

enum delivery share_deliver(struct worker *w, struct share_group *g, struct message *m,
                            const struct publication *p)
{
    enum delivery how = DELIVERY_DROPPED;

    lock_take(&g->lock);
    if (g->count > 0) {
        struct offer offer = {.m = m, .p = p, .qos = p->qos, .tag = g->tag};
        how = offer_around(w, g, &offer);
    }
    lock_drop(&g->lock);
    return how;
}

/* Lock held. */
static bool redeliver_in(struct worker *w, struct share_group *g, struct session *leaving,
                         const struct entry *e)
{
    uint32_t others = g->count - (member_find(g, leaving) ? 1 : 0);
    struct offer offer = {
        .m = e->message, .except = leaving, .qos = e->message->qos, .tag = g->tag};

    if (others == 0)
        return false;
    COUNT_N(w, routed, (uint64_t)-1); /* the same target, offered anew */
    journal_begin(w, e->message, 0, 0, 0);
    offer_around(w, g, &offer);
    journal_end(w);
    return true;
}

bool share_redeliver(struct worker *w, struct session *leaving, const struct entry *e)
{
    struct shares *sh = w->broker->shares;
    bool moved = false;

    pthread_mutex_lock(&sh->mutex);
    struct share_group *g = sh->by_tag ? sh->by_tag[e->share] : NULL;
    if (g && topic_matches(group_filter(g), message_topic(e->message))) {
        lock_take(&g->lock);
        moved = redeliver_in(w, g, leaving, e);
        lock_drop(&g->lock);
    }
    pthread_mutex_unlock(&sh->mutex);
    if (moved)
        message_unref(e->message);
    return moved;
}

/* -- Rights that were lost while it waited -- */

struct orphan {
    struct session *from; /* not freed before the turn is over */
    struct entry entry;
};

void share_orphan(struct worker *w, struct session *from, const struct entry *e)
{
    if (w->orphan_count == w->orphan_cap) {
        w->orphan_cap = w->orphan_cap ? w->orphan_cap * 2 : 16;
        w->orphans = xrealloc(w->orphans, w->orphan_cap * sizeof *w->orphans);
    }
    w->orphans[w->orphan_count++] = (struct orphan){from, *e};
}

void share_orphans(struct worker *w)
{
    for (uint32_t i = 0; i < w->orphan_count; i++) {
        const struct orphan *o = &w->orphans[i];
        if (share_redeliver(w, o->from, &o->entry))
            continue;
        DROPPED_UNLOCKED(w, o->from, o->entry.message, o->entry.qos, not_authorized);
        message_unref(o->entry.message);
    }
    w->orphan_count = 0;
}
