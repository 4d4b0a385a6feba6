/* skep-index-bench [FILTERS]: nanoseconds and bytes of the subscription index, the retained
 * store, the message pool and the timing wheel.  One thread, one line a figure.
 *
 * Topics are drawn in random order from a table made beforehand, so that at a million
 * filters the caches of the machine do not help. */
#include <inttypes.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/pool.h"
#include "base/wheel.h"
#include "core/retained.h"
#include "core/subs.h"

enum { LOOKUPS = 2000000, BATCH = 32 };

static struct qsbr_slot slot;
static uint64_t rng = 88172645463325252u;

static uint64_t random_u64(void)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return rng;
}

/* CPU time of all threads, so that other work on the machine counts as little as may be. */
static uint64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static uint64_t heap_bytes(void)
{
    struct mallinfo2 m = mallinfo2();
    return m.uordblks + m.hblkhd;
}

static void say(const char *what, double value, const char *unit)
{
    printf("%-58s %10.1f %s\n", what, value, unit);
    fflush(stdout);
}

/* Topics behind one another in one block: reading them is not what is measured. */
struct topics {
    char (*text)[40];
    uint32_t count;
};

static struct topics topics_new(const char *head, const char *tail, uint32_t count)
{
    struct topics t = {xmalloc((size_t)count * 40), count};
    for (uint32_t i = 0; i < count; i++)
        snprintf(t.text[i], 40, "%s%08" PRIu32 "%s", head, i, tail);
    return t;
}

static struct str topic_any(const struct topics *t)
{
    return str_of(t->text[random_u64() % t->count]);
}

/* -- Subscriptions -- */

static double match_ns(struct subs *s, struct subs_cache *c, const struct topics *t, unsigned each)
{
    struct sub_node *const *nodes;
    uint64_t found = 0, start = cpu_ns();

    for (unsigned i = 0; i < LOOKUPS; i++) {
        found += subs_match(s, c, topic_any(t), &nodes);
        if (i % 64 == 0)
            qsbr_quiescent(&slot);
    }
    double ns = (double)(cpu_ns() - start) / LOOKUPS;
    if (found != (uint64_t)each * LOOKUPS)
        printf("  (%" PRIu64 " nodes found, %u expected each)\n", found, each);
    return ns;
}

static double batch_ns(struct subs *s, struct subs_cache *c, const struct topics *t)
{
    struct sub_node *const *nodes;
    struct str batch[BATCH];
    uint64_t start = cpu_ns();

    for (unsigned i = 0; i < LOOKUPS; i += BATCH) {
        for (unsigned k = 0; k < BATCH; k++) {
            batch[k] = topic_any(t);
            subs_prefetch(s, c, batch[k]);
        }
        for (unsigned k = 0; k < BATCH; k++)
            subs_match(s, c, batch[k], &nodes);
        qsbr_quiescent(&slot);
    }
    return (double)(cpu_ns() - start) / LOOKUPS;
}

/* Reading the CPU clock is a system call, so the worst case is looked for in groups. */
enum { GROUP = 64 };

static uint64_t worst_last;

static void worst_note(double *worst_us)
{
    uint64_t now = cpu_ns();
    double us = (double)(now - worst_last) / 1000;

    *worst_us = us > *worst_us ? us : *worst_us;
    worst_last = now;
}

struct fill {
    double mean_ns, worst_us;
};

static struct fill subs_fill(struct subs *s, const struct topics *t, struct sub_node **nodes)
{
    struct fill f = {0};
    uint64_t start = worst_last = cpu_ns();
    bool existed;

    for (uint32_t i = 0; i < t->count; i++) {
        nodes[i] = subs_add(s, &slot, str_of(t->text[i]), &slot, 0, &existed);
        if (i % GROUP == 0) {
            qsbr_quiescent(&slot);
            worst_note(&f.worst_us);
        }
    }
    f.mean_ns = (double)(cpu_ns() - start) / t->count;
    return f;
}

static double subs_empty(struct subs *s, struct sub_node **nodes, uint32_t count)
{
    uint64_t start = cpu_ns();
    for (uint32_t i = 0; i < count; i++) {
        subs_remove(s, &slot, nodes[i], &slot);
        if (i % 64 == 0)
            qsbr_quiescent(&slot);
    }
    return (double)(cpu_ns() - start) / count;
}

static void bench_exact(uint32_t count)
{
    struct topics hits = topics_new("site/building/", "/status", count);
    struct topics misses = topics_new("site/building/", "/absent", count);
    struct sub_node **nodes = xcalloc(count, sizeof(struct sub_node *));
    struct subs_cache *c = subs_cache_new(1024);
    uint64_t before = heap_bytes();
    struct subs *s = subs_new();

    struct fill f = subs_fill(s, &hits, nodes);
    say("exact filters: add", f.mean_ns, "ns");
    say("exact filters: slowest 64 adds", f.worst_us, "us");
    qsbr_synchronize(&slot);
    qsbr_quiescent(&slot);
    say("exact filters: bytes a filter (29 bytes of text), heap",
        (double)(heap_bytes() - before) / count, "B");
    say("exact filters: the same, as subs_stats says", (double)subs_stats(s).bytes / count, "B");
    say("exact hit", match_ns(s, c, &hits, 1), "ns");
    say("exact hit, in batches of 32", batch_ns(s, c, &hits), "ns");
    say("no match", match_ns(s, c, &misses, 0), "ns");
    say("no match, in batches of 32", batch_ns(s, c, &misses), "ns");
    struct topics one = {misses.text, 1};
    say("no match, one topic again and again", match_ns(s, c, &one, 0), "ns");

    struct sub_node *wild[1];
    struct topics plus = {xcalloc(1, 40), 1};
    snprintf(plus.text[0], 40, "site/+/+/nothing");
    subs_fill(s, &plus, wild);
    say("no match, and one wildcard filter that does not", match_ns(s, c, &misses, 0), "ns");
    say("cache hit: one topic again and again", match_ns(s, c, &one, 0), "ns");
    subs_empty(s, wild, 1);

    say("exact filters: remove", subs_empty(s, nodes, count), "ns");
    subs_cache_free(&c);
    subs_free(&s);
    free(nodes);
    free(hits.text);
    free(misses.text);
    free(plus.text);
}

static void bench_wild(uint32_t count)
{
    struct topics filters = topics_new("site/", "/+/status", count);
    struct topics hits = topics_new("site/", "/b7/status", count);
    struct topics misses = topics_new("site/", "/b7/absent", count);
    struct sub_node **nodes = xcalloc(count, sizeof(struct sub_node *));
    struct subs_cache *c = subs_cache_new(1024);
    uint64_t before = heap_bytes();
    struct subs *s = subs_new();
    char what[80];

    struct fill f = subs_fill(s, &filters, nodes);
    printf("-- %" PRIu32 " filters site/N/+/status\n", count);
    say("wildcard filters: add", f.mean_ns, "ns");
    say("wildcard filters: slowest 64 adds", f.worst_us, "us");
    qsbr_synchronize(&slot);
    qsbr_quiescent(&slot);
    say("wildcard filters: bytes a filter (22 bytes of text)",
        (double)(heap_bytes() - before) / count, "B");
    snprintf(what, sizeof what, "wildcard hit, %" PRIu32 " topics (not in the cache)", count);
    say(what, match_ns(s, c, &hits, 1), "ns");
    say("wildcard, no match", match_ns(s, c, &misses, 0), "ns");
    struct topics few = {hits.text, 500};
    say("wildcard hit, 500 topics (in the cache)", match_ns(s, c, &few, 1), "ns");
    say("wildcard filters: remove", subs_empty(s, nodes, count), "ns");
    subs_cache_free(&c);
    subs_free(&s);
    free(nodes);
    free(filters.text);
    free(hits.text);
    free(misses.text);
}

static void bench_list(uint32_t count)
{
    char *targets = xmalloc(count);
    uint64_t before = heap_bytes(), start = cpu_ns(), sum = 0;
    struct subs *s = subs_new();
    struct sub_node *node = NULL;
    bool existed;

    for (uint32_t i = 0; i < count; i++)
        node = subs_add(s, &slot, STR("everyone"), targets + i, 0, &existed);
    printf("-- one filter, %" PRIu32 " subscribers\n", count);
    say("subscriber: add", (double)(cpu_ns() - start) / count, "ns");
    say("subscriber: bytes", (double)(heap_bytes() - before) / count, "B");
    start = cpu_ns();
    struct sub_walk walk = sub_walk_begin(node);
    for (uint64_t e; (e = sub_walk_next(&walk)) != 0;)
        sum += e;
    say("subscriber: walk", (double)(cpu_ns() - start) / count + (sum == 1), "ns");
    start = cpu_ns();
    for (uint32_t i = 0; i < count; i++) {
        subs_remove(s, &slot, node, targets + (uint64_t)i * 600011 % count);
        if (i % 64 == 0)
            qsbr_quiescent(&slot);
    }
    say("subscriber: remove", (double)(cpu_ns() - start) / count, "ns");
    subs_free(&s);
    free(targets);
}

/* -- Retained -- */

static bool visit_sum(void *arg, struct message *m)
{
    /* About what a replay reads: lengths and the first bytes. */
    *(uint64_t *)arg += message_wire(m)[0] + m->payload_len + (uint8_t)message_payload(m).ptr[0];
    return true;
}

static double retained_fill(struct retained *r, const struct topics *t, double *worst_us)
{
    static const char payload[64] = "sixty-four bytes of payload";
    uint64_t start = worst_last = cpu_ns();

    *worst_us = 0;
    for (uint32_t i = 0; i < t->count; i++) {
        struct message *m = message_new(str_of(t->text[i]), (struct str){payload, sizeof payload},
                                        STR_NONE, 0, true);
        retained_put(r, &slot, m);
        message_unref(m);
        if (i % GROUP == 0) {
            qsbr_quiescent(&slot);
            worst_note(worst_us);
        }
    }
    return (double)(cpu_ns() - start) / t->count;
}

static void bench_retained(const char *head, const char *tail, uint32_t count)
{
    struct topics t = topics_new(head, tail, count);
    uint64_t before = heap_bytes(), sum = 0;
    struct retained *r = retained_new();
    double worst_us;

    printf("-- retained, %" PRIu32 " topics %sN%s, 64 bytes of payload\n", count, head, tail);
    say("retained: put a new topic", retained_fill(r, &t, &worst_us), "ns");
    say("retained: slowest 64 puts", worst_us, "us");
    qsbr_synchronize(&slot);
    qsbr_quiescent(&slot);
    pool_trim();
    say("retained: bytes a message, heap", (double)(heap_bytes() - before) / count, "B");
    say("retained: replace", retained_fill(r, &t, &worst_us), "ns");

    uint64_t start = cpu_ns();
    struct retained_cursor *c = retained_cursor_new(STR("#"));
    while (retained_replay(r, c, 0, 100, visit_sum, &sum))
        qsbr_quiescent(&slot);
    say("retained: replay of # in slices of 100", (double)(cpu_ns() - start) / count, "ns");
    retained_cursor_free(&c);
    start = cpu_ns();
    for (unsigned i = 0; i < LOOKUPS; i++)
        sum += retained_get(r, topic_any(&t), 0) != NULL;
    say("retained: get", (double)(cpu_ns() - start) / LOOKUPS + (sum == 1), "ns");
    start = cpu_ns();
    for (uint32_t i = 0; i < count; i++) {
        retained_remove(r, &slot, str_of(t.text[i]));
        if (i % 64 == 0)
            qsbr_quiescent(&slot);
    }
    say("retained: remove", (double)(cpu_ns() - start) / count, "ns");
    qsbr_synchronize(&slot);
    qsbr_quiescent(&slot);
    retained_free(&r);
    free(t.text);
}

/* -- Message, wheel -- */

static void bench_message(void)
{
    static char payload[64];
    struct message *m[256];
    uint64_t start = cpu_ns();

    for (unsigned i = 0; i < LOOKUPS; i++) {
        unsigned k = i % 256;
        if (i >= 256)
            message_unref(m[k]);
        m[k] = message_new(STR("site/building/00000001/status"), (struct str){payload, 64},
                           STR_NONE, 0, false);
    }
    say("message: make and drop, 64 bytes of payload", (double)(cpu_ns() - start) / LOOKUPS, "ns");
    for (unsigned k = 0; k < 256; k++)
        message_unref(m[k]);
}

enum { HANDED = 4096, HANDED_ROUNDS = 500 };

/* Messages that one thread makes and another drops, in turns so that nobody spins. */
static struct {
    struct message *messages[HANDED];
    pthread_barrier_t made, dropped;
} handed;

static void *handed_drop(void *arg)
{
    for (unsigned round = 0; round < HANDED_ROUNDS; round++) {
        pthread_barrier_wait(&handed.made);
        for (unsigned i = 0; i < HANDED; i++)
            message_unref(handed.messages[i]);
        pthread_barrier_wait(&handed.dropped);
    }
    return NULL;
}

static void bench_handed(void)
{
    static char payload[64];
    uint64_t start = cpu_ns();
    pthread_t t;

    pthread_barrier_init(&handed.made, NULL, 2);
    pthread_barrier_init(&handed.dropped, NULL, 2);
    if (pthread_create(&t, NULL, handed_drop, NULL) != 0)
        return;
    for (unsigned round = 0; round < HANDED_ROUNDS; round++) {
        for (unsigned i = 0; i < HANDED; i++)
            handed.messages[i] = message_new(STR("site/building/00000001/status"),
                                             (struct str){payload, 64}, STR_NONE, 0, false);
        pthread_barrier_wait(&handed.made);
        pthread_barrier_wait(&handed.dropped);
    }
    pthread_join(t, NULL);
    say("message: made by one thread, dropped by another",
        (double)(cpu_ns() - start) / HANDED / HANDED_ROUNDS, "ns");
}

static uint64_t fired;

static void on_timer(void *arg, struct wheel_timer *t)
{
    fired++;
}

static void bench_wheel(uint32_t count)
{
    struct wheel_timer *timers = xcalloc(count, sizeof *timers);
    struct wheel *w = xmalloc(sizeof *w);
    uint64_t now = 1000000, start, calls = 0;

    wheel_init(w, now);
    wheel_kind(w, 0, on_timer, NULL);
    start = cpu_ns();
    for (uint32_t i = 0; i < count; i++)
        wheel_add(w, &timers[i], now + 30000 + random_u64() % 60000);
    printf("-- wheel, %" PRIu32 " timers due in 30 to 90 s\n", count);
    say("wheel: add", (double)(cpu_ns() - start) / count, "ns");
    start = cpu_ns();
    for (uint32_t i = 0; i < count; i++)
        wheel_add(w, &timers[i], now + 90001);
    say("wheel: move later", (double)(cpu_ns() - start) / count, "ns");
    start = cpu_ns();
    for (; fired < count; now++, calls++)
        wheel_advance(w, now, UINT32_MAX);
    say("wheel: a timer's way to its call, all moves included",
        (double)(cpu_ns() - start - calls) / count, "ns");
    free(w);
    free(timers);
}

int main(int argc, char **argv)
{
    uint32_t count = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 1000000;

    if (count < 1000) {
        fprintf(stderr, "usage: skep-index-bench [FILTERS, at least 1000]\n");
        return 2;
    }
    hash_seed();
    qsbr_join(&slot);
    printf("-- %" PRIu32 " filters site/building/N/status\n", count);
    bench_exact(count);
    bench_wild(count / 10);
    bench_wild(count);
    bench_list(count);
    bench_retained("site/building/", "/status2", count);
    bench_retained("sensors/eu/rack/c/", "", count);
    bench_message();
    bench_handed();
    bench_wheel(count);
    qsbr_leave(&slot);
    return 0;
}
