#include "host/request.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "host/connecting.h"
#include "host/decide.h"
#include "host/refuse.h"
#include "host/wait.h"

enum { MEMORY_EACH = 64 * 1024, MEMORY_ALL = 1024 * 1024, PIECE = 32 };

static struct skep_request *request_new(struct host_place *p)
{
    struct skep_request *r = xcalloc(1, sizeof *r);

    r->magic = SKEP_REQUEST_MAGIC;
    r->place = p;
    return r;
}

/* In pieces that compilers turn into a few wide stores: `rep stos` for the whole takes 10 ns. */
static inline void make_zero(void *from, size_t size)
{
    char *at = from;

    for (; size >= PIECE; at += PIECE, size -= PIECE)
        memset(at, 0, PIECE);
    for (; size >= sizeof(uint64_t); at += sizeof(uint64_t), size -= sizeof(uint64_t))
        memset(at, 0, sizeof(uint64_t));
    memset(at, 0, size);
}

struct skep_request *request_take(struct host_place *p, struct host_client *hc,
                                  struct chain_slot *chain, enum skep_stage stage)
{
    struct skep_request *r = p->spare_requests;

    if (UNLIKELY(!r))
        r = request_new(p);
    else
        p->spare_requests = r->next;
    make_zero(&r->stage,
              offsetof(struct skep_request, message) - offsetof(struct skep_request, stage));
    r->stage = (uint8_t)stage;
    r->place = p;
    r->client = hc;
    r->dry = hc && hc->dry;
    r->chain = chain;
    return r;
}

static void unlist(struct skep_request *r)
{
    if (r->next)
        r->next->link = r->link;
    *r->link = r->next;
    r->listed = false;
}

void request_end(struct skep_request **request)
{
    struct skep_request *r = *request;

    if (!r)
        return;
    CHECK(r, SKEP_REQUEST_MAGIC);
    *request = NULL;
    if (UNLIKELY(r->wait != NULL))
        wait_cancel(r);
    if (UNLIKELY(r->listed))
        unlist(r);
    if (UNLIKELY(r->memory.blocks != NULL)) {
        arena_reset(&r->memory);
        if (r->waited) /* thousands may have waited at once: their memory is not kept */
            arena_fini(&r->memory);
    }
    if (r->waited) {
        r->magic = 0;
        free(r);
        return;
    }
    r->next = r->place->spare_requests;
    r->place->spare_requests = r;
}

void request_spares_free(struct host_place *p)
{
    while (p->spare_requests) {
        struct skep_request *r = p->spare_requests;
        p->spare_requests = r->next;
        arena_fini(&r->memory);
        free(r);
    }
}

const struct skep_client *request_who(const struct skep_request *r)
{
    struct host_client *hc = r->client;

    if (r->who || !hc)
        return r->who;
    if (hc->connecting && r->connecting)
        return connecting_who(hc->connecting);
    if (!hc->who) {
        hc->who = hc->ops->identity(hc->owner);
        if (!hc->dry)
            hc->who->presence->client = hc;
    }
    return hc->who;
}

/* -- The packet moves -- */

static void moved(struct str *s, struct str from, const char *to)
{
    if (s->len > 0 && s->ptr >= from.ptr && s->ptr < from.ptr + from.len)
        s->ptr = to + (s->ptr - from.ptr);
}

static void moved_message(struct asked_message *m, struct str from, const char *to)
{
    moved(&m->topic, from, to);
    moved(&m->payload, from, to);
    moved(&m->props, from, to);
}

void request_kept(struct skep_request *r, struct str from, const char *to)
{
    moved_message(&r->message, from, to);
    for (struct message_copy *c = r->copies; c; c = c->next)
        moved_message(&c->message, from, to);
    moved(&r->filter, from, to);
    moved(&r->group, from, to);
    moved(&r->props, from, to);
    if (r->connecting)
        connecting_kept(r->connecting, from, to);
}

void connecting_kept(struct connecting *c, struct str from, const char *to)
{
    struct mqtt_connect *p = &c->packet;

    moved(&p->client_id, from, to);
    moved(&p->username, from, to);
    moved(&p->password, from, to);
    moved(&p->will.topic, from, to);
    moved(&p->will.payload, from, to);
    moved(&p->will.props, from, to);
    moved(&p->auth_method, from, to);
    moved(&p->auth_data, from, to);
    moved(&p->props, from, to);
    moved(&c->method, from, to);
    moved(&c->data, from, to);
}

/* -- Memory -- */

struct str request_text(struct skep_request *r, const char *text, size_t most)
{
    struct str s = str_of(text);

    if (s.len > most)
        s.len = most;
    return s.len > 0 ? arena_str(&r->memory, s) : STR_NONE;
}

void *skep_request_memory(struct skep_request *r, size_t size)
{
    if (size > MEMORY_EACH || r->memory_used + size > MEMORY_ALL || host_refuses())
        return NULL;
    r->memory_used += size;
    return arena_alloc(&r->memory, size);
}

void **skep_request_data(struct skep_request *r)
{
    return &r->data;
}
