#include "ctl/websocket.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <openssl/evp.h>

#include "base/rand.h"

enum { HEAD_MAX = 16384, FRAME_MAX = 1 << 28 };

static const char accept_salt[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; /* RFC 6455, 1.3 */

static void add_text(struct bytes *out, const char *text)
{
    bytes_add(out, text, strlen(text));
}

void websocket_ask(struct bytes *out, const struct link_conf *conf, char key[WEBSOCKET_KEY_SIZE])
{
    const char *path = conf->ws_path ? conf->ws_path : "/mqtt";
    const char *host = conf->unix_path ? "localhost" : conf->host ? conf->host : "127.0.0.1";
    bool bracket = strchr(host, ':') != NULL;
    struct bytes nonce = {0};
    uint8_t random[16];
    char line[300];

    rand_bytes(random, sizeof random);
    bytes_base64(&nonce, random, sizeof random);
    snprintf(key, WEBSOCKET_KEY_SIZE, "%.*s", (int)nonce.len, (char *)nonce.ptr);
    bytes_fini(&nonce);

    add_text(out, "GET ");
    add_text(out, path[0] == '/' ? "" : "/");
    add_text(out, path);
    add_text(out, " HTTP/1.1\r\nHost: ");
    snprintf(line, sizeof line, bracket ? "[%s]:%u" : "%s:%u", host, link_conf_port(conf));
    add_text(out, line);
    snprintf(line, sizeof line,
             "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
             "Sec-WebSocket-Protocol: %s\r\nSec-WebSocket-Key: %s\r\n",
             conf->ws_protocol ? conf->ws_protocol : "mqtt", key);
    add_text(out, line);
    for (size_t i = 0; i < conf->ws_headers.count; i++) {
        add_text(out, conf->ws_headers.items[i]);
        add_text(out, "\r\n");
    }
    add_text(out, "\r\n");
}

/* The value of a header in a NUL-terminated head; false when it is not there. */
static bool header_find(const char *head, const char *name, char *out, size_t size)
{
    size_t len = strlen(name);

    for (const char *line = strstr(head, "\r\n"); line; line = strstr(line, "\r\n")) {
        line += 2;
        if (strncasecmp(line, name, len) == 0 && line[len] == ':') {
            line += len + 1;
            line += strspn(line, " \t");
            snprintf(out, size, "%.*s", (int)strcspn(line, "\r"), line);
            return true;
        }
    }
    return false;
}

static bool accept_is_right(const char *head, const char *key)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned digest_len = 0;
    char joined[128], got[64] = "";
    struct bytes want = {0};
    bool right;

    snprintf(joined, sizeof joined, "%s%s", key, accept_salt);
    EVP_Digest(joined, strlen(joined), digest, &digest_len, EVP_sha1(), NULL);
    bytes_base64(&want, digest, digest_len);
    right = header_find(head, "Sec-WebSocket-Accept", got, sizeof got) &&
            str_eq(str_of(got), bytes_str(&want));
    bytes_fini(&want);
    return right;
}

static int head_check(const char *head, const char *key, struct fault *fault)
{
    char line[120];

    snprintf(line, sizeof line, "%.*s", (int)strcspn(head, "\r"), head);
    if (strncmp(line, "HTTP/1.", 7) != 0) {
        fault_set(fault, "the answer is not HTTP");
        return fault_hint(fault, "is this port a WebSocket listener?");
    }
    if (strncmp(line + 8, " 101", 4) != 0) {
        fault_set(fault, "the WebSocket upgrade was refused: %s", line);
        return fault_hint(fault, "--ws-path is the path of the listener, /mqtt on most brokers");
    }
    if (!accept_is_right(head, key))
        return fault_set(fault, "the WebSocket upgrade was answered with a wrong key");
    return 1;
}

int websocket_answer(struct bytes *raw, const char *key, struct fault *fault)
{
    const char *end = raw->len ? memmem(raw->ptr, raw->len, "\r\n\r\n", 4) : NULL;
    size_t size;
    int result;

    if (!end) {
        if (raw->len > HEAD_MAX)
            return fault_set(fault, "the answer to the WebSocket upgrade does not end");
        return 0;
    }
    size = (size_t)((const uint8_t *)end - raw->ptr) + 4;
    raw->ptr[size - 1] = '\0';
    result = head_check((const char *)raw->ptr, key, fault);
    bytes_take(raw, size);
    return result;
}

void websocket_put(struct bytes *out, unsigned opcode, const void *data, size_t len)
{
    uint8_t *p = bytes_room(out, len + 14), *start = p;
    uint8_t mask[4];

    rand_bytes(mask, sizeof mask);
    *p++ = (uint8_t)(0x80 | opcode);
    if (len < 126) {
        *p++ = (uint8_t)(0x80 | len);
    } else if (len < 65536) {
        *p++ = 0x80 | 126;
        *p++ = (uint8_t)(len >> 8);
        *p++ = (uint8_t)len;
    } else {
        *p++ = 0x80 | 127;
        for (int shift = 56; shift >= 0; shift -= 8)
            *p++ = (uint8_t)((uint64_t)len >> shift);
    }
    memcpy(p, mask, 4);
    p += 4;
    for (size_t i = 0; i < len; i++)
        *p++ = ((const uint8_t *)data)[i] ^ mask[i & 3];
    out->len += (size_t)(p - start);
}

/* The header of a server's frame.  Its size, 0 when incomplete, -1 when wrong. */
static int frame_head(const struct bytes *raw, uint64_t *len, struct fault *fault)
{
    const uint8_t *p = raw->ptr;
    unsigned extra;

    if (raw->len < 2)
        return 0;
    if (p[1] & 0x80 || p[0] & 0x70)
        return fault_set(fault, "the broker sent a WebSocket frame that is masked or extended");
    extra = (p[1] & 127) == 127 ? 8 : (p[1] & 127) == 126 ? 2 : 0;
    if (raw->len < 2 + extra)
        return 0;
    *len = extra ? 0 : p[1] & 127;
    for (unsigned i = 0; i < extra; i++)
        *len = *len << 8 | p[2 + i];
    if (*len > FRAME_MAX)
        return fault_set(fault, "the broker sent a WebSocket frame above 256 MiB");
    return (int)(2 + extra);
}

static int frame_use(unsigned opcode, const uint8_t *data, size_t len, struct bytes *in,
                     struct bytes *out, struct fault *fault)
{
    switch (opcode) {
    case 0: /* a continuation */
    case WEBSOCKET_BINARY:
        bytes_add(in, data, len);
        return 0;
    case WEBSOCKET_PING:
        websocket_put(out, WEBSOCKET_PONG, data, len);
        return 0;
    case WEBSOCKET_PONG:
        return 0;
    case WEBSOCKET_CLOSE:
        websocket_put(out, WEBSOCKET_CLOSE, data, len);
        if (len >= 2)
            return fault_set(fault, "the broker closed the WebSocket with code %u%s%.*s",
                             (unsigned)(data[0] << 8 | data[1]), len > 2 ? ": " : "", (int)len - 2,
                             (const char *)data + 2);
        return fault_set(fault, "the broker closed the WebSocket");
    default:
        return fault_set(fault, "the broker sent a WebSocket frame of type %u", opcode);
    }
}

int websocket_take(struct bytes *raw, struct bytes *in, struct bytes *out, struct fault *fault)
{
    uint64_t len = 0;
    int head, err;

    while ((head = frame_head(raw, &len, fault)) > 0 && raw->len - (size_t)head >= len) {
        err = frame_use(raw->ptr[0] & 15, raw->ptr + head, len, in, out, fault);
        bytes_take(raw, (size_t)head + len);
        if (err < 0)
            return -1;
    }
    return head < 0 ? -1 : 0;
}
