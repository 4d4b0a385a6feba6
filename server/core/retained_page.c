#include <malloc.h>
#include <stdlib.h>

#include "base/mem.h"
#include "core/retained_tree.h"

/* A child on its way into a new page. */
struct entry {
    uint64_t hash, link; /* link without its sixteen hash bits */
};

/* -- Words -- */

static uint64_t link_piece(uint64_t hash, unsigned depth)
{
    return hash << depth >> 48;
}

static uint64_t word_load(const _Atomic uint64_t *link)
{
    return atomic_load_explicit(link, memory_order_acquire);
}

/* Stops exchanges at this word for good; what it holds then, unfrozen. */
static uint64_t word_freeze(_Atomic uint64_t *link)
{
    return atomic_fetch_or_explicit(link, LINK_FROZEN, memory_order_acq_rel) & ~LINK_FROZEN;
}

struct str link_level(uint64_t link, size_t offset)
{
    struct tree_node *n = link_node(link);
    struct str level;

    if (n)
        return node_text(n);
    struct levels l = levels_from(message_topic(link_message(link)), offset);
    ASSERT(level_next(&l, &level));
    return level;
}

static bool link_is(uint64_t link, size_t offset, struct str level)
{
    struct tree_node *n = link_node(link);

    if (n)
        return str_eq(node_text(n), level);
    struct str topic = message_topic(link_message(link));
    size_t end = offset + level.len;
    return topic.len >= end && memcmp(topic.ptr + offset, level.ptr, level.len) == 0 &&
           (topic.len == end || topic.ptr[end] == '/');
}

/* -- Memory -- */

void *tree_alloc(struct retained *r, size_t size)
{
    void *block = xmalloc(size);
    atomic_fetch_add_explicit(&r->tree_bytes, malloc_usable_size(block) + 8, memory_order_relaxed);
    return block;
}

void tree_release(struct retained *r, struct qsbr_slot *slot, void *block)
{
    if (!block)
        return;
    atomic_fetch_sub_explicit(&r->tree_bytes, malloc_usable_size(block) + 8, memory_order_relaxed);
    if (slot)
        qsbr_retire(slot, block, free);
    else
        free(block);
}

static struct tree_page *page_alloc(struct retained *r, unsigned count, unsigned depth)
{
    struct tree_page *p = tree_alloc(r, sizeof *p + count * sizeof p->links[0]);
    p->count = (uint16_t)count;
    p->depth = (uint8_t)depth;
    return p;
}

/* -- Directory -- */

static struct tree_dir *dir_of(uintptr_t children)
{
    return (children & 1) ? (struct tree_dir *)(children & ~(uintptr_t)1) : NULL;
}

static uintptr_t children_of(const struct tree_node *n)
{
    return atomic_load_explicit(&n->children, memory_order_acquire);
}

static size_t dir_index(const struct tree_dir *dir, uint64_t hash)
{
    return dir->depth ? hash >> (64 - dir->depth) : 0;
}

/* The page that holds what has this hash; NULL when the node has no children. */
static struct tree_page *page_for(const struct tree_node *n, uint64_t hash)
{
    uintptr_t children = children_of(n);
    struct tree_dir *dir = dir_of(children);

    if (!dir)
        return (struct tree_page *)children;
    return atomic_load_explicit(&dir->pages[dir_index(dir, hash)], memory_order_acquire);
}

static void dir_publish(struct tree_node *n, struct tree_dir *dir)
{
    atomic_store_explicit(&n->children, (uintptr_t)dir | 1, memory_order_release);
}

static struct tree_dir *dir_alloc(struct retained *r, unsigned depth)
{
    struct tree_dir *dir = tree_alloc(r, sizeof *dir + (sizeof dir->pages[0] << depth));
    dir->depth = (uint8_t)depth;
    dir->full = 0;
    return dir;
}

/* Copies addresses only: at a million children a look at every page would take 2 ms. */
static void dir_grow(struct retained *r, struct qsbr_slot *slot, struct tree_node *n)
{
    struct tree_dir *old = dir_of(n->children);
    ASSERT(!old || old->depth < DEPTH_MAX);
    struct tree_dir *dir = dir_alloc(r, old ? old->depth + 1u : 1);

    for (size_t i = 0; i < (size_t)1 << dir->depth; i++)
        atomic_init(&dir->pages[i], old ? old->pages[i / 2] : (struct tree_page *)n->children);
    dir_publish(n, dir);
    tree_release(r, slot, old);
}

/* Half as deep, which every page allows. */
static struct tree_dir *dir_halve(struct retained *r, struct tree_dir *old)
{
    struct tree_dir *dir = dir_alloc(r, old->depth - 1u);

    for (size_t i = 0; i < (size_t)1 << dir->depth; i++) {
        struct tree_page *p = old->pages[2 * i];
        atomic_init(&dir->pages[i], p);
        dir->full += p->depth == dir->depth;
    }
    return dir;
}

static void dir_shrink(struct retained *r, struct qsbr_slot *slot, struct tree_node *n)
{
    struct tree_dir *old;

    while ((old = dir_of(n->children)) && old->full == 0) {
        if (old->depth == 1)
            atomic_store_explicit(&n->children, (uintptr_t)old->pages[0], memory_order_release);
        else
            dir_publish(n, dir_halve(r, old));
        tree_release(r, slot, old);
    }
}

/* Puts a page where those of its hash range are looked up. */
static void page_publish(struct tree_node *n, uint64_t hash, struct tree_page *p)
{
    struct tree_dir *dir = dir_of(n->children);

    if (!dir) {
        atomic_store_explicit(&n->children, (uintptr_t)p, memory_order_release);
        return;
    }
    size_t span = (size_t)1 << (dir->depth - p->depth);
    size_t first = dir_index(dir, hash) & ~(span - 1);
    for (size_t i = 0; i < span; i++)
        atomic_store_explicit(&dir->pages[first + i], p, memory_order_release);
}

/* -- Finding -- */

/* The first word whose piece is not below. */
static unsigned page_lower(const struct tree_page *p, uint64_t piece)
{
    unsigned low = 0, high = p->count;

    while (low < high) {
        unsigned middle = (low + high) / 2;
        if ((word_load(&p->links[middle]) & 0xffff) < piece)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

_Atomic uint64_t *links_find(const struct tree_node *n, size_t offset, uint64_t hash,
                             struct str level)
{
    struct tree_page *p = page_for(n, hash);
    if (!p)
        return NULL;
    uint64_t piece = link_piece(hash, p->depth);

    for (unsigned i = page_lower(p, piece); i < p->count; i++) {
        uint64_t link = word_load(&p->links[i]);
        if ((link & 0xffff) != piece)
            break;
        if (link_is(link, offset, level))
            return &p->links[i];
    }
    return NULL;
}

/* -- Adding -- */

/* The order of children: by hash, then (never, but for 64-bit collisions) by bytes. */
static bool entry_before(const struct entry *a, const struct entry *b, size_t offset)
{
    if (a->hash != b->hash)
        return a->hash < b->hash;
    struct str x = link_level(a->link, offset), y = link_level(b->link, offset);
    int order = memcmp(x.ptr, y.ptr, x.len < y.len ? x.len : y.len);
    return order ? order < 0 : x.len < y.len;
}

static struct tree_page *page_build(struct retained *r, const struct entry *e, unsigned count,
                                    unsigned depth)
{
    struct tree_page *p = page_alloc(r, count, depth);
    for (unsigned i = 0; i < count; i++)
        atomic_init(&p->links[i], e[i].link | link_piece(e[i].hash, depth));
    return p;
}

/* Splits until both halves fit; the node's directory grows on the way. */
static void page_split(struct retained *r, struct qsbr_slot *slot, struct tree_node *n,
                       const struct entry *e, unsigned count, unsigned depth)
{
    struct tree_dir *dir = dir_of(n->children);

    if (count <= PAGE_MAX) {
        page_publish(n, e[0].hash, page_build(r, e, count, depth));
        if (dir)
            dir->full += depth == dir->depth;
        return;
    }
    if (!dir || depth == dir->depth) {
        dir_grow(r, slot, n);
        dir = dir_of(n->children);
        /* The page to be split is still in it, but counted as shallower than it. */
    }
    unsigned low = 0;
    while (low < count && !(e[low].hash << depth >> 63))
        low++;
    uint64_t prefix = depth ? e[0].hash >> (64 - depth) << (64 - depth) : 0;
    uint64_t bit = (uint64_t)1 << (63 - depth);
    if (low == 0 || low == count) {
        /* All on one side: the other gets an empty page. */
        struct tree_page *empty = page_alloc(r, 0, depth + 1);
        page_publish(n, low ? prefix | bit : prefix, empty);
        dir->full += depth + 1 == dir->depth;
        page_split(r, slot, n, e, count, depth + 1);
        return;
    }
    page_split(r, slot, n, e, low, depth + 1);
    page_split(r, slot, n, e + low, count - low, depth + 1);
}

void links_add(struct retained *r, struct qsbr_slot *slot, struct tree_node *n, size_t offset,
               uint64_t hash, uint64_t link)
{
    struct tree_page *old = page_for(n, hash);
    unsigned depth = old ? old->depth : 0, count = old ? old->count : 0;
    struct entry fresh = {hash, link};

    n->count++;
    if (count < PAGE_MAX) {
        /* Words keep their pieces; only equals of the new one's need their hash. */
        struct tree_page *p = page_alloc(r, count + 1, depth);
        uint64_t piece = link_piece(hash, depth);
        unsigned at = 0, i;
        for (i = 0; i < count; i++) {
            uint64_t word = word_freeze(&old->links[i]);
            struct entry there = {.link = word & ~(uint64_t)0xffff};
            bool before = (word & 0xffff) < piece;
            if ((word & 0xffff) == piece) {
                there.hash = level_hash(link_level(word, offset));
                before = entry_before(&there, &fresh, offset);
            }
            at = before ? i + 1 : at;
            atomic_init(&p->links[before ? i : i + 1], word);
        }
        atomic_init(&p->links[at], link | piece);
        page_publish(n, hash, p);
    } else {
        struct entry e[PAGE_MAX + 1];
        unsigned filled = 0;
        bool placed = false;
        for (unsigned i = 0; i < count; i++) {
            uint64_t word = word_freeze(&old->links[i]);
            struct entry there = {level_hash(link_level(word, offset)), word & ~(uint64_t)0xffff};
            if (!placed && entry_before(&fresh, &there, offset)) {
                e[filled++] = fresh;
                placed = true;
            }
            e[filled++] = there;
        }
        if (!placed)
            e[filled++] = fresh;
        struct tree_dir *dir = dir_of(n->children);
        if (dir)
            dir->full -= depth == dir->depth;
        page_split(r, slot, n, e, filled, depth);
    }
    tree_release(r, slot, old);
}

/* -- Removing -- */

/* Joins a page with its other half when both are nearly empty; false when not. */
static bool page_merge(struct retained *r, struct qsbr_slot *slot, struct tree_node *n,
                       uint64_t hash)
{
    struct tree_page *p = page_for(n, hash);
    if (!p || p->depth == 0)
        return false;
    uint64_t bit = (uint64_t)1 << (64 - p->depth);
    struct tree_page *other = page_for(n, hash ^ bit);
    if (other->depth != p->depth || p->count + other->count > PAGE_MAX / 2)
        return false;

    struct tree_dir *dir = dir_of(n->children);
    struct tree_page *halves[2] = {hash & bit ? other : p, hash & bit ? p : other};
    struct tree_page *joined = page_alloc(r, p->count + other->count, p->depth - 1u);
    unsigned filled = 0;
    for (unsigned h = 0; h < 2; h++) {
        for (unsigned i = 0; i < halves[h]->count; i++) {
            uint64_t word = word_freeze(&halves[h]->links[i]);
            uint64_t piece = (uint64_t)h << 15 | (word & 0xffff) >> 1;
            atomic_init(&joined->links[filled++], (word & ~(uint64_t)0xffff) | piece);
        }
    }
    if (p->depth == dir->depth)
        dir->full -= 2;
    page_publish(n, hash, joined);
    tree_release(r, slot, p);
    tree_release(r, slot, other);
    dir_shrink(r, slot, n);
    return true;
}

uint64_t links_remove(struct retained *r, struct qsbr_slot *slot, struct tree_node *n,
                      uint64_t hash, const _Atomic uint64_t *link)
{
    struct tree_page *old = page_for(n, hash), *p = NULL;
    uint64_t removed = 0;
    unsigned filled = 0;

    if (old->count > 1 || old->depth > 0)
        p = page_alloc(r, old->count - 1u, old->depth);
    for (unsigned i = 0; i < old->count; i++) {
        uint64_t word = word_freeze(&old->links[i]);
        if (&old->links[i] == link)
            removed = word;
        else
            atomic_init(&p->links[filled++], word);
    }
    ASSERT(removed);
    n->count--;
    page_publish(n, hash, p);
    tree_release(r, slot, old);
    while (page_merge(r, slot, n, hash))
        ;
    return removed;
}

uint64_t links_freeze_only(struct tree_node *n)
{
    /* Merging has left a node with so few children without a directory. */
    struct tree_page *p = (struct tree_page *)n->children;
    ASSERT(n->count == 1 && !dir_of(n->children) && p->count == 1);
    return word_freeze(&p->links[0]);
}

void links_free(struct retained *r, struct qsbr_slot *slot, struct tree_node *n)
{
    struct tree_dir *dir = dir_of(n->children);

    if (!dir) {
        tree_release(r, slot, (struct tree_page *)n->children);
        return;
    }
    size_t size = (size_t)1 << dir->depth;
    for (size_t i = 0; i < size;) {
        struct tree_page *p = dir->pages[i];
        i += (size_t)1 << (dir->depth - p->depth);
        tree_release(r, slot, p);
    }
    tree_release(r, slot, dir);
}

/* -- Walking -- */

static void walk_enter(struct links_walk *w, const struct tree_node *n, size_t offset,
                       uint64_t from)
{
    struct tree_page *p = page_for(n, from);

    *w = (struct links_walk){.page = p};
    if (!p)
        return;
    if (p->depth) {
        uint64_t span = (uint64_t)1 << (64 - p->depth);
        w->next = (from & ~(span - 1)) + span; /* 0 behind the last */
    }
    uint64_t piece = link_piece(from, p->depth);
    w->index = page_lower(p, piece);
    /* Those with the same piece may be below, if from has bits that the piece has not. */
    if (from << p->depth << 16 == 0)
        return;
    for (; w->index < p->count; w->index++) {
        uint64_t link = word_load(&p->links[w->index]);
        if ((link & 0xffff) != piece || level_hash(link_level(link, offset)) >= from)
            break;
    }
}

struct links_walk links_walk(const struct tree_node *n, size_t offset, uint64_t from)
{
    struct links_walk w;
    walk_enter(&w, n, offset, from);
    return w;
}

uint64_t links_next(struct links_walk *w, const struct tree_node *n, size_t offset)
{
    enum { AHEAD = 4 };

    while (w->page && w->index == w->page->count) {
        if (w->next == 0)
            return 0;
        walk_enter(w, n, offset, w->next);
    }
    if (!w->page)
        return 0;
    if (w->index + AHEAD < w->page->count)
        __builtin_prefetch((void *)(uintptr_t)(word_load(&w->page->links[w->index + AHEAD]) >> 16));
    return word_load(&w->page->links[w->index++]);
}
