/* Reason codes: texts, the tables of each packet, the way back to 3.x. */
#include "wire.h"

#include "mqtt/reason.h"

static void texts(void **state)
{
    assert_string_equal(mqtt_reason_text(0x8E), "session taken over");
    assert_string_equal(mqtt_reason_text(0), "success");
    assert_string_equal(mqtt_reason_text(0x7F), "unknown reason");
    assert_string_equal(mqtt_reason_text(0x100), "unknown reason");
}

/* [MQTT-3.2.2-8] [MQTT-3.4.2-1] [MQTT-3.5.2-1] [MQTT-3.6.2-1] [MQTT-3.7.2-1] [MQTT-3.9.3-2]
 * [MQTT-3.11.3-2] [MQTT-3.14.2-1] [MQTT-3.15.2-1] */
static void tables(void **state)
{
    static const struct {
        uint8_t type;
        const char *codes;
    } cases[] = {
        {MQTT_CONNECT, ""},
        {MQTT_CONNACK, "00 80 81 82 83 84 85 86 87 88 89 8A 8C 90 95 97 99 9A 9B 9C 9D 9F"},
        {MQTT_PUBLISH, ""},
        {MQTT_PUBACK, "00 10 80 83 87 90 91 97 99"},
        {MQTT_PUBREC, "00 10 80 83 87 90 91 97 99"},
        {MQTT_PUBREL, "00 92"},
        {MQTT_PUBCOMP, "00 92"},
        {MQTT_SUBACK, "00 01 02 80 83 87 8F 91 97 9E A1 A2"},
        {MQTT_UNSUBACK, "00 11 80 83 87 8F 91"},
        {MQTT_DISCONNECT, "80 81 82 83 87 89 8B 8C 8D 8E 8F 90 93 94 95 96 97 98 99 9A 9B 9C 9D 9E "
                          "9F A0 A1 A2"},
        {MQTT_AUTH, "00 18"},
        {0, ""},
        {16, ""},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct wire codes = wire_of(cases[i].codes);
        for (unsigned reason = 0; reason < 256; reason++) {
            bool want = codes.len && memchr(codes.ptr, (int)reason, codes.len);
            if (mqtt_reason_allowed(cases[i].type, (uint8_t)reason) != want)
                fail_msg("%02X in %s", reason, mqtt_type_name(cases[i].type));
        }
        wire_free(&codes);
    }
}

/* [MQTT-V31-8]: every code becomes one that 3.x knows. */
static void back_to_3x(void **state)
{
    for (unsigned reason = 0x80; reason <= 0xA2; reason++) {
        uint8_t code = mqtt_reason_to_v3_connack((uint8_t)reason);
        assert_in_range(code, 1, 5);
    }
    assert_int_equal(mqtt_reason_to_v3_connack(RC_UNSUPPORTED_VERSION), 1);
    assert_int_equal(mqtt_reason_to_v3_connack(RC_CLIENT_ID_INVALID), 2);
    assert_int_equal(mqtt_reason_to_v3_connack(RC_SERVER_BUSY), 3);
    assert_int_equal(mqtt_reason_to_v3_connack(RC_BAD_CREDENTIALS), 4);
    assert_int_equal(mqtt_reason_to_v3_connack(RC_NOT_AUTHORIZED), 5);
    assert_int_equal(mqtt_reason_to_v3_connack(RC_BANNED), 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts),
        cmocka_unit_test(tables),
        cmocka_unit_test(back_to_3x),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
