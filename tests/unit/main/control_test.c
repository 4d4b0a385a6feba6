#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "main/control.h"

static char dir[64], path[96], why[256];
static struct control *control;
static uint64_t ticket;

static void answer(void *arg, const char *cmd, const cJSON *request, cJSON *out)
{
    if (strcmp(cmd, "later") == 0) {
        ticket = control_later(control);
    } else if (strcmp(cmd, "fail") == 0) {
        control_refuse(out, "no");
    } else if (strcmp(cmd, "long") == 0) {
        char *text = calloc(1, 1 << 20);
        memset(text, 'x', (1 << 20) - 1);
        cJSON_AddStringToObject(out, "text", text);
        free(text);
    } else {
        cJSON_AddStringToObject(out, "echo", cmd);
    }
}

static int start(void **state)
{
    snprintf(dir, sizeof dir, "/tmp/skep-control-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/s", dir);
    return control_open(&control, path, 0600, (uid_t)-1, (gid_t)-1, answer, NULL, why, sizeof why);
}

static int stop(void **state)
{
    control_close(&control);
    unlink(path);
    return rmdir(dir);
}

/* One turn as the main thread takes it. */
static void turn(uint64_t now)
{
    struct pollfd fds[CONTROL_CLIENTS + 1];
    size_t n = control_poll(control, fds);

    poll(fds, n, 20);
    control_serve(control, fds, n, now);
}

static int dial(void)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    snprintf(addr.sun_path, sizeof addr.sun_path, "%s", path);
    if (connect(fd, (struct sockaddr *)&addr, sizeof addr) < 0) {
        close(fd);
        return -1;
    }
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* What comes until the end of a line, turning meanwhile; "" when the other side closed. */
static const char *hear(int fd)
{
    static char line[2 << 20];
    uint64_t deadline = clock_mono_ms() + 5000;
    size_t len = 0;

    while (clock_mono_ms() < deadline) {
        ssize_t n = recv(fd, line + len, sizeof line - 1 - len, 0);
        if (n == 0 || (n < 0 && errno == ECONNRESET))
            return "";
        if (n > 0)
            len += (size_t)n;
        line[len] = '\0';
        if (len && line[len - 1] == '\n')
            return line;
        turn(clock_mono_ms());
    }
    fail_msg("nothing heard");
    return NULL;
}

static void the_file_has_the_mode_asked_for(void **state)
{
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void requests_are_answered_in_order(void **state)
{
    int fd = dial();

    say(fd, "{\"cmd\":\"a\"}\n");
    assert_string_equal(hear(fd), "{\"echo\":\"a\",\"ok\":true}\n");
    say(fd, "{\"cmd\":\"fail\"}\n");
    assert_string_equal(hear(fd), "{\"ok\":false,\"error\":\"no\"}\n");
    say(fd, "{\"cm");
    turn(clock_mono_ms());
    say(fd, "d\":\"b\"}\n{\"cmd\":\"c\"}\n");
    assert_string_equal(hear(fd), "{\"echo\":\"b\",\"ok\":true}\n{\"echo\":\"c\",\"ok\":true}\n");
    close(fd);
}

static void nonsense_is_refused_in_words(void **state)
{
    static const char *const lines[] = {
        "\n", "x\n", "[]\n", "{\"cmd\":1}\n", "{\"cmd\":null}\n", "{\n", "\"cmd\"\n"};
    int fd = dial();

    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        say(fd, lines[i]);
        assert_non_null(strstr(hear(fd), "\"ok\":false"));
    }
    close(fd);
}

static void a_line_without_end_is_cut(void **state)
{
    char huge[CONTROL_LINE + 1];
    int fd = dial();

    memset(huge, 'x', sizeof huge);
    huge[CONTROL_LINE] = '\0';
    turn(clock_mono_ms());
    say(fd, huge);
    assert_string_equal(hear(fd), "");
    close(fd);
}

static void give(uint64_t which, const char *text)
{
    cJSON *late = cJSON_CreateObject();

    cJSON_AddStringToObject(late, "late", text);
    control_finish(control, which, late);
    cJSON_Delete(late);
}

/* Its caller waits, what it sent behind is answered in its turn, and others are served. */
static void an_answer_may_come_later(void **state)
{
    int waiting = dial(), other = dial();
    uint64_t first;

    say(waiting, "{\"cmd\":\"later\"}\n{\"cmd\":\"b\"}\n");
    say(other, "{\"cmd\":\"a\"}\n");
    assert_string_equal(hear(other), "{\"echo\":\"a\",\"ok\":true}\n");
    turn(clock_mono_ms() + CONTROL_IDLE_MS + 1); /* who waits is not idle; the other one is */
    assert_string_equal(hear(other), "");
    assert_int_equal(recv(waiting, why, 1, 0), -1);
    first = ticket;
    assert_true(first > 0);
    give(first, "x");
    give(first, "twice");
    assert_string_equal(hear(waiting),
                        "{\"late\":\"x\",\"ok\":true}\n{\"echo\":\"b\",\"ok\":true}\n");
    close(waiting);
    close(other);
}

static void an_answer_for_a_caller_who_left_is_dropped(void **state)
{
    int gone = dial(), next;

    ticket = 0;
    say(gone, "{\"cmd\":\"later\"}\n");
    while (ticket == 0)
        turn(clock_mono_ms());
    close(gone);
    turn(clock_mono_ms());
    next = dial(); /* perhaps in the same place */
    say(next, "{\"cmd\":\"a\"}\n");
    assert_string_equal(hear(next), "{\"echo\":\"a\",\"ok\":true}\n");
    give(ticket, "x");
    say(next, "{\"cmd\":\"b\"}\n");
    assert_string_equal(hear(next), "{\"echo\":\"b\",\"ok\":true}\n");
    close(next);
}

/* Reads until so many lines have come, or 20 s. */
static int drain(int fd, int wanted)
{
    static char bytes[65536];
    uint64_t deadline = clock_mono_ms() + 20000;
    int lines = 0;

    while (lines < wanted && clock_mono_ms() < deadline) {
        ssize_t n = recv(fd, bytes, sizeof bytes, 0);
        for (ssize_t i = 0; i < n; i++)
            lines += bytes[i] == '\n';
        if (n < 0)
            turn(clock_mono_ms());
    }
    return lines;
}

/* A caller that does not read its answers costs one answer, and nobody waits for it. */
static void who_does_not_read_does_not_stop_the_others(void **state)
{
    int lazy = dial(), other = dial();

    for (int i = 0; i < 50; i++)
        say(lazy, "{\"cmd\":\"long\"}\n");
    for (int i = 0; i < 10; i++)
        turn(clock_mono_ms());
    say(other, "{\"cmd\":\"a\"}\n");
    assert_string_equal(hear(other), "{\"echo\":\"a\",\"ok\":true}\n");
    assert_int_equal(drain(lazy, 50), 50); /* and the lazy one gets all, once it reads */
    close(lazy);
    close(other);
}

static void callers_are_bounded_and_idle_ones_leave(void **state)
{
    int fds[CONTROL_CLIENTS], late;

    for (int i = 0; i < CONTROL_CLIENTS; i++)
        assert_true((fds[i] = dial()) >= 0);
    for (int i = 0; i < CONTROL_CLIENTS; i++)
        turn(clock_mono_ms());
    late = dial();
    say(late, "{\"cmd\":\"late\"}\n");
    turn(clock_mono_ms());
    turn(clock_mono_ms() + CONTROL_IDLE_MS + 1);
    assert_string_equal(hear(late), "{\"echo\":\"late\",\"ok\":true}\n");
    for (int i = 0; i < CONTROL_CLIENTS; i++) {
        assert_string_equal(hear(fds[i]), "");
        close(fds[i]);
    }
    close(late);
}

static void a_stale_socket_is_replaced_and_a_live_one_is_not(void **state)
{
    struct control *second = NULL;
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    char stale[96];
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    assert_true(
        control_open(&second, path, 0600, (uid_t)-1, (gid_t)-1, answer, NULL, why, sizeof why) < 0);
    assert_non_null(strstr(why, "Address already in use"));

    snprintf(stale, sizeof stale, "%s/t", dir);
    snprintf(addr.sun_path, sizeof addr.sun_path, "%s", stale);
    assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof addr), 0);
    close(fd);
    assert_int_equal(
        control_open(&second, stale, 0660, (uid_t)-1, (gid_t)-1, answer, NULL, why, sizeof why), 0);
    control_close(&second);
    assert_int_equal(access(stale, F_OK), -1);

    /* What is no socket is never removed. */
    close(open(stale, O_CREAT | O_WRONLY, 0600));
    assert_true(control_open(&second, stale, 0600, (uid_t)-1, (gid_t)-1, answer, NULL, why,
                             sizeof why) < 0);
    assert_int_equal(unlink(stale), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_file_has_the_mode_asked_for, start, stop),
        cmocka_unit_test_setup_teardown(requests_are_answered_in_order, start, stop),
        cmocka_unit_test_setup_teardown(nonsense_is_refused_in_words, start, stop),
        cmocka_unit_test_setup_teardown(a_line_without_end_is_cut, start, stop),
        cmocka_unit_test_setup_teardown(an_answer_may_come_later, start, stop),
        cmocka_unit_test_setup_teardown(an_answer_for_a_caller_who_left_is_dropped, start, stop),
        cmocka_unit_test_setup_teardown(who_does_not_read_does_not_stop_the_others, start, stop),
        cmocka_unit_test_setup_teardown(callers_are_bounded_and_idle_ones_leave, start, stop),
        cmocka_unit_test_setup_teardown(a_stale_socket_is_replaced_and_a_live_one_is_not, start,
                                        stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
