#include "net/ws_cut.h"

#include <stdlib.h>
#include <string.h>

#include "net/ws_frame.h"

/* Where we are in the pieces, and how many bytes come. */
struct place {
    const struct out_vec *v;
    unsigned n, pos;
    size_t skip, left;
};

static struct place place_start(const struct out_vec *v, unsigned n)
{
    struct place p = {.v = v, .n = n};
    for (unsigned i = 0; i < n; i++)
        p.left += v[i].len;
    return p;
}

/* The longest part of one piece, up to `most` bytes. */
static struct out_vec place_take(struct place *p, size_t most)
{
    while (p->skip == p->v[p->pos].len) {
        p->pos++;
        p->skip = 0;
    }
    const struct out_vec *piece = &p->v[p->pos];
    struct out_vec part = {(const char *)piece->ptr + p->skip, piece->len - p->skip, piece->owner};
    if (part.len > most)
        part.len = most;
    p->skip += part.len;
    p->left -= part.len;
    return part;
}

/* The size of the packet that begins here: a type, then the remaining length in up to four
 * bytes of seven bits [MQTT 2.1].  All that is left, where it does not end in the pieces. */
static size_t packet_size(struct place p)
{
    size_t all = p.left, remaining = 0;
    unsigned read = 0, shift = 0;
    uint8_t byte = 0x80;

    while (p.left > 0 && read < 5 && (read < 2 || byte & 0x80)) {
        byte = *(const uint8_t *)place_take(&p, 1).ptr;
        if (read++ > 0) {
            remaining |= (size_t)(byte & 0x7f) << shift;
            shift += 7;
        }
    }
    return read < 2 || byte & 0x80 || remaining > all - read ? all : read + remaining;
}

static void place_pass(struct place *p, size_t bytes)
{
    while (bytes > 0)
        bytes -= place_take(p, bytes).len;
}

size_t ws_cut_count(const struct out_vec *v, unsigned n)
{
    struct place p = place_start(v, n);
    size_t count = 0;

    for (; p.left > 0; count++)
        place_pass(&p, packet_size(p));
    return count;
}

/* Appends gathered bytes: the last piece grows if they follow it. */
static void cut_gather(struct ws_cut *cut, uint8_t **at, const void *bytes, size_t len)
{
    struct out_vec *last = cut->n ? &cut->v[cut->n - 1] : NULL;

    memcpy(*at, bytes, len);
    if (last && !last->owner)
        last->len += len;
    else
        cut->v[cut->n++] = (struct out_vec){*at, len, NULL};
    *at += len;
}

static void cut_packet(struct ws_cut *cut, uint8_t **at, struct place *p)
{
    size_t size = packet_size(*p);
    uint8_t head[WS_HEAD_MAX];

    cut_gather(cut, at, head, ws_head_write(head, WS_BINARY, size));
    while (size > 0) {
        struct out_vec part = place_take(p, size);
        size -= part.len;
        if (part.owner)
            cut->v[cut->n++] = part;
        else
            cut_gather(cut, at, part.ptr, part.len);
    }
}

bool ws_cut_init(struct ws_cut *cut, const struct out_vec *v, unsigned n)
{
    size_t frames = ws_cut_count(v, n), gathered = frames * WS_HEAD_MAX, owned = 0;
    struct place p = place_start(v, n);

    for (unsigned i = 0; i < n; i++) {
        gathered += v[i].owner ? 0 : v[i].len;
        owned += v[i].owner != NULL;
    }
    /* Each owned piece may be cut at every frame's border, and has gathered bytes before it. */
    size_t pieces = 2 * (owned + (owned ? frames : 0)) + 1;
    *cut = (struct ws_cut){.memory = malloc(pieces * sizeof *cut->v + gathered)};
    if (!cut->memory)
        return false;
    cut->v = cut->memory;
    uint8_t *at = (uint8_t *)(cut->v + pieces);
    while (p.left > 0)
        cut_packet(cut, &at, &p);
    return true;
}

void ws_cut_fini(struct ws_cut *cut)
{
    free(cut->memory);
    *cut = (struct ws_cut){0};
}
