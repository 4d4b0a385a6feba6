#include "main/process.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "main/settings.h"

enum { SPARE_DESCRIPTORS = 100, COMFORTABLE_DESCRIPTORS = 4096 };

int process_user(struct process_user *out, const struct settings *s, char *why, size_t why_size)
{
    const char *name = s->user ? s->user : "skep";
    struct passwd *pw;
    struct group *gr;

    *out = (struct process_user){.uid = geteuid(), .gid = getegid()};
    if (geteuid() != 0) {
        if (s->user || s->group)
            log_warn("main", "user and group are ignored: only root can change them");
        return 0;
    }
    pw = getpwnam(name);
    if (!pw && s->user) {
        snprintf(why, why_size, "there is no user %s", name);
        return ERR_NOT_FOUND;
    }
    if (!pw) {
        log_warn("main", "running as root: create a user skep, or name one with 'user'");
        return 0;
    }
    *out = (struct process_user){pw->pw_uid != 0, pw->pw_uid, pw->pw_gid, name};
    if (s->group) {
        if (!(gr = getgrnam(s->group))) {
            snprintf(why, why_size, "there is no group %s", s->group);
            return ERR_NOT_FOUND;
        }
        out->gid = gr->gr_gid;
        out->change = true;
    }
    return 0;
}

/* Leaving uid 0 clears all capabilities in every thread; PR_SET_NO_NEW_PRIVS keeps a
 * set-uid program from bringing them back. */
int process_drop(const struct process_user *user, char *why, size_t why_size)
{
    if (!user->change)
        return 0;
    if (initgroups(user->name, user->gid) < 0 || setresgid(user->gid, user->gid, user->gid) < 0 ||
        setresuid(user->uid, user->uid, user->uid) < 0 ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
        snprintf(why, why_size, "cannot become user %s: %s", user->name, strerror(errno));
        return ERR_SYSTEM;
    }
    if (user->uid != 0 && setuid(0) == 0) {
        snprintf(why, why_size, "privileges came back after dropping them");
        return ERR_SYSTEM;
    }
    return 0;
}

static int give_to(int fd, const struct process_user *user)
{
    return user->change ? fchown(fd, user->uid, user->gid) : 0;
}

static int lock_in(int dir, const char *path, const struct process_user *user, int *lock_fd,
                   char *why, size_t why_size)
{
    int fd = openat(dir, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0 || give_to(fd, user) < 0) {
        snprintf(why, why_size, "cannot write in data_dir %s: %s", path, strerror(errno));
    } else if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        snprintf(why, why_size, "data_dir %s is in use by another Skep", path);
    } else {
        *lock_fd = fd;
        return 0;
    }
    if (fd >= 0)
        close(fd);
    return ERR_SYSTEM;
}

int process_data_dir(const char *path, const struct process_user *user, int *lock_fd, char *why,
                     size_t why_size)
{
    bool made = mkdir(path, 0700) == 0;
    int dir, err;

    if (!made && errno != EEXIST) {
        snprintf(why, why_size,
                 "cannot create data_dir %s: %s (another place: skep -D 'data_dir PATH;')", path,
                 strerror(errno));
        return ERR_SYSTEM;
    }
    dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0 || (made && give_to(dir, user) < 0)) {
        snprintf(why, why_size, "cannot use data_dir %s: %s", path, strerror(errno));
        err = ERR_SYSTEM;
    } else {
        err = lock_in(dir, path, user, lock_fd, why, why_size);
    }
    if (dir >= 0)
        close(dir);
    return err;
}

int process_pid_file(const char *path, const struct process_user *user, char *why, size_t why_size)
{
    char text[32];
    int len = snprintf(text, sizeof text, "%d\n", (int)getpid());
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);

    if (fd < 0 || fchmod(fd, 0644) < 0 || give_to(fd, user) < 0 ||
        write(fd, text, (size_t)len) != len) {
        snprintf(why, why_size, "cannot write pid_file %s: %s", path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return ERR_SYSTEM;
    }
    close(fd);
    return 0;
}

int process_log_file(const char *path, const struct process_user *user, char *why, size_t why_size)
{
    if (!path || !user->change || chown(path, user->uid, user->gid) == 0)
        return 0;
    snprintf(why, why_size, "cannot give the log file %s to %s: %s", path, user->name,
             strerror(errno));
    return ERR_SYSTEM;
}

void process_descriptors(uint32_t max_connections)
{
    uint64_t wanted =
        max_connections ? (uint64_t)max_connections + SPARE_DESCRIPTORS : COMFORTABLE_DESCRIPTORS;
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    if (limit.rlim_cur < limit.rlim_max) {
        struct rlimit raised = {limit.rlim_max, limit.rlim_max};
        if (setrlimit(RLIMIT_NOFILE, &raised) == 0)
            limit = raised;
    }
    if (limit.rlim_cur < wanted)
        log_warn("main",
                 "only %llu descriptors are allowed: about %lld clients fit (raise LimitNOFILE)",
                 (unsigned long long)limit.rlim_cur, (long long)limit.rlim_cur - SPARE_DESCRIPTORS);
}
