/* Asking a backend over HTTP before a decision: auth_http and acl_http are this with a few lines
 * around it.
 *
 *     ask_decide ── remembered and fresh? ──────────────────────────────> apply
 *         │                                      the breaker is open ──> stale answer, or ERROR
 *         │                                      all places are taken ─> stale answer, or BUSY
 *         └── the same question is on its way, or: send it, or queue it
 *                    ... answer ── remember it, tell the breaker ──────> apply, for all who wait
 *
 * Each loop has a desk with its requests under way and its queue; cache and breaker are shared by
 * all loops, and handed on when a reload changes nothing that they depend on. */
#ifndef LIB_HTTP_DECISION_ASK_H
#define LIB_HTTP_DECISION_ASK_H

#include <skep/command.h>
#include <skep/module.h>

#include "lib_http_decision/answer.h"
#include "lib_http_decision/question.h"

struct ask_breaker_conf {
    struct skep_block block;
    uint32_t failures, rate, window, pause;
};

/* What the options fill in; see ASK_OPTIONS. */
struct ask_conf {
    const char *url, *method, *body, *content_type;
    int format, answer;
    struct skep_lines field, header;
    const char *ca, *certificate, *key, *user;
    bool verify;
    struct skep_secret bearer, password;
    uint32_t timeout, connections, queue, max_answer;
    uint32_t cache_size, cache_allow, cache_deny, stale_if_error;
    uint64_t cache_memory;
    struct ask_breaker_conf breaker;
    /* auth_http alone */
    int acl_rest;
    bool superuser;
};

extern const struct skep_option ask_breaker_options[];

/* cache_allow and cache_deny differ, and follow in the module's table. */
#define ASK_OPTIONS                                                                                \
    SKEP_STRING(struct ask_conf, url, SKEP_REQUIRED,                                               \
                .help = "where to ask; placeholders in path and query"),                           \
        SKEP_STRING(struct ask_conf, method, NULL, .help = "GET with `format query`, else POST"),  \
        SKEP_ENUM(struct ask_conf, format, "json", .choices = "json|form|query",                   \
                  .help = "how the fields are sent"),                                              \
        SKEP_LINES(struct ask_conf, field, NULL, .syntax = "NAME VALUE",                           \
                   .help = "a field of the question, instead of the usual ones"),                  \
        SKEP_STRING(struct ask_conf, body, NULL, .help = "the whole body, instead of fields"),     \
        SKEP_STRING(struct ask_conf, content_type, NULL, .help = "of the body"),                   \
        SKEP_LINES(struct ask_conf, header, NULL, .syntax = "NAME VALUE",                          \
                   .help = "a header of the request"),                                             \
        SKEP_ENUM(struct ask_conf, answer, "json", .choices = "json|status",                       \
                  .help = "what counts: the JSON in the body, or the status alone"),               \
        SKEP_PATH(struct ask_conf, ca, NULL, .help = "authorities of the backend's certificate"),  \
        SKEP_PATH(struct ask_conf, certificate, NULL, .help = "to show to the backend"),           \
        SKEP_PATH(struct ask_conf, key, NULL, .help = "of that certificate"),                      \
        SKEP_BOOL(struct ask_conf, verify, "on", .help = "the backend's certificate"),             \
        SKEP_SECRET(struct ask_conf, bearer, NULL, .help = "token for the backend"),               \
        SKEP_STRING(struct ask_conf, user, NULL, .help = "name for the backend (Basic)"),          \
        SKEP_SECRET(struct ask_conf, password, NULL, .help = "password for the backend"),          \
        SKEP_DURATION(struct ask_conf, timeout, "4s", .min = 1, .max = 600000,                     \
                      .help = "of one request; less than decision_timeout"),                       \
        SKEP_UINT(struct ask_conf, connections, "64", .min = 1, .max = 4096,                       \
                  .help = "requests at once, on each loop"),                                       \
        SKEP_UINT(struct ask_conf, queue, "10000", .max = 1000000,                                 \
                  .help = "requests waiting for their turn, on each loop"),                        \
        SKEP_SIZE(struct ask_conf, max_answer, "64k", .min = 64, .max = 1048576,                   \
                  .help = "bytes of an answer"),                                                   \
        SKEP_UINT(struct ask_conf, cache_size, "10000", .min = 1, .max = 10000000,                 \
                  .help = "answers that are remembered"),                                          \
        SKEP_SIZE(struct ask_conf, cache_memory, "32m", .min = 65536, .help = "memory for them"),  \
        SKEP_DURATION(struct ask_conf, stale_if_error, "0s",                                       \
                      .help = "an expired allow may stand in for a failing backend so long"),      \
        SKEP_BLOCK(struct ask_conf, breaker, ask_breaker_options,                                  \
                   .help = "when a failing backend is left alone")

struct ask;

/* What differs between the modules. */
struct ask_kind {
    const char *const (*fields)[2]; /* asked when the configuration names none; ends with {NULL} */
    unsigned allowed;               /* placeholders, a set of (1 << VAR_*) */
    /* The answer is ALLOW. */
    enum skep_verdict (*apply)(struct skep_request *r, const struct answer *answer,
                               const struct ask_conf *conf);
};

/* For the descriptor's check and load. */
void ask_check(const struct ask_conf *conf, const struct ask_kind *kind,
               struct skep_report *report);
/* NULL: complained. */
struct ask *ask_new(struct skep_module *m, const struct ask_conf *conf, const struct ask_kind *kind,
                    struct skep_report *report);
void ask_free(struct ask **a);
/* From start(): goes on with what `previous` (may be NULL) remembers, if it asked the same. */
void ask_start(struct ask *a, struct ask *previous);

/* On a client's loop, from a hook of the instance whose `self` is a. */
enum skep_verdict ask_decide(struct ask *a, struct skep_request *r, const struct inputs *in);

/* Facts about r's client, for inputs that the module completes. */
struct inputs ask_inputs(const struct skep_client *c);

/* `status`, `flush`. */
void ask_command(struct ask *a, struct skep_command *command);

#endif
