#include "live.h"

#include <skep/loop.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "text.h"

enum { LOOK_MS = 1000, WHERE_MAX = 600 };

struct live {
    struct skep_module *m;
    const char *path;
    const struct live_kind *kind;
    void *arg;
    void *_Atomic parsed;

    /* The management loop's. */
    struct skep_timer *timer; /* NULL: not watching */
    struct file_mark taken;   /* what was last parsed, or refused */
    struct file_mark seen;
    bool busy; /* a job is at it */
    _Atomic bool stale;
    _Atomic uint64_t loaded_at_ms;
};

/* One reading of the file. */
struct reading {
    struct live *l;
    const char *path;
    const struct live_kind *kind;
    void *parsed;
    struct file_mark mark;
    struct faults faults;
};

static void *need(void *memory)
{
    if (!memory)
        abort(); /* some hundred bytes */
    return memory;
}

/* -- Reading -- */

static void others_may_read(struct reading *r)
{
    if (r->kind->secret && r->mark.there && (r->mark.mode & 07))
        faults_warn(&r->faults, 0, 0, "chmod o-rwx takes that right away",
                    "others than its owner and group may read or write it (mode %04o)",
                    r->mark.mode);
}

static void reading_run(struct reading *r)
{
    struct skep_str text = {0};
    char why[120];

    if (file_read(r->path, r->kind->max_size, &text, &r->mark, why, sizeof why) < 0) {
        faults_error(&r->faults, 0, 0, r->kind->hint, "the %s cannot be read: %s", r->kind->noun,
                     why);
        return;
    }
    others_may_read(r);
    r->parsed = r->kind->parse(text, r->kind->options, &r->faults);
    file_forget(&text);
    if (!r->parsed && r->faults.errors == 0)
        faults_error(&r->faults, 0, 0, NULL, "it cannot be used");
}

/* Warnings are check()'s, which always comes before load(). */
static void reading_report(const struct reading *r, struct skep_report *report, bool warnings)
{
    for (unsigned i = 0; i < r->faults.count; i++) {
        const struct fault *f = &r->faults.list[i];
        struct skep_place place = {r->path, f->line ? f->line : 1, f->column ? f->column : 1};
        const char *hint = f->hint[0] ? f->hint : NULL;

        if (f->warning && warnings)
            skep_report_warning(report, &place, hint, "%s", f->text);
        else if (!f->warning)
            skep_report(report, &place, hint, "%s", f->text);
    }
    if (r->faults.more && warnings)
        skep_report_warning(report, NULL, NULL, "%s: %u more complaints are not shown", r->path,
                            r->faults.more);
}

static void reading_log(const struct reading *r)
{
    for (unsigned i = 0; i < r->faults.count; i++) {
        const struct fault *f = &r->faults.list[i];

        skep_log(r->l->m, f->warning ? SKEP_LOG_WARN : SKEP_LOG_ERROR, "%s:%u:%u: %s%s%s", r->path,
                 f->line ? f->line : 1, f->column ? f->column : 1, f->text, f->hint[0] ? "; " : "",
                 f->hint);
    }
}

void live_check(const char *path, const struct live_kind *kind, struct skep_report *report)
{
    struct reading r = {.path = path, .kind = kind};

    reading_run(&r);
    reading_report(&r, report, true);
    if (r.parsed)
        kind->free(r.parsed);
}

/* -- Life -- */

struct live *live_open(struct skep_module *m, const char *path, const struct live_kind *kind,
                       void *arg, struct skep_report *report)
{
    struct reading r = {.path = path, .kind = kind};
    struct live *l;

    reading_run(&r);
    reading_report(&r, report, false);
    if (!r.parsed)
        return NULL;
    l = need(calloc(1, sizeof *l));
    *l = (struct live){
        .m = m, .path = path, .kind = kind, .arg = arg, .taken = r.mark, .seen = r.mark};
    atomic_init(&l->parsed, r.parsed);
    atomic_init(&l->loaded_at_ms, skep_wall_ms());
    return l;
}

void live_free(struct live **l)
{
    if (*l) {
        (*l)->kind->free(atomic_load(&(*l)->parsed));
        free(*l);
    }
    *l = NULL;
}

const void *live_now(const struct live *l)
{
    return atomic_load_explicit(&l->parsed, memory_order_acquire);
}

uint64_t live_loaded_at_ms(const struct live *l)
{
    return atomic_load_explicit(&l->loaded_at_ms, memory_order_relaxed);
}

bool live_is_stale(const struct live *l)
{
    return atomic_load_explicit(&l->stale, memory_order_relaxed);
}

/* -- Replacing: the old one goes when every loop has been through a task -- */

struct retired {
    struct live *l;
    void *parsed;
    atomic_uint loops_left;
};

static void retired_step(void *arg)
{
    struct retired *old = arg;

    if (atomic_fetch_sub(&old->loops_left, 1) > 1)
        return;
    old->l->kind->free(old->parsed);
    /* Who was deciding by the old one during the swap may have had its verdict remembered. */
    skep_forget_verdicts(old->l->m);
    free(old);
}

static void replace(struct live *l, void *parsed)
{
    struct retired *old = need(malloc(sizeof *old));
    unsigned loops = skep_loop_count(l->m);

    old->l = l;
    old->parsed = atomic_exchange(&l->parsed, parsed);
    atomic_init(&old->loops_left, loops + 1);
    atomic_store(&l->loaded_at_ms, skep_wall_ms());
    skep_forget_verdicts(l->m);
    for (unsigned i = 0; i < loops; i++)
        skep_post(l->m, i, retired_step, old, retired_step);
    skep_post(l->m, SKEP_MANAGEMENT, retired_step, old, retired_step);
}

/* -- Looking for changes -- */

static void refuse(const struct reading *r)
{
    struct live *l = r->l;
    char where[WHERE_MAX];
    const struct fault *f = &r->faults.list[0];

    for (unsigned i = 0; i < r->faults.count && f->warning; i++)
        f = &r->faults.list[i];
    snprintf(where, sizeof where, "%s:%u:%u: %s; the %s of before stays in force", l->path,
             f->line ? f->line : 1, f->column ? f->column : 1, f->text, l->kind->noun);
    atomic_store(&l->stale, true);
    skep_alarm(l->m, l->kind->alarm, where);
}

static void accept(struct reading *r)
{
    struct live *l = r->l;

    replace(l, r->parsed);
    if (l->kind->changed)
        l->kind->changed(r->parsed, l->arg);
    r->parsed = NULL;
    if (atomic_exchange(&l->stale, false))
        skep_alarm_clear(l->m, l->kind->alarm);
    skep_log(l->m, SKEP_LOG_INFO, "the %s %s changed and is in force", l->kind->noun, l->path);
}

static void job_work(void *arg)
{
    reading_run(arg);
}

static void job_done(void *arg)
{
    struct reading *r = arg;
    struct live *l = r->l;

    l->busy = false;
    if (l->timer) {
        reading_log(r);
        l->taken = r->mark.there ? r->mark : l->seen;
        if (r->parsed)
            accept(r);
        else
            refuse(r);
    }
    if (r->parsed)
        l->kind->free(r->parsed);
    free(r);
}

static void take(struct live *l)
{
    struct reading *r = need(calloc(1, sizeof *r));

    *r = (struct reading){.l = l, .path = l->path, .kind = l->kind};
    l->busy = true;
    if (skep_job(l->m, job_work, job_done, r) == 0)
        return;
    l->busy = false; /* the pool is full: next time */
    free(r);
}

static void look(void *arg)
{
    struct live *l = arg;
    struct file_mark now;

    skep_timer_set(l->timer, LOOK_MS);
    if (l->busy)
        return;
    file_look(l->path, &now);
    if (!file_mark_eq(&now, &l->taken) && file_mark_eq(&now, &l->seen))
        take(l);
    l->seen = now;
}

void live_start(struct live *l)
{
    l->timer = skep_timer_new(l->m, look, l);
    if (l->timer)
        skep_timer_set(l->timer, LOOK_MS);
    else
        skep_log(l->m, SKEP_LOG_ERROR, "changes of %s will not be seen: no timer", l->path);
}

void live_stop(struct live *l)
{
    skep_timer_free(l->timer);
    l->timer = NULL;
    if (atomic_exchange(&l->stale, false))
        skep_alarm_clear(l->m, l->kind->alarm);
}
