#include "websocket.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

enum { HEAD_MOST = 16384, CONTROL_MOST = 125 };
enum { OP_MORE = 0, OP_BINARY = 2, OP_CLOSE = 8, OP_PING = 9, OP_PONG = 10 };

/* -- The upgrade -- */

void ws_ask(struct ws *w, struct buf *out, const char *host, const char *path)
{
    unsigned char nonce[16];
    char head[1024];

    *w = (struct ws){0};
    RAND_bytes(nonce, sizeof nonce);
    EVP_EncodeBlock((unsigned char *)w->key, nonce, sizeof nonce);
    int len = snprintf(head, sizeof head,
                       "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\n"
                       "Connection: Upgrade\r\nSec-WebSocket-Key: %s\r\n"
                       "Sec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Version: 13\r\n\r\n",
                       path, host, w->key);
    buf_put(out, head, (size_t)len < sizeof head ? (size_t)len : sizeof head - 1);
}

static void accept_of(const char *key, char out[64])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    char text[128];
    unsigned len = 0;

    snprintf(text, sizeof text, "%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
    EVP_Digest(text, strlen(text), digest, &len, EVP_sha1(), NULL);
    EVP_EncodeBlock((unsigned char *)out, digest, (int)len);
}

/* The value of a header in the terminated head, or NULL; *len without blanks around it. */
static const char *header(const char *head, const char *name, size_t *len)
{
    size_t n = strlen(name);

    for (const char *line = strstr(head, "\r\n"); line; line = strstr(line + 2, "\r\n")) {
        const char *at = line + 2;
        if (strncasecmp(at, name, n) != 0 || at[n] != ':')
            continue;
        at += n + 1;
        at += strspn(at, " \t");
        *len = strcspn(at, "\r\n");
        while (*len && (at[*len - 1] == ' ' || at[*len - 1] == '\t'))
            --*len;
        return at;
    }
    return NULL;
}

static bool header_is(const char *head, const char *name, const char *want)
{
    size_t len;
    const char *value = header(head, name, &len);

    return value && len == strlen(want) && strncmp(value, want, len) == 0;
}

static const char *judge(const struct ws *w, const char *head)
{
    char accept[64];

    accept_of(w->key, accept);
    if (strncmp(head, "HTTP/1.1 101", 12) != 0)
        return strncmp(head, "HTTP/", 5) ? "it does not speak HTTP"
                                         : "it did not upgrade to WebSocket";
    if (!header_is(head, "Sec-WebSocket-Accept", accept))
        return "its WebSocket answer is not for our request";
    if (!header_is(head, "Sec-WebSocket-Protocol", "mqtt"))
        return "it does not offer MQTT over WebSocket";
    return NULL;
}

/* 1: upgraded.  0: more is needed.  -1: refused. */
static int take_head(struct ws *w, struct buf *raw)
{
    size_t have = buf_len(raw) < HEAD_MOST ? buf_len(raw) : HEAD_MOST;
    const char *end = have ? memmem(buf_data(raw), have, "\r\n\r\n", 4) : NULL;

    if (!end) {
        w->why = "its answer to the WebSocket upgrade is too long";
        return have == HEAD_MOST ? -1 : 0;
    }
    size_t len = (size_t)(end - (const char *)buf_data(raw)) + 4;
    char *head = bridge_strdup(skep_bytes(buf_data(raw), len));
    w->why = judge(w, head);
    free(head);
    buf_drop(raw, len);
    if (w->why)
        return -1;
    w->state = WS_OPEN;
    return 1;
}

/* -- Frames -- */

static void put_frame(struct buf *out, unsigned opcode, const void *data, size_t len)
{
    unsigned char mask[4];
    uint8_t head[14] = {(uint8_t)(0x80 | opcode)};
    size_t n = 2;

    RAND_bytes(mask, sizeof mask);
    if (len < 126) {
        head[1] = (uint8_t)(0x80 | len);
    } else if (len <= UINT16_MAX) {
        head[1] = 0x80 | 126;
        head[n++] = (uint8_t)(len >> 8);
        head[n++] = (uint8_t)len;
    } else {
        head[1] = 0x80 | 127;
        for (int shift = 56; shift >= 0; shift -= 8)
            head[n++] = (uint8_t)((uint64_t)len >> shift);
    }
    memcpy(head + n, mask, 4);
    buf_put(out, head, n + 4);
    uint8_t *to = buf_room(out, len);
    for (size_t i = 0; i < len; i++)
        to[i] = ((const uint8_t *)data)[i] ^ mask[i & 3];
    buf_grew(out, len);
}

void ws_put(struct buf *out, const void *data, size_t len)
{
    put_frame(out, OP_BINARY, data, len);
}

static int fail(struct ws *w, const char *why)
{
    w->why = why;
    w->state = WS_CLOSED;
    return -1;
}

/* The head of a frame.  1: taken, 0: more is needed, -1: wrong. */
static int take_frame_head(struct ws *w, struct buf *raw)
{
    const uint8_t *p = buf_data(raw);
    size_t have = buf_len(raw), need = 2;

    if (have < 2)
        return 0;
    unsigned opcode = p[0] & 15, small = p[1] & 127;
    need += small == 126 ? 2 : small == 127 ? 8 : 0;
    if (p[0] & 0x70 || p[1] & 0x80)
        return fail(w, "it broke the WebSocket protocol");
    if (have < need)
        return 0;
    w->left = small < 126 ? small : 0;
    for (size_t i = 2; i < need; i++)
        w->left = w->left << 8 | p[i];
    w->opcode = (uint8_t)opcode;
    if (opcode != OP_MORE && opcode != OP_BINARY && opcode != OP_CLOSE && opcode != OP_PING &&
        opcode != OP_PONG)
        return fail(w, "it sent a WebSocket frame that is not binary");
    if (opcode >= OP_CLOSE && (w->left > CONTROL_MOST || !(p[0] & 0x80)))
        return fail(w, "it broke the WebSocket protocol");
    w->binary = opcode < OP_CLOSE;
    buf_drop(raw, need);
    return 1;
}

static int control_whole(struct ws *w, struct buf *out)
{
    if (w->opcode == OP_PING)
        put_frame(out, OP_PONG, buf_data(&w->control), buf_len(&w->control));
    if (w->opcode == OP_CLOSE) {
        put_frame(out, OP_CLOSE, buf_data(&w->control), buf_len(&w->control));
        return fail(w, "it closed the WebSocket");
    }
    buf_clear(&w->control);
    return 0;
}

int ws_take(struct ws *w, struct buf *raw, struct buf *in, struct buf *out)
{
    if (w->state == WS_ASKED) {
        int upgraded = take_head(w, raw);
        if (upgraded <= 0)
            return upgraded;
    }
    while (w->state == WS_OPEN && buf_len(raw)) {
        if (w->left == 0) {
            int taken = take_frame_head(w, raw);
            if (taken <= 0)
                return taken;
        }
        size_t n = buf_len(raw) < w->left ? buf_len(raw) : (size_t)w->left;
        buf_put(w->binary ? in : &w->control, buf_data(raw), n);
        if (n)
            buf_drop(raw, n);
        w->left -= n;
        if (w->left == 0 && !w->binary && control_whole(w, out))
            return -1;
    }
    return w->state == WS_CLOSED ? -1 : 0;
}

void ws_fini(struct ws *w)
{
    buf_fini(&w->control);
}
