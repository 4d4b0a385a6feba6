/* The timing wheel: never early, exact when advanced each millisecond, cheap to move. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/wheel.h"

struct probe {
    struct wheel_timer timer;
    uint64_t due, fired_at;
    unsigned fired;
};

static struct wheel w;
static uint64_t now;

static void on_probe(void *arg, struct wheel_timer *t)
{
    struct probe *p = CONTAINER_OF(t, struct probe, timer);
    assert_ptr_equal(arg, &w);
    assert_false(wheel_armed(t));
    p->fired++;
    p->fired_at = now;
    assert_true(p->due <= now);
}

static void start(uint64_t at)
{
    now = at;
    wheel_init(&w, now);
    wheel_kind(&w, 0, on_probe, &w);
}

static uint64_t rng = 88172645463325252u;

static uint64_t random_u64(void)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return rng;
}

/* Any scale from 1 ms to ~50 days. */
static uint64_t random_delay(void)
{
    return random_u64() % (((uint64_t)2 << random_u64() % 32));
}

static void size_is_small(void **state)
{
    assert_true(sizeof(struct wheel_timer) <= 32);
}

static void fires_in_the_millisecond_it_is_due(void **state)
{
    static const uint64_t delays[] = {1, 2, 63, 64, 65, 127, 128, 4095, 4096, 4097, 60000, 262144};
    struct probe probes[ARRAY_LEN(delays)] = {0};

    start(1234567);
    for (size_t i = 0; i < ARRAY_LEN(delays); i++) {
        probes[i].due = now + delays[i];
        wheel_add(&w, &probes[i].timer, probes[i].due);
    }
    while (w.armed) {
        now++;
        wheel_advance(&w, now, 1000);
    }
    for (size_t i = 0; i < ARRAY_LEN(delays); i++) {
        assert_int_equal(probes[i].fired, 1);
        assert_int_equal(probes[i].fired_at, probes[i].due);
    }
    assert_true(wheel_next_due_ms(&w) == WHEEL_NEVER);
}

/* A loop that sleeps until wheel_next_due_ms is never late, and wakes few times. */
static void sleeping_until_next_due_is_exact(void **state)
{
    for (unsigned round = 0; round < 2000; round++) {
        struct probe p = {0};
        unsigned wakes = 0;
        start(random_u64() % 1000000000000u);
        p.due = now + random_delay();
        wheel_add(&w, &p.timer, p.due);
        while (!p.fired) {
            uint64_t next = wheel_next_due_ms(&w);
            assert_true(next != WHEEL_NEVER);
            if (next > now)
                now = next;
            wheel_advance(&w, now, 10);
            assert_true(++wakes <= WHEEL_LEVELS + 1);
        }
        assert_true(p.fired_at == p.due || p.fired_at == p.due + 1);
    }
}

static void a_time_in_the_past_fires_in_the_next_millisecond(void **state)
{
    struct probe p = {.due = 5};
    start(1000);
    wheel_add(&w, &p.timer, p.due);
    wheel_advance(&w, now, 10);
    assert_int_equal(p.fired, 0);
    now++;
    wheel_advance(&w, now, 10);
    assert_int_equal(p.fired, 1);
}

static void moving_later_does_not_touch_the_lists(void **state)
{
    struct probe p = {.due = 1100};
    start(1000);
    wheel_add(&w, &p.timer, 1100);
    struct wheel_timer *next = p.timer.next, *prev = p.timer.prev;
    for (uint64_t due = 1101; due <= 90000; due += 7) {
        wheel_add(&w, &p.timer, due);
        p.due = due;
    }
    assert_ptr_equal(p.timer.next, next);
    assert_ptr_equal(p.timer.prev, prev);
    for (now = 1001; !p.fired; now++)
        wheel_advance(&w, now, 10);
    assert_int_equal(p.fired_at, p.due);
}

static void moving_earlier_is_obeyed(void **state)
{
    struct probe p = {0};
    start(1000);
    wheel_add(&w, &p.timer, 500000);
    p.due = 1003;
    wheel_add(&w, &p.timer, p.due);
    assert_int_equal(w.armed, 1);
    assert_true(wheel_next_due_ms(&w) <= 1003);
    for (now = 1001; !p.fired; now++)
        wheel_advance(&w, now, 10);
    assert_int_equal(p.fired_at, 1003);
}

static void far_times_are_cut_not_wrapped(void **state)
{
    struct probe p = {.due = (uint64_t)1 << 47};
    start(1000);
    wheel_add(&w, &p.timer, UINT64_MAX);
    now = p.due;
    wheel_advance(&w, now, 100);
    assert_int_equal(p.fired, 0);
    assert_int_equal(w.armed, 1);
    wheel_cancel(&w, &p.timer);
    wheel_cancel(&w, &p.timer);
    assert_int_equal(w.armed, 0);
    assert_true(wheel_next_due_ms(&w) == WHEEL_NEVER);
}

/* A burst due at once is handled `most` at a time, and the wheel asks to be called again. */
static void a_burst_is_sliced(void **state)
{
    enum { N = 10000 };
    struct probe *probes = xcalloc(N, sizeof *probes);
    unsigned calls = 0, turns = 0;

    start(1000);
    for (unsigned i = 0; i < N; i++) {
        probes[i].due = 70000;
        wheel_add(&w, &probes[i].timer, 70000);
    }
    now = 80000;
    while (w.armed) {
        assert_true(wheel_next_due_ms(&w) <= now);
        unsigned n = wheel_advance(&w, now, 100);
        assert_true(n <= 100);
        calls += n;
        turns++;
    }
    assert_int_equal(calls, N);
    assert_true(turns >= N / 100);
    free(probes);
}

static struct probe ring[64];

/* Cancels a neighbour and arms itself again, in the past even. */
static void on_meddler(void *arg, struct wheel_timer *t)
{
    struct probe *p = CONTAINER_OF(t, struct probe, timer);
    size_t i = (size_t)(p - ring);
    p->fired++;
    wheel_cancel(&w, &ring[(i + 1) % ARRAY_LEN(ring)].timer);
    wheel_add(&w, &ring[(i + 2) % ARRAY_LEN(ring)].timer, 0);
    wheel_add(&w, t, i % 2 ? 0 : now + 3);
}

static void callbacks_may_change_everything(void **state)
{
    start(1000);
    wheel_kind(&w, 1, on_meddler, NULL);
    for (size_t i = 0; i < ARRAY_LEN(ring); i++) {
        ring[i] = (struct probe){.timer.kind = 1};
        wheel_add(&w, &ring[i].timer, 1010);
    }
    for (unsigned turn = 0; turn < 1000; turn++) {
        now += 1 + turn % 3;
        /* ends by itself although everyone arms itself in the past */
        assert_true(wheel_advance(&w, now, 100000) < 1000);
        assert_true(w.armed <= ARRAY_LEN(ring));
    }
    for (size_t i = 0; i < ARRAY_LEN(ring); i++)
        wheel_cancel(&w, &ring[i].timer);
    assert_int_equal(w.armed, 0);
}

/* Random adds, moves, cancels and jumps in time against the plain rule. */
static void random_traffic_keeps_the_rule(void **state)
{
    enum { N = 500, TURNS = 20000 };
    static struct probe p[N];
    uint64_t armed = 0;

    start(5000000);
    for (unsigned turn = 0; turn < TURNS; turn++) {
        for (unsigned k = 0; k < 8; k++) {
            struct probe *x = &p[random_u64() % N];
            if (random_u64() % 4 == 0) {
                wheel_cancel(&w, &x->timer);
                x->due = 0;
            } else {
                x->due = now + 1 + random_delay() % 300000;
                x->fired = 0;
                wheel_add(&w, &x->timer, x->due);
            }
        }
        now += random_u64() % 50;
        while (wheel_next_due_ms(&w) <= now)
            wheel_advance(&w, now, 64);
        wheel_advance(&w, now, 64);
        armed = 0;
        for (unsigned i = 0; i < N; i++) {
            bool waits = p[i].due > now;
            assert_int_equal(wheel_armed(&p[i].timer), waits);
            armed += waits;
        }
        assert_int_equal(w.armed, armed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(size_is_small),
        cmocka_unit_test(fires_in_the_millisecond_it_is_due),
        cmocka_unit_test(sleeping_until_next_due_is_exact),
        cmocka_unit_test(a_time_in_the_past_fires_in_the_next_millisecond),
        cmocka_unit_test(moving_later_does_not_touch_the_lists),
        cmocka_unit_test(moving_earlier_is_obeyed),
        cmocka_unit_test(far_times_are_cut_not_wrapped),
        cmocka_unit_test(a_burst_is_sliced),
        cmocka_unit_test(callbacks_may_change_everything),
        cmocka_unit_test(random_traffic_keeps_the_rule),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
