/* Random traffic over many sessions: whatever happens, both accounts balance, and what the
 * ledger says is waiting does stand in queues (promise M4).
 *
 *     unit_core_ledger [SEED [ROUNDS]]      a failure prints its seed */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "rig.h"

enum { PEERS = 12, TOPICS = 6, STEPS = 3000, OPEN_MAX = 64 };

struct player {
    struct peer *p;
    char id[8];
    bool claiming;
    struct {
        uint16_t id;
        uint8_t type; /* what we owe: PUBACK, PUBREC or PUBCOMP */
    } owed[OPEN_MAX];
    unsigned owed_count;
};

struct game {
    struct rig *r;
    struct player players[PEERS];
    uint64_t random;
};

static uint64_t first_seed = 1, rounds = 12;

static uint32_t pick(struct game *g, uint32_t below)
{
    g->random ^= g->random << 13;
    g->random ^= g->random >> 7;
    g->random ^= g->random << 17;
    return (uint32_t)((g->random >> 20) % below);
}

static void owe(struct player *pl, uint16_t id, uint8_t type)
{
    if (pl->owed_count < OPEN_MAX) {
        pl->owed[pl->owed_count].id = id;
        pl->owed[pl->owed_count++].type = type;
    }
}

static void read_all(struct player *pl)
{
    struct packet got;

    while (peer_next(pl->p, &got)) {
        assert_true(got.size <= pl->p->link.maximum_packet);
        if (got.type == MQTT_PUBLISH && got.qos)
            owe(pl, (uint16_t)got.id, got.qos == 1 ? MQTT_PUBACK : MQTT_PUBREC);
        else if (got.type == MQTT_PUBREL)
            owe(pl, (uint16_t)got.id, MQTT_PUBCOMP);
    }
    pl->p->len = pl->p->at = 0;
}

static void answer(struct game *g, struct player *pl)
{
    struct peer *p = pl->p;
    bool release;

    if (!pl->owed_count)
        return;
    unsigned at = pick(g, pl->owed_count);
    uint16_t id = pl->owed[at].id;
    uint8_t type = pl->owed[at].type, reason = pick(g, 10) ? 0 : 0x83;
    pl->owed[at] = pl->owed[--pl->owed_count];
    if (type == MQTT_PUBACK) {
        session_puback(p->w, p->s, id, reason);
    } else if (type == MQTT_PUBREC) {
        if (session_pubrec(p->w, p->s, id, reason, &release) == 0 && release)
            owe(pl, id, MQTT_PUBCOMP);
    } else {
        session_pubcomp(p->w, p->s, id, 0);
    }
}

static void attach(struct game *g, struct player *pl)
{
    static const uint8_t versions[] = {MQTT_31, MQTT_311, MQTT_50};
    struct peer *p = pl->p;

    pl->claiming = false;
    pl->owed_count = 0;
    p->len = p->at = 0;
    p->result = LINK_SENT;
    p->link.blocked = false;
    p->link.version = versions[pick(g, 3)];
    p->link.quota = (uint16_t)(1 + pick(g, 8));
    p->link.maximum_packet = pick(g, 3) ? UINT32_MAX : 20 + pick(g, 100);
    p->link.alias_maximum = p->link.version == MQTT_50 ? (uint16_t)pick(g, 5) : 0;
    p->link.shareable = pick(g, 2);
    peer_attach(p, pick(g, 3) ? pick(g, 20) : EXPIRY_NEVER);
    sessions_attached(p->w, p->s);
}

static void leave(struct player *pl)
{
    peer_leave(pl->p);
    pl->owed_count = 0;
}

static void connect(struct game *g, struct player *pl)
{
    if (pl->p->s || pl->claiming)
        return;
    pl->p->w = g->r->workers[pick(g, RIG_WORKERS)];
    pl->p->link.worker = (uint8_t)pl->p->w->index;
    /* Half the time under somebody else's name: a takeover. */
    const char *id = g->players[pick(g, 2) ? pick(g, PEERS) : (uint32_t)(pl - g->players)].id;
    enum claim_result result = peer_claim(pl->p, id, NULL, pick(g, 3) == 0);
    if (result == CLAIM_GRANTED)
        attach(g, pl);
    else
        pl->claiming = result == CLAIM_WAITING;
}

/* What a loop would do: those kicked go, those granted a session begin. */
static void settle(struct game *g)
{
    for (unsigned i = 0; i < PEERS; i++) {
        struct player *pl = &g->players[i];
        if (pl->p->kicked && pl->p->s)
            leave(pl);
        pl->p->kicked = 0;
    }
    for (unsigned i = 0; i < PEERS; i++) {
        struct player *pl = &g->players[i];
        if (!pl->claiming || !pl->p->answered)
            continue;
        if (pl->p->claimed == CLAIM_GRANTED)
            attach(g, pl);
        else
            pl->claiming = false;
    }
}

static void subscribe(struct game *g, struct peer *p)
{
    static const char *const filters[] = {"t/0",          "t/+",          "#",   "t/#",
                                          "$share/g/t/+", "$share/h/t/1", "+/2", "t/3"};
    const char *filter = filters[pick(g, ARRAY_LEN(filters))];

    if (pick(g, 3) == 0)
        session_unsubscribe(p->w, p->s, str_of(filter));
    else
        peer_subscribe_with(p, filter, pick(g, 3) | (pick(g, 2) ? SUB_NO_LOCAL : 0u),
                            pick(g, 2) ? 1 + pick(g, 1000) : 0);
}

static void publish(struct game *g, struct player *pl)
{
    char topic[8], payload[2000];
    unsigned len = pick(g, 8) ? pick(g, 40) : pick(g, sizeof payload);

    memset(payload, 'x', sizeof payload);
    snprintf(topic, sizeof topic, "t/%u", pick(g, TOPICS));
    struct publication pub = rig_publication(topic, "", pick(g, 3));
    pub.payload = (struct str){payload, len};
    pub.publisher = pl->p->s ? pl->p->s->serial : 0;
    pub.publisher_hash = pick(g, 100);
    pub.expiry = pick(g, 3) ? UINT32_MAX : pick(g, 5);
    pub.retain = pick(g, 10) == 0;
    rig_publish_as(g->r->workers[pick(g, RIG_WORKERS)], &pub);
}

static void link_trouble(struct game *g, struct peer *p)
{
    if (p->link.blocked) {
        p->result = LINK_SENT;
        session_unblock(p->w, p->s, STR_NONE);
    } else {
        p->result = pick(g, 4) ? LINK_BLOCKED : LINK_FAILED;
    }
}

static void step(struct game *g)
{
    struct player *pl = &g->players[pick(g, PEERS)];
    bool here = pl->p->s != NULL;

    switch (pick(g, 16)) {
    case 0:
        connect(g, pl);
        break;
    case 1:
        if (here)
            leave(pl);
        else if (pl->claiming && !pl->p->answered && sessions_cancel(pl->p->w, &pl->p->claim))
            pl->claiming = false;
        break;
    case 2:
        if (here)
            subscribe(g, pl->p);
        break;
    case 3:
        if (here)
            link_trouble(g, pl->p);
        break;
    case 4:
        rig_wait(g->r, pick(g, 3000));
        break;
    case 5:
    case 6:
    case 7:
        rig_turn(g->r);
        break;
    case 8:
    case 9:
    case 10:
    case 11:
        if (here) {
            read_all(pl);
            answer(g, pl);
        }
        break;
    default:
        publish(g, pl);
        break;
    }
    settle(g);
}

static void play(uint64_t seed)
{
    struct game g = {.random = seed * 0x9e3779b97f4a7c15ull | 1};

    g.r = rig_open(NULL);
    g.r->limits.max_queue_messages = 1 + pick(&g, 30);
    g.r->limits.qos0_queue_bytes = 100 + pick(&g, 3000);
    g.r->limits.queue_full = pick(&g, 2) ? QUEUE_DROP_NEW : QUEUE_DROP_OLD;
    g.r->limits.slow_consumer = pick(&g, 2) ? SLOW_DROP : SLOW_CLOSE;
    g.r->limits.share_strategy = pick(&g, 3);
    rig_limit(g.r);
    for (unsigned i = 0; i < PEERS; i++) {
        g.players[i].p = peer_new(g.r, 0, MQTT_50);
        snprintf(g.players[i].id, sizeof g.players[i].id, "c%u", i);
    }
    for (unsigned i = 0; i < STEPS; i++) {
        step(&g);
        if (i % 50 == 0)
            rig_check_ledger(g.r);
    }
    for (unsigned i = 0; i < PEERS; i++) {
        struct player *pl = &g.players[i];
        if (pl->claiming && !pl->p->answered)
            sessions_cancel(pl->p->w, &pl->p->claim);
        leave(pl);
    }
    for (unsigned i = 0; i < PEERS; i++)
        peer_free(&g.players[i].p);
    rig_close(&g.r); /* nothing waits any more, and no memory is left (ASan) */
}

static void the_accounts_balance_whatever_happens(void **state)
{
    for (uint64_t seed = first_seed; seed < first_seed + rounds; seed++) {
        print_message("seed %llu\n", (unsigned long long)seed);
        play(seed);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_accounts_balance_whatever_happens),
    };
    hash_seed_set(1);
    if (argc > 1)
        first_seed = strtoull(argv[1], NULL, 0);
    if (argc > 2 || argc == 2)
        rounds = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
