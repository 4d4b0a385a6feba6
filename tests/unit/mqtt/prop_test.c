/* The property table: each property in each place, against a copy of the
 * specification's table 2-4 written by hand; walking; forwarding. */
#include "wire.h"

#include "mqtt/prop.h"
#include "mqtt/reason.h"

/* Columns: CONNECT CONNACK PUBLISH acks SUBSCRIBE UNSUBSCRIBE SUBACK+UNSUBACK DISCONNECT
 * AUTH will.  The sample value is legal everywhere the property is. */
static const struct {
    const char *where;
    const char *sample;
} table[] = {
    {"..P......W", "01 00"},
    {"..P......W", "02 00 00 00 05"},
    {"..P......W", "03 00 01 'c'"},
    {"..P......W", "08 00 01 'r'"},
    {"..P......W", "09 00 01 FF"},
    {"....S.....", "0B 05"},
    {"CA.....D..", "11 00 00 00 01"},
    {".A........", "12 00 01 'i'"},
    {".A........", "13 00 05"},
    {"CA......U.", "15 00 01 'm'"},
    {"CA......U.", "16 00 01 FF"},
    {"C.........", "17 01"},
    {".........W", "18 00 00 00 05"},
    {"C.........", "19 01"},
    {".A........", "1A 00 01 'i'"},
    {".A.....D..", "1C 00 01 's'"},
    {".A.K..BDU.", "1F 00 01 'r'"},
    {"CA........", "21 00 05"},
    {"CA........", "22 00 05"},
    {"..P.......", "23 00 05"},
    {".A........", "24 01"},
    {".A........", "25 01"},
    {"CAPKSNBDUW", "26 00 01 'k' 00 01 'v'"},
    {"CA........", "27 00 00 00 05"},
    {".A........", "28 01"},
    {".A........", "29 01"},
    {".A........", "2A 01"},
};

/* The places of each column. */
static const struct {
    unsigned place;
    int column;
} places[] = {
    {MQTT_CONNECT, 0}, {MQTT_CONNACK, 1},     {MQTT_PUBLISH, 2},  {MQTT_PUBACK, 3},
    {MQTT_PUBREC, 3},  {MQTT_PUBREL, 3},      {MQTT_PUBCOMP, 3},  {MQTT_SUBSCRIBE, 4},
    {MQTT_SUBACK, 6},  {MQTT_UNSUBSCRIBE, 5}, {MQTT_UNSUBACK, 6}, {MQTT_DISCONNECT, 7},
    {MQTT_AUTH, 8},    {PROPS_OF_WILL, 9},
};

#define COUNT(a) (sizeof(a) / sizeof *(a))

static struct wire with_length(const char *block)
{
    struct wire w = wire_of(block);
    struct wire out = {malloc(w.len + 1), w.len + 1};

    assert_true(w.len < 128);
    out.ptr[0] = (uint8_t)w.len;
    memcpy(out.ptr + 1, w.ptr, w.len);
    wire_free(&w);
    return out;
}

static int read_block(const char *block, unsigned place)
{
    struct wire w = with_length(block);
    struct cursor c = cursor_of((struct str){(char *)w.ptr, w.len});
    struct props props;
    int fault = props_read(&c, place, &props);

    if (fault == 0)
        assert_int_equal(c.left, 0);
    wire_free(&w);
    return fault;
}

static void each_in_each_place(void **state)
{
    for (size_t i = 0; i < COUNT(table); i++) {
        for (size_t k = 0; k < COUNT(places); k++) {
            int want = table[i].where[places[k].column] != '.' ? 0 : RC_PROTOCOL_ERROR;
            if (read_block(table[i].sample, places[k].place) != want)
                fail_msg("%s in type %u", table[i].sample, places[k].place);
        }
    }
}

/* Only user properties may repeat; subscription ids when a server sends them. */
static void each_twice(void **state)
{
    for (size_t i = 0; i < COUNT(table); i++) {
        for (size_t k = 0; k < COUNT(places); k++) {
            char twice[256];
            int want = strncmp(table[i].sample, "26", 2) == 0 ? 0 : RC_PROTOCOL_ERROR;
            if (table[i].where[places[k].column] == '.')
                continue;
            snprintf(twice, sizeof twice, "%s 26 00 00 00 00 %s", table[i].sample, table[i].sample);
            if (read_block(twice, places[k].place) != want)
                fail_msg("%s twice in type %u", table[i].sample, places[k].place);
        }
    }
    assert_int_equal(read_block("0B 01 0B 02", PROPS_OF_PUBLISH_FROM_SERVER), 0);
    assert_int_equal(read_block("0B 01 0B 02", MQTT_SUBSCRIBE), RC_PROTOCOL_ERROR);
}

/* Every id that the table does not know, and the two-byte ids. */
static void unknown_ids(void **state)
{
    for (unsigned id = 0; id < 256; id++) {
        char block[64];
        bool known = false;
        for (size_t i = 0; i < COUNT(table); i++)
            known = known || strtoul(table[i].sample, NULL, 16) == id;
        snprintf(block, sizeof block, "%02X 00 00 00 00 00 00", id);
        if (!known)
            assert_int_equal(read_block(block, MQTT_CONNECT), RC_MALFORMED);
    }
    assert_int_equal(read_block("81 00 00", MQTT_PUBLISH), RC_MALFORMED);
}

/* Cut at every byte, in a block of exactly that size. */
static void cut_short(void **state)
{
    for (size_t i = 0; i < COUNT(table); i++) {
        struct wire whole = wire_of(table[i].sample);
        for (size_t len = 1; len < whole.len; len++) {
            struct wire part = wire_copy(whole.ptr, len);
            struct str rest = {(char *)part.ptr, part.len};
            struct mqtt_prop_item item;
            assert_int_equal(mqtt_prop_next(&rest, &item), -1);
            assert_int_equal(rest.len, len); /* nothing taken */
            wire_free(&part);
        }
        wire_free(&whole);
    }
}

/* [MQTT-3.3.2-18] */
static void walking(void **state)
{
    struct wire w = wire_of("01 01 | 0B 80 01 | 22 12 34 | 02 01 02 03 04 | 1F 00 02 'hi' | "
                            "26 00 01 'k' 00 02 'v1' | 26 00 01 'k' 00 02 'v2'");
    struct str rest = {(char *)w.ptr, w.len};
    struct mqtt_prop_item item;

    assert_int_equal(mqtt_prop_next(&rest, &item), 1);
    assert_int_equal(item.id, PROP_PAYLOAD_FORMAT);
    assert_int_equal(item.number, 1);
    assert_int_equal(item.raw.len, 2);
    assert_int_equal(mqtt_prop_next(&rest, &item), 1);
    assert_int_equal(item.number, 128);
    assert_int_equal(mqtt_prop_next(&rest, &item), 1);
    assert_int_equal(item.number, 0x1234);
    assert_int_equal(mqtt_prop_next(&rest, &item), 1);
    assert_int_equal(item.number, 0x01020304);
    assert_int_equal(mqtt_prop_next(&rest, &item), 1);
    assert_str(item.value, "hi");
    assert_int_equal(item.name.len, 0);
    assert_int_equal(mqtt_prop_next(&rest, &item), 1);
    assert_str(item.name, "k");
    assert_str(item.value, "v1");
    assert_int_equal(mqtt_prop_next(&rest, &item), 1);
    assert_str(item.value, "v2");
    assert_int_equal(item.raw.len, 8);
    assert_int_equal(mqtt_prop_next(&rest, &item), 0);
    wire_free(&w);
}

static void forwarding(void **state)
{
    struct wire w =
        wire_of("23 00 01 | 26 00 01 'b' 00 00 | 02 00 00 00 09 | 09 00 01 00 | 0B 01 | "
                "01 01 | 26 00 01 'a' 00 00 | 18 00 00 00 01 | 08 00 01 'r' | 03 00 00");
    uint8_t *dst = malloc(w.len);

    assert_bytes(dst, mqtt_props_forward((struct str){(char *)w.ptr, w.len}, dst),
                 "26 00 01 'b' 00 00 | 09 00 01 00 | 01 01 | 26 00 01 'a' 00 00 | 08 00 01 'r' | "
                 "03 00 00");
    assert_int_equal(mqtt_props_forward(STR_NONE, dst), 0);
    free(dst);
    wire_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_in_each_place),
        cmocka_unit_test(each_twice),
        cmocka_unit_test(unknown_ids),
        cmocka_unit_test(cut_short),
        cmocka_unit_test(walking),
        cmocka_unit_test(forwarding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
