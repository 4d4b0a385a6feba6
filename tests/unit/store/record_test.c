/* Records: what was put in comes out, and nothing damaged passes. */
#include "store/record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "store/batch.h"

enum { SALT = 0x5a17 };

static const struct record_message hello = {
    .topic = {"a/b", 3},
    .payload = {"hello\0world", 11},
    .props = {"\x01\x01", 2},
    .expires_ms = 1234567890123,
    .publisher = 77,
    .qos = 2,
    .retain = true,
};

/* Seals everything in the batch from `lsn` on. */
static void seal(struct batch *b, uint64_t lsn)
{
    for (size_t at = 0; at < b->len; at += record_length(b->bytes + at))
        record_seal(b->bytes + at, lsn + at, SALT);
}

/* Reads the record at *at and moves behind it. */
static struct record_body next(const struct batch *b, uint64_t lsn, size_t *at)
{
    struct record r;
    struct record_body body;

    assert_int_equal(record_read(b->bytes + *at, b->len - *at, lsn + *at, SALT, &r), RECORD_VALID);
    assert_int_equal(record_decode(&r, &body), 0);
    assert_int_equal(*at % 4, 0);
    *at += record_size(r.body.len);
    return body;
}

static void assert_str(struct str a, struct str b)
{
    assert_int_equal(a.len, b.len);
    if (a.len)
        assert_memory_equal(a.ptr, b.ptr, a.len);
}

static void assert_message(const struct record_message *a, const struct record_message *b)
{
    assert_str(a->topic, b->topic);
    assert_str(a->payload, b->payload);
    assert_str(a->props, b->props);
    assert_int_equal(a->expires_ms, b->expires_ms);
    assert_int_equal(a->publisher, b->publisher);
    assert_int_equal(a->qos, b->qos);
    assert_int_equal(a->retain, b->retain);
}

static void add_one_of_each(struct batch *b)
{
    struct record_target t = {.session = 5, .counter = 1ull << 40, .sub_id = 9, .qos = 1};

    batch_session(b, &(struct record_session){.number = 5,
                                              .client_id = STR("client"),
                                              .username = STR("user"),
                                              .has_username = true,
                                              .expiry = 3600,
                                              .realm = 0xfedcba98,
                                              .version = 5});
    batch_sub(b, &(struct record_sub){5, STR("a/#"), 9, 0x12, 2});
    batch_unsub(b, 5, STR("+/x"));
    batch_pub_begin(b, &hello, RECORD_KEEP | RECORD_INBOUND, 5, 65535);
    for (unsigned i = 0; i < 3; i++, t.counter++, t.retain = true)
        batch_pub_target(b, &t);
    assert_true(batch_pub_end(b));
    batch_release(b, 5, 8);
    batch_ack(b, 5, 8, 0);
    batch_received(b, 5, 1, false);
    batch_received(b, 5, 1, true);
    batch_will(b, &(struct record_will){.number = 5, .delay = 1, .expiry = 2, .message = hello});
    batch_will(b, &(struct record_will){.number = 5});
    batch_away(b, &(struct record_away){5, UINT64_MAX, 17, 3});
    batch_end(b, 5);
}

static void test_all_types_come_back(void **state)
{
    struct batch b = {0};
    size_t at = 0;

    add_one_of_each(&b);
    seal(&b, 1000);
    struct record_body r = next(&b, 1000, &at);
    assert_int_equal(r.type, RECORD_SESSION);
    assert_int_equal(r.session.number, 5);
    assert_str(r.session.client_id, STR("client"));
    assert_str(r.session.username, STR("user"));
    assert_true(r.session.has_username && r.session.expiry == 3600 && r.session.version == 5);
    r = next(&b, 1000, &at);
    assert_int_equal(r.type, RECORD_SUB);
    assert_str(r.sub.filter, STR("a/#"));
    assert_true(r.sub.id == 9 && r.sub.options == 0x12 && r.sub.retain_handling == 2);
    r = next(&b, 1000, &at);
    assert_int_equal(r.type, RECORD_UNSUB);
    assert_str(r.sub.filter, STR("+/x"));
    r = next(&b, 1000, &at);
    assert_int_equal(r.type, RECORD_PUB);
    assert_int_equal(r.flags, RECORD_KEEP | RECORD_INBOUND);
    assert_true(r.pub.origin == 5 && r.pub.packet_id == 65535 && r.pub.target_count == 3);
    assert_message(&r.pub.message, &hello);
    struct record_target t = record_target_at(&r.pub, 2);
    assert_true(t.session == 5 && t.counter == (1ull << 40) + 2 && t.sub_id == 9 && t.qos == 1 &&
                t.retain);
    r = next(&b, 1000, &at);
    assert_true(r.type == RECORD_RELEASE && r.run.session == 5 && r.run.first == 8);
    r = next(&b, 1000, &at);
    assert_true(r.type == RECORD_ACK && r.run.first == 8 && r.run.count == 1);
    r = next(&b, 1000, &at);
    assert_true(r.type == RECORD_RECEIVED && r.flags == 0 && r.received.packet_id == 1);
    r = next(&b, 1000, &at);
    assert_true(r.type == RECORD_RECEIVED && r.flags == RECORD_GONE);
    r = next(&b, 1000, &at);
    assert_true(r.type == RECORD_WILL && r.will.delay == 1 && r.will.expiry == 2);
    assert_message(&r.will.message, &hello);
    r = next(&b, 1000, &at);
    assert_true(r.type == RECORD_WILL && r.flags == RECORD_GONE);
    r = next(&b, 1000, &at);
    assert_true(r.type == RECORD_AWAY && r.away.ends_ms == UINT64_MAX && r.away.will_ms == 17);
    r = next(&b, 1000, &at);
    assert_true(r.type == RECORD_END && r.end == 5);
    assert_int_equal(at, b.len);
    batch_fini(&b);
}

static void test_runs_grow(void **state)
{
    struct batch b = {0};
    size_t at = 0;

    for (uint64_t c = 10; c < 1010; c++)
        batch_ack(&b, 3, c, 0);
    batch_ack(&b, 3, 1011, 0);              /* a gap */
    batch_ack(&b, 4, 1012, 0);              /* another session */
    batch_ack(&b, 4, 1013, RECORD_EXPIRED); /* another reason */
    batch_end(&b, 9);                       /* something between */
    batch_ack(&b, 4, 1014, RECORD_EXPIRED);
    seal(&b, 0);
    static const struct record_run runs[] = {{3, 10, 1000}, {3, 1011, 1}, {4, 1012, 1},
                                             {4, 1013, 1},  {0, 0, 0},    {4, 1014, 1}};
    for (unsigned i = 0; i < 6; i++) {
        struct record_body r = next(&b, 0, &at);
        if (i == 4) {
            assert_int_equal(r.type, RECORD_END);
            continue;
        }
        assert_int_equal(r.type, RECORD_ACK);
        assert_true(r.run.session == runs[i].session && r.run.first == runs[i].first &&
                    r.run.count == runs[i].count);
    }
    assert_int_equal(at, b.len);
    batch_fini(&b);
}

/* A record that is joined to the next one stays as it is. */
static void test_joined_records_do_not_grow(void **state)
{
    struct batch b = {0};
    struct record r;
    size_t at = 0;
    static const bool more[] = {true, true, false, false};

    batch_ack(&b, 3, 10, 0);
    assert_false(batch_joining(&b));
    batch_join(&b);
    assert_true(batch_joining(&b));
    batch_pub_begin(&b, &hello, 0, 0, 0);
    assert_false(batch_pub_end(&b)); /* taken back: the ACK still waits for its next */
    assert_true(batch_joining(&b));
    batch_ack(&b, 3, 11, 0);
    batch_join(&b);
    batch_ack(&b, 3, 12, 0);
    assert_false(batch_joining(&b));
    batch_ack(&b, 3, 13, 0); /* this one grows */
    batch_end(&b, 9);
    seal(&b, 0);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(record_read(b.bytes + at, b.len - at, at, SALT, &r), RECORD_VALID);
        assert_true(!!(r.flags & RECORD_MORE) == more[i]);
        struct record_body body = next(&b, 0, &at);
        assert_int_equal(body.type, i < 3 ? RECORD_ACK : RECORD_END);
        if (i < 3)
            assert_true(body.run.first == 10 + i && body.run.count == (i == 2 ? 2 : 1));
    }
    assert_int_equal(at, b.len);
    batch_fini(&b);
}

/* What nobody has to keep leaves no trace. */
static void test_pub_without_target_is_taken_back(void **state)
{
    struct batch b = {0};

    batch_end(&b, 1);
    size_t before = b.len;
    batch_pub_begin(&b, &hello, 0, 0, 0);
    assert_false(batch_pub_end(&b));
    assert_int_equal(b.len, before);
    batch_pub_begin(&b, &hello, RECORD_KEEP, 0, 0);
    assert_true(batch_pub_end(&b));
    assert_true(b.len > before);
    batch_fini(&b);
}

static void test_place_and_salt_matter(void **state)
{
    struct batch b = {0};
    struct record r;

    batch_end(&b, 1);
    seal(&b, 500);
    assert_int_equal(record_read(b.bytes, b.len, 500, SALT, &r), RECORD_VALID);
    assert_int_equal(record_read(b.bytes, b.len, 501, SALT, &r), RECORD_NONE);
    assert_int_equal(record_read(b.bytes, b.len, 500, SALT + 1, &r), RECORD_BROKEN);
    for (size_t room = 0; room < b.len; room++)
        assert_int_not_equal(record_read(b.bytes, room, 500, SALT, &r), RECORD_VALID);
    batch_fini(&b);
}

static void test_each_flipped_bit_is_seen(void **state)
{
    struct batch b = {0};
    struct record r;

    batch_pub_begin(&b, &hello, RECORD_KEEP, 0, 0);
    batch_pub_end(&b);
    seal(&b, 64);
    for (size_t bit = 0; bit < b.len * 8; bit++) {
        b.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_not_equal(record_read(b.bytes, b.len, 64, SALT, &r), RECORD_VALID);
        b.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_int_equal(record_read(b.bytes, b.len, 64, SALT, &r), RECORD_VALID);
    batch_fini(&b);
}

/* A body of any other length than its own is refused, for each type. */
static void test_truncated_bodies_are_refused(void **state)
{
    struct batch b = {0};
    struct record_body body;
    struct record r;

    add_one_of_each(&b);
    seal(&b, 0);
    for (size_t at = 0; at < b.len; at += record_size(r.body.len)) {
        assert_int_equal(record_read(b.bytes + at, b.len - at, at, SALT, &r), RECORD_VALID);
        for (size_t len = 0; len < r.body.len; len++) {
            char *copy = malloc(len ? len : 1); /* so that reading behind it is seen */
            memcpy(copy, r.body.ptr, len);
            struct record cut = {r.lsn, r.type, r.flags, {copy, len}};
            assert_int_equal(record_decode(&cut, &body), ERR_SYNTAX);
            free(copy);
        }
    }
    batch_fini(&b);
}

static void test_unknown_types_are_told_apart(void **state)
{
    struct record_body body;
    struct record r = {.type = 200, .flags = RECORD_SKIPPABLE, .body = STR("x")};

    assert_int_equal(record_decode(&r, &body), ERR_NOT_FOUND);
    assert_string_equal(record_name(200), "?");
    assert_string_equal(record_name(RECORD_PUB), "PUB");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_types_come_back),
        cmocka_unit_test(test_runs_grow),
        cmocka_unit_test(test_joined_records_do_not_grow),
        cmocka_unit_test(test_pub_without_target_is_taken_back),
        cmocka_unit_test(test_place_and_salt_matter),
        cmocka_unit_test(test_each_flipped_bit_is_seen),
        cmocka_unit_test(test_truncated_bodies_are_refused),
        cmocka_unit_test(test_unknown_types_are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
