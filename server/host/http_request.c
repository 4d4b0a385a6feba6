/* From what a module asks for to a curl handle.  Bytes that could break out of where they are put
 * (a line end in a header's value, a colon in a user name) make the request refused: they often
 * come from clients. */
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
        int name = (int)h->name.len, value = (int)h->value.len;
        if (value > 0)
            add_header(f, "%.*s: %.*s", name, h->name.ptr, value, h->value.ptr);
        else
            add_header(f, "%.*s;", name, h->name.ptr);
    }
    if (r->bearer.len)
        add_header(f, "Authorization: Bearer %.*s", (int)r->bearer.len, r->bearer.ptr);
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
        curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, r->body.len ? r->body.ptr : "");
    }
    if (!r->method)
        return;
    if (strcmp(r->method, "HEAD") == 0)
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    else if (strcmp(r->method, body ? "POST" : "GET") != 0)
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, r->method);
}

static void set_secret(CURL *easy, CURLoption option, struct skep_str secret)
{
    char *text = str_dup((struct str){secret.ptr, secret.len});

    curl_easy_setopt(easy, option, text);
    explicit_bzero(text, secret.len);
    free(text);
}

static void set_credentials(CURL *easy, const struct skep_http_request *r)
{
    if (r->username.len == 0 && r->password.len == 0)
        return;
    curl_easy_setopt(easy, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
    set_secret(easy, CURLOPT_USERNAME, r->username);
    set_secret(easy, CURLOPT_PASSWORD, r->password);
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

static void init_curl(void)
{
    ASSERT(curl_global_init(CURL_GLOBAL_ALL) == CURLE_OK);
}

struct flight *flight_new(const struct skep_http_request *ask)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct skep_http_request r = http_request_whole(ask);

    pthread_once(&once, init_curl);
    char *origin = sensible(&r) ? origin_of(r.url) : NULL;

    if (!origin)
        return NULL;
    struct flight *f = xcalloc(1, sizeof *f);
    f->origin_name = origin;
    f->easy = curl_easy_init();
    ASSERT(f->easy != NULL);
    f->max_per_host = r.max_per_host ? r.max_per_host : HTTP_DEFAULT_PER_HOST;
    f->max_reply = r.max_reply ? r.max_reply : HTTP_DEFAULT_REPLY;
    if (r.single_flight.len) {
        f->key = str_dup((struct str){r.single_flight.ptr, r.single_flight.len});
        f->key_len = r.single_flight.len;
    }
    set_manners(f->easy, r.timeout_ms ? r.timeout_ms : HTTP_DEFAULT_TIMEOUT_MS);
    set_redirects(f->easy, &r);
    set_tls(f->easy, &r);
    set_method(f->easy, &r);
    set_headers(f, &r);
    set_credentials(f->easy, &r);
    set_receivers(f);
    if (curl_easy_setopt(f->easy, CURLOPT_URL, r.url) != CURLE_OK) {
        flight_free(f);
        return NULL;
    }
    return f;
}

void flight_free(struct flight *f)
{
    curl_easy_cleanup(f->easy);
    curl_slist_free_all(f->headers);
    free(f->origin_name);
    free(f->key);
    free(f->head.ptr);
    free(f->body.ptr);
    free(f);
}
