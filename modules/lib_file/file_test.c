/* Networks, texts made printable, UTF-8, maps, and files as they lie on the disk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "fault.h"
#include "map.h"
#include "net.h"
#include "text.h"
#include "utf8.h"

static void networks(void **state)
{
    static const char *const wrong[] = {
        "",           "10.0.0.0/33", "10.0.0.1/8",  "10.0.0.0/",       "10.0.0/8", "::1/129",
        "fe80::1/64", "10.0.0.0/8x", "10.0.0.0/-1", "10.0.0.0/008888", "name",     "1.2.3.4\0x"};
    static const struct {
        const char *net, *address;
        bool holds;
    } cases[] = {
        {"10.0.0.0/8", "10.255.1.2", true},
        {"10.0.0.0/8", "11.0.0.0", false},
        {"192.0.2.128/25", "192.0.2.200", true},
        {"192.0.2.128/25", "192.0.2.127", false},
        {"192.0.2.7", "192.0.2.7", true},
        {"192.0.2.7", "192.0.2.6", false},
        {"192.0.2.7", "::ffff:192.0.2.7", true},
        {"0.0.0.0/0", "8.8.8.8", true},
        {"0.0.0.0/0", "::1", false},
        {"::/0", "8.8.8.8", true}, /* all addresses there are */
        {"2001:db8::/33", "2001:db8:7fff::1", true},
        {"2001:db8::/33", "2001:db8:8000::1", false},
    };
    struct net net;
    struct net_address a;

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0] - 1; i++) {
        if (net_parse(skep_str(wrong[i]), &net))
            fail_msg("taken: %s", wrong[i]);
    }
    assert_false(net_parse(SKEP_STR("1.2.3.4\0x"), &net));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_true(net_parse(skep_str(cases[i].net), &net));
        assert_true(net_address_parse(skep_str(cases[i].address), &a));
        if (net_holds(&net, &a) != cases[i].holds)
            fail_msg("%s and %s", cases[i].net, cases[i].address);
    }
    assert_false(net_address_parse(SKEP_STR("unix"), &a));
    assert_false(net_address_parse(SKEP_STR(""), &a));
}

static void texts_from_outside_are_made_printable(void **state)
{
    char out[20];

    assert_string_equal("alice", printable(out, sizeof out, SKEP_STR("alice")));
    assert_string_equal("", printable(out, sizeof out, SKEP_STR("")));
    assert_string_equal("a\\x0ab\\x00\\x5c", printable(out, sizeof out, SKEP_STR("a\nb\0\\")));
    assert_string_equal("\\x1b[31m", printable(out, sizeof out, SKEP_STR("\x1b[31m")));
    assert_string_equal("aaaaaaaaaaaaaaaa...",
                        printable(out, sizeof out, SKEP_STR("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")));
    for (size_t cap = 8; cap < sizeof out; cap++)
        assert_true(strlen(printable(out, cap, SKEP_STR("\1\2\3\4\5\6\7"))) < cap);
}

static void utf8(void **state)
{
    static const char *const good[] = {"",
                                       "a",
                                       "\xc3\xbc",
                                       "\xe2\x82\xac",
                                       "\xf0\x9f\x98\x80",
                                       "\xf4\x8f\xbf\xbf",
                                       "\xee\x80\x80"};
    static const char *const bad[] = {"\x80",         "\xc3",         "\xc0\x80",
                                      "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80",
                                      "\xff",         "a\xe2\x82",    "\xf8\x88\x80\x80\x80"};

    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_true(text_is_utf8(skep_str(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(text_is_utf8(skep_str(bad[i])));
    assert_false(text_is_utf8(SKEP_STR("a\0b")));
}

static void maps_keep_what_is_put(void **state)
{
    enum { COUNT = 5000 };
    struct region region = {0};
    struct map map = {0};
    char key[20];

    assert_null(map_get(&map, SKEP_STR("x")));
    for (size_t i = 1; i <= COUNT; i++) {
        sprintf(key, "key %zu", i);
        *map_put(&map, &region, region_copy(&region, skep_str(key))) = (void *)i;
    }
    for (size_t i = 1; i <= COUNT; i++) {
        sprintf(key, "key %zu", i);
        assert_true(map_get(&map, skep_str(key)) == (void *)i);
        assert_true(*map_put(&map, &region, skep_str(key)) == (void *)i); /* the same place */
    }
    assert_int_equal(COUNT, map.count);
    assert_null(map_get(&map, SKEP_STR("key 5001")));
    region_fini(&region);
}

static void large_and_small_share_a_region(void **state)
{
    struct region region = {0};
    char *small = region_get(&region, 10), *large = region_get(&region, 1000000);

    for (int i = 0; i < 10000; i++) {
        char *more = region_get(&region, (size_t)i % 50);

        assert_int_equal(0, (uintptr_t)more % _Alignof(max_align_t));
        memset(more, 'x', (size_t)i % 50);
    }
    assert_int_equal(0, small[9]);
    assert_int_equal(0, large[999999]);
    region_fini(&region);
}

static void files_are_read_whole_or_not_at_all(void **state)
{
    char path[] = "/tmp/file_testXXXXXX", why[100];
    struct skep_str text = {0};
    struct file_mark before, after;
    int fd = mkstemp(path);

    assert_true(write(fd, "hello", 5) == 5);
    assert_int_equal(0, file_read(path, 5, &text, &before, why, sizeof why));
    assert_true(skep_str_eq(SKEP_STR("hello"), text));
    file_forget(&text);
    assert_null(text.ptr);
    file_look(path, &after);
    assert_true(file_mark_eq(&before, &after));
    assert_int_equal(-1, file_read(path, 4, &text, &after, why, sizeof why));
    assert_string_equal("it is larger than 4 bytes", why);
    chmod(path, 0640);
    file_look(path, &after);
    assert_false(file_mark_eq(&before, &after));
    close(fd);
    unlink(path);
    file_look(path, &after);
    assert_false(after.there);
    assert_int_equal(-1, file_read(path, 5, &text, &after, why, sizeof why));
    assert_string_equal("No such file or directory", why);
    assert_int_equal(-1, file_read("/tmp", 5, &text, &after, why, sizeof why));
    assert_string_equal("Is a directory", why);
    assert_int_equal(0, mkfifo(path, 0600)); /* would hang whoever opens it to read */
    assert_int_equal(-1, file_read(path, 5, &text, &after, why, sizeof why));
    assert_string_equal("it is not a regular file", why);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(networks),
        cmocka_unit_test(texts_from_outside_are_made_printable),
        cmocka_unit_test(utf8),
        cmocka_unit_test(maps_keep_what_is_put),
        cmocka_unit_test(large_and_small_share_a_region),
        cmocka_unit_test(files_are_read_whole_or_not_at_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
