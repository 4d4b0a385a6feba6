/* TLS for a chan, on OpenSSL; each function does nothing on a plain connection. */
#ifndef SKEP_BENCH_SECURE_H
#define SKEP_BENCH_SECURE_H

#include "chan.h"

#include <sys/types.h>

int secure_open(struct turn *t); /* the context; -1 with the turn failed */
void secure_close(struct turn *t);

int secure_start(struct chan *c);
/* 1 done, 0 wants more events, -1 with the reason. */
int secure_shake(struct chan *c, const char **why);
void secure_drop(struct chan *c);

/* Like recv and send, errno EAGAIN included. */
ssize_t secure_read(struct chan *c, uint8_t *p, size_t n);
ssize_t secure_write(struct chan *c, const uint8_t *p, size_t n);

#endif
