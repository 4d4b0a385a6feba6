/* Keep-alives and wills against the clock:
 *
 *   - a silent client is closed after 1.5 times its keep-alive and before 2 times
 *     [MQTT-3.1.2-22] [MQTT-3.1.2-24]; one that pings is not
 *   - a will is published once, when the connection has ended without DISCONNECT 0x00 and its
 *     delay or the session is over; never early, at most a second late [MQTT-3.1.2-8]; and not
 *     at all when the client is back in time [MQTT-3.1.3-9] */
#include <stdio.h>

#include "base/mem.h"
#include "dice.h"
#include "player.h"
#include "stories.h"

enum { PLAYERS = 6, STEPS = 400, STEP_MS = 250, LATE_MS = 1000 };

struct actor {
    struct player *p;
    struct player_will will;
    char payload[32];
    unsigned round;
    bool silent;       /* says nothing any more */
    bool will_pending; /* the connection is over, the will is to come */
    uint64_t due_ms;
    unsigned wills_got;
};

struct game {
    struct dice dice;
    struct world *world;
    struct player *witness;
    struct actor actors[PLAYERS];
};

static void on_will(struct player *witness, const struct packet *packet, const char *topic)
{
    struct game *g = witness->arg;
    unsigned who, round;
    char text[32] = {0};

    ASSERT(packet->payload_len < sizeof text);
    memcpy(text, packet->payload, packet->payload_len);
    ASSERT(sscanf(text, "%u %u", &who, &round) == 2);
    struct actor *a = &g->actors[who];
    ASSERT(round == a->round); /* not one that was called off, not twice */
    ASSERT(a->will_pending);
    ASSERT(world_now_ms(g->world) >= a->due_ms);
    a->will_pending = false;
}

static void start(struct game *g, unsigned at)
{
    struct actor *a = &g->actors[at];
    struct player_options o = {.keep_alive = (uint16_t)(1 + dice_pick(&g->dice, 4)),
                               .clean = dice_one_in(&g->dice, 4)};
    uint64_t now = world_now_ms(g->world);

    o.expiry = dice_one_in(&g->dice, 4) ? 0xffffffff : dice_pick(&g->dice, 6);
    if (a->will_pending && (o.clean || now >= a->due_ms))
        return;              /* wait for it: it could not be told from the next */
    a->will_pending = false; /* back in time */
    a->round++;
    snprintf(a->payload, sizeof a->payload, "%u %u", at, a->round);
    a->will = (struct player_will){.topic = "will/x",
                                   .payload = a->payload,
                                   .delay = a->p->version == 5 ? dice_pick(&g->dice, 5) : 0,
                                   .qos = (uint8_t)dice_pick(&g->dice, 3)};
    o.will = &a->will;
    a->silent = false;
    player_connect(a->p, dice_pick(&g->dice, WORLD_LOOPS), dice_pick(&g->dice, 2), 100000, &o);
    world_settle(g->world);
    player_read(a->p);
    ASSERT(a->p->connected);
}

/* The connection was over at that time. */
static void ended(struct actor *a, uint64_t at_ms, bool with_will)
{
    const struct player_options *o = &a->p->options;
    uint64_t expiry = a->p->version == 5 ? o->expiry : o->clean ? 0 : 0xffffffff;
    uint64_t delay = a->will.delay < expiry ? a->will.delay : expiry;

    a->will_pending = with_will;
    a->due_ms = at_ms + delay * 1000;
}

static void act(struct game *g, struct actor *a)
{
    struct player *p = a->p;
    uint64_t now = world_now_ms(g->world);

    switch (dice_pick(&g->dice, 40)) {
    case 0:
        player_hang_up(p, dice_pick(&g->dice, 2));
        ended(a, now, true);
        break;
    case 1:
        player_disconnect(p, 0);
        ended(a, now, false);
        break;
    case 2:
        if (p->version == 5) {
            player_disconnect(p, 4);
            ended(a, now, true);
        }
        break;
    case 3:
    case 4:
        a->silent = true;
        break;
    default:
        if (!a->silent)
            player_ping(p);
        break;
    }
    world_settle(g->world);
}

static void check_keep_alive(struct actor *a, uint64_t now)
{
    struct player *p = a->p;
    uint64_t heard = wire_heard_ms(p->wire), closed = wire_closed_ms(p->wire);
    uint64_t unit = p->options.keep_alive * 1000ull;

    if (player_read(p)) {
        ASSERT(now - heard < 2 * unit);
        return;
    }
    ASSERT(closed - heard >= unit * 3 / 2);
    ASSERT(closed - heard < 2 * unit);
    ASSERT(p->version != 5 || p->end_reason == 0x8D);
    ASSERT(a->silent);
    player_hang_up(p, false);
    ended(a, closed, true);
}

static void step(struct game *g)
{
    world_wait(g->world, STEP_MS);
    uint64_t now = world_now_ms(g->world);

    for (unsigned i = 0; i < PLAYERS; i++) {
        if (g->actors[i].p->wire)
            check_keep_alive(&g->actors[i], now);
    }
    ASSERT(player_read(g->witness));
    player_answer_all(g->witness);
    player_ping(g->witness);
    for (unsigned i = 0; i < PLAYERS; i++) {
        struct actor *a = &g->actors[i];
        ASSERT(!a->will_pending || now < a->due_ms + LATE_MS);
        if (a->p->wire)
            act(g, a);
        else if (dice_one_in(&g->dice, 8))
            start(g, i);
    }
}

void story_clocks(uint64_t seed)
{
    struct game *g = xcalloc(1, sizeof *g);
    struct limits limits;
    char id[16];

    g->dice = dice_of(seed);
    limits_default(&limits);
    g->world = world_new(&limits);
    g->witness = player_new(g->world, "witness", 5);
    g->witness->arg = g;
    g->witness->on_message = on_will;
    player_connect(g->witness, 0, true, 100000, &(struct player_options){.clean = true});
    player_subscribe(g->witness, "will/#", 2);
    for (unsigned i = 0; i < PLAYERS; i++) {
        snprintf(id, sizeof id, "player%u", i);
        g->actors[i].p = player_new(g->world, id, 3 + dice_pick(&g->dice, 3));
    }
    for (unsigned i = 0; i < STEPS; i++)
        step(g);
    player_free(&g->witness);
    for (unsigned i = 0; i < PLAYERS; i++)
        player_free(&g->actors[i].p);
    world_free(&g->world);
    free(g);
}
