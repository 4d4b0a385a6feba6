#include "ctl/arg.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { NAME_COLUMN = 34, HELP_WIDTH = 96, WORDS_MAX = 4, DISTANCE_MAX = 40 };

void arg_list_add(struct arg_list *list, const char *item)
{
    list->items = xrealloc(list->items, (list->count + 1) * sizeof *list->items);
    list->items[list->count++] = item;
}

void arg_list_fini(struct arg_list *list)
{
    free(list->items);
    *list = (struct arg_list){0};
}

void arg_command_fini(struct arg_command *command)
{
    for (size_t i = 0; i < command->owned.count; i++)
        free((char *)(uintptr_t)command->owned.items[i]);
    arg_list_fini(&command->owned);
}

int arg_error(const struct arg_command *command, const char *format, ...)
{
    va_list ap;

    fprintf(stderr, "%s: ", command->name);
    va_start(ap, format);
    vfprintf(stderr, format, ap);
    va_end(ap);
    fprintf(stderr, "\n(%s --help lists the options)\n", command->name);
    return -1;
}

int arg_number(const char *text, uint32_t lo, uint32_t hi, uint32_t *out)
{
    char *end;
    unsigned long long value;

    if (!isdigit((unsigned char)text[0]))
        return -1;
    errno = 0;
    value = strtoull(text, &end, 10);
    if (errno != 0 || *end != '\0' || value < lo || value > hi)
        return -1;
    *out = (uint32_t)value;
    return 0;
}

int arg_duration_ms(const char *text, uint32_t *out)
{
    static const struct {
        const char *suffix;
        double ms;
    } units[] = {{"", 1e3}, {"ms", 1}, {"s", 1e3}, {"m", 60e3}, {"h", 3600e3}};
    char *end;
    double value;

    if (!isdigit((unsigned char)text[0]) && text[0] != '.')
        return -1;
    value = strtod(text, &end);
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        if (strcmp(end, units[i].suffix) != 0)
            continue;
        value *= units[i].ms;
        if (!(value >= 0 && value <= (double)UINT32_MAX))
            return -1;
        *out = (uint32_t)value;
        return 0;
    }
    return -1;
}

/* -- Did you mean -- */

unsigned arg_distance(const char *a, const char *b)
{
    unsigned rows[3][DISTANCE_MAX + 1];
    size_t la = strlen(a), lb = strlen(b);

    if (la > DISTANCE_MAX || lb > DISTANCE_MAX)
        return DISTANCE_MAX;
    for (size_t j = 0; j <= lb; j++)
        rows[0][j] = (unsigned)j;
    for (size_t i = 1; i <= la; i++) {
        unsigned *row = rows[i % 3], *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];

        row[0] = (unsigned)i;
        for (size_t j = 1; j <= lb; j++) {
            unsigned best = above[j - 1] + (a[i - 1] != b[j - 1]);

            best = above[j] + 1 < best ? above[j] + 1 : best;
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                above2[j - 2] + 1 < best)
                best = above2[j - 2] + 1;
            row[j] = best;
        }
    }
    return rows[la % 3][lb];
}

static const char *nearest_name(const struct arg_command *command, const char *name)
{
    const char *best = NULL;
    unsigned best_distance = 3;

    for (const struct arg_set *set = command->sets; set->options; set++) {
        for (const struct arg_option *o = set->options; o->kind != ARG_END; o++) {
            if (o->kind == ARG_SECTION || !o->name)
                continue;
            if (arg_distance(name, o->name) < best_distance) {
                best = o->name;
                best_distance = arg_distance(name, o->name);
            }
        }
    }
    return best;
}

/* -- Help -- */

/* Prints text in the column `left`, wrapped; the cursor stands at `at`. */
static void print_wrapped(const char *text, int at, int left)
{
    if (at > 0 && at >= left) {
        putchar('\n');
        at = 0;
    }
    printf("%*s", left - at, "");
    at = left;
    while (*text) {
        int word = (int)strcspn(text, " ");

        if (at > left && at + 1 + word > HELP_WIDTH) {
            printf("\n%*s", left, "");
            at = left;
        } else if (at > left) {
            putchar(' ');
            at++;
        }
        printf("%.*s", word, text);
        at += word;
        text += word;
        text += strspn(text, " ");
    }
    putchar('\n');
}

static void print_option(const struct arg_option *o)
{
    char left[100];
    int at =
        snprintf(left, sizeof left, o->key ? "  -%c%s" : "      ", o->key, o->name ? ", " : "");

    if (!o->key)
        at = 6;
    if (o->name)
        at += snprintf(left + at, sizeof left - (size_t)at, "--%s", o->name);
    if (o->value)
        at += snprintf(left + at, sizeof left - (size_t)at, " %s", o->value);
    printf("%s", left);
    print_wrapped(o->help, at, NAME_COLUMN);
}

static void print_help(const struct arg_command *command)
{
    printf("Usage: %s %s\n\n", command->name, command->usage);
    print_wrapped(command->summary, 0, 0);
    for (const struct arg_set *set = command->sets; set->options; set++) {
        for (const struct arg_option *o = set->options; o->kind != ARG_END; o++) {
            if (o->kind == ARG_SECTION)
                printf("\n%s\n", o->name);
            else
                print_option(o);
        }
    }
    if (command->properties) {
        printf("  -D PACKET PROPERTY VALUE");
        print_wrapped("a property named as mosquitto_pub names it; same as its long option", 26,
                      NAME_COLUMN);
    }
    printf("      --help");
    print_wrapped("show this text", 12, NAME_COLUMN);
    if (command->after)
        printf("\n%s", command->after);
}

/* -- Parsing -- */

struct parser {
    struct arg_command *command;
    int argc, at; /* argv[at] is the next word */
    char **argv;
};

static int option_words(const struct arg_option *o)
{
    int count = o->value ? 1 : 0;

    for (const char *c = o->value; c && *c; c++)
        count += *c == ' ';
    return count;
}

static int option_refuse(const struct parser *p, const struct arg_option *o, const char *value,
                         const char *expected)
{
    return arg_error(p->command, "%s%s: '%s' is not %s", o->name ? "--" : "-",
                     o->name ? o->name : (char[]){o->key, 0}, value, expected);
}

/* Stores the value of one option in its set's struct. */
static int option_store(const struct parser *p, const struct arg_option *o, void *target,
                        const char *const *words)
{
    void *field = (char *)target + o->offset;
    char range[64];

    switch (o->kind) {
    case ARG_ON:
    case ARG_OFF:
        *(bool *)field = o->kind == ARG_ON;
        return 0;
    case ARG_TEXT:
        *(const char **)field = words[0];
        return 0;
    case ARG_LIST:
        arg_list_add(field, words[0]);
        return 0;
    case ARG_NUMBER:
        if (arg_number(words[0], o->min, o->max, field) == 0)
            return 0;
        snprintf(range, sizeof range, "a number from %u to %u", o->min, o->max);
        return option_refuse(p, o, words[0], range);
    case ARG_SECONDS:
        if (arg_duration_ms(words[0], field) == 0)
            return 0;
        return option_refuse(p, o, words[0], "a time in seconds (or like 500ms, 5m, 1h)");
    default:
        return o->call(target, words);
    }
}

/* Takes the words that the option needs: `joined` (from --name=value or -kvalue) or NULL first. */
static int option_take(struct parser *p, const struct arg_option *o, void *target,
                       const char *joined)
{
    const char *words[WORDS_MAX] = {NULL};
    int need = option_words(o), have = 0;

    if (joined && need == 0)
        return arg_error(p->command, "--%s takes no value, but got '%s'", o->name, joined);
    if (joined)
        words[have++] = joined;
    while (have < need) {
        if (p->at >= p->argc)
            return arg_error(p->command, "%s%s needs a value: %s", o->name ? "--" : "-",
                             o->name ? o->name : (char[]){o->key, 0}, o->value);
        words[have++] = p->argv[p->at++];
    }
    return option_store(p, o, target, words);
}

static const struct arg_option *find_long(const struct parser *p, const char *name, size_t len,
                                          void **target)
{
    for (const struct arg_set *set = p->command->sets; set->options; set++) {
        for (const struct arg_option *o = set->options; o->kind != ARG_END; o++) {
            if (o->kind != ARG_SECTION && o->name && strlen(o->name) == len &&
                memcmp(o->name, name, len) == 0) {
                *target = set->target;
                return o;
            }
        }
    }
    return NULL;
}

static const struct arg_option *find_short(const struct parser *p, char key, void **target)
{
    for (const struct arg_set *set = p->command->sets; set->options; set++) {
        for (const struct arg_option *o = set->options; o->kind != ARG_END; o++) {
            if (o->kind != ARG_SECTION && o->key == key) {
                *target = set->target;
                return o;
            }
        }
    }
    return NULL;
}

static int parse_long(struct parser *p, const char *word)
{
    size_t len = strcspn(word, "=");
    void *target = NULL;
    const struct arg_option *o = find_long(p, word, len, &target);
    char name[64];
    const char *near;

    if (o)
        return option_take(p, o, target, word[len] == '=' ? word + len + 1 : NULL);
    snprintf(name, sizeof name, "%.*s", (int)len, word);
    near = nearest_name(p->command, name);
    if (near)
        return arg_error(p->command, "there is no option --%s; did you mean --%s?", name, near);
    return arg_error(p->command, "there is no option --%s", name);
}

static int property_unknown(const struct parser *p, const char *packet, const char *name)
{
    return arg_error(p->command, "-D: there is no property '%s' of %s here", name, packet);
}

/* -D PACKET NAME VALUE, or -D PACKET user-property NAME VALUE. */
static int parse_property(struct parser *p)
{
    const struct arg_property *row = p->command->properties;
    const char *packet, *name, *value;
    const struct arg_option *o;
    void *target = NULL;
    bool pair;

    if (p->argc - p->at < 3)
        return arg_error(p->command, "-D needs three words: PACKET PROPERTY VALUE");
    packet = p->argv[p->at++];
    name = p->argv[p->at++];
    value = p->argv[p->at++];
    pair = strcmp(name, "user-property") == 0;
    while (row->packet && (strcmp(row->packet, packet) != 0 || strcmp(row->name, name) != 0))
        row++;
    o = row->packet ? find_long(p, row->option, strlen(row->option), &target) : NULL;
    if (!o)
        return property_unknown(p, packet, name);
    if (pair) {
        char *joined;

        if (p->at >= p->argc)
            return arg_error(p->command, "-D %s user-property needs a name and a value", packet);
        if (asprintf(&joined, "%s=%s", value, p->argv[p->at++]) < 0)
            return -1;
        arg_list_add(&p->command->owned, joined);
        value = joined;
    }
    return option_store(p, o, target, &value);
}

/* A cluster: flags may be joined, the last one may take the rest as its value. */
static int parse_short(struct parser *p, const char *word)
{
    for (; *word; word++) {
        void *target = NULL;
        const struct arg_option *o = find_short(p, *word, &target);

        if (!o)
            return arg_error(p->command, "there is no option -%c", *word);
        if (option_words(o) > 0)
            return option_take(p, o, target, word[1] ? word + 1 : NULL);
        if (option_take(p, o, target, NULL) < 0)
            return -1;
    }
    return 0;
}

int arg_parse(struct arg_command *command, int argc, char **argv)
{
    struct parser p = {command, argc, 1, argv};
    int kept = 0;

    command->words = (const char **)argv + 1;
    while (p.at < argc) {
        char *word = argv[p.at++];
        int err = 0;

        if (strcmp(word, "--") == 0) {
            while (p.at < argc)
                argv[1 + kept++] = argv[p.at++];
        } else if (strcmp(word, "--help") == 0) {
            print_help(command);
            return 1;
        } else if (command->properties &&
                   (strcmp(word, "-D") == 0 || strcmp(word, "--mqtt-property") == 0)) {
            err = parse_property(&p);
        } else if (word[0] == '-' && word[1] == '-') {
            err = parse_long(&p, word + 2);
        } else if (word[0] == '-' && word[1] != '\0') {
            err = parse_short(&p, word + 1);
        } else {
            argv[1 + kept++] = word;
        }
        if (err < 0)
            return -1;
    }
    command->word_count = kept;
    return 0;
}
