/* The turn, the inbox and the life of a loop.  See loop.h for the order of a turn.
 *
 * Sleeping and waking: the loop stores `asleep`, then looks at the inbox once more; a
 * poster pushes its task, then looks at `asleep`.  Both are sequentially consistent, so
 * one of the two sees the other, and only the poster that clears `asleep` pays for the
 * eventfd write. */
#include "net/loop.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "net/conn.h"
#include "net/loop_impl.h"

enum {
    LOOP_MAGIC = 0x4c4f4f50,
    TIMERS_PER_TURN = 4096,
};

static _Atomic(struct loop *) loops[LOOP_MAX];
static _Thread_local struct loop *current;

struct loop *loop_at(unsigned index)
{
    return atomic_load_explicit(&loops[index], memory_order_relaxed);
}

struct loop *loop_current(void)
{
    return current;
}

unsigned loop_index(const struct loop *l)
{
    return l->index;
}

void *loop_user(const struct loop *l)
{
    return l->user;
}

uint64_t loop_now_ms(const struct loop *l)
{
    return l->now_ms;
}

uint64_t loop_wall_ms(const struct loop *l)
{
    return l->wall_ms;
}

struct wheel *loop_wheel(struct loop *l)
{
    return &l->wheel;
}

struct qsbr_slot *loop_qsbr(struct loop *l)
{
    return &l->qsbr;
}

void loop_again(struct loop *l)
{
    l->again = true;
}

static uint64_t cpu_ns(const struct loop *l)
{
    struct timespec used;
    int clock = atomic_load_explicit(&l->cpu_clock, memory_order_relaxed);

    if (!clock || clock_gettime(clock, &used) < 0)
        return 0;
    return (uint64_t)used.tv_sec * 1000000000 + (uint64_t)used.tv_nsec;
}

void loop_stats(const struct loop *l, struct loop_stats *out)
{
    const struct loop_counters *c = &l->counters;
    *out = (struct loop_stats){
        .turns = atomic_load_explicit(&c->turns, memory_order_relaxed),
        .reads = atomic_load_explicit(&c->reads, memory_order_relaxed),
        .bytes_in = atomic_load_explicit(&c->bytes_in, memory_order_relaxed),
        .writes = atomic_load_explicit(&c->writes, memory_order_relaxed),
        .bytes_out = atomic_load_explicit(&c->bytes_out, memory_order_relaxed),
        .connections = atomic_load_explicit(&c->connections, memory_order_relaxed),
        .handshakes = atomic_load_explicit(&c->handshakes, memory_order_relaxed),
        .cpu_ns = cpu_ns(l),
    };
}

void conn_list_push(struct conn_list *list, struct conn *c)
{
    if (list->count == list->cap) {
        list->cap = list->cap ? list->cap * 2 : 64;
        list->items = xrealloc(list->items, list->cap * sizeof *list->items);
    }
    list->items[list->count++] = c;
}

/* Inbox */

void loop_post(struct loop *l, struct loop_task *task)
{
    struct loop_task *head = atomic_load_explicit(&l->inbox, memory_order_relaxed);
    do
        task->next = head;
    while (!atomic_compare_exchange_weak(&l->inbox, &head, task));

    if (atomic_load(&l->asleep) && atomic_exchange(&l->asleep, false)) {
        uint64_t one = 1;
        ssize_t n = write(l->wake_fd, &one, sizeof one);
        (void)n; /* full means that a wake-up is pending already */
    }
}

static bool inbox_empty(struct loop *l)
{
    return atomic_load(&l->inbox) == NULL;
}

static void run_inbox(struct loop *l)
{
    if (LIKELY(atomic_load_explicit(&l->inbox, memory_order_relaxed) == NULL))
        return;
    struct loop_task *newest = atomic_exchange(&l->inbox, NULL);
    struct loop_task *oldest = NULL;
    while (newest) {
        struct loop_task *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest) {
        struct loop_task *task = oldest;
        oldest = task->next;
        task->run(task, l);
    }
}

struct call {
    struct loop_task task;
    void (*fn)(struct loop *l, void *arg);
    void *arg;
    pthread_mutex_t lock;
    pthread_cond_t ended;
    bool done;
};

static void call_run(struct loop_task *task, struct loop *l)
{
    struct call *call = CONTAINER_OF(task, struct call, task);
    call->fn(l, call->arg);
    pthread_mutex_lock(&call->lock);
    call->done = true;
    pthread_cond_signal(&call->ended);
    pthread_mutex_unlock(&call->lock);
}

void loop_call(struct loop *l, void (*fn)(struct loop *l, void *arg), void *arg)
{
    if (!l->started || current == l) {
        fn(l, arg);
        return;
    }
    struct call call = {.task = {.run = call_run},
                        .fn = fn,
                        .arg = arg,
                        .lock = PTHREAD_MUTEX_INITIALIZER,
                        .ended = PTHREAD_COND_INITIALIZER};
    loop_post(l, &call.task);
    pthread_mutex_lock(&call.lock);
    while (!call.done)
        pthread_cond_wait(&call.ended, &call.lock);
    pthread_mutex_unlock(&call.lock);
    pthread_mutex_destroy(&call.lock);
    pthread_cond_destroy(&call.ended);
}

/* The turn */

static void woken(int fd, short what, void *arg)
{
    uint64_t count;
    ssize_t n = read(fd, &count, sizeof count);
    (void)n;
}

static void ticked(int fd, short what, void *arg)
{
    struct loop *l = arg;
    l->tick_due_ms = WHEEL_NEVER;
}

/* Arms the tick for the wheel's next due time.  A tick that is armed for earlier stays:
 * waking once too often is cheaper than moving it every turn. */
static void arm_tick(struct loop *l, int max_ms)
{
    uint64_t due = wheel_next_due_ms(&l->wheel);
    if (max_ms >= 0 && due > l->now_ms + (unsigned)max_ms)
        due = l->now_ms + (unsigned)max_ms;
    if (due >= l->tick_due_ms)
        return;

    uint64_t wait_ms = due > l->now_ms ? due - l->now_ms : 0;
    struct timeval tv = {.tv_sec = (time_t)(wait_ms / 1000),
                         .tv_usec = (suseconds_t)(wait_ms % 1000 * 1000)};
    event_add(&l->tick, &tv);
    l->tick_due_ms = due;
}

static bool must_not_sleep(struct loop *l)
{
    return l->ready.count > 0 || l->again || wheel_next_due_ms(&l->wheel) <= l->now_ms;
}

static void poll_events(struct loop *l, int max_ms)
{
    if (must_not_sleep(l) || max_ms == 0) {
        l->again = false;
        event_base_loop(l->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
        return;
    }
    atomic_store(&l->asleep, true);
    if (!inbox_empty(l) || atomic_load(&l->stopping)) {
        atomic_store(&l->asleep, false);
        event_base_loop(l->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
        return;
    }
    arm_tick(l, max_ms);
    qsbr_offline(&l->qsbr);
    event_base_loop(l->base, EVLOOP_ONCE);
    qsbr_online(&l->qsbr);
    atomic_store_explicit(&l->asleep, false, memory_order_relaxed);
}

static void run_ready(struct loop *l)
{
    struct conn_list busy = l->ready;
    l->ready = l->busy;
    l->ready.count = 0;
    l->busy = busy;
    l->handshake_ns = 0;
    for (unsigned i = 0; i < busy.count; i++) {
        if (i + 2 < busy.count)
            __builtin_prefetch((char *)busy.items[i + 2] + sizeof(struct event));
        conn_run(busy.items[i]);
    }
    l->busy.count = 0;
}

/* Dead connections may still be marked ready for the next turn: take them out first. */
static void forget_ready(struct loop *l)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < l->ready.count; i++) {
        if (!conn_dying(l->ready.items[i]))
            l->ready.items[kept++] = l->ready.items[i];
    }
    l->ready.count = kept;
}

/* closed() may kill further connections; they are reaped in the same go. */
static void run_dead(struct loop *l)
{
    while (l->dead.count > 0) {
        forget_ready(l);
        struct conn_list dead = l->dead;
        l->dead = (struct conn_list){0};
        for (unsigned i = 0; i < dead.count; i++)
            conn_reap(dead.items[i]);
        if (l->dead.cap == 0) {
            l->dead = dead;
            l->dead.count = 0;
        } else {
            free(dead.items);
        }
    }
}

static void read_clocks(struct loop *l)
{
    l->now_ms = clock_mono_ms();
    l->wall_ms = clock_wall_ms();
}

static void turn(struct loop *l, int max_ms)
{
    poll_events(l, max_ms);
    read_clocks(l);
    if (l->fired)
        watch_run_fired(l);
    if (l->ready.count > 0)
        run_ready(l);
    run_inbox(l);
    wheel_advance(&l->wheel, l->now_ms, TIMERS_PER_TURN);
    if (l->hooks.turn_end)
        l->hooks.turn_end(l, l->user);
    while (l->dead.count > 0) {
        run_dead(l);
        /* What closed() left to do (a will, a share's messages for another member) must not
         * outlive the turn: past the quiescent state its sessions may be freed. */
        if (l->hooks.turn_end)
            l->hooks.turn_end(l, l->user);
    }
    counter_add(&l->counters.turns, 1);
    qsbr_quiescent(&l->qsbr);
}

void loop_turn(struct loop *l, int max_ms)
{
    ASSERT(!l->started);
    struct loop *outer = current;
    current = l;
    qsbr_online(&l->qsbr);
    turn(l, max_ms);
    qsbr_offline(&l->qsbr);
    current = outer;
}

static void *loop_main(void *arg)
{
    struct loop *l = arg;
    char name[16];

    snprintf(name, sizeof name, "loop-%u", l->index);
    pthread_setname_np(pthread_self(), name);
    clockid_t cpu_clock;
    if (pthread_getcpuclockid(pthread_self(), &cpu_clock) == 0)
        atomic_store_explicit(&l->cpu_clock, cpu_clock, memory_order_relaxed);
    current = l;
    qsbr_online(&l->qsbr);
    read_clocks(l);
    if (l->hooks.begin)
        l->hooks.begin(l, l->user);
    while (!atomic_load_explicit(&l->stopping, memory_order_relaxed))
        turn(l, -1);
    if (l->hooks.end)
        l->hooks.end(l, l->user);
    qsbr_offline(&l->qsbr);
    current = NULL;
    return NULL;
}

/* Life */

static int make_base(struct loop *l)
{
    struct event_config *conf = event_config_new();
    if (!conf)
        return ERR_SYSTEM;
    event_config_set_flag(conf, EVENT_BASE_FLAG_NOLOCK);
    event_config_require_features(conf, EV_FEATURE_ET | EV_FEATURE_EARLY_CLOSE);
    l->base = event_base_new_with_config(conf);
    event_config_free(conf);
    return l->base ? 0 : ERR_SYSTEM;
}

static int make_events(struct loop *l)
{
    l->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (l->wake_fd < 0)
        return ERR_SYSTEM;
    event_assign(&l->wake, l->base, l->wake_fd, EV_READ | EV_PERSIST, woken, l);
    event_assign(&l->tick, l->base, -1, 0, ticked, l);
    l->tick_due_ms = WHEEL_NEVER;
    return event_add(&l->wake, NULL) < 0 ? ERR_SYSTEM : 0;
}

static void loop_destroy(struct loop *l)
{
    if (l->wake_fd >= 0) {
        if (l->base && event_initialized(&l->wake))
            event_del(&l->wake);
        close(l->wake_fd);
    }
    if (l->base) {
        if (event_initialized(&l->tick))
            event_del(&l->tick);
        event_base_free(l->base);
    }
    tls_io_free(&l->tls);
    free(l->ready.items);
    free(l->busy.items);
    free(l->dead.items);
    free(l->conns.items);
    free(l->buffer);
    free(l);
}

int loop_open(struct loop **out, unsigned index, const struct loop_hooks *hooks, void *user)
{
    ASSERT(index < LOOP_MAX);
    struct loop *l = aligned_alloc(64, (sizeof *l + 63) / 64 * 64);
    ASSERT(l != NULL);
    memset(l, 0, sizeof *l);
    int err;

    l->magic = LOOP_MAGIC;
    l->index = index;
    l->hooks = hooks ? *hooks : (struct loop_hooks){0};
    l->user = user;
    l->wake_fd = -1;
    l->buffer = xmalloc(LOOP_HEADROOM + LOOP_READ_SIZE);
    if ((err = make_base(l)) < 0 || (err = make_events(l)) < 0)
        goto fail;

    struct loop *none = NULL;
    if (!atomic_compare_exchange_strong(&loops[index], &none, l)) {
        err = ERR_EXISTS;
        goto fail;
    }
    read_clocks(l);
    wheel_init(&l->wheel, l->now_ms);
    wheel_kind(&l->wheel, LOOP_WHEEL_CONN, conn_timer_fired, l);
    wheel_kind(&l->wheel, LOOP_WHEEL_LISTENER, listener_timer_fired, l);
    wheel_kind(&l->wheel, LOOP_WHEEL_SWEEP, sweep_fired, l);
    qsbr_join(&l->qsbr);
    qsbr_offline(&l->qsbr);
    *out = l;
    return 0;
fail:
    loop_destroy(l);
    return err;
}

int loop_start(struct loop *l)
{
    atomic_store(&l->stopping, false);
    l->started = true;
    if (pthread_create(&l->thread, NULL, loop_main, l) != 0) {
        l->started = false;
        return ERR_SYSTEM;
    }
    return 0;
}

static void stop_now(struct loop_task *task, struct loop *l)
{
    atomic_store(&l->stopping, true);
}

void loop_stop(struct loop *l)
{
    if (!l->started)
        return;
    struct loop_task stop = {.run = stop_now};
    loop_post(l, &stop);
    pthread_join(l->thread, NULL);
    l->started = false;
}

void loop_free(struct loop **lp)
{
    struct loop *l = *lp;
    if (!l)
        return;
    ASSERT(!l->started);
    *lp = NULL;

    struct loop *outer = current;
    current = l;
    qsbr_online(&l->qsbr);
    run_inbox(l);
    run_dead(l);
    while (l->conns.count > 0)
        conn_abandon(l->conns.items[l->conns.count - 1]);
    run_inbox(l);
    qsbr_leave(&l->qsbr);
    current = outer;

    atomic_store(&loops[l->index], NULL);
    loop_destroy(l);
}
