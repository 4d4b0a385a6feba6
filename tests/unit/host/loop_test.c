/* Tasks, timers, watches, jobs and look-ups, on real loops. */
#include "host_fixture.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <skep/loop.h>
#include <unistd.h>

#include "host/jobs.h"

static struct rig rig;
static _Atomic unsigned ran, dropped;
static _Atomic unsigned where;

static int set_up(void **state)
{
    rig_open(&rig, NULL);
    ran = dropped = 0;
    where = 12345;
    return 0;
}

static void note_run(void *arg)
{
    where = skep_loop_here();
    ran++;
}

static void note_drop(void *arg)
{
    dropped++;
}

/* -- Tasks -- */

static void a_task_runs_on_the_loop_it_is_for(void **state)
{
    const unsigned loops[] = {0, 1, SKEP_MANAGEMENT};

    rig_start(&rig);
    assert_int_equal(skep_loop_here(), SKEP_NO_LOOP);
    assert_int_equal(skep_loop_count(rig.module), 2);
    for (unsigned i = 0; i < 3; i++) {
        skep_post(rig.module, loops[i], note_run, NULL, note_drop);
        WAIT_UNTIL(ran == i + 1);
        assert_int_equal(where, loops[i]);
    }
    assert_int_equal(dropped, 0);
    assert_int_equal(rig_close(&rig), 0);
}

enum { POSTERS = 3, POSTS = 3000 };
static unsigned last_seen[POSTERS], disorder;

static void in_order(void *arg)
{
    unsigned poster = (unsigned)((uintptr_t)arg >> 16), number = (uintptr_t)arg & 0xffff;

    disorder += number != last_seen[poster] + 1;
    last_seen[poster] = number;
    ran++;
}

static void *post_many(void *arg)
{
    for (uintptr_t i = 1; i <= POSTS; i++)
        skep_post(rig.module, 1, in_order, (void *)((uintptr_t)arg << 16 | i), NULL);
    return NULL;
}

static void tasks_of_one_thread_keep_their_order(void **state)
{
    pthread_t threads[POSTERS];

    disorder = 0;
    memset(last_seen, 0, sizeof last_seen);
    rig_start(&rig);
    for (uintptr_t i = 0; i < POSTERS; i++)
        pthread_create(&threads[i], NULL, post_many, (void *)i);
    for (unsigned i = 0; i < POSTERS; i++)
        pthread_join(threads[i], NULL);
    WAIT_UNTIL(ran == POSTERS * POSTS);
    assert_int_equal(disorder, 0);
    WAIT_UNTIL(atomic_load(&rig.module->holds) == 0);
    assert_int_equal(rig_close(&rig), 0);
}

static void what_did_not_run_before_unload_is_dropped(void **state)
{
    /* The loops never start: load() posted, and then the load failed. */
    for (unsigned i = 0; i < 5; i++)
        skep_post(rig.module, i % 2, note_run, NULL, note_drop);
    skep_post(rig.module, 0, note_run, NULL, NULL);
    assert_int_equal(atomic_load(&rig.module->holds), 6);
    services_quiesce(rig.module);
    assert_int_equal(atomic_load(&rig.module->holds), 0);
    assert_int_equal(ran, 0);
    assert_int_equal(dropped, 5);
    skep_post(rig.module, 0, note_run, NULL, note_drop); /* too late */
    assert_int_equal(dropped, 6);
    assert_int_equal(rig_close(&rig), 0);
    assert_int_equal(ran, 0);
}

static void a_task_for_a_loop_that_is_not_there_is_dropped(void **state)
{
    log_level_set(LOG_LEVEL_ERROR + 1);
    skep_post(rig.module, 2, note_run, NULL, note_drop);
    log_level_set(LOG_LEVEL_INFO);
    assert_int_equal(dropped, 1);
    assert_int_equal(rig_close(&rig), 0);
}

/* A module is taken down while its tasks rain in: each is run or dropped, exactly once. */
static void *post_and_stop(void *arg)
{
    for (unsigned i = 0; i < POSTS; i++)
        skep_post(rig.module, i % 2, note_run, NULL, note_drop);
    return NULL;
}

static void tasks_race_with_the_end(void **state)
{
    pthread_t thread;

    rig_start(&rig);
    pthread_create(&thread, NULL, post_and_stop, NULL);
    WAIT_UNTIL(ran > 0);
    services_quiesce(rig.module);
    pthread_join(thread, NULL);
    assert_int_equal(rig_close(&rig), 0);
    assert_int_equal(ran + dropped, POSTS);
}

/* -- Timers -- */

struct clockwork {
    struct skep_timer *timer, *other;
    unsigned loop;
    uint64_t set_at, fired_at;
    unsigned again; /* times to set it again */
    _Atomic unsigned fired;
    bool free_itself, free_other;
};

static void tick(void *arg)
{
    struct clockwork *c = arg;

    c->fired_at = skep_now_ms();
    where = skep_loop_here();
    if (c->again > 0) {
        c->again--;
        skep_timer_set(c->timer, 1);
    } else if (c->free_itself) {
        skep_timer_free(c->timer);
        c->timer = NULL;
    }
    if (c->free_other)
        skep_timer_free(c->other);
    c->fired++;
}

static void make_timer(void *arg)
{
    struct clockwork *c = arg;

    c->timer = skep_timer_new(rig.module, tick, c);
    if (c->free_other) {
        c->other = skep_timer_new(rig.module, tick, c);
        skep_timer_set(c->other, 60000);
    }
    c->set_at = skep_now_ms();
    skep_timer_set(c->timer, 20);
}

static void a_timer_fires_on_its_loop_and_not_early(void **state)
{
    const unsigned loops[] = {0, 1, SKEP_MANAGEMENT};

    rig_start(&rig);
    for (unsigned i = 0; i < 3; i++) {
        struct clockwork c = {.free_itself = true, .free_other = true};
        skep_post(rig.module, loops[i], make_timer, &c, NULL);
        WAIT_UNTIL(c.fired == 1);
        assert_int_equal(where, loops[i]);
        assert_true(c.fired_at >= c.set_at + 20);
    }
    assert_int_equal(rig_close(&rig), 0);
}

static void a_timer_may_be_set_again_from_its_own_function(void **state)
{
    struct clockwork c = {.again = 4, .free_itself = true};

    rig_start(&rig);
    skep_post(rig.module, 0, make_timer, &c, NULL);
    WAIT_UNTIL(c.fired == 5);
    assert_int_equal(rig_close(&rig), 0);
}

static void cancel_timer(void *arg)
{
    struct clockwork *c = arg;

    make_timer(c);
    skep_timer_cancel(c->timer);
    skep_timer_cancel(c->timer);
    c->other = skep_timer_new(rig.module, note_run, NULL);
    skep_timer_set(c->other, 60000);
    skep_timer_set(c->other, 30); /* due after the one that was cancelled */
}

static void free_both(void *arg)
{
    struct clockwork *c = arg;

    skep_timer_free(c->timer);
    skep_timer_free(c->other);
    skep_timer_free(NULL);
    ran++;
}

static void a_cancelled_timer_stays_silent(void **state)
{
    struct clockwork c = {0};

    rig_start(&rig);
    skep_post(rig.module, 0, cancel_timer, &c, NULL);
    WAIT_UNTIL(ran == 1);
    assert_int_equal(c.fired, 0);
    skep_post(rig.module, 0, free_both, &c, NULL);
    WAIT_UNTIL(ran == 2);
    assert_int_equal(rig_close(&rig), 0);
}

static void a_foreign_thread_cannot_touch_a_timer(void **state)
{
    struct clockwork c = {0};

    rig_start(&rig);
    skep_post(rig.module, 0, make_timer, &c, NULL);
    skep_post(rig.module, 0, note_run, NULL, NULL);
    WAIT_UNTIL(ran == 1);
    log_level_set(LOG_LEVEL_ERROR + 1);
    skep_timer_free(c.timer); /* refused: it would be freed under its loop's feet */
    log_level_set(LOG_LEVEL_INFO);
    WAIT_UNTIL(c.fired == 1);
    log_level_set(LOG_LEVEL_ERROR + 1);
    assert_int_equal(rig_close(&rig), 1);
    log_level_set(LOG_LEVEL_INFO);
}

static unsigned warnings;
static void count_warnings(enum log_level level, struct str line, void *arg)
{
    if (level == LOG_LEVEL_WARN && memmem(line.ptr, line.len, "rig left 2 timers", 17))
        warnings++;
}

static void tick_for_ever(void *arg)
{
    struct clockwork *c = arg;
    skep_timer_set(c->timer, 1);
    c->fired++;
}

static void make_tickers(void *arg)
{
    struct clockwork *c = arg;

    for (unsigned i = 0; i < 3; i++) {
        c[i].timer = skep_timer_new(rig.module, tick_for_ever, &c[i]);
        skep_timer_set(c[i].timer, 1);
    }
}

static void a_module_that_forgot_timers_goes_without_them(void **state)
{
    struct clockwork c[3] = {0};

    rig_start(&rig);
    skep_post(rig.module, 1, make_tickers, c, NULL);
    WAIT_UNTIL(c[0].fired > 3 && c[1].fired > 3 && c[2].fired > 3);
    services_quiesce(rig.module); /* with the loops running */
    unsigned fired = c[0].fired;
    skep_timer_free(c[2].timer);   /* as unload() may do, on main */
    skep_timer_set(c[1].timer, 1); /* in vain */
    warnings = 0;
    log_capture(count_warnings, NULL);
    assert_int_equal(rig_close(&rig), 2);
    log_capture(NULL, NULL);
    assert_int_equal(warnings, 1);
    assert_int_equal(c[0].fired, fired);
}

/* -- Watches -- */

struct pipe_end {
    int fds[2];
    struct skep_watch *watch;
    char got[16];
    _Atomic unsigned readable, writable;
    bool once;
};

static void on_pipe(int fd, unsigned what, void *arg)
{
    struct pipe_end *p = arg;

    if (what & SKEP_WRITABLE) {
        skep_watch_set(p->watch, 0);
        p->writable++;
    }
    if (what & SKEP_READABLE) {
        char c;
        assert_int_equal(read(fd, &c, 1), 1); /* level-triggered: called again for the rest */
        unsigned at = p->readable;
        p->got[at] = c;
        if (p->once) {
            skep_watch_free(p->watch);
            p->watch = NULL;
        }
        p->readable = at + 1;
    }
}

static void watch_reading(void *arg)
{
    struct pipe_end *p = arg;
    p->watch = skep_watch_new(rig.module, p->fds[0], SKEP_READABLE, on_pipe, p);
    assert_non_null(p->watch);
}

static void watch_writing(void *arg)
{
    struct pipe_end *p = arg;
    p->watch = skep_watch_new(rig.module, p->fds[1], SKEP_WRITABLE, on_pipe, p);
    assert_non_null(p->watch);
}

static void watch_writing_again(void *arg)
{
    skep_watch_set(((struct pipe_end *)arg)->watch, SKEP_WRITABLE);
}

static void unwatch(void *arg)
{
    skep_watch_free(((struct pipe_end *)arg)->watch);
    ran++;
}

static void a_watch_tells_of_a_descriptor(void **state)
{
    struct pipe_end p = {.once = false};

    rig_start(&rig);
    assert_int_equal(pipe(p.fds), 0);
    skep_post(rig.module, 1, watch_reading, &p, NULL);
    assert_int_equal(write(p.fds[1], "bees", 4), 4);
    WAIT_UNTIL(p.readable == 4);
    assert_memory_equal(p.got, "bees", 4);
    skep_post(rig.module, 1, unwatch, &p, NULL);
    WAIT_UNTIL(ran == 1);

    skep_post(rig.module, 0, watch_writing, &p, NULL);
    WAIT_UNTIL(p.writable == 1);
    skep_post(rig.module, 0, watch_writing_again, &p, NULL);
    WAIT_UNTIL(p.writable == 2);
    skep_post(rig.module, 0, unwatch, &p, NULL);
    WAIT_UNTIL(ran == 2);
    assert_int_equal(rig_close(&rig), 0);
    close(p.fds[0]);
    close(p.fds[1]);
}

static void a_watch_may_be_freed_from_its_own_function(void **state)
{
    struct pipe_end p = {.once = true};

    rig_start(&rig);
    assert_int_equal(pipe(p.fds), 0);
    skep_post(rig.module, SKEP_MANAGEMENT, watch_reading, &p, NULL);
    assert_int_equal(write(p.fds[1], "bees", 4), 4);
    WAIT_UNTIL(p.readable == 1);
    assert_int_equal(rig_close(&rig), 0);
    assert_int_equal(p.readable, 1);
    close(p.fds[0]);
    close(p.fds[1]);
}

static void a_forgotten_watch_is_freed(void **state)
{
    struct pipe_end p = {.once = false};

    rig_start(&rig);
    assert_int_equal(pipe(p.fds), 0);
    skep_post(rig.module, 0, watch_reading, &p, NULL);
    skep_post(rig.module, 0, note_run, NULL, NULL);
    WAIT_UNTIL(ran == 1);
    services_quiesce(rig.module);
    assert_int_equal(write(p.fds[1], "x", 1), 1);
    log_level_set(LOG_LEVEL_ERROR);
    assert_int_equal(rig_close(&rig), 1);
    log_level_set(LOG_LEVEL_INFO);
    assert_int_equal(p.readable, 0);
    close(p.fds[0]);
    close(p.fds[1]);
}

/* -- Jobs -- */

struct work {
    _Atomic unsigned worked_at;
    _Atomic unsigned done_at, done;
    _Atomic bool *gate;
    int result;
};

static void work(void *arg)
{
    struct work *w = arg;
    w->worked_at = skep_loop_here();
    if (w->gate)
        WAIT_UNTIL(*w->gate);
}

static void worked(void *arg)
{
    struct work *w = arg;
    w->done_at = skep_loop_here();
    w->done++;
    ran++;
}

static void ask(void *arg)
{
    struct work *w = arg;
    w->result = skep_job(rig.module, work, worked, w);
    assert_int_equal(w->result, 0);
}

static void a_job_comes_back_to_the_loop_that_asked(void **state)
{
    const unsigned loops[] = {0, 1, SKEP_MANAGEMENT};
    struct jobs_stats stats;

    rig_start(&rig);
    for (unsigned i = 0; i < 3; i++) {
        struct work w = {.done_at = 0};
        skep_post(rig.module, loops[i], ask, &w, NULL);
        WAIT_UNTIL(w.done == 1);
        assert_int_equal(w.worked_at, SKEP_NO_LOOP);
        assert_int_equal(w.done_at, loops[i]);
    }
    struct work w = {.done_at = 0};
    ask(&w); /* from main */
    WAIT_UNTIL(w.done == 1);
    assert_int_equal(w.done_at, SKEP_MANAGEMENT);
    assert_int_equal(skep_job(rig.module, work, NULL, &w), 0);
    WAIT_UNTIL(atomic_load(&rig.module->holds) == 0);
    jobs_stats(rig.host, &stats);
    assert_int_equal(stats.done, 5);
    assert_int_equal(stats.queued, 0);
    assert_true(stats.threads >= 2);
    assert_int_equal(rig_close(&rig), 0);
}

static void a_full_queue_refuses_and_the_loops_go_on(void **state)
{
    _Atomic bool gate = false;
    struct work slow = {.gate = &gate}, over = {.done_at = 0};
    struct jobs_stats stats;

    rig_start(&rig);
    unsigned accepted = 0;
    while (skep_job(rig.module, work, worked, &slow) == 0)
        accepted++;
    jobs_stats(rig.host, &stats);
    assert_true(accepted >= JOBS_QUEUE_MAX && accepted <= JOBS_QUEUE_MAX + stats.threads);
    assert_int_equal(stats.refused, 1);
    assert_int_equal(skep_job(rig.module, work, worked, &over), SKEP_E_LIMIT);

    skep_post(rig.module, 0, note_run, NULL, NULL); /* with every job thread blocked */
    WAIT_UNTIL(where == 0);
    gate = true;
    WAIT_UNTIL(ran == accepted + 1);
    assert_int_equal(over.done, 0);
    assert_int_equal(rig_close(&rig), 0);
}

static void every_job_is_done_before_the_end(void **state)
{
    struct work w = {.done_at = 0};

    rig_start(&rig);
    for (unsigned i = 0; i < 500; i++)
        assert_int_equal(skep_job(rig.module, work, worked, &w), 0);
    assert_int_equal(rig_close(&rig), 0); /* asserts that nobody holds the module */
    assert_int_equal(w.done, 500);
}

struct cancelled_job {
    struct job job;
    _Atomic bool worked, done;
};

static void must_not_work(struct job *j)
{
    CONTAINER_OF(j, struct cancelled_job, job)->worked = true;
}

static void came_back(struct job *j)
{
    CONTAINER_OF(j, struct cancelled_job, job)->done = true;
}

static void a_cancelled_job_is_left_out_and_still_comes_back(void **state)
{
    _Atomic bool gate = false;
    struct work slow = {.gate = &gate};
    struct cancelled_job c = {.job = {.work = must_not_work, .done = came_back}};
    struct jobs_stats stats;

    rig_start(&rig);
    skep_job(rig.module, work, worked, &slow);
    jobs_stats(rig.host, &stats);
    for (unsigned i = 0; i < stats.threads; i++)
        skep_job(rig.module, work, worked, &slow);
    assert_int_equal(jobs_submit(rig.host, rig.module, &c.job), 0);
    jobs_cancel(&c.job);
    gate = true;
    WAIT_UNTIL(c.done);
    assert_false(c.worked);
    jobs_stats(rig.host, &stats);
    assert_int_equal(stats.cancelled, 1);
    assert_int_equal(rig_close(&rig), 0);
}

/* -- Names -- */

struct answer {
    const char *name;
    int result;
    _Atomic unsigned called;
    size_t count;
    bool error;
    unsigned at;
    struct sockaddr_storage first;
};

static void resolved(void *arg, const struct skep_str *addresses, size_t count, const char *error)
{
    struct answer *a = arg;

    a->count = count;
    a->error = error != NULL;
    a->at = skep_loop_here();
    if (count)
        memcpy(&a->first, addresses[0].ptr, addresses[0].len);
    a->called++;
}

static void resolve(void *arg)
{
    struct answer *a = arg;
    a->result = skep_resolve(rig.module, a->name, resolved, a);
    if (a->result < 0)
        a->called++;
}

static void resolve_and_wait(struct answer *a, const char *name)
{
    *a = (struct answer){.name = name};
    skep_post(rig.module, 1, resolve, a, NULL);
    WAIT_UNTIL(a->called == 1);
}

static void names_become_addresses(void **state)
{
    struct answer a;

    rig_start(&rig);
    resolve_and_wait(&a, "127.0.0.1:1883");
    assert_int_equal(a.count, 1);
    assert_false(a.error);
    assert_int_equal(a.at, 1);
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)&a.first;
    assert_int_equal(v4->sin_family, AF_INET);
    assert_int_equal(ntohs(v4->sin_port), 1883);
    assert_int_equal(ntohl(v4->sin_addr.s_addr), INADDR_LOOPBACK);

    resolve_and_wait(&a, "[::1]:8883");
    assert_int_equal(a.count, 1);
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&a.first;
    assert_int_equal(v6->sin6_family, AF_INET6);
    assert_int_equal(ntohs(v6->sin6_port), 8883);

    resolve_and_wait(&a, "localhost:1");
    assert_true(a.count >= 1 && a.count <= 8);

    resolve_and_wait(&a, "no..such..name:1"); /* not a name, so nobody is asked */
    assert_int_equal(a.count, 0);
    assert_true(a.error);
    assert_int_equal(rig_close(&rig), 0);
}

static void malformed_names_are_refused_at_once(void **state)
{
    static const char *const bad[] = {"",      "host",       ":1883",     "host:",      "host:x",
                                      "::1:1", "[::1]",      "[::1]1883", "host:65536", "[::1:1",
                                      "h:1:2", "host:18 83", "host:-1"};

    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(skep_resolve(rig.module, bad[i], resolved, NULL), SKEP_E_INVALID);
    assert_int_equal(rig_close(&rig), 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, set_up)
    const struct CMUnitTest tests[] = {
        TEST(a_task_runs_on_the_loop_it_is_for),
        TEST(tasks_of_one_thread_keep_their_order),
        TEST(what_did_not_run_before_unload_is_dropped),
        TEST(a_task_for_a_loop_that_is_not_there_is_dropped),
        TEST(tasks_race_with_the_end),
        TEST(a_timer_fires_on_its_loop_and_not_early),
        TEST(a_timer_may_be_set_again_from_its_own_function),
        TEST(a_cancelled_timer_stays_silent),
        TEST(a_foreign_thread_cannot_touch_a_timer),
        TEST(a_module_that_forgot_timers_goes_without_them),
        TEST(a_watch_tells_of_a_descriptor),
        TEST(a_watch_may_be_freed_from_its_own_function),
        TEST(a_forgotten_watch_is_freed),
        TEST(a_job_comes_back_to_the_loop_that_asked),
        TEST(a_full_queue_refuses_and_the_loops_go_on),
        TEST(every_job_is_done_before_the_end),
        TEST(a_cancelled_job_is_left_out_and_still_comes_back),
        TEST(names_become_addresses),
        TEST(malformed_names_are_refused_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
