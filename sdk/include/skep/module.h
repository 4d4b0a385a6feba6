/* A module: a shared object that exports one descriptor.
 *
 *     #include <skep/module.h>
 *
 *     static enum skep_verdict on_connect(struct skep_request *r, void *self)
 *     {
 *         return skep_str_eq(skep_connect_username(r), SKEP_STR("bee")) ? skep_allow(r)
 *                                                                       : SKEP_NEXT;
 *     }
 *
 *     SKEP_MODULE = {
 *         SKEP_MODULE_HEAD("hello", "1.0", "lets one user in"),
 *         .on_connect = on_connect,
 *     };
 *
 * Build it with `cc -shared -fPIC hello.c -o hello.so $(pkg-config --cflags skep)`, name it in the
 * configuration (`load ./hello.so;`), start Skep.
 *
 * Life of an instance (one `load` line of one configuration):
 *
 *     load ──> warm ──> start ──> hooks ... ──> stop ──> unload
 *
 * A reload builds the new instances beside the running ones (load, warm).  If any of them fails,
 * those are unloaded and the old ones go on.  Otherwise, in one swap, the new ones get all new
 * calls; the old ones are stopped, keep what is pending until it is done, and are unloaded.  A
 * replaced .so file is loaded anew.  An instance whose options (and files named by SKEP_PATH
 * options) and .so did not change is kept as it is if the module says SKEP_KEEP.
 *
 * The chain: modules are asked in the order of their `load` lines.  SKEP_NEXT passes the question
 * on; ALLOW, DENY and ERROR end it.  At the end of the chain a CONNECT is refused (unless the
 * listener takes anonymous clients); publish and subscribe follow `acl_default`, and so
 * do deliveries where a module with on_deliver also decides about one of these. */
#ifndef SKEP_MODULE_H
#define SKEP_MODULE_H

#include <skep/base.h>
#include <skep/client.h>
#include <skep/decide.h>
#include <skep/option.h>

SKEP_BEGIN

struct skep_command; /* <skep/command.h> */
struct skep_event;   /* <skep/event.h> */
struct skep_warm;

enum skep_module_flags {
    /* A reload keeps the running instance if nothing about it changed. */
    SKEP_KEEP = 1,
    /* on_message is called also for what modules and the broker itself publish; default: only
     * for what clients (and their wills) publish. */
    SKEP_SEE_INTERNAL = 2,
    /* Its opinions count, but it is no authority: because of it alone no listener asks clients to
     * authenticate, and `acl_default auto` denies nothing. */
    SKEP_ADVISES = 4,
};

/* A hook left NULL costs nothing and means SKEP_NEXT.  All hooks get the instance's `self`. */
struct skep_descriptor {
    uint32_t size;
    uint16_t abi_major, abi_minor; /* of the headers it was compiled with */
    const char *name;              /* as in `load NAME`: a-z, 0-9, _ */
    const char *version, *summary;
    uint32_t flags;  /* skep_module_flags */
    uint64_t events; /* set of SKEP_EVENT_BIT(kind) that on_event wants */
    size_t conf_size;
    const struct skep_option *options; /* ends with {0} */

    /* Checks across options, files that can be opened, ...: also for `skep -t`.  Complains through
     * `report`.  Must change nothing.  Main thread, may take a second. */
    void (*check)(const void *conf, struct skep_report *report);

    /* Builds the instance.  conf lives until unload() returned.  *self is conf; set it to something
     * of your own if you need more.  Complain through `report` and return non-zero to refuse: then
     * nothing else is called, so free what was built.  Must not disturb a running instance.  Main
     * thread, may take a second (read files); no client is served by it yet. */
    int (*load)(struct skep_module *m, void *conf, void **self, struct skep_report *report);

    /* Begins to fetch what it needs before it can decide (keys, a first answer of a server), and
     * has skep_warm_done() called within 10 s.  Main thread; not called at the broker's start,
     * where start() comes first and decisions wait for themselves. */
    void (*warm)(void *self, struct skep_warm *warm);

    /* The configuration is in force: open sockets, arm timers.  previous is the `self` of the
     * instance it replaces, if that came from the same .so file, else NULL: take over what should
     * survive (connections, bans, caches).  Cannot fail.  Management loop. */
    void (*start)(void *self, void *previous);

    /* No new calls come, but pending requests go on until they are done.  Management loop. */
    void (*stop)(void *self);

    /* Nothing calls it any more: free everything.  Main thread. */
    void (*unload)(void *self);

    /* -- Decisions: see <skep/decide.h> -- */
    enum skep_verdict (*on_connect)(struct skep_request *r, void *self);
    enum skep_verdict (*on_auth)(struct skep_request *r, void *self);
    enum skep_verdict (*on_subscribe)(struct skep_request *r, void *self);
    enum skep_verdict (*on_publish)(struct skep_request *r, void *self);
    enum skep_verdict (*on_will)(struct skep_request *r, void *self);
    enum skep_verdict (*on_deliver)(struct skep_request *r, void *self);
    /* Not a decision but a change: after on_publish allowed it, every module's on_message may
     * alter the message, route it elsewhere or drop it. */
    enum skep_verdict (*on_message)(struct skep_request *r, void *self);

    /* Something happened: see <skep/event.h>. */
    void (*on_event)(const struct skep_event *event, void *self);
    /* `skepctl module call NAME ...`: see <skep/command.h>.  Management loop. */
    void (*on_command)(struct skep_command *command, void *self);

    void *reserved[6];
};

#define SKEP_MODULE SKEP_EXPORT const struct skep_descriptor skep_module_descriptor
#define SKEP_MODULE_HEAD(name_, version_, summary_)                                                \
    .size = sizeof(struct skep_descriptor), .abi_major = SKEP_ABI_MAJOR,                           \
    .abi_minor = SKEP_ABI_MINOR, .name = name_, .version = version_, .summary = summary_

extern SKEP_MODULE;

/* The answer to warm(): error NULL when ready, else one line, which refuses the reload.  Any
 * thread, once. */
SKEP_EXPORT void skep_warm_done(struct skep_warm *warm, const char *error);

/* Name of the instance ("auth_http", or "auth_http:internal" for `load auth_http:internal`).
 * Lives as long as m. */
SKEP_EXPORT const char *skep_module_name(const struct skep_module *m);

/* From load(): this instance takes part in these stages (set of 1 << SKEP_STAGE_*) and wants these
 * events only; what is left out costs nothing. */
SKEP_EXPORT void skep_module_narrow(struct skep_module *m, unsigned stages, uint64_t events);

/* From load(): on_message has something to do only with topics that match one of these filters.  It
 * may be called for others all the same; it is not where a look at the topic's first level tells.
 */
SKEP_EXPORT void skep_module_topics(struct skep_module *m, const struct skep_str *filters,
                                    size_t count);

/* Asks for a reload of the configuration, as `skepctl reload` does: for a module that watches files
 * its instance was built from.  Any thread; several requests at one time become one. */
SKEP_EXPORT void skep_request_reload(struct skep_module *m);

/* A directory for the module's own files, made when first asked for: DATA_DIR/modules/NAME.
 * Terminated; lives as long as m.  Main thread, or a job.  NULL: it could not be made. */
SKEP_EXPORT const char *skep_module_directory(struct skep_module *m);

/* Raises an alarm that operators see (log, event, status) until it is cleared; name is a word, text
 * one line.  Raising it again only changes the text.  Any thread. */
SKEP_EXPORT void skep_alarm(struct skep_module *m, const char *name, const char *text);
SKEP_EXPORT void skep_alarm_clear(struct skep_module *m, const char *name);

SKEP_END
#endif
