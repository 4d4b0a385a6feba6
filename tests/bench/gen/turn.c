/* The loop. */
#include "turn.h"

#include "chan.h"
#include "secure.h"

#include <errno.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

uint64_t turn_now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void turn_fail(struct turn *t, const char *format, ...)
{
    va_list args;

    if (t->failed)
        return;
    t->failed = true;
    va_start(args, format);
    vsnprintf(t->failure, sizeof t->failure, format, args);
    va_end(args);
}

static int address_find(struct turn *t)
{
    struct addrinfo *found, want = {.ai_socktype = SOCK_STREAM};
    int err = getaddrinfo(t->plan->host, t->plan->port, &want, &found);

    if (err) {
        turn_fail(t, "%s port %s: %s", t->plan->host, t->plan->port, gai_strerror(err));
        return -1;
    }
    memcpy(&t->addr, found->ai_addr, found->ai_addrlen);
    t->addr_len = found->ai_addrlen;
    freeaddrinfo(found);
    return 0;
}

/* As many descriptors as the system lets us have; scenarios fail in words when it is too few. */
static void descriptors_raise(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int turn_open(struct turn *t, const struct plan *plan)
{
    *t = (struct turn){.plan = plan, .epfd = -1};
    t->run_id = plan->run ? (unsigned)plan->run : (unsigned)getpid() & 0xffff;
    descriptors_raise();
    if (address_find(t) < 0)
        return -1;
    if (plan->tls && secure_open(t) < 0)
        return -1;
    t->in = malloc(TURN_INBUF);
    t->epfd = epoll_create1(EPOLL_CLOEXEC);
    if (!t->in || t->epfd < 0) {
        turn_fail(t, "cannot start: %s", strerror(errno));
        return -1;
    }
    return 0;
}

void turn_close(struct turn *t)
{
    secure_close(t);
    if (t->epfd >= 0)
        close(t->epfd);
    free(t->in);
    free(t->out);
    t->epfd = -1;
    t->in = t->out = NULL;
}

uint8_t *turn_scratch(struct turn *t, size_t size)
{
    if (size > t->out_cap) {
        free(t->out);
        t->out_cap = size * 2;
        t->out = malloc(t->out_cap);
        if (!t->out) {
            fprintf(stderr, "out of memory\n");
            exit(1);
        }
    }
    return t->out;
}

void turn_run(struct turn *t, uint64_t timeout_ns)
{
    struct epoll_event events[TURN_EVENTS];
    struct timespec wait = {.tv_sec = (time_t)(timeout_ns / 1000000000u),
                            .tv_nsec = (long)(timeout_ns % 1000000000u)};
    int n = epoll_pwait2(t->epfd, events, TURN_EVENTS, &wait, NULL);

    if (n < 0 && errno != EINTR)
        turn_fail(t, "epoll_pwait2: %s", strerror(errno));
    for (int i = 0; i < n; i++)
        chan_event(events[i].data.ptr, events[i].events);
}

void turn_pause(struct turn *t, uint64_t ms)
{
    uint64_t now, end = turn_now() + ms * 1000000;

    while (!t->failed && (now = turn_now()) < end)
        turn_run(t, end - now);
}
