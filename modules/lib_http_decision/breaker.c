#include "lib_http_decision/breaker.h"

void breaker_init(struct breaker *b, const struct breaker_conf *conf)
{
    *b = (struct breaker){.conf = *conf};
    if (b->conf.window > sizeof b->recent)
        b->conf.window = sizeof b->recent;
    pthread_mutex_init(&b->lock, NULL);
}

void breaker_fini(struct breaker *b)
{
    pthread_mutex_destroy(&b->lock);
}

static void become(struct breaker *b, enum breaker_state state)
{
    b->state = state;
    b->generation++;
    b->in_a_row = 0;
    b->recent_count = b->recent_at = b->recent_failures = 0;
}

static void open_it(struct breaker *b, uint64_t now_ms)
{
    become(b, BREAKER_OPEN);
    b->open_until = now_ms + ((uint64_t)b->conf.pause_ms << b->doubled);
}

bool breaker_ask(struct breaker *b, uint64_t now_ms, uint32_t *ticket)
{
    bool go;

    pthread_mutex_lock(&b->lock);
    go = b->state == BREAKER_CLOSED;
    if (b->state == BREAKER_OPEN && now_ms >= b->open_until) {
        become(b, BREAKER_HALF_OPEN);
        go = true;
    }
    *ticket = b->generation;
    pthread_mutex_unlock(&b->lock);
    return go;
}

bool breaker_refuses(struct breaker *b, uint64_t now_ms)
{
    pthread_mutex_lock(&b->lock);
    bool no = b->state == BREAKER_HALF_OPEN || (b->state == BREAKER_OPEN && now_ms < b->open_until);
    pthread_mutex_unlock(&b->lock);
    return no;
}

static void note(struct breaker *b, bool worked)
{
    b->in_a_row = worked ? 0 : b->in_a_row + 1;
    if (b->conf.window == 0)
        return;
    if (b->recent_count == b->conf.window)
        b->recent_failures -= b->recent[b->recent_at];
    else
        b->recent_count++;
    b->recent[b->recent_at] = !worked;
    b->recent_failures += !worked;
    b->recent_at = (b->recent_at + 1) % b->conf.window;
}

static bool too_many(const struct breaker *b)
{
    if (b->conf.failures && b->in_a_row >= b->conf.failures)
        return true;
    return b->conf.window && b->conf.percent && b->recent_count == b->conf.window &&
           b->recent_failures * 100 >= b->conf.percent * b->conf.window;
}

/* The probe's answer. */
static void settle(struct breaker *b, bool worked, uint64_t now_ms)
{
    if (worked) {
        b->doubled = 0;
        become(b, BREAKER_CLOSED);
        return;
    }
    if (b->doubled < 3)
        b->doubled++;
    open_it(b, now_ms);
}

bool breaker_report(struct breaker *b, uint32_t ticket, bool worked, uint64_t now_ms)
{
    bool changed = false;

    pthread_mutex_lock(&b->lock);
    if (ticket == b->generation && b->state == BREAKER_HALF_OPEN) {
        settle(b, worked, now_ms);
        changed = worked;
    } else if (ticket == b->generation) {
        note(b, worked);
        if (too_many(b)) {
            open_it(b, now_ms);
            changed = true;
        }
    }
    pthread_mutex_unlock(&b->lock);
    return changed;
}

void breaker_withdraw(struct breaker *b, uint32_t ticket, uint64_t now_ms)
{
    pthread_mutex_lock(&b->lock);
    if (ticket == b->generation && b->state == BREAKER_HALF_OPEN) {
        become(b, BREAKER_OPEN);
        b->open_until = now_ms;
    }
    pthread_mutex_unlock(&b->lock);
}

enum breaker_state breaker_state(struct breaker *b)
{
    pthread_mutex_lock(&b->lock);
    enum breaker_state state = b->state;
    pthread_mutex_unlock(&b->lock);
    return state;
}
