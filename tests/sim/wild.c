/* Anything a client may do, in any order, under small limits that change from seed to seed.
 * The players watch the rules that each can see (player.h); here:
 *
 *   - session present tells the truth [MQTT-3.2.2-3]
 *   - the ledger balances all the while, and to zero at the end (M4)
 *   - no memory and no client is left (ASan, world_free) */
#include <stdio.h>

#include "base/mem.h"
#include "dice.h"
#include "player.h"
#include "stories.h"

enum { PLAYERS = 7, STEPS = 2500, UNSURE_MS = 2000 };

struct actor {
    struct player *p;
    /* What became of the last session, as far as we can be sure. */
    enum { NONE, GONE, KEPT, UNSURE } last;
    uint64_t end_ms; /* KEPT until then */
    uint64_t dialled_ms;
    struct player_will will;
};

struct game {
    struct dice dice;
    struct world *world;
    struct actor actors[PLAYERS];
};

static uint32_t pick(struct game *g, uint32_t below)
{
    return dice_pick(&g->dice, below);
}

static void limits_pick(struct game *g, struct limits *l)
{
    limits_default(l);
    l->max_queue_messages = 1 + pick(g, 20);
    l->max_queue_bytes = 200 + pick(g, 3000);
    l->qos0_queue_bytes = 50 + pick(g, 1000);
    l->queue_full = pick(g, 2) ? QUEUE_DROP_NEW : QUEUE_DROP_OLD;
    l->slow_consumer = pick(g, 2) ? SLOW_DROP : SLOW_CLOSE;
    l->max_inflight = (uint16_t)(1 + pick(g, 5));
    l->receive_maximum = (uint16_t)(1 + pick(g, 10));
    l->topic_alias_out = (uint16_t)pick(g, 4);
    l->max_subscriptions = 1 + pick(g, 6);
    l->max_retained_messages = pick(g, 5);
    l->message_rate = pick(g, 3) ? 0 : 20 + pick(g, 100);
    l->share_strategy = pick(g, 3);
    l->upgrade_outgoing_qos = dice_one_in(&g->dice, 6);
    l->keep_alive_max = dice_one_in(&g->dice, 3) ? 2 : 0;
    l->message_expiry_max = dice_one_in(&g->dice, 4) ? 2 : 0;
}

static uint64_t expiry_ms(const struct player *p)
{
    if (p->version == 5)
        return p->options.expiry == 0xffffffff ? UINT64_MAX : p->options.expiry * 1000ull;
    return p->options.clean ? 0 : UINT64_MAX;
}

/* The connection is over and the broker knows it; was it ever one? */
static void note_end(struct game *g, struct actor *a, bool was_connected)
{
    uint64_t expiry = expiry_ms(a->p);

    if (!was_connected) {
        a->last = UNSURE; /* CONNECT may or may not have got through */
        return;
    }
    a->last = expiry ? KEPT : GONE;
    a->end_ms = expiry == UINT64_MAX ? UINT64_MAX : world_now_ms(g->world) + expiry;
}

static void hang_up(struct game *g, struct actor *a, bool reset)
{
    bool was_connected = a->p->connected;

    player_hang_up(a->p, reset);
    if (a->p->ghost)
        wire_hang_up(&a->p->ghost, true);
    world_settle(g->world);
    note_end(g, a, was_connected);
}

static void connect(struct game *g, struct actor *a)
{
    struct player_options o = {
        .clean = pick(g, 3) == 0,
        .expiry = pick(g, 3) ? pick(g, 8) : 0xffffffff,
        .keep_alive = (uint16_t)pick(g, 4),
        .receive_maximum = (uint16_t)pick(g, 6),
        .maximum_packet = pick(g, 2) ? 0 : 60 + pick(g, 100),
        .alias_maximum = (uint16_t)pick(g, PLAYER_ALIASES),
    };

    if (dice_one_in(&g->dice, 3)) {
        a->will = (struct player_will){.topic = "w/1",
                                       .payload = "gone",
                                       .delay = pick(g, 4),
                                       .qos = (uint8_t)pick(g, 3),
                                       .retain = pick(g, 2)};
        o.will = &a->will;
    }
    player_connect(a->p, pick(g, WORLD_LOOPS), pick(g, 2), pick(g, 3) ? 100000 : 1 + pick(g, 300),
                   &o);
    wire_chunk(a->p->wire, pick(g, 3) ? 0 : 1 + pick(g, 20));
    a->dialled_ms = world_now_ms(g->world);
}

/* CONNACK has just been read; it was written at some time since we dialled. */
static void check_present(struct game *g, struct actor *a)
{
    struct player *p = a->p;
    uint64_t now = world_now_ms(g->world);

    if (p->version == 3 || p->options.clean)
        return;
    bool kept = a->last == KEPT, for_ever = a->end_ms == UINT64_MAX;
    bool over = kept && !for_ever && a->dialled_ms > a->end_ms + UNSURE_MS;
    if (a->last == NONE || a->last == GONE || over)
        ASSERT(!p->session_present);
    if (kept && (for_ever || now + UNSURE_MS < a->end_ms))
        ASSERT(p->session_present);
}

static void read(struct game *g, struct actor *a)
{
    bool was = a->p->connected;

    if (!a->p->wire)
        return;
    bool more = player_read(a->p);
    if (!was && a->p->connected)
        check_present(g, a);
    if (more)
        return;
    player_hang_up(a->p, false);
    note_end(g, a, false);
}

static void subscribe(struct game *g, struct player *p)
{
    static const char *const filters[] = {"a/0", "a/+", "#",   "a/#",         "$share/g/a/+",
                                          "+/1", "w/#", "a/2", "$share/h/a/1"};
    const char *filter = filters[pick(g, ARRAY_LEN(filters))];
    unsigned no_local = filter[0] == '$' ? 0 : pick(g, 2) << 2;

    if (pick(g, 4) == 0)
        player_unsubscribe(p, filter);
    else
        player_subscribe(p, filter, pick(g, 3) | no_local | pick(g, 2) << 3 | pick(g, 3) << 4);
}

static void publish(struct game *g, struct player *p)
{
    char topic[16], payload[64];

    memset(payload, 'x', sizeof payload);
    payload[pick(g, sizeof payload)] = '\0';
    payload[63] = '\0';
    snprintf(topic, sizeof topic, "a/%u", pick(g, 4));
    player_publish(p, topic, pick(g, 10) ? payload : "", pick(g, 3), pick(g, 6) == 0);
}

static void connected_step(struct game *g, struct actor *a)
{
    struct player *p = a->p;

    switch (pick(g, 24)) {
    case 0:
        hang_up(g, a, pick(g, 2));
        return;
    case 1:
        player_disconnect(p, p->version == 5 && pick(g, 2) ? 4 : 0);
        world_settle(g->world);
        note_end(g, a, true);
        return;
    case 2:
        note_end(g, a, true); /* a takeover ends it now */
        player_abandon(p);
        connect(g, a);
        a->last = a->last == KEPT && p->options.clean ? GONE : a->last;
        return;
    case 3:
        wire_window(p->wire, pick(g, 2) ? pick(g, 100) : 100000);
        return;
    case 4:
        player_ping(p);
        return;
    case 5:
        player_write(p, "\xf7\x01\x00", 3); /* no packet has these flags */
        return;
    case 6:
        player_write(p, "\x30\x50\x00", 3); /* the beginning of something */
        hang_up(g, a, pick(g, 2));
        return;
    case 7:
    case 8:
        subscribe(g, p);
        return;
    default:
        if (p->owed_count > 0 && pick(g, 2))
            player_answer(p, pick(g, p->owed_count));
        else
            publish(g, p);
        return;
    }
}

static void step(struct game *g)
{
    struct actor *a = &g->actors[pick(g, PLAYERS)];

    read(g, a);
    if (!a->p->wire) {
        if (pick(g, 3) == 0) {
            if (a->p->ghost)
                wire_hang_up(&a->p->ghost, true);
            world_settle(g->world);
            connect(g, a);
        }
    } else if (a->p->connected && !a->p->ended) {
        connected_step(g, a);
    } else if (pick(g, 30) == 0) {
        hang_up(g, a, true);
    }
    world_turn(g->world, pick(g, WORLD_LOOPS));
    if (pick(g, 12) == 0)
        world_wait(g->world, pick(g, pick(g, 20) ? 300 : 20000));
}

void story_wild(uint64_t seed)
{
    struct game *g = xcalloc(1, sizeof *g);
    struct limits limits;
    char id[16];

    g->dice = dice_of(seed);
    limits_pick(g, &limits);
    g->world = world_new(&limits);
    for (unsigned i = 0; i < PLAYERS; i++) {
        snprintf(id, sizeof id, "player%u", i);
        g->actors[i].p = player_new(g->world, id, 3 + pick(g, 3));
    }
    for (unsigned i = 0; i < STEPS; i++) {
        step(g);
        if (i % 64 == 0)
            ASSERT(world_balances(g->world));
    }
    for (unsigned i = 0; i < PLAYERS; i++)
        player_free(&g->actors[i].p);
    world_free(&g->world);
    free(g);
}
