/* The client's MQTT: what is written is what the specification says, and whatever is read is
 * judged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "wire.h"

static void same(const struct buf *b, const char *bytes, size_t len)
{
    assert_int_equal(buf_len(b), len);
    assert_memory_equal(buf_data(b), bytes, len);
}
#define SAME(b, text) same(b, text, sizeof(text) - 1)

static enum wire_taken take(enum wire_version v, const char *bytes, size_t len,
                            struct wire_packet *p)
{
    return wire_take(v, bytes, len, SIZE_MAX, p);
}
#define TAKE(v, text, p) take(v, text, sizeof(text) - 1, p)

static void connect_as_written(void **state)
{
    struct buf out = {0};
    struct wire_will will = {SKEP_STR("w"), SKEP_STR("0"), 1, true};
    struct wire_connect c = {.version = WIRE_5,
                             .keep_alive_s = 60,
                             .client_id = SKEP_STR("id"),
                             .has_username = true,
                             .username = SKEP_STR("u"),
                             .has_password = true,
                             .password = SKEP_STR("p"),
                             .will = &will,
                             .session_expiry_s = 7,
                             .maximum_packet = 9,
                             .receive_maximum = 8};

    wire_connect(&out, &c);
    SAME(&out, "\x10\x29\0\4MQTT\5\xec\0\x3c\x0d\x11\0\0\0\7\x21\0\x8\x27\0\0\0\x9\0\2id\0\0\1w\0\1"
               "0\0\1u\0\1p");
    buf_clear(&out);
    c = (struct wire_connect){
        .version = WIRE_311, .clean = true, .bridge = true, .client_id = SKEP_STR("id")};
    wire_connect(&out, &c);
    SAME(&out, "\x10\x0e\0\4MQTT\x84\2\0\0\0\2id");
    buf_fini(&out);
}

static void publish_there_and_back(void **state)
{
    struct skep_user_property users[] = {{SKEP_STR("a"), SKEP_STR("1")},
                                         {SKEP_STR("a"), SKEP_STR("")}};
    struct skep_message m = {.qos = 2,
                             .retain = true,
                             .payload_is_utf8 = true,
                             .expiry_s = 77,
                             .topic = SKEP_STR("t/1"),
                             .payload = SKEP_STR("hello"),
                             .content_type = SKEP_STR("text"),
                             .response_topic = SKEP_STR("r"),
                             .correlation_data = SKEP_STR("c"),
                             .user_properties = users,
                             .user_property_count = 2};
    struct skep_user_property got[4];
    struct wire_packet p;
    struct buf out = {0};

    for (int v = WIRE_311; v <= WIRE_5; v++) {
        buf_clear(&out);
        wire_publish(&out, v, &m, 513, true);
        assert_int_equal(buf_len(&out), wire_publish_size(v, &m));
        assert_int_equal(wire_take(v, buf_data(&out), buf_len(&out), SIZE_MAX, &p), WIRE_TAKEN);
        assert_int_equal(p.type, WIRE_PUBLISH);
        assert_int_equal(p.qos, 2);
        assert_int_equal(p.id, 513);
        assert_true(p.dup && p.retain);
        assert_true(skep_str_eq(p.topic, m.topic));
        assert_true(skep_str_eq(p.payload, m.payload));
        for (size_t len = 0; len < buf_len(&out); len++)
            assert_int_equal(wire_take(v, buf_data(&out), len, SIZE_MAX, &p), WIRE_MORE);
    }
    wire_take(WIRE_5, buf_data(&out), buf_len(&out), SIZE_MAX, &p);
    assert_int_equal(p.props.message_expiry, 77);
    assert_int_equal(p.props.payload_utf8, 1);
    assert_true(skep_str_eq(p.props.content_type, m.content_type));
    assert_true(skep_str_eq(p.props.response_topic, m.response_topic));
    assert_true(skep_str_eq(p.props.correlation, m.correlation_data));
    assert_int_equal(wire_users(&p.props, got, 4), 2);
    assert_true(skep_str_eq(got[1].name, users[1].name) && got[1].value.len == 0);
    assert_int_equal(wire_users(&p.props, got, 1), 1);
    buf_fini(&out);
}

static void answers_are_read(void **state)
{
    struct wire_packet p;

    assert_int_equal(TAKE(WIRE_311, "\x20\2\1\0", &p), WIRE_TAKEN);
    assert_true(p.session_present);
    assert_int_equal(p.props.maximum_qos, 2);
    assert_int_equal(TAKE(WIRE_5, "\x20\x10\0\0\x0d\x21\0\5\x24\1\x25\0\x27\0\0\1\0\x28\0", &p),
                     WIRE_MALFORMED); /* it promises one byte more */
    assert_int_equal(TAKE(WIRE_5, "\x20\x11\0\0\x0e\x21\0\5\x24\1\x25\0\x27\0\0\1\0\x28\0", &p),
                     WIRE_TAKEN);
    assert_int_equal(p.props.receive_maximum, 5);
    assert_int_equal(p.props.maximum_qos, 1);
    assert_int_equal(p.props.retain_available, 0);
    assert_int_equal(p.props.maximum_packet, 256);
    assert_int_equal(p.props.wildcard, 0);
    assert_int_equal(p.props.shared, 1);
    assert_int_equal(TAKE(WIRE_5, "\x40\2\0\7", &p), WIRE_TAKEN);
    assert_int_equal(p.reason, 0);
    assert_int_equal(TAKE(WIRE_5, "\x40\3\0\7\x97", &p), WIRE_TAKEN);
    assert_int_equal(p.reason, 0x97);
    assert_int_equal(TAKE(WIRE_311, "\x90\4\xff\xff\1\x80", &p), WIRE_TAKEN);
    assert_int_equal(p.codes.len, 2);
    assert_int_equal(TAKE(WIRE_5, "\xe0\0", &p), WIRE_TAKEN);
}

static void the_malformed_is_refused(void **state)
{
    static const struct {
        enum wire_version version;
        const char *bytes;
        size_t len;
    } bad[] = {
#define BAD(v, text) {v, text, sizeof(text) - 1}
        BAD(WIRE_311, "\x10\0"),                    /* CONNECT from a server */
        BAD(WIRE_311, "\x41\2\0\1"),                /* flags of PUBACK */
        BAD(WIRE_311, "\x60\2\0\1"),                /* flags of PUBREL */
        BAD(WIRE_311, "\x40\2\0\0"),                /* packet id 0 */
        BAD(WIRE_311, "\x40\3\0\1\0"),              /* more than 3.1.1 has */
        BAD(WIRE_311, "\xe0\0"),                    /* DISCONNECT is a client's in 3.1.1 */
        BAD(WIRE_311, "\x36\5\0\1t\0\1"),           /* QoS 3 */
        BAD(WIRE_311, "\x32\5\0\1t\0\0"),           /* packet id 0 */
        BAD(WIRE_311, "\x38\3\0\1t"),               /* DUP with QoS 0 */
        BAD(WIRE_311, "\x30\3\0\5t"),               /* a topic longer than the packet */
        BAD(WIRE_311, "\x30\xff\xff\xff\xff\1"),    /* length of five bytes */
        BAD(WIRE_5, "\x30\5\0\1t\1\x7f"),           /* a property that is none */
        BAD(WIRE_5, "\x30\4\0\1t\5"),               /* properties longer than the packet */
        BAD(WIRE_5, "\x30\x0a\0\1t\6\3\0\0\3\0\0"), /* content type twice */
        BAD(WIRE_5, "\x30\x07\0\1t\3\x26\0\5"),     /* a pair cut off */
        BAD(WIRE_5, "\x30\x05\0\1t\1\x01"),         /* a byte that is not there */
        BAD(WIRE_311, "\xd0\1\0"),                  /* PINGRESP with a body */
#undef BAD
    };
    struct wire_packet p;

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        enum wire_taken got = take(bad[i].version, bad[i].bytes, bad[i].len, &p);
        if (got != WIRE_MALFORMED)
            fail_msg("number %zu is taken as %d", i, got);
    }
    assert_int_equal(wire_take(WIRE_311, "\x30\x7f", 2, 64, &p), WIRE_TOO_LARGE);
}

static void acknowledgements_are_short_when_they_can_be(void **state)
{
    struct buf out = {0};
    struct wire_filter filter = {SKEP_STR("a/#"), 1, true, true, true};

    wire_ack(&out, WIRE_5, WIRE_PUBACK, 258, 0);
    wire_ack(&out, WIRE_5, WIRE_PUBREL, 258, 0x92);
    wire_ack(&out, WIRE_311, WIRE_PUBREL, 258, 0x92);
    SAME(&out, "\x40\2\1\2\x62\3\1\2\x92\x62\2\1\2");
    buf_clear(&out);
    wire_subscribe(&out, WIRE_5, 1, &filter, 1);
    wire_subscribe(&out, WIRE_311, 1, &filter, 1);
    SAME(&out, "\x82\x09\0\1\0\0\3a/#\x1d\x82\x08\0\1\0\3a/#\1");
    buf_clear(&out);
    wire_unsubscribe(&out, WIRE_5, 1, &filter.filter, 1);
    SAME(&out, "\xa2\x08\0\1\0\0\3a/#");
    buf_fini(&out);
    assert_string_equal(wire_reason_text(WIRE_311, WIRE_CONNACK, 5), "not authorized");
    assert_string_equal(wire_reason_text(WIRE_5, WIRE_CONNACK, 0x87), "not authorized");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connect_as_written),
        cmocka_unit_test(publish_there_and_back),
        cmocka_unit_test(answers_are_read),
        cmocka_unit_test(the_malformed_is_refused),
        cmocka_unit_test(acknowledgements_are_short_when_they_can_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
