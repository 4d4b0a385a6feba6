/* Addresses as they are written, and what makes two connections the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "conf.h"

static void address_is(const struct connection_conf *c, const char *written, const char *address,
                       const char *host)
{
    char *got = conf_address(c, written), name[64];

    assert_string_equal(got, address);
    conf_host(got, name, sizeof name);
    assert_string_equal(name, host);
    free(got);
}

static void ports_follow_from_the_transport(void **state)
{
    struct connection_conf c = {0};

    address_is(&c, "example.com", "example.com:1883", "example.com");
    address_is(&c, "example.com:1", "example.com:1", "example.com");
    address_is(&c, "192.0.2.1", "192.0.2.1:1883", "192.0.2.1");
    address_is(&c, "2001:db8::1", "[2001:db8::1]:1883", "2001:db8::1");
    address_is(&c, "[2001:db8::1]", "[2001:db8::1]:1883", "2001:db8::1");
    address_is(&c, "[2001:db8::1]:7", "[2001:db8::1]:7", "2001:db8::1");
    c.tls.block.place.file = "skep.conf";
    address_is(&c, "example.com", "example.com:8883", "example.com");
    c.websocket = "/mqtt";
    address_is(&c, "example.com", "example.com:443", "example.com");
    c.tls.block.place.file = NULL;
    address_is(&c, "example.com", "example.com:80", "example.com");
    address_is(&c, "unix:/run/x.sock", "unix:/run/x.sock", "unix");
}

static void whatever_differs_shows_in_the_digest(void **state)
{
    static const char *const words[] = {"out", "a/#"}, *const others[] = {"out", "b/#"};
    struct skep_list line = {.items = words, .count = 2}, other = {.items = others, .count = 2};
    struct connection_conf a = {.block.label = "m", .topic = {&line, 1}}, b = a;
    uint8_t first[32], second[32];

    conf_digest(&a, first);
    conf_digest(&b, second);
    assert_memory_equal(first, second, 32);
#define DIFFERS(change)                                                                            \
    b = a;                                                                                         \
    change;                                                                                        \
    conf_digest(&b, second);                                                                       \
    assert_memory_not_equal(first, second, 32)
    DIFFERS(b.block.label = "n");
    DIFFERS(b.topic.items = &other);
    DIFFERS(b.password.value = SKEP_STR("x"));
    DIFFERS(b.username = "");
    DIFFERS(b.keep_alive = 1);
    DIFFERS(b.live_first = true);
    DIFFERS(b.window_qos2 = 7);
    DIFFERS(b.tls.ca = "/nowhere");
    DIFFERS(b.tls.block.place.file = "skep.conf");
    DIFFERS(b.version = 1);
#undef DIFFERS
}

static void a_changed_file_shows_too(void **state)
{
    char path[] = "/tmp/bridge_conf_test.XXXXXX";
    struct connection_conf a = {.block.label = "m", .tls.ca = path};
    uint8_t first[32], second[32];
    FILE *f = fdopen(mkstemp(path), "w");

    fputs("one", f);
    fflush(f);
    conf_digest(&a, first);
    fputs("two", f);
    fclose(f);
    conf_digest(&a, second);
    assert_memory_not_equal(first, second, 32);
    remove(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ports_follow_from_the_transport),
        cmocka_unit_test(whatever_differs_shows_in_the_digest),
        cmocka_unit_test(a_changed_file_shows_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
