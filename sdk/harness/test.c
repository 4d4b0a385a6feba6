/* <skep/test.h>: loading, the world, commands. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "harness.h"
#include "host/event.h"
#include "host/instance.h"
#include "world.h"

static struct skep_test *running; /* one at a time: there is one world */

/* -- Loading -- */

static void line_add(struct skep_test *t, const char *file, const char *options)
{
    struct test_line *line = xcalloc(1, sizeof *line), **last = &t->lines;

    line->file = file ? str_dup(str_of(file)) : NULL;
    line->options = str_dup(str_of(options ? options : ""));
    while (*last)
        last = &(*last)->next;
    *last = line;
}

static void lines_free(struct skep_test *t)
{
    while (t->lines) {
        struct test_line *line = t->lines;
        t->lines = line->next;
        free(line->file);
        free(line->options);
        free(line);
    }
}

static void close_all(struct skep_test **t)
{
    client_free_all(*t);
    lines_free(*t);
    rig_free(t);
    running = NULL;
}

/* A test that failed half-way left its world behind: what it had is lost, and that is all. */
static void begin_anew(void)
{
    if (!running)
        return;
    running = NULL;
    world_abandon();
    observe_end();
}

struct skep_test *skep_test_load(const char *file, const char *options)
{
    begin_anew();
    struct skep_test *t = rig_new();
    line_add(t, file, options);
    running = t;
    const char *wrong = config_apply(t);
    if (wrong)
        test_fail("it does not load:\n%s", wrong);
    test_check();
    return t;
}

const char *skep_test_load_fails(const char *file, const char *options)
{
    static char *complaint;
    struct skep_test *t;
    const char *wrong;

    begin_anew();
    t = rig_new();
    line_add(t, file, options);
    running = t;
    free(complaint);
    wrong = config_apply(t);
    complaint = wrong ? str_dup(str_of(wrong)) : NULL;
    close_all(&t);
    observe_end();
    if (!complaint)
        test_fail("it was expected not to load, and did");
    test_check();
    return complaint;
}

void skep_test_add(struct skep_test *t, const char *file, const char *options)
{
    line_add(t, file, options);
    const char *wrong = config_apply(t);
    if (wrong)
        test_fail("it does not load:\n%s", wrong);
    test_check();
}

const char *skep_test_reload(struct skep_test *t, const char *options)
{
    char *before = t->lines->options;
    const char *wrong;

    t->lines->options = str_dup(str_of(options ? options : ""));
    wrong = config_apply(t);
    free(wrong ? t->lines->options : before);
    if (wrong)
        t->lines->options = before;
    test_check();
    return wrong;
}

void skep_test_free(struct skep_test **test)
{
    close_all(test);
    unsigned left = observe_leftovers();
    observe_end();
    if (left > 0)
        test_fail("the module left %u timers, watches or servers behind: unload() must free what "
                  "it made",
                  left);
    test_check();
}

void *skep_test_self(struct skep_test *t)
{
    return t->module->self;
}

struct skep_module *skep_test_module(struct skep_test *t)
{
    return t->module;
}

/* -- The world -- */

void skep_test_pass_ms(struct skep_test *t, uint64_t ms)
{
    world_pass(clock_mono_ms() + ms);
    rig_settle(t);
    test_check();
}

void skep_test_wall_ms(struct skep_test *t, uint64_t wall_ms)
{
    world_clock.wall_offset_ms = wall_ms - world_clock.mono_ms;
}

void skep_test_run(struct skep_test *t)
{
    world_jobs_run();
    rig_settle(t);
    test_check();
}

void skep_test_jobs_wait(struct skep_test *t, bool wait)
{
    world_jobs_wait(wait);
}

void skep_test_fail_allocation(struct skep_test *t, unsigned n)
{
    world_refuse(n);
}

void skep_test_http(struct skep_test *t, const char *url, unsigned status, const char *body)
{
    world_http_set(url, status, body);
}

void skep_test_http_delay(struct skep_test *t, const char *url, uint32_t ms)
{
    if (!world_http_delay(url, ms))
        test_fail("skep_test_http() has set no answer for %s", url);
}

void skep_test_http_header(struct skep_test *t, const char *url, const char *name,
                           const char *value)
{
    if (!world_http_header(url, name, value))
        test_fail("skep_test_http() has set no answer for %s", url);
}

size_t skep_test_http_count(const struct skep_test *t)
{
    return world_http_count();
}

const struct skep_http_request *skep_test_http_request(const struct skep_test *t, size_t i)
{
    if (i >= world_http_count())
        test_fail("only %zu HTTP requests were made", world_http_count());
    return world_http_request(i);
}

/* -- Events and commands, on the loops where they come in the broker -- */

struct event_call {
    struct skep_test *test;
    const struct skep_event *event;
};

static void event_run(void *arg)
{
    struct event_call *call = arg;

    if (host_wants(call->test->host, call->event->kind))
        host_event(call->test->host, call->event);
}

void skep_test_event(struct skep_test *t, const struct skep_event *event)
{
    rig_call(t, event_run, &(struct event_call){t, event});
    rig_settle(t);
    test_check();
}
