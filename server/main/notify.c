#include "main/notify.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"

static struct sockaddr_un manager;
static socklen_t manager_len; /* 0: nobody to talk to */
static uint64_t watchdog_ms;

void notify_init(void)
{
    const char *path = getenv("NOTIFY_SOCKET"), *usec = getenv("WATCHDOG_USEC");
    const char *pid = getenv("WATCHDOG_PID");

    manager_len = 0;
    watchdog_ms = 0;
    if (path && (path[0] == '/' || path[0] == '@') && strlen(path) < sizeof manager.sun_path) {
        manager.sun_family = AF_UNIX;
        memcpy(manager.sun_path, path, strlen(path) + 1);
        manager_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
        if (path[0] == '@')
            manager.sun_path[0] = '\0'; /* an abstract socket */
    }
    if (manager_len && usec && (!pid || strtol(pid, NULL, 10) == (long)getpid()))
        watchdog_ms = strtoull(usec, NULL, 10) / 1000 / 2;
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
}

uint64_t notify_watchdog_ms(void)
{
    return watchdog_ms;
}

static void tell(const char *text)
{
    int fd;

    if (!manager_len)
        return;
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return;
    (void)sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&manager, manager_len);
    close(fd);
}

void notify_ready(const char *status)
{
    char text[512];

    snprintf(text, sizeof text, "READY=1\nSTATUS=%s", status);
    tell(text);
}

void notify_reloading(void)
{
    char text[128];

    snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, clock_mono_ns() / 1000);
    tell(text);
}

void notify_stopping(void)
{
    tell("STOPPING=1\nSTATUS=stopping");
}

void notify_status(const char *status)
{
    char text[512];

    snprintf(text, sizeof text, "STATUS=%s", status);
    tell(text);
}

void notify_watchdog(void)
{
    tell("WATCHDOG=1");
}
