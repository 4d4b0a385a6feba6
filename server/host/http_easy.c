/* From a packed request to a curl handle. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "host/http_impl.h"

static void add_header(struct flight *f, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void add_header(struct flight *f, const char *format, ...)
{
    va_list args;
    char *line;

    va_start(args, format);
    int len = vasprintf(&line, format, args);
    va_end(args);
    ASSERT(len >= 0);
    struct curl_slist *list = curl_slist_append(f->headers, line);
    ASSERT(list != NULL);
    f->headers = list;
    explicit_bzero(line, (size_t)len); /* it may be a token */
    free(line);
}

/* curl's own headers are taken out by naming them without a value, and one without a value is sent
 * by a semicolon. */
static void set_headers(struct flight *f, const struct skep_http_request *r)
{
    add_header(f, "Expect:");
    if (r->content_type)
        add_header(f, "Content-Type: %s", r->content_type);
    else
        add_header(f, "Content-Type:");
    for (size_t i = 0; i < r->header_count; i++) {
        const struct skep_http_header *h = &r->headers[i];
        if (h->value.len > 0)
            add_header(f, "%s: %s", h->name.ptr, h->value.ptr);
        else
            add_header(f, "%s;", h->name.ptr);
    }
    if (r->bearer.len)
        add_header(f, "Authorization: Bearer %s", r->bearer.ptr);
    curl_easy_setopt(f->easy, CURLOPT_HTTPHEADER, f->headers);
}

static bool wants_body(const char *method)
{
    return method && (strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 ||
                      strcmp(method, "PATCH") == 0);
}

static void set_method(CURL *easy, const struct skep_http_request *r)
{
    bool body = r->body.len > 0 || wants_body(r->method);

    if (body) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body.len);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, r->body.len ? r->body.ptr : "");
    }
    if (!r->method)
        return;
    if (strcmp(r->method, "HEAD") == 0)
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    else if (strcmp(r->method, body ? "POST" : "GET") != 0)
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, r->method);
}

static void set_credentials(CURL *easy, const struct skep_http_request *r)
{
    if (r->username.len == 0 && r->password.len == 0)
        return;
    curl_easy_setopt(easy, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
    curl_easy_setopt(easy, CURLOPT_USERNAME, r->username.len ? r->username.ptr : "");
    curl_easy_setopt(easy, CURLOPT_PASSWORD, r->password.len ? r->password.ptr : "");
}

static void set_tls(CURL *easy, const struct skep_http_request *r)
{
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
    /* A changed file of authorities is noticed after this long. */
    curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, 300L);
    if (r->ca) {
        curl_easy_setopt(easy, CURLOPT_CAINFO, r->ca);
        curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    }
    if (r->certificate)
        curl_easy_setopt(easy, CURLOPT_SSLCERT, r->certificate);
    if (r->key)
        curl_easy_setopt(easy, CURLOPT_SSLKEY, r->key);
    if (r->insecure) {
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    }
}

static void set_redirects(CURL *easy, const struct skep_http_request *r)
{
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, r->redirects > 0 ? 1L : 0L);
    curl_easy_setopt(easy, CURLOPT_MAXREDIRS, (long)r->redirects);
}

/* No signals, no proxies or passwords from the environment, no thread waited for when a name's
 * look-up is called off. */
static void set_manners(CURL *easy, uint32_t timeout_ms)
{
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)timeout_ms);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "skep/" SKEP_VERSION);
}

static bool bytes_add(struct http_bytes *b, const char *more, size_t len, size_t most)
{
    if (len > most - b->len)
        return false;
    if (b->len + len + 1 > b->cap) {
        size_t cap = 2 * (b->len + len) + 256;
        char *ptr = realloc(b->ptr, cap);
        if (!ptr)
            return false;
        b->ptr = ptr;
        b->cap = cap;
    }
    memcpy(b->ptr + b->len, more, len);
    b->len += len;
    b->ptr[b->len] = '\0';
    return true;
}

/* Returning less than what came ends the transfer. */
static size_t on_body(char *ptr, size_t size, size_t count, void *flight)
{
    struct flight *f = flight;

    f->reply_too_large = !bytes_add(&f->body, ptr, size * count, f->max_reply);
    return f->reply_too_large ? 0 : size * count;
}

/* Of several heads (100 Continue, redirects) the last one stays. */
static size_t on_head(char *ptr, size_t size, size_t count, void *flight)
{
    struct flight *f = flight;

    if (size * count >= 5 && memcmp(ptr, "HTTP/", 5) == 0)
        f->head.len = 0;
    f->head_too_large = !bytes_add(&f->head, ptr, size * count, HTTP_HEADERS_MAX);
    return f->head_too_large ? 0 : size * count;
}

static void set_receivers(struct flight *f)
{
    curl_easy_setopt(f->easy, CURLOPT_PRIVATE, f);
    curl_easy_setopt(f->easy, CURLOPT_ERRORBUFFER, f->error);
    curl_easy_setopt(f->easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(f->easy, CURLOPT_WRITEDATA, f);
    curl_easy_setopt(f->easy, CURLOPT_HEADERFUNCTION, on_head);
    curl_easy_setopt(f->easy, CURLOPT_HEADERDATA, f);
}

CURL *http_easy_new(struct flight *f)
{
    const struct skep_http_request *r = &f->ask;

    f->easy = curl_easy_init();
    if (!f->easy)
        return NULL;
    set_manners(f->easy, r->timeout_ms ? r->timeout_ms : HTTP_DEFAULT_TIMEOUT_MS);
    set_redirects(f->easy, r);
    set_tls(f->easy, r);
    set_method(f->easy, r);
    set_headers(f, r);
    set_credentials(f->easy, r);
    set_receivers(f);
    curl_easy_setopt(f->easy, CURLOPT_URL, r->url);
    return f->easy;
}
