/* The process among others: its data directory and lock, its pid file, who it runs as,
 * how many descriptors it may have.  Main thread, before the loops start.
 *
 * Functions that can fail return 0 or a negative error with one line in `why`. */
#ifndef SKEP_MAIN_PROCESS_H
#define SKEP_MAIN_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct settings;

/* Who to become once the ports are bound and the keys are read. */
struct process_user {
    bool change;
    uid_t uid;
    gid_t gid;
    const char *name;
};

/* The user directive, or `skep` when started as root and there is one.  Warns when Skep is
 * going to run as root. */
int process_user(struct process_user *out, const struct settings *s, char *why, size_t why_size);

/* Gives up every privilege, for good. */
int process_drop(const struct process_user *user, char *why, size_t why_size);

/* Creates the directory (0700) if it is not there and takes its lock, so that no second
 * Skep uses it.  The lock lasts as long as *lock_fd is open. */
int process_data_dir(const char *path, const struct process_user *user, int *lock_fd, char *why,
                     size_t why_size);

/* Writes the process id; a stale file is replaced. */
int process_pid_file(const char *path, const struct process_user *user, char *why, size_t why_size);

/* Gives the log file to the user, who must be able to open it again; NULL path: nothing. */
int process_log_file(const char *path, const struct process_user *user, char *why, size_t why_size);

/* Raises the descriptor limit as far as allowed and warns when it is low. */
void process_descriptors(uint32_t max_connections);

#endif
