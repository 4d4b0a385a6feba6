/* skepctl clients, client, kick, trace: who is connected, and what happens to them. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "ctl/ask.h"
#include "ctl/command.h"
#include "ctl/table.h"

enum { TRACE_PAUSE_MS = 100 };

struct listing {
    bool json, all;
    const char *filter, *username, *listener;
    uint32_t most;
};

static const cJSON *member(const cJSON *o, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(o, name);
}

/* "2026-11-26 16:01:02", here. */
static const char *moment(double wall_ms, char out[32])
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm tm;

    localtime_r(&seconds, &tm);
    strftime(out, 32, "%Y-%m-%d %H:%M:%S", &tm);
    return out;
}

/* A number of milliseconds becomes a time for people. */
static void make_moment(cJSON *o, const char *from, const char *to)
{
    cJSON *item = cJSON_DetachItemFromObjectCaseSensitive(o, from);
    char text[32];

    if (item)
        cJSON_AddStringToObject(o, to, moment(item->valuedouble, text));
    cJSON_Delete(item);
}

/* -- clients -- */

static const struct arg_option clients_options[] = {
    ARG_FIELD(ARG_TEXT, 0, "filter", struct listing, filter, "TEXT",
              "only those with it in their id, user name or address"),
    ARG_FIELD(ARG_TEXT, 'u', "user", struct listing, username, "NAME", "only those of that user"),
    ARG_FIELD(ARG_TEXT, 0, "listener", struct listing, listener, "NAME",
              "only those who came through that listener"),
    ARG_FIELD(ARG_ON, 'a', "all", struct listing, all, NULL, "also sessions whose client is away"),
    ARG_RANGE(ARG_NUMBER, 'n', "most", struct listing, most, "COUNT", 1, 10000,
              "at most so many (1000)"),
    ARG_FIELD(ARG_ON, 0, "json", struct listing, json, NULL, "the answer as it came"),
    ARG_LAST,
};

static void print_clients(const cJSON *answer, bool all)
{
    cJSON *rows = cJSON_Duplicate(member(answer, "clients"), true), *row;

    cJSON_ArrayForEach(row, rows)
    {
        make_moment(row, "connected_at", "since");
        if (!all)
            cJSON_DeleteItemFromObjectCaseSensitive(row, "connected");
    }
    if (rows && rows->child)
        table_print(stdout, rows);
    else
        puts(all ? "there is no session" : "nobody is connected");
    if (ask_number(answer, "left_out") > 0)
        printf("and %.0f more\n", ask_number(answer, "left_out"));
    cJSON_Delete(rows);
}

static void add_text(cJSON *request, const char *name, const char *text)
{
    if (text)
        cJSON_AddStringToObject(request, name, text);
}

int clients_command(int argc, char **argv)
{
    struct control_conf conf = {.timeout_ms = CONTROL_TIMEOUT_MS};
    struct listing l = {.most = 1000};
    struct arg_command command = {
        .name = "skepctl clients",
        .usage = "[OPTIONS]",
        .summary = "Lists the clients of the running Skep.",
        .sets = {{clients_options, &l}, {control_options, &conf}},
    };
    int status = ask_parse(&command, 0, argc, argv);
    cJSON *request, *answer;

    if (status >= 0)
        return status;
    request = ask_request("clients");
    cJSON_AddBoolToObject(request, "list", true);
    cJSON_AddBoolToObject(request, "all", l.all);
    cJSON_AddNumberToObject(request, "most", l.most);
    add_text(request, "filter", l.filter);
    add_text(request, "username", l.username);
    add_text(request, "listener", l.listener);
    status = (int)ask(&command, &conf, request, &answer);
    if (status == CTL_OK && l.json)
        ask_print(member(answer, "clients"));
    else if (status == CTL_OK)
        print_clients(answer, l.all);
    cJSON_Delete(answer);
    return status;
}

/* -- client -- */

static void print_part(const cJSON *client, const char *name, const char *title)
{
    const cJSON *part = member(client, name);

    if (!part || !part->child)
        return;
    printf("\n%s\n", title);
    table_print(stdout, part);
}

static void print_client(cJSON *client)
{
    cJSON *row, *item;

    make_moment(client, "connected_at", "since");
    make_moment(client, "ends_at", "ends");
    cJSON_ArrayForEach(row, member(client, "decisions"))
    {
        make_moment(row, "wall_ms", "at");
    }
    cJSON_ArrayForEach(item, client)
    {
        if (cJSON_IsObject(item) || cJSON_IsArray(item))
            continue;
        printf("%-20s ", item->string);
        table_value(stdout, item);
        putchar('\n');
    }
    print_part(client, "attributes", "ATTRIBUTES");
    print_part(client, "quotas", "QUOTAS");
    print_part(client, "rules", "RULES OF ITS OWN");
    print_part(client, "filters", "SUBSCRIPTIONS");
    print_part(client, "decisions", "LAST DECISIONS");
}

int client_command(int argc, char **argv)
{
    static const struct arg_option options[] = {
        ARG_FIELD(ARG_ON, 0, "json", struct control_conf, json, NULL, "the answer as it came"),
        ARG_LAST,
    };
    struct control_conf conf = {.timeout_ms = CONTROL_TIMEOUT_MS};
    struct arg_command command = {
        .name = "skepctl client",
        .usage = "[OPTIONS] CLIENT_ID",
        .summary = "Tells all about one client, connected or away: who it is, what it may, what "
                   "it is subscribed to, and what modules decided about it last.",
        .sets = {{options, &conf}, {control_options, &conf}},
    };
    int status = ask_parse(&command, 1, argc, argv);
    cJSON *request, *answer;

    if (status >= 0)
        return status;
    if (command.word_count == 0) {
        arg_error(&command, "which client?  skepctl clients lists them");
        return CTL_USAGE;
    }
    request = ask_request("client");
    cJSON_AddStringToObject(request, "id", command.words[0]);
    status = (int)ask(&command, &conf, request, &answer);
    if (status == CTL_OK && conf.json)
        ask_print(member(answer, "client"));
    else if (status == CTL_OK)
        print_client(cJSON_GetObjectItemCaseSensitive(answer, "client"));
    cJSON_Delete(answer);
    return status;
}

/* -- kick -- */

struct kicking {
    uint32_t reason;
    const char *text;
};

int kick_command(int argc, char **argv)
{
    static const struct arg_option options[] = {
        ARG_RANGE(ARG_NUMBER, 0, "reason", struct kicking, reason, "CODE", 128, 162,
                  "reason code of the DISCONNECT (152, administrative action)"),
        ARG_FIELD(ARG_TEXT, 0, "text", struct kicking, text, "TEXT",
                  "reason string for MQTT 5 clients"),
        ARG_LAST,
    };
    struct control_conf conf = {.timeout_ms = CONTROL_TIMEOUT_MS};
    struct kicking kicking = {.reason = 152};
    struct arg_command command = {
        .name = "skepctl kick",
        .usage = "[OPTIONS] CLIENT_ID",
        .summary = "Ends the connection of a client.  Its session stays if it is to outlive "
                   "connections.",
        .sets = {{options, &kicking}, {control_options, &conf}},
    };
    int status = ask_parse(&command, 1, argc, argv);
    cJSON *request, *answer;

    if (status >= 0)
        return status;
    if (command.word_count == 0) {
        arg_error(&command, "which client?  skepctl clients lists them");
        return CTL_USAGE;
    }
    request = ask_request("kick");
    cJSON_AddStringToObject(request, "id", command.words[0]);
    cJSON_AddNumberToObject(request, "reason", kicking.reason);
    add_text(request, "text", kicking.text);
    status = (int)ask(&command, &conf, request, &answer);
    cJSON_Delete(answer);
    return status;
}

/* -- trace -- */

struct tracing {
    bool json;
    const char *client, *topic;
    uint32_t count, timeout_ms;
};

static volatile sig_atomic_t stopped;

static void on_signal(int signal)
{
    stopped = 1;
}

static void print_event(const cJSON *e)
{
    static const char *const words[] = {"topic", "stage", "verdict", "reason", "text"};
    double wall_ms = ask_number(e, "wall_ms");
    char when[32];

    printf("%s.%03u %-15s %s", moment(wall_ms, when), (unsigned)((uint64_t)wall_ms % 1000),
           ask_text(e, "event"), ask_text(e, "client"));
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        const cJSON *item = member(e, words[i]);
        if (!item)
            continue;
        fputs(i == 0 ? "  " : ", ", stdout);
        table_value(stdout, item);
        if (i == 0 && member(e, "qos"))
            printf(" QoS %.0f%s", ask_number(e, "qos"),
                   cJSON_IsTrue(member(e, "retain")) ? " retained" : "");
    }
    if (member(e, "receivers"))
        printf(", %.0f receivers", ask_number(e, "receivers"));
    putchar('\n');
}

/* Prints what came; false: that was enough. */
static bool print_events(const struct tracing *t, const cJSON *answer, uint32_t *count)
{
    const cJSON *event;

    cJSON_ArrayForEach(event, member(answer, "events"))
    {
        if (t->json)
            ask_print(event);
        else
            print_event(event);
        if (t->count > 0 && ++*count == t->count)
            return false;
    }
    if (ask_number(answer, "dropped") > 0)
        fprintf(stderr, "skepctl trace: %.0f events came too fast and are left out\n",
                ask_number(answer, "dropped"));
    fflush(stdout);
    return true;
}

static cJSON *trace_request(const char *what, double number)
{
    cJSON *request = ask_request("trace");

    cJSON_AddNumberToObject(request, what, number);
    return request;
}

static uint64_t now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static enum ctl_status follow(const struct tracing *t, struct control_link *link, double number,
                              struct fault *fault)
{
    uint64_t end_ms = t->timeout_ms ? now_ms() + t->timeout_ms : UINT64_MAX;
    uint32_t count = 0;
    bool more = true;

    while (more && !stopped && now_ms() < end_ms) {
        cJSON *answer;
        enum ctl_status status = control_ask(link, trace_request("next", number), &answer, fault);
        if (status != CTL_OK)
            return status;
        more = print_events(t, answer, &count);
        cJSON_Delete(answer);
        if (more)
            nanosleep(&(struct timespec){.tv_nsec = TRACE_PAUSE_MS * 1000000l}, NULL);
    }
    return CTL_OK;
}

static enum ctl_status trace(const struct tracing *t, const struct control_conf *conf,
                             struct fault *fault)
{
    struct control_link *link = NULL;
    cJSON *request, *answer = NULL;
    enum ctl_status status = control_connect(&link, conf, fault);

    if (status == CTL_OK) {
        request = ask_request("trace");
        add_text(request, "client", t->client);
        add_text(request, "topic", t->topic);
        status = control_ask(link, request, &answer, fault);
    }
    if (status == CTL_OK) {
        double number = ask_number(answer, "trace");
        cJSON_Delete(answer);
        answer = NULL;
        status = follow(t, link, number, fault);
        if (status == CTL_OK)
            status = control_ask(link, trace_request("end", number), &answer, fault);
    }
    cJSON_Delete(answer);
    control_free(&link);
    return status;
}

int trace_command(int argc, char **argv)
{
    static const struct arg_option options[] = {
        ARG_FIELD(ARG_TEXT, 0, "client", struct tracing, client, "CLIENT_ID",
                  "only what concerns that client"),
        ARG_FIELD(ARG_TEXT, 't', "topic", struct tracing, topic, "FILTER",
                  "only what concerns topics of that filter"),
        ARG_RANGE(ARG_NUMBER, 'C', "count", struct tracing, count, "COUNT", 1, UINT32_MAX,
                  "end after so many events"),
        ARG_FIELD(ARG_SECONDS, 0, "for", struct tracing, timeout_ms, "SECONDS",
                  "end after that time"),
        ARG_FIELD(ARG_ON, 0, "json", struct tracing, json, NULL, "an object a line"),
        ARG_LAST,
    };
    struct control_conf conf = {.timeout_ms = CONTROL_TIMEOUT_MS};
    struct tracing t = {0};
    struct arg_command command = {
        .name = "skepctl trace",
        .usage = "[OPTIONS]",
        .summary = "Prints what happens in the running Skep, event by event, until it is "
                   "interrupted.  It costs the broker little but where all traffic is asked for.",
        .sets = {{options, &t}, {control_options, &conf}},
    };
    struct sigaction action = {.sa_handler = on_signal};
    struct fault fault = {0};
    int status = ask_parse(&command, 0, argc, argv);

    if (status >= 0)
        return status;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    enum ctl_status result = trace(&t, &conf, &fault);
    return result == CTL_OK ? CTL_OK : (int)ask_fail(&command, result, &fault);
}
