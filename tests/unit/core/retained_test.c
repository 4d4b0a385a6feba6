/* Retained messages against a plain table and topic_matches; replay in slices while the tree
 * changes; threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pthread.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "core/retained.h"
#include "mqtt/topic.h"

static struct {
    struct qsbr_slot slot;
    struct retained *r;
} w;

static int set_up(void **state)
{
    qsbr_join(&w.slot);
    w.r = retained_new();
    return 0;
}

static int tear_down(void **state)
{
    retained_free(&w.r);
    assert_null(w.r);
    qsbr_leave(&w.slot);
    return 0;
}

static uint64_t rng = 88172645463325252u;

static uint64_t random_u64(void)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return rng;
}

static int put(const char *topic, const char *payload, uint64_t expires_ms)
{
    struct message *m = message_new(str_of(topic), str_of(payload), STR_NONE, 0, true);
    m->expires_ms = expires_ms;
    int err = retained_put(w.r, &w.slot, m);
    message_unref(m);
    return err;
}

static bool drop(const char *topic)
{
    return retained_remove(w.r, &w.slot, str_of(topic));
}

static bool is(const char *topic, const char *payload)
{
    struct message *m = retained_get(w.r, str_of(topic), 0);
    return payload ? m && str_eq(message_payload(m), str_of(payload)) : m == NULL;
}

/* -- One topic at a time -- */

static void the_last_message_is_kept(void **state) /* [MQTT-3.3.1-5] */
{
    assert_int_equal(put("a/b", "1", 0), 0);
    assert_true(is("a/b", "1"));
    assert_int_equal(put("a/b", "2", 0), 0);
    assert_true(is("a/b", "2"));
    assert_int_equal(retained_stats(w.r).messages, 1);
    assert_true(is("a", NULL) && is("a/b/c", NULL) && is("b", NULL) && is("a/", NULL));
}

static void a_removed_message_is_gone(void **state) /* [MQTT-3.3.1-6] */
{
    uint64_t empty = retained_stats(w.r).bytes;
    put("a/b", "1", 0);
    assert_true(drop("a/b"));
    assert_false(drop("a/b"));
    assert_false(drop("x"));
    assert_true(is("a/b", NULL));
    assert_int_equal(retained_stats(w.r).messages, 0);
    assert_int_equal(retained_stats(w.r).bytes, empty);
}

/* Topics that are each other's beginnings, in every order of coming and going. */
static void prefixes_do_not_hide_each_other(void **state)
{
    static const char *const topics[] = {"a", "a/b", "a/b/c/d", "a/", "/", "a//b", "/a"};
    enum { N = ARRAY_LEN(topics) };
    uint64_t empty = retained_stats(w.r).bytes;

    for (unsigned round = 0; round < 3000; round++) {
        bool in[N] = {false};
        for (unsigned step = 0; step < 3 * N; step++) {
            unsigned i = (unsigned)(random_u64() % N);
            if (in[i])
                assert_true(drop(topics[i]));
            else
                assert_int_equal(put(topics[i], topics[i], 0), 0);
            in[i] = !in[i];
            for (unsigned k = 0; k < N; k++)
                assert_true(is(topics[k], in[k] ? topics[k] : NULL));
        }
        for (unsigned i = 0; i < N; i++)
            assert_int_equal(drop(topics[i]), in[i]);
        assert_int_equal(retained_stats(w.r).bytes, empty);
        qsbr_quiescent(&w.slot);
    }
}

static void limits_refuse_and_keep_what_was_there(void **state)
{
    retained_limit(w.r, &(struct retained_limits){.max_messages = 2});
    assert_int_equal(put("a", "1", 0), 0);
    assert_int_equal(put("b", "1", 0), 0);
    assert_int_equal(put("c", "1", 0), ERR_LIMIT);
    assert_int_equal(put("a", "2", 0), 0);
    assert_true(is("c", NULL));
    assert_true(drop("b"));
    assert_int_equal(put("c", "1", 0), 0);

    retained_limit(w.r, &(struct retained_limits){.max_bytes = retained_stats(w.r).bytes + 100});
    static char large[400];
    memset(large, 'x', sizeof large - 1);
    assert_int_equal(put("a", large, 0), ERR_LIMIT);
    assert_true(is("a", "2"));
    assert_int_equal(put("a", "3", 0), 0);
    assert_int_equal(put("d/e", large, 0), ERR_LIMIT);
    assert_true(is("d/e", NULL));
}

/* -- Replay -- */

enum { TOPICS = 600 };

static char topics[TOPICS][48];
static bool in[TOPICS];

static unsigned topic_number(struct str topic)
{
    for (unsigned i = 0; i < TOPICS; i++)
        if (str_eq(topic, str_of(topics[i])))
            return i;
    fail_msg("a topic nobody put: %.*s", STR_ARG(topic));
    return 0;
}

static void random_levels(char *out, unsigned words, bool filter)
{
    static const char *const names[] = {"a", "b", "cc", "", "$x", "dd", "e"};
    unsigned levels = 1 + (unsigned)(random_u64() % 5);
    char word[16];

    *out = '\0';
    for (unsigned i = 0; i < levels; i++) {
        unsigned dice = (unsigned)(random_u64() % 10);
        if (i)
            strcat(out, "/");
        if (filter && dice < 2 && i + 1 == levels)
            strcpy(word, "#");
        else if (filter && dice < 5)
            strcpy(word, "+");
        else if (random_u64() % 3)
            strcpy(word, names[random_u64() % ARRAY_LEN(names)]);
        else
            snprintf(word, sizeof word, "w%u", (unsigned)(random_u64() % words));
        strcat(out, word);
    }
    if (!*out)
        strcpy(out, "q");
}

static void topics_make(unsigned words)
{
    memset(in, 0, sizeof in);
    for (unsigned i = 0; i < TOPICS; i++) {
        do
            random_levels(topics[i], words, false);
        while (strlen(topics[i]) >= sizeof topics[i] - 1);
        for (unsigned k = 0; k < i; k++) {
            if (strcmp(topics[k], topics[i]) == 0) { /* once each */
                snprintf(topics[i], sizeof topics[i], "n/%u", i);
                break;
            }
        }
    }
}

struct seen {
    unsigned times[TOPICS], total;
    unsigned refuse_every; /* visit stops the turn now and then */
};

static bool visit_note(void *arg, struct message *m)
{
    struct seen *s = arg;
    if (s->refuse_every && random_u64() % s->refuse_every == 0)
        return false;
    s->times[topic_number(message_topic(m))]++;
    s->total++;
    return true;
}

static void toggle(unsigned i)
{
    if (in[i])
        assert_true(drop(topics[i]));
    else
        assert_int_equal(put(topics[i], "x", 0), 0);
    in[i] = !in[i];
}

/* Changes between slices; those there all the while must be seen once, none twice that was not
 * away in between, and none that does not match. */
static void replay_compare(const char *filter, unsigned most, unsigned churn, unsigned refuse)
{
    struct retained_cursor *c = retained_cursor_new(str_of(filter));
    static struct seen seen;
    static bool stayed[TOPICS];
    static unsigned came[TOPICS];

    memset(&seen, 0, sizeof seen);
    memset(came, 0, sizeof came);
    memcpy(stayed, in, sizeof in);
    seen.refuse_every = refuse;
    for (unsigned i = 0; i < TOPICS; i++)
        came[i] = in[i];
    for (bool more = true; more;) {
        unsigned before = seen.total;
        more = retained_replay(w.r, c, 0, most, visit_note, &seen);
        assert_true(seen.total - before <= most);
        qsbr_quiescent(&w.slot);
        for (unsigned k = 0; more && k < churn; k++) {
            unsigned i = (unsigned)(random_u64() % TOPICS);
            toggle(i);
            came[i] += in[i];
            stayed[i] = false;
        }
    }
    assert_false(retained_replay(w.r, c, 0, most, visit_note, &seen));
    for (unsigned i = 0; i < TOPICS; i++) {
        bool matches = topic_matches(str_of(filter), str_of(topics[i]));
        if (stayed[i])
            assert_int_equal(seen.times[i], matches);
        assert_true(seen.times[i] <= (matches ? came[i] : 0));
    }
    retained_cursor_free(&c);
}

static void replay_random(unsigned words)
{
    static const unsigned mosts[] = {1, 2, 7, 50, 1000};
    char filter[64];

    topics_make(words);
    for (unsigned i = 0; i < TOPICS; i++)
        if (random_u64() % 2)
            toggle(i);
    for (unsigned round = 0; round < 1500; round++) {
        random_levels(filter, words, true);
        if (round % 5 == 0)
            strcpy(filter, round % 10 ? "#" : "+/#");
        unsigned most = mosts[random_u64() % ARRAY_LEN(mosts)];
        replay_compare(filter, most, (unsigned)(random_u64() % 4), round % 3 ? 0 : 5);
    }
}

static void replay_agrees_with_the_rule(void **state)
{
    replay_random(4);
}

static void replay_agrees_where_nodes_are_wide(void **state)
{
    replay_random(200);
}

static bool visit_count(void *arg, struct message *m)
{
    ++*(unsigned *)arg;
    return true;
}

static void leading_wildcards_skip_dollar_topics(void **state) /* [MQTT-4.7.2-1] */
{
    static const struct {
        const char *filter;
        unsigned count;
    } cases[] = {{"#", 1}, {"+/x", 0}, {"+/#", 1}, {"$SYS/#", 2}, {"$SYS/+", 1}, {"a/+", 1}};
    put("$SYS", "1", 0);
    put("$SYS/x", "1", 0);
    put("a/$x", "1", 0);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        unsigned count = 0;
        struct retained_cursor *c = retained_cursor_new(str_of(cases[i].filter));
        assert_false(retained_replay(w.r, c, 0, 100, visit_count, &count));
        assert_int_equal(count, cases[i].count);
        retained_cursor_free(&c);
    }
}

/* Nothing matches, but one call must not look at everything. */
static void a_sparse_replay_is_sliced(void **state)
{
    enum { N = 20000 };
    char topic[40];
    unsigned count = 0, turns = 0;
    struct retained_cursor *c = retained_cursor_new(STR("+/x/here"));

    for (unsigned i = 0; i < N; i++) {
        snprintf(topic, sizeof topic, "%u/x/there", i);
        put(topic, "1", 0);
        if (i % 2) {
            snprintf(topic, sizeof topic, "%u/y", i);
            put(topic, "1", 0);
        }
        qsbr_quiescent(&w.slot);
    }
    put("777/x/here", "1", 0);
    while (retained_replay(w.r, c, 0, 10, visit_count, &count)) {
        turns++;
        qsbr_quiescent(&w.slot);
    }
    assert_int_equal(count, 1);
    assert_true(turns > N / 1000);
    retained_cursor_free(&c);
}

static void many_topics_come_and_go(void **state)
{
    enum { N = 100000 };
    char topic[40];
    unsigned count = 0;
    uint64_t empty = retained_stats(w.r).bytes;
    struct retained_cursor *c = retained_cursor_new(STR("#"));

    for (unsigned i = 0; i < N; i++) {
        snprintf(topic, sizeof topic, "site/building/%08u/status2", i);
        put(topic, "0123456789012345678901234567890123456789012345678901234567890123", 0);
        qsbr_quiescent(&w.slot);
    }
    struct retained_stats s = retained_stats(w.r);
    assert_int_equal(s.messages, N);
    assert_true((s.bytes - empty) / N <= 180); /* of which the message itself is 154 */
    while (retained_replay(w.r, c, 0, 100, visit_count, &count))
        ;
    assert_int_equal(count, N);
    retained_cursor_free(&c);
    for (unsigned i = 0; i < N; i++) {
        snprintf(topic, sizeof topic, "site/building/%08u/status2", i * 7 % N);
        assert_true(drop(topic));
        qsbr_quiescent(&w.slot);
    }
    assert_int_equal(retained_stats(w.r).bytes, empty);
}

/* -- Expiry [MQTT-3.3.2-5] -- */

static void expired_messages_are_not_handed_out(void **state)
{
    unsigned count = 0;
    struct retained_cursor *c = retained_cursor_new(STR("#"));

    put("a", "1", 1000);
    put("b", "1", 2000);
    put("c", "1", 0);
    assert_non_null(retained_get(w.r, STR("a"), 999));
    assert_null(retained_get(w.r, STR("a"), 1000));
    assert_false(retained_replay(w.r, c, 1500, 10, visit_count, &count));
    assert_int_equal(count, 2);
    retained_cursor_free(&c);
}

static void the_sweep_drops_what_has_expired(void **state)
{
    enum { N = 3000 };
    char topic[40];
    unsigned dropped = 0;

    for (unsigned i = 0; i < N; i++) {
        snprintf(topic, sizeof topic, i % 10 ? "s/%u" : "$x/%u", i);
        put(topic, "1", i % 3 ? 0 : 1000);
    }
    assert_int_equal(retained_sweep(w.r, &w.slot, 999, 10 * N), 0);
    for (unsigned turn = 0; turn < N; turn++) {
        dropped += retained_sweep(w.r, &w.slot, 1000, 16);
        qsbr_quiescent(&w.slot);
    }
    assert_int_equal(dropped, N / 3);
    assert_int_equal(retained_stats(w.r).messages, N - N / 3);
    assert_int_equal(retained_sweep(w.r, &w.slot, 1000, 16), 0);
}

/* -- Threads -- */

enum { WRITERS = 3, READERS = 2, ROUNDS = 15000, STAYING = 100, MOVES = 100000 };

static _Atomic int writers_left;

/* The first thing that went wrong on a thread; main asserts that nothing did.  cmocka's own
 * asserts do not work there: they end the process without a word, and all that shows is what the
 * leak checker makes of it. */
static _Atomic(const char *) wrong;

static void expect(bool holds, const char *what)
{
    const char *none = NULL;
    if (!holds)
        atomic_compare_exchange_strong(&wrong, &none, what);
}

static void assert_nothing_wrong(void)
{
    const char *what = atomic_exchange(&wrong, NULL);
    if (what)
        fail_msg("on a thread: %s", what);
}

static void stress_topic(char *out, size_t cap, uint64_t x)
{
    static const char *const before[] = {"s/", "s/", "s/", "", ""};
    static const char *const after[] = {"", "/b", "/b/c", "", "/x/y/z"};
    unsigned shape = (unsigned)(x % 5), n = (unsigned)(x / 8 % 60);
    snprintf(out, cap, "%s%u%s", before[shape], n, after[shape]);
}

static void stay_topic(char *out, size_t cap, unsigned i)
{
    snprintf(out, cap, i % 2 ? "s/%u/b/stay" : "stay/%u", i);
}

/* Puts, replaces and removes; also replaces those that stay, which must never be missed. */
static void *writer_run(void *arg)
{
    struct qsbr_slot slot;
    uint64_t x = (uint64_t)(uintptr_t)arg * 2654435761u + 99;
    char topic[40];

    qsbr_join(&slot);
    for (unsigned i = 0; i < ROUNDS; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        uint64_t y = x >> 24;
        if (y % 4 == 0)
            stay_topic(topic, sizeof topic, (unsigned)(y / 4 % STAYING));
        else
            stress_topic(topic, sizeof topic, y);
        if (y % 4 == 1) {
            retained_remove(w.r, &slot, str_of(topic));
        } else {
            struct message *m = message_new(str_of(topic), str_of(topic), STR_NONE, 0, true);
            m->expires_ms = y % 4 && y % 16 < 4 ? 1 : 0;
            expect(retained_put(w.r, &slot, m) == 0, "a put is refused");
            message_unref(m);
        }
        if (i % 64 == 0 && arg == NULL)
            retained_sweep(w.r, &slot, 5, 200);
        qsbr_quiescent(&slot);
    }
    atomic_fetch_sub(&writers_left, 1);
    qsbr_leave(&slot);
    return NULL;
}

static bool visit_staying(void *arg, struct message *m)
{
    unsigned *times = arg, n;
    char text[64];
    struct str topic = message_topic(m);

    expect(str_eq(topic, message_payload(m)), "replay shows another topic's message");
    snprintf(text, sizeof text, "%.*s", STR_ARG(topic));
    if (sscanf(text, "stay/%u", &n) == 1 || (strstr(text, "/b/stay") && sscanf(text, "s/%u/", &n)))
        times[n]++;
    return true;
}

static void *reader_run(void *arg)
{
    struct qsbr_slot slot;
    char topic[40];
    unsigned n = 0;

    qsbr_join(&slot);
    while (atomic_load(&writers_left) > 0) {
        unsigned times[STAYING] = {0};
        struct retained_cursor *c = retained_cursor_new(STR("#"));
        while (retained_replay(w.r, c, 0, 20, visit_staying, times))
            qsbr_quiescent(&slot);
        retained_cursor_free(&c);
        for (unsigned i = 0; i < STAYING; i++)
            expect(times[i] == 1,
                   times[i] ? "replay shows a topic twice" : "replay misses a topic");
        for (unsigned i = 0; i < 20; i++) {
            stay_topic(topic, sizeof topic, n++ % STAYING);
            struct message *m = retained_get(w.r, str_of(topic), 0);
            expect(m != NULL, "a topic that stays is not found");
            expect(!m || str_eq(message_topic(m), str_of(topic)), "another topic is found");
            stress_topic(topic, sizeof topic, n * 7);
            m = retained_get(w.r, str_of(topic), 0);
            expect(!m || str_eq(message_topic(m), str_of(topic)), "another topic is found");
        }
        qsbr_quiescent(&slot);
    }
    qsbr_leave(&slot);
    return NULL;
}

static void readers_and_writers_at_once(void **state)
{
    pthread_t threads[READERS + WRITERS];
    char topic[40];
    uint64_t empty = retained_stats(w.r).bytes;

    for (unsigned i = 0; i < STAYING; i++) {
        stay_topic(topic, sizeof topic, i);
        put(topic, topic, 0);
    }
    atomic_store(&writers_left, WRITERS);
    qsbr_offline(&w.slot);
    for (uintptr_t i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, writer_run, (void *)i), 0);
    for (uintptr_t i = WRITERS; i < READERS + WRITERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, reader_run, (void *)i), 0);
    for (unsigned i = 0; i < READERS + WRITERS; i++)
        pthread_join(threads[i], NULL);
    qsbr_online(&w.slot);
    assert_nothing_wrong();

    /* The accounts still fit what is there. */
    unsigned left = 0;
    struct retained_cursor *c = retained_cursor_new(STR("#"));
    assert_false(retained_replay(w.r, c, 0, 100000, visit_count, &left));
    retained_cursor_free(&c);
    assert_int_equal(retained_stats(w.r).messages, left);
    for (unsigned i = 0; i < STAYING; i++) {
        stay_topic(topic, sizeof topic, i);
        assert_true(drop(topic));
    }
    for (uint64_t y = 0; y < 5 * 60 * 8 * 8; y++) {
        stress_topic(topic, sizeof topic, y);
        drop(topic);
    }
    assert_int_equal(retained_stats(w.r).messages, 0);
    assert_int_equal(retained_stats(w.r).bytes, empty);
}

/* A topic stays while what shares its way comes and goes: its message hangs now here, now one
 * level down, and is found in both. */
static void *mover_run(void *arg)
{
    struct qsbr_slot slot;

    qsbr_join(&slot);
    for (unsigned i = 0; i < MOVES; i++) {
        struct message *m = message_new(STR("a/moves"), STR("x"), STR_NONE, 0, true);
        expect(retained_put(w.r, &slot, m) == 0, "a put is refused");
        message_unref(m);
        expect(retained_remove(w.r, &slot, STR("a/moves")), "what was put is not there");
        qsbr_quiescent(&slot);
    }
    atomic_fetch_sub(&writers_left, 1);
    qsbr_leave(&slot);
    return NULL;
}

static void *finder_run(void *arg)
{
    struct qsbr_slot slot;

    qsbr_join(&slot);
    while (atomic_load(&writers_left) > 0) {
        struct message *m = retained_get(w.r, STR("a/stays"), 0);
        expect(m != NULL, "a topic that stays is not found");
        expect(!m || str_eq(message_topic(m), STR("a/stays")), "another topic is found");
        qsbr_quiescent(&slot);
    }
    qsbr_leave(&slot);
    return NULL;
}

static void a_message_is_found_while_it_moves(void **state)
{
    pthread_t mover, finder;

    put("a/stays", "x", 0);
    atomic_store(&writers_left, 1);
    qsbr_offline(&w.slot);
    assert_int_equal(pthread_create(&finder, NULL, finder_run, NULL), 0);
    assert_int_equal(pthread_create(&mover, NULL, mover_run, NULL), 0);
    pthread_join(mover, NULL);
    pthread_join(finder, NULL);
    qsbr_online(&w.slot);
    assert_nothing_wrong();
    assert_int_equal(retained_stats(w.r).messages, 1);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(the_last_message_is_kept),
        CASE(a_removed_message_is_gone),
        CASE(prefixes_do_not_hide_each_other),
        CASE(limits_refuse_and_keep_what_was_there),
        CASE(replay_agrees_with_the_rule),
        CASE(replay_agrees_where_nodes_are_wide),
        CASE(leading_wildcards_skip_dollar_topics),
        CASE(a_sparse_replay_is_sliced),
        CASE(many_topics_come_and_go),
        CASE(expired_messages_are_not_handed_out),
        CASE(the_sweep_drops_what_has_expired),
        CASE(readers_and_writers_at_once),
        CASE(a_message_is_found_while_it_moves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
