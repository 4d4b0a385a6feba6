#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/err.h"
#include "conf/near.h"
#include "conf/value.h"

typedef int parser(struct str s, uint64_t *out, struct value_error *e);

static void good(parser *parse, const char *text, uint64_t wanted)
{
    struct value_error e;
    uint64_t n = 42;

    assert_int_equal(parse(str_of(text), &n, &e), 0);
    assert_int_equal(n, wanted);
}

static void bad(parser *parse, const char *text, const char *message)
{
    struct value_error e;
    uint64_t n;

    assert_int_equal(parse(str_of(text), &n, &e), ERR_SYNTAX);
    assert_string_equal(e.message, message);
}

static void numbers(void **state)
{
    good(value_uint, "0", 0);
    good(value_uint, "18446744073709551615", UINT64_MAX);
    bad(value_uint, "18446744073709551616", "18446744073709551616 is too large a number");
    bad(value_uint, "", "'' is not a number");
    bad(value_uint, "-1", "'-1' is not a number");
    bad(value_uint, "1k", "'1k' is not a number");
    bad(value_uint, "0x10", "'0x10' is not a number");
}

static void sizes(void **state)
{
    good(value_size, "512", 512);
    good(value_size, "64k", 65536);
    good(value_size, "1M", 1 << 20);
    good(value_size, "2gb", UINT64_C(2) << 30);
    bad(value_size, "1kib", "unknown unit 'kib'");
    bad(value_size, "k", "'k' is not a size");
    bad(value_size, "1.5m", "unknown unit '.5m'");
    bad(value_size, "99999999999999t", "99999999999999t is too large a size");
}

static void durations(void **state)
{
    good(value_duration, "0", 0);
    good(value_duration, "500ms", 500);
    good(value_duration, "30s", 30000);
    good(value_duration, "5m", 300000);
    good(value_duration, "1h30m", 5400000);
    good(value_duration, "7d", UINT64_C(604800000));
    bad(value_duration, "30", "the duration '30' has no unit");
    bad(value_duration, "30x", "unknown unit 'x'");
    bad(value_duration, "30sec", "unknown unit 'sec'");
    bad(value_duration, "30m1h", "the units of '30m1h' are out of order");
    bad(value_duration, "1h1h", "the units of '1h1h' are out of order");
    bad(value_duration, "9999999999999999d", "9999999999999999d is too long a duration");
    bad(value_duration, "s", "'s' is not a duration");
}

static void rates_and_modes(void **state)
{
    good(value_rate, "100/s", 100);
    good(value_rate, "64k/s", 65536);
    bad(value_rate, "100", "'100' is not a rate");
    bad(value_rate, "/s", "'/s' is not a rate");
    bad(value_rate, "100/m", "'100/m' is not a rate");
    good(value_mode, "0660", 0660);
    good(value_mode, "600", 0600);
    bad(value_mode, "0888", "'0888' is not a file mode");
    bad(value_mode, "7777", "'7777' is not a file mode");
    bad(value_mode, "", "'' is not a file mode");
    bad(value_mode, "00000000000000000000000660",
        "'00000000000000000000000660' is not a file mode");
}

static void switches(void **state)
{
    struct value_error e;
    bool on;

    assert_int_equal(value_bool(STR("on"), &on, &e), 0);
    assert_true(on);
    assert_int_equal(value_bool(STR("deny"), &on, &e), 0);
    assert_false(on);
    assert_int_equal(value_bool(STR("ON"), &on, &e), ERR_SYNTAX);
    assert_int_equal(value_bool(STR("1"), &on, &e), ERR_SYNTAX);
}

static void choices_suggest(void **state)
{
    struct value_error e;
    uint64_t n;

    assert_int_equal(value_choice(STR("sticky"), "round_robin|sticky|hash", &n, &e), 0);
    assert_int_equal(n, 1);
    assert_int_equal(value_choice(STR("round-robin"), "round_robin|sticky|hash", &n, &e),
                     ERR_SYNTAX);
    assert_string_equal(e.message, "'round-robin' is not one of round_robin|sticky|hash");
    assert_string_equal(e.hint, "did you mean round_robin?");
    assert_int_equal(value_choice(STR(""), "a|b", &n, &e), ERR_SYNTAX);
    assert_int_equal(value_choice(STR("a|b"), "a|b", &n, &e), ERR_SYNTAX);
}

static void address(const char *text, const char *host, int port, bool v6, bool loopback)
{
    struct value_address a;
    struct value_error e;

    assert_int_equal(value_address(str_of(text), &a, &e), 0);
    assert_true(str_eq(a.host, str_of(host)));
    assert_int_equal(a.has_port ? a.port : -1, port);
    assert_int_equal(a.is_v6, v6);
    assert_int_equal(a.is_loopback, loopback);
}

/* What counts as this machine decides who gets in without a name. */
static void addresses(void **state)
{
    struct value_address a;
    struct value_error e;
    static const char *const wrong[] = {
        "",
        "1883",
        ":1883",
        "localhost:1883",
        "*:1883",
        "127.0.0.1:",
        "127.0.0.1:65536",
        "127.0.0.1:1883x",
        "127.0.0.1:-1",
        "256.1.1.1:1",
        "[::1",
        "[::1]1883",
        "[]:1",
        "::1]:1",
        "[127.0.0.1]:1",
        "unix:",
        "127.1:1883",
        "0x7f.0.0.1:1",
    };

    address("127.0.0.1:1883", "127.0.0.1", 1883, false, true);
    address("127.9.9.9", "127.9.9.9", -1, false, true);
    address("0.0.0.0:0", "0.0.0.0", 0, false, false);
    address("192.0.2.1:8883", "192.0.2.1", 8883, false, false);
    address("[::1]:1883", "::1", 1883, true, true);
    address("::1", "::1", -1, true, true);
    address("[::]:1883", "::", 1883, true, false);
    address("[::ffff:127.0.0.1]:1", "::ffff:127.0.0.1", 1, true, true);
    address("[::ffff:10.0.0.1]:1", "::ffff:10.0.0.1", 1, true, false);
    address("[fe80::1%eth0]:1", "fe80::1%eth0", 1, true, false);
    assert_int_equal(value_address(STR("unix:/run/x.sock"), &a, &e), 0);
    assert_true(a.is_unix && a.is_loopback && str_eq(a.host, STR("/run/x.sock")));
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(value_address(str_of(wrong[i]), &a, &e), ERR_SYNTAX);
}

static void printing_is_canonical(void **state)
{
    struct arena a = {0};

    assert_string_equal(value_print_size(&a, 0), "0");
    assert_string_equal(value_print_size(&a, 65535), "65535");
    assert_string_equal(value_print_size(&a, 1 << 20), "1m");
    assert_string_equal(value_print_size(&a, 1536 << 10), "1536k");
    assert_string_equal(value_print_duration(&a, 0), "0");
    assert_string_equal(value_print_duration(&a, 90000), "90s");
    assert_string_equal(value_print_duration(&a, 1500), "1500ms");
    assert_string_equal(value_print_duration(&a, 86400000), "1d");
    assert_string_equal(value_quote(&a, STR("plain/path-1.conf")), "plain/path-1.conf");
    assert_string_equal(value_quote(&a, STR("")), "\"\"");
    assert_string_equal(value_quote(&a, STR("a b;\"\\\n")), "\"a b;\\\"\\\\\\x0a\"");
    assert_string_equal(value_quote(&a, STR("#x")), "\"#x\"");
    arena_fini(&a);
}

static void near_names(void **state)
{
    struct near n;

    assert_int_equal(near_distance(STR("max_packet"), STR("max_packet")), 0);
    assert_int_equal(near_distance(STR("max_pakcet"), STR("max_packet")), 1); /* a swap */
    assert_int_equal(near_distance(STR("Max-Packet"), STR("max_packet")), 0);
    assert_int_equal(near_distance(STR(""), STR("abc")), 3);
    assert_int_equal(near_distance(STR("kitten"), STR("sitting")), 3);
    near_init(&n, STR("lisener"));
    near_offer(&n, STR("limits"));
    near_offer(&n, STR("listener"));
    assert_true(str_eq(near_best(&n), STR("listener")));
    near_init(&n, STR("zzz"));
    near_offer(&n, STR("limits"));
    assert_int_equal(near_best(&n).len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers),    cmocka_unit_test(sizes),
        cmocka_unit_test(durations),  cmocka_unit_test(rates_and_modes),
        cmocka_unit_test(switches),   cmocka_unit_test(choices_suggest),
        cmocka_unit_test(addresses),  cmocka_unit_test(printing_is_canonical),
        cmocka_unit_test(near_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
