/* WebSocket framing. */
#include "webframe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The key is fixed and so is the mask: both guard browsers and proxies, which are not here. */
static const uint8_t mask[8] = {0x37, 0xfa, 0x21, 0x3d, 0x37, 0xfa, 0x21, 0x3d};
static const char key[] = "c2tlcCBiZW5jaG1hcmtzIQ==";
static const char answer[] = "Sec-WebSocket-Accept:";

size_t webframe_request(char *out, size_t cap, const struct plan *plan)
{
    int n = snprintf(out, cap,
                     "GET %s HTTP/1.1\r\nHost: %s:%s\r\nUpgrade: websocket\r\n"
                     "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                     "Sec-WebSocket-Protocol: %s\r\nSec-WebSocket-Key: %s\r\n\r\n",
                     plan->ws_path, plan->host, plan->port,
                     plan->version == 3 ? "mqttv3.1" : "mqtt", key);
    return (size_t)n < cap ? (size_t)n : cap;
}

int webframe_response(const char *p, size_t n)
{
    const char *end = memmem(p, n, "\r\n\r\n", 4);

    if (!end)
        return n > 8192 ? -1 : 0;
    if (n < 12 || memcmp(p, "HTTP/1.1 101", 12) != 0)
        return -1;
    for (const char *line = p; line < end; line++)
        if ((size_t)(end - line) >= sizeof answer &&
            strncasecmp(line, answer, sizeof answer - 1) == 0)
            return (int)(end + 4 - p);
    return -1;
}

const uint8_t *webframe_wrap(const uint8_t *p, size_t n, size_t *size)
{
    static uint8_t *frame;
    static size_t cap;
    size_t at = 2;

    if (n + 24 > cap) {
        free(frame);
        cap = (n + 24) * 2;
        frame = malloc(cap);
        if (!frame) {
            fprintf(stderr, "out of memory\n");
            exit(1);
        }
    }
    frame[0] = 0x82;
    frame[1] = (uint8_t)(0x80 | (n < 126 ? n : n < 65536 ? 126 : 127));
    if (n >= 126)
        for (int i = n < 65536 ? 1 : 7; i >= 0; i--)
            frame[at++] = (uint8_t)((uint64_t)n >> (8 * i));
    memcpy(frame + at, mask, 4);
    at += 4;
    size_t i = 0;
    for (uint64_t word, wide; i + 8 <= n; i += 8) {
        memcpy(&wide, mask, 8);
        memcpy(&word, p + i, 8);
        word ^= wide;
        memcpy(frame + at + i, &word, 8);
    }
    for (; i < n; i++)
        frame[at + i] = p[i] ^ mask[i & 3];
    *size = at + n;
    return frame;
}

/* The header's full size once its second byte is known. */
static unsigned head_size(uint8_t second)
{
    unsigned len = second & 127;
    return 2 + (len == 126 ? 2 : len == 127 ? 8 : 0) + (second & 128 ? 4 : 0);
}

static void head_read(struct chan *c, int *closing)
{
    const uint8_t *h = c->ws_head;
    unsigned len = h[1] & 127, wide = len == 126 ? 2 : len == 127 ? 8 : 0;

    c->ws_left = wide ? 0 : len;
    for (unsigned i = 0; i < wide; i++)
        c->ws_left = c->ws_left << 8 | h[2 + i];
    c->ws_have = 0;
    /* Pings go unanswered: a run is over before a server would mind. */
    c->ws_skip = (h[0] & 15) == 9 || (h[0] & 15) == 10;
    if (((h[0] & 15) > 2 && !c->ws_skip) || (h[1] & 128))
        *closing = 1;
}

size_t webframe_strip(struct chan *c, uint8_t *p, size_t n, int *closing)
{
    size_t in = 0, out = 0;

    while (in < n && !*closing) {
        if (c->ws_left) {
            size_t take = n - in < c->ws_left ? n - in : (size_t)c->ws_left;
            if (!c->ws_skip) {
                memmove(p + out, p + in, take);
                out += take;
            }
            in += take;
            c->ws_left -= take;
            continue;
        }
        c->ws_head[c->ws_have++] = p[in++];
        if (c->ws_have >= 2 && c->ws_have == head_size(c->ws_head[1]))
            head_read(c, closing);
    }
    return out;
}
