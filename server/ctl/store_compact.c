/* skepctl store compact */
#include <stdio.h>

#include "ctl/compact.h"
#include "ctl/progress.h"
#include "ctl/store_tool.h"

struct sizes {
    uint64_t tables, log;
};

static struct sizes sizes_of(const char *dir)
{
    unsigned files;
    struct sizes s = {.log = store_tool_files(dir, "log-", &files)};

    s.tables = store_tool_files(dir, "state.mdb", &files);
    return s;
}

static void print_sizes(const struct store_tool *t, struct sizes before, struct sizes after)
{
    cJSON *o;

    if (!t->json) {
        printf("%s\n  tables  %s, before %s\n  log     %s, before %s\n", t->dir,
               store_tool_size(after.tables), store_tool_size(before.tables),
               store_tool_size(after.log), store_tool_size(before.log));
        return;
    }
    o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "dir", t->dir);
    cJSON_AddNumberToObject(o, "table_bytes_before", (double)before.tables);
    cJSON_AddNumberToObject(o, "table_bytes", (double)after.tables);
    cJSON_AddNumberToObject(o, "log_bytes_before", (double)before.log);
    cJSON_AddNumberToObject(o, "log_bytes", (double)after.log);
    store_tool_print_json(o);
}

static enum ctl_status compact(struct store_tool *t, struct fault *fault)
{
    enum ctl_status status = store_tool_enter(t, fault);
    struct store_conf conf = {.dir = t->dir};
    struct progress *progress;
    struct sizes before;
    char why[512] = "";
    int err;

    if (status != CTL_OK)
        return status;
    before = sizes_of(t->dir);
    progress = progress_start(t->name, NULL, t->quiet);
    err = compact_store(&conf, why, sizeof why);
    progress_stop(&progress);
    if (err)
        return store_tool_fault(t, err, why, fault);
    print_sizes(t, before, sizes_of(t->dir));
    return CTL_OK;
}

int store_compact_command(int argc, char **argv)
{
    struct store_tool t = {0};
    struct fault fault = {0};
    struct arg_command command = {
        .name = "skepctl store compact",
        .usage = "[DIR] [OPTIONS]",
        .summary = "Puts the log into the tables, writes these anew without gaps, and removes log "
                   "files that are not in use.  Needs room for a second copy of the tables.  It "
                   "may be interrupted at any moment without harm.",
        .sets = {{store_tool_options, &t}},
    };
    int status = store_tool_parse(&t, &command, 0, argc, argv);

    if (status >= 0)
        return status;
    return store_tool_end(&t, compact(&t, &fault), &fault);
}
