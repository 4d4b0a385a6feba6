/* The rules from the environment, and the count of calls that fit them. */
#include "shim.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum when { WHEN_NEVER, WHEN_BEFORE, WHEN_AFTER, WHEN_TORN };

struct rule {
    bool used;
    enum shim_op op;
    enum shim_class class; /* CLASS_NONE: any */
    uint32_t types;        /* 0: any write */
    unsigned long n, count;
};

static struct {
    struct rule kill, fail;
    enum when when;
    int error;
    char flag[4096];
    const char *arm;
    unsigned delay_ms;
    size_t short_bytes;
    pthread_mutex_t mutex;
} points = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static _Noreturn void misuse(const char *text)
{
    fprintf(stderr, "crash shim: cannot make sense of '%s'\n", text);
    _exit(70);
}

static int index_of(const char *word, const char *const *words, int count)
{
    for (int i = 0; i < count; i++) {
        if (strcmp(word, words[i]) == 0)
            return i;
    }
    return -1;
}

/* "OP:FILE:N" */
static void rule_read(struct rule *r, const char *text)
{
    static const char *const ops[] = {"write", "sync", "rename", "unlink", "create"};
    static const char *const classes[] = {"any", "log", "state", "meta"};
    char op[32], class[32];
    unsigned type;

    if (sscanf(text, "%31[^:]:%31[^:]:%lu", op, class, &r->n) != 3)
        misuse(text);
    int at = index_of(op, ops, OPS), kind = index_of(class, classes, 4);
    if (sscanf(op, "record-%u", &type) == 1 && type < 32) {
        at = OP_WRITE;
        r->types = 1u << type;
    }
    if (at < 0 || kind < 0 || r->n == 0)
        misuse(text);
    r->op = (enum shim_op)at;
    r->class = (enum shim_class)kind;
    r->used = true;
}

static void kill_read(const char *text)
{
    static const char *const whens[] = {"never", "before", "after", "torn"};
    char when[32];
    int len = 0;

    if (sscanf(text, "%31[^:]:%n", when, &len) != 1 || !len || index_of(when, whens, 4) < 1)
        misuse(text);
    points.when = (enum when)index_of(when, whens, 4);
    rule_read(&points.kill, text + len);
}

static void fail_read(const char *text)
{
    char error[32], call[96];

    if (sscanf(text, "%31[^:]:%95[^:]", error, call) != 2)
        misuse(text);
    points.error = strcmp(error, "EIO") == 0 ? EIO : strcmp(error, "ENOSPC") == 0 ? ENOSPC : 0;
    const char *rest = strchr(text, ':') + 1;
    rule_read(&points.fail, rest);
    for (int i = 0; i < 3 && rest; i++)
        rest = strchr(rest, ':') ? strchr(rest, ':') + 1 : NULL;
    if (!points.error || !rest || strlen(rest) >= sizeof points.flag)
        misuse(text);
    strcpy(points.flag, rest);
}

void point_init(void)
{
    const char *text;

    if ((text = getenv("SHIM_KILL")))
        kill_read(text);
    if ((text = getenv("SHIM_FAIL")))
        fail_read(text);
    points.arm = getenv("SHIM_ARM");
    if ((text = getenv("SHIM_DELAY_MS")))
        points.delay_ms = (unsigned)strtoul(text, NULL, 10);
    if ((text = getenv("SHIM_SHORT")))
        points.short_bytes = strtoul(text, NULL, 10);
}

/* Once armed it stays so.  Mutex held. */
static bool armed(void)
{
    if (points.arm && access(points.arm, F_OK) == 0)
        points.arm = NULL;
    return !points.arm;
}

static bool fits(const struct rule *r, enum shim_op op, enum shim_class class, uint32_t types)
{
    bool file = r->class == CLASS_NONE || r->class == class ||
                (r->class == CLASS_STATE && class == CLASS_META);
    return r->used && r->op == op && file && (!r->types || r->types & types);
}

/* Mutex held. */
static enum point_verdict judge(enum shim_op op, enum shim_class class, uint32_t types)
{
    if (!armed())
        return POINT_PASS;
    if (fits(&points.kill, op, class, types) && ++points.kill.count == points.kill.n) {
        if (points.when == WHEN_BEFORE)
            point_kill();
        return points.when == WHEN_TORN ? POINT_TEAR : POINT_KILL_AFTER;
    }
    if (fits(&points.fail, op, class, types) && access(points.flag, F_OK) == 0 &&
        ++points.fail.count >= points.fail.n)
        return POINT_FAIL;
    return POINT_PASS;
}

enum point_verdict point_enter(enum shim_op op, enum shim_class class, uint32_t types)
{
    pthread_mutex_lock(&points.mutex);
    enum point_verdict verdict = judge(op, class, types);
    pthread_mutex_unlock(&points.mutex);
    errno = verdict == POINT_FAIL ? points.error : errno;
    return verdict;
}

void point_kill(void)
{
    syscall(SYS_kill, getpid(), SIGKILL);
    for (;;)
        pause();
}

unsigned point_delay_ms(void)
{
    return points.delay_ms;
}

size_t point_short(void)
{
    return points.short_bytes;
}
