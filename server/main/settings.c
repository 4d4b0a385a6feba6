#include "main/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "conf/syntax.h"
#include "conf/value.h"

unsigned settings_cpus(void)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof set, &set) < 0 || CPU_COUNT(&set) < 1)
        return 1;
    return (unsigned)CPU_COUNT(&set);
}

/* The number in a one-line file of the kernel; UINT64_MAX when there is none ("max"). */
static uint64_t read_figure(const char *path)
{
    FILE *f = fopen(path, "re");
    unsigned long long n = 0;
    int got = 0;

    if (f) {
        got = fscanf(f, "%llu", &n);
        fclose(f);
    }
    return got == 1 ? n : UINT64_MAX;
}

uint64_t settings_memory(void)
{
    uint64_t total = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t group = read_figure("/sys/fs/cgroup/memory.max");

    return group < total ? group : total;
}

static void resolve_log(struct settings *s)
{
    static const char *const names[] = {"stderr", "file", "syslog", "journal"};
    const struct directive_list *to = &s->log.to;

    s->log_conf = (struct log_conf){.level = s->log.level, .format = s->log.format};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (to->count && strcmp(to->items[0], names[i]) == 0)
            s->log_conf.target = (enum log_target)i;
    if (s->log_conf.target == LOG_TO_FILE && to->count == 2) {
        const char **items = ARENA_ARRAY(&s->arena, const char *, 2);
        items[0] = to->items[0];
        items[1] = source_relative(&s->arena, to->pos[1].file, str_of(to->items[1]));
        s->log_conf.path = items[1];
        s->log.to.items = items;
    }
}

/* The socket's name is in the settings so that -T shows it and skepctl finds it. */
static void resolve_control(struct settings *s)
{
    const char *path = s->control.socket;

    if (!path)
        return;
    if (strcmp(path, "auto") == 0)
        path = arena_printf(&s->arena, "%s/control.sock", s->data_dir);
    s->control.socket = path;
    if (strlen(path) > 107)
        complaint_error(&s->complaints, (struct text_pos){.file = path},
                        "set control { socket PATH; } to a shorter one",
                        "the path of a Unix socket has at most 107 bytes");
}

/* Modules are given paths below it, whatever directory the process is in. */
static const char *absolute(struct settings *s, const char *path)
{
    char here[PATH_MAX];

    if (path[0] == '/' || !getcwd(here, sizeof here))
        return path;
    return arena_printf(&s->arena, "%s/%s", here, path);
}

static void resolve_store(struct settings *s)
{
    const struct directive_list *sync = &s->sync;
    struct server_conf *server = &s->server;
    struct value_error e;
    uint64_t ms = 0;

    if (!s->store)
        return;
    server->store_dir = arena_printf(&s->arena, "%s/store", s->data_dir);
    server->checkpoint_bytes = s->checkpoint_bytes;
    server->sync = WAL_SYNC_ALWAYS;
    if (sync->count == 1 && strcmp(sync->items[0], "none") == 0)
        server->sync = WAL_SYNC_NONE;
    if (sync->count == 2 && value_duration(str_of(sync->items[1]), &ms, &e) == 0) {
        server->sync = WAL_SYNC_INTERVAL;
        server->sync_interval_ms = (uint32_t)ms;
    }
}

static void resolve(struct settings *s, const struct settings_origin *origin)
{
    if (!s->data_dir)
        s->data_dir = arena_cstr(&s->arena, str_of(origin->data_dir));
    resolve_log(s);
    resolve_control(s);
    resolve_store(s);
    s->server.threads = s->threads ? s->threads : settings_cpus();
    s->server.limits = s->limits;
    s->server.data_dir = absolute(s, s->data_dir);
    s->server.sys_interval_ms = s->sys_topics.interval_ms;
    if (s->limits.connect_max_packet > s->limits.max_packet)
        s->limits.connect_max_packet = s->server.limits.connect_max_packet = s->limits.max_packet;
}

static bool names_listener(const struct syntax_node *nodes)
{
    for (; nodes; nodes = nodes->next)
        if (str_eq(nodes->words[0].text, STR("listener")))
            return true;
    return false;
}

/* A machine without IPv6 must still start with no configuration at all. */
static bool has_ipv6(void)
{
    return access("/proc/net/if_inet6", R_OK) == 0 &&
           read_figure("/proc/sys/net/ipv6/conf/lo/disable_ipv6") == 0;
}

static void read_origin(struct syntax *tree, const struct settings_origin *origin)
{
    if (origin->path)
        syntax_load(tree, origin->path);
    for (size_t i = 0; i < origin->override_count; i++)
        syntax_parse(tree, "command line", str_of(origin->overrides[i]), true);
    if (!names_listener(tree->top))
        syntax_parse(tree, "built-in default",
                     has_ipv6() ? STR("listener mqtt { bind 127.0.0.1:1883 [::1]:1883; }")
                                : STR("listener mqtt { bind 127.0.0.1:1883; }"),
                     false);
}

void settings_load(struct settings **out, const struct settings_origin *origin)
{
    struct settings *s = xcalloc(1, sizeof *s);
    struct directive_context ctx = {.arena = &s->arena,
                                    .complaints = &s->complaints,
                                    .source = &source_files,
                                    .user = &s->opened};
    struct text_pos start = {.file = origin->path};
    struct syntax tree;

    s->refs = 1;
    complaints_init(&s->complaints, &s->arena);
    syntax_init(&tree, &s->arena, &s->complaints, NULL);
    read_origin(&tree, origin);
    settings_module_path(s, tree.top);
    directive_apply(&settings_table, tree.top, start, s, &ctx);
    resolve(s, origin);
    settings_modules(s);
    settings_listeners(s);
    *out = s;
}

bool settings_ok(const struct settings *s)
{
    return s->complaints.errors == 0;
}

void settings_free(struct settings **sp)
{
    struct settings *s = *sp;

    *sp = NULL;
    if (!s || --s->refs > 0)
        return;
    load_close(&s->opened);
    arena_fini(&s->arena);
    free(s);
}
