/* What one instance has of the services: the lists behind services.h, and what is counted. */
#ifndef SKEP_HOST_THINGS_H
#define SKEP_HOST_THINGS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/lock.h"

struct http_counts;
struct metric;
struct posted;
struct skep_http_server;
struct skep_timer;
struct skep_watch;

struct module_log {
    _Atomic uint64_t window; /* the second that is counted */
    _Atomic uint32_t written, left_out;
};

/* Part of struct skep_module; all zero at first. */
struct module_things {
    struct lock lock; /* of the lists; timers and watches themselves are their loops' */
    _Atomic bool quiet;
    struct skep_timer *timers;
    struct skep_watch *watches;
    struct posted *tasks;
    struct skep_http_server *servers;   /* management loop */
    _Atomic(struct http_counts *) http; /* one for each place; NULL until the first request */
    struct module_log log;
};

#endif
