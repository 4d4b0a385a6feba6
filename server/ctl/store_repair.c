/* skepctl store repair: cuts the log at its damage, once somebody has agreed. */
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "ctl/progress.h"
#include "ctl/salvage.h"
#include "ctl/store_tool.h"

struct repair {
    struct store_tool tool;
    bool yes;
    struct check_report report;
    struct salvage lost;
};

static const struct arg_option repair_options[] = {
    ARG_FIELD(ARG_ON, 'y', "yes", struct repair, yes, NULL, "do it without asking"),
    ARG_LAST,
};

/* -- What there is to say -- */

static uint64_t kept_records(const struct repair *r)
{
    uint64_t total = 0;

    for (unsigned i = 0; i < RECORD_TYPES; i++)
        total += r->report.records[i];
    return total;
}

static void print_found(const struct repair *r, const char *why, FILE *out)
{
    const uint64_t *lost = r->lost.records;

    fprintf(out, "%s: %s\n", r->tool.dir, why);
    fprintf(out, "  kept  all before that: the tables, and %llu records of the log\n",
            (unsigned long long)kept_records(r));
    fprintf(out,
            "  lost  what stands there and behind it, at least %s in %u files: besides what is\n"
            "        damaged %llu messages, %llu runs of acknowledgements, %llu changes of\n"
            "        sessions and subscriptions.  What was acknowledged in them is sent again.\n",
            store_tool_size(r->lost.bytes), r->lost.files, (unsigned long long)lost[RECORD_PUB],
            (unsigned long long)(lost[RECORD_ACK] + lost[RECORD_RELEASE]),
            (unsigned long long)(lost[RECORD_SESSION] + lost[RECORD_END] + lost[RECORD_AWAY] +
                                 lost[RECORD_SUB] + lost[RECORD_UNSUB] + lost[RECORD_WILL]));
}

/* Calls for each of the copies that this repair has made. */
static void each_copy(const struct repair *r, void (*fn)(void *arg, const char *name), void *arg)
{
    char prefix[64];
    DIR *d = opendir(r->tool.dir);
    struct dirent *entry;

    snprintf(prefix, sizeof prefix, "damaged-%llu-", (unsigned long long)r->report.end);
    while (d && (entry = readdir(d)) != NULL) {
        if (strncmp(entry->d_name, prefix, strlen(prefix)) == 0)
            fn(arg, entry->d_name);
    }
    if (d)
        closedir(d);
}

static void print_copy(void *arg, const char *name)
{
    printf("  aside   %s/%s\n", (const char *)arg, name);
}

static void add_copy(void *arg, const char *name)
{
    cJSON_AddItemToArray(arg, cJSON_CreateString(name));
}

static void print_done(struct repair *r)
{
    printf("%s is repaired\n", r->tool.dir);
    each_copy(r, print_copy, r->tool.dir);
}

static void print_json(const struct repair *r, bool cut)
{
    cJSON *o = cJSON_CreateObject(), *lost;

    cJSON_AddStringToObject(o, "dir", r->tool.dir);
    cJSON_AddBoolToObject(o, "repaired", cut);
    if (cut) {
        cJSON_AddNumberToObject(o, "kept_records", (double)kept_records(r));
        lost = cJSON_AddObjectToObject(o, "lost");
        for (unsigned i = RECORD_PUB; i < RECORD_TYPES; i++)
            if (r->lost.records[i])
                cJSON_AddNumberToObject(lost, record_name(i), (double)r->lost.records[i]);
        cJSON_AddNumberToObject(o, "lost_bytes", (double)r->lost.bytes);
        each_copy(r, add_copy, cJSON_AddArrayToObject(o, "aside"));
    }
    store_tool_print_json(o);
}

/* -- Agreeing -- */

static bool agreed(const struct repair *r, struct fault *fault)
{
    char answer[16] = "";

    if (r->yes)
        return true;
    if (!isatty(STDIN_FILENO)) {
        fault_set(fault, "nothing was changed: there is no terminal to ask on");
        fault_hint(fault, "say --yes to give up what is named above");
        return false;
    }
    fputs("Cut the log there? [y/N] ", stderr);
    if (fgets(answer, sizeof answer, stdin) &&
        (strcmp(answer, "y\n") == 0 || strcmp(answer, "yes\n") == 0))
        return true;
    fault_set(fault, "nothing was changed");
    return false;
}

/* -- Doing it -- */

static int look(struct repair *r, char *why, size_t why_size)
{
    struct progress *progress = progress_start(r->tool.name, NULL, r->tool.quiet);
    int err = check_store(r->tool.dir, NULL, &r->report, why, why_size);

    progress_stop(&progress);
    return err;
}

static enum ctl_status cut(struct repair *r, struct fault *fault)
{
    struct progress *progress = progress_start(r->tool.name, NULL, r->tool.quiet);
    char why[512] = "";
    bool done;
    int err = check_repair(r->tool.dir, NULL, &done, why, sizeof why);

    progress_stop(&progress);
    if (err)
        return store_tool_fault(&r->tool, err, why, fault);
    if (r->tool.json)
        print_json(r, done);
    else
        print_done(r);
    return CTL_OK;
}

static enum ctl_status repair(struct repair *r, struct fault *fault)
{
    enum ctl_status status = store_tool_enter(&r->tool, fault);
    char why[512] = "", more[512];
    int err;

    if (status != CTL_OK)
        return status;
    err = look(r, why, sizeof why);
    if (!err) {
        if (r->tool.json)
            print_json(r, false);
        else
            printf("%s is whole: there is nothing to repair\n", r->tool.dir);
        return CTL_OK;
    }
    if (!r->report.log_damaged) {
        status = store_tool_fault(&r->tool, err, why, fault);
        if (err == ERR_DAMAGED)
            fault_hint(fault, "this is not in the log, where it could be cut: put a backup in "
                              "its place");
        return status;
    }
    if ((err = salvage_count(r->tool.dir, &r->report, &r->lost, more, sizeof more)) < 0)
        return store_tool_fault(&r->tool, err, more, fault);
    print_found(r, why, stderr);
    return agreed(r, fault) ? cut(r, fault) : CTL_FAILED;
}

int store_repair_command(int argc, char **argv)
{
    struct repair r = {0};
    struct fault fault = {0};
    struct arg_command command = {
        .name = "skepctl store repair",
        .usage = "[DIR] [OPTIONS]",
        .summary = "Cuts the log where it is damaged: what comes before is kept; each log file "
                   "from there on is first copied to DIR/damaged-PLACE-NUMBER.  Says what will "
                   "be lost and asks.  Put a copy of the whole folder aside before.",
        .sets = {{repair_options, &r}, {store_tool_options, &r.tool}},
    };
    int status = store_tool_parse(&r.tool, &command, 0, argc, argv);

    if (status >= 0)
        return status;
    return store_tool_end(&r.tool, repair(&r, &fault), &fault);
}
