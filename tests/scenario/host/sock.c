/* Stream sockets for stories: TCP (IPv4, IPv6) and Unix, never blocking. */
#include "sock.h"

#include "host.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <lauxlib.h>

#define READ_LIMIT ((size_t)1 << 18)

struct sock *sock_check(lua_State *lua, int index)
{
    return luaL_checkudata(lua, index, SOCK_TYPE);
}

static struct sock *sock_push(lua_State *lua)
{
    struct sock *s = lua_newuserdatauv(lua, sizeof *s, 0);

    memset(s, 0, sizeof *s);
    s->fd = -1;
    luaL_setmetatable(lua, SOCK_TYPE);
    return s;
}

/* A word for what errno says, in the vocabulary of host.h. */
static int errno_push(lua_State *lua, const char *again)
{
    if (errno == EAGAIN || errno == EINPROGRESS)
        return host_fail(lua, again);
    if (errno == EPIPE || errno == ECONNRESET)
        return host_fail(lua, "closed");
    return host_fail(lua, strerror(errno));
}

static int sock_begin(lua_State *lua, struct sock *s, const struct sockaddr *sa, socklen_t len)
{
    s->fd = socket(sa->sa_family, SOCK_STREAM, 0);
    if (s->fd < 0 || host_set_flags(s->fd) < 0)
        return errno_push(lua, "write");
    if (sa->sa_family != AF_UNIX)
        setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    if (connect(s->fd, sa, len) < 0 && errno != EINPROGRESS)
        return errno_push(lua, "write");
    return 1;
}

/* host.tcp(address, port [, receive_buffer]) -> sock; poll for "write", then ask sock:connected()
 */
static int sock_tcp(lua_State *lua)
{
    const char *address = luaL_checkstring(lua, 1);
    lua_Integer port = luaL_checkinteger(lua, 2);
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
    struct sock *s = sock_push(lua);

    if (inet_pton(AF_INET, address, &v4.sin_addr) == 1)
        return sock_begin(lua, s, (struct sockaddr *)&v4, sizeof v4);
    if (inet_pton(AF_INET6, address, &v6.sin6_addr) == 1)
        return sock_begin(lua, s, (struct sockaddr *)&v6, sizeof v6);
    return host_fail(lua, "not a numeric address");
}

/* host.unix(path) -> sock */
static int sock_unix(lua_State *lua)
{
    const char *path = luaL_checkstring(lua, 1);
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct sock *s = sock_push(lua);

    if (strlen(path) >= sizeof un.sun_path)
        return host_fail(lua, "path too long");
    strcpy(un.sun_path, path);
    return sock_begin(lua, s, (struct sockaddr *)&un, sizeof un);
}

/* sock:connected() -> true, or nil and why not */
static int sock_connected(lua_State *lua)
{
    struct sock *s = sock_check(lua, 1);
    int err = 0;
    socklen_t len = sizeof err;

    getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &err, &len);
    if (err)
        return host_fail(lua, strerror(err));
    lua_pushboolean(lua, 1);
    return 1;
}

/* sock:read([limit]) -> bytes */
static int sock_read(lua_State *lua)
{
    struct sock *s = sock_check(lua, 1);
    size_t limit = (size_t)luaL_optinteger(lua, 2, READ_LIMIT);
    luaL_Buffer buf;
    ssize_t n;

    if (s->fd < 0)
        return host_fail(lua, "closed");
    if (s->ssl)
        return tls_read(lua, s, limit);
    char *room = luaL_buffinitsize(lua, &buf, limit);
    n = recv(s->fd, room, limit, 0);
    if (n > 0) {
        luaL_pushresultsize(&buf, (size_t)n);
        return 1;
    }
    return n == 0 ? host_fail(lua, "closed") : errno_push(lua, "read");
}

/* sock:write(bytes [, from]) -> count of bytes taken; from counts from 1 */
static int sock_write(lua_State *lua)
{
    struct sock *s = sock_check(lua, 1);
    size_t len;
    const char *bytes = luaL_checklstring(lua, 2, &len);
    size_t skip = (size_t)luaL_optinteger(lua, 3, 1) - 1;
    ssize_t n;

    if (s->fd < 0)
        return host_fail(lua, "closed");
    if (s->ssl)
        return tls_write(lua, s, bytes + skip, len - skip);
    n = send(s->fd, bytes + skip, len - skip, MSG_NOSIGNAL);
    if (n < 0)
        return errno_push(lua, "write");
    lua_pushinteger(lua, n);
    return 1;
}

static void sock_end(struct sock *s)
{
    tls_free(s);
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
}

static int sock_close(lua_State *lua)
{
    sock_end(sock_check(lua, 1));
    return 0;
}

/* sock:abort(): close with a reset, as a crashed machine or a NAT would */
static int sock_abort(lua_State *lua)
{
    struct sock *s = sock_check(lua, 1);

    if (s->fd >= 0)
        setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
    sock_end(s);
    return 0;
}

/* sock:shutdown(): nothing more will be written; reading goes on */
static int sock_shutdown(lua_State *lua)
{
    struct sock *s = sock_check(lua, 1);

    if (s->ssl)
        SSL_shutdown(s->ssl);
    if (s->fd >= 0)
        shutdown(s->fd, SHUT_WR);
    return 0;
}

/* sock:narrow(bytes): a small receive buffer, for clients that stop reading */
static int sock_narrow(lua_State *lua)
{
    struct sock *s = sock_check(lua, 1);
    int bytes = (int)luaL_checkinteger(lua, 2);

    setsockopt(s->fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    return 0;
}

static int sock_fd(lua_State *lua)
{
    lua_pushinteger(lua, sock_check(lua, 1)->fd);
    return 1;
}

/* sock:port() -> our own end's port, or nil */
static int sock_port(lua_State *lua)
{
    struct sockaddr_in v4 = {0};
    socklen_t len = sizeof v4;

    if (getsockname(sock_check(lua, 1)->fd, (struct sockaddr *)&v4, &len) < 0 ||
        v4.sin_family != AF_INET)
        return host_fail(lua, "not IPv4");
    lua_pushinteger(lua, ntohs(v4.sin_port));
    return 1;
}

/* sock:pending() -> bytes TLS has decrypted already, which no poll will announce */
static int sock_pending(lua_State *lua)
{
    struct sock *s = sock_check(lua, 1);

    lua_pushinteger(lua, s->ssl ? SSL_pending(s->ssl) : 0);
    return 1;
}

static const luaL_Reg methods[] = {
    {"connected", sock_connected},
    {"read", sock_read},
    {"write", sock_write},
    {"close", sock_close},
    {"abort", sock_abort},
    {"shutdown", sock_shutdown},
    {"narrow", sock_narrow},
    {"fd", sock_fd},
    {"pending", sock_pending},
    {"start_tls", tls_start},
    {"handshake", tls_handshake},
    {"tls_info", tls_info},
    {"ticket", tls_ticket},
    {"port", sock_port},
    {NULL, NULL},
};

static const luaL_Reg functions[] = {{"tcp", sock_tcp}, {"unix", sock_unix}, {NULL, NULL}};

void sock_register(lua_State *lua)
{
    luaL_newmetatable(lua, SOCK_TYPE);
    luaL_setfuncs(lua, methods, 0);
    lua_pushcfunction(lua, sock_close);
    lua_setfield(lua, -2, "__gc");
    lua_pushvalue(lua, -1);
    lua_setfield(lua, -2, "__index");
    lua_pop(lua, 1);
    luaL_setfuncs(lua, functions, 0);
}
