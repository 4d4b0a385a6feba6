/* Shared by daemon.c (start, loop, stop) and its parts reload.c and answer.c. */
#ifndef SKEP_MAIN_DAEMON_IMPL_H
#define SKEP_MAIN_DAEMON_IMPL_H

#include "conf/show.h"
#include "front/server.h"
#include "main/control.h"
#include "main/daemon.h"
#include "main/process.h"

enum daemon_state { DAEMON_STARTING, DAEMON_RUNNING, DAEMON_DRAINING, DAEMON_ENDED };

struct daemon {
    const struct options *options;
    enum daemon_state state;
    struct settings *settings;
    struct process_user user;
    struct server *server;
    struct control *control;
    struct reloading *reloading; /* NULL: none is under way */
    int lock_fd, signal_fd;
    bool pid_file_written;
    uint64_t started_ms, deadline_ms; /* of the drain */
    uint64_t next_tick_ms, next_watchdog_ms;
};

/* What a reload found, in `arena`. */
struct reload {
    struct arena arena;
    const char *error; /* NULL: done, or (plan) would be */
    struct show_change *changes;
    struct life_step *modules; /* what happens to each, in words */
    const char **messages;     /* errors and warnings of the configuration */
    size_t message_count;
};

/* Only finds out.  *r is zero, and its arena the caller's; so below. */
void reload_plan(struct daemon *d, struct reload *r);

/* True: it is over, with *r saying how.  False: modules warm up; reload_tick() ends it, and answers
 * whoever reload_wait() names. */
bool reload_begin(struct daemon *d, struct reload *r);
void reload_wait(struct daemon *d, uint64_t ticket);
/* Nobody waits for the result; while another one is under way, once that is over. */
void reload_quietly(struct daemon *d);
void reload_tick(struct daemon *d);
/* The end has begun: what runs stays as it is. */
void reload_cancel(struct daemon *d);

/* The answer to who waited.  On the control socket. */
void answer_reload_ended(struct daemon *d, uint64_t ticket, const struct reload *r);

/* What only a restart changes stays as it runs, so that the next comparison says it again. */
void keep_fixed(struct settings *next, const struct settings *old);

/* Modules of the configuration, before anybody is served.  Complains to stderr and the log. */
int daemon_load_modules(struct daemon *d, char *why, size_t why_size);

/* Begins the end. */
void daemon_stop(struct daemon *d);

/* Answers a line of the control socket; arg is the daemon. */
void answer_control(void *arg, const char *cmd, const cJSON *request, cJSON *answer);

/* Checks certificates, keys and lists of every TLS listener; complains. */
void check_tls_files(struct settings *s);

#endif
