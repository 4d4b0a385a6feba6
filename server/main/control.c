#include "main/control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

struct caller {
    int fd;             /* -1: free */
    uint64_t waits_for; /* a ticket; 0: none.  Nothing is read meanwhile */
    uint64_t last_ms;
    char in[CONTROL_LINE];
    size_t in_len;
    char *out; /* not taken by the socket yet */
    size_t out_len;
};

struct control {
    int fd;
    char *path;
    control_answer_fn *answer;
    void *arg;
    uint64_t last_ticket;
    struct caller *asking; /* whose line is being answered */
    struct caller callers[CONTROL_CLIENTS];
};

void control_refuse(cJSON *answer, const char *text)
{
    cJSON_AddBoolToObject(answer, "ok", false);
    cJSON_AddStringToObject(answer, "error", text);
}

static int path_address(const char *path, struct sockaddr_un *out)
{
    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof out->sun_path)
        return ERR_LIMIT;
    memcpy(out->sun_path, path, strlen(path) + 1);
    return 0;
}

/* Removes a socket file that nobody serves any more; never anything else. */
static void remove_stale(const char *path, const struct sockaddr_un *addr)
{
    struct stat st;
    int fd;

    if (lstat(path, &st) < 0 || !S_ISSOCK(st.st_mode))
        return;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    if (connect(fd, (const struct sockaddr *)addr, sizeof *addr) < 0 && errno == ECONNREFUSED)
        unlink(path);
    close(fd);
}

static int bind_path(const char *path, mode_t mode, uid_t uid, gid_t gid, int *out)
{
    struct sockaddr_un addr;
    mode_t old_mask;
    int fd, err;

    if (path_address(path, &addr) < 0) {
        errno = ENAMETOOLONG;
        return ERR_LIMIT;
    }
    remove_stale(path, &addr);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return ERR_SYSTEM;
    old_mask = umask(0177); /* nobody slips in before chmod */
    err = bind(fd, (struct sockaddr *)&addr, sizeof addr);
    umask(old_mask);
    if (err < 0 || listen(fd, 16) < 0 || chmod(path, mode) < 0 ||
        (uid != (uid_t)-1 && chown(path, uid, gid) < 0)) {
        int saved = errno;
        close(fd);
        if (err == 0)
            unlink(path);
        errno = saved;
        return ERR_SYSTEM;
    }
    *out = fd;
    return 0;
}

int control_open(struct control **out, const char *path, mode_t mode, uid_t uid, gid_t gid,
                 control_answer_fn *answer, void *arg, char *why, size_t why_size)
{
    struct control *c;
    int fd, err = bind_path(path, mode, uid, gid, &fd);

    if (err < 0) {
        snprintf(why, why_size, "control socket %s: %s", path, strerror(errno));
        return err;
    }
    c = xcalloc(1, sizeof *c);
    c->fd = fd;
    c->path = str_dup(str_of(path));
    c->answer = answer;
    c->arg = arg;
    for (size_t i = 0; i < CONTROL_CLIENTS; i++)
        c->callers[i].fd = -1;
    *out = c;
    return 0;
}

static void caller_drop(struct caller *p)
{
    close(p->fd);
    free(p->out);
    p->fd = -1;
    p->out = NULL;
    p->in_len = p->out_len = 0;
    p->waits_for = 0;
}

void control_close(struct control **cp)
{
    struct control *c = *cp;

    if (!c)
        return;
    for (size_t i = 0; i < CONTROL_CLIENTS; i++)
        if (c->callers[i].fd >= 0)
            caller_drop(&c->callers[i]);
    close(c->fd);
    unlink(c->path);
    free(c->path);
    free(c);
    *cp = NULL;
}

/* Sends what there is; false when the caller is gone. */
static bool caller_flush(struct caller *p)
{
    ssize_t n = p->out_len ? send(p->fd, p->out, p->out_len, MSG_NOSIGNAL | MSG_DONTWAIT) : 0;

    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    p->out_len -= (size_t)n;
    if (p->out_len)
        memmove(p->out, p->out + n, p->out_len);
    return true;
}

static void caller_say(struct caller *p, cJSON *answer)
{
    char *text;
    size_t len;

    if (!cJSON_HasObjectItem(answer, "ok"))
        cJSON_AddBoolToObject(answer, "ok", true);
    text = cJSON_PrintUnformatted(answer);
    len = text ? strlen(text) : 0;

    if (!text)
        return;
    p->out = xrealloc(p->out, p->out_len + len + 1);
    memcpy(p->out + p->out_len, text, len);
    p->out[p->out_len + len] = '\n';
    p->out_len += len + 1;
    cJSON_free(text);
}

static void handle_line(struct control *c, struct caller *p, const char *line, size_t len)
{
    cJSON *request = cJSON_ParseWithLength(line, len), *answer = cJSON_CreateObject();
    const char *cmd = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(request, "cmd"));

    c->asking = p;
    if (!cmd)
        control_refuse(answer, "a line must be a JSON object with a string \"cmd\"");
    else
        c->answer(c->arg, cmd, request, answer);
    if (!p->waits_for)
        caller_say(p, answer);
    cJSON_Delete(request);
    cJSON_Delete(answer);
}

/* One line at a time: while an answer waits to be taken nothing more is read, so a caller
 * who does not read costs one answer. */
static void handle_input(struct control *c, struct caller *p)
{
    char *end;

    while (!p->out_len && !p->waits_for && (end = memchr(p->in, '\n', p->in_len)) != NULL) {
        size_t used = (size_t)(end - p->in) + 1;
        handle_line(c, p, p->in, used - 1);
        memmove(p->in, p->in + used, p->in_len - used);
        p->in_len -= used;
        if (!caller_flush(p)) {
            caller_drop(p);
            return;
        }
    }
    if (!p->out_len && !p->waits_for && p->in_len == sizeof p->in)
        caller_drop(p); /* no line is that long */
}

static void caller_read(struct control *c, struct caller *p, uint64_t now_ms)
{
    ssize_t n = recv(p->fd, p->in + p->in_len, sizeof p->in - p->in_len, MSG_DONTWAIT);

    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        caller_drop(p);
    } else if (n > 0) {
        p->in_len += (size_t)n;
        p->last_ms = now_ms;
        handle_input(c, p);
    }
}

uint64_t control_later(struct control *c)
{
    c->asking->waits_for = ++c->last_ticket;
    return c->last_ticket;
}

void control_finish(struct control *c, uint64_t ticket, cJSON *answer)
{
    for (size_t i = 0; i < CONTROL_CLIENTS; i++) {
        struct caller *p = &c->callers[i];
        if (p->fd < 0 || p->waits_for != ticket)
            continue;
        p->waits_for = 0;
        p->last_ms = clock_mono_ms();
        caller_say(p, answer);
        if (!caller_flush(p))
            caller_drop(p);
        else
            handle_input(c, p);
    }
}

static struct caller *caller_free_slot(struct control *c)
{
    for (size_t i = 0; i < CONTROL_CLIENTS; i++)
        if (c->callers[i].fd < 0)
            return &c->callers[i];
    return NULL;
}

/* While an answer is made only the end of the caller is news: poll() tells that unasked. */
static short caller_events(const struct caller *p)
{
    if (p->waits_for)
        return 0;
    return p->out_len ? POLLOUT : POLLIN;
}

size_t control_poll(struct control *c, struct pollfd *fds)
{
    size_t n = 0;

    if (caller_free_slot(c))
        fds[n++] = (struct pollfd){.fd = c->fd, .events = POLLIN};
    for (size_t i = 0; i < CONTROL_CLIENTS; i++)
        if (c->callers[i].fd >= 0)
            fds[n++] =
                (struct pollfd){.fd = c->callers[i].fd, .events = caller_events(&c->callers[i])};
    return n;
}

static struct caller *caller_by_fd(struct control *c, int fd)
{
    for (size_t i = 0; i < CONTROL_CLIENTS; i++)
        if (c->callers[i].fd == fd)
            return &c->callers[i];
    return NULL;
}

static void caller_ready(struct control *c, struct caller *p, short what, uint64_t now_ms)
{
    if (p->waits_for) {
        caller_drop(p);
    } else if (!p->out_len) {
        caller_read(c, p, now_ms);
    } else if (!caller_flush(p) || (what & (POLLERR | POLLNVAL))) {
        caller_drop(p);
    } else {
        p->last_ms = now_ms;
        handle_input(c, p);
    }
}

static void accept_one(struct control *c, uint64_t now_ms)
{
    struct caller *p = caller_free_slot(c);
    int fd = p ? accept4(c->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK) : -1;

    if (fd < 0)
        return;
    p->fd = fd;
    p->last_ms = now_ms;
}

void control_serve(struct control *c, const struct pollfd *fds, size_t count, uint64_t now_ms)
{
    for (size_t i = 0; i < count; i++) {
        struct caller *p = fds[i].fd == c->fd ? NULL : caller_by_fd(c, fds[i].fd);
        if (!fds[i].revents)
            continue;
        if (p)
            caller_ready(c, p, fds[i].revents, now_ms);
        else if (fds[i].fd == c->fd)
            accept_one(c, now_ms);
    }
    for (size_t i = 0; i < CONTROL_CLIENTS; i++)
        if (c->callers[i].fd >= 0 && !c->callers[i].waits_for &&
            now_ms - c->callers[i].last_ms > CONTROL_IDLE_MS)
            caller_drop(&c->callers[i]);
}
