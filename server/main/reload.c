/* A new configuration beside the running one: built, checked, compared, warmed up, swapped.
 *
 * Only warming up takes time, if a module does it; the main thread goes on meanwhile and looks at
 * it in reload_tick(). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "main/daemon_impl.h"
#include "main/notify.h"

/* One that is under way. */
struct reloading {
    struct settings *next;
    struct life_set *set;
    struct reload result;
    uint64_t ticket; /* of who asked over the control socket; 0: nobody, or not yet */
    bool again;      /* somebody asked for one more meanwhile */
};

static void keep_messages(struct reload *r, const struct settings *s)
{
    const struct complaint *c;
    size_t n = 0;

    for (c = s->complaints.first; c; c = c->next)
        n++;
    r->messages = ARENA_ARRAY(&r->arena, const char *, n);
    for (c = s->complaints.first; c; c = c->next)
        r->messages[r->message_count++] =
            arena_cstr(&r->arena, str_of(complaint_text(&s->complaints, c)));
}

static void log_outcome(const struct reload *r)
{
    struct arena scratch = {0};

    for (size_t i = 0; i < r->message_count; i++) {
        if (r->error)
            log_error("conf", "%s", r->messages[i]);
        else
            log_warn("conf", "%s", r->messages[i]);
    }
    if (r->error) {
        log_error("main", "reload refused, the running configuration stays: %s", r->error);
        return;
    }
    for (const struct show_change *c = r->changes; c; c = c->next) {
        if (c->fixed)
            log_warn("main", "needs a restart: %s", show_change_text(c, &scratch));
        else
            log_info("main", "changed: %s", show_change_text(c, &scratch));
    }
    log_info("main", "%s",
             r->changes ? "configuration reloaded"
                        : "configuration reloaded: no directive changed, files "
                          "were read again");
    arena_fini(&scratch);
}

/* -- The swap -- */

static void swap_modules(void *set)
{
    life_commit(set);
}

static int swap(struct daemon *d, struct settings *next, struct life_set **set, char *why,
                size_t why_size)
{
    bool log_changed = next->log_conf.target != d->settings->log_conf.target ||
                       next->log_conf.format != d->settings->log_conf.format ||
                       next->log_conf.target == LOG_TO_FILE;
    int err = log_changed ? log_open(&next->log_conf, why, why_size) : 0;

    if (err < 0)
        return err;
    life_prepare(*set);
    err = server_reload(d->server, &next->server, swap_modules, set, why, why_size);
    if (err < 0 && log_changed) {
        char ignored[256];
        log_open(&d->settings->log_conf, ignored, sizeof ignored);
    }
    if (err == 0)
        log_level_set(next->log.level);
    return err;
}

static void put_in_force(struct daemon *d, struct reloading *g)
{
    char why[512] = "";
    struct settings *old = d->settings;

    if (swap(d, g->next, &g->set, why, sizeof why) < 0) {
        g->result.error = arena_cstr(&g->result.arena, str_of(why));
        return;
    }
    keep_fixed(g->next, old);
    d->settings = g->next;
    keep_messages(&g->result, g->next);
    g->next = NULL;
    settings_free(&old);
}

/* -- Steps -- */

/* Whatever is left of it goes; the result is the caller's. */
static struct reload end(struct daemon *d)
{
    struct reloading *g = d->reloading;
    struct reload result;

    if (g->next)
        keep_messages(&g->result, g->next);
    if (g->set)
        life_abandon(&g->set);
    settings_free(&g->next);
    log_outcome(&g->result);
    notify_ready("running");
    result = g->result;
    free(g);
    d->reloading = NULL;
    return result;
}

/* Whether it is over: as soon as all are warm, or one is not in time. */
static bool step(struct daemon *d)
{
    struct reloading *g = d->reloading;

    switch (life_warmed(g->set, clock_mono_ms(), &g->next->complaints)) {
    case LIFE_WARMING:
        return false;
    case LIFE_COLD:
        g->result.error = "a module is not ready";
        break;
    case LIFE_WARM:
        put_in_force(d, g);
    }
    return true;
}

/* Loads the configuration and says what would change; NULL with r->error set, or settings. */
static struct settings *load_next(struct daemon *d, struct reload *r)
{
    struct settings *next;

    settings_load(&next, &d->options->origin);
    if (settings_ok(next))
        check_tls_files(next);
    if (!settings_ok(next)) {
        r->error = "the configuration has errors";
        return next;
    }
    r->changes = show_changes(&settings_table, d->settings, next, &r->arena);
    r->modules = life_plan(server_host(d->server), &next->life, &r->arena);
    return next;
}

void reload_plan(struct daemon *d, struct reload *r)
{
    struct settings *next = load_next(d, r);

    keep_messages(r, next);
    settings_free(&next);
}

bool reload_begin(struct daemon *d, struct reload *r)
{
    struct reloading *g;

    if (d->state != DAEMON_RUNNING || d->reloading) {
        r->error = d->reloading ? "another reload is under way" : "Skep is stopping";
        return true;
    }
    notify_reloading();
    d->reloading = g = xcalloc(1, sizeof *g);
    g->next = load_next(d, &g->result);
    if (!g->result.error &&
        life_build(&g->set, server_host(d->server), &g->next->life, &g->next->complaints) < 0)
        g->result.error = "a module does not load";
    if (!g->result.error)
        life_warm(g->set, clock_mono_ms());
    if (!g->result.error && !step(d))
        return false;
    *r = end(d);
    return true;
}

void reload_wait(struct daemon *d, uint64_t ticket)
{
    d->reloading->ticket = ticket;
}

static void tell(struct daemon *d, uint64_t ticket, struct reload *r)
{
    if (ticket && d->control)
        answer_reload_ended(d, ticket, r);
    arena_fini(&r->arena);
}

void reload_tick(struct daemon *d)
{
    struct reload r;
    uint64_t ticket;
    bool again;

    if (!d->reloading || !step(d))
        return;
    ticket = d->reloading->ticket;
    again = d->reloading->again;
    r = end(d);
    tell(d, ticket, &r);
    if (again)
        reload_quietly(d);
}

void reload_quietly(struct daemon *d)
{
    struct reload r = {0};

    if (d->reloading)
        d->reloading->again = true;
    else if (reload_begin(d, &r))
        arena_fini(&r.arena);
}

void reload_cancel(struct daemon *d)
{
    struct reload r;
    uint64_t ticket;

    if (!d->reloading)
        return;
    ticket = d->reloading->ticket;
    d->reloading->result.error = "Skep is stopping";
    r = end(d);
    tell(d, ticket, &r);
}

/* -- The first configuration -- */

int daemon_load_modules(struct daemon *d, char *why, size_t why_size)
{
    struct settings *s = d->settings;
    struct complaints complaints;
    struct life_set *set;
    int err;

    complaints_init(&complaints, &s->arena);
    err = life_build(&set, server_host(d->server), &s->life, &complaints);
    complaints_print(&complaints, stderr);
    for (const struct complaint *c = complaints.first; c && s->log_conf.target != LOG_TO_STDERR;
         c = c->next)
        log_write(c->warning ? LOG_LEVEL_WARN : LOG_LEVEL_ERROR, "conf", "%s",
                  complaint_text(&complaints, c));
    if (err < 0)
        snprintf(why, why_size, "a module does not load");
    else
        life_commit(&set);
    return err;
}
