/* The subscribers of one node: the first in the node itself, the others in chunks of seven.
 *
 * A subscriber never changes its place, or a walk might see it twice or miss it; a removed
 * one leaves a hole that the next one fills.  Places are numbered in the order of the walk: chunk n
 * holds 7 n to 7 n + 6.  Chunk 0 is in the list's head, chunk n > 0 in block log2(n), and
 * block b has 2^b chunks, so that a number leads to its place in two steps.
 *
 * Above SCAN_MAX subscribers a table (target -> number) spares looking through them.  When three
 * quarters are holes, those who are left move to a new list, which replaces the old at
 * once: a walk sees one or the other.  Either is whole. */
#include <malloc.h>
#include <stdlib.h>

#include "base/mem.h"
#include "core/subs_node.h"

enum { PER_CHUNK = 7, BLOCKS = 26, SCAN_MAX = 32, NOWHERE = UINT32_MAX };

struct sub_big {
    struct sub_chunk *blocks[BLOCKS];
    uint32_t *holes;
    uint32_t hole_count, hole_room;
    /* Number + 1 by target, linear probing; NULL up to SCAN_MAX.  Only writers look. */
    uint32_t *table;
    uint32_t table_mask;
};

struct sub_list {
    struct sub_chunk first; /* must come first: a walk starts here */
    struct sub_big *big;    /* once there is more than one chunk */
    uint32_t filled;        /* numbers given out; some may be holes */
    uint32_t live;
};

static uint64_t target_bits(const void *target)
{
    return (uint64_t)(uintptr_t)target;
}

uint64_t sub_block_bytes(void *block)
{
    return malloc_usable_size(block) + 8;
}

static void *block_new(size_t count, size_t size, uint64_t *bytes)
{
    void *block = xcalloc(count, size);
    *bytes += sub_block_bytes(block);
    return block;
}

static void block_free(void *block, uint64_t *bytes)
{
    if (block)
        *bytes -= sub_block_bytes(block);
    free(block);
}

static struct sub_chunk *chunk_at(struct sub_list *list, uint32_t chunk)
{
    if (chunk == 0)
        return &list->first;
    unsigned block = 31 - (unsigned)__builtin_clz(chunk);
    return &list->big->blocks[block][chunk - (1u << block)];
}

static _Atomic uint64_t *place_at(struct sub_list *list, uint32_t number)
{
    return &chunk_at(list, number / PER_CHUNK)->entries[number % PER_CHUNK];
}

static uint64_t entry_get(const _Atomic uint64_t *place)
{
    return atomic_load_explicit(place, memory_order_relaxed);
}

static void entry_set(_Atomic uint64_t *place, uint64_t entry)
{
    atomic_store_explicit(place, entry, memory_order_release);
}

/* -- The table of a big list -- */

static uint32_t table_home(const struct sub_big *big, uint64_t target)
{
    return (uint32_t)hash_fold(target ^ hash_key[0], hash_key[1]) & big->table_mask;
}

static void table_put(struct sub_big *big, uint64_t target, uint32_t number)
{
    uint32_t at = table_home(big, target);
    while (big->table[at])
        at = (at + 1) & big->table_mask;
    big->table[at] = number + 1;
}

static void table_build(struct sub_list *list, uint32_t size, uint64_t *bytes)
{
    struct sub_big *big = list->big;

    block_free(big->table, bytes);
    big->table = block_new(size, sizeof *big->table, bytes);
    big->table_mask = size - 1;
    for (uint32_t n = 0; n < list->filled; n++) {
        uint64_t entry = entry_get(place_at(list, n));
        if (entry)
            table_put(big, entry >> 16, n);
    }
}

/* Where in the table target stands, or NOWHERE. */
static uint32_t table_find(struct sub_list *list, uint64_t target)
{
    struct sub_big *big = list->big;
    for (uint32_t at = table_home(big, target); big->table[at]; at = (at + 1) & big->table_mask)
        if (entry_get(place_at(list, big->table[at] - 1)) >> 16 == target)
            return at;
    return NOWHERE;
}

/* Closes the gap at `at`, so that the table needs no marks.  The entries still stand. */
static void table_remove(struct sub_list *list, uint32_t at)
{
    struct sub_big *big = list->big;
    uint32_t next = at;

    for (;;) {
        next = (next + 1) & big->table_mask;
        if (!big->table[next])
            break;
        uint64_t target = entry_get(place_at(list, big->table[next] - 1)) >> 16;
        uint32_t home = table_home(big, target);
        /* It may move back to `at` unless its home lies between the two. */
        if (((next - home) & big->table_mask) >= ((next - at) & big->table_mask)) {
            big->table[at] = big->table[next];
            at = next;
        }
    }
    big->table[at] = 0;
}

/* -- The list -- */

static uint32_t list_find(struct sub_list *list, uint64_t target)
{
    if (list->big && list->big->table) {
        uint32_t at = table_find(list, target);
        return at == NOWHERE ? NOWHERE : list->big->table[at] - 1;
    }
    for (uint32_t n = 0; n < list->filled; n++)
        if (entry_get(place_at(list, n)) >> 16 == target)
            return n;
    return NOWHERE;
}

/* A number for a new subscriber: a hole if there is one, else the next; makes its chunk. */
static uint32_t number_take(struct sub_list *list, uint64_t *bytes)
{
    if (list->live < list->filled && list->big)
        return list->big->holes[--list->big->hole_count];
    if (list->live < list->filled)
        for (uint32_t n = 0; n < list->filled; n++)
            if (!entry_get(place_at(list, n)))
                return n;

    uint32_t number = list->filled++, chunk = number / PER_CHUNK;
    if (number % PER_CHUNK == 0 && chunk > 0) {
        unsigned block = 31 - (unsigned)__builtin_clz(chunk);
        ASSERT(block < BLOCKS);
        if (!list->big)
            list->big = block_new(1, sizeof *list->big, bytes);
        if (!list->big->blocks[block])
            list->big->blocks[block] =
                block_new((size_t)1 << block, sizeof(struct sub_chunk), bytes);
    }
    return number;
}

/* No hole is ever missed: big comes with the first number after all of chunk 0 is taken. */
static void hole_note(struct sub_list *list, uint32_t number, uint64_t *bytes)
{
    struct sub_big *big = list->big;

    if (big->hole_count == big->hole_room) {
        uint32_t room = big->hole_room ? big->hole_room * 2 : 8;
        uint32_t *holes = block_new(room, sizeof *holes, bytes);
        if (big->hole_count)
            memcpy(holes, big->holes, big->hole_count * sizeof *holes);
        block_free(big->holes, bytes);
        big->holes = holes;
        big->hole_room = room;
    }
    big->holes[big->hole_count++] = number;
}

static void list_put(struct sub_list *list, uint64_t entry, uint64_t *bytes)
{
    uint32_t number = number_take(list, bytes), chunk = number / PER_CHUNK;
    struct sub_chunk *c = chunk_at(list, chunk);

    entry_set(&c->entries[number % PER_CHUNK], entry);
    if (number + 1 == list->filled && number % PER_CHUNK == 0 && chunk > 0)
        atomic_store_explicit(&chunk_at(list, chunk - 1)->next, c, memory_order_release);
    list->live++;
    if (!list->big || list->live <= SCAN_MAX)
        return;
    if (!list->big->table || list->live > list->big->table_mask / 4 * 3)
        table_build(list, list->big->table ? 2 * (list->big->table_mask + 1) : 128, bytes);
    else
        table_put(list->big, entry >> 16, number);
}

static void list_free(void *arg)
{
    struct sub_list *list = arg;

    if (list->big) {
        for (unsigned b = 0; b < BLOCKS; b++)
            free(list->big->blocks[b]);
        free(list->big->holes);
        free(list->big->table);
        free(list->big);
    }
    free(list);
}

static uint64_t list_bytes(struct sub_list *list)
{
    uint64_t bytes = sub_block_bytes(list);

    if (list->big) {
        bytes += sub_block_bytes(list->big);
        for (unsigned b = 0; b < BLOCKS && list->big->blocks[b]; b++)
            bytes += sub_block_bytes(list->big->blocks[b]);
        if (list->big->holes)
            bytes += sub_block_bytes(list->big->holes);
        if (list->big->table)
            bytes += sub_block_bytes(list->big->table);
    }
    return bytes;
}

/* Makes `next` (may be NULL) the node's list and lets the old one go. */
static void list_replace(struct sub_node *node, struct qsbr_slot *slot, struct sub_list *next,
                         uint64_t *bytes)
{
    struct sub_list *old = node->list;

    atomic_store_explicit(&node->list, next, memory_order_release);
    *bytes -= list_bytes(old);
    qsbr_retire(slot, old, list_free);
}

static void list_shrink(struct sub_node *node, struct qsbr_slot *slot, uint64_t *bytes)
{
    struct sub_list *list = node->list, *fresh = NULL;

    if (list->live > 0) {
        fresh = block_new(1, sizeof *fresh, bytes);
        for (uint32_t n = 0; n < list->filled; n++) {
            uint64_t entry = entry_get(place_at(list, n));
            if (entry)
                list_put(fresh, entry, bytes);
        }
    }
    list_replace(node, slot, fresh, bytes);
}

static bool list_remove(struct sub_list *list, uint64_t target, uint64_t *bytes)
{
    uint32_t number;

    if (list->big && list->big->table) {
        uint32_t at = table_find(list, target);
        if (at == NOWHERE)
            return false;
        number = list->big->table[at] - 1;
        table_remove(list, at);
    } else {
        number = list_find(list, target);
        if (number == NOWHERE)
            return false;
    }
    entry_set(place_at(list, number), 0);
    list->live--;
    if (list->big)
        hole_note(list, number, bytes);
    return true;
}

bool sub_list_put(struct sub_node *node, struct qsbr_slot *slot, uint64_t entry, uint64_t *bytes)
{
    struct sub_list *list = node->list;
    uint64_t first = entry_get(&node->entry);
    uint32_t number;

    if (first >> 16 == entry >> 16) {
        entry_set(&node->entry, entry);
        return false;
    }
    if (list && (number = list_find(list, entry >> 16)) != NOWHERE) {
        entry_set(place_at(list, number), entry);
        return false;
    }
    if (!first) {
        entry_set(&node->entry, entry);
    } else if (list) {
        list_put(list, entry, bytes);
    } else {
        list = block_new(1, sizeof *list, bytes);
        list_put(list, entry, bytes);
        atomic_store_explicit(&node->list, list, memory_order_release);
    }
    atomic_fetch_add_explicit(&node->count, 1, memory_order_relaxed);
    return true;
}

bool sub_list_remove(struct sub_node *node, struct qsbr_slot *slot, const void *target,
                     uint64_t *bytes)
{
    struct sub_list *list = node->list;
    uint64_t first = entry_get(&node->entry);

    if (first && first >> 16 == target_bits(target)) {
        entry_set(&node->entry, 0);
    } else {
        if (!list || !list_remove(list, target_bits(target), bytes))
            return false;
        if (list->live == 0 || (list->filled > SCAN_MAX && list->live < list->filled / 4))
            list_shrink(node, slot, bytes);
    }
    atomic_fetch_sub_explicit(&node->count, 1, memory_order_relaxed);
    return true;
}

void sub_list_free(struct sub_node *node)
{
    if (node->list)
        list_free(node->list);
}

uint32_t sub_node_count(const struct sub_node *node)
{
    return atomic_load_explicit(&node->count, memory_order_relaxed);
}

struct sub_walk sub_walk_begin(struct sub_node *node)
{
    struct sub_list *list = atomic_load_explicit(&node->list, memory_order_acquire);
    return (struct sub_walk){
        .entry = &node->entry,
        .end = &node->entry + 1,
        .next = list ? &list->first : NULL,
    };
}
