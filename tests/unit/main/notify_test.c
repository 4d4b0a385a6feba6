#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "main/notify.h"

static int manager = -1;

/* A service manager on an abstract socket, as systemd may use one. */
static void manage(const char *watchdog_usec, const char *watchdog_pid)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    socklen_t len;
    char name[64];

    snprintf(name, sizeof name, "@skep-notify-%d", (int)getpid());
    memcpy(addr.sun_path, name, strlen(name));
    addr.sun_path[0] = '\0';
    len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
    if (manager >= 0)
        close(manager);
    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(manager, (struct sockaddr *)&addr, len), 0);
    setenv("NOTIFY_SOCKET", name, 1);
    unsetenv("WATCHDOG_PID");
    if (watchdog_usec)
        setenv("WATCHDOG_USEC", watchdog_usec, 1);
    if (watchdog_pid)
        setenv("WATCHDOG_PID", watchdog_pid, 1);
    notify_init();
}

static const char *told(void)
{
    static char text[1024];
    ssize_t n = recv(manager, text, sizeof text - 1, 0);

    text[n > 0 ? n : 0] = '\0';
    return text;
}

static void states_are_told(void **state)
{
    manage(NULL, NULL);
    assert_null(getenv("NOTIFY_SOCKET")); /* children must not speak for us */
    notify_ready("running");
    assert_string_equal(told(), "READY=1\nSTATUS=running");
    notify_reloading();
    assert_int_equal(strncmp(told(), "RELOADING=1\nMONOTONIC_USEC=", 27), 0);
    notify_stopping();
    assert_string_equal(told(), "STOPPING=1\nSTATUS=stopping");
    notify_status("x");
    assert_string_equal(told(), "STATUS=x");
    notify_watchdog();
    assert_string_equal(told(), "WATCHDOG=1");
}

static void the_watchdog_is_fed_twice_as_often_as_asked(void **state)
{
    char pid[32];

    manage("30000000", NULL);
    assert_int_equal(notify_watchdog_ms(), 15000);
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    manage("30000000", pid);
    assert_int_equal(notify_watchdog_ms(), 15000);
    manage("30000000", "1"); /* meant for somebody else */
    assert_int_equal(notify_watchdog_ms(), 0);
    manage(NULL, NULL);
    assert_int_equal(notify_watchdog_ms(), 0);
}

static void without_a_manager_nothing_happens(void **state)
{
    manage(NULL, NULL);
    unsetenv("NOTIFY_SOCKET");
    notify_init();
    notify_ready("running");
    assert_string_equal(told(), "");
    setenv("NOTIFY_SOCKET", "relative", 1);
    notify_init();
    notify_ready("running");
    assert_string_equal(told(), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(states_are_told),
        cmocka_unit_test(the_watchdog_is_fed_twice_as_often_as_asked),
        cmocka_unit_test(without_a_manager_nothing_happens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
