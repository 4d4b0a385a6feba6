/* Inside ask.h: the parts that ask.c, desk.c and ask_options.c share. */
#ifndef LIB_HTTP_DECISION_ASK_IMPL_H
#define LIB_HTTP_DECISION_ASK_IMPL_H

#include <skep/loop.h>
#include <skep/metric.h>

#include "lib_http_decision/ask.h"
#include "lib_http_decision/memory.h"

enum { ASK_MAGIC = 0x0a5cba5e, DESK_BUCKETS = 1024, DESK_BURST = 8 };

enum outcome { OUT_ALLOW, OUT_DENY, OUT_IGNORE, OUT_BAD, OUT_TIMEOUT, OUT_FAILED, OUT_COUNT };
enum shortcut {
    SHORT_HIT,
    SHORT_MISS,
    SHORT_STALE,
    SHORT_JOINED,
    SHORT_OPEN,
    SHORT_BUSY,
    SHORT_COUNT
};

/* One who waits.  The client's loop's. */
struct waiter {
    struct waiter *next, **link; /* in its flight; link NULL: in none any more */
    struct ask *ask;
    uint64_t token;
    struct answer *answer; /* counted; NULL: there was none */
};

/* One request to the backend, on its way or queued. */
struct flight {
    struct flight *chain, *queued;
    struct desk *desk;
    unsigned char key[QUESTION_KEY];
    struct waiter *waiters;
    struct memory *memory; /* counted: the one that was asked */
    struct rendered rendered;
    uint32_t ticket;
    bool dry; /* for `skepctl explain` alone: leaves no trace */
};

/* What one loop has under way.  That loop's. */
struct desk {
    struct ask *ask;
    struct flight *flights[DESK_BUCKETS]; /* by their keys */
    struct flight *first, **last;         /* the queue */
    unsigned running, queued;
    unsigned loop;  /* its number */
    unsigned burst; /* sent in this turn of the loop, at most DESK_BURST */
    bool pumping;   /* a task is under way that begins the next turn's */
};

struct ask {
    unsigned magic;
    struct skep_module *module;
    const struct ask_conf *conf;
    const struct ask_kind *kind;
    struct question *question;
    _Atomic(struct memory *) memory; /* own, or handed on; both are held */
    struct memory *own, *inherited;
    struct desk *desks;
    unsigned desk_count;
    struct skep_counter *outcomes[OUT_COUNT], *shortcuts[SHORT_COUNT];
    struct skep_gauge *state, *waiting;
    struct skep_histogram *latency;
};

/* desk.c: has the question asked for w (which has its token): joins a flight, begins one, or
 * answers w at once with nothing. */
void desk_ask(struct desk *d, struct waiter *w, const unsigned char key[QUESTION_KEY],
              struct rendered *rendered, bool dry);
void desk_fini(struct desk *d);
/* Whether one more question would have no place. */
bool desk_is_full(const struct desk *d);
/* That question is on its way already. */
bool desk_has(const struct desk *d, const unsigned char key[QUESTION_KEY]);

/* Takes it out of its flight and frees it. */
void waiter_free(struct waiter *w);

static inline struct memory *ask_memory(struct ask *a)
{
    return atomic_load_explicit(&a->memory, memory_order_acquire);
}

/* The templates, as configured; NULL: complained. */
struct question *ask_question(const struct ask_conf *conf, const struct ask_kind *kind,
                              struct skep_report *report);
void ask_metrics(struct ask *a);
/* The breaker opened or closed: alarm, metric, log. */
void ask_tell_breaker(struct ask *a);

#endif
