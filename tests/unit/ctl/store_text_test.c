/* skepctl store export and import: the text, the way back, and everything that is refused. */
#include "store_rig.h"

#include <poll.h>
#include <signal.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "base/log.h"

#define HEAD    "{\"format\":\"skep-store\",\"version\":1}\n"
#define MESSAGE "{\"type\":\"message\",\"id\":8,\"topic\":\"t\",\"payload\":\"x\"}\n"
#define SESSION "{\"type\":\"session\",\"number\":3,\"client_id\":\"c\",\"next\":5}\n"
#define QUEUED  "{\"type\":\"queued\",\"session\":3,\"counter\":2,\"granted\":1,\"topic\":\"t\"}\n"
#define END(m, s, q)                                                                               \
    "{\"type\":\"end\",\"messages\":" m ",\"sessions\":" s                                         \
    ",\"subscriptions\":0,\"received\":0,\"queued\":" q ",\"retained\":0}\n"

/* The store's clock is what it was at the end, the place of the shared message where the log
 * had it. */
static const char small_lines[] =
    "{\"format\":\"skep-store\",\"version\":1,\"meta\":{\"last_number\":2,\"store_ms\":%llu,\"wall_"
    "ms\":%llu}}\n"
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
    "\"expiry\":60,\"realm\":77,\"next\":2,\"away\":true,\"ends_ms\":1800000000001,\"will_ms\":"
    "1700000000000,\"sent\":1,"
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

static unsigned long long number_behind(const char *text, const char *name)
{
    const char *at = strstr(text, name);

    assert_non_null(at);
    return strtoull(at + strlen(name), NULL, 10);
}

static void test_export_is_this_text(void **state)
{
    char wanted[4096];

    scratch_clear();
    make_small("d");
    run(0, "export d");
    unsigned long long id = number_behind(said.out, "\"id\":");
    snprintf(wanted, sizeof wanted, small_lines, number_behind(said.out, "\"store_ms\":"),
             number_behind(said.out, "\"wall_ms\":"), id, id, id);
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

static uint64_t mono_5(void)
{
    return 5;
}

static uint64_t wall_2500(void)
{
    return 2500;
}

/* What expires does so after the same time as in the store that was exported. */
static void test_import_keeps_the_clock(void **state)
{
    static const struct store_clock clock = {mono_5, wall_2500};
    struct store_conf conf = conf_of("d");
    struct store *s;
    char why[512];

    scratch_clear();
    spill("file", "{\"format\":\"skep-store\",\"version\":1,\"meta\":"
                  "{\"store_ms\":7000,\"wall_ms\":2000}}\n" END("0", "0", "0"));
    run(0, "import d file");
    conf.clock = &clock;
    assert_int_equal(store_open(&s, &conf, why, sizeof why), 0);
    assert_int_equal(5 + store_clock_offset_ms(s), 7500);
    assert_int_equal(store_close(&s), 0);
}

/* JSON's readers, ours included, hold numbers as doubles. */
static void test_large_numbers_come_through(void **state)
{
    static const char lines[] =
        "{\"format\":\"skep-store\",\"version\":1,\"meta\":"
        "{\"far\":\"18446744073709551615\",\"last_number\":9007199254740992}}\n"
        "{\"type\":\"session\",\"number\":9007199254740992,\"client_id\":\"c\","
        "\"next\":\"9007199254740994\",\"away\":true,\"ends_ms\":\"18446744073709551614\"}\n"
        "{\"type\":\"queued\",\"session\":9007199254740992,\"counter\":\"9007199254740993\","
        "\"granted\":1,\"topic\":\"t\"}\n" END("0", "1", "1");

    scratch_clear();
    spill("file", lines);
    run(0, "import d file");
    run(0, "check d");
    says(said.out, "d is healthy");
    run(0, "export d");
    assert_string_equal(said.out, lines);
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
    {"{\"format\":\"skep-store\",\"version\":1,\"meta\":{\"backup\":1}}\n", "not for an import"},
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_export_is_this_text),
        cmocka_unit_test(test_import_brings_all_of_it_back),
        cmocka_unit_test(test_import_keeps_the_clock),
        cmocka_unit_test(test_large_numbers_come_through),
        cmocka_unit_test(test_export_replaces_a_file_in_one_step),
        cmocka_unit_test(test_import_refuses),
        cmocka_unit_test(test_import_knows_a_truncated_file),
        cmocka_unit_test(test_import_needs_a_free_place),
        cmocka_unit_test(test_import_can_be_interrupted),
    };
    log_level_set(LOG_LEVEL_ERROR + 1);
    return cmocka_run_group_tests(tests, in_scratch, out_of_scratch);
}
