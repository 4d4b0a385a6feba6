/* SUBSCRIBE and UNSUBSCRIBE: cursors over filters, and every rule they can break. */
#include "wire.h"

#include "mqtt/reason.h"

static int subscribe(const char *packet, uint8_t version, struct mqtt_subscribe *out)
{
    struct mqtt_frame frame = wire_keep(packet);

    return mqtt_decode_subscribe(&frame, version, out);
}

static int unsubscribe(const char *packet, uint8_t version, struct mqtt_subscribe *out)
{
    struct mqtt_frame frame = wire_keep(packet);

    return mqtt_decode_unsubscribe(&frame, version, out);
}

static int fault(const char *packet, uint8_t version)
{
    struct mqtt_subscribe s;

    return *packet == '8' ? subscribe(packet, version, &s) : unsubscribe(packet, version, &s);
}

static void filters_3x(void **state)
{
    for (uint8_t version = MQTT_31; version <= MQTT_311; version++) {
        struct mqtt_subscribe s;
        struct mqtt_subscription sub;

        assert_int_equal(subscribe("82 0F 00 0A 00 03 'a/+' 01 00 01 '#' 02 00 00 00", version, &s),
                         0);
        assert_int_equal(s.packet_id, 10);
        assert_int_equal(s.count, 3);
        assert_int_equal(s.subscription_id, 0);
        assert_true(mqtt_subscribe_next(&s, &sub));
        assert_str(sub.filter, "a/+");
        assert_int_equal(sub.qos, 1);
        assert_false(sub.no_local || sub.retain_as_published || sub.retain_handling);
        assert_true(mqtt_subscribe_next(&s, &sub));
        assert_str(sub.filter, "#");
        assert_int_equal(sub.qos, 2);
        assert_true(mqtt_subscribe_next(&s, &sub));
        assert_int_equal(sub.filter.len, 0); /* left to topic_filter_check */
        assert_false(mqtt_subscribe_next(&s, &sub));
        assert_false(mqtt_subscribe_next(&s, &sub));
    }
}

static void options_50(void **state)
{
    struct mqtt_subscribe s;
    struct mqtt_subscription sub;

    assert_int_equal(subscribe("82 14 00 01 09 0B 7F 26 00 01 'k' 00 01 'v' | 00 01 'a' 1E | "
                               "00 01 'b' 21",
                               MQTT_50, &s),
                     0);
    assert_int_equal(s.subscription_id, 127);
    assert_int_equal(s.props.len, 9);
    assert_int_equal(s.count, 2);
    assert_true(mqtt_subscribe_next(&s, &sub));
    assert_int_equal(sub.qos, 2);
    assert_true(sub.no_local && sub.retain_as_published);
    assert_int_equal(sub.retain_handling, 1);
    assert_true(mqtt_subscribe_next(&s, &sub));
    assert_int_equal(sub.qos, 1);
    assert_false(sub.no_local || sub.retain_as_published);
    assert_int_equal(sub.retain_handling, 2);
    assert_false(mqtt_subscribe_next(&s, &sub));
}

/* [MQTT-3.8.1-1] [MQTT-3.10.1-1]; [MQTT-V31-13] for DUP. */
static void header_flags(void **state)
{
    for (uint8_t flags = 0; flags < 16; flags++) {
        for (uint8_t version = MQTT_31; version <= MQTT_311; version++) {
            bool ok = flags == 2 || (flags == 10 && version == MQTT_31);
            struct mqtt_subscribe s;
            struct mqtt_frame frame = wire_keep("82 06 00 01 00 01 'a' 00");
            frame.flags = flags;
            assert_int_equal(mqtt_decode_subscribe(&frame, version, &s), ok ? 0 : RC_MALFORMED);
            frame = wire_keep("A2 05 00 01 00 01 'a'");
            frame.flags = flags;
            assert_int_equal(mqtt_decode_unsubscribe(&frame, version, &s), ok ? 0 : RC_MALFORMED);
        }
    }
    assert_int_equal(fault("8A 07 00 01 00 00 01 'a' 00", MQTT_50), RC_MALFORMED);
    assert_int_equal(fault("AA 06 00 01 00 00 01 'a'", MQTT_50), RC_MALFORMED);
}

/* [MQTT-2.3.1-1] */
static void packet_id_0(void **state)
{
    assert_int_equal(fault("82 06 00 00 00 01 'a' 00", MQTT_311), RC_PROTOCOL_ERROR);
    assert_int_equal(fault("A2 05 00 00 00 01 'a'", MQTT_311), RC_PROTOCOL_ERROR);
    assert_int_equal(fault("82 07 00 00 00 00 01 'a' 00", MQTT_50), RC_PROTOCOL_ERROR);
}

/* [MQTT-3.8.3-2] [MQTT-3.8.3-3] [MQTT-3.10.3-2] */
static void no_filters(void **state)
{
    assert_int_equal(fault("82 02 00 01", MQTT_31), RC_PROTOCOL_ERROR);
    assert_int_equal(fault("82 02 00 01", MQTT_311), RC_PROTOCOL_ERROR);
    assert_int_equal(fault("82 03 00 01 00", MQTT_50), RC_PROTOCOL_ERROR);
    assert_int_equal(fault("A2 02 00 01", MQTT_311), RC_PROTOCOL_ERROR);
    assert_int_equal(fault("A2 03 00 01 00", MQTT_50), RC_PROTOCOL_ERROR);
}

/* [MQTT-3.8.3-1] [MQTT-3.10.3-1]: in any filter, not just the first. */
static void texts(void **state)
{
    assert_int_equal(fault("82 06 00 01 00 01 FF 00", MQTT_311), RC_MALFORMED);
    assert_int_equal(fault("82 0A 00 01 00 01 'a' 00 00 01 00 00", MQTT_311), RC_MALFORMED);
    assert_int_equal(fault("A2 09 00 01 00 01 'a' 00 02 C0 80", MQTT_311), RC_MALFORMED);
    assert_int_equal(fault("A2 08 00 01 00 00 03 ED A0 80", MQTT_50), RC_MALFORMED);
}

/* [MQTT-3.8.3-4] */
static void options_311(void **state)
{
    static const char *const bad[] = {"03", "04", "08", "10", "20", "40", "80", "FF"};

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char packet[64];
        snprintf(packet, sizeof packet, "82 06 00 01 00 01 'a' %s", bad[i]);
        assert_int_equal(fault(packet, MQTT_311), RC_MALFORMED);
    }
}

/* 3.1 calls the upper bits unused; they mean nothing then. */
static void options_31(void **state)
{
    struct mqtt_subscribe s;
    struct mqtt_subscription sub;

    assert_int_equal(fault("82 06 00 01 00 01 'a' 03", MQTT_31), RC_MALFORMED);
    assert_int_equal(subscribe("82 06 00 01 00 01 'a' FD", MQTT_31, &s), 0);
    assert_true(mqtt_subscribe_next(&s, &sub));
    assert_int_equal(sub.qos, 1);
    assert_false(sub.no_local || sub.retain_as_published || sub.retain_handling);
}

/* [MQTT-3.8.3-5] */
static void reserved_options_50(void **state)
{
    static const char *const bad[] = {"03", "30", "40", "80", "C0"};

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char packet[64];
        snprintf(packet, sizeof packet, "82 07 00 01 00 00 01 'a' %s", bad[i]);
        assert_int_equal(fault(packet, MQTT_50), RC_MALFORMED);
    }
}

/* [MQTT-3.8.3-4] */
static void shared_no_local(void **state)
{
    assert_int_equal(fault("82 10 00 01 00 00 0A '$share/g/a' 04", MQTT_50), RC_PROTOCOL_ERROR);
    assert_int_equal(fault("82 10 00 01 00 00 0A '$share/g/a' 02", MQTT_50), 0);
    assert_int_equal(fault("82 10 00 01 00 00 0A '$Share/g/a' 04", MQTT_50), 0);
}

static void property_rules(void **state)
{
    assert_int_equal(fault("82 09 00 01 02 0B 00 00 01 'a' 00", MQTT_50), RC_PROTOCOL_ERROR);
    assert_int_equal(fault("82 0B 00 01 04 0B 01 0B 02 00 01 'a' 00", MQTT_50), RC_PROTOCOL_ERROR);
    assert_int_equal(fault("82 09 00 01 02 01 00 00 01 'a' 00", MQTT_50), RC_PROTOCOL_ERROR);
    assert_int_equal(fault("82 0A 00 01 03 0B 80 00 00 01 'a' 00", MQTT_50), RC_MALFORMED);
    assert_int_equal(fault("A2 08 00 01 02 0B 01 00 01 'a'", MQTT_50), RC_PROTOCOL_ERROR);
}

static void largest_subscription_id(void **state)
{
    struct mqtt_subscribe s;

    assert_int_equal(subscribe("82 0C 00 01 05 0B FF FF FF 7F 00 01 'a' 00", MQTT_50, &s), 0);
    assert_int_equal(s.subscription_id, 268435455);
}

static void unsubscribe_filters(void **state)
{
    struct mqtt_subscribe s;
    struct str filter;

    assert_int_equal(
        unsubscribe("A2 10 00 02 07 26 00 01 'k' 00 01 'v' 00 01 'a' 00 01 'b'", MQTT_50, &s), 0);
    assert_int_equal(s.count, 2);
    assert_int_equal(s.packet_id, 2);
    assert_true(mqtt_unsubscribe_next(&s, &filter));
    assert_str(filter, "a");
    assert_true(mqtt_unsubscribe_next(&s, &filter));
    assert_str(filter, "b");
    assert_false(mqtt_unsubscribe_next(&s, &filter));
}

/* A body that reads well as either is still one packet's only. */
static void wrong_type(void **state)
{
    struct mqtt_frame frame = wire_keep("82 08 00 01 00 00 00 00 00 00");
    struct mqtt_subscribe s;

    assert_int_equal(mqtt_decode_subscribe(&frame, MQTT_311, &s), 0);
    assert_int_equal(mqtt_decode_unsubscribe(&frame, MQTT_311, &s), RC_MALFORMED);
    frame.type = MQTT_UNSUBSCRIBE;
    assert_int_equal(mqtt_decode_unsubscribe(&frame, MQTT_311, &s), 0);
    assert_int_equal(mqtt_decode_subscribe(&frame, MQTT_311, &s), RC_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(filters_3x),          cmocka_unit_test(options_50),
        cmocka_unit_test(header_flags),        cmocka_unit_test(packet_id_0),
        cmocka_unit_test(no_filters),          cmocka_unit_test(texts),
        cmocka_unit_test(options_311),         cmocka_unit_test(options_31),
        cmocka_unit_test(reserved_options_50), cmocka_unit_test(shared_no_local),
        cmocka_unit_test(property_rules),      cmocka_unit_test(largest_subscription_id),
        cmocka_unit_test(unsubscribe_filters), cmocka_unit_test(wrong_type),
    };
    return cmocka_run_group_tests(tests, NULL, wire_drop);
}
