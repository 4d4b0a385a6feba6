/* The host as far as decisions go: chains of instances that were not loaded from anywhere, and
 * no services (no HTTP, no jobs). */
#ifndef TESTS_SIM_FAKE_HOST_H
#define TESTS_SIM_FAKE_HOST_H

#include "host/chain.h"

struct host *fake_host_new(struct broker *broker, struct loop *const *loops,
                           struct worker *const *workers, unsigned count);
/* The loops are freed. */
void fake_host_free(struct host **h);

/* Swaps the chain of that listener; for the time of a turn no loop reads the old one. */
void fake_host_chain(struct host *h, const char *listener, struct skep_module *const *modules,
                     size_t count, bool acl_allow);

/* An instance with room for statistics of `loops` loops. */
struct skep_module *fake_module_new(const char *name, const struct skep_descriptor *d, void *self,
                                    unsigned loops);
void fake_module_free(struct skep_module **m);

#endif
