/* The client's side of WebSocket [RFC 6455] with the subprotocol "mqtt": the upgrade, masked binary
 * frames out, frames of the server in.  Bytes in, bytes out. */
#ifndef BRIDGE_WEBSOCKET_H
#define BRIDGE_WEBSOCKET_H

#include "buf.h"

enum ws_state { WS_ASKED, WS_OPEN, WS_CLOSED };

struct ws {
    enum ws_state state;
    char key[32]; /* sent */
    const char *why;
    uint64_t left; /* of the frame that is coming */
    bool binary;   /* what it is: data, or a control frame */
    uint8_t opcode;
    struct buf control; /* payload of a ping or close so far */
};

/* Writes the request; path with its leading slash. */
void ws_ask(struct ws *w, struct buf *out, const char *host, const char *path);

/* One binary frame. */
void ws_put(struct buf *out, const void *data, size_t len);

/* Takes what it can from `raw`: MQTT bytes go to `in`, answers to pings and a close to `out`.
 * 0, or -1: w->why says what the server did wrong, or that it closed. */
int ws_take(struct ws *w, struct buf *raw, struct buf *in, struct buf *out);

void ws_fini(struct ws *w);

#endif
