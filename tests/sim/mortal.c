#include "mortal.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

enum { COUNT = 3, ROUNDS = 200, UNSURE_MS = 1000, EXPIRY_MOST = 6, DELAY_MOST = 5 };

static const uint64_t NEVER = UINT64_MAX;

/* One connection and its will. */
struct round {
    enum {
        ALIVE,  /* connected */
        OWED,   /* its will has to come */
        OFF,    /* must not come */
        EITHER, /* nobody can tell */
    } will;
    uint64_t due_ms, latest_ms; /* not before, and about when at the latest; wall time */
    uint64_t delay_ms;
    uint8_t qos, got;
};

struct mortal {
    struct mortals *all;
    struct player *p;
    struct player_will will;
    char payload[32];
    unsigned rounds;
    struct round round[ROUNDS];
    bool fresh;   /* what was done last may not be on the disk yet */
    bool unheard; /* the crash came before the broker had written down that we are gone */
    enum { NONE, KEPT, UNSURE } session;
    uint64_t dialled_ms;
    uint64_t ends_ms, ends_latest_ms; /* of a session that is KEPT */
};

struct mortals {
    struct world *world;
    struct dice *dice;
    struct mortal mortals[COUNT];
};

static uint64_t now_ms(const struct mortals *m)
{
    return depot_wall_ms(world_depot(m->world));
}

static struct round *latest(struct mortal *a)
{
    return &a->round[a->rounds - 1];
}

static uint64_t expiry_ms(const struct player *p)
{
    if (p->version < 5)
        return p->options.clean ? 0 : NEVER;
    return p->options.expiry == 0xffffffff ? NEVER : p->options.expiry * 1000ull;
}

static uint64_t later(uint64_t at, uint64_t by)
{
    return by == NEVER ? NEVER : at + by;
}

struct mortals *mortals_new(struct world *w, struct dice *dice)
{
    struct mortals *m = xcalloc(1, sizeof *m);
    char id[16];

    m->world = w;
    m->dice = dice;
    for (unsigned i = 0; i < COUNT; i++) {
        struct mortal *a = &m->mortals[i];
        snprintf(id, sizeof id, "mortal%u", i);
        a->all = m;
        a->p = player_new(w, id, 3 + dice_pick(dice, 3));
    }
    return m;
}

void mortals_free(struct mortals **m)
{
    for (unsigned i = 0; i < COUNT; i++)
        player_free(&(*m)->mortals[i].p);
    free(*m);
    *m = NULL;
}

/* -- Connecting -- */

static void dial(struct mortal *a)
{
    struct mortals *m = a->all;
    struct player_options o = {.expiry = 1 + dice_pick(m->dice, EXPIRY_MOST), .will = &a->will};
    unsigned at = a->rounds;

    if (at == ROUNDS)
        return;
    if (dice_one_in(m->dice, 4))
        o.expiry = 0xffffffff;
    snprintf(a->payload, sizeof a->payload, "%u %u", (unsigned)(a - m->mortals), at);
    a->will = (struct player_will){.topic = "will/x",
                                   .payload = a->payload,
                                   .delay = a->p->version == 5 ? dice_pick(m->dice, DELAY_MOST) : 0,
                                   .qos = 1 + (uint8_t)dice_pick(m->dice, 2)};
    a->dialled_ms = now_ms(m);
    player_connect(a->p, dice_pick(m->dice, WORLD_LOOPS), dice_pick(m->dice, 2), 100000, &o);
    uint64_t expiry = expiry_ms(a->p), delay = a->will.delay * 1000ull;
    if (delay > expiry)
        delay = expiry;
    a->round[at] = (struct round){
        .will = EITHER, .due_ms = a->dialled_ms + delay, .delay_ms = delay, .qos = a->will.qos};
    a->rounds++;
}

static void check_present(const struct mortal *a)
{
    const struct player *p = a->p;
    uint64_t now = now_ms(a->all);

    if (p->version == 3 || a->session == UNSURE)
        return;
    uint64_t latest_ms = a->ends_latest_ms;
    bool over = latest_ms != NEVER && a->dialled_ms > latest_ms + UNSURE_MS;
    if (a->session == NONE || over)
        ASSERT(!p->session_present);
    else if (now + UNSURE_MS < a->ends_ms)
        ASSERT(p->session_present);
}

static void connected(struct mortal *a)
{
    check_present(a);
    /* Back in time: the will before is called off, and that has been written down. */
    if (a->rounds > 1) {
        struct round *before = &a->round[a->rounds - 2];
        if (before->will != OFF && now_ms(a->all) < before->due_ms) {
            ASSERT(before->got == 0);
            before->will = OFF;
        } else if (before->will == OWED && a->dialled_ms < before->latest_ms + UNSURE_MS) {
            before->will = EITHER;
        }
    }
    a->fresh = false; /* CONNACK came behind all that */
    latest(a)->will = ALIVE;
    latest(a)->due_ms = NEVER;
    a->session = KEPT;
}

/* The broker may have had our CONNECT, and called off the will before, or not. */
static void never_connected(struct mortal *a)
{
    struct round *before = a->rounds > 1 ? &a->round[a->rounds - 2] : NULL;

    a->session = UNSURE;
    if (before && before->will == OWED)
        before->will = EITHER;
}

/* The connection is over, with its will or without. */
static void ended(struct mortal *a, uint64_t at_ms, bool with_will)
{
    struct round *r = latest(a);

    if (r->will != ALIVE) {
        never_connected(a);
        return;
    }
    r->will = with_will ? OWED : OFF;
    r->due_ms = at_ms + r->delay_ms;
    r->latest_ms = at_ms + r->delay_ms;
    a->session = KEPT;
    a->ends_ms = later(at_ms, expiry_ms(a->p));
    a->ends_latest_ms = a->ends_ms;
}

static void read(struct mortal *a)
{
    bool was = a->p->connected;

    if (!a->p->wire)
        return;
    bool more = player_read(a->p);
    if (!was && a->p->connected)
        connected(a);
    if (more)
        return;
    bool alive = latest(a)->will == ALIVE;
    ASSERT(!alive || a->p->refused);
    player_hang_up(a->p, false);
    never_connected(a);
}

void mortals_step(struct mortals *m)
{
    struct mortal *a = &m->mortals[dice_pick(m->dice, COUNT)];

    read(a);
    if (!a->p->wire) {
        dial(a);
        return;
    }
    if (!a->p->connected || !dice_one_in(m->dice, 3))
        return;
    bool with_will = dice_pick(m->dice, 2);
    if (with_will)
        player_hang_up(a->p, true);
    else
        player_disconnect(a->p, 0);
    if (dice_pick(m->dice, 2)) {
        world_settle(m->world);
        a->fresh = false;
        for (unsigned i = 0; i < COUNT; i++)
            m->mortals[i].fresh = false;
    } else {
        a->fresh = true;
        world_turn(m->world, 0);
        world_turn(m->world, 1);
        world_turn(m->world, 2);
    }
    ended(a, now_ms(m), with_will);
}

/* -- Crashes -- */

void mortals_crash(struct mortals *m, bool crash)
{
    for (unsigned i = 0; i < COUNT; i++) {
        struct mortal *a = &m->mortals[i];
        if (a->rounds == 0)
            continue;
        if (crash && dice_pick(m->dice, 2))
            read(a);
        bool was = a->p->wire != NULL;
        if (was) {
            player_hang_up(a->p, true);
            ended(a, now_ms(m), true);
        }
        for (unsigned back = 1; crash && a->fresh && back <= 2 && back <= a->rounds; back++) {
            if (a->round[a->rounds - back].will == OFF)
                a->round[a->rounds - back].will = EITHER;
        }
        player_crashed(a->p);
        a->unheard = was || a->fresh;
        a->fresh = false;
    }
}

/* Whose going was not written down went when the broker came back. */
void mortals_restarted(struct mortals *m)
{
    uint64_t now = now_ms(m);

    for (unsigned i = 0; i < COUNT; i++) {
        struct mortal *a = &m->mortals[i];
        if (!a->rounds)
            continue;
        latest(a)->latest_ms = now + latest(a)->delay_ms;
        if (a->unheard && a->session == KEPT)
            a->ends_latest_ms = later(now, expiry_ms(a->p));
    }
}

/* -- Wills -- */

void mortals_will(struct mortals *m, const struct packet *packet)
{
    char text[32] = {0};
    unsigned who, at;

    ASSERT(packet->payload_len < sizeof text);
    memcpy(text, packet->payload, packet->payload_len);
    ASSERT(sscanf(text, "%u %u", &who, &at) == 2 && who < COUNT);
    struct round *r = &m->mortals[who].round[at];
    ASSERT(at < m->mortals[who].rounds);
    ASSERT(r->will != OFF && r->will != ALIVE);
    ASSERT(now_ms(m) >= r->due_ms);
    ASSERT(r->got == 0 || r->qos == 1);
    if (r->got < 200)
        r->got++;
}

void mortals_finish(struct mortals *m)
{
    for (unsigned i = 0; i < COUNT; i++) {
        struct mortal *a = &m->mortals[i];
        read(a);
        if (!a->p->wire)
            continue;
        player_hang_up(a->p, true);
        world_settle(m->world);
        ended(a, now_ms(m), true);
    }
    world_wait(m->world, (EXPIRY_MOST + DELAY_MOST) * 1000);
}

void mortals_check(const struct mortals *m)
{
    for (unsigned i = 0; i < COUNT; i++) {
        const struct mortal *a = &m->mortals[i];
        for (unsigned at = 0; at < a->rounds; at++) {
            const struct round *r = &a->round[at];
            ASSERT(r->will != OWED || r->got > 0);
        }
    }
}
