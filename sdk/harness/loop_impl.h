/* What loop.c and watch.c share. */
#ifndef SKEP_HARNESS_LOOP_IMPL_H
#define SKEP_HARNESS_LOOP_IMPL_H

#include <event2/event.h>

#include "base/lock.h"
#include "base/qsbr.h"
#include "base/wheel.h"
#include "net/loop.h"

struct loop {
    struct loop *next;
    unsigned index;
    struct loop_hooks hooks;
    void *user;
    struct event_base *base;
    struct wheel wheel;
    struct qsbr_slot qsbr;
    struct lock lock; /* of the inbox */
    struct loop_task *inbox, **inbox_last;
    struct loop_watch *fired;
    uint64_t now_ms, turns;
    bool again;
};

/* Calls those that fired. */
void watches_run(struct loop *l);

#endif
