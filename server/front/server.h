/* The running server: loops, listeners and the clients behind them, as main sees it.
 *
 *     server_open      binds every listener and reads its keys (may need privileges)
 *     server_restore   opens the store and takes up its state
 *     server_start     starts the loops; clients are served from here on
 *     server_reload    swaps limits, policies, certificates and listeners; all or nothing
 *     server_drain     stops accepting, tells every client (MQTT 5: 0x8B) and lets go
 *     server_free      stops the loops, waits for a backup and frees
 *
 * Everything here is called on the main thread.  The conf and all it points to is
 * borrowed until the call returns. */
#ifndef SKEP_FRONT_SERVER_H
#define SKEP_FRONT_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/ledger.h"
#include "core/limits.h"
#include "net/listen.h"
#include "store/wal.h"

struct host;
struct server;

enum username_from { USERNAME_NONE, USERNAME_CN, USERNAME_SUBJECT };

enum { VERSION_3_1 = 1, VERSION_3_1_1 = 2, VERSION_5 = 4, VERSION_ALL = 7 };

/* One bound address.  A listener with several `bind` lines becomes several of these with
 * one name; on reload, (name, address) says which is which. */
struct server_listener {
    struct listen_conf listen; /* handler and user are filled in by the server */
    bool anonymous;            /* a CONNECT nobody vouches for is let in */
    unsigned versions;         /* set of VERSION_* */
    const char *mount_point;   /* prefix for every topic of its clients; NULL: none */
    enum username_from username_from;
    bool username_from_psk;      /* the PSK identity is the user name */
    uint32_t connect_timeout_ms; /* from accept to the whole CONNECT */
};

struct server_conf {
    unsigned threads; /* >= 1; fixed from server_open on */
    struct limits limits;
    const struct server_listener *listeners;
    size_t listener_count;
    uint32_t sys_interval_ms; /* $SYS topics; 0: off */
    const char *data_dir;     /* absolute, for what modules keep; NULL: they keep nothing */
    /* The durable store; fixed from server_start on. */
    const char *store_dir; /* NULL: nothing survives this process */
    enum wal_sync sync;
    uint32_t sync_interval_ms;
    uint64_t checkpoint_bytes; /* 0: what is usual */
};

/* On failure, one line in `why` that names what failed. */
int server_open(struct server **out, const struct server_conf *conf, char *why, size_t why_size);
int server_restore(struct server *s, const struct server_conf *conf, char *why, size_t why_size);
int server_start(struct server *s, const struct server_conf *conf, char *why, size_t why_size);
/* swap: called once nothing can fail any more and before anything changes; may be NULL. */
int server_reload(struct server *s, const struct server_conf *conf, void (*swap)(void *arg),
                  void *arg, char *why, size_t why_size);

/* What modules belong to; open from server_open() on. */
struct host *server_host(const struct server *s);

/* Begins an orderly end.  Afterwards server_connections() falls to 0; main waits for that,
 * but not for ever. */
void server_drain(struct server *s);
void server_free(struct server **s);

uint32_t server_connections(const struct server *s);

/* Asks every loop for a sign of life and says whether all have answered the last request;
 * true on the first call.  For the watchdog. */
bool server_pulse(struct server *s);

/* The i-th bound address ("mqtt", "127.0.0.1:1883"), for the start line and status; false
 * behind the last.  Valid until the next reload. */
bool server_address(const struct server *s, size_t i, const char **name, const char **address);

/* The name of the listener behind that address; *anonymous, unless NULL: it lets in whom nobody
 * vouches for.  NULL behind the last. */
const char *server_listener(const struct server *s, size_t i, bool *anonymous);

/* Counters for `skepctl status`, summed over the loops. */
struct server_stats {
    uint64_t connections, sessions, subscriptions, retained;
    uint64_t messages_in, messages_out, messages_dropped, bytes_in, bytes_out;
};
void server_stats(const struct server *s, struct server_stats *out);

/* The whole ledger, summed over the loops. */
void server_ledger(const struct server *s, struct ledger_sum *out);

/* -- The store -- */

enum { SERVER_WHY = 512 }; /* bytes of a reason in one line */

struct server_store_stats {
    bool on; /* false: nothing else means anything */
    enum wal_sync sync;
    uint64_t log_bytes;       /* that no checkpoint has yet: what a start would replay */
    uint64_t unsettled_bytes; /* of them, what may not be acknowledged yet */
    uint64_t unsynced_bytes;  /* of them, what is not known to be on the disk */
    unsigned segments, spare_segments;
    uint64_t checkpoints, checkpoint_failures; /* since the start */
    uint64_t syncs, write_failures;            /* the same */
    bool refusing;        /* the disk takes nothing: what must survive is refused, */
    char why[SERVER_WHY]; /* for this reason */
};
void server_store_stats(const struct server *s, struct server_store_stats *out);

/* Begins a backup into `dir`, an absolute path, and returns: a thread of its own makes it (see
 * store_backup()).  One at a time.  ERR_EXISTS, or ERR_NOT_FOUND when the store is off, with a
 * line in `why`. */
int server_backup(struct server *s, const char *dir, char *why, size_t why_size);

/* The backup that was begun last. */
struct server_backup_stats {
    uint64_t number; /* counted from 1; 0: none was begun */
    const char *dir; /* valid until the next one begins */
    bool running, failed;
    char why[SERVER_WHY]; /* if it failed */
    uint64_t took_ms;     /* so far, or as a whole */
};
void server_backup_stats(const struct server *s, struct server_backup_stats *out);

#endif
