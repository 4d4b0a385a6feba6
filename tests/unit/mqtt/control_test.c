/* DISCONNECT, AUTH and pings, read. */
#include "wire.h"

#include "mqtt/reason.h"

static int disconnect(const char *packet, uint8_t version, struct mqtt_disconnect *out)
{
    struct mqtt_frame frame = wire_keep(packet);

    return mqtt_decode_disconnect(&frame, version, out);
}

static int auth(const char *packet, struct mqtt_auth *out)
{
    struct mqtt_frame frame = wire_keep(packet);

    return mqtt_decode_auth(&frame, out);
}

static void disconnects(void **state)
{
    struct mqtt_disconnect d;

    for (uint8_t version = MQTT_31; version <= MQTT_50; version++) {
        assert_int_equal(disconnect("E0 00", version, &d), 0);
        assert_int_equal(d.reason, 0);
        assert_false(d.has_session_expiry);
    }
    assert_int_equal(disconnect("E0 01 04", MQTT_50, &d), 0);
    assert_int_equal(d.reason, RC_DISCONNECT_WITH_WILL);
    assert_int_equal(disconnect("E0 02 00 00", MQTT_50, &d), 0);
    assert_int_equal(disconnect("E0 17 9D 15 11 00 00 00 00 1F 00 01 'r' 1C 00 01 's' "
                                "26 00 01 'k' 00 02 'vv'",
                                MQTT_50, &d),
                     0);
    assert_int_equal(d.reason, RC_SERVER_MOVED);
    assert_true(d.has_session_expiry);
    assert_int_equal(d.session_expiry, 0);
    assert_str(d.reason_string, "r");
    assert_str(d.server_reference, "s");
    assert_int_equal(d.props.len, 0x15);
}

/* [MQTT-3.14.1-1] */
static void disconnect_faults(void **state)
{
    struct mqtt_disconnect d;

    for (uint8_t flags = 1; flags < 16; flags++) {
        struct mqtt_frame frame = wire_keep("E0 00");
        frame.flags = flags;
        assert_int_equal(mqtt_decode_disconnect(&frame, MQTT_311, &d), RC_MALFORMED);
        assert_int_equal(mqtt_decode_disconnect(&frame, MQTT_50, &d), RC_MALFORMED);
    }
    assert_int_equal(disconnect("E0 01 00", MQTT_311, &d), RC_MALFORMED);
    assert_int_equal(disconnect("E0 01 01", MQTT_50, &d), RC_PROTOCOL_ERROR);
    assert_int_equal(disconnect("E0 01 7F", MQTT_50, &d), RC_PROTOCOL_ERROR);
    assert_int_equal(disconnect("E0 02 00 01", MQTT_50, &d), RC_MALFORMED);
    assert_int_equal(disconnect("E0 03 00 00 00", MQTT_50, &d), RC_MALFORMED);
    assert_int_equal(disconnect("E0 05 00 03 21 00 01", MQTT_50, &d), RC_PROTOCOL_ERROR);
}

/* [MQTT-3.14.2-1]: all that either side may send. */
static void disconnect_reasons(void **state)
{
    for (unsigned reason = 0; reason < 256; reason++) {
        uint8_t body[] = {(uint8_t)reason};
        struct wire w = wire_copy(body, 1);
        struct mqtt_frame frame = wire_body(0xE0, &w);
        struct mqtt_disconnect d;
        static const char ok[] = "\x04\x80\x81\x82\x83\x87\x89\x8b\x8c\x8d\x8e\x8f\x90\x93\x94\x95"
                                 "\x96\x97\x98\x99\x9a\x9b\x9c\x9d\x9e\x9f\xa0\xa1\xa2";
        int want = reason == 0 || strchr(ok, (int)reason) ? 0 : RC_PROTOCOL_ERROR;
        assert_int_equal(mqtt_decode_disconnect(&frame, MQTT_50, &d), want);
        wire_free(&w);
    }
}

static void auths(void **state)
{
    struct mqtt_auth a;

    assert_int_equal(auth("F0 00", &a), 0);
    assert_int_equal(a.reason, 0);
    assert_false(a.has_method);
    assert_int_equal(auth("F0 16 18 14 15 00 05 'SCRAM' 16 00 02 00 FF 1F 00 04 'more'", &a), 0);
    assert_int_equal(a.reason, RC_CONTINUE_AUTH);
    assert_true(a.has_method);
    assert_str(a.method, "SCRAM");
    assert_int_equal(a.data.len, 2);
    assert_str(a.reason_string, "more");
    assert_int_equal(auth("F0 06 19 04 15 00 01 'm'", &a), 0);
    assert_int_equal(a.reason, RC_REAUTH);
}

/* [MQTT-3.15.1-1] [MQTT-3.15.2-1] */
static void auth_faults(void **state)
{
    struct mqtt_auth a;

    for (uint8_t flags = 1; flags < 16; flags++) {
        struct mqtt_frame frame = wire_keep("F0 00");
        frame.flags = flags;
        assert_int_equal(mqtt_decode_auth(&frame, &a), RC_MALFORMED);
    }
    assert_int_equal(auth("F0 06 17 04 15 00 01 'm'", &a), RC_PROTOCOL_ERROR);
    assert_int_equal(auth("F0 06 80 04 15 00 01 'm'", &a), RC_PROTOCOL_ERROR);
    assert_int_equal(auth("F0 01 18", &a), RC_MALFORMED);
    assert_int_equal(auth("F0 02 18 00", &a), RC_PROTOCOL_ERROR); /* no method */
    assert_int_equal(auth("F0 06 18 04 16 00 01 'd'", &a), RC_PROTOCOL_ERROR);
    assert_int_equal(auth("F0 0A 18 08 15 00 01 'm' 15 00 01 'm'", &a), RC_PROTOCOL_ERROR);
    assert_int_equal(auth("F0 07 18 04 15 00 01 'm' 00", &a), RC_MALFORMED);
    assert_int_equal(auth("F0 06 18 04 15 00 01 FF", &a), RC_MALFORMED);
}

/* [MQTT-3.12.4-1]: what a ping is. */
static void pings(void **state)
{
    struct mqtt_frame frame = wire_keep("C0 00");

    assert_int_equal(mqtt_decode_ping(&frame), 0);
    for (uint8_t flags = 1; flags < 16; flags++) {
        frame.flags = flags;
        assert_int_equal(mqtt_decode_ping(&frame), RC_MALFORMED);
    }
    frame = wire_keep("D0 00");
    assert_int_equal(mqtt_decode_ping(&frame), 0);
    frame = wire_keep("C0 01 00");
    assert_int_equal(mqtt_decode_ping(&frame), RC_MALFORMED);
    frame = wire_keep("E0 00");
    assert_int_equal(mqtt_decode_ping(&frame), RC_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(disconnects),        cmocka_unit_test(disconnect_faults),
        cmocka_unit_test(disconnect_reasons), cmocka_unit_test(auths),
        cmocka_unit_test(auth_faults),        cmocka_unit_test(pings),
    };
    return cmocka_run_group_tests(tests, NULL, wire_drop);
}
