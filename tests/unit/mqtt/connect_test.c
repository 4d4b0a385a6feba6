/* CONNECT: what is read from it in each version, and every rule it can break. */
#include "wire.h"

#include "mqtt/reason.h"

#define HEAD_31  "00 06 'MQIsdp' 03 "
#define HEAD_311 "00 04 'MQTT' 04 "
#define HEAD_50  "00 04 'MQTT' 05 "

/* Puts the fixed header (length up to 127) before the body. */
static int decode(const char *body, struct mqtt_connect *out)
{
    char text[2048];
    struct wire w = wire_of(body);
    struct mqtt_frame frame;

    assert_true(w.len < 128);
    snprintf(text, sizeof text, "10 %02X %s", (unsigned)w.len, body);
    wire_free(&w);
    frame = wire_keep(text);
    return mqtt_decode_connect(&frame, out);
}

static int fault(const char *body)
{
    struct mqtt_connect c;

    return decode(body, &c);
}

/* [MQTT-V31-1] */
static void smallest(void **state)
{
    struct mqtt_connect c;

    assert_int_equal(decode(HEAD_311 "02 00 3C 00 01 'c'", &c), 0);
    assert_int_equal(c.version, MQTT_311);
    assert_int_equal(c.keep_alive, 60);
    assert_str(c.client_id, "c");
    assert_true(c.clean_start);
    assert_false(c.has_will || c.has_username || c.has_password || c.bridge || c.has_auth_method);
    assert_int_equal(c.session_expiry, 0);
    assert_int_equal(c.receive_maximum, 65535);
    assert_int_equal(c.maximum_packet_size, UINT32_MAX);
    assert_int_equal(c.topic_alias_maximum, 0);
    assert_true(c.request_problem_info);
    assert_false(c.request_response_info);

    assert_int_equal(decode(HEAD_31 "00 FF FF 00 01 'c'", &c), 0);
    assert_int_equal(c.version, MQTT_31);
    assert_int_equal(c.keep_alive, 65535);
    assert_false(c.clean_start);
    assert_int_equal(c.session_expiry, UINT32_MAX);

    assert_int_equal(decode(HEAD_50 "00 00 00 00 00 01 'c'", &c), 0);
    assert_int_equal(c.version, MQTT_50);
    assert_false(c.clean_start);
    assert_int_equal(c.session_expiry, 0);
    assert_int_equal(c.props.len, 0);
}

/* [MQTT-3.1.3-1] [MQTT-3.1.3-3] [MQTT-3.1.2-8] [MQTT-3.1.2-9] [MQTT-3.1.2-16]
 * [MQTT-3.1.2-17] [MQTT-3.1.2-19] [MQTT-3.1.2-21]: all fields in their order. */
static void whole_311(void **state)
{
    struct mqtt_connect c;

    assert_int_equal(decode(HEAD_311 "F6 00 0A | 00 02 'id' | 00 03 'w/t' 00 04 00 'b' FF 'e' | "
                                     "00 04 'user' | 00 03 'p' 00 'w'",
                            &c),
                     0);
    assert_str(c.client_id, "id");
    assert_true(c.has_will && c.has_username && c.has_password);
    assert_str(c.will.topic, "w/t");
    assert_int_equal(c.will.payload.len, 4);
    assert_memory_equal(c.will.payload.ptr, "\0b\377e", 4);
    assert_int_equal(c.will.qos, 2);
    assert_true(c.will.retain);
    assert_int_equal(c.will.expiry, UINT32_MAX);
    assert_int_equal(c.will.delay, 0);
    assert_str(c.username, "user");
    assert_int_equal(c.password.len, 3);
    assert_memory_equal(c.password.ptr, "p\0w", 3);
}

/* The same with every property [MQTT-3.1.3-1]. */
static void whole_50(void **state)
{
    struct mqtt_connect c;
    uint8_t forward[64];

    assert_int_equal(decode(HEAD_50 "CE 00 0A | "
                                    "2B 11 00 00 01 00 | 21 00 05 | 27 00 01 00 00 | 22 00 07 | "
                                    "19 01 | 17 00 | 15 00 01 'M' | 16 00 02 00 'd' | "
                                    "26 00 01 'k' 00 01 'v' 26 00 01 'k' 00 01 'w' | 00 02 'id' | "
                                    "17 18 00 00 00 09 | 01 01 | 02 00 00 00 08 | "
                                    "26 00 01 'a' 00 01 'b' 03 00 01 't' | "
                                    "00 01 'w' 00 01 'p' | 00 01 'u' | 00 01 'x'",
                            &c),
                     0);
    assert_int_equal(c.session_expiry, 256);
    assert_int_equal(c.receive_maximum, 5);
    assert_int_equal(c.maximum_packet_size, 65536);
    assert_int_equal(c.topic_alias_maximum, 7);
    assert_true(c.request_response_info);
    assert_false(c.request_problem_info);
    assert_true(c.has_auth_method);
    assert_str(c.auth_method, "M");
    assert_int_equal(c.auth_data.len, 2);
    assert_int_equal(c.props.len, 0x2B);
    assert_int_equal(c.will.delay, 9);
    assert_int_equal(c.will.expiry, 8);
    assert_int_equal(c.will.qos, 1);
    assert_false(c.will.retain);
    assert_str(c.will.topic, "w");
    assert_str(c.will.payload, "p");
    assert_str(c.username, "u");
    assert_str(c.password, "x");
    /* [MQTT-3.1.3-10]: what goes with the will, in its order */
    assert_bytes(forward, mqtt_props_forward(c.will.props, forward),
                 "01 01 26 00 01 'a' 00 01 'b' 03 00 01 't'");
}

/* [MQTT-2.2.2-2] [MQTT-2.1.3-1] */
static void header_flags(void **state)
{
    for (uint8_t flags = 1; flags < 16; flags++) {
        struct mqtt_connect c;
        struct mqtt_frame frame = wire_keep("10 0D 00 04 'MQTT' 04 02 00 00 00 01 'c'");
        assert_int_equal(mqtt_decode_connect(&frame, &c), 0);
        frame.flags = flags;
        assert_int_equal(mqtt_decode_connect(&frame, &c), RC_MALFORMED);
    }
}

/* [MQTT-3.1.2-1] [MQTT-3.1.2-2] [MQTT-V31-2] [MQTT-V31-3] */
static void names_and_levels(void **state)
{
    static const struct {
        const char *head;
        int version; /* how to answer */
    } cases[] = {
        {"00 04 'MQTT' 03", 3},    {"00 04 'MQTT' 00", 0},    {"00 04 'MQTT' 06", 6},
        {"00 04 'MQTT' 85", 0x85}, {"00 04 'MQTT' FF", 0xFF}, {"00 06 'MQIsdp' 04", 3},
        {"00 06 'MQIsdp' 05", 3},  {"00 06 'MQIsdp' 7F", 3},  {"00 06 'MQIsdp' 85", 3},
        {"00 04 'mqtt' 04", 4},    {"00 05 'MQTTx' 05", 5},   {"00 00 04", 4},
        {"00 03 'MQT' 05", 5},     {"00 06 'MQISDP' 03", 3},  {"00 04 'MQTT' 02", 2},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct mqtt_connect c;
        char body[256];
        snprintf(body, sizeof body, "%s 02 00 00 00 01 'c'", cases[i].head);
        assert_int_equal(decode(body, &c), RC_UNSUPPORTED_VERSION);
        assert_int_equal(c.version, cases[i].version);
    }
}

static void bridges(void **state)
{
    struct mqtt_connect c;

    assert_int_equal(decode("00 06 'MQIsdp' 83 02 00 00 00 01 'b'", &c), 0);
    assert_int_equal(c.version, MQTT_31);
    assert_true(c.bridge);
    assert_int_equal(decode("00 04 'MQTT' 84 02 00 00 00 01 'b'", &c), 0);
    assert_int_equal(c.version, MQTT_311);
    assert_true(c.bridge);
}

/* [MQTT-3.1.2-3]; 3.1 does not reserve the bit. */
static void reserved_flag(void **state)
{
    struct mqtt_connect c;

    assert_int_equal(fault(HEAD_311 "03 00 00 00 01 'c'"), RC_MALFORMED);
    assert_int_equal(fault(HEAD_50 "03 00 00 00 00 01 'c'"), RC_MALFORMED);
    assert_int_equal(fault(HEAD_31 "03 00 00 00 01 'c'"), 0);
    assert_int_equal(decode(HEAD_31 "01 00 00 00 01 'c'", &c), 0);
    assert_false(c.clean_start);
    /* nor the will's bits without a will, which then mean nothing */
    assert_int_equal(decode(HEAD_31 "32 00 00 00 01 'c'", &c), 0);
    assert_false(c.has_will || c.will.retain || c.will.qos);
}

/* [MQTT-3.1.2-11] [MQTT-3.1.2-13] [MQTT-3.1.2-15] */
static void will_bits_without_will(void **state)
{
    static const char *const bits[] = {"0A", "12", "1A", "22"};

    for (size_t i = 0; i < sizeof bits / sizeof *bits; i++) {
        char body[128];
        snprintf(body, sizeof body, HEAD_311 "%s 00 00 00 01 'c'", bits[i]);
        assert_int_equal(fault(body), RC_MALFORMED);
        snprintf(body, sizeof body, HEAD_50 "%s 00 00 00 00 01 'c'", bits[i]);
        assert_int_equal(fault(body), RC_MALFORMED);
    }
}

/* [MQTT-3.1.2-12] [MQTT-3.1.2-14] */
static void will_qos(void **state)
{
    assert_int_equal(fault(HEAD_311 "06 00 00 00 01 'c' 00 01 'w' 00 00"), 0);
    assert_int_equal(fault(HEAD_311 "0E 00 00 00 01 'c' 00 01 'w' 00 00"), 0);
    assert_int_equal(fault(HEAD_311 "16 00 00 00 01 'c' 00 01 'w' 00 00"), 0);
    assert_int_equal(fault(HEAD_311 "1E 00 00 00 01 'c' 00 01 'w' 00 00"), RC_MALFORMED);
    assert_int_equal(fault(HEAD_31 "1E 00 00 00 01 'c' 00 01 'w' 00 00"), RC_MALFORMED);
    assert_int_equal(fault(HEAD_50 "1E 00 00 00 00 01 'c' 00 00 01 'w' 00 00"), RC_MALFORMED);
}

/* [MQTT-3.1.2-9] */
static void will_fields_missing(void **state)
{
    assert_int_equal(fault(HEAD_311 "06 00 00 00 01 'c'"), RC_MALFORMED);
    assert_int_equal(fault(HEAD_311 "06 00 00 00 01 'c' 00 01 'w'"), RC_MALFORMED);
    assert_int_equal(fault(HEAD_50 "06 00 00 00 00 01 'c' 00 00 01 'w'"), RC_MALFORMED);
    assert_int_equal(fault(HEAD_50 "06 00 00 00 00 01 'c'"), RC_MALFORMED);
}

/* [MQTT-3.1.3-10] [MQTT-3.1.3-11] [MQTT-4.7.0-1] [MQTT-4.7.3-1] */
static void will_topic(void **state)
{
    assert_int_equal(fault(HEAD_311 "06 00 00 00 01 'c' 00 02 C0 AF 00 00"), RC_MALFORMED);
    assert_int_equal(fault(HEAD_311 "06 00 00 00 01 'c' 00 02 'a' 00 00 00"), RC_MALFORMED);
    assert_int_equal(fault(HEAD_311 "06 00 00 00 01 'c' 00 02 'a#' 00 00"), RC_TOPIC_INVALID);
    assert_int_equal(fault(HEAD_50 "06 00 00 00 00 01 'c' 00 00 01 '+' 00 00"), RC_TOPIC_INVALID);
    assert_int_equal(fault(HEAD_311 "06 00 00 00 01 'c' 00 00 00 00"), RC_TOPIC_INVALID);
}

/* [MQTT-3.1.2-16] [MQTT-3.1.2-18] [MQTT-3.1.2-20]: nothing behind what flags announce. */
static void left_over(void **state)
{
    assert_int_equal(fault(HEAD_31 "02 00 00 00 01 'c' 00 01 'u'"), RC_MALFORMED);
    assert_int_equal(fault(HEAD_311 "02 00 00 00 01 'c' 00 01 'u'"), RC_MALFORMED);
    assert_int_equal(fault(HEAD_311 "82 00 00 00 01 'c' 00 01 'u' 00 01 'p'"), RC_MALFORMED);
    assert_int_equal(fault(HEAD_50 "02 00 00 00 00 01 'c' 00"), RC_MALFORMED);
}

/* [MQTT-3.1.2-17] [MQTT-3.1.2-19] [MQTT-3.1.2-21] [MQTT-V31-19] */
static void credentials_missing(void **state)
{
    assert_int_equal(fault(HEAD_31 "82 00 00 00 01 'c'"), RC_MALFORMED);
    assert_int_equal(fault(HEAD_311 "82 00 00 00 01 'c'"), RC_MALFORMED);
    assert_int_equal(fault(HEAD_311 "C2 00 00 00 01 'c' 00 01 'u'"), RC_MALFORMED);
    assert_int_equal(fault(HEAD_50 "42 00 00 00 00 01 'c'"), RC_MALFORMED);
    assert_int_equal(fault(HEAD_311 "C2 00 00 00 01 'c' 00 00 00 00"), 0); /* empty is one */
}

/* [MQTT-3.1.2-22] [MQTT-V31-18]; 5.0 allows it [MQTT-3.1.2-19]. */
static void password_alone(void **state)
{
    struct mqtt_connect c;

    assert_int_equal(fault(HEAD_31 "42 00 00 00 01 'c' 00 01 'p'"), RC_MALFORMED);
    assert_int_equal(fault(HEAD_311 "42 00 00 00 01 'c' 00 01 'p'"), RC_MALFORMED);
    assert_int_equal(decode(HEAD_50 "42 00 00 00 00 01 'c' 00 01 'p'", &c), 0);
    assert_false(c.has_username);
    assert_str(c.password, "p");
}

/* [MQTT-3.1.3-4] [MQTT-3.1.3-11] [MQTT-3.1.3-12] [MQTT-1.5.3-1] [MQTT-1.5.3-2] */
static void texts(void **state)
{
    struct mqtt_connect c;

    assert_int_equal(fault(HEAD_311 "02 00 00 00 01 FF"), RC_MALFORMED);
    assert_int_equal(fault(HEAD_311 "02 00 00 00 01 00"), RC_MALFORMED);
    assert_int_equal(fault(HEAD_50 "02 00 00 00 00 03 ED A0 80"), RC_MALFORMED);
    assert_int_equal(fault(HEAD_311 "82 00 00 00 01 'c' 00 01 80"), RC_MALFORMED);
    assert_int_equal(fault(HEAD_50 "82 00 00 00 00 01 'c' 00 02 'u' 00"), RC_MALFORMED);
    /* [MQTT-1.5.3-3] [MQTT-1.5.4-3] */
    assert_int_equal(decode(HEAD_311 "02 00 00 00 04 EF BB BF 'c'", &c), 0);
    assert_str(c.client_id, "\xef\xbb\xbf"
                            "c");
}

/* Zero length ids pass the codec; the front decides [MQTT-3.1.3-6]. */
static void empty_client_id(void **state)
{
    assert_int_equal(fault(HEAD_311 "02 00 00 00 00"), 0);
    assert_int_equal(fault(HEAD_50 "00 00 00 00 00 00"), 0);
}

static int props_fault(const char *props)
{
    char body[512];

    snprintf(body, sizeof body, HEAD_50 "02 00 00 %s 00 01 'c'", props);
    return fault(body);
}

static void property_rules(void **state)
{
    assert_int_equal(props_fault("03 21 00 01"), 0);
    assert_int_equal(props_fault("03 21 00 00"), RC_PROTOCOL_ERROR); /* receive maximum 0 */
    assert_int_equal(props_fault("05 27 00 00 00 00"), RC_PROTOCOL_ERROR);
    assert_int_equal(props_fault("02 17 02"), RC_PROTOCOL_ERROR);
    assert_int_equal(props_fault("02 19 02"), RC_PROTOCOL_ERROR);
    assert_int_equal(props_fault("0A 11 00 00 00 01 11 00 00 00 01"), RC_PROTOCOL_ERROR);
    assert_int_equal(props_fault("04 16 00 01 'd'"), RC_PROTOCOL_ERROR); /* data, no method */
    assert_int_equal(props_fault("02 01 00"), RC_PROTOCOL_ERROR);        /* not in CONNECT */
    assert_int_equal(props_fault("05 18 00 00 00 01"), RC_PROTOCOL_ERROR);
    assert_int_equal(props_fault("02 7F 00"), RC_MALFORMED);
    assert_int_equal(props_fault("05 11 00 00 00"), RC_MALFORMED); /* runs into the client id */
    assert_int_equal(props_fault("80 00"), RC_MALFORMED);          /* [MQTT-1.5.5-1] */
    /* [MQTT-1.5.7-1] */
    assert_int_equal(props_fault("07 26 00 01 FF 00 01 'v'"), RC_MALFORMED);
    assert_int_equal(props_fault("07 26 00 01 'k' 00 01 00"), RC_MALFORMED);
}

static void will_property_rules(void **state)
{
#define WILL(props) HEAD_50 "06 00 00 00 00 01 'c' " props " 00 01 'w' 00 00"
    assert_int_equal(fault(WILL("02 01 01")), 0);
    assert_int_equal(fault(WILL("02 01 02")), RC_PROTOCOL_ERROR);
    assert_int_equal(fault(WILL("03 23 00 01")), RC_PROTOCOL_ERROR); /* no alias in a will */
    assert_int_equal(fault(WILL("04 08 00 01 '#'")), RC_PROTOCOL_ERROR);
    assert_int_equal(fault(WILL("05 11 00 00 00 01")), RC_PROTOCOL_ERROR);
    assert_int_equal(fault(WILL("04 03 00 01 FF")), RC_MALFORMED);
#undef WILL
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(smallest),
        cmocka_unit_test(whole_311),
        cmocka_unit_test(whole_50),
        cmocka_unit_test(header_flags),
        cmocka_unit_test(names_and_levels),
        cmocka_unit_test(bridges),
        cmocka_unit_test(reserved_flag),
        cmocka_unit_test(will_bits_without_will),
        cmocka_unit_test(will_qos),
        cmocka_unit_test(will_fields_missing),
        cmocka_unit_test(will_topic),
        cmocka_unit_test(left_over),
        cmocka_unit_test(credentials_missing),
        cmocka_unit_test(password_alone),
        cmocka_unit_test(texts),
        cmocka_unit_test(empty_client_id),
        cmocka_unit_test(property_rules),
        cmocka_unit_test(will_property_rules),
    };
    return cmocka_run_group_tests(tests, NULL, wire_drop);
}
