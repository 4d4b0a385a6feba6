/* A session that is resumed keeps the subscriptions its client may still have: the modules are
 * asked about each, in the time between the claim and CONNACK. */
#include <stdlib.h>

#include "base/mem.h"
#include "core/session.h"
#include "core/subscribe.h"
#include "front/client.h"
#include "front/entrance.h"
#include "mqtt/topic.h"

struct kept {
    char *filter; /* as the index has it: with $share/NAME/ and the mount point */
    uint16_t len;
    uint8_t options, retain_handling;
    uint32_t id;
};

struct resumption {
    uint32_t count, at;
    struct kept subs[];
};

static void note(void *arg, struct str filter, const struct subscription *sub)
{
    struct resumption *r = arg;

    r->subs[r->count++] = (struct kept){.filter = str_dup(filter),
                                        .len = (uint16_t)filter.len,
                                        .options = sub->options,
                                        .retain_handling = sub->retain_handling,
                                        .id = sub->id};
}

void client_resume_drop(struct client *c)
{
    struct resumption *r = c->extra ? c->extra->resumption : NULL;

    if (!r)
        return;
    for (uint32_t i = 0; i < r->count; i++)
        free(r->subs[i].filter);
    free(r);
    c->extra->resumption = NULL;
}

static struct str filter_of(const struct kept *k)
{
    return (struct str){k->filter, k->len};
}

static struct skep_request *ask(struct client *c, const struct kept *k)
{
    struct str group = STR_NONE, rest = filter_of(k);
    uint16_t mount = c->policy->mount_len;

    topic_share_split(filter_of(k), &group, &rest);
    if (rest.len >= mount) {
        rest.ptr += mount;
        rest.len -= mount;
    }
    return ask_subscribe(client_host(c), rest, group, k->options & SUB_QOS, STR_NONE, true);
}

/* The answer for the subscription in hand; ends r. */
static void act(struct client *c, const struct kept *k, struct skep_request *r)
{
    struct session *s = c->extra->settling;
    struct worker *w = c->desk->w;
    bool existed;

    if (r->verdict != SKEP_ALLOW) {
        session_unsubscribe(w, s, filter_of(k));
    } else if (r->granted < (k->options & SUB_QOS)) {
        unsigned kept = k->options & (SUB_NO_LOCAL | SUB_RETAIN_AS_PUBLISHED);
        struct subscribe_request less = {.filter = filter_of(k),
                                         .options = kept | r->granted,
                                         .id = k->id,
                                         .retain_handling = k->retain_handling};
        session_subscribe(w, s, &less, &existed);
    }
    request_end(&r);
}

/* False: one has to wait. */
static bool go_on(struct client *c)
{
    struct resumption *r = c->extra->resumption;

    for (; r->at < r->count; r->at++) {
        const struct kept *k = &r->subs[r->at];
        struct skep_request *request = ask(c, k);
        if (request->verdict == SKEP_PENDING)
            return false;
        act(c, k, request);
    }
    client_resume_drop(c);
    return true;
}

bool client_resume(struct client *c)
{
    struct client_extra *x = client_extra(c);
    struct session *s = x->settling;
    size_t size = sizeof(struct resumption) + s->subs.count * sizeof(struct kept);

    x->resumption = xcalloc(1, size);
    session_each_subscription(s, note, x->resumption);
    return go_on(c);
}

void client_resume_decided(struct client *c, struct skep_request *request)
{
    struct resumption *r = c->extra->resumption;

    act(c, &r->subs[r->at++], request);
    if (go_on(c))
        client_resumed(c);
}
