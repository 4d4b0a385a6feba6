/* skepctl store check, stat, compact and repair. */
#include "store_rig.h"

#include <cjson/cJSON.h>

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/stat.h>

#include "base/log.h"
#include "ctl/compact.h"
#include "store/check.h"
#include "store/fold.h"

/* -- Check, stat -- */

static void flip(const char *path, uint64_t at)
{
    int fd = open(path, O_RDWR);
    char c;

    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &c, 1, (off_t)at), 1);
    c ^= 1;
    assert_int_equal(pwrite(fd, &c, 1, (off_t)at), 1);
    close(fd);
}

/* Breaks the very last record, for which nothing vouches. */
static void tear(const char *dir)
{
    struct check_report report;
    struct segment *list, *last;
    char why[512], path[128];

    assert_int_equal(check_store(dir, NULL, &report, why, sizeof why), 0);
    assert_int_equal(segment_list(&list, &disk_system, dir, why, sizeof why), 0);
    for (last = list; last->next && last->next->sequence;)
        last = last->next;
    segment_path(path, sizeof path, dir, last->slot);
    flip(path, segment_place(last, report.end) - 1);
    segment_list_free(&list);
}

static void test_check(void **state)
{
    scratch_clear();
    make_small("d");
    run(0, "check d");
    says(said.out, "d is healthy");
    run(0, "check d --json");
    says(said.out, "\"state\":\"healthy\"");
    assert_int_equal(system("cp -r d whole"), 0);
    tear("d");
    run(0, "check d");
    says(said.out, "ends in a write that was cut off");
    run(0, "check d --json");
    says(said.out, "\"state\":\"torn\"");
    assert_int_equal(system("rm -r d && mv whole d"), 0);
    flip("d/log-00000", SEGMENT_HEAD + 60);
    run(1, "check d");
    says(said.out, "d is damaged: ");
    says(said.out, "of d/log-00000");
    says(said.out, "skepctl store repair d");
    run(1, "check d --json");
    says(said.out, "\"file\":\"log-00000\"");
    says(said.out, "\"repairable\":true");
    run(1, "stat d");
    says(said.err, "is damaged at byte");
    says(said.err, "skepctl store check d");
    flip("d/log-00000", SEGMENT_HEAD + 60);
    run(0, "stat d"); /* all of it is in the tables now */
    assert_int_equal(system("cp -r d e && rm e/log-*"), 0);
    run(1, "check e");
    says(said.out, "log files are missing");
    says(said.out, "then a backup in its place");
    run(1, "repair e --yes");
    says(said.err, "put a backup in its place");
}

static uint64_t offset_of(const char *path, const char *bytes)
{
    struct bytes b = {0};
    FILE *f = fopen(path, "r");

    assert_non_null(f);
    assert_int_equal(bytes_read(&b, f, 1 << 30), 0);
    fclose(f);
    const void *at = memmem(b.ptr, b.len, bytes, strlen(bytes));
    assert_non_null(at);
    uint64_t offset = (uint64_t)((const uint8_t *)at - b.ptr);
    bytes_fini(&b);
    return offset;
}

static void test_damaged_tables_need_a_backup(void **state)
{
    scratch_clear();
    make_small("d");
    run(0, "compact d"); /* each value is there once */
    flip("d/state.mdb", offset_of("d/state.mdb", "$share/g/#"));
    run(1, "check d");
    says(said.out, "a value of table subs is damaged");
    says(said.out, "where   d/state.mdb");
    says(said.out, "then a backup in its place");
    run(1, "check d --json");
    says(said.out, "\"repairable\":false");
    run(1, "repair d --yes");
    says(said.err, "put a backup in its place");
    run(1, "export d file");
    says(said.err, "a value of table subs is damaged");
    assert_false(is_there("file") || is_there("file.new"));
}

/* Its checksum is right, but no start could take it up. */
static void test_check_sees_what_cannot_be_loaded(void **state)
{
    struct table_key key = {.len = 0};
    struct tables *t;
    struct tables_txn *txn;
    char why[512];

    scratch_clear();
    make_small("d");
    run(0, "stat d");
    assert_int_equal(tables_open(&t, "d/state.mdb", 0, why, sizeof why), 0);
    assert_int_equal(tables_begin(t, true, &txn), 0);
    key_u64(&key, 1);
    key_u8(&key, SESSION_TAIL);
    assert_int_equal(tables_put(txn, TABLE_SESSIONS, key_str(&key), STR("\1\0\0\0\0\0\0\0")), 0);
    assert_int_equal(tables_commit(&txn), 0);
    tables_close(&t);
    run(1, "check d");
    says(said.out, "the checkpoint cannot be read");
    says(said.out, "then a backup in its place");
}

static void test_no_store(void **state)
{
    static const char *const commands[] = {"check", "stat", "compact", "export", "repair"};

    scratch_clear();
    assert_int_equal(mkdir("data", 0700), 0);
    make_small("data/store");
    spill("data/lock", "");
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        run(1, "%s nowhere", commands[i]);
        says(said.err, "there is no store in nowhere");
        says(said.err, "inside the broker's data_dir");
        run(1, "%s data", commands[i]);
        says(said.err, "but there is one in data/store");
        assert_false(is_there("data/state.mdb"));
    }
}

static void test_a_store_in_use_is_left_alone(void **state)
{
    static const char *const commands[] = {"check", "stat", "compact", "export", "repair -y"};

    scratch_clear();
    make_small("d");
    struct store *s = must_open("d");
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        run(1, "%s d", commands[i]);
        says(said.err, "d is in use by another process");
        says(said.err, "stop Skep first");
        assert_string_equal(said.out, "");
    }
    store_close(&s);
}

static double number(const cJSON *o, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, name);

    if (!cJSON_IsNumber(item))
        fail_msg("no number %s", name);
    return item->valuedouble;
}

static void test_stat_counts(void **state)
{
    scratch_clear();
    make_small("d");
    run(0, "stat d --json");
    cJSON *o = cJSON_Parse(said.out);
    assert_non_null(o);
    assert_true(number(o, "sessions") == 2 && number(o, "connected") == 0);
    assert_true(number(o, "subscriptions") == 2 && number(o, "received") == 1);
    assert_true(number(o, "queued") == 3 && number(o, "released") == 1);
    assert_true(number(o, "queued_bytes") == 2 * (5 + 5 + 2) + 5 && number(o, "queues") == 2);
    assert_true(number(o, "retained") == 1 && number(o, "retained_bytes") == 12);
    assert_true(number(o, "replay_records") >= 14 && number(o, "replay_bytes") > 500);
    const cJSON *list = cJSON_GetObjectItem(o, "longest_queues");
    assert_int_equal(cJSON_GetArraySize(list), 2);
    const cJSON *first = cJSON_GetArrayItem(list, 0);
    assert_string_equal(cJSON_GetObjectItem(first, "client_id_base64")->valuestring, "dAF3bw==");
    assert_true(number(first, "messages") == 2);
    cJSON_Delete(o);
    run(0, "stat d");
    says(said.out, "sessions             2 (0 connected when the broker ended)\n"
                   "subscriptions        2\n"
                   "queued messages      3, 29 bytes, in 2 queues\n");
    says(said.out, "\"t\\u0001wo\"");
}

static void test_stat_shows_the_ten_longest(void **state)
{
    struct store *s;
    struct batch b = {0};
    struct record_message m = {.topic = STR("t"), .payload = STR("x"), .qos = 1};
    char id[16];

    scratch_clear();
    s = must_open("d");
    for (unsigned n = 1; n <= 25; n++) { /* number 7 * n mod 26 has n messages */
        unsigned number = n;
        snprintf(id, sizeof id, "client-%u", number);
        batch_session(&b,
                      &(struct record_session){.number = store_number(s), .client_id = str_of(id)});
    }
    for (unsigned n = 1; n <= 25; n++) {
        unsigned number = 7 * n % 26;
        for (unsigned c = 0; c < n; c++) {
            batch_pub_begin(&b, &m, 0, 0, 0);
            batch_pub_target(&b,
                             &(struct record_target){.session = number, .counter = c, .qos = 1});
            batch_pub_end(&b);
        }
    }
    store_wait(s, store_submit(s, 0, &b));
    batch_fini(&b);
    store_close(&s);
    run(0, "stat d --json");
    cJSON *o = cJSON_Parse(said.out);
    const cJSON *list = cJSON_GetObjectItem(o, "longest_queues");
    assert_int_equal(cJSON_GetArraySize(list), 10);
    for (unsigned i = 0; i < 10; i++) {
        const cJSON *q = cJSON_GetArrayItem(list, (int)i);
        snprintf(id, sizeof id, "client-%u", 7 * (25 - i) % 26);
        assert_true(number(q, "messages") == 25 - i);
        assert_string_equal(cJSON_GetObjectItem(q, "client_id")->valuestring, id);
    }
    cJSON_Delete(o);
}

/* -- Compact -- */

static void test_compact_gives_space_back(void **state)
{
    struct life l;

    scratch_clear();
    life_init(&l, 8);
    live_on(&l, "d", 900);
    while (l.live_count > 0) /* most of it goes: there are gaps */
        life_end(&l, 0);
    live_on(&l, "d", 20);
    run(0, "export d before");
    run(0, "compact d --json");
    cJSON *o = cJSON_Parse(said.out);
    assert_non_null(o);
    assert_true(number(o, "table_bytes") < number(o, "table_bytes_before"));
    assert_true(number(o, "log_bytes_before") > WAL_SEGMENT_BYTES);
    assert_true(number(o, "log_bytes") == WAL_SEGMENT_BYTES);
    cJSON_Delete(o);
    assert_false(is_there("d/state.mdb.new"));
    run(0, "export d after");
    /* but for the first line, which has the clock */
    assert_int_equal(system("tail -n +2 before >b && tail -n +2 after >a && cmp a b"), 0);
    is_as_lived(&l, "d");
    live_on(&l, "d", 300);
    is_as_lived(&l, "d");
    run(0, "compact d");
    says(said.out, "tables");
    life_fini(&l);
}

/* The system's disk, until a given number of operations has been asked for: then it is as if
 * the process had been killed before the next one. */
struct mortal {
    struct disk disk;
    struct disk_ops ops;
    _Atomic int left;
};

static void age(struct disk *d)
{
    if (atomic_fetch_sub(&CONTAINER_OF(d, struct mortal, disk)->left, 1) <= 0)
        kill(getpid(), SIGKILL);
}

static int mortal_sync(struct disk *d, int fd)
{
    age(d);
    return disk_system.ops->fdatasync(d, fd);
}

static int mortal_rename(struct disk *d, const char *from, const char *to)
{
    age(d);
    return disk_system.ops->rename(d, from, to);
}

static int mortal_unlink(struct disk *d, const char *path)
{
    age(d);
    return disk_system.ops->unlink(d, path);
}

static int mortal_sync_dir(struct disk *d, const char *path)
{
    age(d);
    return disk_system.ops->sync_dir(d, path);
}

static ssize_t mortal_pwritev(struct disk *d, int fd, const struct iovec *vec, int count,
                              uint64_t at)
{
    age(d);
    return disk_system.ops->pwritev(d, fd, vec, count, at);
}

/* In a process of its own; true when it came to its end. */
static bool compact_for(int operations)
{
    struct mortal m = {.ops = *disk_system.ops, .left = operations};
    struct store_conf conf = conf_of("d");
    char why[512];
    int status;
    pid_t child = fork();

    if (child == 0) {
        m.ops.fdatasync = mortal_sync;
        m.ops.rename = mortal_rename;
        m.ops.unlink = mortal_unlink;
        m.ops.sync_dir = mortal_sync_dir;
        m.ops.pwritev = mortal_pwritev;
        m.disk.ops = &m.ops;
        conf.disk = &m.disk;
        _exit(compact_store(&conf, why, sizeof why) < 0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
    return WIFEXITED(status);
}

static void test_compact_may_be_killed_at_any_moment(void **state)
{
    struct life l;
    int operations = 0;

    scratch_clear();
    life_init(&l, 12);
    live_on(&l, "d", 700);
    while (!compact_for(operations++))
        is_as_lived(&l, "d");
    assert_true(operations > 10);
    is_as_lived(&l, "d");
    assert_false(is_there("d/state.mdb.new"));
    life_fini(&l);
}

/* -- Repair -- */

/* The second file of the log, with more behind it; `damaged` is its name. */
static char damaged[32];

static void make_damaged(void)
{
    struct segment *list;
    char why[512], path[128];

    scratch_clear();
    make_life("d", 4, 900);
    assert_int_equal(segment_list(&list, &disk_system, "d", why, sizeof why), 0);
    assert_true(list->next->next && list->next->next->sequence);
    segment_path(path, sizeof path, "d", list->next->slot);
    snprintf(damaged, sizeof damaged, "%s", strrchr(path, '/') + 1);
    segment_list_free(&list);
    flip(path, SEGMENT_HEAD + 20000);
    run(1, "check d");
}

static void test_repair_asks(void **state)
{
    char copy[64];

    make_damaged();
    run(1, "repair d");
    says(said.err, damaged);
    says(said.err, "is damaged at byte");
    says(said.err, "no terminal to ask on");
    says(said.err, "say --yes");
    says(said.err, "kept  all before that");
    run(1, "check d");
    run(0, "repair d --yes");
    says(said.err, "lost  what stands there and behind it");
    says(said.out, "d is repaired");
    says(said.out, "aside   d/damaged-");
    snprintf(copy, sizeof copy, "ls d/damaged-*-%s >/dev/null", damaged + strlen("log-"));
    assert_int_equal(system(copy), 0);
    run(0, "check d");
    run(0, "repair d");
    says(said.out, "there is nothing to repair");
}

static void test_repair_tells_scripts(void **state)
{
    make_damaged();
    run(0, "repair d -y --json");
    cJSON *o = cJSON_Parse(said.out);
    assert_non_null(o);
    assert_true(cJSON_IsTrue(cJSON_GetObjectItem(o, "repaired")));
    assert_true(number(cJSON_GetObjectItem(o, "lost"), "PUB") > 20);
    assert_true(number(o, "kept_records") > 100);
    assert_true(cJSON_GetArraySize(cJSON_GetObjectItem(o, "aside")) > 1);
    cJSON_Delete(o);
    run(0, "repair d --json");
    says(said.out, "\"repaired\":false");
}

/* On a terminal, where somebody answers; returns the exit status. */
static int repair_answering(const char *answer)
{
    char text[8192] = "";
    size_t len = 0;
    int terminal, status;
    bool answered = false;
    pid_t child = forkpty(&terminal, NULL, NULL, NULL);

    if (child == 0) {
        execl(SKEPCTL, SKEPCTL, "store", "repair", "d", (char *)NULL);
        _exit(127);
    }
    assert_true(child > 0);
    for (;;) {
        struct pollfd p = {terminal, POLLIN, 0};
        assert_int_equal(poll(&p, 1, DEADLINE_MS), 1);
        ssize_t n = read(terminal, text + len, sizeof text - 1 - len);
        if (n <= 0)
            break;
        len += (size_t)n;
        if (!answered && strstr(text, "[y/N]")) {
            answered = true;
            assert_true(write(terminal, answer, strlen(answer)) > 0);
        }
    }
    close(terminal);
    assert_true(answered);
    assert_int_equal(waitpid(child, &status, 0), child);
    return WEXITSTATUS(status);
}

static void test_repair_on_a_terminal(void **state)
{
    make_damaged();
    assert_int_equal(repair_answering("\n"), 1);
    assert_int_equal(repair_answering("no\n"), 1);
    run(1, "check d");
    assert_int_equal(repair_answering("y\n"), 0);
    run(0, "check d");
}

/* -- Root -- */

static bool all_belong_to(const char *dir, unsigned uid)
{
    char command[256];

    snprintf(command, sizeof command, "test -z \"$(find %s ! -uid %u)\"", dir, uid);
    return system(command) == 0;
}

/* What root makes belongs to the user whose store it is, or Skep could not open it. */
static void test_root_works_as_the_owner(void **state)
{
    if (geteuid() != 0)
        skip();
    scratch_clear();
    make_life("d", 3, 500);
    assert_int_equal(system("mkdir data && mv d data/store && rm data/store/state.mdb-lock && "
                            "chown -R 65534:65534 data && chmod 755 ."),
                     0);
    run(0, "check data/store");
    run(0, "stat data/store");
    run(0, "compact data/store");
    run(0, "export data/store file"); /* in a folder that is root's */
    run(0, "import data/new file");
    assert_true(all_belong_to("data", 65534));
    assert_true(all_belong_to("file", 0));
}

static void test_command_line(void **state)
{
    static const char *const commands[] = {"check",  "stat",   "compact", "export",
                                           "import", "repair", "backup"};

    scratch_clear();
    run(0, "--help");
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        run(0, "--help");
        says(said.out, commands[i]);
        run(0, "%s --help", commands[i]);
        says(said.out, "--json");
        run(2, "%s a b c", commands[i]);
        says(said.err, "what is '");
        run(2, "%s --colour", commands[i]);
    }
    run(2, "chekc d");
    says(said.err, "did you mean check?");
    run(2, "dance");
    says(said.err, "there is no command 'dance'");
    run(2, "import d");
    says(said.err, "and FILE");
    run(2, "backup");
    says(said.err, "give DIR");
    run(3, "backup b --socket nothing");
    says(said.err, "while no Skep is running, a copy of the store's folder is a backup");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_check),
        cmocka_unit_test(test_damaged_tables_need_a_backup),
        cmocka_unit_test(test_check_sees_what_cannot_be_loaded),
        cmocka_unit_test(test_no_store),
        cmocka_unit_test(test_a_store_in_use_is_left_alone),
        cmocka_unit_test(test_stat_counts),
        cmocka_unit_test(test_stat_shows_the_ten_longest),
        cmocka_unit_test(test_compact_gives_space_back),
        cmocka_unit_test(test_compact_may_be_killed_at_any_moment),
        cmocka_unit_test(test_repair_asks),
        cmocka_unit_test(test_repair_tells_scripts),
        cmocka_unit_test(test_repair_on_a_terminal),
        cmocka_unit_test(test_root_works_as_the_owner),
        cmocka_unit_test(test_command_line),
    };
    log_level_set(LOG_LEVEL_ERROR + 1);
    return cmocka_run_group_tests(tests, in_scratch, out_of_scratch);
}
