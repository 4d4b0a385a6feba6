/* Templates and the requests made of them. */
#include "lib_http_decision/question.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib_json/json.h"

enum { ALL = (1 << VAR_COUNT) - 1 };

static struct skep_str attribute(const void *arg, const char *name)
{
    return strcmp(name, "room") == 0 ? skep_str(arg) : SKEP_STR("");
}

static struct inputs facts(void)
{
    struct inputs in = {.attribute = attribute, .arg = "7/a"};

    in.values[VAR_CLIENT_ID] = SKEP_STR("bee 1");
    in.values[VAR_USERNAME] = SKEP_STR("m&ja=\"\\");
    in.values[VAR_PASSWORD] = SKEP_STR("s\0\xff");
    in.values[VAR_TOPIC] = SKEP_STR("a/b");
    return in;
}

static const char *render(const char *text, enum place place, char out[256])
{
    struct inputs in = facts();
    struct buffer b = {.limit = 255};
    const char *why;
    struct template *t = template_new(text, ALL, &why);

    assert_non_null(t);
    why = template_render(t, place, &in, &b);
    snprintf(out, 256, "%s", b.ptr ? b.ptr : "");
    buffer_fini(&b);
    template_free(&t);
    return why;
}

static void each_place_has_its_encoding(void **state)
{
    static const struct {
        const char *text;
        enum place place;
        const char *want;
    } rows[] = {
        {"/%c/%u", PLACE_PATH, "/bee%201/m%26ja%3D%22%5C"},
        {"/%t", PLACE_PATH, "/a%2Fb"},
        {"u=%u&p=%P", PLACE_QUERY, "u=m%26ja%3D%22%5C&p=s%00%FF"},
        {"%u", PLACE_FORM, "m%26ja%3D%22%5C"},
        {"a b&%c", PLACE_FORM, "a b&bee%201"},
        {"a b&%c", PLACE_FORM_VALUE, "a%20b%26bee%201"},
        {"\"%u", PLACE_JSON_VALUE, "\\\"m&ja=\\\"\\\\"},
        {"<%u>", PLACE_JSON, "<m&ja=\\\"\\\\>"},
        {"%{username}", PLACE_HEADER, "m&ja=\"\\"},
        {"%P", PLACE_HEADER, "s%00%FF"},
        {"%{password:base64}", PLACE_JSON, "cwD/"},
        {"%{password:base64}", PLACE_QUERY, "cwD%2F"},
        {"%{attribute:room}-%{attribute:none}.", PLACE_QUERY, "7%2Fa-."},
        {"100%% %%u %c", PLACE_PLAIN, "100% %u bee 1"},
        {"", PLACE_PLAIN, ""},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char got[256];
        assert_null(render(rows[i].text, rows[i].place, got));
        assert_string_equal(got, rows[i].want);
    }
}

static void what_a_place_cannot_hold(void **state)
{
    char got[256];

    assert_non_null(render("%P", PLACE_JSON, got));
    assert_non_null(render("/users/%{attribute:none}", PLACE_PATH, got));

    char many[201] = "/";
    for (size_t i = 1; i < 199; i += 2)
        memcpy(many + i, "%c", 3);
    assert_string_equal(render(many, PLACE_PATH, got), "too long");
}

static void a_path_does_not_climb(void **state)
{
    static const char *const names[] = {".", ".."};
    const char *why;
    struct template *t = template_new("/users/%c/acl", ALL, &why);

    for (size_t i = 0; i < 2; i++) {
        struct inputs in = {.values[VAR_CLIENT_ID] = skep_str(names[i])};
        struct buffer b = {.limit = 255};
        assert_non_null(template_render(t, PLACE_PATH, &in, &b));
        buffer_fini(&b);
    }
    struct inputs in = {.values[VAR_CLIENT_ID] = SKEP_STR("...")};
    struct buffer b = {.limit = 255};
    assert_null(template_render(t, PLACE_PATH, &in, &b));
    buffer_fini(&b);
    template_free(&t);
}

static void templates_that_make_no_sense(void **state)
{
    static const char *const bad[] = {"%",        "a%",        "%x",           "%{",
                                      "%{user}",  "%{}",       "%{attribute}", "%{attribute:}",
                                      "%{topic:", "%{:base64}"};
    const char *why;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        why = NULL;
        if (template_new(bad[i], ALL, &why))
            fail_msg("%s was taken", bad[i]);
        assert_non_null(why);
    }
    assert_null(template_new("%t", 1 << VAR_CLIENT_ID, &why));
    assert_string_equal(why, "a placeholder that has no value here");
}

static const char *const defaults[][2] = {{"clientid", "%c"}, {"username", "%u"}, {NULL, NULL}};

static struct question *question(struct question_conf conf, const char **why)
{
    const struct skep_place *place;

    conf.allowed = ALL;
    conf.default_fields = defaults;
    return question_new(&conf, why, &place);
}

static struct rendered asked(struct question_conf conf)
{
    const char *why;
    struct question *q = question(conf, &why);
    struct inputs in = facts();
    struct rendered r;

    if (!q)
        fail_msg("%s", why);
    assert_null(question_render(q, &in, &r));
    question_free(&q);
    return r;
}

static void a_question_in_json(void **state)
{
    struct rendered r = asked((struct question_conf){.url = "http://a.test:80/x?k=%c"});

    assert_string_equal(r.ask.url, "http://a.test:80/x?k=bee%201");
    assert_string_equal(r.ask.method, "POST");
    assert_string_equal(r.ask.content_type, "application/json");
    assert_string_equal(r.ask.body.ptr, "{\"clientid\":\"bee 1\",\"username\":\"m&ja=\\\"\\\\\"}");
    assert_int_equal(r.ask.body.len, strlen(r.ask.body.ptr));
    rendered_fini(&r);
}

static void a_question_in_a_query(void **state)
{
    struct rendered r =
        asked((struct question_conf){.url = "https://a.test?v=1", .format = FORMAT_QUERY});

    assert_string_equal(r.ask.url, "https://a.test/?v=1&clientid=bee%201&username=m%26ja%3D%22%5C");
    assert_string_equal(r.ask.method, "GET");
    assert_int_equal(r.ask.body.len, 0);
    assert_null(r.ask.content_type);
    rendered_fini(&r);
}

static void a_question_of_ones_own(void **state)
{
    const char *const field[] = {"p", "%P"}, *const header[] = {"X-Client", "<%c>"};
    struct skep_list fields[] = {{field, NULL, 2}}, headers[] = {{header, NULL, 2}};
    struct rendered r = asked((struct question_conf){.url = "http://a.test/",
                                                     .format = FORMAT_FORM,
                                                     .method = "PUT",
                                                     .fields = {fields, 1},
                                                     .headers = {headers, 1}});

    assert_string_equal(r.ask.method, "PUT");
    assert_string_equal(r.ask.body.ptr, "p=s%00%FF");
    assert_int_equal(r.ask.header_count, 1);
    assert_true(skep_str_eq(r.ask.headers[0].name, SKEP_STR("X-Client")));
    assert_true(skep_str_eq(r.ask.headers[0].value, SKEP_STR("<bee 1>")));
    rendered_fini(&r);

    r = asked((struct question_conf){.url = "http://a.test/",
                                     .body = "{\"who\":{\"u\":\"%u\",\"n\":[1]}}"});
    assert_string_equal(r.ask.body.ptr, "{\"who\":{\"u\":\"m&ja=\\\"\\\\\",\"n\":[1]}}");
    rendered_fini(&r);
}

static void questions_that_make_no_sense(void **state)
{
    const char *const one[] = {"alone"}, *const colon[] = {"X:", "v"},
                      *const line[] = {"X", "a\nb"};
    struct skep_list alone[] = {{one, NULL, 1}}, name[] = {{colon, NULL, 2}},
                     split[] = {{line, NULL, 2}};
    const struct question_conf bad[] = {
        {.url = "ftp://a.test/"},
        {.url = "http:///x"},
        {.url = "http://%c.test/"},
        {.url = "http://user@a.test/"},
        {.url = "http://a.test/ x"},
        {.url = "http://a.test/#x"},
        {.url = "http://a.test/%z"},
        {.url = "http://a.test/", .method = "GET"},
        {.url = "http://a.test/", .method = "PO ST"},
        {.url = "http://a.test/", .body = "{\"u\":%u}"},
        {.url = "http://a.test/", .body = "{\"u\":\"%u\""},
        {.url = "http://a.test/", .body = "x", .format = FORMAT_QUERY},
        {.url = "http://a.test/", .fields = {alone, 1}},
        {.url = "http://a.test/", .headers = {name, 1}},
        {.url = "http://a.test/", .headers = {split, 1}},
    };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *why = NULL;
        if (question(bad[i], &why))
            fail_msg("row %zu was taken", i);
        assert_non_null(why);
    }
}

static void key_of(const struct question *q, const struct inputs *in, unsigned char key[32])
{
    static const unsigned char secret[QUESTION_KEY] = {1, 2, 3};
    EVP_MAC_CTX *keyed = question_keyed(secret);

    assert_true(question_key(q, in, keyed, key));
    EVP_MAC_CTX_free(keyed);
}

/* The cache's key follows what is asked, and nothing else. */
static void equal_questions_have_one_key(void **state)
{
    const char *why;
    struct question *q = question((struct question_conf){.url = "http://a.test/"}, &why);
    struct inputs in = facts();
    unsigned char first[32], other[32];

    key_of(q, &in, first);
    in.values[VAR_PASSWORD] = SKEP_STR("changed, and not asked about");
    key_of(q, &in, other);
    assert_memory_equal(first, other, 32);
    in.values[VAR_USERNAME] = SKEP_STR("m&ja=\"\\.");
    key_of(q, &in, other);
    assert_memory_not_equal(first, other, 32);
    in.values[VAR_CLIENT_ID] = SKEP_STR("ab");
    in.values[VAR_USERNAME] = SKEP_STR("c");
    key_of(q, &in, first);
    in.values[VAR_CLIENT_ID] = SKEP_STR("a");
    in.values[VAR_USERNAME] = SKEP_STR("bc");
    key_of(q, &in, other);
    assert_memory_not_equal(first, other, 32);
    question_free(&q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_place_has_its_encoding),
        cmocka_unit_test(what_a_place_cannot_hold),
        cmocka_unit_test(a_path_does_not_climb),
        cmocka_unit_test(templates_that_make_no_sense),
        cmocka_unit_test(a_question_in_json),
        cmocka_unit_test(a_question_in_a_query),
        cmocka_unit_test(a_question_of_ones_own),
        cmocka_unit_test(questions_that_make_no_sense),
        cmocka_unit_test(equal_questions_have_one_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
