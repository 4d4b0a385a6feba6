/* The generator's loop and what all its connections share: epoll, buffers, TLS, the address.
 *
 * Everything runs on the calling thread.  A scenario calls turn_run until its own condition holds;
 * the first thing that goes wrong is kept in `failure` and ends every wait.
 */
#ifndef SKEP_BENCH_TURN_H
#define SKEP_BENCH_TURN_H

#include "plan.h"

#include <openssl/ssl.h>
#include <stddef.h>
#include <sys/socket.h>

enum { TURN_INBUF = 1 << 20, TURN_EVENTS = 512 };

struct turn {
    const struct plan *plan;
    int epfd;
    struct sockaddr_storage addr;
    socklen_t addr_len;
    unsigned run_id; /* in client ids and topics, so that two runs do not meet */
    uint8_t *in;     /* TURN_INBUF: where every read lands */
    uint8_t *out;    /* scratch for what is sent within one call */
    size_t out_cap;
    SSL_CTX *tls;         /* NULL without --tls */
    SSL_SESSION *session; /* the latest ticket, for --resume */
    uint64_t up, down, resumed, bytes_in, bytes_out;
    size_t backlog; /* bytes accepted from scenarios that no socket took yet */
    bool failed;
    char failure[200];
};

uint64_t turn_now(void); /* nanoseconds, monotonic */

/* 0, or -1 with `failure` filled.  turn_close accepts a half-open one. */
int turn_open(struct turn *t, const struct plan *plan);
void turn_close(struct turn *t);

/* Scratch of at least `size` bytes, valid until the next call. */
uint8_t *turn_scratch(struct turn *t, size_t size);

/* Wait for events at most so long (0: just look) and handle them. */
void turn_run(struct turn *t, uint64_t timeout_ns);

/* Handle events for so long. */
void turn_pause(struct turn *t, uint64_t ms);

/* Note the first failure, printf-like; later ones are consequences. */
void turn_fail(struct turn *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
