/* Store time: it follows the monotonic clock while the store is open, and real downtime over a
 * restart, whatever the wall clock does. */
#include "store/store.h"

#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "scratch.h"

enum { HOUR = 3600000, DEADLINE_MS = 20000 };

static const uint64_t epoch = 1700000000000;
static _Atomic uint64_t mono, wall;
static unsigned clock_check_ms;

static uint64_t fake_mono_ms(void)
{
    return mono;
}

static uint64_t fake_wall_ms(void)
{
    return wall;
}

static const struct store_clock fake = {fake_mono_ms, fake_wall_ms};

static struct store_conf fake_conf(void)
{
    struct store_conf conf = conf_of(NULL);

    conf.clock = &fake;
    conf.clock_check_ms = clock_check_ms;
    return conf;
}

static void begin(void)
{
    scratch_clear();
    mono = 5000;
    wall = epoch;
}

/* Both clocks, as they should go. */
static void pass(uint64_t ms)
{
    mono += ms;
    wall += ms;
}

static uint64_t store_now(const struct store *s)
{
    return fake_mono_ms() + (uint64_t)store_clock_offset_ms(s);
}

/* Something is written, and so is the time. */
static void work(struct store *s)
{
    struct batch b = {0};

    batch_end(&b, 1);
    store_wait(s, store_submit(s, 0, &b));
    batch_fini(&b);
}

static struct store *must_open_fake(void)
{
    struct store_conf conf = fake_conf();
    struct store *s;

    must_open(&s, &conf);
    return s;
}

/* The machine starts anew: its monotonic clock begins at some other value. */
static void reboot(uint64_t downtime_ms)
{
    mono = mono > 1000000 ? 17 : mono + 123456789;
    wall += downtime_ms;
}

static void test_a_new_store_begins_with_the_wall_clock(void **state)
{
    begin();
    mono = 2 * epoch; /* the difference may be negative */
    struct store *s = must_open_fake();
    assert_true(store_clock_offset_ms(s) == -(int64_t)epoch);
    assert_int_equal(store_now(s), epoch);
    pass(10);
    assert_int_equal(store_now(s), epoch + 10);
    store_close(&s);
}

static void test_downtime_counts(void **state)
{
    begin();
    struct store *s = must_open_fake();
    pass(1000);
    work(s);
    pass(500);
    assert_int_equal(store_close(&s), 0);
    for (unsigned run = 1; run <= 3; run++) {
        reboot(HOUR);
        s = must_open_fake();
        assert_int_equal(store_now(s), epoch + 1500 + run * (uint64_t)HOUR);
        assert_int_equal(store_close(&s), 0);
    }
}

/* [M7] The wall clock jumps forth and back under the running broker, and stays wrong. */
static void test_jumps_while_running_change_nothing(void **state)
{
    static const int64_t jumps[] = {5 * HOUR, -9 * HOUR, 2 * HOUR, -1};

    begin();
    struct store *s = must_open_fake();
    int64_t offset = store_clock_offset_ms(s);
    uint64_t expected = epoch;
    for (unsigned i = 0; i < sizeof jumps / sizeof *jumps; i++) {
        wall += (uint64_t)jumps[i];
        pass(1000);
        expected += 1000;
        work(s);
        assert_true(store_clock_offset_ms(s) == offset);
        assert_int_equal(store_close(&s), 0);
        reboot(2000);
        expected += 2000;
        s = must_open_fake();
        assert_int_equal(store_now(s), expected);
        offset = store_clock_offset_ms(s);
    }
    store_close(&s);
}

static void test_set_back_while_down_is_no_time(void **state)
{
    begin();
    struct store *s = must_open_fake();
    pass(1000);
    work(s);
    assert_int_equal(store_close(&s), 0);
    reboot(0);
    wall -= 24 * (uint64_t)HOUR;
    s = must_open_fake();
    assert_int_equal(store_now(s), epoch + 1000);
    pass(1000);
    assert_int_equal(store_close(&s), 0);
    reboot(3000); /* and from there on it goes forward again */
    s = must_open_fake();
    assert_int_equal(store_now(s), epoch + 5000);
    store_close(&s);
}

/* Opens, does that, and is killed. */
static void killed(void (*does)(struct store *s))
{
    int status;
    pid_t child = fork();

    if (child == 0) {
        struct store *s = must_open_fake();
        does(s);
        kill(getpid(), SIGKILL);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void work_for_a_second(struct store *s)
{
    pass(1000);
    work(s);
}

static void nothing(struct store *s)
{
}

/* A start leaves a fresh segment, without a COMMIT, and no other. */
static void test_a_log_without_a_commit(void **state)
{
    begin();
    killed(work_for_a_second); /* in the child's memory only: here no time passed */
    wall += 1000;
    reboot(HOUR);
    killed(nothing);
    reboot(HOUR);
    killed(nothing);
    reboot(HOUR);
    struct store *s = must_open_fake();
    assert_int_equal(store_now(s), epoch + 1000 + 3 * (uint64_t)HOUR);
    store_close(&s);
}

static void work_and_fold(struct store *s)
{
    work_for_a_second(s);
    must_fold(s, store_stats(s).log.end);
    assert_int_equal(store_stats(s).applied, store_stats(s).log.end);
}

/* All of it is in the tables, and the log is one segment without a record. */
static void test_everything_was_checkpointed(void **state)
{
    begin();
    struct store *s = must_open_fake();
    work_and_fold(s);
    assert_int_equal(store_close(&s), 0);
    killed(work_and_fold);
    pass(1000);
    reboot(HOUR);
    s = must_open_fake();
    assert_int_equal(store_stats(s).replayed, 0);
    assert_int_equal(store_now(s), epoch + 2000 + HOUR);
    store_close(&s);
}

/* Until the log has grown beyond `end`, which it has to by itself. */
static void wait_for_growth(struct store *s, uint64_t end)
{
    uint64_t deadline = clock_mono_ms() + DEADLINE_MS;

    while (store_stats(s).log.synced <= end && clock_mono_ms() < deadline)
        sched_yield();
    assert_true(store_stats(s).log.synced > end);
}

static void idle_through_a_jump(struct store *s)
{
    uint64_t end = store_stats(s).log.end;

    wall += 1000 * (uint64_t)HOUR;
    wait_for_growth(s, end);
    end = store_stats(s).log.end;
    wall -= 400 * (uint64_t)HOUR;
    wait_for_growth(s, end);
}

/* The wall clock jumps while nothing is written, and then the broker is killed: that was no
 * downtime either. */
static void test_a_jump_while_idle_is_noted(void **state)
{
    begin();
    clock_check_ms = 1;
    killed(idle_through_a_jump);
    clock_check_ms = 0;
    wall += 600 * (uint64_t)HOUR;
    reboot(5000);
    struct store *s = must_open_fake();
    assert_int_equal(store_now(s), epoch + 5000);
    store_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_new_store_begins_with_the_wall_clock),
        cmocka_unit_test(test_downtime_counts),
        cmocka_unit_test(test_jumps_while_running_change_nothing),
        cmocka_unit_test(test_set_back_while_down_is_no_time),
        cmocka_unit_test(test_a_log_without_a_commit),
        cmocka_unit_test(test_a_jump_while_idle_is_noted),
        cmocka_unit_test(test_everything_was_checkpointed),
    };
    log_level_set(LOG_LEVEL_ERROR + 1);
    return cmocka_run_group_tests(tests, in_scratch, out_of_scratch);
}
