#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cjson/cJSON.h>
#include <cmocka.h>

#include "base/err.h"
#include "base/log.h"
#include "base/log_line.h"

/* Lines seen by the capture, one after the other. */
static char seen[65536];
static int count;
static enum log_level last_level;

static void capture(enum log_level level, struct str line, void *arg)
{
    snprintf(seen, sizeof seen, "%.*s", STR_ARG(line));
    last_level = level;
    count++;
}

static int start(void **state)
{
    count = 0;
    seen[0] = '\0';
    log_capture(capture, NULL);
    log_level_set(LOG_LEVEL_INFO);
    return 0;
}

static int stop(void **state)
{
    log_capture(NULL, NULL);
    return 0;
}

static int evaluated(void)
{
    static int n;
    return ++n;
}

static void levels_below_the_threshold_cost_nothing(void **state)
{
    int before = evaluated();

    log_debug("t", "%d", evaluated());
    assert_int_equal(count, 0);
    assert_int_equal(evaluated(), before + 1); /* the argument was not evaluated */
    log_info("t", "a");
    log_warn("t", "b");
    log_error("t", "c");
    assert_int_equal(count, 3);
    assert_int_equal(last_level, LOG_LEVEL_ERROR);
    log_level_set(LOG_LEVEL_ERROR);
    log_warn("t", "d");
    assert_int_equal(count, 3);
}

static void a_text_line_has_time_level_area_and_fields(void **state)
{
    log_kv(LOG_LEVEL_WARN, "front", "client refused", LOG_TEXT("client", "a b"),
           LOG_UINT("port", 1883), LOG_INT("code", -1), LOG_BOOL("tls", true),
           LOG_TEXT("plain", "x"));
    assert_int_equal(seen[4], '-');
    assert_int_equal(seen[23], 'Z');
    assert_string_equal(seen + 24, " warn  front: client refused client=\"a b\" port=1883 "
                                   "code=-1 tls=true plain=x");
}

static void what_a_peer_sends_cannot_forge_or_hide_a_line(void **state)
{
    log_info("t", "id %s", "a\nerror t: forged\x1b[2J\r\x7f");
    assert_non_null(strstr(seen, "id a\\nerror t: forged\\u001b[2J\\r\\u007f"));
    log_info("t", "id %s", "\xff\xc0\x80 \xe2\x80\xae \xc2\x9b \xed\xa0\x80 \xc3\xa9");
    assert_non_null(strstr(seen, "id \\xff\\xc0\\x80 \\u202e \\u009b \\xed\\xa0\\x80 \xc3\xa9"));
    log_kv(LOG_LEVEL_INFO, "t", "m", LOG_STR("k", ((struct str){"a\" b=\\\0c", 8})));
    assert_non_null(strstr(seen, "k=\"a\\\" b=\\\\\\u0000c\""));
}

static void every_line_is_bounded(void **state)
{
    char *huge = malloc(100001);

    memset(huge, 'x', 100000);
    huge[100000] = '\0';
    log_info("t", "%s", huge);
    assert_true(strlen(seen) < LOG_LINE_MAX);
    assert_string_equal(seen + strlen(seen) - 3, "...");
    log_kv(LOG_LEVEL_INFO, "t", "m", LOG_TEXT("a", huge), LOG_TEXT("b", huge), LOG_TEXT("c", huge),
           LOG_TEXT("d", huge), LOG_TEXT("e", huge));
    assert_true(strlen(seen) < LOG_LINE_MAX);
    assert_non_null(strstr(seen, "truncated=true"));
    free(huge);
}

static void render_json(struct log_line *line, struct str message, struct str value)
{
    struct log_field fields[] = {LOG_STR("client", value), LOG_STR("b", value), LOG_STR("c", value),
                                 LOG_STR("d", value), LOG_UINT("n", 7)};
    struct log_record r = {.level = LOG_LEVEL_INFO,
                           .wall_ms = 1700000000123,
                           .area = "t",
                           .message = message,
                           .fields = fields,
                           .field_count = 5,
                           .suppressed = 3};
    log_line_json(line, &r);
}

static void json_lines_parse_whatever_is_in_them(void **state)
{
    char bytes[4096];
    struct log_line line;

    for (int fill = 0; fill < 256; fill++) {
        memset(bytes, fill, sizeof bytes);
        for (size_t len = 0; len < sizeof bytes; len = len * 2 + 1) {
            render_json(&line, (struct str){bytes, len}, (struct str){bytes, len});
            cJSON *o = cJSON_ParseWithLength(line.text, line.len);
            assert_non_null(o);
            assert_string_equal(cJSON_GetObjectItem(o, "level")->valuestring, "info");
            assert_string_equal(cJSON_GetObjectItem(o, "time")->valuestring,
                                "2023-11-14T22:13:20.123Z");
            assert_int_equal(line.text[line.len - 1], '\n');
            assert_int_equal(memchr(line.text, '\n', line.len - 1) == NULL, 1);
            cJSON_Delete(o);
        }
    }
    render_json(&line, STR("he said \"x\""), STR("a"));
    cJSON *o = cJSON_ParseWithLength(line.text, line.len);
    assert_string_equal(cJSON_GetObjectItem(o, "message")->valuestring, "he said \"x\"");
    assert_int_equal(cJSON_GetObjectItem(o, "n")->valueint, 7);
    assert_int_equal(cJSON_GetObjectItem(o, "suppressed")->valueint, 3);
    cJSON_Delete(o);
}

static void journal_fields_stay_on_their_line(void **state)
{
    struct log_field f = LOG_TEXT("client_id", "a\nPRIORITY=0");
    struct log_record r = {.level = LOG_LEVEL_ERROR,
                           .area = "t",
                           .message = STR("x\ny"),
                           .fields = &f,
                           .field_count = 1};
    struct log_line line;

    log_line_journal(&line, &r);
    line.text[line.len] = '\0';
    assert_string_equal(
        line.text,
        "PRIORITY=3\nSYSLOG_IDENTIFIER=skep\nSKEP_AREA=t\n"
        "MESSAGE=t: x\\ny client_id=\"a\\nPRIORITY=0\"\nSKEP_CLIENT_ID=a\\nPRIORITY=0\n");
}

static void flood(int lines)
{
    for (int i = 0; i < lines; i++)
        log_limited(LOG_LEVEL_INFO, "t", "line %d", i);
}

static void a_call_site_is_limited_and_says_what_it_kept_back(void **state)
{
    flood(1000);
    assert_int_equal(count, LOG_LIMIT_LINES);
    /* Another site has its own account. */
    log_kv_limited(LOG_LEVEL_INFO, "t", "other", LOG_UINT("x", 1));
    assert_int_equal(count, LOG_LIMIT_LINES + 1);
    assert_null(strstr(seen, "suppressed"));
}

static void the_next_window_reports_suppressed_lines(void **state)
{
    static struct log_limit site, silent; /* sites are never forgotten */

    for (int i = 0; i < LOG_LIMIT_LINES + 5; i++)
        log_write_limited(&site, LOG_LEVEL_INFO, "t", "hello");
    atomic_fetch_sub(&site.window, 1); /* as if the window had passed */
    log_write_limited(&site, LOG_LEVEL_INFO, "t", "hello");
    assert_non_null(strstr(seen, "t: hello suppressed=5"));

    /* A site that falls silent is spoken for by log_tick. */
    for (int i = 0; i < LOG_LIMIT_LINES + 7; i++)
        log_write_limited(&silent, LOG_LEVEL_INFO, "t", "bye");
    atomic_fetch_sub(&silent.window, 1);
    atomic_store(&site.suppressed, 0);
    log_tick();
    assert_non_null(strstr(seen, "suppressed=7 like=bye"));
}

static void *writer(void *arg)
{
    for (int i = 0; i < 500; i++) {
        log_kv(LOG_LEVEL_INFO, "thread", "line", LOG_INT("i", i), LOG_TEXT("who", arg));
        flood(2);
    }
    return NULL;
}

static void read_back(const char *path, char *out, size_t size)
{
    int fd = open(path, O_RDONLY);
    ssize_t n = read(fd, out, size - 1);

    assert_true(n >= 0);
    out[n] = '\0';
    close(fd);
}

static int count_lines(const char *text)
{
    int n = 0;
    for (; (text = strchr(text, '\n')) != NULL; text++)
        n++;
    return n;
}

/* Two threads write while the main thread rotates: no line is lost, torn or mixed. */
static void files_rotate_under_writing_threads(void **state)
{
    static char text[1 << 20];
    char dir[] = "/tmp/skep-log-XXXXXX", path[64], old[64], why[256];
    struct log_conf conf = {LOG_LEVEL_INFO, LOG_FORMAT_TEXT, LOG_TO_FILE, path};
    pthread_t threads[2];
    int lines = 0;

    log_capture(NULL, NULL);
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/log", dir);
    assert_int_equal(log_open(&conf, why, sizeof why), 0);
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, writer, i ? "a" : "b");
    for (int i = 0; i < 5; i++) {
        snprintf(old, sizeof old, "%s/log.%d", dir, i);
        assert_int_equal(rename(path, old), 0);
        assert_int_equal(log_reopen(why, sizeof why), 0);
    }
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    for (int i = -1; i < 5; i++) {
        snprintf(old, sizeof old, i < 0 ? "%s/log" : "%s/log.%d", dir, i);
        read_back(old, text, sizeof text);
        for (const char *p = text; *p; p = strchr(p, '\n') + 1)
            if (strstr(p, " info  thread: line i=") == p + 24)
                lines++;
        unlink(old);
    }
    rmdir(dir);
    assert_int_equal(lines, 1000);
}

static void a_destination_that_cannot_be_opened_keeps_the_old(void **state)
{
    char path[] = "/tmp/skep-log-XXXXXX", text[512], why[256] = "";
    struct log_conf good = {LOG_LEVEL_INFO, LOG_FORMAT_JSON, LOG_TO_FILE, path};
    struct log_conf bad = {LOG_LEVEL_DEBUG, LOG_FORMAT_TEXT, LOG_TO_FILE, "/nonexistent/log"};

    log_capture(NULL, NULL);
    close(mkstemp(path));
    assert_int_equal(log_open(&good, why, sizeof why), 0);
    assert_int_equal(log_open(&bad, why, sizeof why), ERR_SYSTEM);
    assert_non_null(strstr(why, "/nonexistent/log"));
    assert_int_equal(log_level_get(), LOG_LEVEL_INFO);
    log_info("t", "still here");
    read_back(path, text, sizeof text);
    assert_int_equal(count_lines(text), 1);
    assert_non_null(strstr(text, "\"message\":\"still here\""));
    unlink(path);
}

/* A full pipe must not stop the caller; the loss is counted and told. */
static void a_reader_that_stopped_does_not_block(void **state)
{
    int fds[2], saved = dup(STDERR_FILENO);
    struct log_conf conf = {LOG_LEVEL_INFO, LOG_FORMAT_TEXT, LOG_TO_STDERR, NULL};
    char why[256], *drained = malloc(1 << 20);

    log_capture(NULL, NULL);
    assert_int_equal(pipe(fds), 0);
    fcntl(fds[0], F_SETFL, O_NONBLOCK);
    dup2(fds[1], STDERR_FILENO);
    assert_int_equal(log_open(&conf, why, sizeof why), 0);
    for (int i = 0; i < 5000; i++)
        log_info("t", "a line of some length, to fill the pipe sooner than later %d", i);
    while (read(fds[0], drained, 1 << 20) > 0)
        ;
    log_tick();
    ssize_t n = read(fds[0], drained, (1 << 20) - 1);
    dup2(saved, STDERR_FILENO);
    log_open(&conf, why, sizeof why);
    assert_true(n > 0);
    drained[n] = '\0';
    assert_non_null(strstr(drained, "lines were lost"));
    free(drained);
    close(saved);
    close(fds[0]);
    close(fds[1]);
}

/* Under systemd the priority goes in front of each line and the journal adds the time. */
static void lines_for_the_journal_carry_their_priority(void **state)
{
    struct log_conf conf = {LOG_LEVEL_INFO, LOG_FORMAT_TEXT, LOG_TO_STDERR, NULL};
    char why[256], name[64], text[256] = "";
    int fds[2], saved = dup(STDERR_FILENO);
    struct stat st;

    log_capture(NULL, NULL);
    assert_int_equal(pipe(fds), 0);
    dup2(fds[1], STDERR_FILENO);
    fstat(STDERR_FILENO, &st);
    snprintf(name, sizeof name, "%llu:%llu", (unsigned long long)st.st_dev,
             (unsigned long long)st.st_ino);
    setenv("JOURNAL_STREAM", name, 1);
    assert_int_equal(log_open(&conf, why, sizeof why), 0);
    log_error("t", "bad");
    log_info("t", "fine");
    ssize_t n = read(fds[0], text, sizeof text - 1);
    unsetenv("JOURNAL_STREAM");
    dup2(saved, STDERR_FILENO);
    log_open(&conf, why, sizeof why);
    assert_true(n > 0);
    assert_string_equal(text, "<3>t: bad\n<6>t: fine\n");
    close(saved);
    close(fds[0]);
    close(fds[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(levels_below_the_threshold_cost_nothing, start, stop),
        cmocka_unit_test_setup_teardown(a_text_line_has_time_level_area_and_fields, start, stop),
        cmocka_unit_test_setup_teardown(what_a_peer_sends_cannot_forge_or_hide_a_line, start, stop),
        cmocka_unit_test_setup_teardown(every_line_is_bounded, start, stop),
        cmocka_unit_test_setup_teardown(json_lines_parse_whatever_is_in_them, start, stop),
        cmocka_unit_test_setup_teardown(journal_fields_stay_on_their_line, start, stop),
        cmocka_unit_test_setup_teardown(a_call_site_is_limited_and_says_what_it_kept_back, start,
                                        stop),
        cmocka_unit_test_setup_teardown(the_next_window_reports_suppressed_lines, start, stop),
        cmocka_unit_test_setup_teardown(files_rotate_under_writing_threads, start, stop),
        cmocka_unit_test_setup_teardown(a_destination_that_cannot_be_opened_keeps_the_old, start,
                                        stop),
        cmocka_unit_test_setup_teardown(lines_for_the_journal_carry_their_priority, start, stop),
        cmocka_unit_test_setup_teardown(a_reader_that_stopped_does_not_block, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
