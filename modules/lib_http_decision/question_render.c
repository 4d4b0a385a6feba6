/* One request made of a question and a client's facts, and the digest of those. */
#include <openssl/params.h>
#include <stdlib.h>

#include "lib_http_decision/question_impl.h"

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
