#include "core/spill.h"

#include <stdlib.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "core/broker.h"
#include "core/event.h"
#include "core/restore.h"
#include "core/session.h"
#include "store/store.h"

enum {
    READ_MOST = 4096,     /* messages in one slice, */
    READ_BYTES = 1 << 20, /* and about so many bytes */
    GAP_MOST = 65000,     /* counters that q1 may span; see outflow.c, window_of() */
    SQUEEZED = 16,        /* messages a part keeps in memory when that is scarce */
};

struct queue_read {
    struct session *session; /* pinned */
    uint64_t number;
    uint64_t from, upto; /* counters: where to begin, where the disk's part ends */
    uint64_t sent;       /* as in struct spill */
    uint32_t most;
    bool fold; /* the tables may not have it yet */
    unsigned worker;
    /* The result. */
    struct load_result *entries;
    uint32_t count, cap;
    bool failed;
    uint64_t now_ms; /* for expiries: the worker's clock, and the store's */
    int64_t offset_ms;
    uint64_t shared; /* of the last message */
};

struct load_result {
    uint64_t counter;
    struct entry entry;
};

/* -- Sizes -- */

static uint64_t memory_messages(const struct worker *w)
{
    bool scarce = atomic_load_explicit(&w->broker->squeeze, memory_order_relaxed);
    return scarce && w->limits->queue_memory_messages > SQUEEZED ? SQUEEZED
                                                                 : w->limits->queue_memory_messages;
}

static bool part_full(const struct worker *w, uint64_t count, uint64_t bytes)
{
    return count >= memory_messages(w) || (count > 0 && bytes >= w->limits->queue_memory_bytes);
}

static uint64_t last_count(const struct spill *sp)
{
    return sp->last.tail - sp->last.head;
}

uint64_t spill_waiting(const struct outbox *out)
{
    return out->spill ? out->spill->count + last_count(out->spill) : 0;
}

uint64_t spill_bytes(const struct outbox *out)
{
    return out->spill ? out->spill->disk_bytes + out->spill->last_bytes : 0;
}

/* -- Adding -- */

bool spill_wanted(const struct worker *w, const struct session *s)
{
    const struct outbox *out = s->out;

    if (!session_written(w, s))
        return false;
    return out->spill || out->q1.tail - out->q1.head >= GAP_MOST ||
           part_full(w, fifo_waiting(&out->q1), out->q1_bytes);
}

static struct spill *spill_of(struct outbox *out)
{
    if (!out->spill) {
        struct spill *sp = out->spill = xcalloc(1, sizeof *sp);
        sp->from = out->q1.tail;
        sp->last.head = sp->last.next = sp->last.fresh = sp->last.tail = out->q1.tail;
    }
    return out->spill;
}

/* The oldest of `last` leaves memory: the store has it. */
static void evict(struct spill *sp)
{
    struct entry *e = fifo_at(&sp->last, sp->last.head);
    size_t size = message_size(e->message);

    message_unref(e->message);
    sp->last_bytes -= size;
    sp->disk_bytes += size;
    sp->count++;
    sp->last.next = sp->last.fresh = ++sp->last.head;
}

struct entry *spill_push(struct worker *w, struct session *s, const struct entry *entry,
                         uint64_t *counter)
{
    struct spill *sp = spill_of(s->out);

    while (last_count(sp) > 0 && part_full(w, last_count(sp), sp->last_bytes))
        evict(sp);
    struct entry *e = fifo_push(&sp->last);
    *e = *entry;
    *counter = sp->last.tail - 1;
    sp->last_bytes += message_size(entry->message);
    return e;
}

void spill_restore(struct session *s, uint64_t first, uint64_t count, uint64_t tail, uint64_t bytes)
{
    struct spill *sp = spill_of(s->out);

    sp->from = first;
    sp->count = count;
    sp->disk_bytes = bytes;
    sp->folded = tail;
    sp->last.head = sp->last.next = sp->last.fresh = sp->last.tail = tail;
}

/* -- Giving way -- */

static void drop_from_disk(struct spill *sp)
{
    sp->disk_bytes -= sp->disk_bytes / sp->count;
    sp->from++;
    if (--sp->count == 0)
        sp->from = sp->last.head;
}

bool spill_drop_oldest(struct worker *w, struct session *s)
{
    struct spill *sp = s->out->spill;

    if (!sp || spill_waiting(s->out) == 0)
        return false;
    if (sp->count > 0) {
        journal_done(w, s, sp->from, RECORD_DROPPED);
        drop_from_disk(sp);
        return true;
    }
    journal_done(w, s, sp->last.head, RECORD_DROPPED);
    evict(sp);
    drop_from_disk(sp);
    return true;
}

uint64_t spill_fini(struct spill **spill, void (*each)(void *arg, struct entry *e), void *arg)
{
    struct spill *sp = *spill;
    uint64_t on_disk = sp->count;

    for (uint64_t i = sp->last.head; i != sp->last.tail; i++)
        each(arg, fifo_at(&sp->last, i));
    fifo_fini(&sp->last);
    free(sp);
    *spill = NULL;
    return on_disk;
}

/* -- Going on -- */

/* Makes q1's tail that counter: what lies between was dropped.  False: not yet, for its oldest
 * message is still open and ids must stay unique. */
static bool reach(struct fifo *f, uint64_t counter)
{
    if (fifo_empty(f)) {
        f->head = f->next = f->fresh = f->tail = counter;
        return true;
    }
    if (counter - f->head >= GAP_MOST)
        return false;
    if (f->tail != counter) {
        while (f->tail != counter)
            *fifo_push(f) = (struct entry){.state = ENTRY_DONE};
        f->fresh = counter;
    }
    return true;
}

static bool q1_append(struct outbox *out, uint64_t counter, const struct entry *e)
{
    if (!reach(&out->q1, counter))
        return false;
    *fifo_push(&out->q1) = *e;
    out->q1_bytes += message_size(e->message);
    return true;
}

static bool move_last(struct worker *w, struct outbox *out)
{
    struct spill *sp = out->spill;
    bool moved = false;

    while (last_count(sp) > 0 && !part_full(w, fifo_waiting(&out->q1), out->q1_bytes)) {
        struct entry *e = fifo_at(&sp->last, sp->last.head);
        if (!q1_append(out, sp->last.head, e))
            return moved;
        sp->last_bytes -= message_size(e->message);
        sp->last.next = sp->last.fresh = ++sp->last.head;
        sp->from = sp->last.head;
        moved = true;
    }
    if (last_count(sp) == 0 && sp->last.head == out->q1.tail) {
        fifo_fini(&sp->last);
        free(sp);
        out->spill = NULL;
    }
    return moved;
}

static void ask(struct worker *w, struct session *s)
{
    struct spill *sp = s->out->spill;
    uint64_t room = memory_messages(w);
    bool ready = sp->folded > sp->from; /* a part at least, with nothing missing */
    struct queue_read *r = xcalloc(1, sizeof *r);

    *r = (struct queue_read){
        .session = s,
        .number = s->serial,
        .from = sp->from,
        .sent = sp->sent,
        .upto = ready && sp->folded < sp->last.head ? sp->folded : sp->last.head,
        .most = room < READ_MOST ? (uint32_t)room : READ_MOST,
        .fold = !ready,
        .worker = w->index,
        .now_ms = w->now_ms,
        .offset_ms = w->broker->store_offset_ms,
    };
    sp->reading = true;
    session_pin(s);
    w->broker->ops->read_queue(w->broker->ops_arg, r);
}

bool spill_refill(struct worker *w, struct session *s)
{
    struct outbox *out = s->out;
    struct spill *sp = out->spill;

    if (!sp || fifo_waiting(&out->q1) > memory_messages(w) / 2)
        return false;
    if (sp->count == 0)
        return move_last(w, out);
    bool reachable = fifo_empty(&out->q1) || sp->from - out->q1.head < GAP_MOST;
    if (!sp->reading && reachable && w->journal.store)
        ask(w, s);
    return false;
}

/* -- Reading back -- */

unsigned queue_read_worker(const struct queue_read *r)
{
    return r->worker;
}

static int keep_result(void *arg, const struct load_entry *e)
{
    struct queue_read *r = arg;
    struct message *m;

    if (e->target.counter >= r->upto)
        return 1; /* that is in memory */
    if (e->released)
        return 0; /* cannot be: it was never sent */
    if (e->shared && e->shared == r->shared && r->count > 0) {
        m = r->entries[r->count - 1].entry.message;
        message_ref(m, 1);
    } else if (!(m = restored_message(&e->message, r->now_ms, r->offset_ms))) {
        return ERR_MEMORY; /* asked again later */
    }
    r->shared = e->shared;
    if (r->count == r->cap) {
        r->cap = r->cap ? r->cap * 2 : 256;
        r->entries = xrealloc(r->entries, r->cap * sizeof *r->entries);
    }
    r->entries[r->count++] = (struct load_result){e->target.counter,
                                                  {.message = m,
                                                   .sub_id = e->target.sub_id,
                                                   .qos = e->target.qos & 3,
                                                   .retain = e->target.retain,
                                                   .state = ENTRY_WAITING,
                                                   .restored = e->target.counter < r->sent}};
    return 0;
}

bool queue_read_run(struct queue_read *r, struct broker *b, struct store *store)
{
    struct batch nothing = {0};
    char why[256];
    uint64_t next;

    if (r->fold) {
        journal_await_submits(b);
        uint64_t end = store_submit(store, 0, &nothing); /* of all that was handed over */
        if (store_fold(store, end, why, sizeof why) < 0) {
            r->failed = true;
            return false;
        }
    }
    r->failed =
        store_queue_read(store, r->number, r->from, r->most, READ_BYTES, keep_result, r, &next) < 0;
    return !r->failed;
}

/* The store does not have what it was given, which cannot be; a client must not wait for it. */
static void give_up(struct worker *w, struct session *s)
{
    struct spill *sp = s->out->spill;

    log_error("store", "%llu queued messages are not in the store any more",
              (unsigned long long)sp->count);
    DROPPED_MANY(w, s, sp->count, lost);
    sp->count = sp->disk_bytes = 0;
    sp->from = sp->last.head;
}

/* Takes what still belongs at the front of the disk's part. */
static void take_results(struct worker *w, struct session *s, struct queue_read *r)
{
    struct outbox *out = s->out;
    struct spill *sp = out->spill;

    sp->reading = false;
    if (r->fold && !r->failed)
        sp->folded = r->upto;
    for (uint32_t i = 0; i < r->count; i++) {
        struct load_result *got = &r->entries[i];
        if (sp->count == 0 || got->counter < sp->from || !q1_append(out, got->counter, &got->entry))
            continue; /* dropped meanwhile; or q1 is not ready for it, and asks again */
        size_t size = message_size(got->entry.message);
        got->entry.message = NULL;
        sp->disk_bytes -= size < sp->disk_bytes ? size : sp->disk_bytes;
        sp->from = got->counter + 1;
        if (--sp->count == 0)
            sp->from = sp->last.head;
    }
    if (r->count == 0 && !r->failed && sp->count > 0 && r->upto == sp->last.head)
        give_up(w, s);
    session_mark_dirty(w, s);
}

void queue_read_done(struct worker *w, struct queue_read *r)
{
    struct session *s = r->session;

    lock_take(&s->lock);
    if (s->out && s->out->spill && s->out->spill->reading)
        take_results(w, s, r);
    lock_drop(&s->lock);
    session_unpin(w, s);
    for (uint32_t i = 0; i < r->count; i++) {
        if (r->entries[i].entry.message)
            message_unref(r->entries[i].entry.message);
    }
    free(r->entries);
    free(r);
}
