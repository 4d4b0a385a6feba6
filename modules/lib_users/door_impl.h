/* For door.c and door_command.c only. */
#ifndef LIB_USERS_DOOR_IMPL_H
#define LIB_USERS_DOOR_IMPL_H

#include <stdatomic.h>

#include "door.h"
#include "guard.h"

struct net;
struct skep_counter;
struct skep_gauge;

struct door {
    struct skep_module *m;
    const struct door_conf *conf;
    struct live_kind kind;
    struct live *file;
    struct net *trusted;
    struct guard *_Atomic guard; /* one of the next two */
    struct guard *own_guard, *shared_guard;
    struct skep_counter *logins, *failures, *bans, *barred;
    struct skep_gauge *known;
};

#endif
