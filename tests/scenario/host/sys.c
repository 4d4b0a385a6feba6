/* The clock, poll, free ports, temporary directories and directory listings. */
#include "host.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <lauxlib.h>

#define POLL_MAX 4096

/* Ports for brokers come from below the range the kernel hands to outgoing connections, so that no
 * client of another test can take one between the look and the bind. */
#define PORT_FIRST 12000
#define PORT_COUNT 20000

/* host.now() -> seconds, monotonic */
static int sys_now(lua_State *lua)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    lua_pushnumber(lua, (double)ts.tv_sec + (double)ts.tv_nsec / 1e9);
    return 1;
}

/* host.poll({ fd, events, fd, events, ... }, seconds) -> { fd = true, ... }; events: "r", "w", "rw"
 */
static int sys_poll(lua_State *lua)
{
    static struct pollfd fds[POLL_MAX];
    lua_Integer n = luaL_len(lua, 1) / 2;
    double seconds = luaL_checknumber(lua, 2);
    int timeout = seconds < 0 ? 0 : (int)(seconds * 1000) + 1;

    luaL_argcheck(lua, n <= POLL_MAX, 1, "too many descriptors");
    for (int i = 0; i < n; i++) {
        lua_rawgeti(lua, 1, 2 * i + 1);
        lua_rawgeti(lua, 1, 2 * i + 2);
        const char *events = luaL_checkstring(lua, -1);
        fds[i] = (struct pollfd){.fd = (int)lua_tointeger(lua, -2)};
        fds[i].events =
            (short)((strchr(events, 'r') ? POLLIN : 0) | (strchr(events, 'w') ? POLLOUT : 0));
        lua_pop(lua, 2);
    }
    int ready = poll(fds, (nfds_t)n, timeout);
    lua_newtable(lua);
    for (int i = 0; ready > 0 && i < n; i++) {
        if (!fds[i].revents)
            continue;
        lua_pushboolean(lua, 1);
        lua_rawseti(lua, -2, fds[i].fd);
    }
    return 1;
}

static int port_is_free(uint16_t port)
{
    struct sockaddr_in6 sa = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET6, SOCK_STREAM, 0), ok;

    if (fd >= 0)
        ok = bind(fd, (struct sockaddr *)&sa, sizeof sa) == 0;
    else /* a machine without IPv6 */
        ok = (fd = socket(AF_INET, SOCK_STREAM, 0)) >= 0 &&
             bind(fd, (struct sockaddr *)&v4, sizeof v4) == 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

/* host.free_port() -> a port nobody is bound to right now */
static int sys_free_port(lua_State *lua)
{
    for (int i = 0; i < 1000; i++) {
        uint16_t dice;
        if (getrandom(&dice, sizeof dice, 0) != sizeof dice)
            break;
        uint16_t port = (uint16_t)(PORT_FIRST + dice % PORT_COUNT);
        if (port_is_free(port)) {
            lua_pushinteger(lua, port);
            return 1;
        }
    }
    return luaL_error(lua, "no free port");
}

/* host.temp_dir([base]) -> path of a new private directory */
static int sys_temp_dir(lua_State *lua)
{
    const char *temp = getenv("TMPDIR");
    const char *base = luaL_optstring(lua, 1, temp ? temp : "/tmp");
    char path[256];

    snprintf(path, sizeof path, "%s/skep-story-XXXXXX", base);
    if (!mkdtemp(path))
        return luaL_error(lua, "%s: %s", path, strerror(errno));
    lua_pushstring(lua, path);
    return 1;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

/* host.remove_tree(path): only what temp_dir made */
static int sys_remove_tree(lua_State *lua)
{
    const char *path = luaL_checkstring(lua, 1);

    if (!strstr(path, "/skep-story-"))
        return luaL_error(lua, "%s is no directory of ours", path);
    nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    return 0;
}

/* host.list(path) -> names in a directory, "." and ".." left out; nil and why */
static int sys_list(lua_State *lua)
{
    DIR *dir = opendir(luaL_checkstring(lua, 1));
    struct dirent *entry;
    int n = 0;

    if (!dir)
        return host_fail(lua, strerror(errno));
    lua_newtable(lua);
    while ((entry = readdir(dir))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        lua_pushstring(lua, entry->d_name);
        lua_rawseti(lua, -2, ++n);
    }
    closedir(dir);
    return 1;
}

/* host.mode(path) -> permission bits and kind ("socket", "directory", "file"), or nil and why */
static int sys_mode(lua_State *lua)
{
    struct stat st;

    if (stat(luaL_checkstring(lua, 1), &st) < 0)
        return host_fail(lua, strerror(errno));
    lua_pushinteger(lua, st.st_mode & 07777);
    lua_pushstring(lua, S_ISSOCK(st.st_mode)  ? "socket"
                        : S_ISDIR(st.st_mode) ? "directory"
                                              : "file");
    return 2;
}

/* host.real_path(path) -> the same file, from the root */
static int sys_real_path(lua_State *lua)
{
    char *path = realpath(luaL_checkstring(lua, 1), NULL);

    if (!path)
        return host_fail(lua, strerror(errno));
    lua_pushstring(lua, path);
    free(path);
    return 1;
}

static const luaL_Reg functions[] = {
    {"now", sys_now},
    {"poll", sys_poll},
    {"free_port", sys_free_port},
    {"temp_dir", sys_temp_dir},
    {"remove_tree", sys_remove_tree},
    {"list", sys_list},
    {"mode", sys_mode},
    {"real_path", sys_real_path},
    {NULL, NULL},
};

void sys_register(lua_State *lua)
{
    luaL_setfuncs(lua, functions, 0);
}
