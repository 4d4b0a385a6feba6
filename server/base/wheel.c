/* Placement follows the bits: the level is where due and now differ in their highest 6-bit
 * digit.  Hence at each level only slots ahead of now's own digit are used, all slots of a
 * level come before any of the level above, and the next slot to open is the lowest set
 * bit of the lowest level in use. */
#include "base/wheel.h"

#include <stddef.h>

#include "base/mem.h"

enum { DIGIT = 6 };

static const uint64_t due_max = ((uint64_t)1 << (DIGIT * WHEEL_LEVELS)) - 1;

static void list_init(struct wheel_timer *head)
{
    head->next = head->prev = head;
}

static void list_append(struct wheel_timer *head, struct wheel_timer *t)
{
    t->prev = head->prev;
    t->next = head;
    head->prev->next = t;
    head->prev = t;
}

static void list_unlink(struct wheel_timer *t)
{
    t->prev->next = t->next;
    t->next->prev = t->prev;
    t->next = t->prev = NULL;
}

/* Moves all of from behind to. */
static void list_splice(struct wheel_timer *to, struct wheel_timer *from)
{
    if (from->next == from)
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

void wheel_init(struct wheel *w, uint64_t now_ms)
{
    *w = (struct wheel){.now_ms = now_ms};
    list_init(&w->ready);
    for (unsigned level = 0; level < WHEEL_LEVELS; level++)
        for (unsigned slot = 0; slot < WHEEL_SLOTS; slot++)
            list_init(&w->slots[level][slot]);
}

void wheel_kind(struct wheel *w, unsigned kind, wheel_fn *fn, void *arg)
{
    ASSERT(kind < WHEEL_KINDS);
    w->kinds[kind].fn = fn;
    w->kinds[kind].arg = arg;
}

static void timer_place(struct wheel *w, struct wheel_timer *t)
{
    /* At least one millisecond ahead: a callback that arms itself in the past cannot
     * keep wheel_advance busy. */
    uint64_t tick = t->due_ms > w->now_ms ? t->due_ms : w->now_ms + 1;
    unsigned level = (63 - (unsigned)__builtin_clzll(tick ^ w->now_ms)) / DIGIT;
    ASSERT(level < WHEEL_LEVELS);
    unsigned slot = (unsigned)(tick >> (level * DIGIT)) % WHEEL_SLOTS;

    list_append(&w->slots[level][slot], t);
    w->used[level] |= (uint64_t)1 << slot;
}

void wheel_add(struct wheel *w, struct wheel_timer *timer, uint64_t due_ms)
{
    if (due_ms > due_max)
        due_ms = due_max;
    if (wheel_armed(timer)) {
        bool later = due_ms >= timer->due_ms;
        timer->due_ms = due_ms;
        if (later)
            return;
        list_unlink(timer);
        w->armed--;
    }
    ASSERT(timer->kind < WHEEL_KINDS && w->kinds[timer->kind].fn);
    timer->due_ms = due_ms;
    timer_place(w, timer);
    w->armed++;
}

void wheel_cancel(struct wheel *w, struct wheel_timer *timer)
{
    if (!wheel_armed(timer))
        return;
    list_unlink(timer);
    w->armed--;
}

/* The time at which the next slot opens, the slot in *list; forgets bits of slots that
 * cancelling has emptied. */
static uint64_t slot_next(struct wheel *w, struct wheel_timer **list)
{
    for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
        while (w->used[level]) {
            unsigned slot = (unsigned)__builtin_ctzll(w->used[level]);
            struct wheel_timer *head = &w->slots[level][slot];
            if (head->next != head) {
                uint64_t above = w->now_ms >> ((level + 1) * DIGIT) << ((level + 1) * DIGIT);
                *list = head;
                return above | (uint64_t)slot << (level * DIGIT);
            }
            w->used[level] &= w->used[level] - 1;
        }
    }
    return WHEEL_NEVER;
}

/* One timer off the ready list: fires it, or finds it a nearer or (moved since) later slot. */
static bool ready_take(struct wheel *w)
{
    struct wheel_timer *t = w->ready.next;

    list_unlink(t);
    if (t->due_ms > w->now_ms) {
        timer_place(w, t);
        return false;
    }
    w->armed--;
    w->kinds[t->kind].fn(w->kinds[t->kind].arg, t);
    return true;
}

unsigned wheel_advance(struct wheel *w, uint64_t now_ms, unsigned most)
{
    unsigned calls = 0;

    while (most > 0) {
        if (w->ready.next != &w->ready) {
            calls += ready_take(w);
            most--;
            continue;
        }
        struct wheel_timer *list = NULL;
        uint64_t opens = slot_next(w, &list);
        if (opens > now_ms) {
            if (now_ms > w->now_ms)
                w->now_ms = now_ms;
            break;
        }
        w->now_ms = opens;
        list_splice(&w->ready, list);
    }
    return calls;
}

uint64_t wheel_next_due_ms(struct wheel *w)
{
    struct wheel_timer *list;

    if (w->ready.next != &w->ready)
        return w->now_ms;
    return slot_next(w, &list);
}
