#include "text.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

enum { TEXT_FIRST = 16 * 1024, NUMBER = 40 };

/* -- Bytes -- */

static bool room(struct text *t, size_t more)
{
    size_t cap = t->cap ? t->cap : TEXT_FIRST;

    while (cap < t->len + more)
        cap *= 2;
    if (t->failed || cap == t->cap)
        return !t->failed;
    char *bytes = realloc(t->bytes, cap);
    if (!bytes) {
        t->failed = true;
        return false;
    }
    t->bytes = bytes;
    t->cap = cap;
    return true;
}

static void put(struct text *t, const char *s, size_t len)
{
    if (!room(t, len))
        return;
    memcpy(t->bytes + t->len, s, len);
    t->len += len;
}

static void put_str(struct text *t, const char *s)
{
    put(t, s, strlen(s));
}

static void put_words(struct text *t, const char *first, ...)
{
    va_list args;

    va_start(args, first);
    for (const char *s = first; s; s = va_arg(args, const char *))
        put_str(t, s);
    va_end(args);
}

/* -- Numbers -- */

/* The shortest that reads back as the same. */
static void number(char out[NUMBER], double value, bool with_point)
{
    if (isnan(value)) {
        snprintf(out, NUMBER, "NaN");
    } else if (isinf(value)) {
        snprintf(out, NUMBER, value > 0 ? "+Inf" : "-Inf");
    } else if (value == floor(value) && fabs(value) < 9007199254740992.0) {
        snprintf(out, NUMBER, with_point ? "%.1f" : "%.0f", value);
    } else {
        for (int digits = 6; digits <= 17; digits++) {
            snprintf(out, NUMBER, "%.*g", digits, value);
            if (strtod(out, NULL) == value)
                return;
        }
    }
}

/* -- Families -- */

static bool ends_in_total(const char *name)
{
    size_t len = strlen(name);

    return len > 6 && strcmp(name + len - 6, "_total") == 0;
}

static void put_help(struct text *t, const char *help)
{
    for (; *help; help++) {
        if (*help == '\\')
            put_str(t, "\\\\");
        else if (*help == '\n')
            put_str(t, "\\n");
        else if (*help == '"' && t->open)
            put_str(t, "\\\"");
        else
            put(t, help, 1);
    }
}

static void begin_family(struct text *t, const struct skep_sample *s)
{
    static const char *const types[] = {"counter", "gauge", "histogram"};
    char name[256];

    if (strcmp(t->family, s->name) == 0)
        return;
    snprintf(t->family, sizeof t->family, "%s", s->name);
    snprintf(name, sizeof name, "%s", s->name);
    /* In OpenMetrics `_total` belongs to the sample of a counter, not to its family. */
    if (t->open && s->kind == SKEP_COUNTER && ends_in_total(name))
        name[strlen(name) - 6] = '\0';
    put_words(t, "# HELP ", name, " ", NULL);
    put_help(t, s->help ? s->help : "");
    put_words(t, "\n# TYPE ", name, " ", types[s->kind], "\n", NULL);
}

static void put_line(struct text *t, const struct skep_sample *s, const char *suffix,
                     const char *le, const char *value)
{
    put_words(t, s->name, suffix, NULL);
    if (*s->labels || le)
        put_words(t, "{", s->labels, *s->labels && le ? "," : "", NULL);
    if (le)
        put_words(t, "le=\"", le, "\"", NULL);
    if (*s->labels || le)
        put_str(t, "}");
    put_words(t, " ", value, "\n", NULL);
}

static void add_histogram(struct text *t, const struct skep_sample *s)
{
    char le[NUMBER], value[NUMBER];
    uint64_t below = 0;

    for (size_t i = 0; i < s->bound_count; i++) {
        below += s->buckets[i];
        number(le, s->bounds[i], t->open);
        snprintf(value, sizeof value, "%" PRIu64, below);
        put_line(t, s, "_bucket", le, value);
    }
    /* From the buckets, not from s->count: the two are read at slightly different times. */
    snprintf(value, sizeof value, "%" PRIu64, below + s->buckets[s->bound_count]);
    put_line(t, s, "_bucket", "+Inf", value);
    number(le, s->sum, false);
    put_line(t, s, "_sum", NULL, le);
    put_line(t, s, "_count", NULL, value);
}

void text_begin(struct text *t, bool open_metrics)
{
    t->len = 0;
    t->open = open_metrics;
    t->failed = false;
    t->family[0] = '\0';
}

void text_add(struct text *t, const struct skep_sample *s)
{
    char value[NUMBER];

    begin_family(t, s);
    if (s->kind == SKEP_HISTOGRAM) {
        add_histogram(t, s);
        return;
    }
    number(value, s->value, false);
    bool total = t->open && s->kind == SKEP_COUNTER && !ends_in_total(s->name);
    put_line(t, s, total ? "_total" : "", NULL, value);
}

void text_end(struct text *t)
{
    if (t->open)
        put_str(t, "# EOF\n");
}

void text_fini(struct text *t)
{
    free(t->bytes);
    *t = (struct text){0};
}

/* -- Which one -- */

/* The weight of a media range `type;q=0.5;...`. */
static double weight(struct skep_str range)
{
    for (size_t i = 0; i + 2 < range.len; i++) {
        if ((range.ptr[i] == 'q' || range.ptr[i] == 'Q') && range.ptr[i + 1] == '=' && i > 0 &&
            (range.ptr[i - 1] == ';' || range.ptr[i - 1] == ' ')) {
            char text[8] = "";
            size_t len = range.len - i - 2;
            memcpy(text, range.ptr + i + 2, len < sizeof text - 1 ? len : sizeof text - 1);
            return strtod(text, NULL);
        }
    }
    return 1;
}

static bool is_type(struct skep_str range, const char *type)
{
    size_t len = strlen(type);

    return range.len >= len && strncasecmp(range.ptr, type, len) == 0 &&
           (range.len == len || range.ptr[len] == ';' || range.ptr[len] == ' ');
}

static double best(struct skep_str accept, const char *type)
{
    const char *at = accept.ptr, *end = at + accept.len;
    double found = 0;

    while (at < end) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        const char *stop = comma ? comma : end;
        while (at < stop && *at == ' ')
            at++;
        struct skep_str range = skep_bytes(at, (size_t)(stop - at));
        if (is_type(range, type) && weight(range) > found)
            found = weight(range);
        at = stop + 1;
    }
    return found;
}

bool text_wants_open_metrics(struct skep_str accept)
{
    double open = accept.len ? best(accept, "application/openmetrics-text") : 0;

    return open > 0 && open >= best(accept, "text/plain");
}

const char *text_content_type(bool open_metrics)
{
    return open_metrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                        : "text/plain; version=0.0.4; charset=utf-8";
}
