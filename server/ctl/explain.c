/* skepctl explain: what the modules would say, and why. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "ctl/ask.h"
#include "ctl/bytes.h"
#include "ctl/command.h"
#include "ctl/prompt.h"
#include "ctl/table.h"

struct question {
    bool json, ask_password, retain;
    const char *client, *username, *listener, *address, *password_file, *payload;
    uint32_t qos;
};

static const cJSON *member(const cJSON *o, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(o, name);
}

#define WHO_OPTIONS                                                                                \
    ARG_FIELD(ARG_TEXT, 'u', "username", struct question, username, "NAME", "its user name"),      \
        ARG_FIELD(ARG_TEXT, 0, "listener", struct question, listener, "NAME",                      \
                  "the listener it comes through (the first one)"),                                \
        ARG_FIELD(ARG_TEXT, 0, "address", struct question, address, "ADDRESS",                     \
                  "where it comes from (127.0.0.1:0)"),                                            \
        ARG_FIELD(ARG_ON, 0, "json", struct question, json, NULL, "the answer as it came")

static const struct arg_option connect_options[] = {
    ARG_FIELD(ARG_TEXT, 'i', "id", struct question, client, "CLIENT_ID", "its client id"),
    ARG_FIELD(ARG_ON, 'P', "ask-password", struct question, ask_password, NULL,
              "ask for its password on the terminal"),
    ARG_FIELD(ARG_TEXT, 0, "password-file", struct question, password_file, "FILE",
              "its password is the first line of a file, - for standard input"),
    WHO_OPTIONS,
    ARG_LAST,
};

static const struct arg_option subscribe_options[] = {
    ARG_RANGE(ARG_NUMBER, 'q', "qos", struct question, qos, "QOS", 0, 2, "the QoS asked for (0)"),
    WHO_OPTIONS,
    ARG_LAST,
};

static const struct arg_option publish_options[] = {
    ARG_RANGE(ARG_NUMBER, 'q', "qos", struct question, qos, "QOS", 0, 2, "its QoS (0)"),
    ARG_FIELD(ARG_ON, 'r', "retain", struct question, retain, NULL, "to be retained"),
    ARG_FIELD(ARG_TEXT, 'm', "message", struct question, payload, "TEXT", "the payload"),
    WHO_OPTIONS,
    ARG_LAST,
};

static void add_text(cJSON *request, const char *name, const char *text)
{
    if (text)
        cJSON_AddStringToObject(request, name, text);
}

/* -- The answer, for people -- */

static void print_where(const cJSON *o)
{
    static const char *const words[] = {"by", "where", "text"};

    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (!member(o, words[i]))
            continue;
        fputs(i == 0 ? " by " : ": ", stdout);
        table_value(stdout, member(o, words[i]));
    }
}

static void print_answer(const cJSON *a)
{
    const cJSON *steps = member(a, "steps"), *receivers = member(a, "receivers"), *step;

    cJSON_ArrayForEach(step, steps)
    {
        printf("%-10s %s", ask_text(step, "stage"), ask_text(step, "says"));
        print_where(step);
        putchar('\n');
    }
    printf("%s", ask_text(a, "verdict"));
    if (member(a, "reason_text"))
        printf(" (%s)", ask_text(a, "reason_text"));
    print_where(a);
    if (member(a, "qos"))
        printf(", QoS %.0f", ask_number(a, "qos"));
    putchar('\n');
    if (member(a, "message") && strcmp(ask_text(a, "message"), "allow") != 0)
        printf("the message: %s\n", ask_text(a, "message"));
    if (member(a, "topic"))
        printf("the topic becomes %s\n", ask_text(a, "topic"));
    if (receivers && receivers->child) {
        puts("\nRECEIVERS");
        table_print(stdout, receivers);
    } else if (receivers) {
        puts("nobody is subscribed to it");
    }
    if (ask_number(a, "receivers_more") > 0)
        printf("and %.0f more\n", ask_number(a, "receivers_more"));
}

/* -- The question -- */

static int read_password(const struct question *q, struct bytes *out, struct fault *fault)
{
    if (q->ask_password)
        return prompt_password(out, "Password of the client: ", fault);
    return q->password_file ? prompt_first_line(out, q->password_file, fault) : 0;
}

static int ask_it(struct arg_command *command, const struct control_conf *conf,
                  const struct question *q, const char *what, const char *topic)
{
    cJSON *request = ask_request("explain"), *answer = NULL;
    struct bytes password = {0};
    struct fault fault = {0};

    if (read_password(q, &password, &fault) < 0) {
        cJSON_Delete(request);
        return (int)ask_fail(command, CTL_FAILED, &fault);
    }
    cJSON_AddStringToObject(request, "what", what);
    add_text(request, "client", q->client);
    add_text(request, "username", q->username);
    add_text(request, "listener", q->listener);
    add_text(request, "address", q->address);
    add_text(request, "payload", q->payload);
    add_text(request, "topic", topic);
    cJSON_AddNumberToObject(request, "qos", q->qos);
    cJSON_AddBoolToObject(request, "retain", q->retain);
    if (password.len > 0)
        cJSON_AddStringToObject(request, "password", (const char *)password.ptr);
    bytes_fini(&password);
    int status = (int)ask(command, conf, request, &answer);
    if (status == CTL_OK && q->json)
        ask_print(answer);
    else if (status == CTL_OK)
        print_answer(answer);
    if (status == CTL_OK && strcmp(ask_text(answer, "verdict"), "allow") != 0)
        status = CTL_REFUSED;
    cJSON_Delete(answer);
    return status;
}

static int explain_connect(int argc, char **argv)
{
    struct control_conf conf = {.timeout_ms = CONTROL_TIMEOUT_MS};
    struct question q = {.client = ""};
    struct arg_command command = {
        .name = "skepctl explain connect",
        .usage = "[OPTIONS]",
        .summary = "Asks the modules whether such a client might connect.  Nothing comes of it.",
        .sets = {{connect_options, &q}, {control_options, &conf}},
    };
    int status = ask_parse(&command, 0, argc, argv);

    return status >= 0 ? status : ask_it(&command, &conf, &q, "connect", NULL);
}

static int explain_topic(struct arg_command *command, struct control_conf *conf, struct question *q,
                         const char *what, int argc, char **argv)
{
    int status = ask_parse(command, 2, argc, argv);

    if (status >= 0)
        return status;
    if (command->word_count < 2) {
        arg_error(command, "who, and what?");
        return CTL_USAGE;
    }
    q->client = command->words[0];
    return ask_it(command, conf, q, what, command->words[1]);
}

static int explain_subscribe(int argc, char **argv)
{
    struct control_conf conf = {.timeout_ms = CONTROL_TIMEOUT_MS};
    struct question q = {0};
    struct arg_command command = {
        .name = "skepctl explain subscribe",
        .usage = "[OPTIONS] CLIENT_ID FILTER",
        .summary = "Asks the modules whether that client, which need not be connected, may have "
                   "the filter.  Nothing comes of it.",
        .sets = {{subscribe_options, &q}, {control_options, &conf}},
    };

    return explain_topic(&command, &conf, &q, "subscribe", argc, argv);
}

static int explain_publish(int argc, char **argv)
{
    struct control_conf conf = {.timeout_ms = CONTROL_TIMEOUT_MS};
    struct question q = {0};
    struct arg_command command = {
        .name = "skepctl explain publish",
        .usage = "[OPTIONS] CLIENT_ID TOPIC",
        .summary = "Asks the modules whether that client, which need not be connected, may "
                   "publish there, and who would receive it.  Nothing is sent.",
        .sets = {{publish_options, &q}, {control_options, &conf}},
    };

    return explain_topic(&command, &conf, &q, "publish", argc, argv);
}

int explain_command(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
    } commands[] = {
        {"connect", explain_connect},
        {"subscribe", explain_subscribe},
        {"publish", explain_publish},
    };
    struct arg_command command = {
        .name = "skepctl explain",
        .usage = "connect|subscribe|publish ...",
        .summary = "Tells what the modules of the running Skep would say, and why.",
    };

    for (size_t i = 0; argc > 1 && i < ARRAY_LEN(commands); i++) {
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    }
    int status = ask_parse(&command, 0, argc, argv);
    if (status >= 0)
        return status;
    arg_error(&command, "connect, subscribe or publish?");
    return CTL_USAGE;
}
