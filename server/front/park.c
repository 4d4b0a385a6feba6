/* Acknowledgements that wait for the log.
 *
 * What an acknowledgement says has to be true after a power cut, so it waits here until its
 * record has settled, and those behind it keep their order [MQTT-4.6.0-2 to 4].  All of one turn
 * wait for the same place.  A client has two places at most: what comes while the first is
 * under way waits for the newest one, which the log reaches with its next write.
 *
 * Everything else (PINGRESP, deliveries of QoS 0 and 1) goes by. */
#include <stdlib.h>

#include "base/mem.h"
#include "core/session.h"
#include "front/client.h"

enum {
    PARK_FIRST = 256,
    PARK_HOLD = 64 * 1024, /* so much parked, and the client is not read from */
};

bool client_parked(const struct client *c)
{
    return c->extra && c->extra->park.all.len > 0;
}

bool client_suback_parked(const struct client *c)
{
    return c->extra && c->extra->park.all.subacks > 0;
}

bool client_park_crowded(const struct client *c)
{
    return c->extra && c->extra->park.all.len > PARK_HOLD;
}

static struct mqtt_out park_out(struct client *c, size_t need)
{
    struct park *p = &client_extra(c)->park;
    uint32_t len = p->all.len;

    if (len + need > p->cap) {
        for (p->cap = p->cap ? p->cap : PARK_FIRST; p->cap < len + need;)
            p->cap *= 2;
        p->bytes = xrealloc(p->bytes, p->cap);
    }
    return (struct mqtt_out){.ptr = p->bytes + len, .cap = need};
}

/* It waits for nothing itself and only keeps its place behind the last. */
static void follow(struct park *p)
{
    struct park_part *last = p->rest.lsn ? &p->rest : &p->first;
    uint64_t lsn = last->lsn;

    *last = p->all;
    last->lsn = lsn;
}

static void park_done(struct client *c, const struct mqtt_out *out, bool waits)
{
    struct park *p = &c->extra->park;
    unsigned type = out->need > 0 ? p->bytes[p->all.len] >> 4 : 0;

    ASSERT(mqtt_out_fits(out));
    p->all.len += (uint32_t)out->need;
    p->all.pubacks += type == MQTT_PUBACK;
    p->all.subacks += type == MQTT_SUBACK;
    if (!waits && !p->fresh)
        follow(p);
    if (waits && !p->fresh) {
        p->fresh = true;
        client_list_add(&c->desk->parking, c);
    }
    if (p->all.len > PARK_HOLD)
        conn_pause(c->conn);
}

struct mqtt_out client_answer(struct client *c, size_t need, bool waits)
{
    return waits || client_parked(c) ? park_out(c, need) : client_out(c, need);
}

void client_answer_done(struct client *c, const struct mqtt_out *out, bool waits)
{
    if (waits || client_parked(c))
        park_done(c, out, waits);
    else
        client_out_done(c, out);
}

void client_park_mark(struct client *c, uint64_t lsn)
{
    struct park *p = &c->extra->park;
    struct park_part *part = p->first.lsn ? &p->rest : &p->first;

    p->fresh = false;
    *part = p->all;
    part->lsn = lsn;
    if (!p->listed) {
        p->listed = true;
        client_list_add(&c->desk->parked, c);
    }
}

static void take_off(struct park_part *part, const struct park_part *gone)
{
    part->len -= gone->len;
    part->pubacks -= gone->pubacks;
    part->subacks -= gone->subacks;
}

static void put_first(struct client *c, struct park *p)
{
    struct park_part gone = p->first;
    struct mqtt_out out = client_out(c, gone.len);

    memcpy(out.ptr, p->bytes, gone.len);
    out.need = gone.len;
    client_out_done(c, &out);
    take_off(&p->all, &gone);
    memmove(p->bytes, p->bytes + gone.len, p->all.len);
    p->first = p->rest;
    p->rest = (struct park_part){0};
    if (p->first.lsn)
        take_off(&p->first, &gone);
}

bool client_park_release(struct client *c, uint64_t settled)
{
    struct park *p = &c->extra->park;
    bool held = client_park_crowded(c);

    while (p->first.lsn && p->first.lsn <= settled)
        put_first(c, p);
    if (p->first.lsn)
        return true;
    p->listed = false;
    if (p->all.len == 0) {
        free(p->bytes);
        p->bytes = NULL;
        p->cap = 0;
    }
    if (c->state == CLIENT_SETTLING)
        client_settled(c);
    else if (held && c->state == CLIENT_LIVE)
        client_read_on(c);
    client_replay_wake(c);
    return false;
}

void client_park_drop(struct client *c)
{
    struct park *p = c->extra ? &c->extra->park : NULL;

    if (!p)
        return;
    if (p->fresh)
        client_list_remove(&c->desk->parking, c);
    if (p->listed)
        client_list_remove(&c->desk->parked, c);
    free(p->bytes);
    *p = (struct park){0};
}
