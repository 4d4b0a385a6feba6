/* What a server writes, byte by byte; and what it leaves out where the peer's limit
 * or window is too small. */
#include "wire.h"

#include "mqtt/encode.h"
#include "mqtt/reason.h"

static uint8_t space[512];

static struct mqtt_out out_new(void)
{
    memset(space, 0xEE, sizeof space);
    return (struct mqtt_out){space, sizeof space, 0};
}

static void assert_out(const struct mqtt_out *o, const char *want)
{
    assert_true(mqtt_out_fits(o));
    assert_bytes(o->ptr, o->need, want);
}

static struct mqtt_connack_out connack_plain(uint8_t version)
{
    return (struct mqtt_connack_out){
        .version = version, .receive_maximum = 65535, .maximum_qos = 2};
}

static void assert_connack(const struct mqtt_connack_out *c, uint32_t limit, const char *want)
{
    struct mqtt_out o = out_new();

    mqtt_put_connack(&o, c, limit);
    assert_out(&o, want);
}

/* [MQTT-3.2.2-1] [MQTT-3.2.2-4] [MQTT-3.2.2-6] [MQTT-V31-7] [MQTT-2.2.2-1] */
static void connack_short(void **state)
{
    struct mqtt_connack_out c = connack_plain(MQTT_311);

    assert_connack(&c, UINT32_MAX, "20 02 00 00");
    c.session_present = true;
    assert_connack(&c, UINT32_MAX, "20 02 01 00");
    c.reason = 5;
    assert_connack(&c, UINT32_MAX, "20 02 00 05");
    c = connack_plain(MQTT_31);
    c.session_present = true;
    assert_connack(&c, UINT32_MAX, "20 02 00 00");
    c = connack_plain(MQTT_50);
    assert_connack(&c, UINT32_MAX, "20 03 00 00 00");
    c.session_present = true;
    assert_connack(&c, UINT32_MAX, "20 03 01 00 00");
    c.reason = RC_NOT_AUTHORIZED;
    assert_connack(&c, UINT32_MAX, "20 03 00 87 00");
}

static void connack_whole(void **state)
{
    struct wire user = wire_of("26 00 01 'k' 00 01 'v'");
    struct mqtt_connack_out c = {
        .version = MQTT_50,
        .has_session_expiry = true,
        .session_expiry = 0,
        .receive_maximum = 10,
        .maximum_qos = 1,
        .no_retain = true,
        .no_wildcard = true,
        .no_subscription_id = true,
        .no_shared = true,
        .maximum_packet_size = 65536,
        .topic_alias_maximum = 4,
        .has_server_keep_alive = true,
        .server_keep_alive = 0,
        .assigned_client_id = STR("id"),
        .reason_string = STR("hi"),
        .response_info = STR("r"),
        .server_reference = STR("s"),
        .has_auth_method = true,
        .auth_method = STR("m"),
        .auth_data = STR("d"),
        .user_props = {(char *)user.ptr, user.len},
    };
#define BEFORE                                                                                     \
    "11 00 00 00 00 | 21 00 0A | 24 01 | 25 00 | 27 00 01 00 00 | 12 00 02 'id' | 22 00 04 | "
#define AFTER                                                                                      \
    "28 00 | 29 00 | 2A 00 | 13 00 00 | 1A 00 01 'r' | 1C 00 01 's' | 15 00 01 'm' | 16 00 01 'd'"
    assert_connack(&c, UINT32_MAX,
                   "20 41 00 00 3E " BEFORE "1F 00 02 'hi' | 26 00 01 'k' 00 01 'v' | " AFTER);
    assert_connack(&c, 0x43,
                   "20 41 00 00 3E " BEFORE "1F 00 02 'hi' | 26 00 01 'k' 00 01 'v' | " AFTER);
    /* [MQTT-3.2.2-20]: one byte less, and user properties go first */
    assert_connack(&c, 0x42, "20 3A 00 00 37 " BEFORE "1F 00 02 'hi' | " AFTER);
    assert_connack(&c, 0x3C, "20 3A 00 00 37 " BEFORE "1F 00 02 'hi' | " AFTER);
    /* [MQTT-3.2.2-19] */
    assert_connack(&c, 0x3B, "20 35 00 00 32 " BEFORE AFTER);
    wire_free(&user);
}

/* [MQTT-2.2.1-5] [MQTT-2.3.1-6] [MQTT-3.6.1-1] */
static void acks_short(void **state)
{
    static const char *const want[] = {"40 02 12 34", "50 02 12 34", "62 02 12 34", "70 02 12 34"};

    for (uint8_t type = MQTT_PUBACK; type <= MQTT_PUBCOMP; type++) {
        for (uint8_t version = MQTT_31; version <= MQTT_50; version++) {
            struct mqtt_out o = out_new();
            mqtt_put_ack(&o, type, version, 0x1234, 0, STR_NONE, UINT32_MAX);
            assert_out(&o, want[type - MQTT_PUBACK]);
        }
    }
}

static void assert_ack(uint8_t type, uint8_t reason, struct str text, uint32_t limit,
                       const char *want)
{
    struct mqtt_out o = out_new();

    mqtt_put_ack(&o, type, MQTT_50, 1, reason, text, limit);
    assert_out(&o, want);
}

/* [MQTT-3.4.2-2] [MQTT-3.5.2-2] [MQTT-3.6.2-2] [MQTT-3.7.2-2] */
static void acks_with_reason(void **state)
{
    struct mqtt_out o = out_new();

    assert_ack(MQTT_PUBACK, 0x10, STR_NONE, UINT32_MAX, "40 03 00 01 10");
    assert_ack(MQTT_PUBREC, 0x97, STR("full"), 13, "50 0B 00 01 97 07 1F 00 04 'full'");
    assert_ack(MQTT_PUBREC, 0x97, STR("full"), 12, "50 03 00 01 97");
    assert_ack(MQTT_PUBREL, 0x92, STR("?"), UINT32_MAX, "62 08 00 01 92 04 1F 00 01 '?'");
    assert_ack(MQTT_PUBREL, 0x92, STR("?"), 9, "62 03 00 01 92");
    assert_ack(MQTT_PUBCOMP, 0x92, STR("?"), 9, "70 03 00 01 92");
    assert_ack(MQTT_PUBACK, 0, STR("ok"), UINT32_MAX, "40 09 00 01 00 05 1F 00 02 'ok'");
    assert_ack(MQTT_PUBACK, 0, STR("ok"), 10, "40 02 00 01");
    /* nothing of it in 3.x */
    mqtt_put_ack(&o, MQTT_PUBACK, MQTT_311, 1, 0x87, STR("no"), UINT32_MAX);
    assert_out(&o, "40 02 00 01");
}

/* A text that no length field can hold is as one that does not fit. */
static void text_too_long(void **state)
{
    char *text = calloc(1, 70000);
    struct mqtt_out o = out_new();

    memset(text, 'x', 70000);
    mqtt_put_ack(&o, MQTT_PUBACK, MQTT_50, 1, 0x87, (struct str){text, 70000}, UINT32_MAX);
    assert_out(&o, "40 03 00 01 87");
    free(text);
}

/* [MQTT-2.2.1-6] [MQTT-3.8.4-2] [MQTT-3.9.3-1] [MQTT-3.10.4-4] [MQTT-3.11.3-1] [MQTT-3.9.2-1]
 * [MQTT-3.11.2-1] */
static void subacks(void **state)
{
    static const uint8_t codes[] = {0, 1, 2, 0x80}, codes_5[] = {0x87, 0x00}, none[] = {0x11};
    struct mqtt_out o = out_new();

    mqtt_put_suback(&o, MQTT_SUBACK, MQTT_311, 9, codes, 4, STR("unused"), UINT32_MAX);
    assert_out(&o, "90 06 00 09 00 01 02 80");
    o = out_new();
    mqtt_put_suback(&o, MQTT_UNSUBACK, MQTT_31, 9, codes, 4, STR_NONE, UINT32_MAX);
    assert_out(&o, "B0 02 00 09");
    o = out_new();
    mqtt_put_suback(&o, MQTT_SUBACK, MQTT_50, 9, codes_5, 2, STR_NONE, UINT32_MAX);
    assert_out(&o, "90 05 00 09 00 87 00");
    o = out_new();
    mqtt_put_suback(&o, MQTT_SUBACK, MQTT_50, 9, codes_5, 2, STR("no"), 12);
    assert_out(&o, "90 0A 00 09 05 1F 00 02 'no' 87 00");
    o = out_new();
    mqtt_put_suback(&o, MQTT_SUBACK, MQTT_50, 9, codes_5, 2, STR("no"), 11);
    assert_out(&o, "90 05 00 09 00 87 00");
    o = out_new();
    mqtt_put_suback(&o, MQTT_UNSUBACK, MQTT_50, 9, none, 1, STR("no"), 10);
    assert_out(&o, "B0 04 00 09 00 11");
}

/* [MQTT-3.12.4-1] */
static void pings(void **state)
{
    struct mqtt_out o = out_new();

    mqtt_put_pingresp(&o);
    mqtt_put_pingreq(&o);
    assert_out(&o, "D0 00 C0 00");
}

/* [MQTT-3.14.2-3] */
static void disconnects(void **state)
{
    struct mqtt_out o = out_new();

    mqtt_put_disconnect(&o, MQTT_311, RC_SHUTTING_DOWN, STR("bye"), STR_NONE, UINT32_MAX);
    assert_out(&o, "E0 00");
    o = out_new();
    mqtt_put_disconnect(&o, MQTT_50, RC_SHUTTING_DOWN, STR_NONE, STR_NONE, UINT32_MAX);
    assert_out(&o, "E0 01 8B");
    o = out_new();
    mqtt_put_disconnect(&o, MQTT_50, RC_SERVER_MOVED, STR("bye"), STR("other"), 18);
    assert_out(&o, "E0 10 9D 0E 1F 00 03 'bye' 1C 00 05 'other'");
    o = out_new();
    mqtt_put_disconnect(&o, MQTT_50, RC_SERVER_MOVED, STR("bye"), STR("other"), 17);
    assert_out(&o, "E0 0A 9D 08 1C 00 05 'other'");
}

/* [MQTT-3.15.2-2] [MQTT-4.12.0-5]: the method always goes with it. */
static void auths(void **state)
{
    struct mqtt_out o = out_new();

    mqtt_put_auth(&o, RC_CONTINUE_AUTH, STR("SCRAM"), STR("d"), STR("go"), 21);
    assert_out(&o, "F0 13 18 11 15 00 05 'SCRAM' 16 00 01 'd' 1F 00 02 'go'");
    o = out_new();
    mqtt_put_auth(&o, RC_CONTINUE_AUTH, STR("SCRAM"), STR("d"), STR("go"), 20);
    assert_out(&o, "F0 0E 18 0C 15 00 05 'SCRAM' 16 00 01 'd'");
    o = out_new();
    mqtt_put_auth(&o, RC_SUCCESS, STR("m"), STR_NONE, STR_NONE, UINT32_MAX);
    assert_out(&o, "F0 06 00 04 15 00 01 'm'");
}

/* A window too small is never written past, and the need is told all the same. */
static void windows(void **state)
{
    struct mqtt_connack_out c = connack_plain(MQTT_50);

    c.assigned_client_id = STR("an-assigned-id");
    for (size_t cap = 0; cap <= 20; cap++) {
        uint8_t *exact = malloc(cap ? cap : 1);
        struct mqtt_out o = {exact, cap, 0};
        mqtt_put_connack(&o, &c, UINT32_MAX);
        assert_int_equal(o.need, 22);
        assert_false(mqtt_out_fits(&o));
        mqtt_put_ack(&o, MQTT_PUBACK, MQTT_311, 1, 0, STR_NONE, UINT32_MAX);
        assert_int_equal(o.need, 26);
        free(exact);
    }
}

/* [MQTT-1.5.5-1] */
static void variable_integers(void **state)
{
    static const struct {
        uint32_t value;
        const char *bytes;
    } cases[] = {
        {0, "00"},
        {127, "7F"},
        {128, "80 01"},
        {16383, "FF 7F"},
        {16384, "80 80 01"},
        {2097151, "FF FF 7F"},
        {2097152, "80 80 80 01"},
        {268435455, "FF FF FF 7F"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t bytes[4];
        size_t len = (size_t)(mqtt_varint_write(bytes, cases[i].value) - bytes);
        assert_bytes(bytes, len, cases[i].bytes);
        assert_int_equal(len, mqtt_varint_size(cases[i].value));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connack_short),
        cmocka_unit_test(connack_whole),
        cmocka_unit_test(acks_short),
        cmocka_unit_test(acks_with_reason),
        cmocka_unit_test(text_too_long),
        cmocka_unit_test(subacks),
        cmocka_unit_test(pings),
        cmocka_unit_test(disconnects),
        cmocka_unit_test(auths),
        cmocka_unit_test(windows),
        cmocka_unit_test(variable_integers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
