/* How messages look on a terminal and in a pipe. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/dial.h"
#include "ctl/format.h"

/* Formats into memory; the time is cut out of JSON by the caller's expectation. */
static char *print(const struct format *f, const struct mqtt_publish *m, size_t *len)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, len);

    assert_non_null(out);
    format_message(out, f, m);
    fclose(out);
    return text;
}

static void expect(const struct format *f, const struct mqtt_publish *m, struct str want)
{
    size_t len = 0;
    char *got = print(f, m, &len);

    if (len != want.len || memcmp(got, want.ptr, len) != 0)
        fail_msg("got '%s', want '%.*s'", got, STR_ARG(want));
    free(got);
}

static struct mqtt_publish message(struct str payload)
{
    return (struct mqtt_publish){
        .topic = STR("a/b"), .payload = payload, .qos = 1, .packet_id = 9, .expiry = UINT32_MAX};
}

static void plain(void **state)
{
    struct mqtt_publish m = message(STR("x\0y"));

    expect(&(struct format){0}, &m, STR("x\0y\n"));
    expect(&(struct format){.verbose = true}, &m, STR("a/b x\0y\n"));
    expect(&(struct format){.no_newline = true}, &m, STR("x\0y"));
    expect(&(struct format){.hex = true, .verbose = true}, &m, STR("a/b 780079\n"));
    m.payload = STR_NONE;
    expect(&(struct format){0}, &m, STR("\n"));
}

static void templates(void **state)
{
    struct mqtt_publish m = message(STR("hi"));
    struct bytes props = {0};

    bytes_add(&props, "\x0b\x07\x0b\x80\x01", 5); /* subscription identifiers 7 and 128 */
    assert_int_equal(0, dial_put_user_prop(&props, "k=v=w"));
    assert_int_equal(0, dial_put_user_prop(&props, "k="));
    m.retain = true;
    m.props = bytes_str(&props);
    m.content_type = STR("text/plain");
    m.expiry = 30;
    expect(&(struct format){.template = "%t|%p|%x|%q|%r|%l|%m|%C|%E|%S|%P|%R|%D|%A|%%\\t\\\\"}, &m,
           STR("a/b|hi|6869|1|1|2|9|text/plain|30|7 128|k:v=w k:||||%\t\\\n"));
    expect(&(struct format){.template = "%p\\0", .no_newline = true}, &m, STR("hi\0"));
    bytes_fini(&props);
}

static void json(void **state)
{
    struct mqtt_publish m = message(STR("\"\\\n\t\x01\xc3\xbc\0"));
    struct format f = {.json = true};
    size_t len;
    char *got = print(&f, &m, &len);

    assert_non_null(strstr(got, "\"topic\":\"a/b\",\"qos\":1,\"retain\":0,\"dup\":0,"
                                "\"payloadlen\":8,\"mid\":9,"
                                "\"payload\":\"\\\"\\\\\\n\\t\\u0001\xc3\xbc\\u0000\"}\n"));
    free(got);
    m.payload = STR("\xff\xfe");
    got = print(&f, &m, &len);
    assert_non_null(strstr(got, "\"payload_base64\":\"//4=\"}\n"));
    assert_null(strstr(got, "\"payload\""));
    free(got);
}

static void json_properties(void **state)
{
    struct mqtt_publish m = message(STR("1"));
    struct bytes props = {0};
    struct format f = {.json = true};
    size_t len;
    char *got;

    bytes_add(&props, "\x0b\x07", 2);
    dial_put_user_prop(&props, "a=1");
    dial_put_user_prop(&props, "a=2");
    m.props = bytes_str(&props);
    m.payload_format = 1;
    m.correlation_data = STR("\x80");
    m.response_topic = STR("r");
    got = print(&f, &m, &len);
    assert_non_null(strstr(got, "\"properties\":{\"payload-format-indicator\":1,"
                                "\"response-topic\":\"r\",\"correlation-data_base64\":\"gA==\","
                                "\"subscription-identifiers\":[7],"
                                "\"user-properties\":[{\"a\":\"1\"},{\"a\":\"2\"}]}"));
    free(got);
    bytes_fini(&props);
}

static void bad_templates_are_refused(void **state)
{
    struct arg_command c = {.name = "test"};

    assert_int_equal(0, format_check(&(struct format){.template = "%t %% \\n"}, &c));
    assert_int_equal(-1, format_check(&(struct format){.template = "%k"}, &c));
    assert_int_equal(-1, format_check(&(struct format){.template = "%"}, &c));
    assert_int_equal(-1, format_check(&(struct format){.template = "\\"}, &c));
    assert_int_equal(-1, format_check(&(struct format){.template = "\\q"}, &c));
    assert_int_equal(-1, format_check(&(struct format){.json = true, .hex = true}, &c));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain),
        cmocka_unit_test(templates),
        cmocka_unit_test(json),
        cmocka_unit_test(json_properties),
        cmocka_unit_test(bad_templates_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
