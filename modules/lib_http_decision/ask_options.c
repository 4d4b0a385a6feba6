/* What the options of auth_http and acl_http mean, what is counted, and the operator's commands. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "lib_http_decision/ask_impl.h"

const struct skep_option ask_breaker_options[] = {
    SKEP_UINT(struct ask_breaker_conf, failures, "5",
              .help = "so many failed requests in a row open it; 0: never"),
    SKEP_UINT(struct ask_breaker_conf, rate, "50", .max = 100,
              .help = "or so many of a hundred..."),
    SKEP_UINT(struct ask_breaker_conf, window, "20", .max = 256,
              .help = "...of the last so many; 0: never"),
    SKEP_DURATION(struct ask_breaker_conf, pause, "5s", .min = 1, .max = 3600000,
                  .help = "before a request is tried again"),
    {0},
};

struct question *ask_question(const struct ask_conf *conf, const struct ask_kind *kind,
                              struct skep_report *report)
{
    const struct question_conf question = {
        .url = conf->url,
        .method = conf->method,
        .body = conf->body,
        .content_type = conf->content_type,
        .format = conf->format,
        .fields = conf->field,
        .headers = conf->header,
        .default_fields = kind->fields,
        .allowed = kind->allowed,
    };
    const struct skep_place *place;
    const char *why;
    struct question *q = question_new(&question, &why, &place);

    if (!q)
        skep_report(report, place, NULL, "%s", why);
    return q;
}

static void check_file(const char *option, const char *path, struct skep_report *report)
{
    if (path && access(path, R_OK) != 0)
        skep_report(report, NULL, NULL, "%s: %s: %s", option, path, strerror(errno));
}

void ask_check(const struct ask_conf *c, const struct ask_kind *kind, struct skep_report *report)
{
    struct question *q = ask_question(c, kind, report);

    question_free(&q);
    check_file("ca", c->ca, report);
    check_file("certificate", c->certificate, report);
    check_file("key", c->key, report);
    if (!c->certificate != !c->key)
        skep_report(report, NULL, NULL, "`certificate` and `key` need each other");
    if (c->user && c->bearer.value.len)
        skep_report(report, NULL, "take one of them away",
                    "`bearer` and `user` exclude each other");
    if (c->password.value.len && !c->user)
        skep_report(report, NULL, "name the user with `user`", "`password` without `user`");
    if (!c->verify)
        skep_report_warning(report, NULL, "name its authority with `ca`",
                            "`verify off`: anybody in between can answer for the backend");
    if (strncmp(c->url, "http://", 7) == 0 && (c->bearer.value.len || c->user))
        skep_report_warning(report, NULL, "use https",
                            "the backend's credentials travel in the clear");
}

void ask_metrics(struct ask *a)
{
    static const char *const outcomes[OUT_COUNT] = {
        [OUT_ALLOW] = "result=\"allow\"",     [OUT_DENY] = "result=\"deny\"",
        [OUT_IGNORE] = "result=\"ignore\"",   [OUT_BAD] = "result=\"bad_answer\"",
        [OUT_TIMEOUT] = "result=\"timeout\"", [OUT_FAILED] = "result=\"failed\""};
    static const char *const shortcuts[SHORT_COUNT] = {
        [SHORT_HIT] = "how=\"cache_hit\"",     [SHORT_MISS] = "how=\"cache_miss\"",
        [SHORT_STALE] = "how=\"cache_stale\"", [SHORT_JOINED] = "how=\"joined\"",
        [SHORT_OPEN] = "how=\"breaker_open\"", [SHORT_BUSY] = "how=\"busy\""};
    static const double bounds[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
                                    0.1,   0.25,   0.5,   1,    2.5,   5};

    for (unsigned i = 0; i < OUT_COUNT; i++)
        a->outcomes[i] = skep_counter(a->module, "requests_total", outcomes[i],
                                      "Requests to the backend, by what came of them");
    for (unsigned i = 0; i < SHORT_COUNT; i++)
        a->shortcuts[i] = skep_counter(a->module, "questions_total", shortcuts[i],
                                       "Questions, by how they were dealt with");
    a->state = skep_gauge(a->module, "breaker_state", NULL, "0 closed, 1 open, 2 half open");
    a->waiting = skep_gauge(a->module, "waiting", NULL, "Decisions that wait for the backend");
    a->latency =
        skep_histogram(a->module, "request_seconds", NULL, "How long the backend takes to answer",
                       bounds, sizeof bounds / sizeof *bounds);
}

void ask_tell_breaker(struct ask *a)
{
    enum breaker_state state = breaker_state(&ask_memory(a)->breaker);

    skep_gauge_set(a->state, state);
    if (state == BREAKER_CLOSED)
        skep_alarm_clear(a->module, "backend");
    else
        skep_alarm(a->module, "backend", "the backend keeps failing; its circuit breaker is open");
}

static void tell_status(struct ask *a, struct skep_command *command)
{
    static const char *const states[] = {"closed", "open", "half open"};
    struct memory *m = ask_memory(a);
    char text[1024];
    int len = snprintf(text, sizeof text, "{\"breaker\":\"%s\",\"remembered\":%zu",
                       states[breaker_state(&m->breaker)], cache_count(m->cache));
    static const char *const outcomes[OUT_COUNT] = {"allowed",     "denied",   "ignored",
                                                    "bad_answers", "timeouts", "failed"};
    static const char *const shortcuts[SHORT_COUNT] = {
        "cache_hits", "cache_misses", "cache_stale", "joined", "breaker_refused", "busy"};

    for (unsigned i = 0; i < OUT_COUNT; i++)
        len += snprintf(text + len, sizeof text - (size_t)len, ",\"%s\":%llu", outcomes[i],
                        (unsigned long long)skep_counter_value(a->outcomes[i]));
    for (unsigned i = 0; i < SHORT_COUNT; i++)
        len += snprintf(text + len, sizeof text - (size_t)len, ",\"%s\":%llu", shortcuts[i],
                        (unsigned long long)skep_counter_value(a->shortcuts[i]));
    len += snprintf(text + len, sizeof text - (size_t)len, "}");
    skep_command_answer(command, skep_bytes(text, (size_t)len));
}

void ask_command(struct ask *a, struct skep_command *command)
{
    struct skep_str word = skep_command_word(command, 0);

    if (skep_str_eq(word, SKEP_STR("status"))) {
        tell_status(a, command);
    } else if (skep_str_eq(word, SKEP_STR("flush"))) {
        cache_clear(ask_memory(a)->cache);
        skep_command_answer(command, SKEP_STR("{\"remembered\":0}"));
    } else {
        skep_command_fail(command, "knows: status, flush");
    }
}
