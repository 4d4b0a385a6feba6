/* Publishers and subscribers whose sessions last while their connections are cut, taken over
 * and blocked at any step.  At the end everybody comes back and all is acknowledged; then
 *
 *   - each QoS 2 message came exactly once to each subscriber (M2, both directions)
 *   - each QoS 1 message came at least once
 *   - messages of one publisher on one topic and QoS came in order (M3) [MQTT-4.6.0-5]
 *   - the broker knew every session [MQTT-3.2.2-3] */
#include <stdio.h>

#include "base/mem.h"
#include "dice.h"
#include "player.h"
#include "stories.h"

enum {
    PUBLISHERS = 3,
    SUBSCRIBERS = 4,
    PLAYERS = PUBLISHERS + SUBSCRIBERS,
    TOPICS = 3,
    MESSAGES = 300,
    STEPS = 2500
};

struct game;

struct record {
    struct game *game;
    unsigned qos; /* granted */
    uint8_t count[PUBLISHERS][MESSAGES];
    int last[PUBLISHERS][TOPICS][3]; /* highest sequence number seen */
    unsigned connects;
};

struct game {
    struct dice dice;
    struct world *world;
    struct player *players[PLAYERS];
    struct record records[PLAYERS];
    unsigned sent[PUBLISHERS];
    struct {
        uint8_t qos, topic;
    } messages[PUBLISHERS][MESSAGES];
};

static void on_message(struct player *p, const struct packet *packet, const char *topic)
{
    struct record *r = p->arg;
    char text[64];
    unsigned publisher, seq, qos, at;

    ASSERT(packet->payload_len < sizeof text);
    memcpy(text, packet->payload, packet->payload_len);
    text[packet->payload_len] = '\0';
    ASSERT(sscanf(text, "%u %u %u", &publisher, &seq, &qos) == 3);
    ASSERT(sscanf(topic, "q/%u", &at) == 1);
    ASSERT(packet->qos == (qos < r->qos ? qos : r->qos)); /* [MQTT-3.8.4-8] */
    int *last = &r->last[publisher][at][qos];
    if (r->count[publisher][seq]++ == 0) {
        ASSERT((int)seq > *last);
        *last = (int)seq;
    }
}

static void connect(struct game *g, struct player *p)
{
    struct player_options o = {.expiry = 0xffffffff,
                               .receive_maximum = (uint16_t)(1 + dice_pick(&g->dice, 20)),
                               .alias_maximum = (uint16_t)dice_pick(&g->dice, 5)};
    size_t window = dice_one_in(&g->dice, 3) ? 1 + dice_pick(&g->dice, 200) : 100000;

    player_connect(p, dice_pick(&g->dice, WORLD_LOOPS), dice_pick(&g->dice, 2), window, &o);
    wire_chunk(p->wire, dice_one_in(&g->dice, 3) ? 1 + dice_pick(&g->dice, 30) : 0);
}

static void read(struct player *p)
{
    struct record *r = p->arg;
    bool was = p->connected;

    if (!p->wire)
        return;
    bool more = player_read(p);
    if (!was && p->connected && p->version != 3 && r->connects++ > 0)
        ASSERT(p->session_present);
    if (!more)
        player_hang_up(p, false);
}

static void publish(struct game *g, unsigned publisher)
{
    struct player *p = g->players[publisher];
    unsigned seq = g->sent[publisher], qos = dice_pick(&g->dice, 3);
    char topic[16], payload[32];

    if (seq == MESSAGES)
        return;
    g->messages[publisher][seq].qos = (uint8_t)qos;
    g->messages[publisher][seq].topic = (uint8_t)dice_pick(&g->dice, TOPICS);
    snprintf(topic, sizeof topic, "q/%u", g->messages[publisher][seq].topic);
    snprintf(payload, sizeof payload, "%u %u %u", publisher, seq, qos);
    if (player_publish(p, topic, payload, qos, false))
        g->sent[publisher]++;
}

/* One player does one thing. */
static void step(struct game *g)
{
    unsigned at = dice_pick(&g->dice, PLAYERS);
    struct player *p = g->players[at];

    switch (dice_pick(&g->dice, 24)) {
    case 0:
        player_hang_up(p, dice_pick(&g->dice, 2));
        break;
    case 1:
        if (p->connected) {
            player_abandon(p);
            connect(g, p);
        }
        break;
    case 2:
        if (p->wire)
            wire_window(p->wire, dice_one_in(&g->dice, 2) ? dice_pick(&g->dice, 100) : 100000);
        break;
    case 3:
        if (p->connected)
            player_disconnect(p, 0);
        break;
    case 4:
        world_wait(g->world, dice_pick(&g->dice, 500));
        break;
    default:
        if (!p->wire)
            connect(g, p);
        else if (at < PUBLISHERS && dice_pick(&g->dice, 2))
            publish(g, at);
        else if (p->owed_count > 0 && p->connected)
            player_answer(p, dice_pick(&g->dice, p->owed_count));
        break;
    }
    read(p);
    world_turn(g->world, dice_pick(&g->dice, WORLD_LOOPS));
}

/* Everybody is there, reads and answers until nothing is open any more. */
static void finish(struct game *g)
{
    bool busy = true;

    for (unsigned round = 0; busy; round++) {
        ASSERT(round < 3000);
        busy = false;
        for (unsigned i = 0; i < PLAYERS; i++) {
            struct player *p = g->players[i];
            if (!p->wire)
                connect(g, p);
            wire_window(p->wire, 1000000);
            wire_chunk(p->wire, 0);
            read(p);
            if (p->connected)
                player_answer_all(p);
            busy |= !p->connected || p->owed_count > 0 || p->out_count > 0;
        }
        world_settle(g->world);
        for (unsigned i = 0; i < PLAYERS; i++) {
            read(g->players[i]);
            busy |= g->players[i]->owed_count > 0;
        }
    }
}

static void check(struct game *g)
{
    for (unsigned s = PUBLISHERS; s < PLAYERS; s++) {
        struct record *r = &g->records[s];
        for (unsigned p = 0; p < PUBLISHERS; p++) {
            for (unsigned seq = 0; seq < g->sent[p]; seq++) {
                unsigned qos = g->messages[p][seq].qos, count = r->count[p][seq];
                ASSERT(qos != 0 || count <= 1);
                ASSERT(qos == 0 || count >= 1);
                ASSERT(qos != 2 || r->qos != 2 || count == 1);
            }
        }
    }
}

void story_reliable(uint64_t seed)
{
    struct game *g = xcalloc(1, sizeof *g);
    struct limits limits;
    char id[16];

    g->dice = dice_of(seed);
    limits_default(&limits);
    limits.max_queue_messages = 100000;
    limits.receive_maximum = (uint16_t)(1 + dice_pick(&g->dice, 60));
    limits.max_inflight = (uint16_t)(1 + dice_pick(&g->dice, 60));
    g->world = world_new(&limits);
    for (unsigned i = 0; i < PLAYERS; i++) {
        snprintf(id, sizeof id, "player%u", i);
        struct player *p = g->players[i] = player_new(g->world, id, 3 + dice_pick(&g->dice, 3));
        struct record *r = p->arg = &g->records[i];
        memset(r->last, 0xff, sizeof r->last);
        p->on_message = on_message;
        p->strict_dup = true;
        connect(g, p);
        if (i >= PUBLISHERS) {
            r->qos = 1 + dice_pick(&g->dice, 2);
            wire_window(p->wire, 1000);
            world_settle(g->world);
            read(p);
            player_subscribe(p, dice_pick(&g->dice, 2) ? "q/#" : "q/+", r->qos);
            world_settle(g->world);
            read(p);
            ASSERT(p->subacks == 1 && p->granted == r->qos);
        }
    }
    for (unsigned i = 0; i < STEPS; i++)
        step(g);
    finish(g);
    check(g);
    ASSERT(world_balances(g->world));
    for (unsigned i = 0; i < PLAYERS; i++)
        player_free(&g->players[i]);
    world_free(&g->world);
    free(g);
}
