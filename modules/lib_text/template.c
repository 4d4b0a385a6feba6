#include "lib_text/template.h"

#include <stdlib.h>

enum { TEMPLATE_MAX = 16384 };

struct part {
    struct skep_str literal; /* before the placeholder */
    int variable;            /* -1: none, the end of the text */
    bool base64;
    char *attribute;
};

struct template
{
    char *text; /* with %% made % */
    struct part *parts;
    size_t count;
};

static const struct {
    char letter;
    const char *name;
} names[VAR_COUNT] = {
    [VAR_CLIENT_ID] = {'c', "client_id"},
    [VAR_USERNAME] = {'u', "username"},
    [VAR_PASSWORD] = {'P', "password"},
    [VAR_ADDRESS] = {'a', "address"},
    [VAR_LISTENER] = {'l', "listener"},
    [VAR_PROTOCOL] = {'v', "protocol"},
    [VAR_CERT_CN] = {'C', "cert_cn"},
    [VAR_CERT_SUBJECT] = {'d', "cert_subject"},
    [VAR_TOPIC] = {'t', "topic"},
    [VAR_ACTION] = {'A', "action"},
    [VAR_QOS] = {'q', "qos"},
    [VAR_RETAIN] = {'r', "retain"},
    [VAR_GROUP] = {'g', "group"},
    [VAR_ATTRIBUTE] = {'\0', "attribute"},
};

static int by_letter(char letter)
{
    for (int i = 0; i < VAR_COUNT; i++) {
        if (letter && names[i].letter == letter)
            return i;
    }
    return -1;
}

static int by_name(const char *name, size_t len)
{
    for (int i = 0; i < VAR_COUNT; i++) {
        if (strlen(names[i].name) == len && memcmp(names[i].name, name, len) == 0)
            return i;
    }
    return -1;
}

static bool starts(const char *text, size_t len, const char *word)
{
    return len >= strlen(word) && memcmp(text, word, strlen(word)) == 0;
}

/* What stands between the braces. */
static const char *read_long(struct part *p, const char *name, size_t len)
{
    static const char suffix[] = ":base64";
    size_t suffix_len = sizeof suffix - 1;

    if (len > suffix_len && memcmp(name + len - suffix_len, suffix, suffix_len) == 0) {
        p->base64 = true;
        len -= suffix_len;
    }
    if (!starts(name, len, "attribute:")) {
        p->variable = by_name(name, len);
        return p->variable < 0 || p->variable == VAR_ATTRIBUTE ? "an unknown placeholder" : NULL;
    }
    name += strlen("attribute:");
    len -= strlen("attribute:");
    p->variable = VAR_ATTRIBUTE;
    p->attribute = len ? strndup(name, len) : NULL;
    return p->attribute ? NULL : "an attribute without a name";
}

/* at: behind the percent sign; moved behind the placeholder. */
static const char *read_placeholder(struct part *p, const char **at)
{
    const char *from = *at;

    if (*from != '{') {
        p->variable = by_letter(*from);
        *at = from + 1;
        return p->variable < 0 ? "an unknown placeholder; a percent sign is written %%" : NULL;
    }
    const char *end = strchr(from, '}');
    if (!end)
        return "a placeholder without its }";
    *at = end + 1;
    return read_long(p, from + 1, (size_t)(end - from - 1));
}

static const char *fill(struct template *t, const char *text, unsigned allowed)
{
    char *to = t->text, *from = to;
    const char *why;

    for (;;) {
        struct part *p = &t->parts[t->count];
        while (*text && (*text != '%' || text[1] == '%')) {
            text += *text == '%';
            *to++ = *text++;
        }
        *p = (struct part){.literal = skep_bytes(from, (size_t)(to - from)), .variable = -1};
        from = to;
        t->count++;
        if (!*text)
            return NULL;
        text++;
        if ((why = read_placeholder(p, &text)))
            return why;
        if (!(allowed >> p->variable & 1))
            return "a placeholder that has no value here";
    }
}

struct template *template_new(const char *text, unsigned allowed, const char **why)
{
    struct template *t = NULL;
    size_t len = strlen(text), percents = 0;

    *why = "too long";
    if (len > TEMPLATE_MAX)
        return NULL;
    for (const char *p = text; *p; p++)
        percents += *p == '%';
    *why = "no memory";
    if (!(t = calloc(1, sizeof *t)))
        return NULL;
    t->text = malloc(len + 1);
    t->parts = calloc(percents + 1, sizeof *t->parts);
    if (t->text && t->parts && !(*why = fill(t, text, allowed)))
        return t;
    template_free(&t);
    return NULL;
}

void template_free(struct template **template)
{
    struct template *t = *template;

    if (!t)
        return;
    for (size_t i = 0; i < t->count; i++)
        free(t->parts[i].attribute);
    free(t->parts);
    free(t->text);
    free(t);
    *template = NULL;
}

static struct skep_str value_of(const struct part *p, const struct inputs *in)
{
    if (p->variable != VAR_ATTRIBUTE)
        return in->values[p->variable];
    return in->attribute ? in->attribute(in->arg, p->attribute) : SKEP_STR("");
}

static const char *put(struct buffer *out, enum place place, struct skep_str value)
{
    switch (place) {
    case PLACE_PATH:
        if (value.len == 0)
            return "a path cannot hold an empty value";
        buffer_percent(out, value);
        return NULL;
    case PLACE_QUERY:
    case PLACE_FORM:
    case PLACE_FORM_VALUE:
        buffer_percent(out, value);
        return NULL;
    case PLACE_HEADER:
        buffer_header(out, value);
        return NULL;
    case PLACE_JSON:
    case PLACE_JSON_VALUE:
        return buffer_json(out, value) ? NULL : "JSON cannot hold what is not text";
    case PLACE_PLAIN:
        buffer_str(out, value);
        return NULL;
    }
    return "no such place";
}

/* Servers, and curl itself, take such a segment for a step up. */
static bool has_dot_segment(const char *path, size_t len)
{
    for (size_t i = 0; i < len;) {
        size_t end = i;
        while (end < len && path[end] != '/')
            end++;
        if ((end - i == 1 || end - i == 2) && path[i] == '.' && path[end - 1] == '.')
            return true;
        i = end + 1;
    }
    return false;
}

static const char *put_base64(struct buffer *out, enum place place, struct skep_str value)
{
    struct buffer encoded = {.limit = out->limit};
    const char *why;

    buffer_base64(&encoded, value);
    out->failed |= encoded.failed;
    why = put(out, place, skep_bytes(encoded.ptr, encoded.len));
    buffer_fini(&encoded);
    return why;
}

const char *template_render(const struct template *t, enum place place, const struct inputs *in,
                            struct buffer *out)
{
    size_t from = out->len;
    const char *why = NULL;

    for (size_t i = 0; i < t->count && !why; i++) {
        const struct part *p = &t->parts[i];
        if (place == PLACE_FORM_VALUE || place == PLACE_JSON_VALUE)
            why = put(out, place, p->literal);
        else
            buffer_str(out, p->literal);
        if (p->variable < 0 || why)
            continue;
        why =
            p->base64 ? put_base64(out, place, value_of(p, in)) : put(out, place, value_of(p, in));
    }
    if (!why && out->failed)
        why = "too long";
    if (!why && place == PLACE_PATH && has_dot_segment(out->ptr + from, out->len - from))
        why = "a path cannot hold . or ..";
    return why;
}

void template_facts(const struct template *t, const struct inputs *in,
                    void (*each)(struct skep_str value, void *arg), void *arg)
{
    for (size_t i = 0; i < t->count; i++) {
        if (t->parts[i].variable >= 0)
            each(value_of(&t->parts[i], in), arg);
    }
}

bool template_varies(const struct template *t)
{
    return t->count > 1;
}
