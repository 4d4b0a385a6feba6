/* Backups of the store while the broker runs: one at a time, each on a thread of its own.
 * Called on one thread. */
#ifndef SKEP_FRONT_BACKUP_H
#define SKEP_FRONT_BACKUP_H

#include "front/server.h"

struct backups;
struct store;

/* The store is borrowed, and must stay open until backups_free(). */
struct backups *backups_new(struct store *store);
/* Waits for the end of one that is being made.  NULL is fine. */
void backups_free(struct backups **b);

/* As server_backup() and server_backup_stats(). */
int backups_begin(struct backups *b, const char *dir, char *why, size_t why_size);
void backups_stats(struct backups *b, struct server_backup_stats *out);

#endif
