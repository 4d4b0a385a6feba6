#include "host/remember.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "host/chain.h"

enum { PLACES = 8, TOPIC_MAX = 104 };

struct place {
    uint32_t chain, generation; /* under which it was made */
    uint8_t topic_len;          /* 0: free */
    uint8_t qos_retain;
    uint8_t verdict, reason;
    char topic[TOPIC_MAX];
};

struct verdicts {
    struct place places[PLACES];
};

static unsigned place_of(struct str topic)
{
    return (unsigned)hash_bytes(topic.ptr, topic.len) % PLACES;
}

static uint8_t qos_retain(const struct asked_message *m)
{
    return (uint8_t)(m->qos << 1 | m->retain);
}

static uint32_t generation(const struct skep_request *r)
{
    return atomic_load_explicit(&r->place->host->verdicts, memory_order_acquire);
}

bool remembered(const struct verdicts *v, struct skep_request *r)
{
    const struct asked_message *m = &r->message;

    if (!v || m->topic.len > TOPIC_MAX)
        return false;
    const struct place *p = &v->places[place_of(m->topic)];
    if (p->topic_len != m->topic.len || p->qos_retain != qos_retain(m) ||
        p->chain != chain_now(r->chain)->number || p->generation != generation(r) ||
        memcmp(p->topic, m->topic.ptr, m->topic.len) != 0)
        return false;
    r->verdict = p->verdict;
    r->reason = p->reason;
    r->remembered = true;
    return true;
}

/* A generation that began while the modules were asked makes the note void at once: r has the one
 * from before. */
void remember(struct verdicts **v, const struct skep_request *r)
{
    const struct asked_message *m = &r->message;

    if (m->topic.len > TOPIC_MAX || m->topic.len == 0 ||
        (r->verdict != SKEP_ALLOW && r->verdict != SKEP_DENY))
        return;
    if (!*v)
        *v = xcalloc(1, sizeof **v);
    struct place *p = &(*v)->places[place_of(m->topic)];
    *p = (struct place){.chain = r->chain_number,
                        .generation = r->generation,
                        .topic_len = (uint8_t)m->topic.len,
                        .qos_retain = qos_retain(m),
                        .verdict = r->verdict,
                        .reason = r->reason};
    memcpy(p->topic, m->topic.ptr, m->topic.len);
}
