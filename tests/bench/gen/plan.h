/* The command line of the load generator, as one struct that never changes once parsed.
 *
 * Every number is bounded here, so that no scenario can run without end: see the table in plan.c.
 */
#ifndef SKEP_BENCH_PLAN_H
#define SKEP_BENCH_PLAN_H

#include <stdbool.h>
#include <stdint.h>

enum plan_scenario {
    PLAN_PAIRS,
    PLAN_FAN_IN,
    PLAN_FAN_OUT,
    PLAN_LATENCY,
    PLAN_FILTERS,
    PLAN_STORM,
    PLAN_IDLE,
    PLAN_RETAINED,
    PLAN_OFFLINE,
    PLAN_READY,
};

enum plan_shape { PLAN_SHAPE_PLUS, PLAN_SHAPE_EXACT, PLAN_SHAPE_HASH };

struct plan {
    enum plan_scenario scenario;
    const char *scenario_name;
    const char *label; /* free text repeated in the result, "" when not given */

    const char *host;
    const char *port;
    const char *user, *password; /* NULL when not given */
    const char *ca;              /* NULL: the server's certificate is not verified */
    const char *ws_path;         /* NULL: no WebSocket */
    bool tls, resume, relay, json, match, keep, filled;

    enum plan_shape shape;
    uint64_t version; /* 3 = MQTT 3.1, 4 = 3.1.1, 5 = 5.0 */
    uint64_t qos;
    uint64_t payload; /* bytes */
    uint64_t batch;   /* messages per write */
    uint64_t window;  /* messages in flight per publisher, at least one batch */
    uint64_t groups, publishers, subscribers;
    uint64_t connections, concurrency;
    uint64_t filters, retained, rounds;
    uint64_t rate;        /* messages a second, latency only */
    uint64_t count;       /* stop after so many messages; 0: by time alone */
    uint64_t duration_ms; /* of the measured part */
    uint64_t warmup_ms;
    uint64_t wait_ms;     /* how long to retry the first connection */
    uint64_t patience_ms; /* how long nothing may move, offline only */
    uint64_t settle_ms;   /* how long memory may settle before it is read */
    uint64_t run;         /* in client ids and topics; 0: one of our own */
    uint64_t pid;         /* the broker's process, 0: unknown */
};

/* Fill `plan` from the command line.  Returns 0 to go on, 1 when --help was printed,
 * -1 when something is wrong (said on stderr).  Strings are borrowed from argv. */
int plan_parse(struct plan *plan, int argc, char **argv);

#endif
