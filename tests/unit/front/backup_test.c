/* Backups one at a time, on a store whose disk is held up where a test wants it. */
#include "front/backup.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "store/check.h"
#include "store/store.h"

enum { DEADLINE_MS = 30000 };

static char dir[64];
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER; /* nothing is synced while it is held */

static int gated_sync(struct disk *d, int fd)
{
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
    return disk_system.ops->fdatasync(d, fd);
}

static const char *in_dir(const char *name)
{
    static char paths[4][128];
    static unsigned at;
    char *path = paths[at++ % 4];

    snprintf(path, sizeof paths[0], "%s/%s", dir, name);
    return path;
}

static struct store *open_store(struct disk *disk, struct disk_ops *ops)
{
    struct store_conf conf = {.dir = in_dir("d"), .disk = disk, .segment_bytes = WAL_SEGMENT_LEAST};
    struct store *s;
    char why[512] = "";

    *ops = *disk_system.ops;
    ops->fdatasync = gated_sync;
    disk->ops = ops;
    if (store_open(&s, &conf, why, sizeof why) < 0)
        fail_msg("%s", why);
    return s;
}

static void add_session(struct store *s, const char *id)
{
    struct batch b = {0};

    batch_session(&b, &(struct record_session){.number = store_number(s), .client_id = str_of(id)});
    store_submit(s, 0, &b);
    batch_fini(&b);
}

static struct server_backup_stats wait_end(struct backups *b)
{
    uint64_t deadline = clock_mono_ms() + DEADLINE_MS;
    struct server_backup_stats st;

    for (backups_stats(b, &st); st.running; backups_stats(b, &st)) {
        assert_true(clock_mono_ms() < deadline);
        sched_yield();
    }
    return st;
}

static void must_begin(struct backups *b, const char *path)
{
    char why[512] = "";

    if (backups_begin(b, path, why, sizeof why) < 0)
        fail_msg("%s", why);
}

static void test_one_at_a_time(void **state)
{
    struct disk disk;
    struct disk_ops ops;
    struct store *s = open_store(&disk, &ops);
    struct backups *b = backups_new(s);
    struct server_backup_stats st;
    struct check_report report;
    char why[512];

    backups_stats(b, &st);
    assert_int_equal(st.number, 0);
    pthread_mutex_lock(&gate);
    add_session(s, "one");
    must_begin(b, in_dir("b1"));
    assert_int_equal(backups_begin(b, in_dir("b2"), why, sizeof why), ERR_EXISTS);
    assert_non_null(strstr(why, "b1 is being made"));
    backups_stats(b, &st);
    assert_true(st.running && !st.failed && st.number == 1);
    assert_string_equal(st.dir, in_dir("b1"));
    pthread_mutex_unlock(&gate);
    st = wait_end(b);
    assert_true(!st.failed && st.number == 1);
    assert_int_equal(check_store(in_dir("b1"), NULL, &report, why, sizeof why), 0);
    assert_int_equal(report.values[TABLE_SESSIONS], 1);
    assert_int_equal(access(in_dir("b2"), F_OK), -1);
    backups_free(&b);
    store_close(&s);
}

static void test_a_failure_is_told_and_another_may_begin(void **state)
{
    struct disk disk;
    struct disk_ops ops;
    struct store *s = open_store(&disk, &ops);
    struct backups *b = backups_new(s);

    must_begin(b, in_dir("no/such/b"));
    struct server_backup_stats st = wait_end(b);
    assert_true(st.failed && st.number == 1);
    assert_non_null(strstr(st.why, "cannot make"));
    must_begin(b, in_dir("b3"));
    st = wait_end(b);
    assert_true(!st.failed && st.number == 2);
    assert_string_equal(st.why, "");
    backups_free(&b);
    store_close(&s);
}

static void test_the_end_waits_for_it(void **state)
{
    struct disk disk;
    struct disk_ops ops;
    struct store *s = open_store(&disk, &ops);
    struct backups *b = backups_new(s);
    struct check_report report;
    char why[512];

    add_session(s, "two");
    must_begin(b, in_dir("b4"));
    backups_free(&b);
    store_close(&s);
    assert_int_equal(check_store(in_dir("b4"), NULL, &report, why, sizeof why), 0);
}

static int make_dir(void **state)
{
    snprintf(dir, sizeof dir, "%s/skep-backup-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    char command[128];

    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_at_a_time),
        cmocka_unit_test(test_a_failure_is_told_and_another_may_begin),
        cmocka_unit_test(test_the_end_waits_for_it),
    };
    log_level_set(LOG_LEVEL_ERROR + 1);
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
