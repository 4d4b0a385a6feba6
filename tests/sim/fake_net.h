/* A network in memory: the functions of server/net/{conn,loop}.h that the front uses, over
 * pipes whose ends this header holds, and a clock that moves when told.
 *
 * A wire is both directions of one connection.  The broker's end is a struct conn; the other
 * belongs to the test.  Nothing moves but in fake_loop_turn(), so a run depends on its seed
 * alone.  One thread; several loops take turns. */
#ifndef TESTS_SIM_FAKE_NET_H
#define TESTS_SIM_FAKE_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct conn;
struct conn_handler;
struct loop;

struct fake_clock {
    uint64_t now_ms;
};

struct loop *fake_loop_new(unsigned index, const struct fake_clock *clock,
                           void (*turn_end)(struct loop *l, void *user), void *user);
/* One turn, in the order that net/loop.h promises. */
void fake_loop_turn(struct loop *l);
/* Whether a turn would find something to do by now. */
bool fake_loop_idle(struct loop *l);
/* All wires must be hung up and all turns taken. */
void fake_loop_free(struct loop **l);

/* -- The other end -- */

struct wire;

/* A new connection to that loop; the front hears of it in the loop's next turn.  window:
 * bytes the client takes before the broker's writes block, until it reads. */
struct wire *wire_dial(struct loop *l, const struct conn_handler *handler, void *user,
                       bool shareable, size_t window);
/* Bytes for the broker.  At most `chunk` of what waits is handed up at a time (0: all). */
void wire_write(struct wire *w, const void *bytes, size_t len);
void wire_chunk(struct wire *w, size_t chunk);
/* What the broker sent.  *bytes is valid until the next call; wire_consume() takes it off and
 * so makes room. */
size_t wire_read(struct wire *w, const uint8_t **bytes);
void wire_consume(struct wire *w, size_t len);
void wire_window(struct wire *w, size_t window);
/* The broker has closed, and all it sent was read. */
bool wire_ended(const struct wire *w);
/* When the broker had the last byte we wrote, and when it closed; 0: not yet. */
uint64_t wire_heard_ms(const struct wire *w);
uint64_t wire_closed_ms(const struct wire *w);
/* Hang up: what was written still arrives, or (reset) what did not arrive yet is lost.  The
 * wire is gone for the caller. */
void wire_hang_up(struct wire **w, bool reset);

#endif
