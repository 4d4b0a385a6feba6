/* Options: one table gives parsing, defaults, bounds and --help. */
#include "plan.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind { NUMBER, SIZE, SECONDS, TEXT, FLAG };

struct option_row {
    const char *name, *letter; /* letter: the one-dash form, or NULL */
    enum kind kind;
    size_t offset;
    uint64_t preset, least, most; /* SECONDS are kept in milliseconds */
    const char *value, *help;
};

#define AT(field) offsetof(struct plan, field)

/* A preset of 0 below its least means "depends on the scenario", see plan_complete. */
static const struct option_row rows[] = {
    {"host", "-h", TEXT, AT(host), 0, 0, 0, "NAME", "broker (127.0.0.1)"},
    {"port", "-p", TEXT, AT(port), 0, 0, 0, "PORT", "port (1883; 8883 with --tls, 8083 with --ws)"},
    {"user", "-u", TEXT, AT(user), 0, 0, 0, "NAME", "user name"},
    {"password", "-P", TEXT, AT(password), 0, 0, 0, "TEXT", "password"},
    {"mqtt", "-V", NUMBER, AT(version), 4, 3, 5, "N", "3 = MQTT 3.1, 4 = 3.1.1, 5 = 5.0 (4)"},
    {"qos", "-q", NUMBER, AT(qos), 0, 0, 2, "N", "quality of service, both ways (0)"},
    {"size", "-s", SIZE, AT(payload), 64, 16, 512 << 10, "BYTES", "payload, 16 to 512k (64)"},
    {"batch", "-b", NUMBER, AT(batch), 0, 1, 4096, "N", "messages per write (1; filters 64)"},
    {"window", "-w", NUMBER, AT(window), 0, 1, 65000, "N", "in flight per publisher (the batch)"},
    {"groups", "-n", NUMBER, AT(groups), 0, 1, 10000, "N", "groups (100 pairs; 1 fan-in/out)"},
    {"publishers", NULL, NUMBER, AT(publishers), 0, 1, 10000, "N", "publishers in each group"},
    {"subscribers", NULL, NUMBER, AT(subscribers), 0, 1, 10000, "N", "subscribers in each group"},
    {"connections", "-c", NUMBER, AT(connections), 10000, 1, 1000000, "N",
     "idle: how many (10000)"},
    {"concurrency", NULL, NUMBER, AT(concurrency), 50, 1, 1000, "N", "opening at a time (50)"},
    {"filters", NULL, SIZE, AT(filters), 100000, 1, 8000000, "N", "filters: how many (100k)"},
    {"retained", NULL, SIZE, AT(retained), 100000, 1, 8000000, "N", "retained: how many (100k)"},
    {"rounds", NULL, NUMBER, AT(rounds), 3, 0, 100, "N", "retained: replays of # (3)"},
    {"rate", "-r", SIZE, AT(rate), 1000, 1, 10000000, "N", "latency: messages a second (1000)"},
    {"count", NULL, SIZE, AT(count), 0, 0, 1u << 31, "N", "stop after N messages (by time)"},
    {"seconds", "-t", SECONDS, AT(duration_ms), 3000, 100, 3600000, "S", "measure so long (3)"},
    {"warmup", NULL, SECONDS, AT(warmup_ms), 300, 0, 60000, "S", "before measuring (0.3)"},
    {"wait", NULL, SECONDS, AT(wait_ms), 0, 0, 3600000, "S", "retry the first connection (0)"},
    {"patience", NULL, SECONDS, AT(patience_ms), 10000, 1, 3600000, "S",
     "offline: give up when nothing moves for so long (10)"},
    {"settle", NULL, SECONDS, AT(settle_ms), 300, 0, 60000, "S",
     "pause before reading memory (0.3)"},
    {"run", NULL, NUMBER, AT(run), 0, 0, 0xffff, "N", "names of clients and topics (any)"},
    {"pid", NULL, NUMBER, AT(pid), 0, 0, 1u << 30, "PID", "the broker: report its CPU and memory"},
    {"ca", NULL, TEXT, AT(ca), 0, 0, 0, "FILE", "verify the server against these authorities"},
    {"ws", NULL, TEXT, AT(ws_path), 0, 0, 0, "PATH", "speak WebSocket, for example --ws /mqtt"},
    {"label", NULL, TEXT, AT(label), 0, 0, 0, "TEXT", "repeated in the result"},
    {"tls", NULL, FLAG, AT(tls), 0, 0, 0, NULL, "speak TLS (unverified without --ca)"},
    {"resume", NULL, FLAG, AT(resume), 0, 0, 0, NULL, "resume the first TLS session"},
    {"match", NULL, FLAG, AT(match), 0, 0, 0, NULL, "filters: publish what one of them matches"},
    {"keep", NULL, FLAG, AT(keep), 0, 0, 0, NULL, "retained, offline: leave them there"},
    {"filled", NULL, FLAG, AT(filled), 0, 0, 0, NULL, "... as a run with --keep has: only fetch"},
    {"relay", NULL, FLAG, AT(relay), 0, 0, 0, NULL, "the peer is skep-relay: no protocol"},
    {"json", NULL, FLAG, AT(json), 0, 0, 0, NULL, "one JSON object instead of text"},
};

static const struct {
    const char *name, *help;
    enum plan_scenario scenario;
    uint64_t groups, publishers, subscribers, batch; /* presets */
} scenarios[] = {
    {"pairs", "each publisher to its own subscriber", PLAN_PAIRS, 100, 1, 1, 1},
    {"fan-in", "200 publishers to one subscriber", PLAN_FAN_IN, 1, 200, 1, 1},
    {"fan-out", "one publisher to 1000 subscribers", PLAN_FAN_OUT, 1, 1, 1000, 1},
    {"latency", "pairs at a fixed rate, whatever comes back", PLAN_LATENCY, 10, 1, 1, 1},
    {"filters", "publish against many filters; memory per filter", PLAN_FILTERS, 1, 50, 10, 64},
    {"storm", "connect and disconnect as fast as it goes", PLAN_STORM, 1, 1, 1, 1},
    {"idle", "open connections and leave them; memory per connection", PLAN_IDLE, 1, 1, 1, 1},
    {"retained", "fill, then replay #; memory per message", PLAN_RETAINED, 1, 1, 1, 256},
    {"offline", "fill a queue whose client is away, then drain it", PLAN_OFFLINE, 1, 10, 1, 64},
    {"ready", "connect once: how long until the broker answers", PLAN_READY, 1, 1, 1, 1},
};

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

static void plan_help(const char *program)
{
    printf("usage: %s SCENARIO [option...]\n\nscenarios:\n", program);
    for (size_t i = 0; i < COUNT(scenarios); i++)
        printf("  %-22s %s\n", scenarios[i].name, scenarios[i].help);
    printf("\noptions (numbers take k and m, times are seconds):\n");
    for (size_t i = 0; i < COUNT(rows); i++) {
        char left[64];
        snprintf(left, sizeof left, "%s%s--%s %s", rows[i].letter ? rows[i].letter : "",
                 rows[i].letter ? ", " : "    ", rows[i].name, rows[i].value ? rows[i].value : "");
        printf("  %-22s %s\n", left, rows[i].help);
    }
    printf("  --shape plus|exact|hash  filters: w/R/NNNN/+/NNNN, .../x/..., w/R/NNNN/NNNN/#\n"
           "\nMessages in flight are bounded, so a correct broker never has a reason to drop one:\n"
           "loss, duplicates and disorder are counted, and any of them makes the exit status 2.\n"
           "With --pid the broker's CPU time is read at both ends of the measured part.\n");
}

static int number_parse(const struct option_row *row, const char *text, uint64_t *out)
{
    char *end;
    errno = 0;
    double v = strtod(text, &end);
    if (end == text || errno || !(v >= 0))
        return -1;
    if (row->kind == SIZE && (*end == 'k' || *end == 'm')) {
        /* Payloads count in 1024s, messages and filters in thousands. */
        double unit = row->offset == AT(payload) ? 1024 : 1000;
        v *= *end++ == 'k' ? unit : unit * unit;
    }
    if (row->kind == SECONDS) {
        v *= 1000;
        if (*end == 's')
            end++;
    }
    if (*end || v > 1e15)
        return -1;
    *out = (uint64_t)v;
    return 0;
}

static int row_set(const struct option_row *row, struct plan *plan, const char *text)
{
    void *field = (char *)plan + row->offset;
    uint64_t v;

    if (row->kind == TEXT) {
        *(const char **)field = text;
        return 0;
    }
    if (number_parse(row, text, &v) < 0) {
        fprintf(stderr, "--%s: \"%s\" is not a number\n", row->name, text);
        return -1;
    }
    if (v < row->least || v > row->most) {
        double unit = row->kind == SECONDS ? 1000 : 1;
        fprintf(stderr, "--%s: %s is outside %g to %g\n", row->name, text, row->least / unit,
                row->most / unit);
        return -1;
    }
    *(uint64_t *)field = v;
    return 0;
}

static const struct option_row *row_find(const char *arg)
{
    for (size_t i = 0; i < COUNT(rows); i++)
        if ((rows[i].letter && strcmp(arg, rows[i].letter) == 0) ||
            (strncmp(arg, "--", 2) == 0 && strcmp(arg + 2, rows[i].name) == 0))
            return &rows[i];
    return NULL;
}

static int shape_set(struct plan *plan, const char *text)
{
    static const char *const names[] = {"plus", "exact", "hash"};
    for (unsigned i = 0; i < COUNT(names); i++)
        if (strcmp(text, names[i]) == 0) {
            plan->shape = (enum plan_shape)i;
            return 0;
        }
    fprintf(stderr, "--shape: \"%s\" is none of plus, exact, hash\n", text);
    return -1;
}

static int arguments_read(struct plan *plan, int argc, char **argv)
{
    for (int i = 2; i < argc; i++) {
        const struct option_row *row = row_find(argv[i]);
        bool is_shape = strcmp(argv[i], "--shape") == 0;

        if (!row && !is_shape) {
            fprintf(stderr, "%s: no such option, see --help\n", argv[i]);
            return -1;
        }
        if (row && row->kind == FLAG) {
            *(bool *)((char *)plan + row->offset) = true;
            continue;
        }
        if (i + 1 == argc) {
            fprintf(stderr, "%s: needs a value\n", argv[i]);
            return -1;
        }
        i++;
        if ((is_shape ? shape_set(plan, argv[i]) : row_set(row, plan, argv[i])) < 0)
            return -1;
    }
    return 0;
}

/* What depends on other options, and combinations that make no sense. */
static int plan_complete(struct plan *plan)
{
    const char *wrong = NULL;

    if (!plan->port)
        plan->port = plan->ws_path ? "8083" : plan->tls ? "8883" : "1883";
    if (plan->scenario == PLAN_LATENCY)
        plan->batch = 1;
    /* An open loop is not to be slowed by its window, but brokers close a client of MQTT 3.1.1
     * that has more than some 20 unacknowledged, without a way to tell it so before. */
    if (plan->window == 0 && plan->scenario == PLAN_LATENCY)
        plan->window = plan->qos ? 16 : 60000;
    if (plan->window == 0)
        plan->window = plan->batch;
    bool traffic = plan->scenario <= PLAN_LATENCY, offline = plan->scenario == PLAN_OFFLINE;
    bool retained = plan->scenario == PLAN_RETAINED;
    if (offline && plan->qos == 0)
        plan->qos = 1;
    if (offline && plan->batch > plan->window)
        plan->batch = plan->window;
    if (plan->window < plan->batch)
        wrong = "--window is smaller than --batch";
    else if (plan->relay && (!traffic || plan->qos || plan->tls || plan->ws_path))
        wrong = "--relay carries pairs, fan-in, fan-out and latency at QoS 0 over plain TCP";
    else if (plan->qos && !traffic && !offline && !(retained && plan->qos == 1))
        wrong = "--qos is for pairs, fan-in, fan-out, latency, offline, and 1 for retained";
    else if (plan->match && plan->scenario != PLAN_FILTERS)
        wrong = "--match is for filters";
    else if ((plan->keep || plan->filled) && !retained && !offline)
        wrong = "--keep and --filled are for retained and offline";
    else if (plan->filled && (!plan->run || (offline && !plan->count) || (offline && plan->keep)))
        wrong = "--filled needs the --run and --count of the run that has, and no --keep";
    else if (plan->resume && !plan->tls)
        wrong = "--resume needs --tls";
    else if (plan->qos && plan->window > 60000)
        wrong = "--window above 60000 would run out of packet identifiers";
    else if (plan->batch * plan->payload > 64u << 20)
        wrong = "--batch times --size is above 64 MB";
    else if (plan->groups * plan->publishers * plan->subscribers > 10000000)
        wrong = "more than ten million publisher-subscriber pairs";
    if (wrong)
        fprintf(stderr, "%s\n", wrong);
    return wrong ? -1 : 0;
}

int plan_parse(struct plan *plan, int argc, char **argv)
{
    *plan = (struct plan){.host = "127.0.0.1", .label = ""};
    for (size_t i = 0; i < COUNT(rows); i++)
        if (rows[i].kind == NUMBER || rows[i].kind == SIZE || rows[i].kind == SECONDS)
            *(uint64_t *)((char *)plan + rows[i].offset) = rows[i].preset;

    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0) {
            plan_help(argv[0]);
            return 1;
        }
    for (size_t i = 0; argc > 1 && i < COUNT(scenarios); i++)
        if (strcmp(argv[1], scenarios[i].name) == 0) {
            plan->scenario = scenarios[i].scenario;
            plan->scenario_name = scenarios[i].name;
            plan->groups = scenarios[i].groups;
            plan->publishers = scenarios[i].publishers;
            plan->subscribers = scenarios[i].subscribers;
            plan->batch = scenarios[i].batch;
        }
    if (!plan->scenario_name) {
        fprintf(stderr, "%s: name a scenario first, see --help\n", argv[0]);
        return -1;
    }
    if (arguments_read(plan, argc, argv) < 0)
        return -1;
    return plan_complete(plan);
}
