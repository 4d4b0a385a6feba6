#include "host/arrivals.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { ARRIVALS_KEEP = 64 * 1024 };

static void keep_bytes(struct arrivals *in, const struct out_vec *vec, unsigned count)
{
    size_t need = in->len;

    for (unsigned i = 0; i < count; i++)
        need += vec[i].len;
    if (need > in->cap) {
        in->cap = need > 2 * in->cap ? need : 2 * in->cap;
        in->bytes = xrealloc(in->bytes, in->cap);
    }
    for (unsigned i = 0; i < count; i++) {
        memcpy(in->bytes + in->len, vec[i].ptr, vec[i].len);
        in->len += vec[i].len;
    }
}

/* The counter that a packet id of the window stands for; see core/fifo.h. */
static uint64_t counter_of(const struct fifo *f, uint16_t packet_id)
{
    const uint64_t ids = 65535;
    uint64_t ahead = (packet_id - 1u + ids - f->head % ids) % ids;

    return f->head + ahead;
}

static uint16_t packet_id_of(const struct mqtt_frame *frame)
{
    struct mqtt_publish p = {0};
    struct mqtt_ack ack = {0};
    bool publish = frame->type == MQTT_PUBLISH;
    int err = publish ? mqtt_decode_publish(frame, MQTT_50, true, &p)
                      : mqtt_decode_ack(frame, MQTT_50, &ack);

    ASSERT(err == 0);
    return publish ? p.packet_id : ack.packet_id;
}

static void note(struct arrivals *in, const struct arrival *a)
{
    if (in->count == in->items_cap) {
        in->items_cap = in->items_cap ? in->items_cap * 2 : 16;
        in->items = xrealloc(in->items, in->items_cap * sizeof *in->items);
    }
    in->items[in->count++] = *a;
}

void arrivals_keep(struct arrivals *in, const struct fifo *q1, const struct out_vec *vec,
                   unsigned count)
{
    size_t from = in->len;
    struct mqtt_frame frame;

    keep_bytes(in, vec, count);
    while (from < in->len) {
        int whole = mqtt_frame_peek(in->bytes + from, in->len - from, &frame);
        ASSERT(whole == 1);
        uint16_t id = packet_id_of(&frame);
        from += frame.size;
        note(in, &(struct arrival){.counter = id ? counter_of(q1, id) : 0, .end = from});
    }
}

void arrivals_next(struct arrivals *in, struct mqtt_frame *frame, uint64_t *counter)
{
    const struct arrival *a = &in->items[in->next++];
    int whole = mqtt_frame_peek(in->bytes + in->at, a->end - in->at, frame);

    ASSERT(whole == 1);
    in->at = a->end;
    *counter = a->counter;
}

void arrivals_drop(struct arrivals *in)
{
    in->len = in->at = 0;
    in->count = in->next = 0;
}

void arrivals_trim(struct arrivals *in)
{
    if (!arrivals_empty(in))
        return;
    arrivals_drop(in);
    if (in->cap > ARRIVALS_KEEP) {
        free(in->bytes);
        in->bytes = NULL;
        in->cap = 0;
    }
}

void arrivals_fini(struct arrivals *in)
{
    free(in->bytes);
    free(in->items);
}
