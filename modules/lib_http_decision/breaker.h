/* A circuit breaker: a backend that keeps failing is left alone for a while, and those who ask are
 * told so at once.
 *
 *     CLOSED ──too many failures──> OPEN ──pause is over──> HALF OPEN ──the probe worked──> CLOSED
 *                                     <──────────the probe failed───────┘
 *
 * While half open exactly one request is on its way.  The pause doubles with every failed probe, up
 * to eight times.  Any thread. */
#ifndef LIB_HTTP_DECISION_BREAKER_H
#define LIB_HTTP_DECISION_BREAKER_H

#include <pthread.h>
#include <skep/base.h>

struct breaker_conf {
    unsigned failures; /* so many in a row open it; 0: never */
    unsigned percent;  /* or so many of a hundred... */
    unsigned window;   /* ...of the last so many answers (at most 256); 0: no such rule */
    uint32_t pause_ms;
};

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF_OPEN };

struct breaker {
    pthread_mutex_t lock;
    struct breaker_conf conf;
    enum breaker_state state;
    uint32_t generation; /* rises whenever the state changes: who asked before counts no more */
    unsigned in_a_row, doubled;
    unsigned char recent[256]; /* 1: a failure; a ring */
    unsigned recent_count, recent_at, recent_failures;
    uint64_t open_until;
};

void breaker_init(struct breaker *b, const struct breaker_conf *conf);
void breaker_fini(struct breaker *b);

/* May a request be sent now?  True: report what became of it with the ticket. */
bool breaker_ask(struct breaker *b, uint64_t now_ms, uint32_t *ticket);

/* Would breaker_ask() say no?  Changes nothing. */
bool breaker_refuses(struct breaker *b, uint64_t now_ms);

/* What became of it.  Returns true if that opened or closed the breaker. */
bool breaker_report(struct breaker *b, uint32_t ticket, bool worked, uint64_t now_ms);
/* It was never sent: a probe that was not made must not be waited for. */
void breaker_withdraw(struct breaker *b, uint32_t ticket, uint64_t now_ms);

enum breaker_state breaker_state(struct breaker *b);

#endif
