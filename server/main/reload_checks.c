/* What a configuration is checked for beyond its own text, and what a reload leaves as it is. */
#include <string.h>
#include <sys/stat.h>

#include "main/daemon_impl.h"

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
void keep_fixed(struct settings *next, const struct settings *old)
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
