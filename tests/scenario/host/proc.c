/* Child processes: started with pipes on stdout and stderr, watched through a pidfd. */
#include "host.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <lauxlib.h>

#define PROC_TYPE "story.proc"
#define ARGS_MAX  64

struct proc {
    pid_t pid;
    int pidfd;  /* readable once the child ended; -1 after it was reaped */
    int out[2]; /* our ends of its stdout [0] and stderr [1]; -1 at end of file */
    int status;
};

static struct proc *proc_check(lua_State *lua)
{
    return luaL_checkudata(lua, 1, PROC_TYPE);
}

struct plan {
    char *argv[ARGS_MAX + 1];
    const char *dir;
    rlim_t files; /* 0: as inherited */
};

/* In the child.  Ends by exec, or with status 127. */
static void child_run(lua_State *lua, const struct plan *plan, const int out[2], pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a killed test run leaves no broker behind */
    if (getppid() != parent)
        _exit(127);
    dup2(open("/dev/null", O_RDONLY), 0);
    dup2(out[0], 1);
    dup2(out[1], 2);
    signal(SIGPIPE, SIG_DFL);
    if (plan->dir && chdir(plan->dir) < 0)
        _exit(127);
    if (plan->files)
        setrlimit(RLIMIT_NOFILE, &(struct rlimit){plan->files, plan->files});
    if (lua_getfield(lua, 1, "env") == LUA_TTABLE)
        for (lua_pushnil(lua); lua_next(lua, -2); lua_pop(lua, 1))
            setenv(lua_tostring(lua, -2), lua_tostring(lua, -1), 1);
    execvp(plan->argv[0], plan->argv);
    _exit(127);
}

static void plan_read(lua_State *lua, struct plan *plan)
{
    lua_Integer n = luaL_len(lua, 1);

    luaL_argcheck(lua, n >= 1 && n <= ARGS_MAX, 1, "between 1 and 64 words");
    for (int i = 0; i < n; i++) {
        lua_rawgeti(lua, 1, i + 1);
        plan->argv[i] = (char *)luaL_checkstring(lua, -1); /* kept alive by the table */
        lua_pop(lua, 1);
    }
    lua_getfield(lua, 1, "dir");
    plan->dir = lua_tostring(lua, -1);
    lua_getfield(lua, 1, "files");
    plan->files = (rlim_t)lua_tointeger(lua, -1);
    lua_pop(lua, 2);
}

/* host.spawn{ "command", "argument", ..., env = {}, dir = path, files = descriptor limit } -> proc
 */
static int proc_spawn(lua_State *lua)
{
    struct plan plan = {0};
    int out[2], err[2];
    pid_t parent = getpid();

    luaL_checktype(lua, 1, LUA_TTABLE);
    plan_read(lua, &plan);
    struct proc *p = lua_newuserdatauv(lua, sizeof *p, 0);
    *p = (struct proc){.pidfd = -1, .out = {-1, -1}};
    luaL_setmetatable(lua, PROC_TYPE);
    if (pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0)
        return host_fail(lua, strerror(errno));
    p->pid = fork();
    if (p->pid < 0)
        return host_fail(lua, strerror(errno));
    if (p->pid == 0)
        child_run(lua, &plan, (int[2]){out[1], err[1]}, parent);
    close(out[1]);
    close(err[1]);
    p->out[0] = out[0];
    p->out[1] = err[0];
    host_set_flags(out[0]);
    host_set_flags(err[0]);
    p->pidfd = (int)syscall(SYS_pidfd_open, p->pid, 0);
    if (p->pidfd >= 0)
        fcntl(p->pidfd, F_SETFD, FD_CLOEXEC);
    return 1;
}

static int proc_pid(lua_State *lua)
{
    lua_pushinteger(lua, proc_check(lua)->pid);
    return 1;
}

/* proc:pidfd() -> descriptor to poll for "read" */
static int proc_pidfd(lua_State *lua)
{
    lua_pushinteger(lua, proc_check(lua)->pidfd);
    return 1;
}

static int pipe_index(lua_State *lua)
{
    return strcmp(luaL_checkstring(lua, 2), "out") == 0 ? 0 : 1;
}

/* proc:pipe("out" | "err") -> descriptor to poll for "read", or -1 at end of file */
static int proc_pipe(lua_State *lua)
{
    lua_pushinteger(lua, proc_check(lua)->out[pipe_index(lua)]);
    return 1;
}

/* proc:read("out" | "err") -> bytes */
static int proc_read(lua_State *lua)
{
    struct proc *p = proc_check(lua);
    int i = pipe_index(lua);
    char buf[16384];
    ssize_t n;

    if (p->out[i] < 0)
        return host_fail(lua, "closed");
    n = read(p->out[i], buf, sizeof buf);
    if (n > 0) {
        lua_pushlstring(lua, buf, (size_t)n);
        return 1;
    }
    if (n < 0 && errno == EAGAIN)
        return host_fail(lua, "read");
    close(p->out[i]);
    p->out[i] = -1;
    return host_fail(lua, "closed");
}

/* proc:kill(signal number) */
static int proc_kill(lua_State *lua)
{
    struct proc *p = proc_check(lua);

    if (p->pidfd >= 0)
        kill(p->pid, (int)luaL_checkinteger(lua, 2));
    return 0;
}

static void pidfd_close(struct proc *p)
{
    if (p->pidfd >= 0)
        close(p->pidfd);
    p->pidfd = -1;
}

/* proc:reap() -> "exit" and status, or "signal" and number, or nil while it runs */
static int proc_reap(lua_State *lua)
{
    struct proc *p = proc_check(lua);

    if (p->pidfd >= 0) {
        if (waitpid(p->pid, &p->status, WNOHANG) != p->pid)
            return host_fail(lua, "read");
        pidfd_close(p);
    }
    lua_pushstring(lua, WIFEXITED(p->status) ? "exit" : "signal");
    lua_pushinteger(lua, WIFEXITED(p->status) ? WEXITSTATUS(p->status) : WTERMSIG(p->status));
    return 2;
}

static int proc_gc(lua_State *lua)
{
    struct proc *p = proc_check(lua);

    if (p->pidfd >= 0) {
        kill(p->pid, SIGKILL);
        waitpid(p->pid, &p->status, 0);
        pidfd_close(p);
    }
    for (int i = 0; i < 2; i++)
        if (p->out[i] >= 0)
            close(p->out[i]);
    p->out[0] = p->out[1] = -1;
    return 0;
}

static const luaL_Reg methods[] = {
    {"pid", proc_pid},   {"pidfd", proc_pidfd}, {"pipe", proc_pipe}, {"read", proc_read},
    {"kill", proc_kill}, {"reap", proc_reap},   {"__gc", proc_gc},   {NULL, NULL},
};

void proc_register(lua_State *lua)
{
    luaL_newmetatable(lua, PROC_TYPE);
    luaL_setfuncs(lua, methods, 0);
    lua_pushvalue(lua, -1);
    lua_setfield(lua, -2, "__index");
    lua_pop(lua, 1);
    lua_pushcfunction(lua, proc_spawn);
    lua_setfield(lua, -2, "spawn");
}
