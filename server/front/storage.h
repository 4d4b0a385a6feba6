/* The server's durable store: opened and taken up at the start, backed up and asked about while
 * it runs, closed last.  Main thread. */
#ifndef SKEP_FRONT_STORAGE_H
#define SKEP_FRONT_STORAGE_H

#include <stddef.h>

#include "front/server.h"

struct backups;
struct broker;
struct desk;
struct storage;
struct store;

/* Opens conf->store_dir and gives what it holds to the broker; then the desks' workers write to
 * it.  Their loops do not run yet.  On failure one line in `why`, and *out is to be closed as
 * well. */
int storage_open(struct storage **out, const struct server_conf *conf, struct broker *broker,
                 struct desk **desks, char *why, size_t why_size);
/* Waits for a backup that is being made.  The loops have stopped.  NULL is fine. */
void storage_close(struct storage **s);

struct store *storage_store(struct storage *s);
struct backups *storage_backups(struct storage *s);

/* As server_store_stats(). */
void storage_stats(struct storage *s, struct server_store_stats *out);

#endif
