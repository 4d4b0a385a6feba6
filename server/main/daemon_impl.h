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

/* plan: only finds out.  The caller frees r->arena. */
void reload_run(struct daemon *d, bool plan, struct reload *r);

/* Modules of the configuration, before anybody is served.  Complains to stderr and the log. */
int daemon_load_modules(struct daemon *d, char *why, size_t why_size);

/* Begins the end. */
void daemon_stop(struct daemon *d);

/* Answers a line of the control socket; arg is the daemon. */
void answer_control(void *arg, const char *cmd, const cJSON *request, cJSON *answer);

/* Checks certificates, keys and lists of every TLS listener; complains. */
void check_tls_files(struct settings *s);

#endif
