/* Asking the modules of a chain, one after the other, until one has an opinion.
 *
 *     request_run ──> call ──> heard ──┬── next ────────────> (the next module, or nobody())
 *                                      ├── an opinion ──────> decided
 *                                      └── pending ─────────> (returns)  ... request_resume
 *
 * on_message is no question: there ALLOW and NEXT both mean "go on". */
#include "host/verdict.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "core/worker.h"
#include "host/connecting.h"
#include "host/decide.h"
#include "host/note.h"
#include "host/services.h"
#include "host/wait.h"

enum { SAMPLE = 256, TEXT_MAX = 1024 }; /* one call in SAMPLE is timed */

typedef enum skep_verdict hook_fn(struct skep_request *r, void *self);

/* A look, and no jump: this is done for every message. */
static hook_fn *hook_of(const struct skep_descriptor *d, unsigned stage)
{
    static const uint16_t places[] = {
        [SKEP_STAGE_CONNECT] = offsetof(struct skep_descriptor, on_connect),
        [SKEP_STAGE_AUTH] = offsetof(struct skep_descriptor, on_auth),
        [SKEP_STAGE_SUBSCRIBE] = offsetof(struct skep_descriptor, on_subscribe),
        [SKEP_STAGE_PUBLISH] = offsetof(struct skep_descriptor, on_publish),
        [SKEP_STAGE_WILL] = offsetof(struct skep_descriptor, on_will),
        [SKEP_STAGE_DELIVER] = offsetof(struct skep_descriptor, on_deliver),
        [SKEP_STAGE_MESSAGE] = offsetof(struct skep_descriptor, on_message),
    };
    hook_fn *hook = *(hook_fn *const *)((const char *)d + places[stage]);

    return hook ? hook : d->on_publish; /* on_will left out */
}

/* -- Counting -- */

static void bump(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

static struct hook_stats *stats_of(const struct skep_request *r, const struct skep_module *m)
{
    static _Thread_local struct hook_stats nobodys;
    const struct host_place *p = r->place;

    if (UNLIKELY(r->dry))
        return &nobodys;
    unsigned at = p->index != HOST_MANAGEMENT ? p->index : p->host->loop_count;

    return &m->stats[at].hooks[r->stage];
}

static void took(struct hook_stats *st, uint64_t began_ns)
{
    uint64_t us = (clock_mono_ns() - began_ns) / 1000;
    unsigned bucket = 0;

    while (bucket < INSTANCE_BUCKETS - 1 && us > UINT64_C(1) << bucket)
        bucket++;
    bump(&st->latency[bucket], 1);
    bump(&st->latency_us, us);
}

/* -- One module -- */

static enum skep_verdict call(struct skep_request *r, struct skep_module *m)
{
    struct hook_stats *st = stats_of(r, m);
    uint64_t calls = atomic_load_explicit(&st->calls, memory_order_relaxed), began_ns = 0;
    struct host_place *p = r->place;
    struct blame before = {p->asked, p->hook};

    atomic_store_explicit(&st->calls, calls + 1, memory_order_relaxed);
    r->module = m;
    r->cacheable = false;
    if (UNLIKELY(calls % SAMPLE == 0))
        began_ns = clock_mono_ns();
    p->asked = m;
    p->hook = stage_hook_name(r->stage);
    enum skep_verdict v = hook_of(m->d, r->stage)(r, m->self);
    p->asked = before.asked;
    p->hook = before.hook;
    if (UNLIKELY(began_ns) && v != SKEP_PENDING)
        took(st, began_ns);
    return v;
}

static void list_waiting(struct skep_request *r)
{
    struct host_client *hc = r->client;

    if (r->listed || !hc)
        return;
    r->next = hc->waiting;
    r->link = &hc->waiting;
    if (r->next)
        r->next->link = &r->next;
    hc->waiting = r;
    r->listed = true;
}

static bool makes_sense(const struct skep_request *r, enum skep_verdict v)
{
    switch (v) {
    case SKEP_NEXT:
    case SKEP_ALLOW:
    case SKEP_DENY:
    case SKEP_ERROR:
        return true;
    case SKEP_CONTINUE:
        return r->stage == SKEP_STAGE_AUTH;
    case SKEP_DROP:
        return r->stage == SKEP_STAGE_PUBLISH || r->stage == SKEP_STAGE_MESSAGE ||
               r->stage == SKEP_STAGE_WILL;
    default:
        return false;
    }
}

/* The reason when a module could not tell. */
static uint8_t reason_of_error(const struct skep_request *r)
{
    return r->stage == SKEP_STAGE_CONNECT || r->stage == SKEP_STAGE_AUTH ? SKEP_RC_UNAVAILABLE
                                                                         : SKEP_RC_NOT_AUTHORIZED;
}

static enum skep_verdict failed(struct skep_request *r, const char *note)
{
    struct skep_module *m = r->module;

    bump(&stats_of(r, m)->errors, 1);
    r->reason = reason_of_error(r);
    r->text = STR_NONE;
    if (!r->note_text)
        r->note_text = note;
    log_limited(LOG_LEVEL_WARN, "host", "module %s: %s: %s, so on_error decides: %s", m->name,
                stage_hook_name(r->stage), note, verdict_name(m->on_error));
    return m->on_error == SKEP_ERROR ? SKEP_DENY : m->on_error;
}

/* True: that is all for now; false: the next module is asked. */
static bool pending(struct skep_request *r)
{
    r->verdict = SKEP_PENDING;
    r->not_cacheable = true;
    if (!r->asked_ns)
        r->asked_ns = clock_mono_ns();
    r->waited = true;
    list_waiting(r);
    return true;
}

static void decided(struct skep_request *r, enum skep_verdict v);

static void forget_note(struct skep_request *r)
{
    r->note_file = r->note_text = NULL;
    r->note_line = 0;
}

/* The module that is asked said so; r->module. */
static bool heard(struct skep_request *r, enum skep_verdict v)
{
    struct hook_stats *st = stats_of(r, r->module);

    if (UNLIKELY(v == SKEP_PENDING)) {
        if (r->wait)
            return pending(r);
        /* A will that is being sent: what was said at CONNECT holds. */
        v = r->would_wait && r->stage == SKEP_STAGE_WILL ? SKEP_ALLOW : SKEP_ERROR;
    } else if (UNLIKELY(!makes_sense(r, v))) {
        v = SKEP_ERROR;
    }
    if (UNLIKELY(r->wait != NULL))
        wait_cancel(r); /* it waits for something, and answers all the same */
    if (UNLIKELY(r->asked_ns)) {
        bump(&st->pending_ended, 1);
        took(st, r->asked_ns);
        r->asked_ns = 0;
        r->deadline_ms = 0;
    }
    if (UNLIKELY(r->dry) && r->client)
        r->client->ops->step(r->client->owner, r, v);
    if (UNLIKELY(v == SKEP_ERROR))
        v = failed(r, "it cannot tell");
    r->not_cacheable |= !r->cacheable;
    if (v == SKEP_ALLOW)
        bump(&st->allowed, 1);
    else if (v == SKEP_DENY || v == SKEP_DROP)
        bump(&st->denied, 1);
    if (v == SKEP_NEXT || (v == SKEP_ALLOW && r->stage == SKEP_STAGE_MESSAGE)) {
        r->reason = 0;
        r->text = STR_NONE;
        forget_note(r);
        return false;
    }
    decided(r, v);
    return true;
}

/* -- The chain -- */

static void decided(struct skep_request *r, enum skep_verdict v)
{
    r->verdict = (uint8_t)v;
    if (v == SKEP_DENY && r->reason < 0x80)
        r->reason = SKEP_RC_NOT_AUTHORIZED;
    note_decision(r);
}

void request_decide(struct skep_request *r, enum skep_verdict verdict, uint8_t reason,
                    const char *note)
{
    r->module = NULL;
    r->reason = reason;
    r->note_file = NULL;
    r->note_line = 0;
    r->note_text = note;
    decided(r, verdict);
}

/* Nobody had an opinion. */
static void nobody(struct skep_request *r, const struct chain *chain)
{
    bool allow;

    switch (r->stage) {
    case SKEP_STAGE_AUTH:
        request_decide(r, SKEP_DENY, SKEP_RC_BAD_AUTH_METHOD, "no module knows the method");
        return;
    case SKEP_STAGE_MESSAGE:
        r->verdict = SKEP_ALLOW;
        return;
    case SKEP_STAGE_CONNECT:
        allow = r->connecting->otherwise;
        request_decide(r, allow ? SKEP_ALLOW : SKEP_DENY, SKEP_RC_NOT_AUTHORIZED,
                       allow ? "no module objects, and the listener lets it in"
                             : "no module vouches for it");
        return;
    case SKEP_STAGE_DELIVER:
        allow = chain->deliver_allow;
        break;
    default:
        allow = chain->acl_allow;
    }
    request_decide(r, allow ? SKEP_ALLOW : SKEP_DENY, SKEP_RC_NOT_AUTHORIZED, "acl_default");
}

/* The chain was swapped while somebody waited: go on behind the module that has its name now, or,
 * if there is none, from the beginning. */
static void find_place(struct skep_request *r, const struct chain *chain)
{
    const struct chain_stage *stage = &chain->stages[r->stage];

    r->chain_number = chain->number;
    r->not_cacheable = true;
    for (unsigned i = 0; r->module && i < stage->count; i++) {
        if (strcmp(stage->modules[i]->name, r->module->name) == 0) {
            r->at = i + 1;
            return;
        }
    }
    r->at = 0;
}

void request_run(struct skep_request *r)
{
    const struct chain *chain = chain_now(r->chain);
    const struct chain_stage *stage = &chain->stages[r->stage];

    if (r->at == 0) {
        r->chain_number = chain->number;
        r->generation = atomic_load_explicit(&r->place->host->verdicts, memory_order_acquire);
    } else if (r->chain_number != chain->number) {
        find_place(r, chain);
    }
    while (r->at < stage->count) {
        struct skep_module *m = stage->modules[r->at++];
        if (UNLIKELY(r->internal) && !(m->d->flags & SKEP_SEE_INTERNAL))
            continue;
        if (heard(r, call(r, m)))
            return;
    }
    nobody(r, chain);
}

static void go_on(struct skep_request *r, enum skep_verdict v)
{
    if (!heard(r, v))
        request_run(r);
    if (r->verdict != SKEP_PENDING && r->client)
        r->client->ops->decided(r->client->owner, r);
}

void request_resume(struct skep_request *r, enum skep_verdict v)
{
    go_on(r, v);
}

void request_timed_out(struct skep_request *r)
{
    struct hook_stats *st = stats_of(r, r->module);

    bump(&st->timeouts, 1);
    bump(&st->pending_ended, 1);
    took(st, r->asked_ns);
    r->asked_ns = 0;
    r->deadline_ms = 0;
    go_on(r, failed(r, "no answer within decision_timeout"));
}

/* The client left while the module was still thinking. */
void request_cancelled(struct skep_request *r)
{
    struct hook_stats *st = stats_of(r, r->module);

    bump(&st->cancelled, 1);
    bump(&st->pending_ended, 1);
    if (r->asked_ns)
        took(st, r->asked_ns);
}

/* -- What modules call -- */

enum skep_stage skep_stage(const struct skep_request *r)
{
    return (enum skep_stage)r->stage;
}

struct skep_module *skep_request_module(const struct skep_request *r)
{
    return r->module;
}

const struct skep_client *skep_request_client(const struct skep_request *r)
{
    return request_who(r);
}

bool skep_request_is_dry(const struct skep_request *r)
{
    return r->dry;
}

enum skep_verdict skep_allow(struct skep_request *r)
{
    return SKEP_ALLOW;
}

enum skep_verdict skep_deny(struct skep_request *r, enum skep_reason reason, const char *text)
{
    r->reason = (uint8_t)reason;
    r->text = request_text(r, text, TEXT_MAX);
    return SKEP_DENY;
}

enum skep_verdict skep_drop(struct skep_request *r, const char *why)
{
    r->text = request_text(r, why, TEXT_MAX);
    return SKEP_DROP;
}

void skep_note(struct skep_request *r, const char *file, unsigned line, const char *text)
{
    r->note_file = file;
    r->note_line = line;
    r->note_text = text;
}

void skep_cacheable(struct skep_request *r)
{
    r->cacheable = true;
}

void skep_forget_verdicts(struct skep_module *m)
{
    atomic_fetch_add(&m->host->verdicts, 1);
}
