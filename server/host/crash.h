/* Which module is running, for the report of a crash.
 *
 * Around every call into a module: on a loop this is its place's `asked` and `hook`, elsewhere the
 * thread's own. */
#ifndef SKEP_HOST_CRASH_H
#define SKEP_HOST_CRASH_H

#include "host/host.h"

struct blame {
    const struct skep_module *asked;
    const char *hook;
};

extern _Thread_local struct blame blame_here;

/* From now on a fatal signal first says which module and hook were running and where, on stderr and
 * in the log file; then things take their course (a core file, a sanitizer's report). */
void crash_install(void);
/* On a loop's thread, first: lets it report even that its stack has run out. */
void crash_thread(void);
/* Where a module's code is, so that addresses in it can be told by its file. */
void crash_know(const void *key, uintptr_t base, uintptr_t end, const char *file);
void crash_unknow(const void *key);

/* Returns what was noted before, for blame_end(): calls may nest. */
static inline struct blame blame_begin(const struct skep_module *m, const char *hook)
{
    struct host_place *p = host_here;
    struct blame before = p ? (struct blame){p->asked, p->hook} : blame_here;

    if (p) {
        p->asked = m;
        p->hook = hook;
    } else {
        blame_here = (struct blame){m, hook};
    }
    return before;
}

static inline void blame_end(struct blame before)
{
    struct host_place *p = host_here;

    if (p) {
        p->asked = before.asked;
        p->hook = before.hook;
    } else {
        blame_here = before;
    }
}

#endif
