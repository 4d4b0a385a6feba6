#include "store/fold.h"

#include <stdlib.h>

#include "base/hash.h"
#include "base/mem.h"
#include "store/fold_impl.h"
#include "store/octets.h"

struct fold *fold_new(void)
{
    return xcalloc(1, sizeof(struct fold));
}

void fold_free(struct fold **fold)
{
    struct fold *f = *fold;

    if (!f)
        return;
    free(f->sessions.buckets);
    free(f->entries.buckets);
    free(f->changes.buckets);
    arena_fini(&f->arena);
    free(f);
    *fold = NULL;
}

struct fold_stats fold_stats(const struct fold *f)
{
    return f->stats;
}

/* -- Hash maps, chained through the first member -- */

struct node {
    struct node *chain;
};

typedef uint64_t node_hash_fn(const void *node);

static uint64_t mix(uint64_t a, uint64_t b)
{
    return hash_fold(a ^ 0x9e3779b97f4a7c15ull, b ^ 0xc2b2ae3d27d4eb4full);
}

static uint64_t session_hash(const void *node)
{
    return mix(((const struct fold_session *)node)->number, 1);
}

static uint64_t entry_hash(const void *node)
{
    const struct fold_entry *e = node;
    return mix(e->session->number, e->counter);
}

static uint64_t change_key_hash(enum table table, struct str key)
{
    return hash_bytes_with((uint64_t)table, key.ptr, key.len);
}

static uint64_t change_hash(const void *node)
{
    const struct fold_change *c = node;
    return change_key_hash(c->table, c->key);
}

static void map_grow(struct fold_map *m, node_hash_fn *hash)
{
    size_t cap = m->cap ? m->cap * 2 : 256;
    void **buckets = xcalloc(cap, sizeof *buckets);

    for (size_t i = 0; i < m->cap; i++) {
        for (struct node *n = m->buckets[i], *next; n; n = next) {
            void **place = &buckets[hash(n) & (cap - 1)];
            next = n->chain;
            n->chain = *place;
            *place = n;
        }
    }
    free(m->buckets);
    m->buckets = buckets;
    m->cap = cap;
}

static struct node *map_first(const struct fold_map *m, uint64_t hash)
{
    return m->cap ? m->buckets[hash & (m->cap - 1)] : NULL;
}

static void map_add(struct fold_map *m, void *node, node_hash_fn *hash)
{
    if (m->count >= m->cap)
        map_grow(m, hash);
    void **place = &m->buckets[hash(node) & (m->cap - 1)];
    ((struct node *)node)->chain = *place;
    *place = node;
    m->count++;
}

static void map_remove(struct fold_map *m, void *node, node_hash_fn *hash)
{
    void **place = &m->buckets[hash(node) & (m->cap - 1)];

    while (*place != node)
        place = (void **)&((struct node *)*place)->chain;
    *place = ((struct node *)node)->chain;
    m->count--;
}

/* -- Finding or making -- */

static struct fold_session *session_of(struct fold *f, uint64_t number)
{
    struct fold_session wanted = {.number = number};
    struct node *n = map_first(&f->sessions, session_hash(&wanted));

    for (; n; n = n->chain) {
        if (((struct fold_session *)n)->number == number)
            return (struct fold_session *)n;
    }
    struct fold_session *s = ARENA_NEW(&f->arena, struct fold_session);
    s->number = number;
    map_add(&f->sessions, s, session_hash);
    return s;
}

static struct fold_entry *entry_of(struct fold *f, struct fold_session *s, uint64_t counter)
{
    struct fold_entry wanted = {.session = s, .counter = counter};
    struct node *n = map_first(&f->entries, entry_hash(&wanted));

    if (counter >= s->tail)
        s->tail = counter + 1;
    for (; n; n = n->chain) {
        struct fold_entry *e = (struct fold_entry *)n;
        if (e->session == s && e->counter == counter)
            return e;
    }
    struct fold_entry *e = f->free_entries;
    if (e)
        f->free_entries = e->chain;
    else
        e = ARENA_NEW(&f->arena, struct fold_entry);
    *e = wanted;
    map_add(&f->entries, e, entry_hash);
    return e;
}

static void entry_cancel(struct fold *f, struct fold_entry *e)
{
    map_remove(&f->entries, e, entry_hash);
    e->chain = f->free_entries;
    f->free_entries = e;
    f->stats.cancelled++;
}

static void change(struct fold *f, struct fold_session *s, enum table table,
                   const struct table_key *key, struct str value)
{
    struct node *n = map_first(&f->changes, change_key_hash(table, key_str(key)));

    for (; n; n = n->chain) {
        struct fold_change *c = (struct fold_change *)n;
        if (c->table == table && str_eq(c->key, key_str(key))) {
            c->value = value;
            return;
        }
    }
    struct fold_change *c = ARENA_NEW(&f->arena, struct fold_change);
    c->session = s;
    c->table = table;
    c->key = arena_str(&f->arena, key_str(key));
    c->value = value;
    map_add(&f->changes, c, change_hash);
}

/* -- Records -- */

static void session_part(struct fold *f, struct fold_session *s, enum session_part part,
                         struct str value)
{
    struct table_key key = {.len = 0};

    key_u64(&key, s->number);
    key_u8(&key, part);
    change(f, s, TABLE_SESSIONS, &key, value);
}

static void add_received(struct fold *f, uint64_t number, uint16_t packet_id, bool gone)
{
    struct table_key key = {.len = 0};

    key_u64(&key, number);
    key_u16(&key, packet_id);
    change(f, session_of(f, number), TABLE_RECEIVED, &key, gone ? STR_NONE : STR(""));
}

static void add_target(struct fold *f, struct fold_message *m, const struct record_target *t)
{
    struct fold_session *s = session_of(f, t->session);

    if (s->ended)
        return;
    struct fold_entry *e = entry_of(f, s, t->counter);
    f->stats.queued++;
    if (e->done) { /* its ACK was handed over first, perhaps its RELEASE in an earlier stretch */
        e->over = true;
        f->stats.cancelled++;
        return;
    }
    e->target = *t;
    if (!e->released) {
        e->message = m;
        m->refs++;
    }
}

static void add_pub(struct fold *f, const struct record *r, const struct record_body *body)
{
    const struct record_pub *pub = &body->pub;
    struct fold_message *m = ARENA_NEW(&f->arena, struct fold_message);

    m->lsn = r->lsn;
    m->bytes = (struct str){r->body.ptr + 16, record_message_size(&pub->message)};
    for (uint32_t i = 0; i < pub->target_count; i++) {
        struct record_target t = record_target_at(pub, i);
        add_target(f, m, &t);
    }
    if (body->flags & RECORD_KEEP) {
        struct table_key key = {.len = 0};
        key_text(&key, pub->message.topic);
        change(f, NULL, TABLE_RETAINED, &key, pub->message.payload.len ? m->bytes : STR_NONE);
    }
    if (body->flags & RECORD_INBOUND)
        add_received(f, pub->origin, pub->packet_id, false);
    if (body->flags & RECORD_FROM_WILL)
        session_part(f, session_of(f, pub->origin), SESSION_WILL, STR_NONE);
}

static void add_ack(struct fold *f, const struct record_run *run)
{
    struct fold_session *s = session_of(f, run->session);

    for (uint64_t c = run->first; !s->ended && c < run->first + run->count; c++) {
        struct fold_entry *e = entry_of(f, s, c);
        if (e->message)
            e->message->refs--;
        if (e->message && e->target.qos == 2) { /* a RELEASE may be in an earlier stretch */
            e->message = NULL;
            e->done = e->over = true;
            f->stats.cancelled++;
        } else if (e->message) {
            entry_cancel(f, e);
        } else if (e->released && e->target.session) { /* began within this stretch */
            entry_cancel(f, e);
        } else {
            e->done = true;
        }
    }
}

static void add_release(struct fold *f, const struct record_run *run)
{
    struct fold_session *s = session_of(f, run->session);

    for (uint64_t c = run->first; !s->ended && c < run->first + run->count; c++) {
        struct fold_entry *e = entry_of(f, s, c);
        if (e->message)
            e->message->refs--;
        e->message = NULL;
        e->released = true;
    }
}

static void add_sub(struct fold *f, const struct record *r, const struct record_sub *sub)
{
    struct table_key key = {.len = 0};

    key_u64(&key, sub->number);
    key_text(&key, sub->filter);
    change(f, session_of(f, sub->number), TABLE_SUBS, &key,
           r->type == RECORD_SUB ? r->body : STR_NONE);
}

static void add_session(struct fold *f, const struct record *r, uint64_t number)
{
    struct fold_session *s = session_of(f, number);

    s->begun = true;
    if (number > f->last_number)
        f->last_number = number;
    session_part(f, s, SESSION_HEAD, r->body);
    session_part(f, s, SESSION_AWAY, STR_NONE);
}

int fold_record(void *fold, const struct record *r, const struct record_body *body)
{
    struct fold *f = fold;

    f->stats.records++;
    switch (r->type) {
    case RECORD_PUB:
        add_pub(f, r, body);
        break;
    case RECORD_ACK:
        add_ack(f, &body->run);
        break;
    case RECORD_RELEASE:
        add_release(f, &body->run);
        break;
    case RECORD_RECEIVED:
        add_received(f, body->received.session, body->received.packet_id, r->flags & RECORD_GONE);
        break;
    case RECORD_SESSION:
        add_session(f, r, body->session.number);
        break;
    case RECORD_END:
        session_of(f, body->end)->ended = true;
        break;
    case RECORD_AWAY:
        session_part(f, session_of(f, body->away.number), SESSION_AWAY, r->body);
        break;
    case RECORD_SUB:
    case RECORD_UNSUB:
        add_sub(f, r, &body->sub);
        break;
    case RECORD_WILL:
        session_part(f, session_of(f, body->will.number), SESSION_WILL,
                     r->flags & RECORD_GONE ? STR_NONE : r->body);
        break;
    case RECORD_COMMIT:
        f->moment = body->commit.moment;
        break;
    default:
        break;
    }
    return 0;
}
