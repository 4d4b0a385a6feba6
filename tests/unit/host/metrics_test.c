/* Metrics: counting from every thread, what is shown and what not, and the host's own figures. */
#include "host_fixture.h"

#include <skep/loop.h>
#include <skep/metric.h>
#include <stdio.h>

#include "core/broker.h"
#include "host/metrics.h"

static struct rig rig;

static int set_up(void **state)
{
    rig_open(&rig, NULL);
    return 0;
}

static int tear_down(void **state)
{
    assert_int_equal(rig_close(&rig), 0);
    return 0;
}

/* -- Reading -- */

struct wanted {
    const char *name, *labels;
    unsigned found;
    struct skep_sample sample;
    uint64_t buckets[33];
};

static void look(const struct skep_sample *s, void *arg)
{
    struct wanted *w = arg;

    if (strcmp(s->name, w->name) != 0 || strcmp(s->labels, w->labels) != 0)
        return;
    w->found++;
    w->sample = *s;
    if (s->kind == SKEP_HISTOGRAM)
        memcpy(w->buckets, s->buckets, (s->bound_count + 1) * sizeof *s->buckets);
}

static struct wanted find(const char *name, const char *labels)
{
    struct wanted w = {.name = name, .labels = labels};

    skep_metrics(rig.module, look, &w);
    assert_true(w.found <= 1);
    return w;
}

static double value(const char *name, const char *labels)
{
    struct wanted w = find(name, labels);

    if (!w.found)
        fail_msg("no %s{%s}", name, labels);
    return w.sample.value;
}

/* -- Counting -- */

enum { TIMES = 20000 };

struct all_kinds {
    struct skep_counter *counter;
    struct skep_gauge *gauge;
    struct skep_histogram *histogram;
    _Atomic unsigned done;
};

static void add_many(void *arg)
{
    struct all_kinds *k = arg;

    for (unsigned i = 0; i < TIMES; i++) {
        skep_counter_add(k->counter, 2);
        skep_gauge_add(k->gauge, 1);
        skep_histogram_add(k->histogram, i % 4);
    }
    k->done++;
}

static void *add_on_a_thread(void *arg)
{
    add_many(arg);
    return NULL;
}

static void nothing_is_lost_whoever_counts(void **state)
{
    static const double bounds[] = {0, 1.5, 2};
    struct all_kinds k = {
        .counter = skep_counter(rig.module, "bees", NULL, "Bees"),
        .gauge = skep_gauge(rig.module, "hives", "kind=\"old\"", "Hives"),
        .histogram = skep_histogram(rig.module, "flights", NULL, "Flights", bounds, 3),
    };
    pthread_t threads[2];

    rig_start(&rig);
    skep_post(rig.module, 0, add_many, &k, NULL);
    skep_post(rig.module, 1, add_many, &k, NULL);
    skep_post(rig.module, SKEP_MANAGEMENT, add_many, &k, NULL);
    skep_job(rig.module, add_many, NULL, &k);
    for (unsigned i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, add_on_a_thread, &k);
    for (unsigned i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    WAIT_UNTIL(k.done == 6);

    assert_true(skep_counter_value(k.counter) == 6 * TIMES * 2);
    assert_true(value("skep_module_bees", "module=\"rig\"") == 6 * TIMES * 2);
    assert_true(value("skep_module_hives", "module=\"rig\",kind=\"old\"") == 6 * TIMES);
    struct wanted w = find("skep_module_flights", "module=\"rig\"");
    assert_int_equal(w.sample.kind, SKEP_HISTOGRAM);
    assert_int_equal(w.sample.bound_count, 3);
    assert_int_equal(w.sample.count, 6 * TIMES);
    assert_true(w.sample.sum == 6.0 * TIMES / 4 * (0 + 1 + 2 + 3));
    for (unsigned i = 0; i < 4; i++) /* 0 | 1 | 2 (on its bound) | 3 */
        assert_int_equal(w.buckets[i], 6 * TIMES / 4);
}

static void a_gauge_is_what_it_was_set_to(void **state)
{
    struct skep_gauge *g = skep_gauge(rig.module, "level", NULL, "Level");

    skep_gauge_add(g, 5);
    skep_gauge_set(g, -1.5);
    skep_gauge_add(g, 0.25);
    assert_true(value("skep_module_level", "module=\"rig\"") == -1.25);
}

/* -- Naming -- */

static void the_same_metric_again_goes_on(void **state)
{
    struct skep_counter *c = skep_counter(rig.module, "bees", "kind=\"worker\"", "Bees");
    skep_counter_add(c, 3);

    struct skep_module *next = rig_module_new(rig.host, "rig"); /* the next instance, by a reload */
    struct skep_counter *same = skep_counter(next, "bees", "kind=\"worker\"", "Bees");
    assert_ptr_equal(same, c);
    services_forget(rig.module); /* the old one goes */
    skep_counter_add(same, 4);
    assert_true(value("skep_module_bees", "module=\"rig\",kind=\"worker\"") == 7);
    services_forget(next); /* the last one goes: it is not shown, ... */
    assert_int_equal(find("skep_module_bees", "module=\"rig\",kind=\"worker\"").found, 0);
    rig_module_free(next);
    skep_counter_add(skep_counter(rig.module, "bees", "kind=\"worker\"", "Bees"), 1);
    assert_true(value("skep_module_bees", "module=\"rig\",kind=\"worker\"") == 8); /* not lost */
}

static void other_bounds_make_another_histogram(void **state)
{
    static const double few[] = {1}, more[] = {1, 2};
    struct skep_histogram *old = skep_histogram(rig.module, "h", NULL, "H", few, 1);

    skep_histogram_add(old, 1);
    struct skep_histogram *new = skep_histogram(rig.module, "h", NULL, "H", more, 2);
    skep_histogram_add(old, 1); /* an instance that is going still counts */
    skep_histogram_add(new, 2);
    struct wanted w = find("skep_module_h", "module=\"rig\"");
    assert_int_equal(w.found, 1);
    assert_int_equal(w.sample.bound_count, 2);
    assert_int_equal(w.sample.count, 1);
}

static bool mentions(const char *name)
{
    char whole[100];
    snprintf(whole, sizeof whole, "skep_module_%s", name);
    return find(whole, "module=\"rig\"").found > 0;
}

static void what_makes_no_sense_counts_but_is_not_shown(void **state)
{
    static const char *const bad[] = {"", "Bees", "a-b", "a b", "b{e}", "a\n"};
    static const double falling[] = {2, 1}, equal[] = {1, 1};
    double many[33];

    log_level_set(LOG_LEVEL_ERROR + 1);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct skep_counter *c = skep_counter(rig.module, bad[i], NULL, "Bad");
        assert_non_null(c);
        skep_counter_add(c, 1);
        assert_false(mentions(bad[i]));
    }
    assert_non_null(skep_counter(rig.module, NULL, NULL, NULL));
    skep_counter(rig.module, "fine", NULL, NULL);
    assert_true(mentions("fine"));
    struct skep_gauge *g = skep_gauge(rig.module, "fine", NULL, NULL); /* a counter already */
    skep_gauge_set(g, 77);
    assert_true(value("skep_module_fine", "module=\"rig\"") == 0);

    for (unsigned i = 0; i < 33; i++)
        many[i] = i;
    skep_histogram_add(skep_histogram(rig.module, "x", NULL, "X", falling, 2), 1);
    skep_histogram_add(skep_histogram(rig.module, "x", NULL, "X", equal, 2), 1);
    skep_histogram_add(skep_histogram(rig.module, "x", NULL, "X", many, 33), 1);
    assert_false(mentions("x"));
    skep_histogram_add(skep_histogram(rig.module, "x", NULL, "X", many, 32), 40);
    assert_true(mentions("x"));
    log_level_set(LOG_LEVEL_INFO);
}

static void there_is_an_end_to_metrics(void **state)
{
    char label[32];
    struct skep_counter *last = NULL, *before = NULL;

    log_level_set(LOG_LEVEL_ERROR + 1);
    for (unsigned i = 0; i <= METRICS_SERIES_MAX + 1; i++) {
        snprintf(label, sizeof label, "n=\"%u\"", i);
        before = last;
        last = skep_counter(rig.module, "many", label, "Many");
        skep_counter_add(last, 1);
    }
    log_level_set(LOG_LEVEL_INFO);
    assert_ptr_equal(last, before); /* beyond the end they share one */
    snprintf(label, sizeof label, "module=\"rig\",n=\"%u\"", METRICS_SERIES_MAX - 1);
    assert_true(value("skep_module_many", label) == 1);
    snprintf(label, sizeof label, "module=\"rig\",n=\"%u\"", METRICS_SERIES_MAX);
    assert_int_equal(find("skep_module_many", label).found, 0);
}

/* -- The walk -- */

struct order {
    char names[512][80], last[80];
    unsigned count, scattered, unhelpful;
};

static void note_order(const struct skep_sample *s, void *arg)
{
    struct order *o = arg;

    o->unhelpful += !s->help || !*s->help;
    if (strcmp(s->name, o->last) == 0)
        return;
    for (unsigned i = 0; i < o->count; i++)
        o->scattered += strcmp(o->names[i], s->name) == 0;
    snprintf(o->last, sizeof o->last, "%s", s->name);
    snprintf(o->names[o->count++ % 512], 80, "%s", s->name);
}

static void a_source(void *arg, const struct metric_out *out)
{
    metric_value(out, SKEP_GAUGE, "skep_sourced", "From above", "", *(const int *)arg);
}

static void samples_of_one_name_come_in_a_row(void **state)
{
    static struct order order;
    struct skep_module *other = rig_module_new(rig.host, "other");
    int above = 5;

    skep_counter(rig.module, "a", NULL, "A");
    skep_counter(rig.module, "b", NULL, "B");
    skep_counter(other, "a", NULL, "A");
    skep_counter(other, "b", "x=\"y\"", "B");
    metrics_source_add(rig.host, a_source, &above);
    order = (struct order){.count = 0};
    skep_metrics(rig.module, note_order, &order);
    assert_true(order.count > 10);
    assert_int_equal(order.scattered, 0);
    assert_int_equal(order.unhelpful, 0);
    assert_true(value("skep_sourced", "") == 5);
    metrics_source_remove(rig.host, a_source, &above);
    assert_int_equal(find("skep_sourced", "").found, 0);
    services_forget(other);
    rig_module_free(other);
}

/* Module figures: a roll as life.c would publish it. */
static void hooks_are_summed_over_the_loops(void **state)
{
    static const struct skep_descriptor d = {.size = sizeof d, .on_connect = (void *)rig_begin};
    struct skep_module *m = rig_module_new(rig.host, "hooked");
    struct roll *before = atomic_load(&rig.host->roll);
    struct roll *roll = xcalloc(1, sizeof *roll + sizeof m);

    m->d = &d;
    roll->count = 1;
    roll->modules[0] = m;
    atomic_store(&rig.host->roll, roll);
    for (unsigned i = 0; i <= RIG_LOOPS; i++) {
        struct hook_stats *s = &m->stats[i].hooks[SKEP_STAGE_CONNECT];
        s->calls = 10 + i;
        s->denied = 1;
        s->latency[3] = 2;
        s->latency[INSTANCE_BUCKETS - 1] = 1;
        s->latency_us = 500000;
    }
    m->pending = 4;
    const char *labels = "module=\"hooked\",hook=\"connect\"";
    assert_true(value("skep_module_calls_total", labels) == 10 + 11 + 12);
    assert_true(value("skep_module_denied_total", labels) == 3);
    assert_true(value("skep_module_allowed_total", labels) == 0);
    assert_true(value("skep_module_pending", "module=\"hooked\"") == 4);
    assert_int_equal(find("skep_module_calls_total", "module=\"hooked\",hook=\"publish\"").found,
                     0);
    struct wanted w = find("skep_module_seconds", labels);
    assert_int_equal(w.sample.count, 9);
    assert_int_equal(w.buckets[3], 6);
    assert_int_equal(w.buckets[w.sample.bound_count], 3);
    assert_true(w.sample.sum == 1.5);
    atomic_store(&rig.host->roll, before);
    free(roll);
    rig_module_free(m);
}

static void the_process_and_its_loops_are_measured(void **state)
{
    rig_start(&rig);
    assert_true(value("process_resident_memory_bytes", "") > 1e6);
    assert_true(value("process_open_fds", "") >= 3);
    double age = (double)clock_wall_ms() / 1000 - value("process_start_time_seconds", "");
    assert_true(age > -2 && age < 3600);
    assert_true(value("process_cpu_seconds_total", "") > 0);
    WAIT_UNTIL(value("skep_loop_cpu_seconds_total", "loop=\"1\"") > 0);
    WAIT_UNTIL(value("skep_loop_cpu_seconds_total", "loop=\"management\"") > 0);
    assert_true(value("skep_jobs_queued", "") == 0);
}

/* Every counter of the ledger is shown, under the value it has. */
static void mark(_Atomic uint64_t *counter, uint64_t *marks, unsigned *count)
{
    marks[*count] = 1000003 + 7919 * (uint64_t)*count;
    *counter = marks[(*count)++];
}

struct marks {
    uint64_t values[128];
    unsigned count, seen[128];
};

static void note_marks(const struct skep_sample *s, void *arg)
{
    struct marks *m = arg;

    for (unsigned i = 0; i < m->count; i++)
        m->seen[i] += s->kind == SKEP_COUNTER && s->value == (double)m->values[i];
}

static void the_whole_ledger_is_shown(void **state)
{
    static const struct broker_ops ops = {0};
    static struct marks marks;
    struct limits limits = {0};
    struct qsbr_slot slot = {0};

    qsbr_join(&slot);
    struct broker *b = broker_new(&limits, &ops, NULL);
    struct worker *w = worker_new(b, &slot, 0);
#define MARK(name)         mark(&w->ledger.name, marks.values, &marks.count);
#define MARK_DROP(name)    MARK(dropped_##name)
#define MARK_REFUSAL(name) MARK(refused_##name)
    LEDGER_COUNTS(MARK)
    LEDGER_DROPS(MARK_DROP)
    LEDGER_REFUSALS(MARK_REFUSAL)
    rig.host->broker = b;
    skep_metrics(rig.module, note_marks, &marks);
    for (unsigned i = 0; i < marks.count; i++)
        assert_int_equal(marks.seen[i], 1);
    assert_true(value("skep_messages_received_total", "qos=\"1\"") ==
                (double)w->ledger.received_qos1);
    assert_true(value("skep_messages_dropped_total", "reason=\"queue_full\"") ==
                (double)w->ledger.dropped_queue_full);
    rig.host->broker = NULL;
    worker_free(&w);
    broker_free(&b);
    qsbr_leave(&slot);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(nothing_is_lost_whoever_counts),
        TEST(a_gauge_is_what_it_was_set_to),
        TEST(the_same_metric_again_goes_on),
        TEST(other_bounds_make_another_histogram),
        TEST(what_makes_no_sense_counts_but_is_not_shown),
        TEST(there_is_an_end_to_metrics),
        TEST(samples_of_one_name_come_in_a_row),
        TEST(hooks_are_summed_over_the_loops),
        TEST(the_process_and_its_loops_are_measured),
        TEST(the_whole_ledger_is_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
