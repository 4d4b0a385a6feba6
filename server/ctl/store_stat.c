/* skepctl store stat: what is in a store.  Counts while it reads; keeps ten client ids. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "ctl/format.h"
#include "ctl/progress.h"
#include "ctl/store_line.h"
#include "ctl/store_tool.h"

enum { LONGEST = 10 };

struct queue {
    char *client_id; /* on the heap */
    size_t client_id_len;
    uint64_t messages, bytes;
};

struct counter {
    struct progress *progress;
    uint64_t sessions, connected, subscriptions, received, queues;
    uint64_t queued, queued_bytes, released;
    uint64_t retained, retained_bytes;
    struct queue current, longest[LONGEST]; /* the longest first */
};

/* -- Counting -- */

static bool longer(const struct queue *a, const struct queue *b)
{
    return a->messages != b->messages ? a->messages > b->messages : a->bytes > b->bytes;
}

/* The session that was being counted is complete. */
static void rank(struct counter *c)
{
    struct queue q = c->current, *last = &c->longest[LONGEST - 1];
    unsigned at = LONGEST - 1;

    c->current = (struct queue){0};
    if (q.messages == 0 || !longer(&q, last)) {
        free(q.client_id);
        return;
    }
    free(last->client_id);
    for (; at > 0 && longer(&q, &c->longest[at - 1]); at--)
        c->longest[at] = c->longest[at - 1];
    c->longest[at] = q;
}

static int on_session(void *arg, const struct load_session *s)
{
    struct counter *c = arg;

    rank(c);
    c->sessions++;
    c->connected += !s->away;
    c->current.client_id = str_dup(s->head.client_id);
    c->current.client_id_len = s->head.client_id.len;
    return 0;
}

static int on_subscription(void *arg, const struct record_sub *s)
{
    ((struct counter *)arg)->subscriptions++;
    return 0;
}

static int on_received(void *arg, uint64_t session, uint16_t packet_id)
{
    ((struct counter *)arg)->received++;
    return 0;
}

static uint64_t message_bytes(const struct record_message *m)
{
    return m->topic.len + m->payload.len + m->props.len;
}

static int on_entry(void *arg, const struct load_entry *e)
{
    struct counter *c = arg;

    progress_add(c->progress, 1);
    if (e->released) {
        c->released++;
        return 0;
    }
    c->queues += c->current.messages == 0;
    c->queued++;
    c->queued_bytes += message_bytes(&e->message);
    c->current.messages++;
    c->current.bytes += message_bytes(&e->message);
    return 0;
}

static int on_retained(void *arg, const struct record_message *m)
{
    struct counter *c = arg;

    progress_add(c->progress, 1);
    c->retained++;
    c->retained_bytes += message_bytes(m);
    return 0;
}

/* -- Showing -- */

struct start {
    uint64_t records, bytes, torn_bytes;
};

static void print_client(const struct queue *q)
{
    struct str id = {q->client_id, q->client_id_len};

    if (utf8_is_valid(id))
        format_json_string(stdout, id);
    else
        for (size_t i = 0; i < id.len; i++)
            printf("%02x", (unsigned char)id.ptr[i]);
    putchar('\n');
}

static void row(const char *label, uint64_t n)
{
    printf("%-20s %llu", label, (unsigned long long)n);
}

static void print_counts(const struct store_tool *t, const struct counter *c,
                         const struct start *start)
{
    unsigned files;
    uint64_t log = store_tool_files(t->dir, "log-", &files);

    puts(t->dir);
    row("sessions", c->sessions);
    printf(" (%llu connected when the broker ended)\n", (unsigned long long)c->connected);
    row("subscriptions", c->subscriptions);
    putchar('\n');
    row("queued messages", c->queued);
    printf(", %s, in %llu queues\n", store_tool_size(c->queued_bytes),
           (unsigned long long)c->queues);
    row("waiting for PUBCOMP", c->released);
    putchar('\n');
    row("inbound QoS 2 ids", c->received);
    putchar('\n');
    row("retained messages", c->retained);
    printf(", %s\n", store_tool_size(c->retained_bytes));
    row("log", files);
    printf(" files, %s\n", store_tool_size(log));
    printf("%-20s %s\n", "tables", store_tool_size(store_tool_files(t->dir, "state.mdb", &files)));
    row("a start replays", start->records);
    printf(" records, %s\n", store_tool_size(start->bytes));
    if (start->torn_bytes)
        printf("%-20s %s, never acknowledged\n", "cut off at the end",
               store_tool_size(start->torn_bytes));
    if (c->longest[0].messages)
        puts("\nlongest queues");
    for (unsigned i = 0; i < LONGEST && c->longest[i].messages; i++) {
        printf("%10llu  %10s  ", (unsigned long long)c->longest[i].messages,
               store_tool_size(c->longest[i].bytes));
        print_client(&c->longest[i]);
    }
}

static void print_json(const struct store_tool *t, const struct counter *c,
                       const struct start *start)
{
    cJSON *o = cJSON_CreateObject(), *list;
    unsigned files;

    cJSON_AddStringToObject(o, "dir", t->dir);
    cJSON_AddNumberToObject(o, "sessions", (double)c->sessions);
    cJSON_AddNumberToObject(o, "connected", (double)c->connected);
    cJSON_AddNumberToObject(o, "subscriptions", (double)c->subscriptions);
    cJSON_AddNumberToObject(o, "queued", (double)c->queued);
    cJSON_AddNumberToObject(o, "queued_bytes", (double)c->queued_bytes);
    cJSON_AddNumberToObject(o, "queues", (double)c->queues);
    cJSON_AddNumberToObject(o, "released", (double)c->released);
    cJSON_AddNumberToObject(o, "received", (double)c->received);
    cJSON_AddNumberToObject(o, "retained", (double)c->retained);
    cJSON_AddNumberToObject(o, "retained_bytes", (double)c->retained_bytes);
    cJSON_AddNumberToObject(o, "log_bytes", (double)store_tool_files(t->dir, "log-", &files));
    cJSON_AddNumberToObject(o, "log_files", files);
    cJSON_AddNumberToObject(o, "table_bytes",
                            (double)store_tool_files(t->dir, "state.mdb", &files));
    cJSON_AddNumberToObject(o, "replay_records", (double)start->records);
    cJSON_AddNumberToObject(o, "replay_bytes", (double)start->bytes);
    cJSON_AddNumberToObject(o, "torn_bytes", (double)start->torn_bytes);
    list = cJSON_AddArrayToObject(o, "longest_queues");
    for (unsigned i = 0; i < LONGEST && c->longest[i].messages; i++) {
        const struct queue *q = &c->longest[i];
        cJSON *item = cJSON_CreateObject();

        line_put_bytes(item, "client_id", (struct str){q->client_id, q->client_id_len});
        cJSON_AddNumberToObject(item, "messages", (double)q->messages);
        cJSON_AddNumberToObject(item, "bytes", (double)q->bytes);
        cJSON_AddItemToArray(list, item);
    }
    store_tool_print_json(o);
}

/* -- All of it -- */

/* What a start has to do is seen before opening does it. */
static enum ctl_status look(struct store_tool *t, struct start *start, struct fault *fault)
{
    struct progress *progress = progress_start(t->name, NULL, t->quiet);
    struct check_report report;
    char why[512] = "";
    int err = check_store(t->dir, NULL, &report, why, sizeof why);

    progress_stop(&progress);
    if (err)
        return store_tool_fault(t, err, why, fault);
    for (unsigned i = 0; i < RECORD_TYPES; i++)
        start->records += report.records[i];
    start->bytes = report.end - report.applied;
    start->torn_bytes = report.torn_bytes;
    return CTL_OK;
}

static enum ctl_status count(struct store_tool *t, struct counter *c, struct fault *fault)
{
    const struct loader loader = {.session = on_session,
                                  .subscription = on_subscription,
                                  .received = on_received,
                                  .entry = on_entry,
                                  .retained = on_retained,
                                  .arg = c};
    char why[512] = "";
    struct store *s;
    enum ctl_status status = store_tool_open(t, &s, fault);

    if (status != CTL_OK)
        return status;
    c->progress = progress_start(t->name, "messages", t->quiet);
    int err = store_load(s, &loader, why, sizeof why);
    progress_stop(&c->progress);
    rank(c);
    store_close(&s);
    return err ? store_tool_fault(t, err, why, fault) : CTL_OK;
}

int store_stat_command(int argc, char **argv)
{
    struct store_tool t = {0};
    struct fault fault = {0};
    struct counter c = {0};
    struct start start = {0};
    struct arg_command command = {
        .name = "skepctl store stat",
        .usage = "[DIR] [OPTIONS]",
        .summary = "Counts what a store holds and shows the ten longest queues.  As a start of the "
                   "broker does, it puts the log into the tables on the way; nothing is lost by "
                   "that, and the next start has less to do.",
        .sets = {{store_tool_options, &t}},
    };
    int status = store_tool_parse(&t, &command, 0, argc, argv);
    enum ctl_status end;

    if (status >= 0)
        return status;
    if ((end = store_tool_enter(&t, &fault)) == CTL_OK &&
        (end = look(&t, &start, &fault)) == CTL_OK && (end = count(&t, &c, &fault)) == CTL_OK)
        (t.json ? print_json : print_counts)(&t, &c, &start);
    for (unsigned i = 0; i < LONGEST; i++)
        free(c.longest[i].client_id);
    return store_tool_end(&t, end, &fault);
}
