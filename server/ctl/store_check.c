/* skepctl store check: reads everything and changes nothing. */
#include <stdio.h>

#include "base/err.h"
#include "base/mem.h"
#include "ctl/progress.h"
#include "ctl/store_tool.h"

static uint64_t sum(const uint64_t *counts, size_t n)
{
    uint64_t total = 0;

    for (size_t i = 0; i < n; i++)
        total += counts[i];
    return total;
}

/* What helps, by what was found. */
static void advise(const struct store_tool *t, const struct check_report *r, char *out, size_t size)
{
    if (r->log_damaged)
        snprintf(out, size,
                 "put a copy of %s aside; then 'skepctl store repair %s' keeps what comes "
                 "before the damage, or put a backup in its place",
                 t->dir, t->dir);
    else
        snprintf(out, size, "put a copy of %s aside, then a backup in its place", t->dir);
}

static void print_counts(const struct check_report *r)
{
    printf("  tables  %llu values, every checksum is right\n",
           (unsigned long long)sum(r->values, TABLES));
    printf("  log     %llu records (%s) behind the last checkpoint, for a start to replay\n",
           (unsigned long long)sum(r->records, RECORD_TYPES), store_tool_size(r->end - r->applied));
}

static void print_report(const struct store_tool *t, int err, const struct check_report *r,
                         const char *why, const char *advice)
{
    if (err) {
        printf("%s is damaged: %s\n", t->dir, why);
        if (r->log_damaged)
            printf("  where   byte %llu of %s/log-%05u\n", (unsigned long long)r->place, t->dir,
                   r->slot);
        else if (r->tables_damaged)
            printf("  where   %s/state.mdb\n", t->dir);
        printf("  now     %s\n", advice);
        return;
    }
    if (r->torn_bytes)
        printf("%s is whole, but its log ends in a write that was cut off (%s).\n"
               "Nothing of that had been acknowledged; the next start drops it.\n",
               t->dir, store_tool_size(r->torn_bytes));
    else
        printf("%s is healthy\n", t->dir);
    print_counts(r);
}

static void print_json(const struct store_tool *t, int err, const struct check_report *r,
                       const char *why, const char *advice)
{
    cJSON *o = cJSON_CreateObject(), *damage;
    char file[16];

    cJSON_AddStringToObject(o, "dir", t->dir);
    cJSON_AddStringToObject(o, "state", err ? "damaged" : r->torn_bytes ? "torn" : "healthy");
    cJSON_AddNumberToObject(o, "values", (double)sum(r->values, TABLES));
    cJSON_AddNumberToObject(o, "records", (double)sum(r->records, RECORD_TYPES));
    cJSON_AddNumberToObject(o, "replay_bytes", (double)(r->end - r->applied));
    cJSON_AddNumberToObject(o, "torn_bytes", (double)r->torn_bytes);
    if (err) {
        damage = cJSON_AddObjectToObject(o, "damage");
        cJSON_AddStringToObject(damage, "what", why);
        snprintf(file, sizeof file, r->log_damaged ? "log-%05u" : "state.mdb", r->slot);
        if (r->log_damaged || r->tables_damaged)
            cJSON_AddStringToObject(damage, "file", file);
        if (r->log_damaged)
            cJSON_AddNumberToObject(damage, "byte", (double)r->place);
        cJSON_AddBoolToObject(damage, "repairable", r->log_damaged);
        cJSON_AddStringToObject(damage, "advice", advice);
    }
    store_tool_print_json(o);
}

static enum ctl_status check(struct store_tool *t, struct fault *fault)
{
    enum ctl_status status = store_tool_enter(t, fault);
    struct progress *progress;
    struct check_report report;
    char why[512] = "", advice[PATH_MAX * 2 + 256];
    int err;

    if (status != CTL_OK)
        return status;
    progress = progress_start(t->name, NULL, t->quiet);
    err = check_store(t->dir, NULL, &report, why, sizeof why);
    progress_stop(&progress);
    if (err && err != ERR_DAMAGED)
        return store_tool_fault(t, err, why, fault);
    advise(t, &report, advice, sizeof advice);
    (t->json ? print_json : print_report)(t, err, &report, why, advice);
    return err ? CTL_FAILED : CTL_OK;
}

int store_check_command(int argc, char **argv)
{
    struct store_tool t = {0};
    struct fault fault = {0};
    struct arg_command command = {
        .name = "skepctl store check",
        .usage = "[DIR] [OPTIONS]",
        .summary = "Reads all of a store and says whether it is healthy, ends in a write that was "
                   "cut off (which is no harm), or is damaged: what, where, and what to do.  "
                   "Changes nothing.  Exit status: 0, or 1 when it is damaged or cannot be read.",
        .sets = {{store_tool_options, &t}},
    };
    int status = store_tool_parse(&t, &command, 0, argc, argv);

    if (status >= 0)
        return status;
    return store_tool_end(&t, check(&t, &fault), &fault);
}
