/* PUBLISH: fields, properties, and every rule it can break. */
#include "wire.h"

#include "mqtt/reason.h"

static int decode(const char *packet, uint8_t version, struct mqtt_publish *out)
{
    struct mqtt_frame frame = wire_keep(packet);

    return mqtt_decode_publish(&frame, version, false, out);
}

static int fault(const char *packet, uint8_t version)
{
    struct mqtt_publish p;

    return decode(packet, version, &p);
}

/* [MQTT-3.3.2-1] [MQTT-2.3.1-5] [MQTT-2.2.1-2]: topic first, no packet id at QoS 0. */
static void qos_0(void **state)
{
    struct mqtt_publish p;

    for (uint8_t version = MQTT_31; version <= MQTT_311; version++) {
        assert_int_equal(decode("30 07 00 03 'a/b' 'hi'", version, &p), 0);
        assert_str(p.topic, "a/b");
        assert_str(p.payload, "hi");
        assert_int_equal(p.packet_id, 0);
        assert_int_equal(p.qos, 0);
        assert_false(p.retain || p.dup);
        assert_true(p.props_plain);
        assert_int_equal(p.props.len, 0);
        assert_int_equal(p.expiry, UINT32_MAX);
    }
    assert_int_equal(decode("31 08 00 03 'a/b' 00 'hi'", MQTT_50, &p), 0);
    assert_str(p.payload, "hi");
    assert_true(p.retain);
    assert_true(p.props_plain);
    assert_int_equal(p.topic_alias, 0);
}

static void qos_1_and_2(void **state)
{
    struct mqtt_publish p;

    assert_int_equal(decode("3A 05 00 01 't' 12 34", MQTT_311, &p), 0);
    assert_int_equal(p.qos, 1);
    assert_true(p.dup);
    assert_int_equal(p.packet_id, 0x1234);
    assert_int_equal(p.payload.len, 0);
    assert_int_equal(decode("34 07 00 01 't' FF FF 00 'x'", MQTT_50, &p), 0);
    assert_int_equal(p.qos, 2);
    assert_int_equal(p.packet_id, 65535);
    assert_str(p.payload, "x");
}

/* [MQTT-3.3.1-4] */
static void qos_3(void **state)
{
    assert_int_equal(fault("36 06 00 01 't' 00 01 'x'", MQTT_31), RC_MALFORMED);
    assert_int_equal(fault("36 06 00 01 't' 00 01 'x'", MQTT_311), RC_MALFORMED);
    assert_int_equal(fault("3F 06 00 01 't' 00 01 00", MQTT_50), RC_MALFORMED);
}

/* [MQTT-3.3.1-2]: refused in 5.0, where the rule says so; 3.x binds senders only. */
static void dup_at_qos_0(void **state)
{
    struct mqtt_publish p;

    assert_int_equal(fault("38 04 00 01 't' 00", MQTT_50), RC_MALFORMED);
    assert_int_equal(fault("39 04 00 01 't' 00", MQTT_50), RC_MALFORMED);
    assert_int_equal(decode("39 04 00 01 't' 'x'", MQTT_311, &p), 0);
    assert_true(p.dup && p.retain);
    assert_str(p.payload, "x");
}

/* [MQTT-2.3.1-1] */
static void packet_id_0(void **state)
{
    assert_int_equal(fault("32 05 00 01 't' 00 00", MQTT_311), RC_PROTOCOL_ERROR);
    assert_int_equal(fault("34 06 00 01 't' 00 00 00", MQTT_50), RC_PROTOCOL_ERROR);
}

/* [MQTT-4.7.3-1]; in 5.0 an alias stands for the topic. */
static void no_topic(void **state)
{
    struct mqtt_publish p;

    assert_int_equal(fault("30 02 00 00", MQTT_311), RC_MALFORMED);
    assert_int_equal(fault("30 03 00 00 00", MQTT_50), RC_PROTOCOL_ERROR);
    assert_int_equal(fault("30 05 00 00 02 01 00", MQTT_50), RC_PROTOCOL_ERROR);
    assert_int_equal(decode("30 07 00 00 03 23 00 09 'x'", MQTT_50, &p), 0);
    assert_int_equal(p.topic.len, 0);
    assert_int_equal(p.topic_alias, 9);
    assert_false(p.props_plain);
    assert_str(p.payload, "x");
}

/* The topic is not looked into here: topic_name_check is asked separately. */
static void topic_is_unchecked(void **state)
{
    assert_int_equal(fault("30 04 00 02 '#' 00", MQTT_311), 0);
}

/* [MQTT-3.3.2-4] [MQTT-3.3.2-15] to [MQTT-3.3.2-20]: read, and ready to be forwarded. */
static void properties(void **state)
{
    struct mqtt_publish p;
    uint8_t forward[128];
    size_t len;

    assert_int_equal(decode("32 3A 00 01 't' 00 07 | 32 01 01 | 02 00 00 00 1E | 03 00 01 'c' | "
                            "26 00 01 'a' 00 01 '1' | 08 00 03 'r/t' | 09 00 02 00 FF | "
                            "26 00 01 'a' 00 01 '2' | 23 00 05 | 26 00 01 'b' 00 00 | "
                            "26 00 00 00 00 | 'ok'",
                            MQTT_50, &p),
                     0);
    assert_int_equal(p.payload_format, 1);
    assert_int_equal(p.expiry, 30);
    assert_int_equal(p.topic_alias, 5);
    assert_str(p.content_type, "c");
    assert_str(p.response_topic, "r/t");
    assert_int_equal(p.correlation_data.len, 2);
    assert_memory_equal(p.correlation_data.ptr, "\0\377", 2);
    assert_str(p.payload, "ok");
    assert_false(p.props_plain);
    len = mqtt_props_forward(p.props, forward);
    assert_bytes(forward, len,
                 "01 01 | 03 00 01 'c' | 26 00 01 'a' 00 01 '1' | 08 00 03 'r/t' | "
                 "09 00 02 00 FF | 26 00 01 'a' 00 01 '2' | 26 00 01 'b' 00 00 | 26 00 00 00 00");
}

static void plain_properties(void **state)
{
    struct mqtt_publish p;

    assert_int_equal(decode("30 0D 00 01 't' 09 26 00 01 'k' 00 01 'v' 01 01", MQTT_50, &p), 0);
    assert_true(p.props_plain);
    assert_int_equal(p.props.len, 9);
    assert_int_equal(decode("30 09 00 01 't' 05 02 00 00 00 00", MQTT_50, &p), 0);
    assert_false(p.props_plain);
    assert_int_equal(p.expiry, 0);
}

static int props_fault(const char *props)
{
    char packet[512];
    struct wire w = wire_of(props);

    snprintf(packet, sizeof packet, "30 %02X 00 01 't' %02X %s", (unsigned)w.len + 4,
             (unsigned)w.len, props);
    wire_free(&w);
    return fault(packet, MQTT_50);
}

static void property_rules(void **state)
{
    assert_int_equal(props_fault("01 02"), RC_PROTOCOL_ERROR);
    assert_int_equal(props_fault("01 01 01 01"), RC_PROTOCOL_ERROR); /* twice */
    assert_int_equal(props_fault("03 00 01 'a' 03 00 01 'a'"), RC_PROTOCOL_ERROR);
    /* [MQTT-3.3.2-8] */
    assert_int_equal(props_fault("23 00 00"), RC_TOPIC_ALIAS_INVALID);
    /* [MQTT-3.3.4-6] */
    assert_int_equal(props_fault("0B 01"), RC_PROTOCOL_ERROR);
    /* [MQTT-3.3.2-13] [MQTT-3.3.2-14] [MQTT-3.3.2-19] */
    assert_int_equal(props_fault("08 00 01 FF"), RC_MALFORMED);
    assert_int_equal(props_fault("08 00 03 'a/+'"), RC_PROTOCOL_ERROR);
    assert_int_equal(props_fault("08 00 01 '#'"), RC_PROTOCOL_ERROR);
    assert_int_equal(props_fault("08 00 00"), RC_PROTOCOL_ERROR);
    assert_int_equal(props_fault("03 00 02 'a' 00"), RC_MALFORMED);
    /* known, but not here */
    assert_int_equal(props_fault("11 00 00 00 01"), RC_PROTOCOL_ERROR);
    assert_int_equal(props_fault("1F 00 01 'r'"), RC_PROTOCOL_ERROR);
    assert_int_equal(props_fault("18 00 00 00 01"), RC_PROTOCOL_ERROR);
    /* unknown, or cut short */
    assert_int_equal(props_fault("00 00"), RC_MALFORMED);
    assert_int_equal(props_fault("2B 00"), RC_MALFORMED);
    assert_int_equal(props_fault("FF 01 00"), RC_MALFORMED);
    assert_int_equal(props_fault("02 00 00 00"), RC_MALFORMED);
    assert_int_equal(props_fault("26 00 01 'k'"), RC_MALFORMED);
    assert_int_equal(props_fault("09 00 05 'abc'"), RC_MALFORMED);
    /* [MQTT-1.5.7-1] */
    assert_int_equal(props_fault("26 00 01 'k' 00 01 C3"), RC_MALFORMED);
}

/* The block may not be longer than the packet, nor its length over-long. */
static void property_length(void **state)
{
    assert_int_equal(fault("30 04 00 01 't' 01", MQTT_50), RC_MALFORMED);
    assert_int_equal(fault("30 05 00 01 't' 80 00", MQTT_50), RC_MALFORMED);
    assert_int_equal(fault("30 08 00 01 't' FF FF FF FF 01", MQTT_50), RC_MALFORMED);
    assert_int_equal(fault("30 03 00 01 't'", MQTT_50), RC_MALFORMED);
    assert_int_equal(fault("32 05 00 01 't' 00 01", MQTT_50), RC_MALFORMED);
}

/* [MQTT-3.3.4-3] [MQTT-3.3.4-4]: a server may name several subscriptions. */
static void from_server(void **state)
{
    struct mqtt_frame frame = wire_keep("30 0A 00 01 't' 05 0B 01 0B FF 7F 'x'");
    struct mqtt_publish p;
    struct mqtt_prop_item item;
    struct str rest;

    assert_int_equal(mqtt_decode_publish(&frame, MQTT_50, false, &p), RC_PROTOCOL_ERROR);
    assert_int_equal(mqtt_decode_publish(&frame, MQTT_50, true, &p), 0);
    assert_false(p.props_plain);
    rest = p.props;
    assert_int_equal(mqtt_prop_next(&rest, &item), 1);
    assert_int_equal(item.id, PROP_SUBSCRIPTION_ID);
    assert_int_equal(item.number, 1);
    assert_int_equal(mqtt_prop_next(&rest, &item), 1);
    assert_int_equal(item.number, 16383);
    assert_int_equal(mqtt_prop_next(&rest, &item), 0);

    frame = wire_keep("30 07 00 01 't' 02 0B 00 'x'");
    assert_int_equal(mqtt_decode_publish(&frame, MQTT_50, true, &p), RC_PROTOCOL_ERROR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(qos_0),
        cmocka_unit_test(qos_1_and_2),
        cmocka_unit_test(qos_3),
        cmocka_unit_test(dup_at_qos_0),
        cmocka_unit_test(packet_id_0),
        cmocka_unit_test(no_topic),
        cmocka_unit_test(topic_is_unchecked),
        cmocka_unit_test(properties),
        cmocka_unit_test(plain_properties),
        cmocka_unit_test(property_rules),
        cmocka_unit_test(property_length),
        cmocka_unit_test(from_server),
    };
    return cmocka_run_group_tests(tests, NULL, wire_drop);
}
