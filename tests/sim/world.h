/* A broker as server/front/server.c makes one, on simulated loops: broker, desks, one
 * entrance, the house-keeping tick. */
#ifndef TESTS_SIM_WORLD_H
#define TESTS_SIM_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "core/ledger.h"
#include "core/limits.h"
#include "depot.h"
#include "fake_net.h"
#include "host/chain.h"

enum { WORLD_LOOPS = 3 };

struct world;

/* Seeded hashing, so that a run can be repeated. */
struct world *world_new(const struct limits *limits);
/* The same on a store, which can crash. */
struct world *world_new_durable(const struct limits *limits);
/* All wires hung up.  Checks that nothing is left and that the ledger balances to zero. */
void world_free(struct world **world);

/* From now on these are asked; `acl_default` is what they leave open. */
void world_modules(struct world *w, struct skep_module *const *modules, size_t count,
                   bool acl_allow);
struct host *world_host(struct world *w);

/* A connection to the i-th loop; see wire_dial(). */
struct wire *world_dial(struct world *w, unsigned loop, bool shareable, size_t window);

/* One turn of the i-th loop. */
void world_turn(struct world *w, unsigned loop);
/* Turns of all loops, and steps of the depot, until there is nothing to do. */
void world_settle(struct world *w);
/* Moves the clock, a house-keeping tick at a time, and settles. */
void world_wait(struct world *w, uint64_t ms);
uint64_t world_now_ms(const struct world *w);

/* A step of the depot, and what was asked of the disk is read from it. */
void world_commit(struct world *w);
/* For faults and cuts. */
struct depot *world_depot(struct world *w);
/* The broker ends and another one starts on what depot_cut() noted: a crash; without it, on all
 * there is.  All wires must be hung up.  The machine is without a broker for so long; with
 * `reboot` its monotonic clock begins anew. */
void world_restart(struct world *w, uint64_t down_ms, bool reboot);

/* Calls fn on that loop, as a task, and takes a turn of it. */
void world_call(struct world *w, unsigned loop, void (*fn)(void *arg), void *arg);

void world_ledger(struct world *w, struct ledger_sum *sum);
/* The accounts balance, and what waits does stand in queues. */
bool world_balances(struct world *w);

/* Of everything that brokers counted since the last call: the same where the same happened. */
uint64_t world_fingerprint(void);

/* Sessions known and connected. */
void world_sessions(struct world *w, uint64_t *total, uint64_t *connected);

#endif
