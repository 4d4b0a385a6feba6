/* Topic names, filters, shares, matching; and the two scanners against each other. */
#include "wire.h"

#include "mqtt/scan.h"
#include "mqtt/topic.h"

static enum topic_fault in_exact_block(enum topic_fault (*check)(struct str, unsigned),
                                       struct str s, unsigned levels)
{
    struct wire w = wire_copy(s.ptr, s.len);
    enum topic_fault fault = check((struct str){(const char *)w.ptr, w.len}, levels);

    wire_free(&w);
    return fault;
}

#define NAME(text, levels)   in_exact_block(topic_name_check, STR(text), levels)
#define FILTER(text, levels) in_exact_block(topic_filter_check, STR(text), levels)

static void names(void **state)
{
    assert_int_equal(NAME("a", 0), TOPIC_OK);
    assert_int_equal(NAME("/", 0), TOPIC_OK);
    assert_int_equal(NAME("//a//", 0), TOPIC_OK);
    assert_int_equal(NAME("$SYS/broker/uptime", 0), TOPIC_OK);
    assert_int_equal(NAME("with space and a dollar $ inside/\x01", 0), TOPIC_OK);
    assert_int_equal(NAME("\xef\xbb\xbf"
                          "bom",
                          0),
                     TOPIC_OK); /* [MQTT-1.5.4-3] */
    assert_int_equal(NAME("temp\xc3\xa9rature/\xe6\xb8\xa9\xe5\xba\xa6", 0), TOPIC_OK);
    assert_int_equal(NAME("", 0), TOPIC_EMPTY); /* [MQTT-4.7.3-1] */
}

/* [MQTT-3.3.2-2] [MQTT-4.7.0-1] [MQTT-4.7.1-1] */
static void names_without_wildcards(void **state)
{
    assert_int_equal(NAME("+", 0), TOPIC_WILDCARD);
    assert_int_equal(NAME("#", 0), TOPIC_WILDCARD);
    assert_int_equal(NAME("a/b+", 0), TOPIC_WILDCARD);
    assert_int_equal(NAME("a/level of more than sixteen bytes/#", 0), TOPIC_WILDCARD);
}

/* [MQTT-4.7.3-2] [MQTT-1.5.4-1] [MQTT-1.5.4-2] */
static void names_are_text(void **state)
{
    assert_int_equal(NAME("a\0b", 0), TOPIC_NUL);
    assert_int_equal(NAME("\0", 0), TOPIC_NUL);
    assert_int_equal(NAME("sixteen bytes of\0", 0), TOPIC_NUL);
    assert_int_equal(NAME("a/\xed\xa0\x80", 0), TOPIC_UTF8);
    assert_int_equal(NAME("a/\xc0\xaf", 0), TOPIC_UTF8);
    assert_int_equal(NAME("cut/\xe6\xb8", 0), TOPIC_UTF8);
    assert_int_equal(FILTER("a\0b/#", 0), TOPIC_NUL);
    assert_int_equal(FILTER("+/\xff", 0), TOPIC_UTF8);
}

/* [MQTT-4.7.3-3] */
static void longest(void **state)
{
    struct wire w = {malloc(65536), 65536};

    memset(w.ptr, 'x', w.len);
    assert_int_equal(topic_name_check((struct str){(char *)w.ptr, 65535}, 1), TOPIC_OK);
    assert_int_equal(topic_filter_check((struct str){(char *)w.ptr, 65535}, 1), TOPIC_OK);
    assert_int_equal(topic_name_check((struct str){(char *)w.ptr, 65536}, 0), TOPIC_TOO_LONG);
    assert_int_equal(topic_filter_check((struct str){(char *)w.ptr, 65536}, 0), TOPIC_TOO_LONG);
    memset(w.ptr, '/', w.len);
    assert_int_equal(topic_name_check((struct str){(char *)w.ptr, 65535}, 65535), TOPIC_DEPTH);
    assert_int_equal(topic_name_check((struct str){(char *)w.ptr, 65535}, 65536), TOPIC_OK);
    wire_free(&w);
}

static void depth(void **state)
{
    assert_int_equal(NAME("a", 1), TOPIC_OK);
    assert_int_equal(NAME("a/", 1), TOPIC_DEPTH);
    assert_int_equal(NAME("a/b/c", 3), TOPIC_OK);
    assert_int_equal(NAME("a/b/c/d", 3), TOPIC_DEPTH);
    assert_int_equal(FILTER("a/+/#", 3), TOPIC_OK);
    assert_int_equal(FILTER("a/+/b/#", 3), TOPIC_DEPTH);
    assert_int_equal(FILTER("$share/g/a/b/c", 3), TOPIC_OK);
    assert_int_equal(FILTER("$share/g/a/b/c/d", 3), TOPIC_DEPTH);
}

/* [MQTT-4.7.1-1] [MQTT-4.7.1-2] [MQTT-4.7.1-3] */
static void filters(void **state)
{
    assert_int_equal(FILTER("#", 0), TOPIC_OK);
    assert_int_equal(FILTER("+", 0), TOPIC_OK);
    assert_int_equal(FILTER("/#", 0), TOPIC_OK);
    assert_int_equal(FILTER("+/+/#", 0), TOPIC_OK);
    assert_int_equal(FILTER("a/+/b", 0), TOPIC_OK);
    assert_int_equal(FILTER("/+", 0), TOPIC_OK);
    assert_int_equal(FILTER("$SYS/#", 0), TOPIC_OK);
    assert_int_equal(FILTER("", 0), TOPIC_EMPTY);
    assert_int_equal(FILTER("a#", 0), TOPIC_WILDCARD);
    assert_int_equal(FILTER("#/a", 0), TOPIC_WILDCARD);
    assert_int_equal(FILTER("a/#/b", 0), TOPIC_WILDCARD);
    assert_int_equal(FILTER("##", 0), TOPIC_WILDCARD);
    assert_int_equal(FILTER("a/#/", 0), TOPIC_WILDCARD);
    assert_int_equal(FILTER("a+", 0), TOPIC_WILDCARD);
    assert_int_equal(FILTER("+a", 0), TOPIC_WILDCARD);
    assert_int_equal(FILTER("++", 0), TOPIC_WILDCARD);
    assert_int_equal(FILTER("a/+b/c", 0), TOPIC_WILDCARD);
    assert_int_equal(FILTER("+#", 0), TOPIC_WILDCARD);
}

/* [MQTT-4.8.2-1] [MQTT-4.8.2-2] */
static void shares(void **state)
{
    assert_int_equal(FILTER("$share/g/a", 0), TOPIC_OK);
    assert_int_equal(FILTER("$share/g/#", 0), TOPIC_OK);
    assert_int_equal(FILTER("$share/g//", 0), TOPIC_OK);
    assert_int_equal(FILTER("$share", 0), TOPIC_OK);
    assert_int_equal(FILTER("$shared/g", 0), TOPIC_OK);
    assert_int_equal(FILTER("$share/", 0), TOPIC_SHARE);
    assert_int_equal(FILTER("$share//a", 0), TOPIC_SHARE);
    assert_int_equal(FILTER("$share/g", 0), TOPIC_SHARE);
    assert_int_equal(FILTER("$share/g/", 0), TOPIC_SHARE);
    assert_int_equal(FILTER("$share/g+/a", 0), TOPIC_SHARE);
    assert_int_equal(FILTER("$share/+/a", 0), TOPIC_SHARE);
    assert_int_equal(FILTER("$share/#/a", 0), TOPIC_SHARE);
    assert_int_equal(FILTER("$share/#", 0), TOPIC_SHARE);
    assert_int_equal(FILTER("$share/g/a#", 0), TOPIC_WILDCARD);
    assert_int_equal(FILTER("$share/g/#/a", 0), TOPIC_WILDCARD);
}

static void share_split(void **state)
{
    struct str name = STR("untouched"), rest = STR("untouched");

    assert_false(topic_share_split(STR("a/b"), &name, &rest));
    assert_false(topic_share_split(STR("$share"), &name, &rest));
    assert_str(name, "untouched");
    assert_str(rest, "untouched");
    assert_true(topic_share_split(STR("$share/g/a/+/#"), &name, &rest));
    assert_str(name, "g");
    assert_str(rest, "a/+/#");
    assert_true(topic_share_split(STR("$share/group two//"), &name, &rest));
    assert_str(name, "group two");
    assert_str(rest, "/");
}

static void wildcards(void **state)
{
    assert_true(topic_filter_has_wildcard(STR("#")));
    assert_true(topic_filter_has_wildcard(STR("a/+/b")));
    assert_false(topic_filter_has_wildcard(STR("a/b")));
    assert_false(topic_filter_has_wildcard(STR_NONE));
}

/* [MQTT-3.3.2-3] [MQTT-4.7.3-4]: no normalization, every byte counts. */
static void matching(void **state)
{
    static const struct {
        const char *filter, *name;
        bool want;
    } cases[] = {
        {"a", "a", true},
        {"a", "A", false},
        {"a", "a/", false},
        {"a/", "a", false},
        {"a", "/a", false},
        {"a/b", "a/b", true},
        {"a/b", "a/bc", false},
        {"#", "a", true},
        {"#", "/", true},
        {"#", "a/b/c", true},
        {"a/#", "a", true}, /* the parent level */
        {"a/#", "a/", true},
        {"a/#", "a/b/c", true},
        {"a/#", "ab", false},
        {"a/b/#", "a", false},
        {"+", "a", true},
        {"+", "/", false},
        {"+", "a/b", false},
        {"+/+", "/", true},
        {"/+", "/finance", true},
        {"+/+", "/finance", true},
        {"+", "/finance", false},
        {"+/", "a/", true},
        {"+/", "a", false},
        {"a/+/c", "a/b/c", true},
        {"a/+/c", "a//c", true},
        {"a/+/c", "a/b/d", false},
        {"a/+", "a", false},
        {"a/+/#", "a/b", true},
        {"a/+/#", "a", false},
        {"+/#", "a", true},
        {"+/#", "/", true},
        {"//", "//", true},
        {"//", "/", false},
        {"\xc3\xa9", "e\xcc\x81", false}, /* composed and not */
        {"sport/tennis/player1/#", "sport/tennis/player1", true},
        {"sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (topic_matches(str_of(cases[i].filter), str_of(cases[i].name)) != cases[i].want)
            fail_msg("%s on %s is not %d", cases[i].filter, cases[i].name, cases[i].want);
}

/* [MQTT-4.7.2-1] */
static void dollar_topics(void **state)
{
    assert_false(topic_matches(STR("#"), STR("$SYS/x")));
    assert_false(topic_matches(STR("+/x"), STR("$SYS/x")));
    assert_false(topic_matches(STR("+"), STR("$")));
    assert_true(topic_matches(STR("$SYS/#"), STR("$SYS/x")));
    assert_true(topic_matches(STR("$SYS/#"), STR("$SYS")));
    assert_true(topic_matches(STR("$SYS/+"), STR("$SYS/x")));
    assert_true(topic_matches(STR("a/+"), STR("a/$x")));
    assert_true(topic_matches(STR("a/#"), STR("a/$x")));
}

/* Every kind of byte at every place of topics of 0 to 70 bytes. */
static void scanners_agree(void **state)
{
    static const uint8_t kinds[] = {0, '+', '#', '/', 0x80, 0xFF, 'a'};

    for (size_t len = 0; len <= 70; len++) {
        for (size_t at = 0; at < (len ? len : 1); at++) {
            for (size_t k = 0; k < sizeof kinds; k++) {
                struct wire w = {malloc(len ? len : 1), len};
                struct scan a, b;
                for (size_t i = 0; i < len; i++)
                    w.ptr[i] = i % 5 == len % 5 ? '/' : 'x';
                if (len)
                    w.ptr[at] = kinds[k];
                a = scan_topic((struct str){(char *)w.ptr, len});
                b = scan_topic_portable((struct str){(char *)w.ptr, len});
                if (a.seen != b.seen || a.slashes != b.slashes)
                    fail_msg("length %zu, byte %02x at %zu", len, kinds[k], at);
                wire_free(&w);
            }
        }
    }
}

static void texts(void **state)
{
    for (int fault = TOPIC_OK; fault <= TOPIC_SHARE; fault++)
        assert_true(strlen(topic_fault_text((enum topic_fault)fault)) > 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),          cmocka_unit_test(names_without_wildcards),
        cmocka_unit_test(names_are_text), cmocka_unit_test(longest),
        cmocka_unit_test(depth),          cmocka_unit_test(filters),
        cmocka_unit_test(shares),         cmocka_unit_test(share_split),
        cmocka_unit_test(wildcards),      cmocka_unit_test(matching),
        cmocka_unit_test(dollar_topics),  cmocka_unit_test(scanners_agree),
        cmocka_unit_test(texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
