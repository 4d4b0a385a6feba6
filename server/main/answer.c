/* What the control socket answers; control.h has the protocol. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "main/answer.h"

static void answer_version(struct daemon *d, const cJSON *request, cJSON *answer)
{
    cJSON_AddStringToObject(answer, "version", SKEP_VERSION);
    cJSON_AddNumberToObject(answer, "pid", getpid());
}

static void add_listeners(const struct daemon *d, cJSON *answer)
{
    cJSON *list = cJSON_AddArrayToObject(answer, "listeners");
    const char *name, *address;

    for (size_t i = 0; server_address(d->server, i, &name, &address); i++) {
        cJSON *one = cJSON_CreateObject();
        cJSON_AddStringToObject(one, "name", name);
        cJSON_AddStringToObject(one, "address", address);
        cJSON_AddItemToArray(list, one);
    }
}

static void add_figures(const struct daemon *d, cJSON *answer)
{
    struct server_stats st;

    server_stats(d->server, &st);
    cJSON_AddNumberToObject(answer, "connections", (double)st.connections);
    cJSON_AddNumberToObject(answer, "sessions", (double)st.sessions);
    cJSON_AddNumberToObject(answer, "subscriptions", (double)st.subscriptions);
    cJSON_AddNumberToObject(answer, "retained", (double)st.retained);
    cJSON_AddNumberToObject(answer, "messages_in", (double)st.messages_in);
    cJSON_AddNumberToObject(answer, "messages_out", (double)st.messages_out);
    cJSON_AddNumberToObject(answer, "messages_dropped", (double)st.messages_dropped);
    cJSON_AddNumberToObject(answer, "bytes_in", (double)st.bytes_in);
    cJSON_AddNumberToObject(answer, "bytes_out", (double)st.bytes_out);
}

static const char *sync_name(enum wal_sync sync)
{
    static const char *const names[] = {
        [WAL_SYNC_ALWAYS] = "always", [WAL_SYNC_INTERVAL] = "interval", [WAL_SYNC_NONE] = "none"};

    return names[sync];
}

static void add_store(cJSON *answer, const struct server_store_stats *st)
{
    cJSON *o = cJSON_AddObjectToObject(answer, "store");

    cJSON_AddBoolToObject(o, "on", st->on);
    if (!st->on)
        return;
    cJSON_AddStringToObject(o, "sync", sync_name(st->sync));
    cJSON_AddNumberToObject(o, "log_bytes", (double)st->log_bytes);
    cJSON_AddNumberToObject(o, "unsettled_bytes", (double)st->unsettled_bytes);
    cJSON_AddNumberToObject(o, "unsynced_bytes", (double)st->unsynced_bytes);
    cJSON_AddNumberToObject(o, "segments", st->segments);
    cJSON_AddNumberToObject(o, "spare_segments", st->spare_segments);
    cJSON_AddNumberToObject(o, "checkpoints", (double)st->checkpoints);
    cJSON_AddNumberToObject(o, "checkpoint_failures", (double)st->checkpoint_failures);
    cJSON_AddNumberToObject(o, "syncs", (double)st->syncs);
    cJSON_AddNumberToObject(o, "write_failures", (double)st->write_failures);
    cJSON_AddBoolToObject(o, "refusing", st->refusing);
    if (st->refusing)
        cJSON_AddStringToObject(o, "why", st->why);
}

static void answer_status(struct daemon *d, const cJSON *request, cJSON *answer)
{
    const char *config = d->options->origin.path;
    struct server_store_stats store;

    server_store_stats(d->server, &store);
    answer_version(d, request, answer);
    cJSON_AddNumberToObject(answer, "uptime_s", (double)((clock_mono_ms() - d->started_ms) / 1000));
    cJSON_AddStringToObject(answer, "config", config ? config : "built-in defaults");
    cJSON_AddStringToObject(answer, "data_dir", d->settings->data_dir);
    cJSON_AddNumberToObject(answer, "threads", d->settings->server.threads);
    cJSON_AddStringToObject(answer, "log_level", log_level_name(log_level_get()));
    cJSON_AddStringToObject(answer, "state", d->state == DAEMON_RUNNING ? "running" : "stopping");
    cJSON_AddBoolToObject(answer, "ready", d->state == DAEMON_RUNNING && !store.refusing);
    add_listeners(d, answer);
    add_figures(d, answer);
    add_store(answer, &store);
    add_alarms(d, answer);
}

static void add_counter(void *answer, const char *name, uint64_t value)
{
    cJSON_AddNumberToObject(answer, name, (double)value);
}

/* Every counter by the name it has below $SYS/broker/ledger/. */
static void answer_ledger(struct daemon *d, const cJSON *request, cJSON *answer)
{
    struct ledger_sum sum;

    server_ledger(d->server, &sum);
    ledger_each(&sum, add_counter, answer);
    cJSON_AddNumberToObject(answer, "waiting", (double)ledger_waiting(&sum));
}

static void fill_reload(cJSON *answer, const struct reload *r, bool plan)
{
    struct arena scratch = {0};
    cJSON *list;

    if (r->error)
        control_refuse(answer, r->error);
    list = cJSON_AddArrayToObject(answer, "changes");
    for (const struct show_change *c = r->changes; c; c = c->next) {
        cJSON *one = cJSON_CreateObject();
        cJSON_AddStringToObject(one, "text", show_change_text(c, &scratch));
        cJSON_AddStringToObject(one, "path", c->path);
        cJSON_AddBoolToObject(one, "restart", c->fixed);
        cJSON_AddItemToArray(list, one);
    }
    add_module_steps(list, r, plan);
    list = cJSON_AddArrayToObject(answer, "messages");
    for (size_t i = 0; i < r->message_count; i++)
        cJSON_AddItemToArray(list, cJSON_CreateString(r->messages[i]));
    arena_fini(&scratch);
}

static void answer_reload(struct daemon *d, const cJSON *request, cJSON *answer)
{
    bool plan = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(request, "plan"));
    struct reload r = {0};

    if (plan) {
        reload_plan(d, &r);
    } else if (!reload_begin(d, &r)) {
        reload_wait(d, control_later(d->control));
        return;
    }
    fill_reload(answer, &r, plan);
    arena_fini(&r.arena);
}

void answer_reload_ended(struct daemon *d, uint64_t ticket, const struct reload *r)
{
    cJSON *answer = cJSON_CreateObject();

    fill_reload(answer, r, false);
    control_finish(d->control, ticket, answer);
    cJSON_Delete(answer);
}

static void answer_log_level(struct daemon *d, const cJSON *request, cJSON *answer)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(request, "level");
    const char *wanted = cJSON_GetStringValue(item);
    bool known = !item;

    for (int i = LOG_LEVEL_DEBUG; wanted && i <= LOG_LEVEL_ERROR; i++)
        if (strcmp(wanted, log_level_name((enum log_level)i)) == 0) {
            log_level_set((enum log_level)i);
            known = true;
        }
    if (known)
        cJSON_AddStringToObject(answer, "level", log_level_name(log_level_get()));
    else
        control_refuse(answer, "the level is debug, info, warn or error");
}

static void answer_config(struct daemon *d, const cJSON *request, cJSON *answer)
{
    char *text = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&text, &len);

    if (!to) {
        control_refuse(answer, "out of memory");
        return;
    }
    show_effective(to, &settings_table, d->settings);
    fclose(to);
    cJSON_AddStringToObject(answer, "text", text);
    free(text);
}

/* -- Backups -- */

static void answer_backup(struct daemon *d, const cJSON *request, cJSON *answer)
{
    const char *dir = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(request, "dir"));
    struct server_backup_stats st;
    char why[SERVER_WHY];

    if (!dir || dir[0] != '/')
        control_refuse(answer, "\"dir\" is where the backup is to be, from / on");
    else if (d->state != DAEMON_RUNNING)
        control_refuse(answer, "Skep is stopping");
    else if (server_backup(d->server, dir, why, sizeof why) < 0)
        control_refuse(answer, why);
    else {
        server_backup_stats(d->server, &st);
        cJSON_AddNumberToObject(answer, "number", (double)st.number);
    }
}

static void answer_backup_status(struct daemon *d, const cJSON *request, cJSON *answer)
{
    struct server_backup_stats st;

    server_backup_stats(d->server, &st);
    cJSON_AddNumberToObject(answer, "number", (double)st.number);
    if (st.number == 0)
        return;
    cJSON_AddStringToObject(answer, "dir", st.dir);
    cJSON_AddStringToObject(answer, "state",
                            st.running  ? "running"
                            : st.failed ? "failed"
                                        : "done");
    cJSON_AddNumberToObject(answer, "took_ms", (double)st.took_ms);
    if (st.failed)
        cJSON_AddStringToObject(answer, "why", st.why);
}

static void answer_stop(struct daemon *d, const cJSON *request, cJSON *answer)
{
    daemon_stop(d);
}

void answer_control(void *arg, const char *cmd, const cJSON *request, cJSON *answer)
{
    static const struct {
        const char *cmd;
        void (*fn)(struct daemon *d, const cJSON *request, cJSON *answer);
    } commands[] = {
        {"version", answer_version}, {"status", answer_status},
        {"clients", answer_clients}, {"ledger", answer_ledger},
        {"reload", answer_reload},   {"log-level", answer_log_level},
        {"config", answer_config},   {"stop", answer_stop},
        {"backup", answer_backup},   {"backup-status", answer_backup_status},
        {"module", answer_module},   {"client", answer_client},
        {"kick", answer_kick},       {"explain", answer_explain},
        {"trace", answer_trace},
    };

    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (strcmp(cmd, commands[i].cmd) == 0) {
            commands[i].fn(arg, request, answer);
            return;
        }
    control_refuse(
        answer,
        "unknown cmd: it is version, status, ledger, clients, client, kick, explain, trace, "
        "reload, log-level, config, backup, backup-status, module or stop");
}
