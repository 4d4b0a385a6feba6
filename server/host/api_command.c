/* The functions of sdk/include/skep/command.h.
 *
 * The management loop makes and times the command; a task to the main thread carries its end.  A
 * module that answers too late, or never, still finds the command: it is kept until it does, or
 * until the module is unloaded. */
#include <cjson/cJSON.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "host/command.h"
#include "host/crash.h"
#include "host/timer.h"
#include "net/loop.h"

enum { COMMAND_MAGIC = 0x2c0337aa };

struct skep_command {
    unsigned magic;
    struct skep_command *next, **link; /* m->commands: the management loop's */
    struct skep_module *module;
    struct loop_task task;
    struct host_timer timer;
    command_ended_fn *ended;
    void *arg;
    uint64_t ticket;
    size_t count;
    char **words;
    bool over; /* its end is on the way */
};

struct skep_str skep_command_word(const struct skep_command *c, size_t i)
{
    CHECK(c, COMMAND_MAGIC);
    return skep_str(i < c->count ? c->words[i] : NULL);
}

size_t skep_command_words(const struct skep_command *c)
{
    return c->count;
}

/* -- The end -- */

struct command_end {
    struct host_main_task task;
    command_ended_fn *ended;
    void *arg;
    uint64_t ticket;
    char *json, *error;
};

static void end_run(struct host_main_task *task)
{
    struct command_end *e = CONTAINER_OF(task, struct command_end, task);

    e->ended(e->arg, e->ticket, e->json, e->error);
    free(e->json);
    free(e->error);
    free(e);
}

static void post_end(struct skep_command *c, struct str json, const char *error)
{
    struct command_end *e = xcalloc(1, sizeof *e);

    *e = (struct command_end){.task = {.run = end_run},
                              .ended = c->ended,
                              .arg = c->arg,
                              .ticket = c->ticket,
                              .json = error ? NULL : str_dup(json),
                              .error = error ? str_dup(str_of(error)) : NULL};
    host_post_main(c->module->host, &e->task);
}

static void command_free(struct skep_command *c)
{
    *c->link = c->next;
    if (c->next)
        c->next->link = c->link;
    for (size_t i = 0; i < c->count; i++)
        free(c->words[i]);
    free(c->words);
    c->magic = 0;
    free(c);
}

static struct host_place *management(const struct skep_module *m)
{
    return &m->host->places[m->host->loop_count];
}

/* Whoever asked has heard enough; the module may still answer. */
static void give_up(struct skep_command *c, const char *error)
{
    host_timer_cancel(management(c->module), &c->timer);
    c->over = true;
    post_end(c, STR_NONE, error);
    instance_release(c->module);
}

static void too_late(struct host_timer *timer)
{
    give_up(CONTAINER_OF(timer, struct skep_command, timer), "the module did not answer in time");
}

static void answer(struct skep_command *c, struct str json, const char *error)
{
    struct skep_module *m = c->module;
    bool over = c->over;

    if (!over) {
        host_timer_cancel(management(m), &c->timer);
        post_end(c, json, error);
    }
    command_free(c);
    if (!over)
        instance_release(m);
}

void skep_command_answer(struct skep_command *c, struct skep_str json)
{
    CHECK(c, COMMAND_MAGIC);
    answer(c, (struct str){json.ptr, json.len}, NULL);
}

void skep_command_fail(struct skep_command *c, const char *format, ...)
{
    char line[1024];
    va_list args;

    CHECK(c, COMMAND_MAGIC);
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    answer(c, STR_NONE, line);
}

void command_forget(struct skep_module *m)
{
    while (m->commands)
        command_free(m->commands);
}

void command_leave(struct host_place *p, struct skep_module *m)
{
    if (p->index != HOST_MANAGEMENT || !p->host->stopping)
        return;
    for (struct skep_command *c = m->commands; c; c = c->next)
        if (!c->over)
            give_up(c, "Skep is stopping");
}

/* -- The beginning -- */

static void command_begin(struct loop_task *task, struct loop *l)
{
    struct skep_command *c = CONTAINER_OF(task, struct skep_command, task);
    struct skep_module *m = c->module;

    c->next = m->commands;
    c->link = &m->commands;
    if (c->next)
        c->next->link = &c->next;
    m->commands = c;
    c->timer.fn = too_late;
    host_timer_set(management(m), &c->timer, COMMAND_MS);
    if (atomic_load(&m->stopped)) {
        answer(c, STR_NONE, "the module was just stopped: try again");
        return;
    }
    struct blame before = blame_begin(m, "on_command");
    m->d->on_command(c, m->self);
    blame_end(before);
}

void command_run(struct skep_module *m, const char *const *words, size_t count,
                 command_ended_fn *ended, void *arg, uint64_t ticket)
{
    struct skep_command *c = xcalloc(1, sizeof *c);

    *c = (struct skep_command){.magic = COMMAND_MAGIC,
                               .module = m,
                               .task = {.run = command_begin},
                               .ended = ended,
                               .arg = arg,
                               .ticket = ticket,
                               .count = count,
                               .words = xcalloc(count + 1, sizeof(char *))};
    for (size_t i = 0; i < count; i++)
        c->words[i] = str_dup(str_of(words[i]));
    instance_hold(m);
    loop_post(management(m)->loop, &c->task);
}
