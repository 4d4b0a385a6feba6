#include "front/sys.h"

#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/wheel.h"
#include "core/broker.h"
#include "core/retained.h"
#include "core/router.h"
#include "core/sessions.h"
#include "front/client.h"
#include "front/desk.h"
#include "host/decide.h"
#include "store/store.h"

enum { TICK_MS = 250, LOADS = 3, TRIM_CLIENTS = 1000 };

/* One exponentially weighted rate a minute, for 1, 5 and 15 minutes. */
struct load {
    const char *name;
    uint64_t last;
    double value[LOADS];
};

enum {
    LOAD_MESSAGES_IN,
    LOAD_MESSAGES_OUT,
    LOAD_BYTES_IN,
    LOAD_BYTES_OUT,
    LOAD_CONNECTS,
    LOAD_COUNT
};

struct sys {
    struct wheel_timer timer;
    struct desk *desk;
    struct broker *broker;
    _Atomic uint32_t interval_ms;
    uint64_t started_ms, published_ms;
    uint64_t most_connected;
    uint64_t trim_peak; /* most connected clients since memory was last given back */
    uint64_t trim_last; /* connected at the last tick */
    struct load loads[LOAD_COUNT];
    int statm; /* /proc/self/statm */
};

/* -- Memory -- */

/* Without the pages of mapped files: those of the store's tables are the system's cache, which it
 * takes back by itself. */
static uint64_t resident_bytes(const struct sys *sys)
{
    char buf[128];
    unsigned long long size, resident, shared;
    ssize_t n = pread(sys->statm, buf, sizeof buf - 1, 0);

    if (n <= 0)
        return 0;
    buf[n] = '\0';
    if (sscanf(buf, "%llu %llu %llu", &size, &resident, &shared) != 3 || shared > resident)
        return 0;
    return (resident - shared) * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* From seven tenths of the limit on, what long queues hold in memory shrinks as they grow. */
static void squeeze(struct sys *sys, uint64_t resident, uint64_t limit)
{
    atomic_store_explicit(&sys->broker->squeeze, limit > 0 && resident > limit / 10 * 7,
                          memory_order_relaxed);
}

/* Above the limit publishers are not read from, which withholds their acknowledgements;
 * below nine tenths of it they are again. */
static void watch_memory(struct sys *sys, uint64_t limit)
{
    bool was = atomic_load(&sys->broker->pressure), is = was;
    uint64_t resident = limit ? resident_bytes(sys) : 0;

    squeeze(sys, resident, limit);
    if (limit == 0) {
        is = false;
    } else {
        if (was && resident > limit / 10 * 9)
            malloc_trim(0); /* freed memory counts only once it is given back */
        is = was ? resident > limit / 10 * 9 : resident > limit;
    }
    if (is == was)
        return;
    atomic_store(&sys->broker->pressure, is);
    if (is)
        log_warn("front", "memory above the limit of %" PRIu64 " bytes: publishers wait", limit);
    else
        log_info("front", "memory below the limit again: publishers are served");
}

/* One sum a tick instead of a counter that all threads would share. */
static void watch_queues(struct sys *sys, uint64_t most)
{
    struct ledger_sum sum;
    bool is = false, was = atomic_load(&sys->broker->crowded);

    if (most) {
        broker_ledger(sys->broker, &sum);
        is = ledger_waiting(&sum) >= most;
    }
    if (is == was)
        return;
    atomic_store(&sys->broker->crowded, is);
    if (is)
        log_warn("front",
                 "%" PRIu64 " messages wait in queues, the most allowed: queues count as full",
                 ledger_waiting(&sum));
    else
        log_info("front", "queues have room again");
}

/* After a storm the allocator holds on to what the clients that left had used.  Once half
 * of them are gone it is given back to the system: some milliseconds, once. */
static void give_back(struct sys *sys)
{
    uint64_t now = sessions_stats(sys->broker->sessions).connected;

    bool settled = now == sys->trim_last; /* or a page would be kept by those still leaving */

    sys->trim_last = now;
    if (now > sys->trim_peak)
        sys->trim_peak = now;
    if (!settled || sys->trim_peak < now + TRIM_CLIENTS || now > sys->trim_peak / 2)
        return;
    malloc_trim(0);
    sys->trim_peak = now;
}

/* -- $SYS -- */

static void put(struct sys *sys, const char *topic, const char *value)
{
    char name[128];
    struct routed routed;
    int len = snprintf(name, sizeof name, "$SYS/broker/%s", topic);
    struct publication p = {
        .topic = {name, (size_t)len},
        .payload = str_of(value),
        .props_plain = true,
        .retain = true,
        .internal = true,
        .expiry = UINT32_MAX,
    };

    host_publish(sys->desk->host, sys->desk->w, &p, &routed);
}

static void put_number(struct sys *sys, const char *topic, uint64_t value)
{
    char text[32];

    snprintf(text, sizeof text, "%" PRIu64, value);
    put(sys, topic, text);
}

static void put_load(struct sys *sys, struct load *load, uint64_t total, double minutes)
{
    static const int spans[LOADS] = {1, 5, 15};
    char topic[96], text[32];
    double rate = (double)(total - load->last) / minutes;

    load->last = total;
    for (int i = 0; i < LOADS; i++) {
        double weight = minutes / spans[i];
        load->value[i] += (rate - load->value[i]) * (weight < 1 ? weight : 1);
        snprintf(topic, sizeof topic, "load/%s/%dmin", load->name, spans[i]);
        snprintf(text, sizeof text, "%.2f", load->value[i]);
        put(sys, topic, text);
    }
}

static void put_clients(struct sys *sys, const struct ledger_sum *sum)
{
    struct sessions_stats s = sessions_stats(sys->broker->sessions);

    if (s.connected > sys->most_connected)
        sys->most_connected = s.connected;
    put_number(sys, "clients/total", s.total);
    put_number(sys, "clients/connected", s.connected);
    put_number(sys, "clients/active", s.connected);
    put_number(sys, "clients/disconnected", s.total - s.connected);
    put_number(sys, "clients/inactive", s.total - s.connected);
    put_number(sys, "clients/maximum", sys->most_connected);
    put_number(sys, "clients/expired", sum->sessions_expired);
}

static void put_messages(struct sys *sys, const struct ledger_sum *sum)
{
    struct retained_stats retained = retained_stats(sys->broker->retained);

    put_number(sys, "messages/received", sum->packets_received);
    put_number(sys, "messages/sent", sum->sent_publishes + sum->sent_control);
    put_number(sys, "publish/messages/received", ledger_received(sum));
    put_number(sys, "publish/messages/sent", sum->sent_publishes);
    put_number(sys, "publish/messages/dropped", ledger_dropped(sum));
    put_number(sys, "publish/messages/refused", ledger_refused(sum));
    put_number(sys, "messages/waiting", ledger_waiting(sum));
    put_number(sys, "bytes/received", sum->bytes_received);
    put_number(sys, "bytes/sent", sum->bytes_sent);
    put_number(sys, "retained messages/count", retained.messages);
    put_number(sys, "store/messages/count", retained.messages + ledger_waiting(sum));
    put_number(sys, "store/messages/bytes", retained.bytes);
    put_number(sys, "subscriptions/count", subs_stats(sys->broker->subs).subscriptions);
}

static void put_store(struct sys *sys)
{
    struct store *store = sys->desk->w->journal.store;

    if (!store)
        return;
    struct store_stats st = store_stats(store);
    put_number(sys, "store/log/bytes", st.log.end - st.applied);
    put_number(sys, "store/refusing", store_refusing(store));
}

static void put_ledger_line(void *arg, const char *name, uint64_t value)
{
    char topic[96];

    snprintf(topic, sizeof topic, "ledger/%s", name);
    put_number(arg, topic, value);
}

static void publish_all(struct sys *sys, uint64_t now_ms)
{
    struct ledger_sum sum;
    char uptime[48];
    double minutes = (double)(now_ms - sys->published_ms) / 60000.0;

    broker_ledger(sys->broker, &sum);
    snprintf(uptime, sizeof uptime, "%" PRIu64 " seconds", (now_ms - sys->started_ms) / 1000);
    put(sys, "version", "skep version " SKEP_VERSION);
    put(sys, "uptime", uptime);
    put_clients(sys, &sum);
    put_messages(sys, &sum);
    put_store(sys);
    put_load(sys, &sys->loads[LOAD_MESSAGES_IN], ledger_received(&sum), minutes);
    put_load(sys, &sys->loads[LOAD_MESSAGES_OUT], sum.sent_publishes, minutes);
    put_load(sys, &sys->loads[LOAD_BYTES_IN], sum.bytes_received, minutes);
    put_load(sys, &sys->loads[LOAD_BYTES_OUT], sum.bytes_sent, minutes);
    put_load(sys, &sys->loads[LOAD_CONNECTS], sum.connects, minutes);
    ledger_each(&sum, put_ledger_line, sys);
    sys->published_ms = now_ms;
}

/* -- The tick -- */

static void on_tick(void *arg, struct wheel_timer *timer)
{
    struct sys *sys = CONTAINER_OF(timer, struct sys, timer);
    struct worker *w = desk_worker(sys->desk);
    uint32_t interval = atomic_load(&sys->interval_ms);

    bool more = broker_tick(w);
    watch_memory(sys, w->limits->memory_limit);
    watch_queues(sys, w->limits->max_queued_messages);
    give_back(sys);
    if (interval &&
        (sys->published_ms == sys->started_ms || w->now_ms - sys->published_ms >= interval))
        publish_all(sys, w->now_ms);
    wheel_add(loop_wheel(sys->desk->loop), timer, w->now_ms + (more ? 1 : TICK_MS));
}

struct sys *sys_new(struct desk *desk, struct broker *broker, uint32_t interval_ms)
{
    static const char *const names[LOAD_COUNT] = {"publish/received", "publish/sent",
                                                  "bytes/received", "bytes/sent", "connections"};
    struct sys *sys = xcalloc(1, sizeof *sys);

    sys->desk = desk;
    sys->broker = broker;
    atomic_init(&sys->interval_ms, interval_ms);
    sys->statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    for (int i = 0; i < LOAD_COUNT; i++)
        sys->loads[i].name = names[i];
    sys->started_ms = sys->published_ms = loop_now_ms(desk->loop);
    sys->timer.kind = TIMER_SYS;
    wheel_kind(loop_wheel(desk->loop), TIMER_SYS, on_tick, sys);
    wheel_add(loop_wheel(desk->loop), &sys->timer, sys->started_ms + TICK_MS);
    return sys;
}

void sys_free(struct sys **sys)
{
    if (!*sys)
        return;
    wheel_cancel(loop_wheel((*sys)->desk->loop), &(*sys)->timer);
    if ((*sys)->statm >= 0)
        close((*sys)->statm);
    free(*sys);
    *sys = NULL;
}

void sys_interval(struct sys *sys, uint32_t interval_ms)
{
    atomic_store(&sys->interval_ms, interval_ms);
}
