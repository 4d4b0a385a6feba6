/* Clients that outlive the broker.  It crashes at any moment (between two packets, before a
 * sync, between the sync and the acknowledgements, before these reach anybody), loses what was
 * not synced, or parts of it, and comes back on what is left; at times its disk fails, and at
 * times it is stopped in good order.  The clients do as MQTT says: come back, send again with
 * DUP, keep their QoS 2 ids.
 *
 *   - each QoS 2 message comes exactly once, each QoS 1 message at least once, however often it
 *     was sent (M1, M2), and in order (M3); what was refused at QoS 2 comes not at all (M6)
 *   - after each crash the retained message is the last one acknowledged or a later one, and
 *     subscriptions are as SUBACK and UNSUBACK said (M1)
 *   - sessions are there as they should be, and wills come as they should (mortal.h)
 *   - the ledger balances (M4), also over what was restored */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "dice.h"
#include "mortal.h"
#include "player.h"
#include "stories.h"

enum {
    PUBLISHERS = 3,
    SUBSCRIBERS = 3,
    TOGGLER = PUBLISHERS + SUBSCRIBERS,
    WITNESS,
    PLAYERS,
    TOPICS = 3,
    MESSAGES = 250,
    FILTERS = 4,
    REQUESTS = 64,
    CRASHES = 40,
    STEPS = 1500,
    ABSENT = 1, /* as bits: what a subscription may be */
    PRESENT = 2,
};

struct game;

struct record {
    struct game *game;
    unsigned qos; /* granted */
    uint8_t count[PUBLISHERS][MESSAGES];
    int last[PUBLISHERS][TOPICS][3]; /* highest sequence number seen */
    unsigned connects;
};

struct message {
    uint8_t qos, topic;
    bool refused, keep, empty;
};

/* What the toggler has asked for, oldest first. */
struct request {
    uint8_t filter, wanted;
};

struct game {
    struct dice dice;
    struct world *world;
    struct mortals *mortals;
    struct player *players[PLAYERS];
    struct record records[PLAYERS];
    unsigned sent[PUBLISHERS];
    struct message messages[PUBLISHERS][MESSAGES];

    struct request requests[REQUESTS];
    unsigned request_count;
    uint8_t subscribed[FILTERS];
    bool faults; /* the disk failed at some time */
    unsigned crashes;
    uint8_t probe_wanted[CRASHES][FILTERS];
    uint8_t probe_got[CRASHES][FILTERS];
    int kept[PUBLISHERS]; /* what a reader found retained; -1: nothing */
};

static uint32_t pick(struct game *g, uint32_t below)
{
    return dice_pick(&g->dice, below);
}

static void text_of(const struct packet *packet, char *text, size_t size)
{
    ASSERT(packet->payload_len < size);
    memcpy(text, packet->payload, packet->payload_len);
    text[packet->payload_len] = '\0';
}

/* A refusal that got lost with its connection is followed by the same message again, which may be
 * taken then, behind others. */
static bool may_be_refused(const struct game *g, unsigned publisher)
{
    return g->faults && g->players[publisher]->version == 5;
}

/* -- Subscribers -- */

static void on_message(struct player *p, const struct packet *packet, const char *topic)
{
    struct record *r = p->arg;
    char text[64];
    unsigned publisher, seq, qos, at;

    text_of(packet, text, sizeof text);
    ASSERT(sscanf(text, "%u %u %u", &publisher, &seq, &qos) == 3);
    ASSERT(sscanf(topic, "q/%u", &at) == 1);
    ASSERT(packet->qos == (qos < r->qos ? qos : r->qos)); /* [MQTT-3.8.4-8] */
    int *last = &r->last[publisher][at][qos];
    if (r->count[publisher][seq]++ > 0)
        return;
    ASSERT((int)seq > *last || may_be_refused(r->game, publisher));
    if ((int)seq > *last)
        *last = (int)seq;
}

static void on_will(struct player *p, const struct packet *packet, const char *topic)
{
    struct record *r = p->arg;

    mortals_will(r->game->mortals, packet);
}

/* -- The toggler -- */

static void on_probe(struct player *p, const struct packet *packet, const char *topic)
{
    struct record *r = p->arg;
    char text[32];
    unsigned crash, filter;

    text_of(packet, text, sizeof text);
    ASSERT(sscanf(text, "%u", &crash) == 1 && crash < CRASHES);
    ASSERT(sscanf(topic, "t/%u", &filter) == 1 && filter < FILTERS);
    r->game->probe_got[crash][filter] = 1;
}

static void on_toggled(struct player *p, const struct packet *packet)
{
    struct game *g = ((struct record *)p->arg)->game;
    enum { SUBACK = 9, UNSUBACK = 11 };

    if (packet->type != SUBACK && packet->type != UNSUBACK)
        return;
    ASSERT(g->request_count > 0);
    struct request done = g->requests[0];
    g->request_count--;
    memmove(g->requests, g->requests + 1, g->request_count * sizeof done);
    if (packet->type == SUBACK && packet->payload[0] >= 0x80)
        return; /* the disk fails: nothing has changed, and what may be may still be */
    uint8_t may_be = done.wanted;
    for (unsigned i = 0; i < g->request_count; i++)
        may_be |= g->requests[i].filter == done.filter ? g->requests[i].wanted : 0;
    g->subscribed[done.filter] = may_be;
}

static void toggle(struct game *g)
{
    struct request r = {.filter = (uint8_t)pick(g, FILTERS),
                        .wanted = pick(g, 2) ? PRESENT : ABSENT};
    char filter[16];

    if (g->request_count == REQUESTS)
        return;
    snprintf(filter, sizeof filter, "t/%u", r.filter);
    g->requests[g->request_count++] = r;
    g->subscribed[r.filter] |= r.wanted;
    if (r.wanted == PRESENT)
        player_subscribe(g->players[TOGGLER], filter, 1);
    else
        player_unsubscribe(g->players[TOGGLER], filter);
}

/* -- Everybody -- */

static void connect(struct game *g, struct player *p)
{
    struct player_options o = {.expiry = 0xffffffff,
                               .receive_maximum = (uint16_t)(1 + pick(g, 20)),
                               .alias_maximum = (uint16_t)pick(g, 5)};
    size_t window = pick(g, 3) ? 100000 : 1 + pick(g, 200);

    if (p == g->players[TOGGLER])
        g->request_count = 0;
    player_connect(p, pick(g, WORLD_LOOPS), pick(g, 2), window, &o);
    wire_chunk(p->wire, pick(g, 3) ? 0 : 1 + pick(g, 30));
}

static void read(struct player *p)
{
    struct record *r = p->arg;
    bool was = p->connected;

    if (!p->wire)
        return;
    bool more = player_read(p);
    if (!was && p->connected && r->connects++ > 0 && p->version != 3)
        ASSERT(p->session_present);
    if (!more)
        player_hang_up(p, false);
}

static void on_refused(struct player *p, const struct outgoing *o)
{
    struct record *r = p->arg;

    r->game->messages[r - r->game->records][o->tag].refused = true;
}

static void publish(struct game *g, unsigned publisher)
{
    struct player *p = g->players[publisher];
    unsigned seq = g->sent[publisher];
    struct message *m = &g->messages[publisher][seq];
    char topic[16], payload[32];

    if (seq == MESSAGES)
        return;
    *m = (struct message){.qos = (uint8_t)pick(g, 3), .topic = (uint8_t)pick(g, TOPICS)};
    /* All at one QoS: a QoS 1 message that is sent again would undo a QoS 2 one behind it. */
    m->keep = m->qos == 1 + publisher % 2 && pick(g, 3) == 0;
    m->empty = m->keep && pick(g, 4) == 0;
    if (m->keep)
        snprintf(topic, sizeof topic, "r/%u", publisher);
    else
        snprintf(topic, sizeof topic, "q/%u", m->topic);
    snprintf(payload, sizeof payload, "%u %u %u", publisher, seq, m->qos);
    if (!player_publish(p, topic, m->empty ? "" : payload, m->qos, m->keep))
        return;
    if (m->qos)
        p->out[p->out_count - 1].tag = seq;
    g->sent[publisher]++;
}

static void disk_step(struct game *g)
{
    struct depot *d = world_depot(g->world);

    if (pick(g, 60) == 0) {
        g->faults = true;
        depot_fault(d, pick(g, 6), pick(g, 2), pick(g, 2) ? EIO : ENOSPC);
    }
    if (pick(g, 80) == 0)
        depot_checkpoint(d, false, DEPOT_LOSE_ALL, 0);
    world_commit(g->world);
}

static void player_step(struct game *g)
{
    unsigned at = pick(g, PLAYERS);
    struct player *p = g->players[at];

    switch (pick(g, 40)) {
    case 0:
        player_hang_up(p, pick(g, 2));
        break;
    case 1:
        if (p->connected) {
            player_abandon(p);
            connect(g, p);
        }
        break;
    case 2:
        if (p->wire)
            wire_window(p->wire, pick(g, 2) ? pick(g, 100) : 100000);
        break;
    case 3:
        if (p->connected)
            player_disconnect(p, 0);
        break;
    default:
        if (!p->wire)
            connect(g, p);
        else if (at < PUBLISHERS && pick(g, 2))
            publish(g, at);
        else if (at == TOGGLER && p->connected && pick(g, 2))
            toggle(g);
        else if (p->owed_count > 0 && p->connected)
            player_answer(p, pick(g, p->owed_count));
        break;
    }
    read(p);
}

/* -- Crashes -- */

static void on_kept(struct player *p, const struct packet *packet, const char *topic)
{
    struct game *g = p->arg;
    char text[32];
    unsigned publisher, seq;

    text_of(packet, text, sizeof text);
    ASSERT(packet->retain && sscanf(text, "%u %u", &publisher, &seq) == 2);
    ASSERT(publisher < PUBLISHERS && g->kept[publisher] == -1);
    g->kept[publisher] = (int)seq;
}

static const struct outgoing *unacknowledged(const struct player *p, unsigned seq)
{
    for (unsigned i = 0; i < p->out_count; i++) {
        if (p->out[i].tag == seq && !p->out[i].received)
            return &p->out[i];
    }
    return NULL;
}

/* The last one acknowledged, or one that was sent behind it. */
static void check_kept(const struct game *g, unsigned publisher)
{
    int found = g->kept[publisher];
    bool any = false;

    for (unsigned seq = g->sent[publisher]; !any && seq-- > 0;) {
        const struct message *m = &g->messages[publisher][seq];
        if (!m->keep)
            continue;
        if (m->empty ? found == -1 : found == (int)seq)
            return;
        /* One that was refused may have been taken before, when its PUBACK got lost. */
        any = !m->refused && !unacknowledged(g->players[publisher], seq);
    }
    ASSERT(!any && found == -1);
}

/* A reader of its own sees what is retained, and asks everybody subscribed for a sign. */
static void inspect(struct game *g)
{
    struct player *p = player_new(g->world, "inspector", 5);
    char topic[16], payload[16];

    p->arg = g;
    p->on_message = on_kept;
    for (unsigned i = 0; i < PUBLISHERS; i++)
        g->kept[i] = -1;
    player_connect(p, 0, true, 100000, &(struct player_options){.clean = true});
    player_subscribe(p, "r/#", 0);
    world_settle(g->world);
    ASSERT(player_read(p) && p->connected && p->subacks == 1);
    for (unsigned i = 0; i < PUBLISHERS; i++)
        check_kept(g, i);
    for (unsigned i = 0; i < FILTERS; i++) {
        g->probe_wanted[g->crashes][i] = g->subscribed[i];
        snprintf(topic, sizeof topic, "t/%u", i);
        snprintf(payload, sizeof payload, "%u", g->crashes);
        ASSERT(player_publish(p, topic, payload, 1, false));
        world_settle(g->world);
        ASSERT(player_read(p) && p->out_count == 0);
    }
    player_free(&p);
}

static void crash(struct game *g)
{
    struct depot *d = world_depot(g->world);
    enum depot_loss loss = pick(g, 4);
    bool is_crash = loss != DEPOT_LOSE_NOTHING;

    if (!(is_crash && pick(g, 4) == 0 && depot_checkpoint(d, true, loss, pick(g, UINT32_MAX))))
        depot_cut(d, loss, pick(g, UINT32_MAX));
    for (unsigned i = 0; i < PLAYERS; i++) {
        struct player *p = g->players[i];
        if (is_crash && pick(g, 2))
            read(p); /* it had been sent */
        player_hang_up(p, true);
        if (p->ghost)
            wire_hang_up(&p->ghost, true);
        player_crashed(p);
    }
    mortals_crash(g->mortals, is_crash);
    depot_fault(d, 0, false, 0);
    world_restart(g->world, pick(g, 2) ? 0 : pick(g, 3000), pick(g, 2));
    mortals_restarted(g->mortals);
    depot_short_writes(d, pick(g, 4) ? 0 : 100 + pick(g, 1000));
    inspect(g);
    g->crashes++;
    ASSERT(world_balances(g->world));
}

static void step(struct game *g)
{
    switch (pick(g, 16)) {
    case 0:
        mortals_step(g->mortals);
        break;
    case 1:
        if (pick(g, 4) == 0)
            world_wait(g->world, pick(g, 1000));
        break;
    case 2:
    case 3:
    case 4:
        disk_step(g);
        break;
    default:
        player_step(g);
        break;
    }
    if (pick(g, STEPS / 8) == 0 && g->crashes < CRASHES)
        crash(g);
    world_turn(g->world, pick(g, WORLD_LOOPS));
}

/* -- The end -- */

/* Everybody is there, reads and answers until nothing is open any more. */
static void finish(struct game *g)
{
    bool busy = true;

    mortals_finish(g->mortals);
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

static void check_message(const struct game *g, const struct record *r, unsigned publisher,
                          unsigned seq)
{
    const struct message *m = &g->messages[publisher][seq];
    unsigned count = r->count[publisher][seq];
    bool once = m->qos == 2 && r->qos == 2;

    if (m->keep)
        return;
    if (m->refused)
        ASSERT(!once || count == 0);
    else if (m->qos == 0)
        ASSERT(count <= 1);
    else
        ASSERT(once ? count == 1 : count >= 1);
}

static void check(struct game *g)
{
    for (unsigned s = PUBLISHERS; s < TOGGLER; s++) {
        for (unsigned p = 0; p < PUBLISHERS; p++) {
            for (unsigned seq = 0; seq < g->sent[p]; seq++)
                check_message(g, &g->records[s], p, seq);
        }
    }
    for (unsigned c = 0; c < g->crashes; c++) {
        for (unsigned i = 0; i < FILTERS; i++) {
            ASSERT(g->probe_wanted[c][i] != PRESENT || g->probe_got[c][i]);
            ASSERT(g->probe_wanted[c][i] != ABSENT || !g->probe_got[c][i]);
        }
    }
    mortals_check(g->mortals);
}

static void subscribe(struct game *g, struct player *p, const char *filter, unsigned qos)
{
    struct record *r = p->arg;

    r->qos = qos;
    wire_window(p->wire, 1000);
    world_settle(g->world);
    read(p);
    player_subscribe(p, filter, qos);
    world_settle(g->world);
    read(p);
    ASSERT(p->subacks == 1 && p->granted == qos);
}

static void begin(struct game *g)
{
    char id[16];

    for (unsigned i = 0; i < PLAYERS; i++) {
        snprintf(id, sizeof id, "player%u", i);
        struct player *p = g->players[i] = player_new(g->world, id, 3 + pick(g, 3));
        struct record *r = p->arg = &g->records[i];
        r->game = g;
        memset(r->last, 0xff, sizeof r->last);
        p->strict_dup = true;
        p->on_refused = on_refused;
        p->on_message = i == TOGGLER ? on_probe : i == WITNESS ? on_will : on_message;
        p->on_packet = i == TOGGLER ? on_toggled : NULL;
        connect(g, p);
        if (i >= PUBLISHERS && i < TOGGLER)
            subscribe(g, p, pick(g, 2) ? "q/#" : "q/+", 1 + pick(g, 2));
        else if (i == WITNESS)
            subscribe(g, p, "will/#", 2);
    }
    memset(g->subscribed, ABSENT, sizeof g->subscribed);
    g->mortals = mortals_new(g->world, &g->dice);
}

void story_durable(uint64_t seed)
{
    struct game *g = xcalloc(1, sizeof *g);
    struct limits limits;

    g->dice = dice_of(seed);
    limits_default(&limits);
    limits.max_queue_messages = 100000;
    limits.receive_maximum = (uint16_t)(1 + pick(g, 60));
    limits.max_inflight = (uint16_t)(1 + pick(g, 60));
    if (pick(g, 2))
        limits.queue_memory_messages = 1 + pick(g, 30);
    g->world = world_new_durable(&limits);
    begin(g);
    for (unsigned i = 0; i < STEPS; i++)
        step(g);
    finish(g);
    check(g);
    ASSERT(world_balances(g->world));
    for (unsigned i = 0; i < PLAYERS; i++)
        player_free(&g->players[i]);
    mortals_free(&g->mortals);
    world_free(&g->world);
    free(g);
}
