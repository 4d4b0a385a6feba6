/* Inside net: WebSocket on one connection, above TCP or TLS. */
#ifndef SKEP_NET_WS_H
#define SKEP_NET_WS_H

#include "net/conn.h"
#include "net/ws_head.h"

struct ws;

/* Waits for the request. */
void ws_begin(struct conn *c);
void ws_free(struct conn *c);

/* Bytes after TLS: of the request, then of frames, whose payload goes to input_deliver(). */
void ws_input(struct conn *c, uint8_t *buf, size_t len);

/* One binary message. */
enum conn_result ws_send(struct conn *c, const struct out_vec *v, unsigned n);
/* With nothing blocked below: the pong that is due, if one is. */
enum conn_result ws_flush(struct conn *c);
/* The close frame. */
void ws_goodbye(struct conn *c);

void ws_facts(const struct conn *c, struct conn_facts *out);

#endif
