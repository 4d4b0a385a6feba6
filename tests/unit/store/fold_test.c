/* The fold: what records mean, however a checkpoint happens to cut the log between them. */
#include "store/fold.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model.h"
#include "scratch.h"

struct rig {
    struct tables *tables;
    struct batch batch; /* the next stretch */
    uint64_t lsn;
    struct m_text text;
};

static void rig_open(struct rig *rig)
{
    char why[512] = "";

    *rig = (struct rig){.lsn = 0};
    unlink("t");
    assert_int_equal(tables_open(&rig->tables, "t", 1 << 20, why, sizeof why), 0);
}

static void rig_close(struct rig *rig)
{
    tables_close(&rig->tables);
    batch_fini(&rig->batch);
    free(rig->text.bytes);
    assert_int_equal(unlink("t"), 0);
    assert_int_equal(unlink("t-lock"), 0);
}

static int count_mark(void *arg, struct str key, struct str value, bool *remove)
{
    *(uint64_t *)arg += value.ptr[0] == QUEUE_DONE;
    return 0;
}

/* The tables know how many marks wait in them. */
static void check_marks(struct rig *rig)
{
    struct tables_txn *txn;
    uint64_t known, found = 0;

    assert_int_equal(tables_begin(rig->tables, false, &txn), 0);
    assert_int_equal(tables_meta_get(txn, "marks", &known), 0);
    assert_int_equal(tables_each(txn, TABLE_QUEUE, STR_NONE, count_mark, &found), 0);
    tables_abort(&txn);
    assert_int_equal(known, found);
}

/* What was added since, as one stretch of the log. */
static void fold(struct rig *rig)
{
    struct fold *f = fold_new();
    struct batch *b = &rig->batch;

    for (size_t at = 0; at < b->len; at += record_length(b->bytes + at)) {
        record_seal(b->bytes + at, rig->lsn + at, 0);
        struct record r = record_at(b->bytes + at, rig->lsn + at);
        struct record_body body;
        assert_int_equal(record_decode(&r, &body), 0);
        assert_int_equal(fold_record(f, &r, &body), 0);
    }
    rig->lsn += b->len;
    assert_int_equal(fold_apply(f, rig->tables, rig->lsn, NULL), 0);
    fold_free(&f);
    batch_fini(b);
    check_marks(rig);
}

/* All there is, in the words of the model. */
static void expect(struct rig *rig, const char *text)
{
    struct loader loader = m_loader(&rig->text);
    char why[512];

    rig->text.len = 0;
    m_print(&rig->text, "%s", "");
    assert_int_equal(load_tables(rig->tables, &loader, why, sizeof why), 0);
    assert_string_equal(rig->text.bytes, text);
}

static void begin(struct rig *rig, uint64_t number)
{
    char id[32];

    snprintf(id, sizeof id, "client-%u", (unsigned)number);
    batch_session(&rig->batch, &(struct record_session){.number = number,
                                                        .client_id = str_of(id),
                                                        .username = STR("user"),
                                                        .has_username = true});
}

static void pub(struct rig *rig, unsigned value, uint64_t session, unsigned counter)
{
    struct record_message m = m_message(value, 0);

    batch_pub_begin(&rig->batch, &m, 0, 0, 0);
    batch_pub_target(&rig->batch,
                     &(struct record_target){
                         .session = session, .counter = counter, .sub_id = counter, .qos = 2});
    batch_pub_end(&rig->batch);
}

#define SESSION_1 "session 1 expiry 0 away 0 will 0 "

/* One worker's RELEASE and ACK, and the other's PUB behind, before or between them: wherever
 * checkpoints cut, nothing of the message is left. */
static void test_release_ack_and_pub_in_any_order(void **state)
{
    static const char *const orders[] = {"PRA", "RPA", "RAP", "PA", "AP"};

    for (unsigned o = 0; o < ARRAY_LEN(orders); o++) {
        for (unsigned cuts = 0; cuts < 8; cuts++) {
            struct rig rig;
            rig_open(&rig);
            begin(&rig, 1);
            for (const char *what = orders[o]; *what; what++) {
                if (*what == 'P')
                    pub(&rig, 7, 1, 0);
                else if (*what == 'R')
                    batch_release(&rig.batch, 1, 0);
                else
                    batch_ack(&rig.batch, 1, 0, 0);
                if (cuts >> (what - orders[o]) & 1)
                    fold(&rig);
            }
            fold(&rig);
            expect(&rig, SESSION_1 "tail 1 queued 0\n");
            rig_close(&rig);
        }
    }
}

/* A RELEASE before its PUB: from then on it is PUBREL's turn. */
static void test_release_before_its_message(void **state)
{
    for (unsigned cut = 0; cut < 2; cut++) {
        struct rig rig;
        rig_open(&rig);
        begin(&rig, 1);
        batch_release(&rig.batch, 1, 0);
        if (cut)
            fold(&rig);
        pub(&rig, 7, 1, 0);
        fold(&rig);
        expect(&rig, SESSION_1 "tail 1 queued 1\n queue 0: released\n");
        rig_close(&rig);
    }
}

static int qos_of(void *arg, const struct load_entry *e)
{
    *(unsigned *)arg = e->released ? 10u + e->target.qos : e->target.qos;
    return 0;
}

/* Its message was lost with a worker's last turn: the client waits for PUBREL all the same. */
static void test_release_whose_message_was_lost(void **state)
{
    struct rig rig;
    unsigned qos = 0;
    struct loader loader = {.entry = qos_of, .arg = &qos};
    char why[512];

    rig_open(&rig);
    begin(&rig, 1);
    batch_release(&rig.batch, 1, 0);
    fold(&rig);
    assert_int_equal(fold_sweep(rig.tables), 0);
    assert_int_equal(load_tables(rig.tables, &loader, why, sizeof why), 0);
    assert_int_equal(qos, 12);
    rig_close(&rig);
}

/* An ACK said twice is one. */
static void test_ack_twice(void **state)
{
    struct rig rig;

    rig_open(&rig);
    begin(&rig, 1);
    batch_ack(&rig.batch, 1, 0, 0);
    fold(&rig);
    batch_ack(&rig.batch, 1, 0, RECORD_EXPIRED);
    fold(&rig);
    pub(&rig, 7, 1, 0);
    fold(&rig);
    expect(&rig, SESSION_1 "tail 1 queued 0\n");
    rig_close(&rig);
}

/* A crash took the message of an ACK with it: its counter is free after the start. */
static void test_lost_message_frees_its_counter(void **state)
{
    struct rig rig;

    rig_open(&rig);
    begin(&rig, 1);
    batch_ack(&rig.batch, 1, 0, 0);
    fold(&rig);
    assert_int_equal(fold_sweep(rig.tables), 0); /* the start */
    pub(&rig, 8, 1, 0);
    fold(&rig);
    expect(&rig, SESSION_1 "tail 1 queued 1\n queue 0: 8\n");
    rig_close(&rig);
}

/* What comes for a session that has ended is nobody's, whenever it comes. */
static void test_nothing_for_ended_sessions(void **state)
{
    for (unsigned cut = 0; cut < 2; cut++) {
        struct rig rig;
        rig_open(&rig);
        begin(&rig, 1);
        begin(&rig, 2);
        pub(&rig, 7, 1, 0);
        fold(&rig);
        batch_end(&rig.batch, 1);
        if (cut)
            fold(&rig);
        batch_ack(&rig.batch, 1, 0, 0);
        batch_ack(&rig.batch, 1, 1, RECORD_DROPPED);
        batch_release(&rig.batch, 1, 2);
        batch_received(&rig.batch, 1, 5, false);
        batch_sub(&rig.batch, &(struct record_sub){1, m_name(0), 3, 0, 0});
        batch_unsub(&rig.batch, 1, m_name(1));
        batch_away(&rig.batch, &(struct record_away){1, 5, 0, 0});
        batch_will(&rig.batch, &(struct record_will){.number = 1, .message = m_message(1, 0)});
        pub(&rig, 8, 1, 3);
        batch_end(&rig.batch, 1);
        fold(&rig);
        expect(&rig, "session 2 expiry 0 away 0 will 0 tail 0 queued 0\n");
        rig_close(&rig);
    }
}

/* Marks go with their session, and at the start. */
static void test_marks_go(void **state)
{
    struct rig rig;

    rig_open(&rig);
    begin(&rig, 1);
    begin(&rig, 2);
    for (unsigned c = 0; c < 9; c++) {
        batch_ack(&rig.batch, 1, 2 * c, 0);
        batch_ack(&rig.batch, 2, 2 * c, 0);
        pub(&rig, c, 2, 2 * c + 1);
    }
    fold(&rig);
    batch_end(&rig.batch, 1);
    fold(&rig);
    pub(&rig, 70, 2, 0);
    fold(&rig);
    assert_int_equal(fold_sweep(rig.tables), 0);
    check_marks(&rig);
    pub(&rig, 71, 2, 2); /* as after a crash */
    batch_end(&rig.batch, 1);
    fold(&rig);
    expect(&rig, "session 2 expiry 0 away 0 will 0 tail 18 queued 10\n queue 1: 0\n queue 2: 71\n"
                 " queue 3: 1\n queue 5: 2\n queue 7: 3\n queue 9: 4\n queue 11: 5\n"
                 " queue 13: 6\n queue 15: 7\n queue 17: 8\n");
    rig_close(&rig);
}

static void keep(struct rig *rig, unsigned value, bool empty)
{
    struct record_message m = m_message(value, 2);

    if (empty)
        m.payload.len = 0;
    batch_pub_begin(&rig->batch, &m, RECORD_KEEP, 0, 0);
    batch_pub_end(&rig->batch);
}

static void test_an_empty_payload_removes_what_is_retained(void **state)
{
    struct rig rig;

    rig_open(&rig);
    keep(&rig, 5, true); /* nothing to remove */
    fold(&rig);
    expect(&rig, "");
    keep(&rig, 6, false);
    fold(&rig);
    expect(&rig, "retained 2: 6\n");
    keep(&rig, 7, true);
    fold(&rig);
    expect(&rig, "");
    keep(&rig, 8, false);
    keep(&rig, 8, true);
    fold(&rig);
    expect(&rig, "");
    rig_close(&rig);
}

/* A client that comes back has new particulars and is here; what it had stays. */
static void test_a_session_is_resumed(void **state)
{
    for (unsigned cut = 0; cut < 2; cut++) {
        struct rig rig;
        rig_open(&rig);
        begin(&rig, 1);
        pub(&rig, 7, 1, 0);
        pub(&rig, 8, 1, 1);
        batch_ack(&rig.batch, 1, 0, 0);
        batch_sub(&rig.batch, &(struct record_sub){1, m_name(3), 9, 0, 0});
        batch_received(&rig.batch, 1, 4, false);
        batch_away(&rig.batch, &(struct record_away){1, 99, 98, 97});
        if (cut) {
            fold(&rig);
            expect(&rig,
                   "session 1 expiry 0 away 99 will 0 tail 2 queued 1\n sub 3: 9\n received 4\n"
                   " queue 1: 8\n");
        }
        batch_session(&rig.batch, &(struct record_session){.number = 1,
                                                           .client_id = STR("client-1"),
                                                           .username = STR("user"),
                                                           .has_username = true,
                                                           .expiry = 60});
        fold(&rig);
        expect(&rig, "session 1 expiry 60 away 0 will 0 tail 2 queued 1\n sub 3: 9\n received 4\n"
                     " queue 1: 8\n");
        rig_close(&rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_release_ack_and_pub_in_any_order),
        cmocka_unit_test(test_release_before_its_message),
        cmocka_unit_test(test_release_whose_message_was_lost),
        cmocka_unit_test(test_ack_twice),
        cmocka_unit_test(test_lost_message_frees_its_counter),
        cmocka_unit_test(test_nothing_for_ended_sessions),
        cmocka_unit_test(test_marks_go),
        cmocka_unit_test(test_an_empty_payload_removes_what_is_retained),
        cmocka_unit_test(test_a_session_is_resumed),
    };
    return cmocka_run_group_tests(tests, in_scratch, out_of_scratch);
}
