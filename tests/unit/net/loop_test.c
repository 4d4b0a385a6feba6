/* The turn: inbox, waking, timers, watches, calls from other threads. */
#include "net_fixture.h"

#include <pthread.h>

#include "base/wheel.h"

struct counted {
    struct loop_task task;
    unsigned poster, number;
};

enum { POSTERS = 4, POSTS = 5000 };

static unsigned last_seen[POSTERS];
static _Atomic unsigned runs;
static unsigned disorder;

static void note(struct loop_task *task, struct loop *l)
{
    struct counted *c = CONTAINER_OF(task, struct counted, task);
    if (c->number != last_seen[c->poster] + 1)
        disorder++;
    last_seen[c->poster] = c->number;
    free(c);
    runs++;
}

struct poster {
    struct loop *loop;
    unsigned id;
};

static void *post_all(void *arg)
{
    struct poster *p = arg;
    for (unsigned i = 1; i <= POSTS; i++) {
        struct counted *c = xmalloc(sizeof *c);
        *c = (struct counted){.task.run = note, .poster = p->id, .number = i};
        loop_post(p->loop, &c->task);
    }
    return NULL;
}

static void tasks_of_each_poster_run_in_order(void **state)
{
    struct loop *l;
    struct poster posters[POSTERS];
    pthread_t threads[POSTERS];

    assert_int_equal(loop_open(&l, 0, NULL, NULL), 0);
    assert_int_equal(loop_start(l), 0);
    for (unsigned i = 0; i < POSTERS; i++) {
        posters[i] = (struct poster){l, i};
        pthread_create(&threads[i], NULL, post_all, &posters[i]);
    }
    for (unsigned i = 0; i < POSTERS; i++)
        pthread_join(threads[i], NULL);
    loop_stop(l); /* its own task is behind all of theirs */
    assert_int_equal(runs, POSTERS * POSTS);
    assert_int_equal(disorder, 0);
    loop_free(&l);
    assert_null(l);
}

static void set_flag(struct loop *l, void *arg)
{
    assert_ptr_equal(loop_current(), l);
    *(unsigned *)arg = loop_index(l);
}

/* Each call finds the loop asleep or about to be: a lost wake-up would hang here. */
static void a_sleeping_loop_is_woken(void **state)
{
    struct loop *l;
    assert_int_equal(loop_open(&l, 7, NULL, NULL), 0);
    assert_int_equal(loop_start(l), 0);
    for (int i = 0; i < 2000; i++) {
        unsigned seen = 0;
        loop_call(l, set_flag, &seen);
        assert_int_equal(seen, 7);
    }
    loop_stop(l);
    assert_null(loop_current());
    loop_free(&l);
}

static void two_loops_cannot_share_an_index(void **state)
{
    struct loop *a, *b = NULL;
    assert_int_equal(loop_open(&a, 3, NULL, NULL), 0);
    assert_true(loop_open(&b, 3, NULL, NULL) < 0);
    loop_free(&a);
    assert_int_equal(loop_open(&b, 3, NULL, NULL), 0);
    loop_free(&b);
}

static uint64_t fired_at_ms;

static void timer_fired(void *arg, struct wheel_timer *timer)
{
    fired_at_ms = loop_now_ms(arg);
}

static void timers_run_when_due_and_not_before(void **state)
{
    struct loop *l;
    struct wheel_timer timer = {.kind = 0};
    assert_int_equal(loop_open(&l, 0, NULL, NULL), 0);
    wheel_kind(loop_wheel(l), 0, timer_fired, l);
    loop_turn(l, 0);
    uint64_t due = loop_now_ms(l) + 30;
    wheel_add(loop_wheel(l), &timer, due);
    uint64_t end = clock_mono_ms() + DEADLINE_MS;
    while (!fired_at_ms && clock_mono_ms() < end)
        loop_turn(l, -1); /* nothing but the timer can end this sleep */
    assert_true(fired_at_ms >= due);
    loop_free(&l);
}

struct watched {
    struct loop_watch *watch;
    int calls;
};

static void read_one(struct loop *l, int fd, unsigned what, void *arg)
{
    struct watched *w = arg;
    char byte;
    assert_int_equal(what, LOOP_READ);
    assert_int_equal(read(fd, &byte, 1), 1);
    if (++w->calls == 3)
        loop_watch_stop(&w->watch);
}

static void a_watch_is_level_triggered_and_may_stop_itself(void **state)
{
    struct loop *l;
    struct watched w = {0};
    int fds[2];
    assert_int_equal(loop_open(&l, 0, NULL, NULL), 0);
    assert_return_code(pipe(fds), errno);
    assert_int_equal(loop_watch_start(&w.watch, l, fds[0], LOOP_READ, read_one, &w), 0);
    assert_int_equal(write(fds[1], "abcde", 5), 5);
    TURN_UNTIL(l, w.calls == 3);
    assert_null(w.watch);
    loop_turn(l, 0);
    assert_int_equal(w.calls, 3);
    loop_free(&l);
    close(fds[0]);
    close(fds[1]);
}

static int begins, turn_ends, ends;

static void count_begin(struct loop *l, void *user)
{
    begins++;
}

static void count_turn_end(struct loop *l, void *user)
{
    if (++turn_ends < 100)
        loop_again(l); /* or the loop would sleep and never get to 100 */
}

static void count_end(struct loop *l, void *user)
{
    ends++;
}

static void hooks_run_and_again_prevents_sleep(void **state)
{
    struct loop *l;
    struct loop_hooks hooks = {count_begin, count_turn_end, count_end};
    struct loop_stats stats;
    uint64_t end = clock_mono_ms() + DEADLINE_MS;
    assert_int_equal(loop_open(&l, 0, &hooks, NULL), 0);
    loop_again(l);
    assert_int_equal(loop_start(l), 0);
    do
        loop_stats(l, &stats);
    while (stats.turns < 100 && clock_mono_ms() < end);
    loop_stop(l);
    assert_true(turn_ends >= 100);
    assert_int_equal(begins, 1);
    assert_int_equal(ends, 1);
    loop_free(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tasks_of_each_poster_run_in_order),
        cmocka_unit_test(a_sleeping_loop_is_woken),
        cmocka_unit_test(two_loops_cannot_share_an_index),
        cmocka_unit_test(timers_run_when_due_and_not_before),
        cmocka_unit_test(a_watch_is_level_triggered_and_may_stop_itself),
        cmocka_unit_test(hooks_run_and_again_prevents_sleep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
