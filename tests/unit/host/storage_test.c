/* Storage: what is set is seen at once and stays, whatever happens to the process. */
#include "host_fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <skep/loop.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/storage_impl.h"

static struct rig rig;
static char dir[64];

static int set_up(void **state)
{
    strcpy(dir, "/tmp/skep-storage-XXXXXX");
    assert_non_null(mkdtemp(dir));
    rig_open(&rig, dir);
    rig_start(&rig);
    return 0;
}

static void remove_dir(void)
{
    char command[100];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    assert_int_equal(system(command), 0);
}

static int tear_down(void **state)
{
    assert_int_equal(rig_close(&rig), 0);
    remove_dir();
    return 0;
}

/* The broker ends and starts again. */
static void restart(void)
{
    assert_int_equal(rig_close(&rig), 0);
    rig_open(&rig, dir);
    rig_start(&rig);
}

static int set_in(struct skep_module *m, const char *key, const char *value)
{
    return skep_storage_set(m, skep_str(key), skep_str(value), NULL, NULL);
}

static int set(const char *key, const char *value)
{
    return set_in(rig.module, key, value);
}

/* "-": not there. */
static const char *get_in(struct skep_module *m, const char *key)
{
    static char value[200];
    int64_t len = skep_storage_get(m, skep_str(key), value, sizeof value - 1);

    if (len == SKEP_E_NOT_FOUND)
        return "-";
    assert_true(len >= 0 && len < (int64_t)sizeof value);
    value[len] = '\0';
    return value;
}

static const char *get(const char *key)
{
    return get_in(rig.module, key);
}

static void what_is_set_is_seen_and_stays(void **state)
{
    assert_string_equal(get("bee"), "-");
    assert_int_equal(set("bee", "honey"), 0);
    assert_string_equal(get("bee"), "honey");
    storage_flush(rig.host->storage);
    assert_string_equal(get("bee"), "honey");
    assert_int_equal(set("bee", "wax"), 0);
    assert_int_equal(set("wasp", ""), 0);
    assert_string_equal(get("bee"), "wax");
    restart();
    assert_string_equal(get("bee"), "wax");
    assert_string_equal(get("wasp"), "");
    assert_int_equal(set("bee", NULL), 0);
    assert_int_equal(set("nobody", NULL), 0); /* was not there */
    assert_string_equal(get("bee"), "-");
    restart();
    assert_string_equal(get("bee"), "-");
}

static void a_short_buffer_gets_the_beginning(void **state)
{
    char buf[4] = "zzz";

    set("key", "value");
    assert_int_equal(skep_storage_get(rig.module, SKEP_STR("key"), buf, 2), 5);
    assert_memory_equal(buf, "vaz", 3);
    storage_flush(rig.host->storage);
    assert_int_equal(skep_storage_get(rig.module, SKEP_STR("key"), NULL, 0), 5);
}

/* -- Done -- */

struct told {
    _Atomic unsigned times;
    unsigned at;
    int error;
};

static void on_done(void *arg, int error)
{
    struct told *t = arg;
    t->at = skep_loop_here();
    t->error = error;
    t->times++;
}

static void set_and_ask(void *arg)
{
    assert_int_equal(skep_storage_set(rig.module, SKEP_STR("k"), SKEP_STR("v"), on_done, arg), 0);
}

static void done_is_told_where_it_was_asked(void **state)
{
    struct told one = {.error = 1}, main_thread = {.error = 1};

    skep_post(rig.module, 1, set_and_ask, &one, NULL);
    WAIT_UNTIL(one.times == 1);
    assert_int_equal(one.at, 1);
    assert_int_equal(one.error, 0);
    set_and_ask(&main_thread);
    WAIT_UNTIL(main_thread.times == 1);
    assert_int_equal(main_thread.at, SKEP_MANAGEMENT);
    WAIT_UNTIL(atomic_load(&rig.module->holds) == 0);

    struct told last = {.error = 1};
    for (unsigned i = 0; i < 100; i++)
        set_and_ask(&last);
    restart(); /* the end waits for them */
    assert_int_equal(last.times, 100);
}

/* -- Instances and order -- */

struct list {
    char text[400];
    unsigned most;
};

static bool note_pair(struct skep_str key, struct skep_str value, void *arg)
{
    struct list *l = arg;
    size_t len = strlen(l->text);

    snprintf(l->text + len, sizeof l->text - len, "%.*s=%.*s ", (int)key.len, key.ptr,
             (int)value.len, value.ptr);
    return --l->most > 0;
}

static const char *list_of(struct skep_module *m, const char *from, unsigned most)
{
    static struct list l;

    l = (struct list){.most = most};
    storage_flush(rig.host->storage);
    assert_int_equal(skep_storage_each(m, skep_str(from), note_pair, &l), 0);
    return l.text;
}

static void instances_do_not_see_each_other(void **state)
{
    struct skep_module *other = rig_module_new(rig.host, "other");

    assert_string_equal(list_of(rig.module, "", 100), "");
    set("b", "1");
    set("a", "2");
    set("ab", "3");
    set_in(other, "a", "theirs");
    assert_string_equal(get("a"), "2");
    assert_string_equal(get_in(other, "a"), "theirs");
    assert_string_equal(get_in(other, "b"), "-");
    assert_string_equal(list_of(rig.module, "", 100), "a=2 ab=3 b=1 ");
    assert_string_equal(list_of(rig.module, "ab", 100), "ab=3 b=1 ");
    assert_string_equal(list_of(rig.module, "aa", 1), "ab=3 ");
    assert_string_equal(list_of(rig.module, "c", 100), "");
    assert_string_equal(list_of(other, "", 100), "a=theirs ");
    restart();
    struct skep_module *again = rig_module_new(rig.host, "other"); /* by its name */
    assert_string_equal(get_in(again, "a"), "theirs");
    rig_module_free(other);
    rig_module_free(again);
}

/* -- Limits and failures -- */

static void what_makes_no_sense_is_refused(void **state)
{
    static char long_key[STORAGE_KEY_MAX + 1], big[1];
    char buf[8];

    memset(long_key, 'k', sizeof long_key);
    struct skep_str longest = {long_key, STORAGE_KEY_MAX}, longer = {long_key, sizeof long_key};
    struct skep_str huge = {big, STORAGE_VALUE_MAX + 1};
    assert_int_equal(skep_storage_set(rig.module, SKEP_STR(""), SKEP_STR("v"), NULL, NULL),
                     SKEP_E_INVALID);
    assert_int_equal(skep_storage_set(rig.module, longer, SKEP_STR("v"), NULL, NULL),
                     SKEP_E_INVALID);
    assert_int_equal(skep_storage_set(rig.module, SKEP_STR("k"), huge, NULL, NULL), SKEP_E_INVALID);
    assert_int_equal(skep_storage_get(rig.module, longer, buf, sizeof buf), SKEP_E_INVALID);
    assert_int_equal(skep_storage_each(rig.module, longer, note_pair, NULL), SKEP_E_INVALID);
    assert_int_equal(skep_storage_set(rig.module, longest, SKEP_STR("v"), NULL, NULL), 0);
    storage_flush(rig.host->storage);
    assert_int_equal(skep_storage_get(rig.module, longest, buf, sizeof buf), 1);
}

/* The writer is not there yet: everything stays in the queue. */
static void the_queue_is_bounded_and_is_read(void **state)
{
    struct host_storage *s = rig.host->storage;
    char key[16], *big = xcalloc(1, STORAGE_VALUE_MAX);
    unsigned count = 0;

    s->running = true; /* so we say */
    set("a", "1");
    set("a", "2");
    set("b", "1");
    set("b", NULL);
    assert_string_equal(get("a"), "2");
    assert_string_equal(get("b"), "-");
    struct list l = {.most = 10};
    assert_int_equal(skep_storage_each(rig.module, SKEP_STR(""), note_pair, &l), 0);
    assert_string_equal(l.text, "");

    struct skep_str value = {big, STORAGE_VALUE_MAX};
    while (skep_storage_set(rig.module, SKEP_STR("big"), value, NULL, NULL) == 0)
        count++;
    assert_int_equal(count, 3); /* the fourth and its key would be above 64 MiB */
    int err = 0;
    for (count = 0; err == 0; count++) {
        snprintf(key, sizeof key, "%u", count);
        err = set(key, "");
    }
    assert_int_equal(err, SKEP_E_LIMIT);
    assert_int_equal(s->queue.count, STORAGE_QUEUE_MAX);
    struct told refused = {0};
    assert_int_equal(skep_storage_set(rig.module, SKEP_STR("k"), SKEP_STR("v"), on_done, &refused),
                     SKEP_E_LIMIT);
    assert_int_equal(atomic_load(&rig.module->holds), 0);

    s->running = false;
    pthread_mutex_lock(&s->lock);
    assert_int_equal(storage_start_writer(s), 0);
    pthread_mutex_unlock(&s->lock);
    storage_flush(s);
    assert_int_equal(s->queue.count, 0);
    assert_int_equal(s->queue.bytes, 0);
    assert_string_equal(get("a"), "2");
    assert_string_equal(get("b"), "-");
    assert_int_equal(skep_storage_get(rig.module, SKEP_STR("big"), NULL, 0), STORAGE_VALUE_MAX);
    assert_int_equal(refused.times, 0);
    free(big);
}

static void the_file_grows(void **state)
{
    char key[16], *big = xcalloc(1, STORAGE_VALUE_MAX);

    for (unsigned i = 0; i < 10; i++) { /* more than the first map */
        struct told t = {.error = 1};
        snprintf(key, sizeof key, "%u", i);
        memset(big, 'a' + (int)i, STORAGE_VALUE_MAX);
        assert_int_equal(skep_storage_set(rig.module, skep_str(key),
                                          skep_bytes(big, STORAGE_VALUE_MAX), on_done, &t),
                         0);
        WAIT_UNTIL(t.times == 1);
        assert_int_equal(t.error, 0);
    }
    restart();
    for (unsigned i = 0; i < 10; i++) {
        snprintf(key, sizeof key, "%u", i);
        assert_int_equal(skep_storage_get(rig.module, skep_str(key), big, STORAGE_VALUE_MAX),
                         STORAGE_VALUE_MAX);
        assert_int_equal(big[STORAGE_VALUE_MAX - 1], 'a' + (int)i);
    }
    free(big);
}

static void a_place_that_does_not_work_is_told(void **state)
{
    char path[100], buf[8];

    assert_int_equal(rig_close(&rig), 0);
    log_level_set(LOG_LEVEL_ERROR + 1);
    rig_open(&rig, NULL);
    assert_int_equal(set("k", "v"), SKEP_E_SYSTEM);
    assert_int_equal(skep_storage_get(rig.module, SKEP_STR("k"), buf, sizeof buf), SKEP_E_SYSTEM);
    assert_int_equal(skep_storage_each(rig.module, SKEP_STR(""), note_pair, NULL), SKEP_E_SYSTEM);
    assert_int_equal(rig_close(&rig), 0);

    rig_open(&rig, "/dev/null"); /* no directory */
    assert_int_equal(set("k", "v"), SKEP_E_SYSTEM);
    assert_int_equal(rig_close(&rig), 0);

    snprintf(path, sizeof path, "%s/modules", dir);
    mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/modules/storage.mdb", dir);
    int fd = open(path, O_CREAT | O_WRONLY, 0600); /* no database */
    for (unsigned i = 0; i < 4096; i++)
        assert_int_equal(write(fd, "garbage!", 8), 8);
    close(fd);
    rig_open(&rig, dir);
    assert_int_equal(set("k", "v"), SKEP_E_SYSTEM);
    unlink(path); /* put right while the broker runs */
    assert_int_equal(set("k", "v"), 0);
    assert_string_equal(get("k"), "v");
    log_level_set(LOG_LEVEL_INFO);
}

/* -- Many at once -- */

enum { ROUNDS = 300 };

struct worker_arg {
    unsigned id;
    _Atomic unsigned done;
};

/* Each has keys of its own and must always see its own last change. */
static void read_own_writes(void *arg)
{
    struct worker_arg *w = arg;
    char key[32], value[32], got[32];

    for (unsigned i = 0; i < ROUNDS; i++) {
        snprintf(key, sizeof key, "%u/%u", w->id, i % 7);
        int len = snprintf(value, sizeof value, "%u", i);
        bool deletes = i % 5 == 4;
        assert_int_equal(skep_storage_set(rig.module, skep_str(key),
                                          deletes ? skep_bytes(NULL, 0) : skep_str(value), NULL,
                                          NULL),
                         0);
        int64_t n = skep_storage_get(rig.module, skep_str(key), got, sizeof got);
        if (n != (deletes ? SKEP_E_NOT_FOUND : len) || (!deletes && memcmp(got, value, n) != 0))
            return; /* done stays 0 */
    }
    w->done = 1;
}

static void *read_own_writes_on_a_thread(void *arg)
{
    read_own_writes(arg);
    return NULL;
}

static void everybody_sees_his_own_changes(void **state)
{
    struct worker_arg w[5] = {{.id = 0}, {.id = 1}, {.id = 2}, {.id = 3}, {.id = 4}};
    pthread_t threads[2];

    skep_post(rig.module, 0, read_own_writes, &w[0], NULL);
    skep_post(rig.module, 1, read_own_writes, &w[1], NULL);
    skep_job(rig.module, read_own_writes, NULL, &w[2]);
    pthread_create(&threads[0], NULL, read_own_writes_on_a_thread, &w[3]);
    pthread_create(&threads[1], NULL, read_own_writes_on_a_thread, &w[4]);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    WAIT_UNTIL(w[0].done && w[1].done && w[2].done);
    assert_true(w[3].done && w[4].done);
}

/* -- kill -9 -- */

struct sent {
    unsigned number;
    int fd;
};

static void report(void *arg, int error)
{
    struct sent *s = arg;

    if (error == 0 && write(s->fd, &s->number, sizeof s->number) != sizeof s->number)
        _exit(3);
    free(s);
}

/* Sets 1, 2, 3, ... and tells each that is said to be on the disk, until it is killed. */
static void child(int fd, unsigned first)
{
    char key[16];

    rig_open(&rig, dir);
    rig_start(&rig);
    for (unsigned i = first;; i++) {
        struct sent *s = xmalloc(sizeof *s);
        *s = (struct sent){i, fd};
        snprintf(key, sizeof key, "%08u", i);
        while (skep_storage_set(rig.module, skep_str(key), skep_str(key), report, s) != 0)
            poll(NULL, 0, 1);
    }
}

static unsigned run_and_kill(unsigned first, unsigned enough)
{
    unsigned number, last = first - 1;
    int fds[2];

    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    if (pid == 0)
        child(fds[1], first);
    close(fds[1]);
    while (last < first + enough) {
        assert_int_equal(read(fds[0], &number, sizeof number), sizeof number);
        assert_int_equal(number, last + 1); /* in order, none left out */
        last = number;
    }
    kill(pid, SIGKILL);
    while (read(fds[0], &number, sizeof number) == sizeof number)
        last = number;
    waitpid(pid, NULL, 0);
    close(fds[0]);
    return last;
}

static bool check_pair(struct skep_str key, struct skep_str value, void *arg)
{
    unsigned *next = arg;
    char wanted[16];

    snprintf(wanted, sizeof wanted, "%08u", *next);
    assert_true(skep_str_eq(key, skep_str(wanted)));
    assert_true(skep_str_eq(value, skep_str(wanted)));
    (*next)++;
    return true;
}

static void what_was_told_survives_a_kill(void **state)
{
    assert_int_equal(rig_close(&rig), 0); /* no thread is there to be forked */
    unsigned first = 1;
    for (unsigned round = 0; round < 5; round++) {
        unsigned last = run_and_kill(first, 50 + round * 200);
        rig_open(&rig, dir);
        unsigned next = 1;
        assert_int_equal(skep_storage_each(rig.module, SKEP_STR(""), check_pair, &next), 0);
        assert_true(next > last); /* all that was told, and no gap in what is there */
        assert_int_equal(rig_close(&rig), 0);
        first = next;
    }
    rig_open(&rig, dir);
    rig_start(&rig);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(what_is_set_is_seen_and_stays),
        TEST(a_short_buffer_gets_the_beginning),
        TEST(done_is_told_where_it_was_asked),
        TEST(instances_do_not_see_each_other),
        TEST(what_makes_no_sense_is_refused),
        TEST(the_queue_is_bounded_and_is_read),
        TEST(the_file_grows),
        TEST(a_place_that_does_not_work_is_told),
        TEST(everybody_sees_his_own_changes),
        TEST(what_was_told_survives_a_kill),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
