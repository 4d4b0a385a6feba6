/* What the tests of net share: turning a loop until something is true, with a deadline,
 * and a handler that records what it is told. */
#ifndef SKEP_TESTS_NET_FIXTURE_H
#define SKEP_TESTS_NET_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/lock.h"
#include "base/mem.h"
#include "net/conn.h"
#include "net/listen.h"
#include "net/loop.h"

enum { DEADLINE_MS = 20000 };

/* Turns the loop until the condition holds; fails the test at the deadline. */
#define TURN_UNTIL(loop, condition)                                                                \
    do {                                                                                           \
        uint64_t end_ms_ = clock_mono_ms() + DEADLINE_MS;                                          \
        while (!(condition)) {                                                                     \
            if (clock_mono_ms() > end_ms_)                                                         \
                fail_msg("deadline passed waiting for: %s", #condition);                           \
            loop_turn(loop, 10);                                                                   \
        }                                                                                          \
    } while (0)

/* The owner of a connection under test. */
struct peer {
    struct lock lock;  /* stands for the session lock */
    struct conn *conn; /* NULL once closed */
    int ups, closes, calls, writables;
    enum conn_cause cause;
    enum conn_result flushed;
    uint8_t *bytes; /* all that data() has used */
    size_t len, cap;
    /* How data() behaves. */
    size_t use_most; /* uses at most so many bytes a call; 0: all */
    bool framed;     /* bytes come as packets: 4 bytes of length (its own included), body */
    bool again_once; /* asks for another turn the first time */
    bool kill_on_data;
    bool pause_on_data;
    size_t largest_call;
};

static inline void peer_take(struct peer *p, const uint8_t *bytes, size_t len)
{
    if (p->len + len > p->cap) {
        p->cap = 2 * (p->len + len);
        p->bytes = xrealloc(p->bytes, p->cap);
    }
    memcpy(p->bytes + p->len, bytes, len);
    p->len += len;
}

static inline uint32_t frame_length(const uint8_t *b)
{
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static inline void frame_put_length(uint8_t *b, uint32_t n)
{
    b[0] = (uint8_t)(n >> 24);
    b[1] = (uint8_t)(n >> 16);
    b[2] = (uint8_t)(n >> 8);
    b[3] = (uint8_t)n;
}

static inline size_t peer_frames(struct conn *c, struct peer *p, const uint8_t *buf, size_t len)
{
    size_t used = 0;
    while (len - used >= 4) {
        uint32_t total = frame_length(buf + used);
        if (len - used < total) {
            conn_expect(c, total);
            break;
        }
        peer_take(p, buf + used, total);
        used += total;
    }
    return used;
}

static inline size_t peer_data(struct conn *c, void *owner, uint8_t *buf, size_t len)
{
    struct peer *p = owner;
    size_t use = p->use_most && len > p->use_most ? p->use_most : len;

    p->calls++;
    if (len > p->largest_call)
        p->largest_call = len;
    if (p->pause_on_data)
        conn_pause(c);
    if (p->again_once) {
        p->again_once = false;
        conn_again(c);
    }
    if (p->kill_on_data)
        conn_kill(c, CONN_KILLED);
    if (p->framed)
        return peer_frames(c, p, buf, len);
    peer_take(p, buf, use);
    return use;
}

static inline void peer_writable(struct conn *c, void *owner)
{
    struct peer *p = owner;
    lock_take(&p->lock);
    p->writables++;
    p->flushed = conn_flush(c);
    lock_drop(&p->lock);
}

static inline void peer_closed(struct conn *c, void *owner, enum conn_cause cause)
{
    struct peer *p = owner;
    lock_take(&p->lock);
    p->conn = NULL;
    p->closes++;
    p->cause = cause;
    lock_drop(&p->lock);
}

/* As a listener's handler: user is an array of peers, taken in order of arrival. */
struct peers {
    struct peer *items;
    _Atomic unsigned count;
    unsigned cap;
};

static inline void *peer_up(struct conn *c, void *user)
{
    struct peers *all = user;
    unsigned i = atomic_fetch_add(&all->count, 1);
    if (i >= all->cap)
        return NULL;
    all->items[i].conn = c;
    all->items[i].ups++;
    return &all->items[i];
}

static const struct conn_handler peer_handler = {
    .up = peer_up,
    .data = peer_data,
    .writable = peer_writable,
    .closed = peer_closed,
};

static inline void peer_free(struct peer *p)
{
    free(p->bytes);
    *p = (struct peer){0};
}

static inline unsigned open_descriptors(void)
{
    unsigned count = 0;
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

/* A blocking client on loopback. */
static inline int client_connect(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_true(fd >= 0);
    struct timeval limit = {.tv_sec = 20};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    assert_return_code(connect(fd, (struct sockaddr *)&to, sizeof to), errno);
    return fd;
}

/* Close with a reset instead of an orderly end. */
static inline void client_reset(int fd)
{
    struct linger hard = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close(fd);
}

/* Two ends of a TCP connection over loopback; [0] is non-blocking, for conn_adopt(). */
static inline void tcp_pair(int fds[2])
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_return_code(bind(l, (struct sockaddr *)&at, sizeof at), errno);
    assert_return_code(listen(l, 1), errno);
    assert_return_code(getsockname(l, (struct sockaddr *)&at, &len), errno);
    fds[1] = client_connect(ntohs(at.sin_port));
    fds[0] = accept4(l, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_return_code(fds[0], errno);
    close(l);
}

#endif
