/* What a module asks for: is it sensible, and a copy of it in one piece.  A request that queues is
 * no more than that; a curl handle, which takes ten times as much, is made when it flies
 * (http_easy.c).  Bytes that could break out of where they are put (a line end in a header's value,
 * a colon in a user name) make the request refused: they often come from clients. */
#include <ctype.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "host/http_impl.h"

enum { METHOD_MAX = 32, URL_MAX = 8192 };

struct skep_http_request http_request_whole(const struct skep_http_request *ask)
{
    struct skep_http_request r = {0};

    memcpy(&r, ask, ask->size < sizeof r ? ask->size : sizeof r);
    return r;
}

static bool is_token(const char *ptr, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (!isalnum((unsigned char)ptr[i]) && !(ptr[i] && strchr("!#$%&'*+-.^_`|~", ptr[i])))
            return false;
    }
    return len > 0;
}

static bool no_control(const char *ptr, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)ptr[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

static bool visible(struct skep_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] <= 0x20 || s.ptr[i] >= 0x7f)
            return false;
    }
    return true;
}

static bool no_nul(struct skep_str s)
{
    return s.len == 0 || !memchr(s.ptr, '\0', s.len);
}

static bool sensible(const struct skep_http_request *r)
{
    if (!r->url || strlen(r->url) > URL_MAX || !no_control(r->url, strlen(r->url)))
        return false;
    if (r->method && (strlen(r->method) > METHOD_MAX || !is_token(r->method, strlen(r->method))))
        return false;
    if (r->content_type && !no_control(r->content_type, strlen(r->content_type)))
        return false;
    for (size_t i = 0; i < r->header_count; i++) {
        const struct skep_http_header *h = &r->headers[i];
        if (!is_token(h->name.ptr, h->name.len) || !no_control(h->value.ptr, h->value.len))
            return false;
    }
    return visible(r->bearer) && no_nul(r->username) && no_nul(r->password) &&
           (r->username.len == 0 || !memchr(r->username.ptr, ':', r->username.len));
}

/* "https://example.com:443" of the URL; NULL: not http or https, or no URL. */
static char *origin_of(const char *url)
{
    CURLU *u = curl_url();
    char *scheme = NULL, *host = NULL, *port = NULL, *origin = NULL;

    if (u && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK &&
        (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0) &&
        asprintf(&origin, "%s://%s:%s", scheme, host, port) < 0)
        origin = NULL;
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(u);
    return origin;
}

/* -- The copy: every part terminated, so that curl can take it as it is -- */

struct packer {
    char *to; /* NULL: only measures */
    size_t len;
};

static const char *pack(struct packer *p, const char *ptr, size_t len)
{
    char *at = p->to ? p->to + p->len : NULL;

    if (at) {
        if (len)
            memcpy(at, ptr, len);
        at[len] = '\0';
    }
    p->len += len + 1;
    return at;
}

static void pack_text(struct packer *p, const char **text)
{
    if (*text)
        *text = pack(p, *text, strlen(*text));
}

static void pack_bytes(struct packer *p, struct skep_str *bytes)
{
    if (bytes->len)
        bytes->ptr = pack(p, bytes->ptr, bytes->len);
}

/* The array of headers comes first, for its alignment. */
static void pack_headers(struct packer *p, struct skep_http_request *r)
{
    const struct skep_http_header *from = r->headers;
    struct skep_http_header *to = (struct skep_http_header *)p->to;

    p->len += r->header_count * sizeof *to;
    for (size_t i = 0; i < r->header_count; i++) {
        struct skep_http_header h = from[i];
        pack_bytes(p, &h.name);
        pack_bytes(p, &h.value);
        if (to)
            to[i] = h;
    }
    r->headers = to;
}

static size_t pack_all(struct skep_http_request *r, char *to)
{
    struct packer p = {.to = to};

    pack_headers(&p, r);
    pack_text(&p, &r->method);
    pack_text(&p, &r->url);
    pack_text(&p, &r->content_type);
    pack_text(&p, &r->ca);
    pack_text(&p, &r->certificate);
    pack_text(&p, &r->key);
    pack_bytes(&p, &r->body);
    pack_bytes(&p, &r->bearer);
    pack_bytes(&p, &r->username);
    pack_bytes(&p, &r->password);
    pack_bytes(&p, &r->single_flight);
    return p.len;
}

static bool flight_pack(struct flight *f, const struct skep_http_request *r)
{
    struct skep_http_request measured = *r;

    f->packed_len = pack_all(&measured, NULL);
    f->packed = malloc(f->packed_len);
    f->ask = *r;
    if (f->packed)
        pack_all(&f->ask, f->packed);
    return f->packed != NULL;
}

static void init_curl(void)
{
    ASSERT(curl_global_init(CURL_GLOBAL_ALL) == CURLE_OK);
}

struct flight *flight_new(const struct skep_http_request *r)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, init_curl);
    char *origin = sensible(r) ? origin_of(r->url) : NULL;
    if (!origin)
        return NULL;
    struct flight *f = xcalloc(1, sizeof *f);
    f->origin_name = origin;
    f->max_per_host = r->max_per_host ? r->max_per_host : HTTP_DEFAULT_PER_HOST;
    f->max_reply = r->max_reply ? r->max_reply : HTTP_DEFAULT_REPLY;
    if (!flight_pack(f, r)) {
        flight_free(f);
        return NULL;
    }
    f->key = f->ask.single_flight.len ? f->ask.single_flight.ptr : NULL;
    f->key_len = f->ask.single_flight.len;
    return f;
}

void flight_free(struct flight *f)
{
    curl_easy_cleanup(f->easy);
    curl_slist_free_all(f->headers);
    if (f->packed)
        explicit_bzero(f->packed, f->packed_len); /* passwords, tokens */
    free(f->packed);
    free(f->origin_name);
    free(f->head.ptr);
    free(f->body.ptr);
    free(f);
}
