/* MQTT packets as bytes, for the generator alone: encode once, patch and send many times.
 *
 * It shares nothing with server/mqtt on purpose.  Encoders write to memory the caller sized with
 * the matching _size function or WIRE_SMALL and return the bytes written; they cannot fail.
 */
#ifndef SKEP_BENCH_WIRE_H
#define SKEP_BENCH_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    WIRE_CONNECT = 1,
    WIRE_CONNACK = 2,
    WIRE_PUBLISH = 3,
    WIRE_PUBACK = 4,
    WIRE_PUBREC = 5,
    WIRE_PUBREL = 6,
    WIRE_PUBCOMP = 7,
    WIRE_SUBACK = 9,
    WIRE_PINGRESP = 13,
    WIRE_DISCONNECT = 14,
};

enum { WIRE_SMALL = 2048 }; /* room for any CONNECT, acknowledgement, PINGREQ or DISCONNECT */

struct wire_login {
    int version; /* 3, 4 or 5 */
    const char *client_id, *user, *password;
    bool kept; /* a session that outlives the connection (in MQTT 5: for ever) */
};

/* Without keep-alive, so that an idle client stays silent. */
size_t wire_connect(uint8_t *out, const struct wire_login *login);
size_t wire_pingreq(uint8_t *out);
size_t wire_disconnect(uint8_t *out);

/* One SUBSCRIBE for `n` filters of `each` bytes, laid end to end in `filters`. */
size_t wire_subscribe_size(size_t n, size_t each);
size_t wire_subscribe(uint8_t *out, int version, uint16_t packet_id, const char *filters, size_t n,
                      size_t each, int qos);

/* PUBACK, PUBREC, PUBREL or PUBCOMP: always four bytes, a missing reason means success in MQTT 5.
 */
enum { WIRE_ACK = 4 };
static inline void wire_ack(uint8_t *out, int type, const uint8_t packet_id[2])
{
    out[0] = (uint8_t)(type << 4 | (type == WIRE_PUBREL ? 2 : 0));
    out[1] = 2;
    out[2] = packet_id[0];
    out[3] = packet_id[1];
}

/* One PUBLISH laid out to be patched: where its changing parts are, from the frame's start. */
struct wire_publish {
    int version, qos;
    bool retain;
    const char *topic;
    size_t topic_len, payload_len;
    size_t topic_at, id_at, payload_at, size; /* filled by wire_publish_layout */
};

void wire_publish_layout(struct wire_publish *p);
/* Write the frame (p->size bytes) with a zero packet id and a payload of zeros. */
void wire_publish(uint8_t *out, const struct wire_publish *p);

/* --- reading ----------------------------------------------------------------------------- */

struct wire_frame {
    uint8_t head;
    const uint8_t *body;
    size_t len, total;
};

/* Step over one frame.  1: whole, 0: more bytes needed, -1: not MQTT. */
static inline int wire_next(const uint8_t *p, size_t n, struct wire_frame *f)
{
    if (n < 2)
        return 0;
    size_t len = p[1] & 127, at = 2;
    if (p[1] & 128) {
        for (unsigned shift = 7;; shift += 7) {
            if (at == n)
                return 0;
            if (at == 5)
                return -1;
            len |= (size_t)(p[at] & 127) << shift;
            if (!(p[at++] & 128))
                break;
        }
    }
    if (n - at < len)
        return 0;
    *f = (struct wire_frame){.head = p[0], .body = p + at, .len = len, .total = at + len};
    return 1;
}

struct wire_message {
    const uint8_t *topic, *packet_id, *payload; /* packet_id NULL at QoS 0 */
    size_t topic_len, payload_len;
};

/* Split a PUBLISH.  False when its lengths do not fit its frame. */
bool wire_message(struct wire_message *m, const struct wire_frame *f, int version);

/* CONNACK: the return code (0 accepted) or -1 when malformed; in MQTT 5 also Receive Maximum. */
int wire_connack(const struct wire_frame *f, int version, uint16_t *receive_maximum);

/* SUBACK: how many filters were refused, or -1 when malformed. */
int wire_suback(const struct wire_frame *f, int version);

#endif
