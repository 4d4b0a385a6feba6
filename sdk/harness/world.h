/* The world that a module under test lives in, inside the harness: a clock that moves when told,
 * loops that take turns on the test's own thread, jobs that run when asked, and an HTTP server
 * that is a table.
 *
 * loop.c, clock.c, jobs.c and http.c have the functions of net/loop.h, base/clock.h, host/jobs.h
 * and host/http.h; the linker takes them instead of the broker's.  All else of the host is the
 * broker's own.  One thread, one world at a time. */
#ifndef SKEP_HARNESS_WORLD_H
#define SKEP_HARNESS_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;
struct skep_http_request;

/* -- clock.c -- */

enum { WORLD_BEGIN_MS = 1000000 };

/* 2026-01-01 00:00 UTC: a test that wants another time says so. */
#define WORLD_WALL_MS UINT64_C(1767225600000)

struct world_clock {
    uint64_t mono_ms;
    uint64_t wall_offset_ms;
};
extern struct world_clock world_clock;

void world_clock_reset(void);

/* -- loop.c -- */

/* Calls fn around every turn of any loop: what a thread would have of its own. */
void world_on_turn(void (*fn)(struct loop *l, bool begins, void *arg), void *arg);

/* Turns of all loops until none has anything to do at this time. */
void world_run(void);

/* Moves the clock to `until_ms` in steps of what is due. */
void world_pass(uint64_t until_ms);

/* Runs fn as a turn of that loop: the loop's thread, as far as anybody can tell. */
void world_as(struct loop *l, void (*fn)(void *arg), void *arg);

/* A test failed in the middle of it all: its loops are forgotten where they are. */
void world_abandon(void);

/* -- storage.c -- */

void world_storage_reset(void);

/* -- jobs.c -- */

void world_jobs_abandon(void);

/* Jobs wait for world_jobs_run(), instead of running with the next turn. */
void world_jobs_wait(bool wait);
bool world_jobs_waiting(void);
/* Runs what waits; false: nothing did. */
bool world_jobs_run(void);

/* -- net.c -- */

/* Sends the bytes to the address that was opened last, and returns what came back within that time,
 * for the caller to free; NULL: none is open. */
char *world_request(const char *request, size_t len, uint64_t wait_ms);
void world_net_abandon(void);

/* -- http.c -- */

void world_http_set(const char *url, unsigned status, const char *body);
/* False: no answer was set for that URL. */
bool world_http_delay(const char *url, uint32_t ms);
bool world_http_header(const char *url, const char *name, const char *value);
size_t world_http_count(void);
const struct skep_http_request *world_http_request(size_t i);
/* Forgets all answers and requests. */
void world_http_reset(void);
void world_http_abandon(void);

/* -- refuse.c -- */

/* The n-th thing from now that a module asks of the host, and may be refused, is refused; 0: none.
 */
void world_refuse(unsigned n);

/* -- place.c: where the test called, for what is wrong in the test itself -- */

/* Fails the running test at the place of its last call into the harness.  Does not return: not from
 * inside a turn. */
void test_fail(const char *format, ...) __attribute__((format(printf, 1, 2), __noreturn__));

/* Notes what is wrong, for test_check() to fail with; the first counts. */
void test_fault(const char *format, ...) __attribute__((format(printf, 1, 2)));
void test_check(void);

#endif
