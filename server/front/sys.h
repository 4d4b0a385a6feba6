/* The desk that keeps house: a tick four times a second on the first loop.  It expires
 * sessions, watches the memory limit, and publishes the $SYS topics on their interval.
 *
 * $SYS topics carry the names that other brokers made customary.  They are retained, never
 * counted in the ledger, and only this file publishes them. */
#ifndef SKEP_FRONT_SYS_H
#define SKEP_FRONT_SYS_H

#include <stdint.h>

struct broker;
struct desk;
struct sys;

/* desk: the first one, its loop not started.  interval_ms 0: no $SYS topics. */
struct sys *sys_new(struct desk *desk, struct broker *broker, uint32_t interval_ms);
/* Its loop is stopped. */
void sys_free(struct sys **sys);

/* Any thread. */
void sys_interval(struct sys *sys, uint32_t interval_ms);

#endif
