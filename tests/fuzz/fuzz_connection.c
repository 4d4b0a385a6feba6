/* Whole connections: up to four clients on three loops feed arbitrary bytes, in arbitrary
 * pieces, to the real front and core over the simulation's network.
 *
 * Input: commands of one byte, low two bits the client, the next three what it does; a
 * WRITE is followed by a length byte and so many bytes.  Whatever happens, the broker must
 * stay up, the ledger must balance, and nothing may be left when everybody has gone. */
#include "fuzz.h"

#include "base/mem.h"
#include "world.h"

enum { CLIENTS = 4, COMMANDS_MAX = 400, WINDOW = 4096, WAIT_MS = 700 };

enum command { WRITE, WRITE_TOO, SETTLE, READ, HANG_UP, RESET, WAIT, TURN };

static void limits_small(struct limits *l)
{
    limits_default(l);
    l->max_packet = 4096;
    l->connect_max_packet = 1024;
    l->max_queue_messages = 4;
    l->max_inflight = 3;
    l->receive_maximum = 4;
    l->max_subscriptions = 8;
    l->topic_alias_maximum = 2;
    l->max_retained_messages = 4;
}

static void read_all(struct wire *wire)
{
    const uint8_t *bytes;
    size_t len = wire_read(wire, &bytes);

    wire_consume(wire, len);
}

struct tape {
    const uint8_t *at, *end;
};

static void play(struct world *w, struct wire **wires, struct tape *t)
{
    uint8_t c = *t->at++;
    unsigned client = c & 3;
    struct wire **wire = &wires[client];

    if (!*wire)
        *wire = world_dial(w, client % WORLD_LOOPS, client != 3, WINDOW);
    switch ((enum command)(c >> 2 & 7)) {
    case WRITE:
    case WRITE_TOO: {
        size_t len = t->at < t->end ? *t->at++ : 0;
        if (len > (size_t)(t->end - t->at))
            len = (size_t)(t->end - t->at);
        wire_write(*wire, t->at, len);
        t->at += len;
        return;
    }
    case SETTLE:
        world_settle(w);
        return;
    case READ:
        read_all(*wire);
        return;
    case HANG_UP:
    case RESET:
        wire_hang_up(wire, (c >> 2 & 7) == RESET);
        return;
    case WAIT:
        world_wait(w, WAIT_MS);
        return;
    case TURN:
    default:
        world_turn(w, client % WORLD_LOOPS);
        return;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wire *wires[CLIENTS] = {0};
    struct tape tape = {data, data + size};
    struct limits limits;

    limits_small(&limits);
    struct world *w = world_new(&limits);
    for (int i = 0; i < COMMANDS_MAX && tape.at < tape.end; i++)
        play(w, wires, &tape);
    world_settle(w);
    ASSERT(world_balances(w));
    for (int i = 0; i < CLIENTS; i++) {
        if (wires[i])
            wire_hang_up(&wires[i], false);
    }
    world_settle(w);
    world_free(&w);
    return 0;
}
