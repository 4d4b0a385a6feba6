/* Log lines: for people as text, for machines as JSON, from any thread.
 *
 *     log_info("store", "replayed %zu records", n);
 *     log_limited(LOG_LEVEL_WARN, "front", "malformed packet from %s", addr);
 *     log_kv(LOG_LEVEL_INFO, "front", "client connected", LOG_STR("client", id),
 *            LOG_UINT("keep_alive", 60));
 *
 * A level that is off costs one relaxed load and a branch; its arguments are not
 * evaluated.  A line is built on the caller's stack and handed over in one write;
 * no lock is taken.  What the destination cannot take now is dropped and counted,
 * never waited for.  Control characters, invalid UTF-8 and characters that turn the
 * text direction are escaped wherever they come from, so a peer's bytes cannot forge
 * or hide a line.  Secrets are the caller's business: do not pass them.
 *
 * Lines that a peer can cause at will go through log_limited or log_kv_limited: each
 * call site may write LOG_LIMIT_LINES in LOG_LIMIT_WINDOW_MS, and says in its next
 * line (or in log_tick's) how many it kept back. */
#ifndef SKEP_BASE_LOG_H
#define SKEP_BASE_LOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };
enum log_target { LOG_TO_STDERR, LOG_TO_FILE, LOG_TO_SYSLOG, LOG_TO_JOURNAL };

enum { LOG_LIMIT_LINES = 10, LOG_LIMIT_WINDOW_MS = 10000 };

struct log_conf {
    enum log_level level;
    enum log_format format; /* syslog and journal have their own */
    enum log_target target;
    const char *path; /* LOG_TO_FILE only */
};

/* Starts writing to the destination described; before the first call lines go to
 * stderr as text from LOG_LEVEL_INFO on.  ERR_SYSTEM with a sentence in `why` when it
 * cannot be opened; the earlier destination then stays.  Main thread. */
int log_open(const struct log_conf *conf, char *why, size_t why_size);

/* Opens the file or the daemon's socket again by its name (after rotation, after a
 * restart).  A no-op for stderr. */
int log_reopen(char *why, size_t why_size);

void log_level_set(enum log_level level);
enum log_level log_level_get(void);

/* "debug", "info", "warn", "error". */
const char *log_level_name(enum log_level level);

/* Says what rate limits kept back from sites that have been silent since, and how many
 * lines the destination could not take (which it then opens again).  Main calls it every
 * few seconds. */
void log_tick(void);

/* Writes the bytes as they are to stderr and, if that is the destination, the log file.  May be
 * called from a signal handler: for the last words of a process. */
void log_emergency(const char *bytes, size_t len);

/* Sees every line (without its newline) instead of the destination; NULL ends that.
 * For tests; `fn` is called on the logging thread. */
typedef void log_capture_fn(enum log_level level, struct str line, void *arg);
void log_capture(log_capture_fn *fn, void *arg);

enum log_field_kind { LOG_FIELD_STR, LOG_FIELD_INT, LOG_FIELD_UINT, LOG_FIELD_BOOL };

struct log_field {
    const char *key; /* [a-z0-9_]+ */
    enum log_field_kind kind;
    union {
        struct str str;
        int64_t i;
        uint64_t u;
        bool b;
    } value;
};

#define LOG_STR(k, v)  ((struct log_field){.key = (k), .kind = LOG_FIELD_STR, .value.str = (v)})
#define LOG_TEXT(k, v) LOG_STR(k, str_of(v))
#define LOG_INT(k, v)  ((struct log_field){.key = (k), .kind = LOG_FIELD_INT, .value.i = (v)})
#define LOG_UINT(k, v) ((struct log_field){.key = (k), .kind = LOG_FIELD_UINT, .value.u = (v)})
#define LOG_BOOL(k, v) ((struct log_field){.key = (k), .kind = LOG_FIELD_BOOL, .value.b = (v)})

/* One a call site, in static storage, zero-initialised. */
struct log_limit {
    _Atomic uint64_t window; /* number of the current window, plus one */
    _Atomic uint32_t used, suppressed;
    _Atomic bool listed;
    const char *area, *what;
    struct log_limit *next;
};

/* Below: what the macros call. */
extern _Atomic int log_threshold;

void log_write(enum log_level level, const char *area, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void log_write_limited(struct log_limit *limit, enum log_level level, const char *area,
                       const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void log_write_fields(struct log_limit *limit, enum log_level level, const char *area,
                      const char *message, const struct log_field *fields, size_t count);

static inline bool log_on(enum log_level level)
{
    return (int)level >= atomic_load_explicit(&log_threshold, memory_order_relaxed);
}

#define LOG_AT(level, ...)                                                                         \
    do {                                                                                           \
        if (log_on(level))                                                                         \
            log_write(level, __VA_ARGS__);                                                         \
    } while (0)

#define log_debug(...) LOG_AT(LOG_LEVEL_DEBUG, __VA_ARGS__)
#define log_info(...)  LOG_AT(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_warn(...)  LOG_AT(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_error(...) LOG_AT(LOG_LEVEL_ERROR, __VA_ARGS__)

/* log_limited(level, area, fmt, ...) */
#define log_limited(level, ...)                                                                    \
    do {                                                                                           \
        static struct log_limit log_site_;                                                         \
        if (log_on(level))                                                                         \
            log_write_limited(&log_site_, level, __VA_ARGS__);                                     \
    } while (0)

#define LOG_FIELDS(...)                                                                            \
    (const struct log_field[]){__VA_ARGS__},                                                       \
        sizeof((const struct log_field[]){__VA_ARGS__}) / sizeof(struct log_field)

/* log_kv(level, area, message, LOG_STR(...), LOG_UINT(...), ...), at least one field */
#define log_kv(level, area, message, ...)                                                          \
    do {                                                                                           \
        if (log_on(level))                                                                         \
            log_write_fields(NULL, level, area, message, LOG_FIELDS(__VA_ARGS__));                 \
    } while (0)

#define log_kv_limited(level, area, message, ...)                                                  \
    do {                                                                                           \
        static struct log_limit log_site_;                                                         \
        if (log_on(level))                                                                         \
            log_write_fields(&log_site_, level, area, message, LOG_FIELDS(__VA_ARGS__));           \
    } while (0)

#endif
