/* CONNACK, SUBACK and UNSUBACK as a client reads them. */
#include "wire.h"

#include "mqtt/reason.h"

static int connack(const char *packet, uint8_t version, struct mqtt_connack *out)
{
    struct mqtt_frame frame = wire_keep(packet);

    return mqtt_decode_connack(&frame, version, out);
}

static int suback(const char *packet, uint8_t version, struct mqtt_suback *out)
{
    struct mqtt_frame frame = wire_keep(packet);

    return mqtt_decode_suback(&frame, version, out);
}

static void connack_3x(void **state)
{
    struct mqtt_connack c;

    assert_int_equal(connack("20 02 01 00", MQTT_311, &c), 0);
    assert_true(c.session_present);
    assert_int_equal(c.reason, 0);
    assert_true(c.retain_available && c.wildcard_available); /* 3.x cannot say otherwise */
    assert_int_equal(c.maximum_qos, 2);
    assert_int_equal(connack("20 02 00 05", MQTT_311, &c), 0);
    assert_int_equal(c.reason, 5);
    /* [MQTT-V31-7]: reserved, so nothing is read from it */
    assert_int_equal(connack("20 02 01 00", MQTT_31, &c), 0);
    assert_false(c.session_present);
    assert_int_equal(connack("20 02 FF 02", MQTT_31, &c), 0);
    assert_int_equal(c.reason, 2);
}

static void connack_defaults(void **state)
{
    struct mqtt_connack c;

    assert_int_equal(connack("20 03 00 00 00", MQTT_50, &c), 0);
    assert_int_equal(c.session_expiry, UINT32_MAX - 1);
    assert_int_equal(c.receive_maximum, 65535);
    assert_int_equal(c.topic_alias_maximum, 0);
    assert_int_equal(c.maximum_packet_size, UINT32_MAX);
    assert_int_equal(c.maximum_qos, 2);
    assert_true(c.retain_available && c.wildcard_available);
    assert_true(c.subscription_id_available && c.shared_available);
    assert_false(c.has_server_keep_alive);
}

static void connack_whole(void **state)
{
    struct mqtt_connack c;

    assert_int_equal(
        connack("20 39 01 00 36 | 11 00 00 00 07 | 21 00 08 | 24 01 | 25 00 | 27 00 00 01 00 | "
                "12 00 02 'id' | 22 00 09 | 1F 00 01 'r' | 28 00 | 29 00 | 2A 00 | 13 00 0A | "
                "1A 00 01 'i' | 1C 00 01 's' | 15 00 01 'm' | 16 00 01 'd'",
                MQTT_50, &c),
        0);
    assert_true(c.session_present);
    assert_int_equal(c.session_expiry, 7);
    assert_int_equal(c.receive_maximum, 8);
    assert_int_equal(c.maximum_qos, 1);
    assert_int_equal(c.maximum_packet_size, 256);
    assert_int_equal(c.topic_alias_maximum, 9);
    assert_false(c.retain_available || c.wildcard_available);
    assert_false(c.subscription_id_available || c.shared_available);
    assert_true(c.has_server_keep_alive);
    assert_int_equal(c.server_keep_alive, 10);
    assert_str(c.assigned_client_id, "id");
    assert_str(c.reason_string, "r");
    assert_str(c.response_info, "i");
    assert_str(c.server_reference, "s");
    assert_str(c.auth_method, "m");
    assert_str(c.auth_data, "d");
}

static void connack_faults(void **state)
{
    struct mqtt_connack c;

    assert_int_equal(connack("21 02 00 00", MQTT_311, &c), RC_MALFORMED);
    assert_int_equal(connack("20 01 00", MQTT_311, &c), RC_MALFORMED);
    assert_int_equal(connack("20 03 00 00 00", MQTT_311, &c), RC_MALFORMED);
    assert_int_equal(connack("20 02 00 00", MQTT_50, &c), RC_MALFORMED);
    assert_int_equal(connack("20 02 02 00", MQTT_311, &c), RC_MALFORMED); /* [MQTT-3.2.2-1] */
    assert_int_equal(connack("20 03 80 00 00", MQTT_50, &c), RC_MALFORMED);
    /* [MQTT-3.2.2-4] [MQTT-3.2.2-6] */
    assert_int_equal(connack("20 02 01 05", MQTT_311, &c), RC_PROTOCOL_ERROR);
    assert_int_equal(connack("20 03 01 87 00", MQTT_50, &c), RC_PROTOCOL_ERROR);
    /* [MQTT-3.2.2-8] [MQTT-V31-8] */
    assert_int_equal(connack("20 02 00 06", MQTT_311, &c), RC_PROTOCOL_ERROR);
    assert_int_equal(connack("20 03 00 01 00", MQTT_50, &c), RC_PROTOCOL_ERROR);
    assert_int_equal(connack("20 03 00 8E 00", MQTT_50, &c), RC_PROTOCOL_ERROR);
    /* properties */
    assert_int_equal(connack("20 05 00 00 02 24 02", MQTT_50, &c), RC_PROTOCOL_ERROR);
    assert_int_equal(connack("20 05 00 00 02 25 02", MQTT_50, &c), RC_PROTOCOL_ERROR);
    assert_int_equal(connack("20 05 00 00 02 2A 03", MQTT_50, &c), RC_PROTOCOL_ERROR);
    assert_int_equal(connack("20 06 00 00 03 21 00 00", MQTT_50, &c), RC_PROTOCOL_ERROR);
    assert_int_equal(connack("20 07 00 00 04 16 00 01 'd'", MQTT_50, &c), RC_PROTOCOL_ERROR);
    assert_int_equal(connack("20 05 00 00 02 17 00", MQTT_50, &c), RC_PROTOCOL_ERROR);
    assert_int_equal(connack("20 04 00 00 00 00", MQTT_50, &c), RC_MALFORMED);
}

static void subacks(void **state)
{
    struct mqtt_suback s;

    assert_int_equal(suback("90 06 00 07 00 01 02 80", MQTT_311, &s), 0);
    assert_int_equal(s.packet_id, 7);
    assert_int_equal(s.codes.len, 4);
    assert_memory_equal(s.codes.ptr, "\0\1\2\200", 4);
    assert_int_equal(suback("B0 02 00 07", MQTT_311, &s), 0);
    assert_int_equal(s.codes.len, 0);
    assert_int_equal(suback("90 09 00 07 05 1F 00 02 'no' 87", MQTT_50, &s), 0);
    assert_str(s.reason_string, "no");
    assert_int_equal(s.codes.len, 1);
    assert_int_equal(suback("B0 05 00 07 00 00 11", MQTT_50, &s), 0);
    assert_memory_equal(s.codes.ptr, "\0\x11", 2);
}

/* [MQTT-3.9.3-2] [MQTT-3.11.3-2] */
static void suback_faults(void **state)
{
    struct mqtt_suback s;

    assert_int_equal(suback("92 03 00 07 00", MQTT_311, &s), RC_MALFORMED);
    assert_int_equal(suback("90 03 00 00 00", MQTT_311, &s), RC_PROTOCOL_ERROR);
    assert_int_equal(suback("90 02 00 07", MQTT_311, &s), RC_MALFORMED);
    assert_int_equal(suback("90 03 00 07 00", MQTT_50, &s), RC_MALFORMED);
    assert_int_equal(suback("B0 03 00 07 00", MQTT_311, &s), RC_MALFORMED);
    assert_int_equal(suback("B0 03 00 07 00", MQTT_50, &s), RC_MALFORMED);
    assert_int_equal(suback("90 03 00 07 03", MQTT_311, &s), RC_PROTOCOL_ERROR);
    assert_int_equal(suback("90 03 00 07 87", MQTT_311, &s), RC_PROTOCOL_ERROR);
    assert_int_equal(suback("90 04 00 07 00 11", MQTT_50, &s), RC_PROTOCOL_ERROR);
    assert_int_equal(suback("B0 04 00 07 00 01", MQTT_50, &s), RC_PROTOCOL_ERROR);
    assert_int_equal(suback("C0 00", MQTT_50, &s), RC_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connack_3x),    cmocka_unit_test(connack_defaults),
        cmocka_unit_test(connack_whole), cmocka_unit_test(connack_faults),
        cmocka_unit_test(subacks),       cmocka_unit_test(suback_faults),
    };
    return cmocka_run_group_tests(tests, NULL, wire_drop);
}
