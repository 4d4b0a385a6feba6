/* Entry points of logging: levels, rate limits, and the way from a call to a line.
 * The layouts are in log_line.c, the destinations in log_sink.c. */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log_line.h"
#include "base/log_sink.h"

_Atomic int log_threshold = LOG_LEVEL_INFO;

static _Atomic uint64_t lost;               /* lines the destination did not take */
static _Atomic(struct log_limit *) limited; /* every site that ever kept a line back */
static _Atomic(log_capture_fn *) capture_fn;
static void *_Atomic capture_arg;

const char *log_level_name(enum log_level level)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    return names[level];
}

void log_level_set(enum log_level level)
{
    atomic_store(&log_threshold, (int)level);
}

enum log_level log_level_get(void)
{
    return (enum log_level)atomic_load(&log_threshold);
}

void log_capture(log_capture_fn *fn, void *arg)
{
    atomic_store(&capture_arg, arg);
    atomic_store(&capture_fn, fn);
}

int log_open(const struct log_conf *conf, char *why, size_t why_size)
{
    int err = log_sink_open(conf, why, why_size);
    if (err == 0)
        log_level_set(conf->level);
    return err;
}

int log_reopen(char *why, size_t why_size)
{
    return log_sink_reopen(why, why_size);
}

/* RFC 3164 to the local daemon: "<facility daemon * 8 + severity>date skep[pid]: " */
static size_t syslog_head(char *out, size_t size, const struct log_record *r)
{
    time_t seconds = (time_t)(r->wall_ms / 1000);
    struct tm tm;
    char date[32];

    localtime_r(&seconds, &tm);
    strftime(date, sizeof date, "%b %e %H:%M:%S", &tm);
    return (size_t)snprintf(out, size, "<%d>%s skep[%d]: ", 3 * 8 + log_severity(r->level), date,
                            (int)getpid());
}

static void prefixed(struct log_line *line, const char *head, size_t head_len)
{
    if (line->len > LOG_LINE_MAX - head_len)
        line->len = LOG_LINE_MAX - head_len;
    memmove(line->text + head_len, line->text, line->len);
    memcpy(line->text, head, head_len);
    line->len += head_len;
}

static void render(struct log_line *line, const struct log_record *r)
{
    char head[64];

    switch (log_sink_layout()) {
    case LOG_AS_TEXT:
        log_line_text(line, r);
        break;
    case LOG_AS_JSON:
        log_line_json(line, r);
        break;
    case LOG_AS_JOURNAL:
        log_line_journal(line, r);
        break;
    case LOG_AS_PREFIXED:
        log_line_bare(line, r);
        prefixed(line, head, (size_t)snprintf(head, sizeof head, "<%d>", log_severity(r->level)));
        break;
    case LOG_AS_SYSLOG:
        log_line_bare(line, r);
        line->len--; /* a datagram needs no newline */
        prefixed(line, head, syslog_head(head, sizeof head, r));
        break;
    }
}

static void emit(struct log_record *r)
{
    log_capture_fn *fn = atomic_load_explicit(&capture_fn, memory_order_acquire);
    struct log_line line;

    r->wall_ms = clock_wall_ms();
    render(&line, r);
    if (fn)
        fn(r->level, (struct str){line.text, line.len - 1}, atomic_load(&capture_arg));
    else if (!log_sink_write(line.text, line.len))
        atomic_fetch_add_explicit(&lost, 1, memory_order_relaxed);
}

static void list_site(struct log_limit *site, const char *area, const char *what)
{
    if (atomic_exchange(&site->listed, true))
        return;
    site->area = area;
    site->what = what;
    site->next = atomic_load(&limited);
    while (!atomic_compare_exchange_weak(&limited, &site->next, site))
        ;
}

/* May this site write now?  Two threads entering a new window together may let a line
 * too many through; that is cheaper than a lock. */
static bool limit_pass(struct log_limit *site, uint32_t *suppressed)
{
    uint64_t now = clock_mono_ms() / LOG_LIMIT_WINDOW_MS + 1;
    uint64_t window = atomic_load_explicit(&site->window, memory_order_relaxed);

    if (window != now && atomic_compare_exchange_strong(&site->window, &window, now))
        atomic_store(&site->used, 0);
    if (atomic_fetch_add(&site->used, 1) >= LOG_LIMIT_LINES) {
        atomic_fetch_sub(&site->used, 1);
        atomic_fetch_add(&site->suppressed, 1);
        return false;
    }
    *suppressed = atomic_exchange(&site->suppressed, 0);
    return true;
}

static void write_formatted(enum log_level level, const char *area, uint32_t suppressed,
                            const char *fmt, va_list args)
{
    char text[LOG_LINE_MAX];
    int n = vsnprintf(text, sizeof text, fmt, args);
    size_t len = n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
    struct log_record r = {
        .level = level, .area = area, .message = {text, len}, .suppressed = suppressed};
    emit(&r);
}

void log_write(enum log_level level, const char *area, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    write_formatted(level, area, 0, fmt, args);
    va_end(args);
}

void log_write_limited(struct log_limit *limit, enum log_level level, const char *area,
                       const char *fmt, ...)
{
    uint32_t suppressed = 0;
    va_list args;

    if (!limit_pass(limit, &suppressed)) {
        list_site(limit, area, fmt);
        return;
    }
    va_start(args, fmt);
    write_formatted(level, area, suppressed, fmt, args);
    va_end(args);
}

void log_write_fields(struct log_limit *limit, enum log_level level, const char *area,
                      const char *message, const struct log_field *fields, size_t count)
{
    struct log_record r = {.level = level,
                           .area = area,
                           .message = str_of(message),
                           .fields = fields,
                           .field_count = count};

    if (limit && !limit_pass(limit, &r.suppressed)) {
        list_site(limit, area, message);
        return;
    }
    emit(&r);
}

void log_tick(void)
{
    uint64_t now = clock_mono_ms() / LOG_LIMIT_WINDOW_MS + 1;
    uint64_t missing = atomic_exchange(&lost, 0);
    char why[256];

    for (struct log_limit *s = atomic_load(&limited); s; s = s->next) {
        if (atomic_load(&s->window) == now)
            continue; /* the site may still say it itself */
        uint32_t n = atomic_exchange(&s->suppressed, 0);
        if (n)
            log_kv(LOG_LEVEL_WARN, s->area, "more lines like this were kept back",
                   LOG_UINT("suppressed", n), LOG_TEXT("like", s->what));
    }
    if (missing)
        log_sink_reopen(why, sizeof why); /* the daemon may have restarted, a disk come back */
    if (missing)
        log_warn("log", "%llu lines were lost: the log's destination did not take them in time",
                 (unsigned long long)missing);
}
