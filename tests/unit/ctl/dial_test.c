/* From options to a CONNECT: URLs, versions, passwords, wills, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "ctl/dial.h"
#include "ctl/url.h"

static struct arg_command command;
static const char *url_topic;

/* Parses words up to NULL and makes the CONNECT.  0 or -1. */
static int dial(struct dial *d, const char **words)
{
    static char *argv[40];
    int argc = 1, err;

    dial_init(d);
    command = (struct arg_command){.name = "test", .sets = {{dial_options, d}}};
    argv[0] = (char *)"test";
    for (; words[argc - 1]; argc++)
        argv[argc] = (char *)words[argc - 1];
    err = arg_parse(&command, argc, argv);
    return err < 0 ? err : dial_finish(d, &command, &url_topic);
}

#define DIAL(d, ...) dial((d), (const char *[]){__VA_ARGS__, NULL})

static void urls(void **state)
{
    static const struct {
        const char *url, *host, *user, *password, *path, *topic;
        unsigned port;
        bool tls, ws;
    } cases[] = {
        {"mqtt://h", "h", NULL, NULL, NULL, NULL, 1883, false, false},
        {"mqtt://h:99/a/b%2fc", "h", NULL, NULL, NULL, "a/b/c", 99, false, false},
        {"mqtts://u:p%40@h", "h", "u", "p@", NULL, NULL, 8883, true, false},
        {"mqtt://u@[::1]:7", "::1", "u", NULL, NULL, NULL, 7, false, false},
        {"ws://h/x/y", "h", NULL, NULL, "x/y", NULL, 80, false, true},
        {"wss://h:444", "h", NULL, NULL, NULL, NULL, 444, true, true},
        {"mqtt://a@b:c@h", "h", "a@b", "c", NULL, NULL, 1883, false, false},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct dial d;

        assert_int_equal(0, DIAL(&d, "-L", cases[i].url));
        assert_string_equal(cases[i].host, d.conf.link.host);
        assert_int_equal(cases[i].port, link_conf_port(&d.conf.link));
        assert_int_equal(cases[i].tls, link_conf_secure(&d.conf.link));
        assert_int_equal(cases[i].ws, d.conf.link.websocket);
        assert_true(str_eq(str_of(cases[i].user), d.conf.connect.username));
        assert_true(str_eq(str_of(cases[i].password), d.conf.connect.password));
        assert_true(str_eq(str_of(cases[i].path), str_of(d.conf.link.ws_path)));
        assert_true(str_eq(str_of(cases[i].topic), str_of(url_topic)));
        dial_fini(&d);
    }
}

static void bad_urls(void **state)
{
    static const char *const wrong[] = {"h:1883",      "http://h",      "mqtt://",
                                        "mqtt://:1",   "mqtt://h:0",    "mqtt://h:x",
                                        "mqtt://[::1", "mqtt://[::1]x", "mqtt://u:%zz@h",
                                        "mqtt://h/%0", "mqtt://h/%00"};

    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct dial d;

        if (DIAL(&d, "-L", wrong[i]) == 0)
            fail_msg("accepted: %s", wrong[i]);
        dial_fini(&d);
    }
}

static void defaults(void **state)
{
    struct dial d, other;

    assert_int_equal(0, DIAL(&d, "-k", "30"));
    assert_int_equal(MQTT_50, d.conf.connect.version);
    assert_true(d.conf.connect.clean_start);
    assert_false(d.conf.connect.has_username);
    assert_false(d.conf.connect.has_password);
    assert_int_equal(30, d.conf.connect.keep_alive);
    assert_true(str_starts(d.conf.connect.client_id, STR("skepctl-")));
    assert_int_equal(0, DIAL(&other, "-k", "30"));
    assert_false(str_eq(d.conf.connect.client_id, other.conf.connect.client_id));
    dial_fini(&d);
    dial_fini(&other);
}

static void passwords(void **state)
{
    char path[] = "/tmp/dial_testXXXXXX";
    int fd = mkstemp(path);
    struct dial d;

    assert_int_equal(9, write(fd, "se cret\r\n", 9));
    close(fd);
    assert_int_equal(0, DIAL(&d, "-u", "u", "--password-file", path));
    assert_true(str_eq(STR("se cret"), d.conf.connect.password));
    dial_fini(&d);
    unlink(path);

    setenv("DIAL_TEST_PASSWORD", "from env", 1);
    assert_int_equal(0, DIAL(&d, "-u", "u", "--password-env", "DIAL_TEST_PASSWORD"));
    assert_true(str_eq(STR("from env"), d.conf.connect.password));
    dial_fini(&d);
    assert_int_equal(0, DIAL(&d, "-u", "u", "-P", "")); /* empty is not absent */
    assert_true(d.conf.connect.has_password);
    assert_int_equal(0, d.conf.connect.password.len);
    dial_fini(&d);
}

static void wills(void **state)
{
    struct dial d;
    struct mqtt_prop_item item;
    struct str rest;

    assert_int_equal(0, DIAL(&d, "--will-topic", "w", "--will-payload", "gone", "--will-qos", "2",
                             "--will-retain", "--will-delay", "5", "--will-property", "a=b",
                             "--will-content-type", "t/p"));
    assert_true(d.conf.connect.has_will);
    assert_int_equal(2, d.conf.connect.will.qos);
    assert_true(d.conf.connect.will.retain);
    assert_int_equal(5, d.conf.connect.will.delay);
    rest = d.conf.connect.will.props;
    assert_int_equal(1, mqtt_prop_next(&rest, &item));
    assert_int_equal(PROP_CONTENT_TYPE, item.id);
    assert_true(str_eq(STR("t/p"), item.value));
    assert_int_equal(1, mqtt_prop_next(&rest, &item));
    assert_int_equal(PROP_USER_PROPERTY, item.id);
    assert_true(str_eq(STR("a"), item.name));
    assert_true(str_eq(STR("b"), item.value));
    assert_int_equal(0, mqtt_prop_next(&rest, &item));
    dial_fini(&d);
}

static void what_cannot_be_meant_is_refused(void **state)
{
    static const char *const wrong[][7] = {
        {"-V", "4"},
        {"-V", "311", "-x", "10"},
        {"-V", "31", "--connect-property", "a=b"},
        {"-V", "311", "--will-topic", "w", "--will-delay", "1"},
        {"-V", "311", "--will-topic", "w", "--will-content-type", "x"},
        {"-V", "311", "-P", "x"},
        {"--connect-property", "novalue"},
        {"-x", "soon"},
        {"-c"},
        {"-i", "a", "-I", "b"},
        {"-P", "x", "--password-file", "y"},
        {"--password-file", "/nonexistent"},
        {"--password-env", "NO_SUCH_VARIABLE_HERE"},
        {"--will-payload", "x"},
        {"--will-topic", "a/#"},
        {"--unix", "/x", "-h", "y"},
        {"-p", "65536"},
    };

    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct dial d;
        const char *words[8] = {NULL};

        memcpy(words, wrong[i], sizeof wrong[i]);
        if (dial(&d, words) == 0)
            fail_msg("accepted: case %zu (%s)", i, wrong[i][0]);
        dial_fini(&d);
    }
}

static void expiry(void **state)
{
    struct dial d;

    assert_int_equal(0, DIAL(&d, "-x", "never"));
    assert_int_equal(UINT32_MAX, d.conf.connect.session_expiry);
    dial_fini(&d);
    assert_int_equal(0, DIAL(&d, "-x", "60"));
    assert_int_equal(60, d.conf.connect.session_expiry);
    dial_fini(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urls),     cmocka_unit_test(bad_urls),
        cmocka_unit_test(defaults), cmocka_unit_test(passwords),
        cmocka_unit_test(wills),    cmocka_unit_test(what_cannot_be_meant_is_refused),
        cmocka_unit_test(expiry),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
