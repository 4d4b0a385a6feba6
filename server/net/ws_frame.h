/* WebSocket frames (RFC 6455), as a server sees them: pure, no sockets.
 *
 * Decoding happens in place: headers are squeezed out, so that the payload of all data
 * frames in a read becomes one run of bytes at its start.  Message borders are not kept
 * (MQTT packets may span them [MQTT-6.0.0-2]).  Only what one frame needs across reads is
 * stored, never payload.
 *
 * Strict: masked frames only, no reserved bits, no unknown opcodes, shortest length
 * encoding, 63-bit lengths, control frames whole and at most 125 bytes, continuation only
 * inside a message.  Text is refused: MQTT is binary [MQTT-6.0.0-1]. */
#ifndef SKEP_NET_WS_FRAME_H
#define SKEP_NET_WS_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WS_CONTROL_MAX = 125, WS_HEAD_MAX = 14 };

enum ws_opcode {
    WS_CONTINUATION = 0,
    WS_TEXT = 1,
    WS_BINARY = 2,
    WS_CLOSE = 8,
    WS_PING = 9,
    WS_PONG = 10,
};

enum ws_status {
    WS_NORMAL = 1000,
    WS_GOING_AWAY = 1001,
    WS_PROTOCOL_ERROR = 1002,
    WS_UNSUPPORTED = 1003,
    WS_NO_STATUS = 1005, /* never on the wire */
    WS_BAD_DATA = 1007,
    WS_INTERNAL = 1011,
};

/* Zero-initialised is the start of a connection. */
struct ws_decoder {
    uint64_t left; /* payload bytes of this frame to come */
    uint8_t head[WS_HEAD_MAX];
    uint8_t head_len;
    uint8_t mask_at; /* which mask byte is next */
    bool in_payload, in_message;
    bool pong_due; /* answer with pong[]; the caller clears it */
    uint8_t control_len, pong_len;
    uint16_t status; /* the peer's, once it closed */
    uint8_t control[WS_CONTROL_MAX], pong[WS_CONTROL_MAX];
};

/* Decodes len bytes at buf; *payload of them remain, at buf.  Returns 0 to go on, WS_CLOSE
 * after the peer's close frame (d->status says why), or a negative ws_status to close with.
 * Payload before the end is valid.  After a result other than 0 do not call again. */
int ws_decode(struct ws_decoder *d, uint8_t *buf, size_t len, size_t *payload);

/* Writes a final, unmasked frame's header; returns its length. */
size_t ws_head_write(uint8_t out[WS_HEAD_MAX], enum ws_opcode opcode, uint64_t len);

/* Copies len bytes from src to dst, applying the mask from its byte `at` on; returns the
 * next `at`.  The two may overlap where dst <= src. */
unsigned ws_unmask(uint8_t *dst, const uint8_t *src, size_t len, const uint8_t mask[4],
                   unsigned at);

#endif
