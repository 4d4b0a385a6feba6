/* A new configuration beside the running one: built, checked, compared, swapped. */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "main/daemon_impl.h"
#include "main/notify.h"

/* A private key or a list of shared keys that everybody on the machine can read. */
static void warn_readable(struct settings *s, size_t at, const char *path)
{
    struct stat st;

    if (path && stat(path, &st) == 0 && (st.st_mode & S_IROTH))
        complaint_warn(&s->complaints, s->listener_pos[at],
                       arena_printf(&s->arena, "chmod o-r %s", path),
                       "everybody on this machine can read the key in %s", path);
}

static void warn_keys(struct settings *s, size_t at)
{
    const struct listen_tls *tls = &s->server.listeners[at].listen.tls_conf;

    for (size_t i = 0; i < tls->cert_count; i++)
        warn_readable(s, at, tls->certs[i].key);
    warn_readable(s, at, tls->psk_file);
}

void check_tls_files(struct settings *s)
{
    char why[512];

    for (size_t i = 0; i < s->server.listener_count; i++) {
        const struct server_listener *l = &s->server.listeners[i];
        bool seen = i > 0 && s->server.listeners[i - 1].listen.name == l->listen.name;
        if (!l->listen.tls || seen)
            continue;
        warn_keys(s, i);
        if (listener_check_tls(&l->listen, why, sizeof why) < 0)
            complaint_error(&s->complaints, s->listener_pos[i], NULL, "%s", why);
    }
}

enum { WARM_POLL_MS = 100 };

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

/* -- Modules -- */

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

/* Waits until the new instances are ready; what runs goes on meanwhile. */
static int warm_up(struct life_set *set, struct host *h, struct complaints *complaints)
{
    enum life_warmth warmth;

    life_warm(set, clock_mono_ms());
    while ((warmth = life_warmed(set, clock_mono_ms(), complaints)) == LIFE_WARMING) {
        struct pollfd fd = {.fd = life_wake_fd(h), .events = POLLIN};
        if (poll(&fd, 1, WARM_POLL_MS) > 0)
            life_tick(h);
    }
    return warmth == LIFE_WARM ? 0 : ERR_INVALID;
}

static void swap_modules(void *set)
{
    life_commit(set);
}

static int reload_server(struct daemon *d, struct settings *next, char *why, size_t why_size)
{
    struct host *h = server_host(d->server);
    struct life_set *set;
    int err = life_build(&set, h, &next->life, &next->complaints);

    if (err < 0) {
        snprintf(why, why_size, "a module does not load");
        return err;
    }
    if ((err = warm_up(set, h, &next->complaints)) < 0) {
        snprintf(why, why_size, "a module is not ready");
    } else {
        life_prepare(set);
        err = server_reload(d->server, &next->server, swap_modules, &set, why, why_size);
    }
    if (set)
        life_abandon(&set);
    return err;
}

static int apply(struct daemon *d, struct settings *next, struct reload *r)
{
    char why[512] = "";
    bool log_changed = next->log_conf.target != d->settings->log_conf.target ||
                       next->log_conf.format != d->settings->log_conf.format ||
                       next->log_conf.target == LOG_TO_FILE;
    int err = 0;

    if (log_changed)
        err = log_open(&next->log_conf, why, sizeof why);
    if (err == 0 && (err = reload_server(d, next, why, sizeof why)) < 0 && log_changed) {
        char ignored[256];
        log_open(&d->settings->log_conf, ignored, sizeof ignored);
    }
    if (err < 0) {
        r->error = arena_cstr(&r->arena, str_of(why));
        return err;
    }
    log_level_set(next->log.level);
    return 0;
}

/* The directives of a listener that its socket got once and for all. */
static void keep_socket(struct settings *next, const struct settings *old)
{
    for (size_t i = 0; i < next->listeners.count; i++) {
        struct settings_listener *l = next->listeners.items[i];
        for (size_t j = 0; j < old->listeners.count; j++) {
            const struct settings_listener *o = old->listeners.items[j];
            if (strcmp(l->block.label, o->block.label) != 0)
                continue;
            l->backlog = o->backlog;
            l->mode = o->mode;
            l->owner = o->owner ? arena_cstr(&next->arena, str_of(o->owner)) : NULL;
        }
    }
}

static void keep_list(struct settings *next, struct directive_list *to,
                      const struct directive_list *from)
{
    const char **items = ARENA_ARRAY(&next->arena, const char *, from->count);

    for (size_t i = 0; i < from->count; i++)
        items[i] = arena_cstr(&next->arena, str_of(from->items[i]));
    to->items = items;
    to->count = from->count;
}

/* What only a restart changes stays as it runs, so that the next comparison says it again. */
static void keep_fixed(struct settings *next, const struct settings *old)
{
    next->threads = old->threads;
    next->server.threads = old->server.threads;
    next->data_dir = arena_cstr(&next->arena, str_of(old->data_dir));
    next->store = old->store;
    next->checkpoint_bytes = old->checkpoint_bytes;
    keep_list(next, &next->sync, &old->sync);
    next->user = old->user ? arena_cstr(&next->arena, str_of(old->user)) : NULL;
    next->group = old->group ? arena_cstr(&next->arena, str_of(old->group)) : NULL;
    next->pid_file = old->pid_file ? arena_cstr(&next->arena, str_of(old->pid_file)) : NULL;
    next->control.socket =
        old->control.socket ? arena_cstr(&next->arena, str_of(old->control.socket)) : NULL;
    next->control.mode = old->control.mode;
    keep_socket(next, old);
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

static void copy_changes(struct reload *r, const struct daemon *d, const struct settings *next)
{
    r->changes = show_changes(&settings_table, d->settings, next, &r->arena);
    r->modules = life_plan(server_host(d->server), &next->life, &r->arena);
}

void reload_run(struct daemon *d, bool plan, struct reload *r)
{
    struct settings *next;

    *r = (struct reload){0};
    if (d->state != DAEMON_RUNNING) {
        r->error = "Skep is stopping";
        return;
    }
    if (!plan)
        notify_reloading();
    settings_load(&next, &d->options->origin);
    if (settings_ok(next))
        check_tls_files(next);
    if (!settings_ok(next))
        r->error = "the configuration has errors";
    else
        copy_changes(r, d, next);
    if (!r->error && !plan && apply(d, next, r) == 0) {
        struct settings *old = d->settings;
        keep_fixed(next, old);
        d->settings = next;
        keep_messages(r, next);
        next = old;
    } else {
        keep_messages(r, next);
    }
    settings_free(&next);
    if (!plan) {
        log_outcome(r);
        notify_ready("running");
    }
}
