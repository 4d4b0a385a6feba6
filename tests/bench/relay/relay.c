/* skep-relay: the traffic of a broker with no protocol, which is the physical limit.
 *
 *     skep-relay PORT        (127.0.0.1; ends on SIGTERM)
 *
 * A connection begins with one line, "P 000012" for a publisher of group 12 or "S 000012" for a
 * subscriber, and is answered "OK".  From then on every byte of a publisher goes to all
 * subscribers of its group.  One turn is one epoll_wait: each ready publisher is read once (up to
 * 64 KB), then each subscriber with something to get is written to once.  That is the least a
 * broker can do, so a broker's cost divided by this one's is what its protocol costs.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    READ_SIZE = 64 << 10,
    SLAB_SIZE = 1 << 20, /* all that one turn reads; full: flush early */
    PARTS = 64,          /* separate pieces a group may get in one turn */
    GROUPS = 10000,
    EVENTS = 512,
    HELLO = 9, /* "P 000012\n" */
    BEHIND_MOST = 64 << 20,
};

struct peer {
    int fd;
    struct group *group; /* NULL until its line has come */
    struct peer *next;   /* among the subscribers of its group */
    struct peer *again;  /* on the list of publishers that may have more to read */
    bool subscriber, listed;
    uint8_t *behind; /* what a full socket did not take */
    size_t behind_len, behind_cap;
};

struct group {
    struct peer *subscribers;
    struct group *dirty_next;
    struct iovec parts[PARTS];
    int part_count;
    size_t bytes;
};

static struct group groups[GROUPS], *dirty;
static struct peer listener, *more;
static uint8_t slab[SLAB_SIZE + READ_SIZE];
static size_t slab_used;
static int epfd;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void peer_drop(struct peer *p)
{
    struct peer **at = p->group && p->subscriber ? &p->group->subscribers : NULL;
    while (at && *at != p)
        at = &(*at)->next;
    if (at)
        *at = p->next;
    close(p->fd);
    free(p->behind);
    p->behind = NULL;
    p->behind_len = 0;
    p->fd = -1; /* the struct itself stays: this turn's events may still name it */
}

static void peer_keep(struct peer *p, const struct iovec *parts, int n, size_t skip)
{
    for (int i = 0; i < n; i++) {
        size_t len = parts[i].iov_len, from = skip < len ? skip : len;
        skip -= from;
        len -= from;
        if (p->behind_len + len > p->behind_cap) {
            p->behind_cap = (p->behind_len + len) * 2;
            p->behind = realloc(p->behind, p->behind_cap);
            if (!p->behind || p->behind_cap > BEHIND_MOST)
                die("a subscriber is too far behind");
        }
        memcpy(p->behind + p->behind_len, (uint8_t *)parts[i].iov_base + from, len);
        p->behind_len += len;
    }
}

static void peer_catch_up(struct peer *p)
{
    ssize_t n = send(p->fd, p->behind, p->behind_len, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) {
        peer_drop(p);
        return;
    }
    if (n > 0) {
        p->behind_len -= (size_t)n;
        memmove(p->behind, p->behind + n, p->behind_len);
    }
}

static void peer_write(struct peer *p, const struct group *g)
{
    ssize_t n = 0;

    if (p->behind_len == 0) {
        n = g->part_count == 1 ? send(p->fd, g->parts[0].iov_base, g->bytes, MSG_NOSIGNAL)
                               : writev(p->fd, g->parts, g->part_count);
        if (n < 0 && errno != EAGAIN) {
            peer_drop(p);
            return;
        }
        if (n < 0)
            n = 0;
    }
    if ((size_t)n < g->bytes)
        peer_keep(p, g->parts, g->part_count, (size_t)n);
}

static void groups_flush(void)
{
    for (struct group *g; (g = dirty);) {
        dirty = g->dirty_next;
        for (struct peer *p = g->subscribers, *next; p; p = next) {
            next = p->next;
            peer_write(p, g);
        }
        g->part_count = 0;
        g->bytes = 0;
    }
    slab_used = 0;
}

/* Add what was just read; neighbours in the slab merge, so a fan-in is mostly one piece. */
static void group_add(struct group *g, uint8_t *data, size_t n)
{
    struct iovec *last = g->part_count ? &g->parts[g->part_count - 1] : NULL;

    if (!last) {
        g->dirty_next = dirty;
        dirty = g;
    }
    g->bytes += n;
    if (last && (uint8_t *)last->iov_base + last->iov_len == data)
        last->iov_len += n;
    else
        g->parts[g->part_count++] = (struct iovec){.iov_base = data, .iov_len = n};
}

static void peer_greet(struct peer *p)
{
    char line[HELLO + 1] = {0};
    ssize_t n = recv(p->fd, line, HELLO, 0);

    unsigned group = n == HELLO ? (unsigned)atoi(line + 2) : GROUPS;
    if (group >= GROUPS || (line[0] != 'P' && line[0] != 'S')) {
        if (n >= 0 || errno != EAGAIN)
            peer_drop(p);
        return;
    }
    p->group = &groups[group];
    p->subscriber = line[0] == 'S';
    if (p->subscriber) {
        p->next = p->group->subscribers;
        p->group->subscribers = p;
    }
    if (send(p->fd, "OK\n", 3, MSG_NOSIGNAL) != 3)
        peer_drop(p);
}

static void peer_read(struct peer *p, bool ending)
{
    if (slab_used > SLAB_SIZE || p->group->part_count == PARTS)
        groups_flush();
    ssize_t n = recv(p->fd, slab + slab_used, READ_SIZE, 0);
    if (n == 0 || (n < 0 && errno != EAGAIN)) {
        peer_drop(p);
        return;
    }
    if (n < 0)
        return;
    if (!p->subscriber) { /* what a subscriber says has no meaning here */
        group_add(p->group, slab + slab_used, (size_t)n);
        slab_used += (size_t)n;
    }
    /* A full read may leave bytes, and an end may follow them, that raise no new edge. */
    if ((n == READ_SIZE || ending) && !p->listed) {
        p->listed = true;
        p->again = more;
        more = p;
    }
}

static void peers_accept(void)
{
    int fd, on = 1;

    while ((fd = accept4(listener.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct peer *p = calloc(1, sizeof *p);
        struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET};
        ev.data.ptr = p;
        if (!p)
            die("calloc");
        p->fd = fd;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev) < 0)
            die("epoll_ctl");
    }
}

static void peer_event(struct peer *p, uint32_t events)
{
    if (p == &listener) {
        peers_accept();
        return;
    }
    if (p->fd >= 0 && (events & EPOLLOUT) && p->behind_len)
        peer_catch_up(p);
    if (p->fd >= 0 && (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP)) && !p->group)
        peer_greet(p);
    else if (p->fd >= 0 && (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP)))
        peer_read(p, events & (EPOLLRDHUP | EPOLLHUP));
}

static void relay_turn(void)
{
    struct epoll_event events[EVENTS];
    struct peer *again = more;

    more = NULL;
    int n = epoll_wait(epfd, events, EVENTS, again ? 0 : -1);
    for (int i = 0; i < n; i++)
        peer_event(events[i].data.ptr, events[i].events);
    for (struct peer *p = again, *next; p; p = next) {
        next = p->again;
        p->listed = false;
        if (p->fd >= 0)
            peer_read(p, false);
    }
    groups_flush();
}

static void listener_open(uint16_t port)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct epoll_event ev = {.events = EPOLLIN | EPOLLET, .data.ptr = &listener};
    int on = 1;

    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(listener.fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener.fd, (struct sockaddr *)&addr, sizeof addr) < 0 ||
        listen(listener.fd, 4096) < 0)
        die("listen");
    epfd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_ctl(epfd, EPOLL_CTL_ADD, listener.fd, &ev) < 0)
        die("epoll_ctl");
}

int main(int argc, char **argv)
{
    struct rlimit limit;
    int port = argc == 2 ? atoi(argv[1]) : 0;

    if (port < 1 || port > 65535) {
        fprintf(stderr, "usage: %s PORT\n", argv[0]);
        return 1;
    }
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    listener_open((uint16_t)port);
    for (;;)
        relay_turn();
}
