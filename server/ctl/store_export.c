/* skepctl store export: the whole store as text, a line at a time (ctl/store_line.h). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "ctl/outfile.h"
#include "ctl/progress.h"
#include "ctl/store_line.h"
#include "ctl/store_tool.h"
#include "store/export.h"

struct exporter {
    struct store_tool tool;
    struct outfile out;
    struct progress *progress;
    struct store_line head;
    uint64_t counts[LINE_KINDS];
    char why[512];
};

/* -- A line -- */

static int put(struct exporter *x, const struct store_line *line)
{
    char *text = line_print(line);
    FILE *out = x->out.stream;
    bool written = fputs(text, out) >= 0 && putc('\n', out) != EOF;

    cJSON_free(text);
    x->counts[line->kind]++;
    progress_add(x->progress, 1);
    if (!written)
        snprintf(x->why, sizeof x->why, "cannot write %s: %s", x->out.path, strerror(errno));
    else if (store_tool_interrupted())
        snprintf(x->why, sizeof x->why, "interrupted");
    return x->why[0] ? ERR_SYSTEM : 0;
}

static int on_meta(void *arg, struct str name, uint64_t value)
{
    struct exporter *x = arg;
    unsigned at = x->head.head.count;

    if (at == LINE_META_MOST) {
        snprintf(x->why, sizeof x->why, "the store has more than %d numbers in meta", at);
        return ERR_LIMIT;
    }
    x->head.head.meta[at].name = (struct str){str_dup(name), name.len};
    x->head.head.meta[at].value = value;
    x->head.head.count++;
    return 0;
}

static int on_message(void *arg, uint64_t id, const struct record_message *m)
{
    return put(arg, &(struct store_line){.kind = LINE_MESSAGE, .message = {id, *m}});
}

static int on_session(void *arg, const struct load_session *s)
{
    return put(arg, &(struct store_line){.kind = LINE_SESSION, .session = *s});
}

static int on_subscription(void *arg, const struct record_sub *s)
{
    return put(arg, &(struct store_line){.kind = LINE_SUBSCRIPTION, .subscription = *s});
}

static int on_received(void *arg, uint64_t session, uint16_t packet_id)
{
    return put(arg, &(struct store_line){.kind = LINE_RECEIVED, .received = {session, packet_id}});
}

static int on_entry(void *arg, const struct load_entry *e)
{
    return put(arg, &(struct store_line){.kind = LINE_QUEUED, .queued = *e});
}

static int on_retained(void *arg, const struct record_message *m)
{
    return put(arg, &(struct store_line){.kind = LINE_RETAINED, .retained = *m});
}

/* -- All lines -- */

static int put_all(struct exporter *x, struct store *s)
{
    const struct loader loader = {.session = on_session,
                                  .subscription = on_subscription,
                                  .received = on_received,
                                  .entry = on_entry,
                                  .retained = on_retained,
                                  .arg = x};
    struct store_line end = {.kind = LINE_END};
    char why[512] = "";
    int err;

    x->head.kind = LINE_HEAD;
    if ((err = export_meta(store_tables(s), on_meta, x, why, sizeof why)) == 0 &&
        (err = put(x, &x->head)) == 0 &&
        (err = export_messages(store_tables(s), on_message, x, why, sizeof why)) == 0 &&
        (err = store_load(s, &loader, why, sizeof why)) == 0) {
        memcpy(end.counts, x->counts, sizeof end.counts);
        err = put(x, &end);
    }
    for (unsigned i = 0; i < x->head.head.count; i++)
        free((char *)(uintptr_t)x->head.head.meta[i].name.ptr);
    if (err && !x->why[0])
        snprintf(x->why, sizeof x->why, "%s", why);
    return err;
}

static enum ctl_status export_store(struct exporter *x, struct fault *fault)
{
    enum ctl_status status = store_tool_enter(&x->tool, fault);
    struct store *s;

    if (status == CTL_OK)
        status = store_tool_open(&x->tool, &s, fault);
    if (status != CTL_OK)
        return status;
    store_tool_catch();
    x->progress = progress_start(x->tool.name, "lines", x->tool.quiet);
    int err = put_all(x, s);
    progress_stop(&x->progress);
    store_close(&s);
    return err ? store_tool_fault(&x->tool, err, x->why, fault) : CTL_OK;
}

static void print_result(const struct exporter *x)
{
    cJSON *o;

    if (x->tool.json) {
        o = cJSON_CreateObject();
        cJSON_AddStringToObject(o, "file", x->out.path);
        for (int k = LINE_MESSAGE; k < LINE_END; k++)
            cJSON_AddNumberToObject(o, line_plurals[k], (double)x->counts[k]);
        store_tool_print_json(o);
        return;
    }
    printf("%s:", x->out.path);
    for (int k = LINE_SESSION; k < LINE_END; k++)
        printf("%s %llu %s", k > LINE_SESSION ? "," : "", (unsigned long long)x->counts[k],
               line_plurals[k]);
    putchar('\n');
}

int store_export_command(int argc, char **argv)
{
    struct exporter x = {0};
    struct fault fault = {0};
    struct arg_command command = {
        .name = "skepctl store export",
        .usage = "[DIR [FILE]] [OPTIONS]",
        .summary = "Writes everything a store holds as text, one JSON object a line, to FILE "
                   "(replaced in one step, readable for its owner only) or to standard output "
                   "(-, the default).  As a start of the broker does, it first puts the log into "
                   "the tables.",
        .after =
            "Examples:\n"
            "  skepctl store export /var/lib/skep/store | gzip > store.jsonl.gz\n"
            "  skepctl store export data/store - | jq -r 'select(.type==\"retained\").topic'\n",
        .sets = {{store_tool_options, &x.tool}},
    };
    int status = store_tool_parse(&x.tool, &command, 1, argc, argv);

    if (status >= 0)
        return status;
    if (outfile_open(&x.out, command.word_count > 1 ? command.words[1] : "-", &fault) < 0)
        return store_tool_end(&x.tool, CTL_FAILED, &fault);
    status = (int)store_tool_end(&x.tool, export_store(&x, &fault), &fault);
    if (status != CTL_OK) {
        outfile_abort(&x.out);
        return status;
    }
    bool to_stdout = x.out.stream == stdout;
    if (outfile_finish(&x.out, &fault) < 0)
        return store_tool_end(&x.tool, CTL_FAILED, &fault);
    if (!to_stdout)
        print_result(&x);
    return CTL_OK;
}
