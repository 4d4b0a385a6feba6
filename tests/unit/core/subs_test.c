/* The subscription index against the plain rule (mqtt/topic.h), alone and under threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pthread.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/qset.h"
#include "core/subs.h"
#include "mqtt/topic.h"

struct world {
    struct qsbr_slot slot;
    struct subs *subs;
    struct subs_cache *cache;
};

static struct world w;

static int set_up(void **state)
{
    qsbr_join(&w.slot);
    w.subs = subs_new();
    w.cache = subs_cache_new(64);
    return 0;
}

static int tear_down(void **state)
{
    subs_cache_free(&w.cache);
    qsbr_leave(&w.slot);
    subs_free(&w.subs);
    assert_null(w.subs);
    return 0;
}

/* Targets are addresses only; nothing looks behind them. */
static char targets[200000];

static struct sub_node *add(const char *filter, void *target, unsigned options)
{
    bool existed;
    return subs_add(w.subs, &w.slot, str_of(filter), target, options, &existed);
}

static bool drop(const char *filter, void *target)
{
    struct sub_node *node = subs_find(w.subs, str_of(filter));
    return node && subs_remove(w.subs, &w.slot, node, target);
}

/* How often target hears of topic. */
static unsigned heard(const char *topic, const void *target)
{
    struct sub_node *const *nodes;
    unsigned n = subs_match(w.subs, w.cache, str_of(topic), &nodes), times = 0;

    for (unsigned i = 0; i < n; i++) {
        struct sub_walk walk = sub_walk_begin(nodes[i]);
        for (uint64_t e; (e = sub_walk_next(&walk)) != 0;)
            times += sub_entry_target(e) == target;
    }
    qsbr_quiescent(&w.slot);
    return times;
}

static uint64_t rng = 88172645463325252u;

static uint64_t random_u64(void)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return rng;
}

/* -- The rules -- */

static void wildcards_match_as_written(void **state)
{
    /* The examples of the specification (4.7.1) and the odd corners. */
    static const struct {
        const char *filter, *topic;
        bool matches;
    } cases[] = {
        {"sport/tennis/player1/#", "sport/tennis/player1", true},
        {"sport/tennis/player1/#", "sport/tennis/player1/ranking", true},
        {"sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true},
        {"sport/tennis/player1/#", "sport/tennis/player11", false},
        {"sport/#", "sport", true},
        {"#", "any/thing", true},
        {"#", "/", true},
        {"sport/tennis/+", "sport/tennis/player1", true},
        {"sport/tennis/+", "sport/tennis/player1/ranking", false},
        {"sport/+", "sport", false},
        {"sport/+", "sport/", true},
        {"+", "finance", true},
        {"+", "/finance", false},
        {"+/+", "/finance", true},
        {"/+", "/finance", true},
        {"+/tennis/#", "sport/tennis/player1", true},
        {"+//+", "a//b", true},
        {"+//+", "a/x/b", false},
        {"a/+/", "a/b/", true},
        {"a/+/", "a/b", false},
        {"Accounts", "accounts", false},
        {"a", "/a", false},
        {"/a", "a", false},
        {"a/b", "a/b", true},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        add(cases[i].filter, &targets[1], 0);
        assert_int_equal(heard(cases[i].topic, &targets[1]), cases[i].matches);
        assert_int_equal(topic_matches(str_of(cases[i].filter), str_of(cases[i].topic)),
                         cases[i].matches);
        assert_true(drop(cases[i].filter, &targets[1]));
        assert_int_equal(heard(cases[i].topic, &targets[1]), 0);
    }
}

static void leading_wildcards_do_not_reach_dollar_topics(void **state) /* [MQTT-4.7.2-1] */
{
    add("#", &targets[1], 0);
    add("+/monitor/Clients", &targets[2], 0);
    add("$SYS/#", &targets[3], 0);
    add("$SYS/monitor/+", &targets[4], 0);
    add("+/#", &targets[5], 0);
    assert_int_equal(heard("$SYS/monitor/Clients", &targets[1]), 0);
    assert_int_equal(heard("$SYS/monitor/Clients", &targets[2]), 0);
    assert_int_equal(heard("$SYS/monitor/Clients", &targets[3]), 1);
    assert_int_equal(heard("$SYS/monitor/Clients", &targets[4]), 1);
    assert_int_equal(heard("$SYS/monitor/Clients", &targets[5]), 0);
    assert_int_equal(heard("a/$SYS/b", &targets[1]), 1);
    assert_int_equal(heard("a/$SYS/b", &targets[5]), 1);
    assert_int_equal(heard("$", &targets[5]), 0);
}

static void subscribing_again_replaces_the_options(void **state) /* [MQTT-3.8.4-3] */
{
    static const char *const filters[] = {"a/b", "a/+"};
    for (size_t i = 0; i < ARRAY_LEN(filters); i++) {
        bool existed;
        struct str f = str_of(filters[i]);
        struct sub_node *n = subs_add(w.subs, &w.slot, f, &targets[1], 1, &existed);
        assert_false(existed);
        assert_ptr_equal(subs_add(w.subs, &w.slot, f, &targets[1], 2 | SUB_NO_LOCAL, &existed), n);
        assert_true(existed);
        assert_int_equal(sub_node_count(n), 1);
        struct sub_walk walk = sub_walk_begin(n);
        uint64_t e = sub_walk_next(&walk);
        assert_ptr_equal(sub_entry_target(e), &targets[1]);
        assert_int_equal(sub_entry_options(e), 2 | SUB_NO_LOCAL);
        assert_int_equal(sub_walk_next(&walk), 0);
    }
}

static void a_node_knows_its_filter(void **state)
{
    static const char *const filters[] = {"a",         "a/b/c",      "/",  "//",   "#",
                                          "+",         "+/",         "/+", "a/+/", "+//",
                                          "a//+//b/#", "$SYS/+/x/#", "/#"};
    for (size_t i = 0; i < ARRAY_LEN(filters); i++) {
        struct sub_node *n = add(filters[i], &targets[1], 0);
        struct str f = sub_node_filter(n);
        assert_int_equal(f.len, strlen(filters[i]));
        assert_memory_equal(f.ptr, filters[i], f.len);
        assert_ptr_equal(subs_find(w.subs, str_of(filters[i])), n);
    }
}

static void what_leads_to_a_filter_is_not_one(void **state)
{
    add("a/+/b/#", &targets[1], 0);
    assert_null(subs_find(w.subs, STR("a/+")));
    assert_null(subs_find(w.subs, STR("a/+/b/+")));
    assert_null(subs_find(w.subs, STR("a")));
    assert_int_equal(heard("a/x", &targets[1]), 0);
    assert_false(drop("a/+/b/#", &targets[2]));
    assert_int_equal(subs_stats(w.subs).wildcard_filters, 1);
    assert_true(drop("a/+/b/#", &targets[1]));
    assert_null(subs_find(w.subs, STR("a/+/b/#")));
    assert_int_equal(subs_stats(w.subs).filters, 0);
}

/* -- Random filters and topics against topic_matches -- */

static void random_levels(char *out, bool filter)
{
    static const char *const words[] = {"a", "b", "cc", "", "$x", "dd"};
    unsigned levels = 1 + (unsigned)(random_u64() % 6);

    *out = '\0';
    for (unsigned i = 0; i < levels; i++) {
        unsigned dice = (unsigned)(random_u64() % 12);
        if (i)
            strcat(out, "/");
        if (filter && dice == 0 && i + 1 == levels)
            strcat(out, "#");
        else if (filter && dice < 4)
            strcat(out, "+");
        else
            strcat(out, words[random_u64() % ARRAY_LEN(words)]);
    }
    if (!*out)
        strcpy(out, "e");
}

enum { FILTERS = 400 };

static void match_compare(char (*filters)[40], const bool *live, const char *topic)
{
    for (unsigned pass = 0; pass < 2; pass++) { /* the second from the cache */
        struct sub_node *const *nodes;
        unsigned n = subs_match(w.subs, w.cache, str_of(topic), &nodes), expected = 0, got = 0;
        static bool seen[FILTERS];

        memset(seen, 0, sizeof seen);
        for (unsigned i = 0; i < n; i++) {
            struct sub_walk walk = sub_walk_begin(nodes[i]);
            for (uint64_t e; (e = sub_walk_next(&walk)) != 0; got++) {
                size_t f = (size_t)((char *)sub_entry_target(e) - targets) - 1;
                assert_true(f < FILTERS && live[f] && !seen[f]);
                assert_true(topic_matches(str_of(filters[f]), str_of(topic)));
                seen[f] = true;
            }
        }
        for (unsigned f = 0; f < FILTERS; f++)
            expected += live[f] && topic_matches(str_of(filters[f]), str_of(topic));
        assert_int_equal(got, expected);
    }
}

static void random_filters_match_as_the_rule_says(void **state)
{
    static char filters[FILTERS][40];
    static bool live[FILTERS];
    char topic[40];
    unsigned alive = 0;

    memset(live, 0, sizeof live);
    for (unsigned f = 0; f < FILTERS; f++)
        random_levels(filters[f], true);
    uint64_t empty = subs_stats(w.subs).bytes;

    for (unsigned step = 0; step < 20000; step++) {
        unsigned f = (unsigned)(random_u64() % FILTERS);
        bool keep = random_u64() % 100 < (step / 4000 % 2 ? 20 : 80);
        if (!live[f] && keep) {
            add(filters[f], &targets[1 + f], 0);
            live[f] = true;
            alive++;
        } else if (live[f] && !keep) {
            assert_true(drop(filters[f], &targets[1 + f]));
            live[f] = false;
            alive--;
        }
        random_levels(topic, false);
        match_compare(filters, live, topic);
        assert_int_equal(subs_stats(w.subs).subscriptions, alive);
        qsbr_quiescent(&w.slot);
    }
    for (unsigned f = 0; f < FILTERS; f++)
        if (live[f])
            assert_true(drop(filters[f], &targets[1 + f]));
    struct subs_stats s = subs_stats(w.subs);
    assert_int_equal(s.filters, 0);
    assert_int_equal(s.wildcard_filters, 0);
    assert_true(s.bytes <= empty + 2 * QSET_SHARDS * 64); /* the smallest tables remain */
}

/* -- Many subscribers of one filter -- */

static void big_lists_keep_each_subscriber_once(void **state)
{
    enum { N = 3000 };
    static bool in[N];
    static unsigned times[N];
    unsigned alive = 0;
    struct sub_node *node = add("big", &targets[N + 1], 0);

    memset(in, 0, sizeof in);
    for (unsigned step = 0; step < 60000; step++) {
        unsigned i = (unsigned)(random_u64() % N);
        bool keep = random_u64() % 100 < (step / 15000 % 2 ? 5 : 95);
        if (keep) {
            bool existed;
            subs_add(w.subs, &w.slot, STR("big"), &targets[i], i & 0xffff, &existed);
            assert_int_equal(existed, in[i]);
            alive += !in[i];
            in[i] = true;
        } else {
            assert_int_equal(subs_remove(w.subs, &w.slot, node, &targets[i]), in[i]);
            alive -= in[i];
            in[i] = false;
        }
        assert_int_equal(sub_node_count(node), alive + 1);
        qsbr_quiescent(&w.slot);
        if (step % 500)
            continue;
        memset(times, 0, sizeof times);
        struct sub_walk walk = sub_walk_begin(node);
        for (uint64_t e; (e = sub_walk_next(&walk)) != 0;) {
            size_t t = (size_t)((char *)sub_entry_target(e) - targets);
            if (t < N) {
                assert_int_equal(sub_entry_options(e), t & 0xffff);
                times[t]++;
            }
        }
        for (unsigned k = 0; k < N; k++)
            assert_int_equal(times[k], in[k]);
    }
}

/* Quadratic removal would take minutes here, not milliseconds. */
static void a_hundred_thousand_leave_in_any_order(void **state)
{
    enum { N = 100000 };
    uint64_t before = subs_stats(w.subs).bytes;
    struct sub_node *node = NULL;

    for (unsigned i = 0; i < N; i++) {
        node = add("everyone", &targets[i], 0);
        qsbr_quiescent(&w.slot);
    }
    assert_true(subs_stats(w.subs).bytes - before < (uint64_t)N * 32);
    for (unsigned i = 0; i < N; i++) {
        unsigned k = (unsigned)((uint64_t)i * 60013 % N); /* 60013 is prime to N */
        assert_true(subs_remove(w.subs, &w.slot, node, &targets[k]));
        qsbr_quiescent(&w.slot);
        if (i == N - 1000)
            assert_true(subs_stats(w.subs).bytes - before < 100000);
    }
    assert_null(subs_find(w.subs, STR("everyone")));
    assert_true(subs_stats(w.subs).bytes < before + 1000);
}

static void an_exact_filter_costs_little(void **state)
{
    enum { N = 100000 };
    char filter[32];
    uint64_t before = subs_stats(w.subs).bytes;

    for (unsigned i = 0; i < N; i++) {
        snprintf(filter, sizeof filter, "site/building/%08u/status", i); /* 29 bytes */
        add(filter, &targets[i], 0);
    }
    assert_true((subs_stats(w.subs).bytes - before) / N <= 110);
}

/* A filter of every combination of a and + on 12 levels: as many results as filters, no more
 * work than that; and the deepest filter allowed. */
static void filter_bombs_are_matched_in_full(void **state)
{
    enum { LEVELS = 12 };
    char filter[2 * LEVELS], deep[400];
    struct sub_node *const *nodes;

    for (unsigned bits = 0; bits < 1u << LEVELS; bits++) {
        for (unsigned i = 0; i < LEVELS; i++) {
            filter[2 * i] = bits >> i & 1 ? '+' : 'a';
            filter[2 * i + 1] = i + 1 < LEVELS ? '/' : '\0';
        }
        add(filter, &targets[1], 0);
    }
    assert_int_equal(subs_match(w.subs, w.cache, STR("a/a/a/a/a/a/a/a/a/a/a/a"), &nodes),
                     1u << LEVELS);
    assert_int_equal(subs_match(w.subs, w.cache, STR("a/a/a/a/a/a/a/a/a/a/a/b"), &nodes),
                     1u << (LEVELS - 1));
    for (unsigned i = 0; i < 200; i++)
        memcpy(deep + 2 * i, "+/", 2);
    deep[399] = '\0';
    add(deep, &targets[2], 0);
    memset(deep, '/', 199); /* 200 levels, all empty */
    deep[199] = '\0';
    assert_int_equal(heard(deep, &targets[2]), 1);
    deep[198] = '\0';
    assert_int_equal(heard(deep, &targets[2]), 0);
}

/* -- The cache -- */

static void changes_are_seen_through_the_cache(void **state)
{
    add("a/+", &targets[1], 0);
    assert_int_equal(heard("a/b", &targets[1]), 1);
    add("a/+", &targets[2], 0); /* the same node */
    assert_int_equal(heard("a/b", &targets[2]), 1);
    add("a/b", &targets[3], 0); /* exact: beside the cache */
    assert_int_equal(heard("a/b", &targets[3]), 1);
    add("#", &targets[4], 0);
    assert_int_equal(heard("a/b", &targets[4]), 1);
    assert_true(drop("a/+", &targets[1]));
    assert_true(drop("a/+", &targets[2]));
    qsbr_quiescent(&w.slot); /* frees the node */
    assert_int_equal(heard("a/b", &targets[2]), 0);
    assert_int_equal(heard("a/b", &targets[4]), 1);
    /* A node on the way becomes a filter itself. */
    add("a/+/c", &targets[5], 0);
    assert_int_equal(heard("a/b", &targets[1]), 0);
    add("a/+", &targets[1], 0);
    assert_int_equal(heard("a/b", &targets[1]), 1);
}

static void results_too_large_to_keep_are_right_each_time(void **state)
{
    char topic[2000];
    memset(topic, 'x', sizeof topic - 1);
    topic[sizeof topic - 1] = '\0';
    add("+", &targets[1], 0);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(heard(topic, &targets[1]), 1);
}

/* -- Threads -- */

enum { READERS = 2, WRITERS = 2, CHURN = 20000, CHURN_FILTERS = 64 };

static _Atomic int writers_left;

static const char *const stays[] = {"t/+/x", "t/#", "t/1/x", "+/1/#"};

/* Those who stay subscribed must be heard exactly once whatever happens around them. */
static void *reader_run(void *arg)
{
    struct subs_cache *cache = subs_cache_new(16);
    struct qsbr_slot slot;
    unsigned n = 0;

    qsbr_join(&slot);
    while (atomic_load(&writers_left) > 0) {
        char topic[16];
        struct sub_node *const *nodes;
        snprintf(topic, sizeof topic, "t/%u/x", n++ % 8);
        unsigned count = subs_match(w.subs, cache, str_of(topic), &nodes), times[4] = {0};
        for (unsigned i = 0; i < count; i++) {
            struct sub_walk walk = sub_walk_begin(nodes[i]);
            for (uint64_t e; (e = sub_walk_next(&walk)) != 0;)
                if ((size_t)((char *)sub_entry_target(e) - targets) < ARRAY_LEN(stays))
                    times[(char *)sub_entry_target(e) - targets]++;
        }
        for (size_t i = 0; i < ARRAY_LEN(stays); i++)
            assert_int_equal(times[i], topic_matches(str_of(stays[i]), str_of(topic)));
        if (n % 4 == 0)
            qsbr_quiescent(&slot);
    }
    qsbr_leave(&slot);
    subs_cache_free(&cache);
    return NULL;
}

static void *writer_run(void *arg)
{
    static const char *const shapes[] = {"t/+/x", "t/#",   "t/%u/x", "t/%u/+", "+/%u/#",
                                         "t/1/x", "+/+/x", "#",      "t/+/%u", "t/%u/x/y"};
    struct sub_node *node[CHURN_FILTERS] = {0};
    size_t me = (size_t)(uintptr_t)arg;
    uint64_t x = me * 2654435761u + 12345;
    struct qsbr_slot slot;

    qsbr_join(&slot);
    for (unsigned i = 0; i < CHURN; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        unsigned f = (unsigned)(x >> 33) % CHURN_FILTERS;
        void *target = &targets[1000 * (me + 1) + f];
        if (node[f]) {
            assert_true(subs_remove(w.subs, &slot, node[f], target));
            node[f] = NULL;
        } else {
            char filter[32];
            bool existed;
            snprintf(filter, sizeof filter, shapes[f % ARRAY_LEN(shapes)], f % 8);
            node[f] = subs_add(w.subs, &slot, str_of(filter), target, 0, &existed);
            assert_false(existed);
        }
        qsbr_quiescent(&slot);
    }
    for (unsigned f = 0; f < CHURN_FILTERS; f++)
        if (node[f])
            assert_true(subs_remove(w.subs, &slot, node[f], &targets[1000 * (me + 1) + f]));
    atomic_fetch_sub(&writers_left, 1);
    qsbr_leave(&slot);
    return NULL;
}

static void readers_and_writers_at_once(void **state)
{
    pthread_t threads[READERS + WRITERS];

    for (size_t i = 0; i < ARRAY_LEN(stays); i++)
        add(stays[i], &targets[i], 0);
    atomic_store(&writers_left, WRITERS);
    qsbr_offline(&w.slot);
    for (uintptr_t i = 0; i < READERS + WRITERS; i++)
        assert_int_equal(
            pthread_create(&threads[i], NULL, i < READERS ? reader_run : writer_run, (void *)i), 0);
    for (unsigned i = 0; i < READERS + WRITERS; i++)
        pthread_join(threads[i], NULL);
    qsbr_online(&w.slot);
    assert_int_equal(subs_stats(w.subs).subscriptions, ARRAY_LEN(stays));
}

/* In every round some filters hang alone, and while readers look for them others come along
 * their way and push them down. */
enum { PUSHES = 400 };

static const char *const lone[] = {"1/2/3/+/5", "+/2/x/y", "#", "1/+/3/4/5", "1/2/+/#"};

static _Atomic unsigned push_round;

static char *with_round(char *out, size_t cap, unsigned round, const char *rest)
{
    snprintf(out, cap, "r%u/%s", round, rest);
    return out;
}

static void lone_heard(unsigned round, struct str topic, struct sub_node *const *nodes,
                       unsigned count)
{
    unsigned times[ARRAY_LEN(lone)] = {0};
    char filter[40];

    for (unsigned i = 0; i < count; i++) {
        struct sub_walk walk = sub_walk_begin(nodes[i]);
        for (uint64_t e; (e = sub_walk_next(&walk)) != 0;)
            if ((size_t)((char *)sub_entry_target(e) - targets) < ARRAY_LEN(lone))
                times[(char *)sub_entry_target(e) - targets]++;
    }
    for (size_t i = 0; i < ARRAY_LEN(lone); i++) {
        struct str f = str_of(with_round(filter, sizeof filter, round, lone[i]));
        assert_int_equal(times[i], topic_matches(f, topic));
        assert_non_null(subs_find(w.subs, f));
    }
}

static void *lone_reader_run(void *arg)
{
    static const char *const rests[] = {"1/2/3/4/5", "1/2/x/y", "9", "1/2"};
    struct subs_cache *cache = subs_cache_new(2);
    struct qsbr_slot slot;

    qsbr_join(&slot);
    for (unsigned n = 0, round; (round = atomic_load(&push_round)) <= PUSHES; n++) {
        char topic[40];
        struct sub_node *const *nodes;
        with_round(topic, sizeof topic, round, rests[n % ARRAY_LEN(rests)]);
        unsigned count = subs_match(w.subs, cache, str_of(topic), &nodes);
        lone_heard(round, str_of(topic), nodes, count);
        qsbr_quiescent(&slot);
    }
    qsbr_leave(&slot);
    subs_cache_free(&cache);
    return NULL;
}

static void lone_filters_are_not_lost_when_pushed_down(void **state)
{
    static const char *const others[] = {"1/2/3/+/6", "1/2/3/+", "1/+/3",       "+/2/x/#",
                                         "+",         "1/2/#",   "1/+/3/4/5/+", "1/2/3/+/5/6"};
    pthread_t threads[READERS];
    char filter[40];

    for (unsigned round = 1; round <= PUSHES; round++) {
        for (size_t i = 0; i < ARRAY_LEN(lone); i++)
            add(with_round(filter, sizeof filter, round, lone[i]), &targets[i], 0);
        atomic_store(&push_round, round);
        for (unsigned i = 0; round == 1 && i < READERS; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, lone_reader_run, NULL), 0);
        for (size_t i = 0; i < ARRAY_LEN(others); i++)
            add(with_round(filter, sizeof filter, round, others[i]), &targets[100], 0);
        for (size_t i = 0; i < ARRAY_LEN(others); i++)
            drop(with_round(filter, sizeof filter, round, others[i]), &targets[100]);
        qsbr_quiescent(&w.slot);
    }
    atomic_store(&push_round, PUSHES + 1);
    qsbr_offline(&w.slot);
    for (unsigned i = 0; i < READERS; i++)
        pthread_join(threads[i], NULL);
    qsbr_online(&w.slot);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(wildcards_match_as_written),
        CASE(leading_wildcards_do_not_reach_dollar_topics),
        CASE(subscribing_again_replaces_the_options),
        CASE(a_node_knows_its_filter),
        CASE(what_leads_to_a_filter_is_not_one),
        CASE(random_filters_match_as_the_rule_says),
        CASE(big_lists_keep_each_subscriber_once),
        CASE(a_hundred_thousand_leave_in_any_order),
        CASE(an_exact_filter_costs_little),
        CASE(filter_bombs_are_matched_in_full),
        CASE(changes_are_seen_through_the_cache),
        CASE(results_too_large_to_keep_are_right_each_time),
        CASE(readers_and_writers_at_once),
        CASE(lone_filters_are_not_lost_when_pushed_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
