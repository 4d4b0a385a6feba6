#include "lib_http_decision/question.h"

#include <openssl/params.h>
#include <stdlib.h>

#include "lib_json/json.h"

enum { PAIRS_MAX = 64 };

struct pair {
    const char *name;
    struct template *value;
};

struct pairs {
    struct pair items[PAIRS_MAX];
    size_t count;
};

struct question {
    const char *method, *content_type;
    int format;
    char *origin; /* scheme://host:port: no client's facts reach it */
    struct template *path, *query, *body;
    struct pairs fields, headers;
};

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

/* -- One request -- */

/* Places in the buffer; pointers are made when it has stopped moving. */
struct layout {
    size_t body, body_end;
    size_t headers[PAIRS_MAX];
};

static const char *add_form(const struct question *q, const struct inputs *in, struct buffer *out)
{
    const char *why = NULL;

    for (size_t i = 0; i < q->fields.count && !why; i++) {
        if (i)
            buffer_text(out, "&");
        buffer_percent(out, skep_str(q->fields.items[i].name));
        buffer_text(out, "=");
        why = template_render(q->fields.items[i].value, PLACE_FORM_VALUE, in, out);
    }
    return why;
}

static const char *add_json(const struct question *q, const struct inputs *in, struct buffer *out)
{
    const char *why = NULL;

    buffer_text(out, "{");
    for (size_t i = 0; i < q->fields.count && !why; i++) {
        buffer_text(out, i ? ",\"" : "\"");
        buffer_json(out, skep_str(q->fields.items[i].name));
        buffer_text(out, "\":\"");
        why = template_render(q->fields.items[i].value, PLACE_JSON_VALUE, in, out);
        buffer_text(out, "\"");
    }
    buffer_text(out, "}");
    return why;
}

static const char *add_url(const struct question *q, const struct inputs *in, struct buffer *out)
{
    const char *why;
    bool fields = q->format == FORMAT_QUERY && q->fields.count;

    buffer_text(out, q->origin);
    if ((why = template_render(q->path, PLACE_PATH, in, out)))
        return why;
    if (q->query || fields)
        buffer_text(out, "?");
    if (q->query && (why = template_render(q->query, PLACE_QUERY, in, out)))
        return why;
    if (q->query && fields)
        buffer_text(out, "&");
    return fields ? add_form(q, in, out) : NULL;
}

static const char *add_body(const struct question *q, const struct inputs *in, struct buffer *out)
{
    if (q->format == FORMAT_QUERY)
        return NULL;
    if (q->body)
        return template_render(q->body, q->format == FORMAT_JSON ? PLACE_JSON : PLACE_FORM, in,
                               out);
    return q->format == FORMAT_JSON ? add_json(q, in, out) : add_form(q, in, out);
}

static const char *add_all(const struct question *q, const struct inputs *in, struct buffer *out,
                           struct layout *at)
{
    const char *why = add_url(q, in, out);

    buffer_add(out, "", 1);
    at->body = out->len;
    if (!why)
        why = add_body(q, in, out);
    at->body_end = out->len;
    buffer_add(out, "", 1);
    for (size_t i = 0; i < q->headers.count && !why; i++) {
        at->headers[i] = out->len;
        why = template_render(q->headers.items[i].value, PLACE_HEADER, in, out);
        buffer_add(out, "", 1);
    }
    return why ? why : out->failed ? "too long" : NULL;
}

const char *question_render(const struct question *q, const struct inputs *in, struct rendered *out)
{
    struct layout at = {0};
    const char *why;

    *out = (struct rendered){.bytes.limit = QUESTION_BYTES};
    if ((why = add_all(q, in, &out->bytes, &at)))
        return why;
    const char *base = out->bytes.ptr;
    out->headers = calloc(q->headers.count + 1, sizeof *out->headers);
    if (!out->headers)
        return "no memory";
    for (size_t i = 0; i < q->headers.count; i++)
        out->headers[i] = (struct skep_http_header){skep_str(q->headers.items[i].name),
                                                    skep_str(base + at.headers[i])};
    out->ask = (struct skep_http_request){
        .size = sizeof out->ask,
        .method = q->method,
        .url = base,
        .body = skep_bytes(base + at.body, at.body_end - at.body),
        .content_type = q->content_type,
        .headers = out->headers,
        .header_count = q->headers.count,
    };
    return NULL;
}

void rendered_fini(struct rendered *r)
{
    buffer_fini(&r->bytes);
    free(r->headers);
    *r = (struct rendered){0};
}

/* -- Its digest -- */

struct digest {
    EVP_MAC_CTX *mac;
    bool failed;
};

/* With the length in front: "ab" + "c" is not "a" + "bc". */
static void digest_add(struct skep_str value, void *arg)
{
    struct digest *d = arg;
    uint64_t len = value.len;

    if (!EVP_MAC_update(d->mac, (const unsigned char *)&len, sizeof len) ||
        (len && !EVP_MAC_update(d->mac, (const unsigned char *)value.ptr, value.len)))
        d->failed = true;
}

static void digest_pairs(const struct pairs *pairs, const struct inputs *in, struct digest *d)
{
    for (size_t i = 0; i < pairs->count; i++)
        template_facts(pairs->items[i].value, in, digest_add, d);
}

EVP_MAC_CTX *question_keyed(const unsigned char secret[QUESTION_KEY])
{
    char name[] = "SHA256";
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string("digest", name, 0),
                           OSSL_PARAM_construct_end()};
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *ctx = mac ? EVP_MAC_CTX_new(mac) : NULL;

    EVP_MAC_free(mac);
    if (ctx && !EVP_MAC_init(ctx, secret, QUESTION_KEY, params)) {
        EVP_MAC_CTX_free(ctx);
        ctx = NULL;
    }
    return ctx;
}

bool question_key(const struct question *q, const struct inputs *in, const EVP_MAC_CTX *keyed,
                  unsigned char key[QUESTION_KEY])
{
    struct digest d = {.mac = EVP_MAC_CTX_dup(keyed)};
    size_t len = 0;

    if (!d.mac)
        return false;
    template_facts(q->path, in, digest_add, &d);
    if (q->query)
        template_facts(q->query, in, digest_add, &d);
    if (q->body)
        template_facts(q->body, in, digest_add, &d);
    digest_pairs(&q->fields, in, &d);
    digest_pairs(&q->headers, in, &d);
    if (!EVP_MAC_final(d.mac, key, &len, QUESTION_KEY) || len != QUESTION_KEY)
        d.failed = true;
    EVP_MAC_CTX_free(d.mac);
    return !d.failed;
}
