#include "net/ws_frame.h"

#include <string.h>

#include "base/utf8.h"

typedef uint8_t lanes __attribute__((vector_size(16)));

unsigned ws_unmask(uint8_t *dst, const uint8_t *src, size_t len, const uint8_t mask[4], unsigned at)
{
    lanes wide;
    size_t i = 0;

    for (unsigned j = 0; j < sizeof wide; j++)
        wide[j] = mask[(at + j) & 3];
    /* A store never reaches bytes that are still to be loaded, since dst <= src. */
    for (; i + sizeof wide <= len; i += sizeof wide) {
        lanes v;
        memcpy(&v, src + i, sizeof v);
        v ^= wide;
        memcpy(dst + i, &v, sizeof v);
    }
    for (; i < len; i++)
        dst[i] = src[i] ^ mask[(at + i) & 3];
    return (unsigned)(at + len) & 3;
}

static bool is_control(unsigned opcode)
{
    return opcode & 8;
}

/* How long the header is, from its first two bytes. */
static unsigned head_length(const uint8_t *head)
{
    unsigned len = head[1] & 0x7f;
    return 2 + (len == 126 ? 2 : len == 127 ? 8 : 0) + 4;
}

/* What can be said about the first two bytes alone, before any length is believed. */
static int check_start(const struct ws_decoder *d)
{
    unsigned opcode = d->head[0] & 0x0f;
    bool final = d->head[0] & 0x80;
    unsigned len = d->head[1] & 0x7f;

    if (d->head[0] & 0x70) /* reserved bits: no extension was agreed */
        return -WS_PROTOCOL_ERROR;
    if (!(d->head[1] & 0x80)) /* clients must mask */
        return -WS_PROTOCOL_ERROR;
    if (is_control(opcode))
        return opcode > WS_PONG || !final || len > WS_CONTROL_MAX ? -WS_PROTOCOL_ERROR : 0;
    if (opcode == WS_TEXT && !d->in_message)
        return -WS_UNSUPPORTED;
    if (opcode > WS_BINARY || (opcode == WS_CONTINUATION) != d->in_message)
        return -WS_PROTOCOL_ERROR;
    return 0;
}

static int read_length(struct ws_decoder *d)
{
    unsigned len = d->head[1] & 0x7f;

    d->left = len;
    if (len == 126) {
        d->left = (uint64_t)d->head[2] << 8 | d->head[3];
        return d->left < 126 ? -WS_PROTOCOL_ERROR : 0;
    }
    if (len == 127) {
        d->left = 0;
        for (int i = 2; i < 10; i++)
            d->left = d->left << 8 | d->head[i];
        return d->left >> 63 || d->left < 65536 ? -WS_PROTOCOL_ERROR : 0;
    }
    return 0;
}

static const uint8_t *mask_of(const struct ws_decoder *d)
{
    return d->head + head_length(d->head) - 4;
}

/* Takes header bytes; in_payload is set once it is whole. */
static int take_head(struct ws_decoder *d, const uint8_t *buf, size_t len, size_t *used)
{
    int status;

    while (*used < len) {
        d->head[d->head_len++] = buf[(*used)++];
        if (d->head_len == 2 && (status = check_start(d)) < 0)
            return status;
        if (d->head_len < 2 || d->head_len < head_length(d->head))
            continue;
        if ((status = read_length(d)) < 0)
            return status;
        d->in_payload = true;
        d->mask_at = 0;
        d->control_len = 0;
        return 0;
    }
    return 0;
}

static bool is_valid_close(unsigned code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
           (code >= 3000 && code <= 4999);
}

static int peer_closed(struct ws_decoder *d)
{
    struct str reason = {(const char *)d->control + 2, d->control_len - 2u};

    if (d->control_len == 0) {
        d->status = WS_NO_STATUS;
        return WS_CLOSE;
    }
    if (d->control_len == 1)
        return -WS_PROTOCOL_ERROR;
    d->status = (uint16_t)(d->control[0] << 8 | d->control[1]);
    if (!is_valid_close(d->status))
        return -WS_PROTOCOL_ERROR;
    return reason.len > 0 && !utf8_is_valid(reason) ? -WS_BAD_DATA : WS_CLOSE;
}

static int frame_end(struct ws_decoder *d)
{
    unsigned opcode = d->head[0] & 0x0f;
    bool final = d->head[0] & 0x80;

    d->in_payload = false;
    d->head_len = 0;
    if (!is_control(opcode)) {
        d->in_message = !final;
    } else if (opcode == WS_CLOSE) {
        return peer_closed(d);
    } else if (opcode == WS_PING) { /* only the latest of several is answered */
        memcpy(d->pong, d->control, d->control_len);
        d->pong_len = d->control_len;
        d->pong_due = true;
    }
    return 0;
}

/* Takes payload bytes: data to out, control aside. */
static size_t take_payload(struct ws_decoder *d, uint8_t *out, const uint8_t *in, size_t len)
{
    size_t part = d->left < len ? (size_t)d->left : len;
    bool control = is_control(d->head[0] & 0x0f);
    uint8_t *to = control ? d->control + d->control_len : out;

    d->mask_at = (uint8_t)ws_unmask(to, in, part, mask_of(d), d->mask_at);
    if (control)
        d->control_len = (uint8_t)(d->control_len + part);
    d->left -= part;
    return part;
}

int ws_decode(struct ws_decoder *d, uint8_t *buf, size_t len, size_t *payload)
{
    size_t used = 0;
    int status;

    *payload = 0;
    for (;;) {
        if (!d->in_payload && (status = take_head(d, buf, len, &used)) < 0)
            return status;
        if (!d->in_payload)
            return 0;
        size_t part = take_payload(d, buf + *payload, buf + used, len - used);
        used += part;
        if (!is_control(d->head[0] & 0x0f))
            *payload += part;
        if (d->left > 0)
            return 0;
        if ((status = frame_end(d)) != 0)
            return status;
    }
}

size_t ws_head_write(uint8_t out[WS_HEAD_MAX], enum ws_opcode opcode, uint64_t len)
{
    out[0] = (uint8_t)(0x80 | opcode);
    if (len < 126) {
        out[1] = (uint8_t)len;
        return 2;
    }
    unsigned bytes = len < 65536 ? 2 : 8;
    out[1] = bytes == 2 ? 126 : 127;
    for (unsigned i = 0; i < bytes; i++)
        out[2 + i] = (uint8_t)(len >> 8 * (bytes - 1 - i));
    return 2 + bytes;
}
