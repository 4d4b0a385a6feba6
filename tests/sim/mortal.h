/* Clients of the durable story whose sessions end and whose wills are sent:
 *
 *   - a session is there exactly when it should be [MQTT-3.2.2-2] [MQTT-3.2.2-3], over crashes too
 *   - a will is published once, not early [MQTT-3.1.2-8], and not at all when the client is
 *     back in time [MQTT-3.1.3-9] or said goodbye (M7)
 *
 * What a client did shortly before a crash may or may not have been heard; then only what holds
 * either way is checked. */
#ifndef TESTS_SIM_MORTAL_H
#define TESTS_SIM_MORTAL_H

#include "dice.h"
#include "player.h"

struct mortals;

struct mortals *mortals_new(struct world *w, struct dice *dice);
void mortals_free(struct mortals **m);

/* One of them does something. */
void mortals_step(struct mortals *m);
/* The broker is about to crash, or (not `crash`) to be stopped; hangs up. */
void mortals_crash(struct mortals *m, bool crash);
/* It is back. */
void mortals_restarted(struct mortals *m);
/* The witness, who is subscribed to "will/#" at QoS 2, got one. */
void mortals_will(struct mortals *m, const struct packet *packet);
/* All hang up, and time passes until nothing is due any more. */
void mortals_finish(struct mortals *m);
/* The witness has everything. */
void mortals_check(const struct mortals *m);

#endif
