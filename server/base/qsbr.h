/* Quiescent-state reclamation: readers of shared structures pay nothing.
 *
 * Every thread that reads (each loop, and main while it changes things) owns a
 * `struct qsbr_slot`.  A loop calls qsbr_quiescent() once a turn, when it holds no
 * pointer into shared structures, and brackets its sleep with qsbr_offline() and
 * qsbr_online().  A writer unlinks an object and calls qsbr_retire(); the object is
 * freed once every online thread has passed a quiescent state since.
 *
 * Threads: retire from any thread that owns a slot; callbacks run on the retiring
 * thread, from its own qsbr_quiescent(). */
#ifndef SKEP_BASE_QSBR_H
#define SKEP_BASE_QSBR_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

typedef void qsbr_free_fn(void *object);

struct qsbr_item {
    void *object;
    qsbr_free_fn *fn;
    uint64_t epoch;
};

struct qsbr_slot {
    _Atomic uint64_t seen; /* epoch at the last quiescent state; 0 while offline */
    struct qsbr_slot *next;
    struct qsbr_item *items; /* retired by this thread, oldest first */
    size_t head, count, cap;
};

/* The slot starts online.  _leave runs what this thread retired once it is safe
 * (waiting for the others) and unlinks the slot. */
void qsbr_join(struct qsbr_slot *slot);
void qsbr_leave(struct qsbr_slot *slot);

void qsbr_quiescent(struct qsbr_slot *slot);
void qsbr_offline(struct qsbr_slot *slot);
void qsbr_online(struct qsbr_slot *slot);

void qsbr_retire(struct qsbr_slot *slot, void *object, qsbr_free_fn *fn);

/* Waits until all other threads have passed a quiescent state.  The caller must
 * hold no shared pointer; for start, stop and tests, never on a loop. */
void qsbr_synchronize(struct qsbr_slot *slot);

#endif
