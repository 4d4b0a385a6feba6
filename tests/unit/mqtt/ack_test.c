/* PUBACK, PUBREC, PUBREL, PUBCOMP, read. */
#include "wire.h"

#include "mqtt/reason.h"

static int decode(const char *packet, uint8_t version, struct mqtt_ack *out)
{
    struct mqtt_frame frame = wire_keep(packet);

    return mqtt_decode_ack(&frame, version, out);
}

static int fault(const char *packet, uint8_t version)
{
    struct mqtt_ack a;

    return decode(packet, version, &a);
}

/* [MQTT-2.3.1-6] [MQTT-2.2.1-5] */
static void short_form(void **state)
{
    static const char *const packets[] = {"40 02 12 34", "50 02 12 34", "62 02 12 34",
                                          "70 02 12 34"};

    for (size_t i = 0; i < 4; i++) {
        for (uint8_t version = MQTT_31; version <= MQTT_50; version++) {
            struct mqtt_ack a;
            assert_int_equal(decode(packets[i], version, &a), 0);
            assert_int_equal(a.packet_id, 0x1234);
            assert_int_equal(a.reason, 0);
            assert_int_equal(a.reason_string.len, 0);
        }
    }
}

static void with_reason(void **state)
{
    struct mqtt_ack a;

    assert_int_equal(decode("40 03 00 01 10", MQTT_50, &a), 0);
    assert_int_equal(a.reason, RC_NO_SUBSCRIBERS);
    assert_int_equal(decode("50 04 00 01 97 00", MQTT_50, &a), 0);
    assert_int_equal(a.reason, RC_QUOTA_EXCEEDED);
    assert_int_equal(decode("62 10 00 01 92 0C 1F 00 02 'no' 26 00 01 'k' 00 01 'v'", MQTT_50, &a),
                     0);
    assert_int_equal(a.reason, RC_PACKET_ID_NOT_FOUND);
    assert_str(a.reason_string, "no");
    assert_int_equal(a.props.len, 12);
}

/* 3.x has no room for a reason. */
static void length_in_3x(void **state)
{
    assert_int_equal(fault("40 03 00 01 00", MQTT_311), RC_MALFORMED);
    assert_int_equal(fault("70 04 00 01 00 00", MQTT_31), RC_MALFORMED);
    assert_int_equal(fault("40 01 00", MQTT_311), RC_MALFORMED);
    assert_int_equal(fault("40 00", MQTT_50), RC_MALFORMED);
}

static void packet_id_0(void **state)
{
    assert_int_equal(fault("40 02 00 00", MQTT_311), RC_PROTOCOL_ERROR);
    assert_int_equal(fault("62 02 00 00", MQTT_50), RC_PROTOCOL_ERROR);
}

/* [MQTT-2.2.2-2] [MQTT-2.1.3-1] [MQTT-3.6.1-1]; [MQTT-V31-13] for DUP on PUBREL. */
static void header_flags(void **state)
{
    for (uint8_t type = MQTT_PUBACK; type <= MQTT_PUBCOMP; type++) {
        for (uint8_t flags = 0; flags < 16; flags++) {
            for (uint8_t version = MQTT_31; version <= MQTT_50; version++) {
                struct mqtt_frame frame = wire_keep("40 02 00 01");
                struct mqtt_ack a;
                bool ok = flags == (type == MQTT_PUBREL ? 2 : 0) ||
                          (type == MQTT_PUBREL && flags == 10 && version == MQTT_31);
                frame.type = type;
                frame.flags = flags;
                assert_int_equal(mqtt_decode_ack(&frame, version, &a), ok ? 0 : RC_MALFORMED);
            }
        }
    }
}

/* [MQTT-3.4.2-1] [MQTT-3.5.2-1] [MQTT-3.6.2-1] [MQTT-3.7.2-1] */
static void reason_tables(void **state)
{
    static const uint8_t publish[] = {0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99};
    static const uint8_t release[] = {0x00, 0x92};

    for (uint8_t type = MQTT_PUBACK; type <= MQTT_PUBCOMP; type++) {
        for (unsigned reason = 0; reason < 256; reason++) {
            bool first = type <= MQTT_PUBREC;
            bool ok = memchr(first ? publish : release, (int)reason,
                             first ? sizeof publish : sizeof release) != NULL;
            uint8_t body[] = {0, 1, (uint8_t)reason};
            struct wire w = wire_copy(body, sizeof body);
            struct mqtt_frame frame =
                wire_body((uint8_t)(type << 4 | (type == MQTT_PUBREL ? 2 : 0)), &w);
            struct mqtt_ack a;
            assert_int_equal(mqtt_decode_ack(&frame, MQTT_50, &a), ok ? 0 : RC_PROTOCOL_ERROR);
            wire_free(&w);
        }
    }
}

static void property_rules(void **state)
{
    assert_int_equal(fault("40 06 00 01 00 02 01 00", MQTT_50), RC_PROTOCOL_ERROR);
    assert_int_equal(fault("40 0A 00 01 00 06 1F 00 00 1F 00 00", MQTT_50), RC_PROTOCOL_ERROR);
    assert_int_equal(fault("40 08 00 01 00 04 1F 00 01 FF", MQTT_50), RC_MALFORMED);
    assert_int_equal(fault("40 05 00 01 00 00 00", MQTT_50), RC_MALFORMED); /* left over */
    assert_int_equal(fault("40 04 00 01 00 01", MQTT_50), RC_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(short_form),     cmocka_unit_test(with_reason),
        cmocka_unit_test(length_in_3x),   cmocka_unit_test(packet_id_0),
        cmocka_unit_test(header_flags),   cmocka_unit_test(reason_tables),
        cmocka_unit_test(property_rules),
    };
    return cmocka_run_group_tests(tests, NULL, wire_drop);
}
