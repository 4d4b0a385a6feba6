/* What the tests of decisions share: a broker with an oracle in its chain, and players whose
 * inboxes read as text. */
#ifndef TESTS_SIM_THEATRE_H
#define TESTS_SIM_THEATRE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <stdio.h>

#include "base/log.h"
#include "base/mem.h"
#include "oracle.h"
#include "player.h"

struct actor {
    struct player *p;
    char inbox[1024]; /* "topic=payload/qos " each, an r behind the QoS if it came with retain */
    unsigned refused; /* PUBACKs and PUBRECs with a reason */
    uint8_t reason;   /* of the last of them */
    uint8_t codes[8]; /* of the last SUBACK */
    uint8_t last_type;
};

struct theatre {
    struct world *world;
    struct oracle *oracle;
};

static inline struct theatre theatre_open_with(const struct limits *limits, unsigned stages,
                                               bool acl_allow)
{
    struct theatre t;

    t.world = world_new(limits);
    t.oracle = oracle_new("oracle", stages);
    world_modules(t.world, &t.oracle->module, 1, acl_allow);
    return t;
}

static inline struct theatre theatre_open(unsigned stages, bool acl_allow)
{
    struct limits limits;

    limits_default(&limits);
    return theatre_open_with(&limits, stages, acl_allow);
}

static inline void theatre_close(struct theatre *t)
{
    world_free(&t->world);
    oracle_free(&t->oracle);
}

static inline void actor_message(struct player *p, const struct packet *got, const char *topic)
{
    struct actor *a = p->arg;
    size_t len = strlen(a->inbox);

    snprintf(a->inbox + len, sizeof a->inbox - len, "%s=%.*s/%u%s ", topic, (int)got->payload_len,
             (const char *)got->payload, got->qos, got->retain ? "r" : "");
}

static inline void actor_refused(struct player *p, const struct outgoing *o)
{
    ((struct actor *)p->arg)->refused++;
}

static inline void actor_packet(struct player *p, const struct packet *got)
{
    struct actor *a = p->arg;

    a->last_type = (uint8_t)got->type;
    if (got->type == 9) { /* the codes are the end of it */
        size_t n = got->payload_len < sizeof a->codes ? got->payload_len : sizeof a->codes;
        memcpy(a->codes, got->payload, n);
    }
    if (got->type == 4 || got->type == 5)
        a->reason = (uint8_t)got->reason;
}

static inline struct actor *actor_new(struct theatre *t, const char *id, unsigned version)
{
    struct actor *a = xcalloc(1, sizeof *a);

    a->p = player_new(t->world, id, version);
    a->p->arg = a;
    a->p->on_message = actor_message;
    a->p->on_refused = actor_refused;
    a->p->on_packet = actor_packet;
    return a;
}

static inline void actor_free(struct actor **a)
{
    player_free(&(*a)->p);
    free(*a);
    *a = NULL;
}

/* Everybody's turn, until nobody has anything to say. */
static inline void act(struct theatre *t, struct actor *const *all, unsigned count)
{
    for (unsigned round = 0; round < 8; round++) {
        world_settle(t->world);
        for (unsigned i = 0; i < count; i++) {
            if (!all[i]->p->wire)
                continue;
            player_read(all[i]->p);
            if (!all[i]->p->ended)
                player_answer_all(all[i]->p);
        }
    }
}

#define ACT(t, ...)                                                                                \
    act((t), (struct actor *const[]){__VA_ARGS__},                                                 \
        sizeof((struct actor *const[]){__VA_ARGS__}) / sizeof(struct actor *))

static inline void enter(struct theatre *t, struct actor *a, unsigned loop,
                         const struct player_options *options)
{
    player_connect(a->p, loop, true, 1000000, options);
    ACT(t, a);
}

/* "counter=value" of all that is asked for, from the ledger. */
#define ASSERT_LEDGER(t, counter, value)                                                           \
    do {                                                                                           \
        struct ledger_sum sum_;                                                                    \
        world_ledger((t)->world, &sum_);                                                           \
        assert_int_equal(sum_.counter, (value));                                                   \
        assert_true(world_balances((t)->world));                                                   \
    } while (0)

#endif
