/* skepctl store, as an operator calls it, on stores that the library made. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../store/model.h"
#include "base/err.h"
#include "base/log.h"
#include "ctl/bytes.h"
#include "ctl/compact.h"
#include "store/check.h"

enum { DEADLINE_MS = 30000 };

static char scratch[64]; /* a folder of our own, and where we are */

/* -- Running it -- */

static struct {
    char *out, *err; /* what the last one printed */
} said;

static char *slurp(const char *path)
{
    struct bytes b = {0};
    FILE *f = fopen(path, "r");

    assert_non_null(f);
    assert_int_equal(bytes_read(&b, f, 1 << 30), 0);
    bytes_add(&b, "", 1);
    fclose(f);
    return (char *)b.ptr;
}

static void spill(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

/* Runs "skepctl store WORDS" in a shell; fails the test unless it ends with `status`. */
__attribute__((format(printf, 2, 3))) static void run(int status, const char *format, ...)
{
    char words[512], command[2048];
    va_list args;

    va_start(args, format);
    vsnprintf(words, sizeof words, format, args);
    va_end(args);
    if (!strstr(words, " <"))
        strcat(words, " </dev/null");
    snprintf(command, sizeof command, "%s store %s >out 2>err", SKEPCTL, words);
    int result = system(command);
    free(said.out);
    free(said.err);
    said.out = slurp("out");
    said.err = slurp("err");
    if (!WIFEXITED(result) || WEXITSTATUS(result) != status)
        fail_msg("'%s' ended with %d instead of %d:\n%s%s", words, WEXITSTATUS(result), status,
                 said.out, said.err);
}

static void says(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("expected '%s' in:\n%s", part, text);
}

static bool is_there(const char *path)
{
    return access(path, F_OK) == 0;
}

static void scratch_clear(void)
{
    assert_int_equal(system("rm -rf ./*"), 0);
}

/* -- Stores -- */

static uint64_t segment_bytes = WAL_SEGMENT_LEAST;

static struct store_conf conf_of(const char *dir)
{
    return (struct store_conf){
        .dir = dir, .segment_bytes = WAL_SEGMENT_LEAST, .checkpoint_bytes = 64 << 20};
}

static struct store *must_open(const char *dir)
{
    struct store_conf conf = conf_of(dir);
    struct store *s;
    char why[512] = "";

    if (store_open(&s, &conf, why, sizeof why) < 0)
        fail_msg("%s", why);
    return s;
}

static void live_on(struct life *l, const char *dir, unsigned steps)
{
    l->store = must_open(dir);
    for (unsigned i = 0; i < steps; i++)
        life_step(l);
    for (unsigned i = 0; i < M_WORKERS; i++)
        life_submit(l, i);
    assert_int_equal(store_close(&l->store), 0);
}

static void make_life(const char *dir, uint64_t seed, unsigned steps)
{
    struct life l;

    life_init(&l, seed);
    live_on(&l, dir, steps);
    life_fini(&l);
}

static void is_as_lived(const struct life *l, const char *dir)
{
    struct store *s = must_open(dir);
    struct m_text wanted = {0}, found = {0};
    struct loader loader = m_loader(&found);
    char why[512];

    m_print(&found, " ");
    life_expect(l, UINT64_MAX, SIZE_MAX, &wanted);
    assert_int_equal(store_load(s, &loader, why, sizeof why), 0);
    if (strcmp(wanted.bytes, found.bytes) != 0) {
        size_t i = 0;
        while (wanted.bytes[i] == found.bytes[i])
            i++;
        fail_msg("expected ...%.200s\nfound ...%.200s", wanted.bytes + i, found.bytes + i);
    }
    store_close(&s);
    free(wanted.bytes);
    free(found.bytes);
}

/* A store with one of everything, and bytes that JSON has no words for. */
static void make_small(const char *dir)
{
    struct store *s = must_open(dir);
    struct batch b = {0};
    struct record_message m = {.topic = STR("a/\"b\""),
                               .payload = STR("21.5\n"),
                               .props = STR("\x01\x01"),
                               .expires_ms = 1800000000000,
                               .publisher = 1,
                               .qos = 1,
                               .retain = true};
    struct record_message odd = {.topic = STR("bin"), .payload = STR("\0\xff"), .qos = 2};
    struct record_will will = {.number = 2, .delay = 5, .expiry = UINT32_MAX, .message = odd};

    batch_session(&b, &(struct record_session){.number = store_number(s),
                                               .client_id = STR("one"),
                                               .username = STR(""),
                                               .has_username = true,
                                               .expiry = UINT32_MAX,
                                               .version = 5});
    batch_session(&b, &(struct record_session){.number = store_number(s),
                                               .client_id = STR("t\x01wo"),
                                               .expiry = 60,
                                               .version = 4});
    batch_sub(&b, &(struct record_sub){1, STR("a/+"), 7, 1, 2});
    batch_sub(&b, &(struct record_sub){2, STR("$share/g/#"), 0, 2, 0});
    batch_received(&b, 1, 9, false);
    batch_pub_begin(&b, &m, RECORD_KEEP, 0, 0);
    batch_pub_target(&b, &(struct record_target){1, 0, 7, 0, 1, true});
    batch_pub_target(&b, &(struct record_target){2, 0, 0, 0, 1, false});
    batch_pub_end(&b);
    batch_pub_begin(&b, &odd, 0, 0, 0);
    batch_pub_target(&b, &(struct record_target){2, 1, 0, 3, 2, false});
    batch_pub_end(&b);
    batch_pub_begin(&b, &odd, 0, 0, 0);
    batch_pub_target(&b, &(struct record_target){1, 1, 0, 0, 2, false});
    batch_pub_end(&b);
    batch_release(&b, 1, 1);
    batch_will(&b, &will);
    batch_away(&b, &(struct record_away){2, 1800000000001, 1700000000000});
    batch_away(&b, &(struct record_away){1, UINT64_MAX, 0});
    store_wait(s, store_submit(s, 0, &b));
    batch_fini(&b);
    assert_int_equal(store_close(&s), 0);
}

/* The place of the shared message is where the log had it. */
static const char small_lines[] =
    "{\"format\":\"skep-store\",\"version\":1,\"meta\":{\"last_number\":2}}\n"
    "{\"type\":\"message\",\"id\":%llu,\"topic\":\"a/\\\"b\\\"\",\"qos\":1,\"retain\":true,"
    "\"expires_ms\":1800000000000,\"publisher\":1,\"payload\":\"21.5\\n\","
    "\"props_base64\":\"AQE=\"}\n"
    "{\"type\":\"session\",\"number\":1,\"client_id\":\"one\",\"username\":\"\",\"version\":5,"
    "\"expiry\":4294967295,\"next\":2,\"away\":true}\n"
    "{\"type\":\"subscription\",\"session\":1,\"filter\":\"a/+\",\"options\":1,"
    "\"retain_handling\":2,\"id\":7}\n"
    "{\"type\":\"received\",\"session\":1,\"packet_id\":9}\n"
    "{\"type\":\"queued\",\"session\":1,\"counter\":0,\"granted\":1,\"as_retained\":true,"
    "\"id\":7,\"message\":%llu}\n"
    "{\"type\":\"queued\",\"session\":1,\"counter\":1,\"granted\":2,\"released\":true}\n"
    "{\"type\":\"session\",\"number\":2,\"client_id_base64\":\"dAF3bw==\",\"version\":4,"
    "\"expiry\":60,\"next\":2,\"away\":true,\"ends_ms\":1800000000001,\"will_ms\":1700000000000,"
    "\"will\":{\"delay\":5,\"topic\":\"bin\",\"qos\":2,\"payload_base64\":\"AP8=\"}}\n"
    "{\"type\":\"subscription\",\"session\":2,\"filter\":\"$share/g/#\",\"options\":2}\n"
    "{\"type\":\"queued\",\"session\":2,\"counter\":0,\"granted\":1,\"message\":%llu}\n"
    "{\"type\":\"queued\",\"session\":2,\"counter\":1,\"granted\":2,\"share\":3,"
    "\"topic\":\"bin\",\"qos\":2,\"payload_base64\":\"AP8=\"}\n"
    "{\"type\":\"retained\",\"topic\":\"a/\\\"b\\\"\",\"qos\":1,\"retain\":true,"
    "\"expires_ms\":1800000000000,\"publisher\":1,\"payload\":\"21.5\\n\","
    "\"props_base64\":\"AQE=\"}\n"
    "{\"type\":\"end\",\"messages\":1,\"sessions\":2,\"subscriptions\":2,\"received\":1,"
    "\"queued\":4,\"retained\":1}\n";

/* -- Export and import -- */

static void test_export_is_this_text(void **state)
{
    char wanted[4096];
    unsigned long long id;

    scratch_clear();
    make_small("d");
    run(0, "export d");
    const char *at = strstr(said.out, "\"id\":");
    assert_non_null(at);
    id = strtoull(at + 5, NULL, 10);
    snprintf(wanted, sizeof wanted, small_lines, id, id, id);
    assert_string_equal(said.out, wanted);
    assert_string_equal(said.err, "");
}

static void test_import_brings_all_of_it_back(void **state)
{
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct life l;

        scratch_clear();
        life_init(&l, seed);
        live_on(&l, "d", 400 + (unsigned)seed * 100);
        is_as_lived(&l, "d");
        run(0, "export d one");
        says(said.out, "queued");
        run(0, "import e one");
        says(said.out, "e holds");
        run(0, "check e --json");
        says(said.out, "\"healthy\"");
        run(0, "export e two");
        assert_int_equal(system("cmp one two"), 0);
        is_as_lived(&l, "e");
        /* and life goes on in the copy: what it shares, numbers and counts must be right */
        live_on(&l, "e", 400);
        is_as_lived(&l, "e");
        life_fini(&l);
    }
}

static void test_export_replaces_a_file_in_one_step(void **state)
{
    struct stat st;

    scratch_clear();
    make_small("d");
    spill("file", "what was there before\n");
    run(1, "export nowhere file");
    char *kept = slurp("file");
    assert_string_equal(kept, "what was there before\n");
    free(kept);
    run(0, "export d file");
    assert_int_equal(stat("file", &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_false(is_there("file.new"));
    run(1, "export d no/such/folder/file");
    says(said.err, "cannot write no/such/folder/file");
    run(1, "export d /dev/full");
    says(said.err, "cannot write /dev/full: No space left");
    assert_true(is_there("/dev/full"));
    run(0, "export d - --quiet");
    says(said.out, "\"type\":\"end\"");
}

#define HEAD    "{\"format\":\"skep-store\",\"version\":1}\n"
#define MESSAGE "{\"type\":\"message\",\"id\":8,\"topic\":\"t\",\"payload\":\"x\"}\n"
#define SESSION "{\"type\":\"session\",\"number\":3,\"client_id\":\"c\",\"next\":5}\n"
#define QUEUED  "{\"type\":\"queued\",\"session\":3,\"counter\":2,\"granted\":1,\"topic\":\"t\"}\n"
#define END(m, s, q)                                                                               \
    "{\"type\":\"end\",\"messages\":" m ",\"sessions\":" s                                         \
    ",\"subscriptions\":0,\"received\":0,\"queued\":" q ",\"retained\":0}\n"

static const struct {
    const char *lines, *words;
} refusals[] = {
    {"", "file:1: the last line is missing"},
    {"hello\n", "file:1: it is not a JSON object"},
    {"\n", "file:1: it is empty"},
    {"{}\n", "file:1: this is no line of an exported store"},
    {MESSAGE, "file:1: this is not an exported store"},
    {"{\"format\":\"skep-store\",\"version\":2}\n", "version 2 of the format, this skepctl reads"},
    {"{\"format\":\"skep-store\",\"version\":1,\"meta\":{\"applied\":1}}\n", "not for an import"},
    {"{\"format\":\"skep-store\",\"version\":1,\"meta\":3}\n", "'meta' is not an object"},
    {HEAD HEAD, "file:2: a second first line"},
    {HEAD, "the last line is missing: the file was cut off"},
    {HEAD SESSION, "file:3: the last line is missing: the file was cut off"},
    {HEAD SESSION END("0", "2", "0"), "file:3: the counts are not those of the lines before"},
    {HEAD SESSION QUEUED END("0", "1", "1") "{}\n", "file:5: there is something behind"},
    {HEAD "{\"type\":\"session\",\"number\":3} x\n", "file:2: it is not a JSON object"},
    {HEAD "{\"type\":\"session\"}\n", "'number' is missing"},
    {HEAD "{\"type\":\"session\",\"number\":0}\n", "begin above 0 and rise"},
    {HEAD "{\"type\":\"session\",\"number\":-1}\n", "'number' is not a whole number"},
    {HEAD "{\"type\":\"session\",\"number\":1.5}\n", "'number' is not a whole number"},
    {HEAD "{\"type\":\"session\",\"number\":1e300}\n", "'number' is not a whole number"},
    {HEAD "{\"type\":\"session\",\"number\":\"7x\"}\n", "'number' is not a whole number"},
    {HEAD "{\"type\":\"session\",\"number\":1,\"colour\":2}\n", "'colour' does not belong here"},
    {HEAD "{\"type\":\"session\",\"number\":1,\"number\":2}\n", "'number' does not belong here"},
    {HEAD "{\"type\":\"session\",\"number\":1,\"ends_ms\":2}\n", "'ends_ms' does not belong"},
    {HEAD "{\"type\":\"session\",\"number\":1,\"away\":1}\n", "'away' is neither true nor false"},
    {HEAD "{\"type\":\"session\",\"number\":1,\"version\":6}\n", "whole number up to 5"},
    {HEAD "{\"type\":\"session\",\"number\":1,\"will\":{\"topic\":\"#\"}}\n", "wildcard"},
    {HEAD "{\"type\":\"session\",\"number\":1,\"client_id\":\"a\\u0000b\"}\n", "a NUL in it"},
    {HEAD "{\"type\":\"session\",\"number\":1,\"client_id\":\"a\xff\"}\n", "is not UTF-8 text"},
    {HEAD "{\"type\":\"session\",\"number\":1,\"client_id\":[]}\n", "is not UTF-8 text"},
    {HEAD SESSION SESSION, "file:3: the numbers of sessions begin above 0 and rise"},
    {HEAD SESSION MESSAGE, "file:3: shared messages come before sessions"},
    {HEAD MESSAGE MESSAGE, "the ids of messages begin above 0 and rise"},
    {HEAD MESSAGE SESSION END("1", "1", "0"), "file: message 8 is in no queue"},
    {HEAD QUEUED, "file:2: it belongs to session 3, but does not stand behind it"},
    {HEAD SESSION "{\"type\":\"queued\",\"session\":3,\"counter\":2,\"granted\":1,\"message\":8}\n",
     "there is no message 8"},
    {HEAD SESSION "{\"type\":\"queued\",\"session\":3,\"counter\":2,\"topic\":\"t\"}\n",
     "no message is queued at QoS 0"},
    {HEAD SESSION QUEUED QUEUED, "file:4: the counters of a queue rise"},
    {HEAD SESSION "{\"type\":\"queued\",\"session\":3,\"counter\":5,\"released\":true}\n",
     "stay below its session's next one"},
    {HEAD SESSION "{\"type\":\"received\",\"session\":3,\"packet_id\":0}\n", "no packet id 0"},
    {HEAD SESSION "{\"type\":\"received\",\"session\":3,\"packet_id\":65536}\n", "up to 65535"},
    {HEAD SESSION "{\"type\":\"received\",\"session\":3,\"packet_id\":1}\n"
                  "{\"type\":\"received\",\"session\":3,\"packet_id\":1}\n",
     "file:4: the packet id is there twice"},
    {HEAD SESSION "{\"type\":\"subscription\",\"session\":3,\"filter\":\"a/#/b\"}\n", "file:3: "},
    {HEAD SESSION "{\"type\":\"subscription\",\"session\":3,\"filter\":\"a\"}\n"
                  "{\"type\":\"subscription\",\"session\":3,\"filter\":\"a\"}\n",
     "the subscription is there twice"},
    {HEAD "{\"type\":\"retained\",\"topic\":\"a/+\",\"payload\":\"x\"}\n", "wildcard"},
    {HEAD "{\"type\":\"retained\",\"topic\":\"a\"}\n", "a retained message is not empty"},
    {HEAD "{\"type\":\"retained\",\"topic\":\"a\",\"payload_base64\":\"eA=\"}\n", "not base64"},
    {HEAD "{\"type\":\"retained\",\"topic\":\"a\",\"payload_base64\":\"eB==\"}\n", "not base64"},
    {HEAD "{\"type\":\"retained\",\"topic\":\"a\",\"payload\":\"x\",\"payload_base64\":\"eA==\"}\n",
     "give either 'payload' or 'payload_base64'"},
    {HEAD "{\"type\":\"retained\",\"topic\":\"a\",\"payload\":\"x\",\"props_base64\":\"AQc=\"}\n",
     "no properties that a message has"},
    {HEAD "{\"type\":\"retained\",\"topic\":\"a\",\"payload\":\"x\"}\n"
          "{\"type\":\"retained\",\"topic\":\"a\",\"payload\":\"y\"}\n",
     "file:3: the retained message is there twice"},
    {HEAD "{\"type\":\"retained\",\"topic\":\"a\",\"payload\":\"x\"}\n" SESSION,
     "sessions come before retained messages"},
    {HEAD "{\"type\":\"mystery\"}\n", "there are no lines of type 'mystery'"},
    {HEAD "{\"type\":7}\n", "'type' is not a string"},
};

static void test_import_refuses(void **state)
{
    scratch_clear();
    for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
        spill("file", refusals[i].lines);
        run(1, "import d file");
        says(said.err, refusals[i].words);
        says(said.err, "nothing was imported");
        if (is_there("d") || is_there("d.importing"))
            fail_msg("something is left of:\n%s", refusals[i].lines);
    }
}

/* An export that was cut off anywhere is known as such. */
static void test_import_knows_a_truncated_file(void **state)
{
    scratch_clear();
    make_small("d");
    run(0, "export d whole");
    char *text = slurp("whole");
    size_t len = strlen(text);
    for (size_t cut = 0; cut < len - 1; cut += 1 + cut % 97) {
        char *part = str_dup((struct str){text, cut});
        spill("part", part);
        free(part);
        run(1, "import e part");
        assert_false(is_there("e"));
    }
    free(text);
}

static void test_import_needs_a_free_place(void **state)
{
    scratch_clear();
    make_small("d");
    run(0, "export d file");
    run(1, "import d file");
    says(said.err, "d is there already, and not empty");
    says(said.err, "move this one away");
    run(1, "import file file");
    says(said.err, "no folder");
    run(1, "import e missing");
    says(said.err, "cannot read missing: No such file");
    run(1, "import no/such/e file");
    says(said.err, "cannot make no/such/e.importing");
    assert_int_equal(mkdir("e", 0700), 0);
    run(0, "import e/ - <file"); /* an empty folder will do, and so will standard input */
    run(0, "check e");
    /* what an import that was killed has left is no obstacle, strange files are */
    assert_int_equal(system("mkdir f.importing && touch f.importing/lock f.importing/state.mdb "
                            "f.importing/state.mdb-lock f.importing/log-00000"),
                     0);
    run(0, "import f file --json");
    says(said.out, "\"lines\":13");
    assert_false(is_there("f.importing"));
    assert_int_equal(system("mkdir g.importing && touch g.importing/letter"), 0);
    run(1, "import g file");
    says(said.err, "g.importing is in the way");
    assert_true(is_there("g.importing/letter"));
}

/* An import that is ended by a signal takes back what it made. */
static void test_import_can_be_interrupted(void **state)
{
    int pipes[2], status, watch = inotify_init1(IN_CLOEXEC);
    char event[4096];

    scratch_clear();
    assert_int_equal(pipe(pipes), 0);
    assert_true(inotify_add_watch(watch, ".", IN_CREATE) >= 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(pipes[0], STDIN_FILENO);
        close(pipes[1]);
        freopen("err", "w", stderr);
        execl(SKEPCTL, SKEPCTL, "store", "import", "d", "-", (char *)NULL);
        _exit(127);
    }
    assert_true(write(pipes[1], HEAD, strlen(HEAD)) > 0);
    while (!is_there("d.importing")) {
        struct pollfd p = {watch, POLLIN, 0};
        assert_int_equal(poll(&p, 1, DEADLINE_MS), 1);
        assert_true(read(watch, event, sizeof event) > 0);
    }
    kill(child, SIGTERM);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    assert_false(is_there("d.importing"));
    assert_false(is_there("d"));
    close(pipes[0]);
    close(pipes[1]);
    close(watch);
    char *err = slurp("err");
    says(err, "interrupted");
    free(err);
}

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
    says(said.out, "sessions             2");
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
    segment_bytes = WAL_SEGMENT_BYTES;
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
    assert_int_equal(system("cmp before after"), 0);
    is_as_lived(&l, "d");
    live_on(&l, "d", 300);
    is_as_lived(&l, "d");
    run(0, "compact d");
    says(said.out, "tables");
    life_fini(&l);
    segment_bytes = WAL_SEGMENT_LEAST;
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
    static const char *const commands[] = {"check",  "stat",   "compact",
                                           "export", "import", "repair"};

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
}

static int in_scratch(void **state)
{
    snprintf(scratch, sizeof scratch, "%s/skep-ctl-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    return mkdtemp(scratch) && chdir(scratch) == 0 ? 0 : -1;
}

static int out_of_scratch(void **state)
{
    char command[128];

    free(said.out);
    free(said.err);
    snprintf(command, sizeof command, "rm -rf '%s'", scratch);
    return chdir("/") == 0 && system(command) == 0 ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_export_is_this_text),
        cmocka_unit_test(test_import_brings_all_of_it_back),
        cmocka_unit_test(test_export_replaces_a_file_in_one_step),
        cmocka_unit_test(test_import_refuses),
        cmocka_unit_test(test_import_knows_a_truncated_file),
        cmocka_unit_test(test_import_needs_a_free_place),
        cmocka_unit_test(test_import_can_be_interrupted),
        cmocka_unit_test(test_check),
        cmocka_unit_test(test_damaged_tables_need_a_backup),
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
