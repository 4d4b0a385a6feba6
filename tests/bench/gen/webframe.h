/* WebSocket framing for a chan: the client's side of RFC 6455, only what MQTT needs. */
#ifndef SKEP_BENCH_WEBFRAME_H
#define SKEP_BENCH_WEBFRAME_H

#include "chan.h"

/* The upgrade request for the plan's path. */
size_t webframe_request(char *out, size_t cap, const struct plan *plan);

/* Look at a response: bytes used when it is a whole 101, 0 when more is needed, -1 refused. */
int webframe_response(const char *p, size_t n);

/* One masked binary frame around p[0..n); valid until the next call. */
const uint8_t *webframe_wrap(const uint8_t *p, size_t n, size_t *size);

/* Remove the frame headers in p[0..n) in place; returns the payload bytes left, sets *closing on a
 * close frame or a protocol error.  Header state is kept in the chan across reads. */
size_t webframe_strip(struct chan *c, uint8_t *p, size_t n, int *closing);

#endif
