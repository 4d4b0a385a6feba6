/* UTF-8 against the tables of RFC 3629, at every offset of a word. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/utf8.h"

/* Puts the bytes behind and before 0 to 9 letters, in a block of exactly that size. */
static bool everywhere(struct str s, bool want)
{
    for (size_t before = 0; before < 10; before++) {
        for (size_t after = 0; after < 10; after++) {
            size_t len = before + s.len + after;
            char *copy = malloc(len ? len : 1);
            bool got;
            memset(copy, 'a', len);
            memcpy(copy + before, s.ptr, s.len);
            got = utf8_is_text((struct str){copy, len});
            if (got != utf8_is_valid((struct str){copy, len}))
                fail_msg("text and valid differ without U+0000");
            free(copy);
            if (got != want)
                return false;
        }
    }
    return true;
}

/* [MQTT-1.5.3-3] [MQTT-1.5.4-3]: the mark is text like any other. */
static void well_formed(void **state)
{
    assert_true(utf8_is_text(STR("")));
    assert_true(everywhere(STR("plain"), true));
    assert_true(everywhere(STR("\x01\x1f\x7f"), true));             /* control characters */
    assert_true(everywhere(STR("\xc2\x80"), true));                 /* U+0080 */
    assert_true(everywhere(STR("\xdf\xbf"), true));                 /* U+07FF */
    assert_true(everywhere(STR("\xe0\xa0\x80"), true));             /* U+0800 */
    assert_true(everywhere(STR("\xed\x9f\xbf\xee\x80\x80"), true)); /* around the surrogates */
    assert_true(everywhere(STR("\xef\xbb\xbf"), true));             /* byte order mark */
    assert_true(everywhere(STR("\xef\xbf\xbf\xef\xb7\x90"), true)); /* noncharacters */
    assert_true(everywhere(STR("\xf0\x90\x80\x80"), true));         /* U+10000 */
    assert_true(everywhere(STR("\xf4\x8f\xbf\xbf"), true));         /* U+10FFFF */
    assert_true(everywhere(STR("Gr\xc3\xb6\xc3\x9f"
                               "e \xe6\xb8\xa9\xe5\xba\xa6"),
                           true));
}

/* [MQTT-1.5.3-1] [MQTT-1.5.4-1] */
static void ill_formed(void **state)
{
    assert_true(everywhere(STR("\x80"), false));
    assert_true(everywhere(STR("\xbf"), false));
    assert_true(everywhere(STR("\xc0\x80"), false)); /* over-long NUL */
    assert_true(everywhere(STR("\xc1\xbf"), false));
    assert_true(everywhere(STR("\xe0\x9f\xbf"), false));
    assert_true(everywhere(STR("\xf0\x8f\xbf\xbf"), false));
    assert_true(everywhere(STR("\xed\xa0\x80"), false));             /* U+D800 */
    assert_true(everywhere(STR("\xed\xbf\xbf"), false));             /* U+DFFF */
    assert_true(everywhere(STR("\xed\xa0\xbd\xed\xb8\x80"), false)); /* a CESU-8 pair */
    assert_true(everywhere(STR("\xf4\x90\x80\x80"), false));
    assert_true(everywhere(STR("\xf5\x80\x80\x80"), false));
    assert_true(everywhere(STR("\xff"), false));
    assert_true(everywhere(STR("\xfe"), false));
    assert_true(everywhere(STR("\xc3"), false)); /* cut short */
    assert_true(everywhere(STR("\xe6\xb8"), false));
    assert_true(everywhere(STR("\xf0\x9f\x98"), false));
    assert_true(everywhere(STR("\xc3\xc3\xb6"), false));
}

/* [MQTT-1.5.3-2] [MQTT-1.5.4-2] */
static void nul(void **state)
{
    char text[] = "abcdefghijklmnop";

    for (size_t i = 0; i < sizeof text - 1; i++) {
        char kept = text[i];
        struct str s = {text, sizeof text - 1};
        text[i] = '\0';
        assert_false(utf8_is_text(s));
        assert_true(utf8_is_valid(s));
        text[i] = kept;
        assert_true(utf8_is_text(s));
    }
}

static bool decodes(uint32_t lead, uint32_t second)
{
    switch (lead) {
    case 0xE0:
        return second >= 0xA0 && second <= 0xBF;
    case 0xED:
        return second >= 0x80 && second <= 0x9F;
    case 0xF0:
        return second >= 0x90 && second <= 0xBF;
    case 0xF4:
        return second >= 0x80 && second <= 0x8F;
    default:
        return second >= 0x80 && second <= 0xBF;
    }
}

/* Every pair of bytes, completed with good continuation bytes. */
static void all_pairs(void **state)
{
    for (uint32_t lead = 0x80; lead < 0x100; lead++) {
        for (uint32_t second = 1; second < 0x100; second++) {
            char s[4] = {(char)lead, (char)second, (char)0x80, (char)0x80};
            size_t len = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
            bool want = lead >= 0xC2 && lead <= 0xF4 && decodes(lead, second);
            assert_int_equal(utf8_is_text((struct str){s, len}), want);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(well_formed),
        cmocka_unit_test(ill_formed),
        cmocka_unit_test(nul),
        cmocka_unit_test(all_pairs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
