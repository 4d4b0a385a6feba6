#include "made.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "world.h"

struct made {
    struct skep_http_request request;
    struct skep_http_header *headers;
};

static struct {
    struct made **list;
    size_t count;
} kept;

static struct skep_str copy(struct skep_str s)
{
    return s.ptr ? skep_bytes(str_dup((struct str){s.ptr, s.len}), s.len) : s;
}

static const char *copy_text(const char *text)
{
    return text ? str_dup(str_of(text)) : NULL;
}

struct made *made_new(const struct skep_http_request *ask)
{
    struct made *made = xcalloc(1, sizeof *made);
    struct skep_http_request *r = &made->request;
    size_t size = ask->size && ask->size < sizeof *r ? ask->size : sizeof *r;

    memcpy(r, ask, size);
    r->size = sizeof *r;
    if (r->header_count)
        made->headers = xcalloc(r->header_count, sizeof *made->headers);
    for (size_t i = 0; i < r->header_count; i++)
        made->headers[i] =
            (struct skep_http_header){copy(r->headers[i].name), copy(r->headers[i].value)};
    r->headers = made->headers;
    r->method = copy_text(r->method ? r->method : r->body.len ? "POST" : "GET");
    r->url = copy_text(r->url);
    r->body = copy(r->body);
    r->content_type = copy_text(r->content_type);
    r->bearer = copy(r->bearer);
    r->username = copy(r->username);
    r->password = copy(r->password);
    r->ca = copy_text(r->ca);
    r->certificate = copy_text(r->certificate);
    r->key = copy_text(r->key);
    r->single_flight = copy(r->single_flight);
    return made;
}

void made_free(struct made *made)
{
    struct skep_http_request *r = &made->request;

    for (size_t i = 0; i < r->header_count; i++) {
        free((void *)made->headers[i].name.ptr);
        free((void *)made->headers[i].value.ptr);
    }
    free(made->headers);
    free((void *)r->method);
    free((void *)r->url);
    free((void *)r->body.ptr);
    free((void *)r->content_type);
    free((void *)r->bearer.ptr);
    free((void *)r->username.ptr);
    free((void *)r->password.ptr);
    free((void *)r->ca);
    free((void *)r->certificate);
    free((void *)r->key);
    free((void *)r->single_flight.ptr);
    free(made);
}

size_t world_http_count(void)
{
    return kept.count;
}

const struct skep_http_request *world_http_request(size_t i)
{
    return i < kept.count ? &kept.list[i]->request : NULL;
}

const struct skep_http_request *made_request(const struct made *m)
{
    return &m->request;
}

void made_keep(struct made *m)
{
    kept.list = xrealloc(kept.list, (kept.count + 1) * sizeof(struct made *));
    kept.list[kept.count++] = m;
}

void made_reset(void)
{
    for (size_t i = 0; i < kept.count; i++)
        made_free(kept.list[i]);
    free(kept.list);
    kept.list = NULL;
    kept.count = 0;
}
