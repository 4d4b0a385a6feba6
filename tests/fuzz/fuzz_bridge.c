/* Another broker at the end of a bridge: whatever it says, over TCP or WebSocket, is judged.
 *
 * First byte: bit 0 MQTT 5, bit 1 WebSocket, bit 2 the bridge's queue is busy now and then, bits 3
 * to 7 how the rest is cut into pieces. */
#include <stdlib.h>

#include "bridge_mqtt/engine.h"
#include "bridge_mqtt/websocket.h"
#include "fuzz.h"

struct far {
    struct engine e;
    unsigned busy, count;
    struct incoming *in[64];
    size_t in_count;
};

static void on_up(void *arg, bool session)
{
    struct far *f = arg;

    free(f->e.subs);
    f->e.subs = bridge_alloc(2 * sizeof *f->e.subs);
    f->e.subs[0] = (struct wire_filter){.filter = SKEP_STR("a/#"), .qos = 2};
    f->e.subs[1] = (struct wire_filter){.filter = SKEP_STR("b"), .qos = 1};
    f->e.sub_count = session ? 1 : 2;
}

static void on_live(void *arg)
{
}

static void on_refused(void *arg, struct skep_str filter, unsigned reason)
{
}

static enum handing on_message(void *arg, const struct wire_packet *p, struct incoming *in)
{
    struct far *f = arg;
    struct skep_user_property users[4];
    size_t count = wire_users(&p->props, users, 4), sum = p->topic.len + p->payload.len;

    for (size_t i = 0; i < count; i++) {
        sum += users[i].name.len + users[i].value.len;
        for (size_t k = 0; k < users[i].value.len; k++)
            sum += (unsigned char)users[i].value.ptr[k];
    }
    if (f->busy && ++f->count % 3 == 0)
        return HAND_LATER;
    if (in && f->in_count < 64)
        f->in[f->in_count++] = in;
    else if (in)
        engine_taken(in, sum & 1 ? 0x97 : 0);
    return HANDED;
}

static void on_forget(void *arg, uint16_t id)
{
    struct far *f = arg;

    engine_complete(&f->e, id);
}

static void on_note(void *arg, const struct item *item)
{
    struct far *f = arg;

    if (item->id % 2)
        engine_noted(&f->e, item->id);
}

static void on_clear(void *arg, const struct item *item)
{
}

static void on_left(void *arg, const struct item *item, enum outcome outcome, unsigned reason)
{
}

static const struct engine_calls calls = {on_up,     on_live, on_refused, on_message,
                                          on_forget, on_note, on_clear,   on_left};

static void fill(struct far *f)
{
    for (uint64_t id = 1; id <= 6; id++) {
        struct skep_message m = {.qos = (uint8_t)(id % 3), .payload = SKEP_STR("payload")};
        struct item *item = item_new(&m, SKEP_STR("topic"), NULL, 0, 0);
        item->id = id;
        engine_put(&f->e, item, id == 5);
    }
}

static int hear(struct far *f, struct ws *ws, struct buf *raw, const uint8_t *data, size_t len)
{
    struct buf in = {0}, out = {0};
    int failed = 0;

    if (ws) {
        buf_put(raw, data, len);
        failed = ws_take(ws, raw, &in, &out);
        data = buf_data(&in);
        len = buf_len(&in);
    }
    if (!failed)
        failed = engine_input(&f->e, data, len, 5);
    while (!failed && f->e.waiting) {
        engine_resume(&f->e);
        failed = engine_input(&f->e, NULL, 0, 6);
    }
    engine_pump(&f->e, 7);
    MUST(buf_len(&f->e.out) <= 64 * len + 4096); /* nobody makes us say more than that */
    MUST(f->e.flight.count <= 4);
    buf_clear(&f->e.out);
    buf_fini(&in);
    buf_fini(&out);
    return failed;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    struct engine_conf conf = {.connect = {.version = data[0] & 1 ? WIRE_5 : WIRE_311,
                                           .client_id = SKEP_STR("id"),
                                           .maximum_packet = 65536},
                               .window = 4,
                               .window2 = 3,
                               .q0_bytes = 1000};
    struct far f = {.busy = data[0] & 4};
    struct ws ws = {.state = WS_OPEN};
    struct buf raw = {0};
    size_t step = (data[0] >> 3) + 1u, at = 1;

    engine_init(&f.e, &conf, &calls, &f);
    fill(&f);
    for (int round = 0; round < 2 && at < size; round++) { /* the second is a new connection */
        engine_open(&f.e, 1, false);
        while (at < size) {
            size_t n = size - at < step ? size - at : step;
            at += n;
            if (hear(&f, data[0] & 2 ? &ws : NULL, &raw, data + at - n, n))
                break;
        }
        engine_lost(&f.e);
        ws_fini(&ws);
        ws = (struct ws){.state = WS_OPEN};
        buf_clear(&raw);
    }
    for (size_t i = 0; i < f.in_count; i++)
        engine_taken(f.in[i], 0);
    engine_fini(&f.e);
    ws_fini(&ws);
    buf_fini(&raw);
    return 0;
}
