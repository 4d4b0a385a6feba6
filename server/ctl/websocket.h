/* The client's side of WebSocket [RFC 6455]: the upgrade request, masked binary frames out,
 * frames of the server in.  Bytes in, bytes out; no socket here. */
#ifndef SKEP_CTL_WEBSOCKET_H
#define SKEP_CTL_WEBSOCKET_H

#include "ctl/link.h"

enum { WEBSOCKET_KEY_SIZE = 32 };

/* Writes the upgrade request and keeps its key to check the answer with. */
void websocket_ask(struct bytes *out, const struct link_conf *conf, char key[WEBSOCKET_KEY_SIZE]);

/* Reads the answer from the front of `raw` and removes it.  1 when upgraded, 0 when more bytes
 * are needed, -1 when it is a refusal or no WebSocket answer. */
int websocket_answer(struct bytes *raw, const char *key, struct fault *fault);

enum { WEBSOCKET_BINARY = 2, WEBSOCKET_CLOSE = 8, WEBSOCKET_PING = 9, WEBSOCKET_PONG = 10 };

/* Appends one whole masked frame. */
void websocket_put(struct bytes *out, unsigned opcode, const void *data, size_t len);

/* Moves the payload of each whole frame in `raw` to `in`; answers to pings and a close go to
 * `out`.  0, or -1 when the peer closed or broke the protocol. */
int websocket_take(struct bytes *raw, struct bytes *in, struct bytes *out, struct fault *fault);

#endif
