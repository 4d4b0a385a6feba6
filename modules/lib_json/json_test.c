/* What is JSON to us and what is not, paths, and rules in JSON. */
#include "lib_json/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <skep/decide.h>

#include "lib_json/rules.h"

static const char *trouble(struct skep_str text)
{
    const char *why = "not set";
    cJSON *value = json_parse(text, &why);

    assert_true((value == NULL) == (why != NULL));
    cJSON_Delete(value);
    return why;
}

static void what_the_rfc_allows(void **state)
{
    static const char *const good[] = {
        "0",
        "-0",
        "1.5e+3",
        "\"\"",
        "null",
        "true",
        " [ ] ",
        "{}",
        "[1,[2,[3]]]",
        "{\"a\":{\"a\":1},\"b\":[{\"a\":1},{\"a\":2}]}",
        "\"\\u00e4\\ud83d\\ude00\\n\\/\"",
        "\"\xc3\xa4\xf0\x9f\x98\x80\x7f\"",
        "{\"\":1}",
        "[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]",
    };

    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        const char *why = trouble(skep_str(good[i]));
        if (why)
            fail_msg("%s: %s", good[i], why);
    }
}

static void what_it_does_not(void **state)
{
    static const char *const bad[] = {
        "",
        " ",
        "{",
        "[1,",
        "[1,]",
        "{\"a\":}",
        "{\"a\" 1}",
        "{a:1}",
        "{\"a\":1,}",
        "01",
        "1.",
        ".5",
        "+1",
        "-",
        "1e",
        "1e+",
        "nul",
        "truex",
        "'a'",
        "\"a",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\\ud83d\"",
        "\"\\ude00\"",
        "\"\\ud83d\\u0041\"",
        "\"\n\"",
        "1 2",
        "{} x",
        "\xef\xbb\xbf{}",
        "\"\xff\"",
        "\"\xc0\x80\"",
        "\"\xed\xa0\x80\"",
        "\"\xf4\x90\x80\x80\"",
        "\"\xe2\x82\"",
        "[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]",
        "NaN",
        "Infinity",
        "[1 2]",
        "111111111111111111111111111111111111111111111111111111111111111111",
    };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (!trouble(skep_str(bad[i])))
            fail_msg("%s was taken", bad[i]);
    }
}

/* "admin\u0000x" must not become "admin". */
static void a_nul_is_refused(void **state)
{
    assert_string_equal(trouble(SKEP_STR("\"admin\\u0000x\"")), "a NUL in a string");
    assert_non_null(trouble(SKEP_STR("\"admin\0x\"")));
    assert_non_null(trouble(SKEP_STR("{}\0")));
}

static void a_name_stands_once(void **state)
{
    assert_string_equal(trouble(SKEP_STR("{\"a\":1,\"a\":2}")), "a name twice in one object");
    assert_non_null(trouble(SKEP_STR("{\"a\":1,\"\\u0061\":2}")));
    assert_non_null(trouble(SKEP_STR("[1,{\"x\":{\"a\":1,\"b\":2,\"a\":3}}]")));
    assert_null(trouble(SKEP_STR("{\"a\":1,\"A\":2}")));
}

static void an_object_has_a_limit(void **state)
{
    char text[JSON_MEMBERS * 16 + 64];

    for (unsigned more = 0; more < 2; more++) {
        size_t len = 0;
        text[len++] = '{';
        for (unsigned i = 0; i < JSON_MEMBERS + more; i++)
            len += (size_t)sprintf(text + len, "%s\"n%u\":1", i ? "," : "", i);
        text[len++] = '}';
        assert_int_equal(trouble(skep_bytes(text, len)) != NULL, more);
    }
}

static void a_path_finds_what_is_there(void **state)
{
    const char *why;
    cJSON *v = json_parse(
        SKEP_STR("{\"a\":{\"b\":[\"x\",{\"c\":\"y\"}]},\"p.q\":\"z\",\"u\":{\"v.w\":\"k\"}}"),
        &why);

    assert_string_equal(json_text(json_at(v, "a.b.0")), "x");
    assert_string_equal(json_text(json_at(v, "a.b.1.c")), "y");
    assert_string_equal(json_text(json_at(v, "p.q")), "z");
    assert_string_equal(json_text(json_at(v, "u.v.w")), "k");
    assert_null(json_at(v, "a.b.2"));
    assert_null(json_at(v, "a.b.-1"));
    assert_null(json_at(v, "a.b.1x"));
    assert_null(json_at(v, "a.b.99999999"));
    assert_null(json_at(v, "A.b.0"));
    assert_null(json_at(v, "a..b"));
    assert_null(json_at(v, ""));
    cJSON_Delete(v);
}

static int rules_of(struct rules *rules, const char *text, const char **why)
{
    cJSON *v = json_parse(skep_str(text), why);
    assert_non_null(v);
    *why = "not set";
    int err = rules_parse(rules, v, why);
    assert_int_equal(err < 0, *why != NULL);
    cJSON_Delete(v);
    return err;
}

static void rules_in_a_list(void **state)
{
    struct rules rules;
    const char *why;

    assert_int_equal(
        rules_of(
            &rules,
            "[{\"permission\":\"allow\",\"action\":\"publish\",\"topic\":\"a/${clientid}/#\"},"
            "{\"permission\":\"allow\",\"action\":\"publish\",\"topic\":\"b\",\"retain\":false},"
            "{\"permission\":\"deny\",\"action\":\"all\",\"topic\":\"eq c/d\"},"
            "{\"permission\":\"allow\",\"action\":\"subscribe\",\"topic\":\"${username}\","
            "\"retain\":\"all\"}]",
            &why),
        0);
    assert_int_equal(rules.count, 4);
    assert_true(rules.items[0].allow);
    assert_int_equal(rules.items[0].actions, SKEP_MAY_PUBLISH | SKEP_MAY_RETAIN);
    assert_string_equal(rules.items[0].filter, "a/%c/#");
    assert_int_equal(rules.items[1].actions, SKEP_MAY_PUBLISH);
    assert_false(rules.items[2].allow);
    assert_int_equal(rules.items[2].actions,
                     SKEP_MAY_PUBLISH | SKEP_MAY_RETAIN | SKEP_MAY_SUBSCRIBE | SKEP_MAY_RECEIVE);
    assert_string_equal(rules.items[2].filter, "c/d");
    assert_string_equal(rules.items[3].filter, "%u");
    rules_fini(&rules);
}

static void rules_as_lists_of_filters(void **state)
{
    struct rules rules;
    const char *why;

    assert_int_equal(rules_of(&rules, "{\"pub\":[\"a/#\"],\"sub\":[\"b/+\",\"c\"]}", &why), 0);
    assert_int_equal(rules.count, 3);
    assert_string_equal(rules.items[0].filter, "a/#");
    assert_int_equal(rules.items[2].actions, SKEP_MAY_SUBSCRIBE | SKEP_MAY_RECEIVE);
    rules_fini(&rules);
    assert_int_equal(rules_of(&rules, "{}", &why), 0);
    assert_true(rules.given);
    assert_int_equal(rules.count, 0);
    rules_fini(&rules);
}

/* A rule we cannot keep to the letter is no rule at all, and nothing of the list holds. */
static void rules_that_cannot_be_kept(void **state)
{
    static const char *const bad[] = {
        "1",
        "[1]",
        "[{\"permission\":\"allow\",\"action\":\"publish\"}]",
        "[{\"permission\":\"allow\",\"topic\":\"a\"}]",
        "[{\"action\":\"publish\",\"topic\":\"a\"}]",
        "[{\"permission\":\"maybe\",\"action\":\"publish\",\"topic\":\"a\"}]",
        "[{\"permission\":\"allow\",\"action\":\"delete\",\"topic\":\"a\"}]",
        "[{\"permission\":\"allow\",\"action\":\"publish\",\"topic\":\"\"}]",
        "[{\"permission\":\"allow\",\"action\":\"publish\",\"topic\":\"a/${cert_common_name}\"}]",
        "[{\"permission\":\"allow\",\"action\":\"publish\",\"topic\":\"${clientid}/${x}\"}]",
        "[{\"permission\":\"allow\",\"action\":\"publish\",\"topic\":\"a\",\"qos\":[0]}]",
        "[{\"permission\":\"allow\",\"action\":\"publish\",\"topic\":\"a\",\"retain\":true}]",
        "[{\"permission\":\"deny\",\"action\":\"publish\",\"topic\":\"a\",\"retain\":false}]",
        "[{\"permission\":\"allow\",\"action\":\"subscribe\",\"topic\":\"eq a/#\"}]",
        "[{\"permission\":\"allow\",\"action\":\"publish\",\"topic\":\"a\"},{}]",
        "{\"pub\":\"a\"}",
        "{\"pub\":[1]}",
        "{\"publish\":[\"a\"]}",
    };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct rules rules;
        const char *why = NULL;
        if (rules_of(&rules, bad[i], &why) >= 0)
            fail_msg("%s was taken", bad[i]);
        assert_non_null(why);
        assert_null(rules.items);
    }
}

static void rules_have_a_limit(void **state)
{
    for (unsigned more = 0; more < 2; more++) {
        cJSON *lists = cJSON_CreateObject(), *pub = cJSON_AddArrayToObject(lists, "pub");
        struct rules rules;
        const char *why;
        for (unsigned i = 0; i < RULES_MAX + more; i++)
            cJSON_AddItemToArray(pub, cJSON_CreateString("a"));
        assert_int_equal(rules_parse(&rules, lists, &why) < 0, more);
        rules_fini(&rules);
        cJSON_Delete(lists);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_rfc_allows),       cmocka_unit_test(what_it_does_not),
        cmocka_unit_test(a_nul_is_refused),          cmocka_unit_test(a_name_stands_once),
        cmocka_unit_test(an_object_has_a_limit),     cmocka_unit_test(a_path_finds_what_is_there),
        cmocka_unit_test(rules_in_a_list),           cmocka_unit_test(rules_as_lists_of_filters),
        cmocka_unit_test(rules_that_cannot_be_kept), cmocka_unit_test(rules_have_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
