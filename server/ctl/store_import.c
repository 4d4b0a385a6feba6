/* skepctl store import: a new store from the lines of an export. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/mem.h"
#include "ctl/building.h"
#include "ctl/bytes.h"
#include "ctl/owner.h"
#include "ctl/progress.h"
#include "ctl/store_line.h"
#include "ctl/store_tool.h"
#include "store/import.h"

/* Address space for the tables, which may take a multiple of the text: rows are padded to pages. */
static const size_t MAP_LEAST = (size_t)1 << 30, MAP_OF_PIPE = (size_t)256 << 30;
enum { MAP_FACTOR = 4 };

struct importer {
    struct store_tool tool;
    FILE *file;
    const char *file_name;
    struct bytes text; /* the line */
    uint64_t line;     /* its number, from 1 */
    struct line_reader reader;
    struct import *import;
    uint64_t counts[LINE_KINDS];
    bool ended;
};

static int line_fault(const struct importer *m, const char *why, struct fault *fault)
{
    return fault_set(fault, "%s:%llu: %s", m->file_name, (unsigned long long)m->line, why);
}

/* -- Lines -- */

/* 1: a line; 0: the file has ended; -1 with fault. */
static int read_line(struct importer *m, struct fault *fault)
{
    int c;

    m->text.len = 0;
    m->line++;
    while ((c = getc_unlocked(m->file)) != EOF && c != '\n') {
        if (m->text.len == LINE_LONGEST)
            return line_fault(m, "the line is longer than any that an export writes", fault);
        *bytes_room(&m->text, 1) = (uint8_t)c;
        m->text.len++;
    }
    if (store_tool_interrupted())
        return fault_set(fault, "interrupted");
    if (ferror(m->file))
        return fault_set(fault, "cannot read %s: %s", m->file_name, strerror(errno));
    return c != EOF || m->text.len > 0;
}

static int check_counts(const struct importer *m, const struct store_line *line,
                        struct fault *fault)
{
    if (memcmp(m->counts, line->counts, sizeof m->counts) == 0)
        return 0;
    return line_fault(m, "the counts are not those of the lines before: some are missing", fault);
}

static int take_head(struct importer *m, const struct store_line *line)
{
    int err = 0;

    for (unsigned i = 0; !err && i < line->head.count; i++)
        err = import_meta(m->import, line->head.meta[i].name, line->head.meta[i].value);
    return err;
}

static int take_line(struct importer *m, const struct store_line *line)
{
    switch (line->kind) {
    case LINE_HEAD:
        return take_head(m, line);
    case LINE_MESSAGE:
        return import_message(m->import, line->message.id, &line->message.message);
    case LINE_SESSION:
        return import_session(m->import, &line->session);
    case LINE_SUBSCRIPTION:
        return import_subscription(m->import, &line->subscription);
    case LINE_RECEIVED:
        return import_received(m->import, line->received.session, line->received.packet_id);
    case LINE_QUEUED:
        return import_entry(m->import, &line->queued);
    case LINE_RETAINED:
        return import_retained(m->import, &line->retained);
    default:
        return 0;
    }
}

static int import_line(struct importer *m, struct fault *fault)
{
    struct store_line line;

    if (m->ended)
        return line_fault(m, "there is something behind the last line", fault);
    if (line_parse(&m->reader, bytes_str(&m->text), &line) < 0)
        return line_fault(m, m->reader.why, fault);
    if ((line.kind == LINE_HEAD) != (m->line == 1))
        return line_fault(m, m->line == 1 ? "this is not an exported store" : "a second first line",
                          fault);
    if (line.kind == LINE_END) {
        m->ended = true;
        return check_counts(m, &line, fault);
    }
    if (line.kind != LINE_HEAD)
        m->counts[line.kind]++;
    return take_line(m, &line) < 0 ? line_fault(m, import_why(m->import), fault) : 0;
}

static int import_lines(struct importer *m, struct fault *fault)
{
    struct progress *progress = progress_start(m->tool.name, "lines", m->tool.quiet);
    int more;

    while ((more = read_line(m, fault)) > 0) {
        if ((more = import_line(m, fault)) < 0)
            break;
        progress_add(progress, 1);
    }
    progress_stop(&progress);
    if (more < 0)
        return -1;
    return m->ended ? 0 : line_fault(m, "the last line is missing: the file was cut off", fault);
}

/* -- The store -- */

static size_t map_size(FILE *file)
{
    struct stat st;

    if (fstat(fileno(file), &st) < 0 || !S_ISREG(st.st_mode))
        return MAP_OF_PIPE;
    return MAP_LEAST + (size_t)st.st_size * MAP_FACTOR;
}

static int fill(struct importer *m, struct building *b, uint64_t *lsn, struct fault *fault)
{
    int err = import_begin(&m->import, b->tables);

    if (err)
        return fault_set(fault, "cannot write in %s: %s", b->path, tables_why());
    if ((err = import_lines(m, fault)) == 0 && import_finish(m->import, lsn) < 0)
        err = fault_set(fault, "%s: %s", m->file_name, import_why(m->import));
    import_free(&m->import);
    return err;
}

static enum ctl_status import_store(struct importer *m, struct fault *fault)
{
    struct building b;
    uint64_t lsn;

    if (owner_enter(m->tool.dir, fault) < 0)
        return CTL_FAILED;
    store_tool_catch();
    if (building_begin(&b, m->tool.dir, NULL, map_size(m->file), fault) < 0)
        return CTL_FAILED;
    if (fill(m, &b, &lsn, fault) < 0) {
        building_abort(&b);
        fault_hint(fault, "nothing was imported");
        return CTL_FAILED;
    }
    return building_finish(&b, lsn, fault) < 0 ? CTL_FAILED : CTL_OK;
}

static void print_result(const struct importer *m)
{
    cJSON *o;

    if (!m->tool.json) {
        printf("%s holds %llu sessions, %llu queued and %llu retained messages\n", m->tool.dir,
               (unsigned long long)m->counts[LINE_SESSION],
               (unsigned long long)m->counts[LINE_QUEUED],
               (unsigned long long)m->counts[LINE_RETAINED]);
        return;
    }
    o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "dir", m->tool.dir);
    cJSON_AddNumberToObject(o, "lines", (double)m->line - 1);
    cJSON_AddNumberToObject(o, "sessions", (double)m->counts[LINE_SESSION]);
    cJSON_AddNumberToObject(o, "queued", (double)m->counts[LINE_QUEUED]);
    cJSON_AddNumberToObject(o, "retained", (double)m->counts[LINE_RETAINED]);
    store_tool_print_json(o);
}

int store_import_command(int argc, char **argv)
{
    struct importer m = {0};
    struct fault fault = {0};
    struct arg_command command = {
        .name = "skepctl store import",
        .usage = "DIR FILE [OPTIONS]",
        .summary = "Makes a new store from what 'skepctl store export' wrote; - is standard "
                   "input.  DIR must not be there yet, or be an empty folder.  Every line is "
                   "checked, the whole file or nothing becomes the store.",
        .after = "Example:\n"
                 "  zcat store.jsonl.gz | skepctl store import /var/lib/skep/store -\n",
        .sets = {{store_tool_options, &m.tool}},
    };
    int status = store_tool_parse(&m.tool, &command, 1, argc, argv);

    if (status >= 0)
        return status;
    if (command.word_count != 2) {
        arg_error(&command, "give DIR, where the store is to be, and FILE");
        return CTL_USAGE;
    }
    m.file_name = command.words[1];
    m.file = strcmp(m.file_name, "-") == 0 ? stdin : fopen(m.file_name, "re");
    if (!m.file) {
        fault_set(&fault, "cannot read %s: %s", m.file_name, strerror(errno));
        return store_tool_end(&m.tool, CTL_FAILED, &fault);
    }
    status = store_tool_end(&m.tool, import_store(&m, &fault), &fault);
    if (status == CTL_OK)
        print_result(&m);
    if (m.file != stdin)
        fclose(m.file);
    bytes_fini(&m.text);
    line_reader_fini(&m.reader);
    return status;
}
