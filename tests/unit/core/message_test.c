/* The message: its pieces, its ready-made packet, its references. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <pthread.h>

#include <cmocka.h>

#include "base/mem.h"
#include "core/message.h"
#include "mqtt/packet.h"

static void assert_str(struct str got, struct str expected)
{
    assert_int_equal(got.len, expected.len);
    if (expected.len)
        assert_memory_equal(got.ptr, expected.ptr, expected.len);
}

static void the_packet_is_as_the_specification_draws_it(void **state) /* [MQTT-3.3.1-2] */
{
    static const uint8_t wire[] = {0x30, 7, 0, 3, 'a', '/', 'b', 'h', 'i'};
    struct message *m = message_new(STR("a/b"), STR("hi"), STR_NONE, 2, true);

    assert_int_equal(m->wire_len, sizeof wire);
    assert_memory_equal(message_wire(m), wire, sizeof wire);
    assert_int_equal(m->qos, 2);
    assert_int_equal(m->retain, 1);
    assert_int_equal(m->expires_ms, MESSAGE_NO_EXPIRY);
    assert_int_equal(m->publisher, 0);
    message_unref(m);
}

/* Around every length at which the header grows [MQTT-1.5.5-1], read back by the decoder. */
static void every_size_of_header_reads_back(void **state)
{
    static const size_t remaining[] = {3, 127, 128, 16383, 16384, 2097151, 2097152};
    static const unsigned head[] = {2, 2, 3, 3, 4, 4, 5};
    char *payload = xmalloc(2097152);
    memset(payload, 'p', 2097152);

    for (size_t i = 0; i < ARRAY_LEN(remaining); i++) {
        struct str p = {payload, remaining[i] - 3}, props = {"\x01\x01", 2};
        struct message *m = message_new(STR("t"), p, props, 0, false);
        struct mqtt_frame frame;
        struct mqtt_publish out;

        assert_int_equal(m->head_len, head[i]);
        assert_int_equal(mqtt_frame_peek(message_wire(m), m->wire_len, &frame), 1);
        assert_int_equal(frame.size, m->wire_len);
        assert_int_equal(mqtt_decode_publish(&frame, MQTT_311, false, &out), 0);
        assert_str(out.topic, STR("t"));
        assert_str(out.payload, p);
        assert_false(out.retain || out.dup || out.qos);
        assert_str(message_topic(m), STR("t"));
        assert_str(message_payload(m), p);
        assert_str(message_props(m), props);
        assert_int_equal(message_cost(m), sizeof *m + m->wire_len + 2);
        message_unref(m);
    }
    free(payload);
}

static void what_no_packet_can_hold_is_refused(void **state)
{
    static char topic[65536];
    char *payload = malloc(268435456);
    if (!payload)
        skip();
    assert_null(message_new((struct str){topic, 65536}, STR_NONE, STR_NONE, 0, false));
    /* 2 + 1 + payload is one more than 268,435,455 */
    assert_null(message_new(STR("t"), (struct str){payload, 268435453}, STR_NONE, 0, false));
    free(payload);
}

static void empty_pieces_are_fine(void **state)
{
    struct message *m = message_new(STR("t"), STR_NONE, STR_NONE, 1, false);
    assert_int_equal(message_payload(m).len, 0);
    assert_int_equal(message_props(m).len, 0);
    message_unref(m);
}

static void only_what_is_forwarded_is_kept(void **state) /* [MQTT-3.3.2-4] [MQTT-3.3.2-17] */
{
    static const char raw[] = "\x01\x01"                /* payload format */
                              "\x02\x00\x00\x00\x09"    /* message expiry: counted by the broker */
                              "\x23\x00\x05"            /* topic alias: the connection's */
                              "\x03\x00\x02mt"          /* content type */
                              "\x26\x00\x01k\x00\x01v"; /* user property */
    static const char kept[] = "\x01\x01\x03\x00\x02mt\x26\x00\x01k\x00\x01v";
    struct str all = {raw, sizeof raw - 1};

    struct message *m = message_from_publish(STR("t"), STR("p"), all, false, 0, false);
    assert_str(message_props(m), (struct str){kept, sizeof kept - 1});
    assert_str(message_payload(m), STR("p"));
    message_unref(m);
}

static void plain_properties_are_copied_as_they_are(void **state)
{
    static const char plain[] =
        "\x26\x00\x01k\x00\x01v\x26\x00\x01k\x00\x01w"; /* [MQTT-3.3.2-18] */
    struct str props = {plain, sizeof plain - 1};
    struct message *m = message_from_publish(STR("t"), STR("p"), props, true, 0, false);
    assert_str(message_props(m), props);
    message_unref(m);
}

enum { SHARED = 2000 };

static void *drop_all(void *arg)
{
    struct message **m = arg;
    for (unsigned i = 0; i < SHARED; i++) {
        assert_str(message_payload(m[i]), STR("shared"));
        message_unref(m[i]);
    }
    return NULL;
}

static void any_thread_may_drop_the_last_reference(void **state)
{
    static struct message *m[SHARED];
    pthread_t threads[3];

    for (unsigned i = 0; i < SHARED; i++) {
        m[i] = message_new(STR("t"), STR("shared"), STR_NONE, 0, false);
        message_ref(m[i], 2);
    }
    for (unsigned t = 0; t < 3; t++)
        assert_int_equal(pthread_create(&threads[t], NULL, drop_all, m), 0);
    for (unsigned t = 0; t < 3; t++)
        pthread_join(threads[t], NULL);
    /* LeakSanitizer says whether all were freed, AddressSanitizer whether one was twice. */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_packet_is_as_the_specification_draws_it),
        cmocka_unit_test(every_size_of_header_reads_back),
        cmocka_unit_test(what_no_packet_can_hold_is_refused),
        cmocka_unit_test(empty_pieces_are_fine),
        cmocka_unit_test(only_what_is_forwarded_is_kept),
        cmocka_unit_test(plain_properties_are_copied_as_they_are),
        cmocka_unit_test(any_thread_may_drop_the_last_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
