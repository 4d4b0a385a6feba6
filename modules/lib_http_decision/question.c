#include "lib_http_decision/question.h"

#include <stdlib.h>

#include "lib_http_decision/question_impl.h"
#include "lib_json/json.h"

/* Where question_new() can go wrong. */
struct trouble {
    const char *why;
    const struct skep_place *place;
};

static bool is_token(const char *text)
{
    static const char more[] = "!#$%&'*+-.^_`|~";

    if (!*text)
        return false;
    for (; *text; text++) {
        bool plain = (*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z') ||
                     (*text >= '0' && *text <= '9');
        if (!plain && !strchr(more, *text))
            return false;
    }
    return true;
}

/* Nothing in a URL as it is written that curl and a server might read differently. */
static bool is_url_text(const char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text <= 0x20 || (unsigned char)*text >= 0x7f ||
            strchr("\"<>\\^`|", *text))
            return false;
    }
    return true;
}

static const char *split_url(struct question *q, const char *url, unsigned allowed)
{
    const char *host = strncmp(url, "http://", 7) == 0    ? url + 7
                       : strncmp(url, "https://", 8) == 0 ? url + 8
                                                          : NULL;
    const char *why = NULL;

    if (!host || !is_url_text(url) || strchr(url, '#'))
        return "a URL begins with http:// or https:// and has neither spaces nor a fragment";
    size_t host_len = strcspn(host, "/?");
    if (host_len == 0 || memchr(host, '%', host_len) || memchr(host, '@', host_len))
        return "the host of a URL holds neither placeholders nor a user name";
    q->origin = strndup(url, (size_t)(host - url) + host_len);
    const char *rest = host + host_len;
    size_t path_len = strcspn(rest, "?");
    char *path = path_len ? strndup(rest, path_len) : strdup("/");
    if (!q->origin || !path) {
        free(path);
        return "no memory";
    }
    q->path = template_new(path, allowed, &why);
    free(path);
    if (q->path && rest[path_len] == '?')
        q->query = template_new(rest + path_len + 1, allowed, &why);
    return why;
}

static const char *pair_add(struct pairs *pairs, const char *name, const char *text,
                            unsigned allowed)
{
    const char *why;

    if (pairs->count >= PAIRS_MAX)
        return "too many of them";
    struct template *value = template_new(text, allowed, &why);
    if (!value)
        return why;
    pairs->items[pairs->count++] = (struct pair){name, value};
    return NULL;
}

static bool add_lines(struct pairs *pairs, const struct skep_lines *lines, unsigned allowed,
                      bool headers, struct trouble *t)
{
    for (size_t i = 0; i < lines->count; i++) {
        const struct skep_list *line = &lines->items[i];
        t->place = line->places ? &line->places[0] : NULL;
        if (line->count != 2)
            t->why = "expects a name and a value (in quotes if it has spaces)";
        else if (headers && !is_token(line->items[0]))
            t->why = "not the name of a header";
        else if (!json_is_text(skep_str(line->items[0])) || !json_is_text(skep_str(line->items[1])))
            t->why = "not UTF-8";
        else
            t->why = pair_add(pairs, line->items[0], line->items[1], allowed);
        if (t->why)
            return false;
    }
    t->place = NULL;
    return true;
}

/* The header's value is a template, too: what is written in it must not end the line. */
static bool headers_plain(const struct skep_lines *headers, struct trouble *t)
{
    for (size_t i = 0; i < headers->count; i++) {
        for (const char *p = headers->items[i].items[1]; *p; p++) {
            if ((unsigned char)*p >= 0x20 && (unsigned char)*p < 0x7f)
                continue;
            t->why = "a header holds visible ASCII only";
            t->place = headers->items[i].places ? &headers->items[i].places[1] : NULL;
            return false;
        }
    }
    return true;
}

static bool add_fields(struct question *q, const struct question_conf *conf, struct trouble *t)
{
    if (conf->body) {
        if (conf->fields.count || conf->format == FORMAT_QUERY)
            t->why = "`body` stands alone: without `field`, and not with `format query`";
        else
            q->body = template_new(conf->body, conf->allowed, &t->why);
        return q->body;
    }
    if (conf->fields.count)
        return add_lines(&q->fields, &conf->fields, conf->allowed, false, t);
    for (size_t i = 0; conf->default_fields && conf->default_fields[i][0]; i++) {
        t->why = pair_add(&q->fields, conf->default_fields[i][0], conf->default_fields[i][1],
                          conf->allowed);
        if (t->why)
            return false;
    }
    return true;
}

/* With any facts that are text it must be JSON: then a placeholder stands inside a string. */
static const char *check_json_body(const struct question *q)
{
    struct inputs in = {.attribute = NULL};
    struct buffer out = {.limit = QUESTION_BYTES};
    const char *why;

    for (int i = 0; i < VAR_ATTRIBUTE; i++)
        in.values[i] = SKEP_STR("\"x\\");
    if (!(why = template_render(q->body, PLACE_JSON, &in, &out))) {
        cJSON *value = json_parse(skep_bytes(out.ptr, out.len), &why);
        why = value ? NULL : "`body` is not JSON; placeholders stand between quotes";
        cJSON_Delete(value);
    }
    buffer_fini(&out);
    return why;
}

static bool build(struct question *q, const struct question_conf *conf, struct trouble *t)
{
    bool in_url = conf->format == FORMAT_QUERY;

    q->format = conf->format;
    q->method = conf->method ? conf->method : in_url ? "GET" : "POST";
    q->content_type = conf->content_type            ? conf->content_type
                      : in_url                      ? NULL
                      : conf->format == FORMAT_JSON ? "application/json"
                                                    : "application/x-www-form-urlencoded";
    if (!is_token(q->method))
        t->why = "not an HTTP method";
    else if (!in_url && (strcmp(q->method, "GET") == 0 || strcmp(q->method, "HEAD") == 0))
        t->why = "GET has no body: use `format query`";
    else
        t->why = split_url(q, conf->url, conf->allowed);
    if (t->why || !add_fields(q, conf, t))
        return false;
    if (!add_lines(&q->headers, &conf->headers, conf->allowed, true, t) ||
        !headers_plain(&conf->headers, t))
        return false;
    if (q->body && q->format == FORMAT_JSON)
        t->why = check_json_body(q);
    return !t->why;
}

struct question *question_new(const struct question_conf *conf, const char **why,
                              const struct skep_place **place)
{
    struct question *q = calloc(1, sizeof *q);
    struct trouble t = {.why = q ? NULL : "no memory"};

    if (q && !build(q, conf, &t))
        question_free(&q);
    *why = t.why;
    *place = t.place;
    return q;
}

static void pairs_fini(struct pairs *pairs)
{
    for (size_t i = 0; i < pairs->count; i++)
        template_free(&pairs->items[i].value);
}

void question_free(struct question **question)
{
    struct question *q = *question;

    if (!q)
        return;
    free(q->origin);
    template_free(&q->path);
    template_free(&q->query);
    template_free(&q->body);
    pairs_fini(&q->fields);
    pairs_fini(&q->headers);
    free(q);
    *question = NULL;
}
