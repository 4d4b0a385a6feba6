/* Reading a queue back in parts: together they are what a load gives. */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "model.h"
#include "scratch.h"

enum { SESSIONS = 3, MESSAGES = 401 };

/* Counters are far apart here and there, and beyond 32 bits. */
static uint64_t counter_of(unsigned i)
{
    return i + i / 100 * 5000000000u;
}

struct rig {
    struct store *store;
    struct batch batch;
};

static void pub(struct rig *rig, unsigned i, unsigned sessions)
{
    struct record_message m = m_message(i, 0);

    batch_pub_begin(&rig->batch, &m, 0, 0, 0);
    for (unsigned s = 1; s <= sessions; s++)
        batch_pub_target(&rig->batch, &(struct record_target){.session = s,
                                                              .counter = counter_of(i),
                                                              .sub_id = (uint32_t)counter_of(i),
                                                              .qos = 2});
    batch_pub_end(&rig->batch);
}

/* Three sessions; of the messages some are shared, some done, some released. */
static void rig_open(struct rig *rig)
{
    struct store_conf conf = conf_of(NULL);

    scratch_clear();
    *rig = (struct rig){.batch = {0}};
    must_open(&rig->store, &conf);
    for (unsigned s = 1; s <= SESSIONS; s++)
        batch_session(&rig->batch, &(struct record_session){.number = s});
    for (unsigned i = 0; i < MESSAGES; i++)
        pub(rig, i, i % 3 ? 2 : 3); /* the third session has gaps */
    for (unsigned i = 0; i < MESSAGES; i++) {
        if (i % 7 == 0)
            batch_ack(&rig->batch, 2, counter_of(i), 0);
        else if (i % 11 == 0)
            batch_release(&rig->batch, 2, counter_of(i));
    }
    batch_ack(&rig->batch, 2, counter_of(MESSAGES), 0); /* its message is yet to come */
    must_fold(rig->store, store_submit(rig->store, 0, &rig->batch));
}

static void rig_close(struct rig *rig)
{
    batch_fini(&rig->batch);
    assert_int_equal(store_close(&rig->store), 0);
}

struct entries {
    struct {
        uint64_t counter, shared;
        unsigned value;
        bool released;
    } all[MESSAGES + 1];
    unsigned count;
    uint64_t session; /* others are passed by */
    size_t bytes;
    unsigned refuse; /* with the so-manieth entry; 0: never */
};

static int on_entry(void *arg, const struct load_entry *e)
{
    struct entries *to = arg;

    if (e->target.session != to->session)
        return 0;
    if (to->refuse && to->count + 1 == to->refuse)
        return ERR_LIMIT;
    assert_int_equal(e->target.sub_id, (uint32_t)e->target.counter);
    to->all[to->count].counter = e->target.counter;
    to->all[to->count].shared = e->shared;
    to->all[to->count].released = e->released;
    to->all[to->count].value = e->released ? 0 : m_value(&e->message);
    to->bytes += e->message.payload.len;
    to->count++;
    return 0;
}

static void load_all(struct rig *rig, struct entries *all)
{
    struct loader loader = {.entry = on_entry, .arg = all};
    char why[512];

    assert_int_equal(store_load(rig->store, &loader, why, sizeof why), 0);
}

static uint64_t read_part(struct rig *rig, struct entries *to, uint64_t from, uint32_t most,
                          size_t most_bytes)
{
    uint64_t next = 0;

    assert_int_equal(
        store_queue_read(rig->store, to->session, from, most, most_bytes, on_entry, to, &next), 0);
    return next;
}

static void check_same(const struct entries *a, const struct entries *b)
{
    assert_int_equal(a->count, b->count);
    assert_memory_equal(a->all, b->all, a->count * sizeof *a->all);
}

static void test_parts_make_the_whole(void **state)
{
    struct rig rig;

    rig_open(&rig);
    for (uint64_t session = 1; session <= SESSIONS; session++) {
        struct entries all = {.session = session};
        load_all(&rig, &all);
        assert_true(all.count > 100);
        for (uint32_t most = 1; most < 500; most = most * 3 / 2 + 1) {
            struct entries parts = {.session = session};
            uint64_t from = 0;
            for (unsigned before = UINT32_MAX; parts.count != before;) {
                before = parts.count;
                from = read_part(&rig, &parts, from, most, SIZE_MAX);
                assert_true(parts.count - before <= most);
                if (parts.count > before)
                    assert_int_equal(from, parts.all[parts.count - 1].counter + 1);
            }
            check_same(&parts, &all);
        }
    }
    rig_close(&rig);
}

/* From any counter on, whether an entry has it or not. */
static void test_from_anywhere(void **state)
{
    struct rig rig;
    struct entries all = {.session = 2};

    rig_open(&rig);
    load_all(&rig, &all);
    for (unsigned i = 0, at = 0; i < MESSAGES; i++) {
        struct entries one = {.session = 2};
        uint64_t next = read_part(&rig, &one, counter_of(i), 1, SIZE_MAX);
        while (all.all[at].counter < counter_of(i))
            at++;
        assert_int_equal(one.count, 1);
        assert_int_equal(one.all[0].counter, all.all[at].counter);
        assert_int_equal(next, all.all[at].counter + 1);
    }
    struct entries none = {.session = 2};
    uint64_t behind = counter_of(MESSAGES) + 1;
    assert_int_equal(read_part(&rig, &none, behind, 9, SIZE_MAX), behind);
    assert_int_equal(read_part(&rig, &none, UINT64_MAX, 9, SIZE_MAX), UINT64_MAX);
    assert_int_equal(read_part(&rig, &none, 0, 0, SIZE_MAX), 0);
    none.session = SESSIONS + 1;
    assert_int_equal(read_part(&rig, &none, 0, 9, SIZE_MAX), 0);
    assert_int_equal(none.count, 0);
    rig_close(&rig);
}

static void test_bytes_are_limited(void **state)
{
    struct rig rig;

    rig_open(&rig);
    for (size_t most = 1; most < 100000; most = most * 4 + 1) {
        struct entries e = {.session = 1};
        read_part(&rig, &e, 0, UINT32_MAX, most);
        assert_true(e.bytes >= most);
        assert_true(e.bytes - (20 + e.all[e.count - 1].value * 37 % 2000) < most);
    }
    rig_close(&rig);
}

/* The caller has enough: its error comes back, and *next is where it has to go on. */
static void test_caller_ends_it(void **state)
{
    struct rig rig;
    struct entries e = {.session = 1, .refuse = 5};
    uint64_t next;

    rig_open(&rig);
    assert_int_equal(store_queue_read(rig.store, 1, 0, 100, SIZE_MAX, on_entry, &e, &next),
                     ERR_LIMIT);
    assert_int_equal(next, 4);
    rig_close(&rig);
}

/* One message that a session queues several times, and others too: the same bytes, told so. */
static void test_shared_messages_are_told(void **state)
{
    struct rig rig;
    struct entries e = {.session = 1};

    rig_open(&rig);
    struct record_message m = m_message(77, 0);
    uint64_t first = counter_of(MESSAGES) + 10;
    batch_pub_begin(&rig.batch, &m, 0, 0, 0);
    for (unsigned i = 0; i < 3; i++)
        batch_pub_target(&rig.batch, &(struct record_target){.session = 1,
                                                             .counter = first + i,
                                                             .sub_id = (uint32_t)(first + i),
                                                             .qos = 1});
    batch_pub_end(&rig.batch);
    must_fold(rig.store, store_submit(rig.store, 0, &rig.batch));
    read_part(&rig, &e, first, 9, SIZE_MAX);
    assert_int_equal(e.count, 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(e.all[i].value, 77);
        assert_true(e.all[i].shared != 0 && e.all[i].shared == e.all[0].shared);
    }
    rig_close(&rig);
}

/* -- Only the first entries at the start -- */

struct start {
    struct entries entries;
    uint64_t first[SESSIONS + 1], count[SESSIONS + 1], queued[SESSIONS + 1];
    unsigned rests, given[SESSIONS + 1];
};

static int on_session(void *arg, const struct load_session *s)
{
    ((struct start *)arg)->queued[s->head.number] = s->queued;
    return 0;
}

static int on_some_entry(void *arg, const struct load_entry *e)
{
    struct start *start = arg;

    assert_int_equal(start->rests, e->target.session - 1); /* a rest comes behind its queue */
    start->given[e->target.session]++;
    return on_entry(&start->entries, e);
}

static int on_rest(void *arg, uint64_t session, uint64_t first, uint64_t count)
{
    struct start *start = arg;

    start->rests++;
    start->first[session] = first;
    start->count[session] = count;
    return 0;
}

/* What is left out is counted, and can be read on from where it begins. */
static void test_a_start_takes_only_the_first(void **state)
{
    static const uint32_t mosts[] = {1, 2, 50, 133};
    struct rig rig;

    rig_open(&rig);
    for (unsigned i = 0; i < sizeof mosts / sizeof *mosts; i++) {
        for (unsigned session = 1; session <= SESSIONS; session++) {
            struct start start = {.entries = {.session = session}};
            struct loader loader = {.session = on_session,
                                    .entry = on_some_entry,
                                    .rest = on_rest,
                                    .arg = &start,
                                    .queue_most = mosts[i]};
            struct entries all = {.session = session};
            char why[512];
            load_all(&rig, &all);
            assert_int_equal(store_load(rig.store, &loader, why, sizeof why), 0);
            assert_int_equal(start.rests, SESSIONS);
            assert_int_equal(start.queued[session], all.count);
            assert_int_equal(start.given[session], mosts[i]);
            assert_int_equal(start.count[session], all.count - mosts[i]);
            assert_int_equal(start.first[session], all.all[mosts[i]].counter);
            read_part(&rig, &start.entries, start.first[session], UINT32_MAX, SIZE_MAX);
            check_same(&start.entries, &all);
        }
    }
    rig_close(&rig);
}

/* A queue that is just so long has no rest. */
static void test_no_rest(void **state)
{
    struct rig rig;
    struct start start = {.entries = {.session = 1}};
    struct loader loader = {.rest = on_rest, .arg = &start, .queue_most = MESSAGES};
    char why[512];

    rig_open(&rig);
    assert_int_equal(store_load(rig.store, &loader, why, sizeof why), 0);
    assert_int_equal(start.rests, 0);
    rig_close(&rig);
}

/* -- What is said of it -- */

static int on_slow_entry(void *arg, const struct load_entry *e)
{
    uint64_t *until = arg;

    if (*until == 0)
        *until = clock_mono_ms() + 150;
    while (clock_mono_ms() < *until)
        sched_yield();
    return 0;
}

static void on_line(enum log_level level, struct str line, void *arg)
{
    snprintf(arg, 256, "%.*s", (int)line.len, line.ptr);
}

/* A load that took long enough to wonder about says what it was. */
static void test_a_long_load_is_told(void **state)
{
    struct rig rig;
    uint64_t until = 0;
    struct loader loader = {.entry = on_slow_entry, .arg = &until};
    char why[512], said[256] = "";

    rig_open(&rig);
    log_capture(on_line, said);
    log_level_set(LOG_LEVEL_INFO);
    assert_int_equal(store_load(rig.store, &loader, why, sizeof why), 0);
    log_level_set(LOG_LEVEL_ERROR + 1);
    log_capture(NULL, NULL);
    assert_non_null(strstr(said, "loaded 3 sessions, "));
    assert_non_null(strstr(said, " queued and 0 retained messages in "));
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts_make_the_whole),
        cmocka_unit_test(test_from_anywhere),
        cmocka_unit_test(test_bytes_are_limited),
        cmocka_unit_test(test_caller_ends_it),
        cmocka_unit_test(test_shared_messages_are_told),
        cmocka_unit_test(test_a_start_takes_only_the_first),
        cmocka_unit_test(test_no_rest),
        cmocka_unit_test(test_a_long_load_is_told),
    };
    log_level_set(LOG_LEVEL_ERROR + 1);
    return cmocka_run_group_tests(tests, in_scratch, out_of_scratch);
}
