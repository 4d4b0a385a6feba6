/* metrics: what the broker, its modules and its scripts count, for Prometheus.
 *
 *     load metrics { bind 127.0.0.1:9883; }
 *
 * GET /metrics, and for those who look after processes: /healthz (it lives) and /readyz (it takes
 * messages).  A scrape reads counters; it costs the same with one client and with a million. */
#include <skep/http.h>
#include <skep/loop.h>
#include <skep/module.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>

#include "text.h"

enum { RETRY_MS = 2000 };

struct conf {
    const char *bind, *path, *certificate, *key;
    struct skep_secret token;
    bool open;
};

struct metrics {
    struct skep_module *m;
    const struct conf *conf;
    struct skep_http_server *server;
    struct skep_timer *retry;
    struct text text;
    struct skep_counter *scrapes, *refused;
    struct skep_histogram *seconds;
    bool alarmed;
};

static const struct skep_option options[] = {
    SKEP_ADDRESS(struct conf, bind, "127.0.0.1:9883", .help = "where to listen; port 0: any"),
    SKEP_STRING(struct conf, path, "/metrics", .help = "where the metrics are", .syntax = "/PATH"),
    SKEP_PATH(struct conf, certificate, NULL, .help = "PEM file: serve HTTPS"),
    SKEP_PATH(struct conf, key, NULL, .help = "PEM file of its key"),
    SKEP_SECRET(struct conf, token, NULL, .help = "scrapers have to send it as a bearer token"),
    SKEP_BOOL(struct conf, open, "off",
              .help = "on: serve beyond this machine without TLS and token"),
    {0},
};

/* -- Configuration -- */

static bool is_local(const char *address)
{
    return strncmp(address, "127.", 4) == 0 || strncmp(address, "[::1]:", 6) == 0 ||
           strncmp(address, "localhost:", 10) == 0 || strncmp(address, "unix:", 5) == 0;
}

static void check(const void *conf, struct skep_report *report)
{
    const struct conf *c = conf;
    bool guarded = c->certificate && c->token.value.len;

    if (c->path[0] != '/' || strpbrk(c->path, " ?#\r\n"))
        skep_report(report, NULL, "path /metrics;", "the path begins with / and holds no ? or #");
    if (strcmp(c->path, "/healthz") == 0 || strcmp(c->path, "/readyz") == 0)
        skep_report(report, NULL, "path /metrics;", "%s has another meaning", c->path);
    if (!c->certificate != !c->key)
        skep_report(report, NULL, NULL, "a certificate and its key go together");
    if (!is_local(c->bind) && !guarded && !c->open)
        skep_report(report, NULL, "certificate, key and token; or open on;",
                    "%s can be reached from other machines", c->bind);
}

/* -- Answering -- */

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static bool may_scrape(const struct metrics *s, const struct skep_http_exchange *x)
{
    struct skep_str given = skep_http_header(x, "Authorization");

    if (s->conf->token.value.len == 0)
        return true;
    if (given.len < 7 || strncasecmp(given.ptr, "Bearer ", 7) != 0)
        return false;
    return skep_str_eq_secret(skep_bytes(given.ptr + 7, given.len - 7), s->conf->token.value);
}

static void add_sample(const struct skep_sample *sample, void *text)
{
    text_add(text, sample);
}

static void serve_metrics(struct skep_http_exchange *x, void *self)
{
    struct metrics *s = self;
    bool open = text_wants_open_metrics(skep_http_header(x, "Accept"));
    double began = now_s();

    if (!may_scrape(s, x)) {
        skep_counter_add(s->refused, 1);
        skep_http_set_header(x, "WWW-Authenticate", "Bearer realm=\"metrics\"");
        skep_http_answer(x, 401, "text/plain", SKEP_STR("a bearer token is needed\n"));
        return;
    }
    text_begin(&s->text, open);
    skep_metrics(s->m, add_sample, &s->text);
    text_end(&s->text);
    if (s->text.failed)
        skep_http_answer(x, 503, "text/plain", SKEP_STR("no memory\n"));
    else
        skep_http_answer(x, 200, text_content_type(open), skep_bytes(s->text.bytes, s->text.len));
    skep_counter_add(s->scrapes, 1);
    skep_histogram_add(s->seconds, now_s() - began);
}

static void serve_health(struct skep_http_exchange *x, void *self)
{
    skep_http_answer(x, 200, "text/plain", SKEP_STR("ok\n"));
}

struct readiness {
    bool refusing, pressed;
};

static void look_at(const struct skep_sample *sample, void *arg)
{
    struct readiness *r = arg;

    if (strcmp(sample->name, "skep_store_refusing") == 0)
        r->refusing |= sample->value != 0;
    else if (strcmp(sample->name, "skep_memory_pressure") == 0)
        r->pressed |= sample->value != 0;
}

static void serve_readiness(struct skep_http_exchange *x, void *self)
{
    const struct metrics *s = self;
    struct readiness r = {0};

    skep_metrics(s->m, look_at, &r);
    if (r.refusing)
        skep_http_answer(x, 503, "text/plain", SKEP_STR("the store refuses messages\n"));
    else if (r.pressed)
        skep_http_answer(x, 503, "text/plain", SKEP_STR("memory runs short\n"));
    else
        skep_http_answer(x, 200, "text/plain", SKEP_STR("ok\n"));
}

/* -- Life -- */

static int load(struct skep_module *m, void *conf, void **self, struct skep_report *report)
{
    static const double bounds[] = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5};
    struct metrics *s = calloc(1, sizeof *s);

    if (!s) {
        skep_report(report, NULL, NULL, "no memory");
        return -1;
    }
    s->m = m;
    s->conf = conf;
    s->scrapes = skep_counter(m, "scrapes_total", NULL, "Times that the metrics were read");
    s->refused = skep_counter(m, "scrapes_refused_total", NULL, "Scrapes without the right token");
    s->seconds = skep_histogram(m, "scrape_seconds", NULL, "Time it took to answer a scrape",
                                bounds, sizeof bounds / sizeof bounds[0]);
    *self = s;
    return 0;
}

static void open_server(void *self)
{
    struct metrics *s = self;
    char why[256], text[400];
    struct skep_http_listen listen = {.size = sizeof listen,
                                      .address = s->conf->bind,
                                      .certificate = s->conf->certificate,
                                      .key = s->conf->key,
                                      .max_body = 1024};

    s->server = skep_http_serve(s->m, &listen, why, sizeof why);
    if (!s->server) {
        snprintf(text, sizeof text, "cannot listen on %s: %s", s->conf->bind, why);
        if (!s->alarmed)
            skep_log(s->m, SKEP_LOG_ERROR, "%s", text);
        skep_alarm(s->m, "listen", text);
        s->alarmed = true;
        skep_timer_set(s->retry, RETRY_MS);
        return;
    }
    if (s->alarmed)
        skep_alarm_clear(s->m, "listen");
    s->alarmed = false;
    skep_http_route(s->server, "GET", s->conf->path, serve_metrics, s);
    skep_http_route(s->server, "GET", "/healthz", serve_health, s);
    skep_http_route(s->server, "GET", "/readyz", serve_readiness, s);
    skep_log(s->m, SKEP_LOG_INFO, "serving %s://%s%s", s->conf->certificate ? "https" : "http",
             skep_http_server_address(s->server), s->conf->path);
}

static void start(void *self, void *previous)
{
    struct metrics *s = self;

    s->retry = skep_timer_new(s->m, open_server, s);
    open_server(s);
}

static void stop(void *self)
{
    struct metrics *s = self;

    skep_timer_free(s->retry);
    skep_http_server_close(s->server);
    if (s->alarmed)
        skep_alarm_clear(s->m, "listen");
    s->retry = NULL;
    s->server = NULL;
}

static void unload(void *self)
{
    struct metrics *s = self;

    text_fini(&s->text);
    free(s);
}

SKEP_MODULE = {
    SKEP_MODULE_HEAD("metrics", "1.0", "metrics for Prometheus, health checks"),
    .flags = SKEP_KEEP,
    .conf_size = sizeof(struct conf),
    .options = options,
    .check = check,
    .load = load,
    .start = start,
    .stop = stop,
    .unload = unload,
};
