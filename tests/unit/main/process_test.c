#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "main/process.h"
#include "main/settings.h"

static const struct process_user nobody_changes;
static char dir[64], why[512];

static int start(void **state)
{
    snprintf(dir, sizeof dir, "/tmp/skep-process-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static void ignore_line(enum log_level level, struct str line, void *arg)
{
    (*(int *)arg)++;
}

static void a_data_directory_is_private_and_locked(void **state)
{
    char path[96], lock[128];
    int first = -1, second = -1;
    struct stat st;

    snprintf(path, sizeof path, "%s/data", dir);
    assert_int_equal(process_data_dir(path, &nobody_changes, &first, why, sizeof why), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_true(process_data_dir(path, &nobody_changes, &second, why, sizeof why) < 0);
    assert_non_null(strstr(why, "in use by another Skep"));
    close(first);
    assert_int_equal(process_data_dir(path, &nobody_changes, &second, why, sizeof why), 0);
    close(second);
    snprintf(lock, sizeof lock, "%s/lock", path);
    unlink(lock);
    rmdir(path);
    rmdir(dir);
}

static void a_data_directory_that_cannot_be_is_told(void **state)
{
    int fd;

    assert_true(process_data_dir("/nonexistent/data", &nobody_changes, &fd, why, sizeof why) < 0);
    assert_non_null(strstr(why, "/nonexistent/data"));
    assert_non_null(strstr(why, "data_dir PATH"));
    assert_true(process_data_dir("/dev/null", &nobody_changes, &fd, why, sizeof why) < 0);
    rmdir(dir);
}

static void a_pid_file_holds_the_pid(void **state)
{
    char path[96], text[32] = "";
    FILE *f;

    snprintf(path, sizeof path, "%s/pid", dir);
    f = fopen(path, "w");
    fputs("99999999999\n", f);
    fclose(f);
    assert_int_equal(process_pid_file(path, &nobody_changes, why, sizeof why), 0);
    f = fopen(path, "r");
    assert_non_null(fgets(text, sizeof text, f));
    fclose(f);
    assert_int_equal(atoi(text), getpid());
    unlink(path);
    rmdir(dir);
}

static void descriptors_are_raised_to_the_hard_limit(void **state)
{
    struct rlimit old, low, now;
    int lines = 0;

    getrlimit(RLIMIT_NOFILE, &old);
    low = (struct rlimit){64, old.rlim_max};
    setrlimit(RLIMIT_NOFILE, &low);
    log_capture(ignore_line, &lines);
    process_descriptors(10);
    getrlimit(RLIMIT_NOFILE, &now);
    assert_int_equal(now.rlim_cur, old.rlim_max);
    int before = lines;
    process_descriptors(UINT32_MAX);
    assert_int_equal(lines, before + (old.rlim_max < (rlim_t)UINT32_MAX + 100));
    log_capture(NULL, NULL);
    setrlimit(RLIMIT_NOFILE, &old);
    rmdir(dir);
}

/* In a child, since there is no way back. */
static int drop_in_child(void)
{
    struct process_user user = {true, 65534, 65534, "nobody"};

    if (process_drop(&user, why, sizeof why) < 0)
        return 1;
    if (getuid() != 65534 || geteuid() != 65534 || getegid() != 65534)
        return 2;
    if (setuid(0) == 0 || seteuid(0) == 0)
        return 3;
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
        return 4;
    return open("/etc/shadow", 0) < 0 ? 0 : 5;
}

static void privileges_are_gone_for_good(void **state)
{
    int status;
    pid_t child;

    rmdir(dir);
    if (geteuid() != 0)
        skip(); /* nothing to drop: the scenario needs root */
    child = fork();
    if (child == 0)
        _exit(drop_in_child());
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void users_are_found_by_name(void **state)
{
    struct settings s = {.user = "nobody"};
    struct process_user user;
    int lines = 0;

    rmdir(dir);
    log_capture(ignore_line, &lines);
    assert_int_equal(process_user(&user, &s, why, sizeof why), 0);
    assert_int_equal(user.change, geteuid() == 0);
    if (geteuid() == 0) {
        s.user = "no-user-of-this-name";
        assert_true(process_user(&user, &s, why, sizeof why) < 0);
        assert_non_null(strstr(why, "no-user-of-this-name"));
    } else {
        assert_int_equal(lines, 1); /* told that it has no effect */
    }
    log_capture(NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_data_directory_is_private_and_locked, start),
        cmocka_unit_test_setup(a_data_directory_that_cannot_be_is_told, start),
        cmocka_unit_test_setup(a_pid_file_holds_the_pid, start),
        cmocka_unit_test_setup(descriptors_are_raised_to_the_hard_limit, start),
        cmocka_unit_test_setup(privileges_are_gone_for_good, start),
        cmocka_unit_test_setup(users_are_found_by_name, start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
