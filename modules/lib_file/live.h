/* A file that a module decides by, kept up to date.
 *
 * It is read and parsed when the module is loaded, and once more whenever it changed: looked at
 * every second on the management loop, taken when two looks in a row found the same (so that one
 * that is being written is left alone), parsed in the job pool, and put in the place of the old
 * one.  A file that does not parse leaves the old one in force and raises an alarm with its
 * file:line.
 *
 * Readers take no lock: what was replaced is freed after every loop has run a task, and what
 * live_now() returned is used within one hook only. */
#ifndef LIB_FILE_LIVE_H
#define LIB_FILE_LIVE_H

#include <skep/command.h>
#include <skep/module.h>

#include "fault.h"

struct live;

struct live_kind {
    const char *noun;  /* "users file" */
    const char *hint;  /* what to do when it is not there; NULL: nothing to say */
    const char *alarm; /* a word: "users_file" */
    size_t max_size;   /* bytes */
    bool secret;       /* warn when others may read it */
    /* NULL when it cannot be used: then faults says why.  Faults may hold warnings besides.  Any
     * thread. */
    void *(*parse)(struct skep_str text, const void *options, struct faults *faults);
    const void *options; /* for parse; lives as long as the instance */
    void (*free)(void *parsed);
    /* After a change took effect, on the management loop; may be NULL. */
    void (*changed)(void *parsed, void *arg);
};

/* For check(): reads, parses, complains, forgets. */
void live_check(const char *path, const struct live_kind *kind, struct skep_report *report);

/* For load(): NULL when the file cannot be used, after complaining.  All of it lives as long as
 * the instance; arg is changed()'s. */
struct live *live_open(struct skep_module *m, const char *path, const struct live_kind *kind,
                       void *arg, struct skep_report *report);

/* For start() and stop(): begins and ends to look for changes. */
void live_start(struct live *l);
void live_stop(struct live *l);

/* For unload().  Accepts NULL. */
void live_free(struct live **l);

/* What is in force.  On a loop or the management loop, until the hook returns. */
const void *live_now(const struct live *l);

/* When it was last taken from the disk, wall clock; and whether what lies there now is refused. */
uint64_t live_loaded_at_ms(const struct live *l);
bool live_is_stale(const struct live *l);

#endif
