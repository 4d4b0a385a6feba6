/* The fixed header: complete, partial and broken ones. */
#include "wire.h"

static int peek(const char *text, struct mqtt_frame *frame)
{
    struct wire w = wire_of(text);
    int got = mqtt_frame_peek(w.ptr, w.len, frame);

    if (got == 1)
        assert_true((const uint8_t *)frame->body.ptr + frame->body.len <= w.ptr + w.len);
    wire_free(&w);
    return got;
}

static void complete(void **state)
{
    struct mqtt_frame f;

    assert_int_equal(peek("C0 00", &f), 1);
    assert_int_equal(f.type, MQTT_PINGREQ);
    assert_int_equal(f.flags, 0);
    assert_int_equal(f.size, 2);
    assert_int_equal(f.body.len, 0);

    assert_int_equal(peek("3D 03 00 01 'a'", &f), 1);
    assert_int_equal(f.type, MQTT_PUBLISH);
    assert_int_equal(f.flags, 13);
    assert_int_equal(f.size, 5);
    assert_int_equal(f.body.len, 3);
    /* the next packet's bytes are not this one's */
    assert_int_equal(peek("3D 03 00 01 'a' C0 00", &f), 1);
    assert_int_equal(f.size, 5);
}

static void partial(void **state)
{
    struct mqtt_frame f;

    assert_int_equal(peek("", &f), 0);
    assert_int_equal(f.size, 0);
    assert_int_equal(peek("82", &f), 0);
    assert_int_equal(f.size, 0);
    assert_int_equal(f.type, MQTT_SUBSCRIBE);
    assert_int_equal(f.flags, 2);
    assert_int_equal(peek("30 05 00", &f), 0);
    assert_int_equal(f.size, 7);
    assert_int_equal(peek("30 80", &f), 0);
    assert_int_equal(f.size, 0);
    assert_int_equal(peek("30 FF FF FF", &f), 0);
    assert_int_equal(f.size, 0);
    /* the caller sees a huge packet before it buffers it */
    assert_int_equal(peek("30 FF FF FF 7F", &f), 0);
    assert_int_equal(f.size, 268435455 + 5);
}

/* The table of the specification: the edges of each length. */
static void lengths(void **state)
{
    static const struct {
        const char *bytes;
        uint32_t body, header;
    } cases[] = {
        {"30 7F", 127, 2},         {"30 80 01", 128, 3},        {"30 FF 7F", 16383, 3},
        {"30 80 80 01", 16384, 4}, {"30 FF FF 7F", 2097151, 4}, {"30 80 80 80 01", 2097152, 5},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct mqtt_frame f;
        struct wire head = wire_of(cases[i].bytes);
        size_t size = cases[i].body + cases[i].header;
        struct wire whole = {calloc(1, size), size};

        assert_int_equal(mqtt_frame_peek(head.ptr, head.len, &f), 0);
        assert_int_equal(f.size, size);
        memcpy(whole.ptr, head.ptr, head.len);
        assert_int_equal(mqtt_frame_peek(whole.ptr, size - 1, &f), 0);
        assert_int_equal(mqtt_frame_peek(whole.ptr, size, &f), 1);
        assert_int_equal(f.body.len, cases[i].body);
        assert_ptr_equal(f.body.ptr, whole.ptr + cases[i].header);
        wire_free(&head);
        wire_free(&whole);
    }
}

/* [MQTT-1.5.5-1] */
static void over_long(void **state)
{
    struct mqtt_frame f;

    assert_int_equal(peek("30 80 00", &f), -1);
    assert_int_equal(peek("30 85 80 00", &f), -1);
    assert_int_equal(peek("30 FF FF FF 00", &f), -1);
    assert_int_equal(peek("30 80 80 80 80", &f), -1);
    assert_int_equal(peek("30 FF FF FF FF 01", &f), -1);
}

static void names(void **state)
{
    assert_string_equal(mqtt_type_name(MQTT_CONNECT), "CONNECT");
    assert_string_equal(mqtt_type_name(MQTT_AUTH), "AUTH");
    assert_string_equal(mqtt_type_name(0), "reserved");
    assert_string_equal(mqtt_type_name(16), "reserved");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(complete),  cmocka_unit_test(partial), cmocka_unit_test(lengths),
        cmocka_unit_test(over_long), cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
