/* What clients are told, and when: for the trace alone. */
#include "shim.h"

#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

/* The port of the client at the other end; 0 when it is no TCP connection. */
static uint32_t peer_port(int fd)
{
    struct sockaddr_in peer;
    socklen_t len = sizeof peer;

    if (getpeername(fd, (struct sockaddr *)&peer, &len) < 0 || peer.sin_family != AF_INET)
        return 0;
    return ntohs(peer.sin_port);
}

static ssize_t sent(int fd, uint64_t began, ssize_t n)
{
    int saved = errno;
    uint32_t port = n > 0 ? peer_port(fd) : 0;

    if (port)
        trace_sent(port, began, (uint64_t)n);
    errno = saved;
    return n;
}

EXPORT ssize_t send(int fd, const void *buf, size_t len, int flags)
{
    NEXT(send);
    if (!trace_on())
        return next(fd, buf, len, flags);
    uint64_t began = trace_now();
    return sent(fd, began, next(fd, buf, len, flags));
}

EXPORT ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
    NEXT(sendmsg);
    if (!trace_on())
        return next(fd, msg, flags);
    uint64_t began = trace_now();
    return sent(fd, began, next(fd, msg, flags));
}

static int accepted(int fd)
{
    int saved = errno;
    uint32_t port = fd >= 0 && trace_on() ? peer_port(fd) : 0;

    if (port)
        trace_put(TRACE_ACCEPTED, port, 0, NULL, 0);
    errno = saved;
    return fd;
}

EXPORT int accept4(int fd, struct sockaddr *sa, socklen_t *len, int flags)
{
    NEXT(accept4);
    return accepted(next(fd, sa, len, flags));
}

EXPORT int accept(int fd, struct sockaddr *sa, socklen_t *len)
{
    NEXT(accept);
    return accepted(next(fd, sa, len));
}
