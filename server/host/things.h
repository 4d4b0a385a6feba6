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
struct skep_http_exchange;
struct skep_http_server;
struct skep_timer;
struct skep_watch;

/* Part of struct skep_module; all zero at first. */
struct module_things {
    struct lock lock; /* of the lists; timers and watches themselves are their loops' */
    _Atomic bool quiet;
    struct skep_timer *timers;
    struct skep_watch *watches;
    struct posted *tasks;
    struct skep_http_server *servers;     /* management loop */
    struct skep_http_exchange *exchanges; /* that wait for the module's answer; the same */
    _Atomic bool named;                   /* its name is in the storage's file, or will be */
    _Atomic(struct http_counts *) http;   /* its metrics; NULL until the first request */
};

#endif
