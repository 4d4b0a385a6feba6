/* What a client writes, byte by byte. */
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

static struct mqtt_connect connect_plain(uint8_t version)
{
    return (struct mqtt_connect){.version = version,
                                 .clean_start = true,
                                 .keep_alive = 60,
                                 .client_id = STR("c"),
                                 .receive_maximum = 65535,
                                 .maximum_packet_size = UINT32_MAX,
                                 .request_problem_info = true,
                                 .will.expiry = UINT32_MAX};
}

/* [MQTT-V31-1] */
static void connects(void **state)
{
    struct mqtt_connect c = connect_plain(MQTT_31);
    struct mqtt_out o = out_new();

    mqtt_put_connect(&o, &c);
    assert_out(&o, "10 0F 00 06 'MQIsdp' 03 02 00 3C 00 01 'c'");
    c.version = MQTT_311;
    c.bridge = true;
    c.clean_start = false;
    o = out_new();
    mqtt_put_connect(&o, &c);
    assert_out(&o, "10 0D 00 04 'MQTT' 84 00 00 3C 00 01 'c'");
    c = connect_plain(MQTT_50);
    o = out_new();
    mqtt_put_connect(&o, &c);
    assert_out(&o, "10 0E 00 04 'MQTT' 05 02 00 3C 00 00 01 'c'");
}

static void connect_whole(void **state)
{
    struct wire props = wire_of("11 00 00 00 63 26 00 01 'k' 00 01 'v'");
    struct wire will_props = wire_of("18 00 00 00 63 01 01 26 00 01 'w' 00 00");
    struct mqtt_connect c = connect_plain(MQTT_50);
    struct mqtt_out o = out_new();

    c.has_will = c.has_username = c.has_password = true;
    c.username = STR("u");
    c.password = STR("p");
    c.session_expiry = 5;
    c.receive_maximum = 6;
    c.maximum_packet_size = 7;
    c.topic_alias_maximum = 8;
    c.request_response_info = true;
    c.request_problem_info = false;
    c.has_auth_method = true;
    c.auth_method = STR("m");
    c.auth_data = STR("d");
    c.props = (struct str){(char *)props.ptr, props.len};
    c.will = (struct mqtt_will){.topic = STR("t"),
                                .payload = STR("x"),
                                .qos = 2,
                                .retain = true,
                                .delay = 3,
                                .expiry = 4,
                                .props = {(char *)will_props.ptr, will_props.len}};
    mqtt_put_connect(&o, &c);
    assert_out(&o, "10 50 00 04 'MQTT' 05 F6 00 3C | 23 11 00 00 00 05 | 21 00 06 | "
                   "27 00 00 00 07 | 22 00 08 | 19 01 | 17 00 | 15 00 01 'm' | 16 00 01 'd' | "
                   "26 00 01 'k' 00 01 'v' | 00 01 'c' | 12 18 00 00 00 03 | 02 00 00 00 04 | "
                   "01 01 | 26 00 01 'w' 00 00 | 00 01 't' 00 01 'x' | 00 01 'u' 00 01 'p'");
    wire_free(&props);
    wire_free(&will_props);
}

/* [MQTT-2.2.1-2] [MQTT-2.3.1-5] [MQTT-3.3.1-2] [MQTT-2.2.2-1] */
static void publishes(void **state)
{
    struct mqtt_publish p = {
        .topic = STR("t"), .payload = STR("hi"), .expiry = UINT32_MAX, .packet_id = 7};
    struct mqtt_out o = out_new();

    mqtt_put_publish(&o, MQTT_311, &p);
    assert_out(&o, "30 05 00 01 't' 'hi'");
    p.dup = p.retain = true; /* DUP means nothing at QoS 0 */
    o = out_new();
    mqtt_put_publish(&o, MQTT_50, &p);
    assert_out(&o, "31 06 00 01 't' 00 'hi'");
    p.qos = 2;
    o = out_new();
    mqtt_put_publish(&o, MQTT_31, &p);
    assert_out(&o, "3D 07 00 01 't' 00 07 'hi'");
}

static void publish_properties(void **state)
{
    struct wire props = wire_of("02 00 00 00 63 26 00 01 'a' 00 01 '1' 26 00 01 'a' 00 01 '2'");
    struct mqtt_publish p = {.topic = STR(""),
                             .payload = STR("hi"),
                             .expiry = 30,
                             .topic_alias = 5,
                             .payload_format = 1,
                             .response_topic = STR("r"),
                             .correlation_data = STR(""),
                             .content_type = STR("c"),
                             .props = {(char *)props.ptr, props.len}};
    struct mqtt_out o = out_new();

    mqtt_put_publish(&o, MQTT_50, &p);
    assert_out(&o, "30 28 00 00 23 01 01 | 02 00 00 00 1E | 23 00 05 | 08 00 01 'r' | 09 00 00 | "
                   "03 00 01 'c' | 26 00 01 'a' 00 01 '1' | 26 00 01 'a' 00 01 '2' | 'hi'");
    wire_free(&props);
}

static void subscribes(void **state)
{
    static const struct mqtt_subscription subs[] = {
        {.filter = {"a/+", 3}, .qos = 1},
        {.filter = {"b", 1},
         .qos = 2,
         .no_local = true,
         .retain_as_published = true,
         .retain_handling = 2},
    };
    static const struct str filters[] = {{"a/+", 3}, {"b", 1}};
    struct wire user = wire_of("26 00 01 'k' 00 01 'v'");
    struct str user_props = {(char *)user.ptr, user.len};
    struct mqtt_out o = out_new();

    mqtt_put_subscribe(&o, MQTT_311, 5, 9, subs, 2, user_props);
    assert_out(&o, "82 0C 00 05 00 03 'a/+' 01 00 01 'b' 02");
    o = out_new();
    mqtt_put_subscribe(&o, MQTT_50, 5, 200, subs, 2, user_props);
    assert_out(&o, "82 17 00 05 0A 0B C8 01 26 00 01 'k' 00 01 'v' 00 03 'a/+' 01 00 01 'b' 2E");
    o = out_new();
    mqtt_put_unsubscribe(&o, MQTT_311, 6, filters, 2, user_props);
    assert_out(&o, "A2 0A 00 06 00 03 'a/+' 00 01 'b'");
    o = out_new();
    mqtt_put_unsubscribe(&o, MQTT_50, 6, filters, 2, user_props);
    assert_out(&o, "A2 12 00 06 07 26 00 01 'k' 00 01 'v' 00 03 'a/+' 00 01 'b'");
    wire_free(&user);
}

static void disconnects(void **state)
{
    struct mqtt_out o = out_new();

    mqtt_put_client_disconnect(&o, MQTT_311, RC_DISCONNECT_WITH_WILL, true, 5);
    mqtt_put_client_disconnect(&o, MQTT_50, 0, false, 5);
    mqtt_put_client_disconnect(&o, MQTT_50, RC_DISCONNECT_WITH_WILL, false, 5);
    mqtt_put_client_disconnect(&o, MQTT_50, 0, true, 5);
    assert_out(&o, "E0 00 | E0 00 | E0 01 04 | E0 07 00 05 11 00 00 00 05");
}

static void user_property(void **state)
{
    struct mqtt_out o = out_new();

    mqtt_put_user_property(&o, STR("name"), STR(""));
    assert_out(&o, "26 00 04 'name' 00 00");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connects),      cmocka_unit_test(connect_whole),
        cmocka_unit_test(publishes),     cmocka_unit_test(publish_properties),
        cmocka_unit_test(subscribes),    cmocka_unit_test(disconnects),
        cmocka_unit_test(user_property),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
