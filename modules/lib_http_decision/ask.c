#include "lib_http_decision/ask.h"

#include <stdlib.h>

#include "lib_http_decision/ask_impl.h"

/* -- Facts -- */

static struct skep_str attribute(const void *client, const char *name)
{
    return skep_client_attribute(client, name);
}

struct inputs ask_inputs(const struct skep_client *c)
{
    static const char *const protocols[] = {"3", "4", "5"};
    struct inputs in = {.attribute = attribute, .arg = c};
    unsigned protocol = skep_client_protocol(c);

    in.values[VAR_CLIENT_ID] = skep_client_id(c);
    in.values[VAR_USERNAME] = skep_client_username(c);
    in.values[VAR_ADDRESS] = skep_client_host(c);
    in.values[VAR_LISTENER] = skep_client_listener(c);
    in.values[VAR_PROTOCOL] =
        skep_str(protocol >= 3 && protocol <= 5 ? protocols[protocol - 3] : "");
    in.values[VAR_CERT_CN] = skep_client_cert_cn(c);
    in.values[VAR_CERT_SUBJECT] = skep_client_cert_subject(c);
    return in;
}

/* -- A decision -- */

/* What an answer (NULL: there is none) means for the client. */
static enum skep_verdict conclude(struct ask *a, struct skep_request *r,
                                  const struct answer *answer, const char *whence)
{
    if (!answer) {
        skep_note(r, NULL, 0, "no answer of the backend");
        return SKEP_ERROR;
    }
    skep_note(r, NULL, 0, answer->error ? answer->error : whence);
    switch (answer->verdict) {
    case SKEP_ALLOW:
        return a->kind->apply(r, answer, a->conf);
    case SKEP_DENY:
        return skep_deny(r, answer->reason, answer->text[0] ? answer->text : NULL);
    case SKEP_NEXT:
        return SKEP_NEXT;
    default:
        return SKEP_ERROR;
    }
}

static void waiter_drop(void *data)
{
    if (data)
        waiter_free(data);
}

static enum skep_verdict on_answer(struct skep_request *r, void *self)
{
    struct waiter *w = *skep_request_data(r);
    enum skep_verdict verdict;

    *skep_request_data(r) = NULL;
    verdict = conclude(self, r, w->answer, "the backend's answer");
    waiter_free(w);
    return verdict;
}

static enum skep_verdict wait_for(struct ask *a, struct skep_request *r, struct desk *d,
                                  const unsigned char *key, struct rendered *rendered)
{
    struct waiter *w = calloc(1, sizeof *w);
    uint64_t token;

    if (!w)
        return SKEP_ERROR;
    w->ask = a;
    skep_gauge_add(a->waiting, 1);
    *skep_request_data(r) = w;
    enum skep_verdict verdict = skep_wait_token(r, &token, waiter_drop, on_answer);
    if (!token) /* it cannot wait; w is gone */
        return verdict;
    w->token = token;
    desk_ask(d, w, key, rendered, skep_request_is_dry(r));
    return verdict;
}

/* No question can be sent now: an older allow, or the reason why not. */
static enum skep_verdict refuse(struct ask *a, struct skep_request *r, const unsigned char *key,
                                enum shortcut why)
{
    struct answer *stale = cache_get_stale(ask_memory(a)->cache, key, skep_now_ms());
    enum skep_verdict verdict;

    if (!skep_request_is_dry(r))
        skep_counter_add(a->shortcuts[why], 1);
    if (stale && stale->verdict == SKEP_ALLOW) {
        if (!skep_request_is_dry(r))
            skep_counter_add(a->shortcuts[SHORT_STALE], 1);
        verdict = conclude(a, r, stale, "an expired answer, while the backend fails");
    } else if (why == SHORT_BUSY) {
        skep_note(r, NULL, 0, "too many questions wait for the backend");
        verdict = skep_deny(r, SKEP_RC_BUSY, "too many clients at once, try again later");
    } else {
        skep_note(r, NULL, 0, "the circuit breaker is open");
        verdict = SKEP_ERROR;
    }
    answer_unref(stale);
    return verdict;
}

static enum skep_verdict use_cached(struct ask *a, struct skep_request *r, struct answer *answer)
{
    enum skep_verdict verdict;

    if (!skep_request_is_dry(r))
        skep_counter_add(a->shortcuts[SHORT_HIT], 1);
    verdict = conclude(a, r, answer, "a remembered answer");
    answer_unref(answer);
    return verdict;
}

static struct desk *desk_here(struct ask *a)
{
    unsigned at = skep_loop_here();
    return &a->desks[at < a->desk_count ? at : a->desk_count - 1];
}

/* A question that cannot be put into words has a client whose facts are no good. */
static enum skep_verdict deny_unspeakable(struct skep_request *r, const char *why)
{
    enum skep_reason reason =
        skep_stage(r) == SKEP_STAGE_CONNECT ? SKEP_RC_BAD_CREDENTIALS : SKEP_RC_NOT_AUTHORIZED;
    skep_note(r, NULL, 0, why);
    return skep_deny(r, reason, why);
}

enum skep_verdict ask_decide(struct ask *a, struct skep_request *r, const struct inputs *in)
{
    struct memory *memory = ask_memory(a);
    struct desk *d = desk_here(a);
    unsigned char key[QUESTION_KEY];
    struct rendered rendered;
    enum skep_verdict verdict;

    if (!question_key(a->question, in, memory->keyed, key))
        return SKEP_ERROR;
    struct answer *answer = cache_get(memory->cache, key, skep_now_ms());
    if (answer)
        return use_cached(a, r, answer);
    if (!desk_has(d, key)) {
        if (breaker_refuses(&memory->breaker, skep_now_ms()))
            return refuse(a, r, key, SHORT_OPEN);
        if (desk_is_full(d))
            return refuse(a, r, key, SHORT_BUSY);
    }
    if (!skep_request_is_dry(r))
        skep_counter_add(a->shortcuts[SHORT_MISS], 1);
    const char *why = question_render(a->question, in, &rendered);
    verdict = why ? deny_unspeakable(r, why) : wait_for(a, r, d, key, &rendered);
    rendered_fini(&rendered);
    return verdict;
}

/* -- Life -- */

struct ask *ask_new(struct skep_module *m, const struct ask_conf *conf, const struct ask_kind *kind,
                    struct skep_report *report)
{
    struct ask *a = calloc(1, sizeof *a);
    unsigned desks = skep_loop_count(m) + 1; /* one for the management loop */

    if (!a)
        return NULL;
    *a = (struct ask){.magic = ASK_MAGIC, .module = m, .conf = conf, .kind = kind};
    a->own = memory_new(conf);
    atomic_init(&a->memory, a->own);
    a->question = ask_question(conf, kind, report);
    if ((a->desks = calloc(desks, sizeof *a->desks)))
        a->desk_count = desks;
    for (unsigned i = 0; i < a->desk_count; i++) {
        a->desks[i].ask = a;
        a->desks[i].loop = i < desks - 1 ? i : SKEP_MANAGEMENT;
        a->desks[i].last = &a->desks[i].first;
    }
    if (!a->own || !a->question || !a->desks) {
        if (a->question)
            skep_report(report, NULL, NULL, "no memory for it");
        ask_free(&a);
        return NULL;
    }
    ask_metrics(a);
    return a;
}

void ask_start(struct ask *a, struct ask *previous)
{
    struct memory *theirs = previous ? ask_memory(previous) : NULL;

    if (theirs && memcmp(theirs->print, a->own->print, sizeof theirs->print) == 0) {
        a->inherited = memory_ref(theirs);
        atomic_store_explicit(&a->memory, theirs, memory_order_release);
    }
    ask_tell_breaker(a);
}

void ask_free(struct ask **ask)
{
    struct ask *a = *ask;

    if (!a)
        return;
    for (unsigned i = 0; i < a->desk_count; i++)
        desk_fini(&a->desks[i]);
    free(a->desks);
    question_free(&a->question);
    memory_unref(a->inherited);
    memory_unref(a->own);
    free(a);
    *ask = NULL;
}
