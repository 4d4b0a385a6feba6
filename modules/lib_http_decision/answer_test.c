/* What a backend's answer means, how long it is remembered, and when a backend is left alone. */
#include "lib_http_decision/answer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib_http_decision/breaker.h"
#include "lib_http_decision/cache.h"

enum { NOW = 1000 };

static struct answer *answer(unsigned status, const char *body)
{
    return answer_new(status, skep_str(body), "application/json; charset=utf-8", ANSWER_JSON,
                      UINT64_C(1700000000000));
}

static void verdicts_by_status_and_body(void **state)
{
    static const struct {
        unsigned status;
        const char *body;
        enum skep_verdict verdict;
    } rows[] = {
        {200, "{\"result\":\"allow\"}", SKEP_ALLOW},
        {200, "{\"result\":\"deny\"}", SKEP_DENY},
        {200, "{\"result\":\"ignore\",\"unknown\":[1]}", SKEP_NEXT},
        {204, "", SKEP_ALLOW},
        {401, "", SKEP_DENY},
        {403, "<html>", SKEP_DENY},
        {403, "{\"result\":\"allow\"}", SKEP_DENY},
        {200, "", SKEP_ERROR},
        {200, "allow", SKEP_ERROR},
        {200, "\"allow\"", SKEP_ERROR},
        {200, "[]", SKEP_ERROR},
        {200, "{}", SKEP_ERROR},
        {200, "{\"result\":true}", SKEP_ERROR},
        {200, "{\"result\":\"Allow\"}", SKEP_ERROR},
        {200, "{\"result\":\"allow\"", SKEP_ERROR},
        {200, "{\"result\":\"allow\"}{", SKEP_ERROR},
        {200, "{\"result\":\"deny\",\"result\":\"allow\"}", SKEP_ERROR},
        {200, "{\"Result\":\"allow\"}", SKEP_ERROR},
        {201, "{\"result\":\"allow\"}", SKEP_ERROR},
        {302, "", SKEP_ERROR},
        {400, "", SKEP_ERROR},
        {404, "{\"result\":\"allow\"}", SKEP_ERROR},
        {500, "{\"result\":\"allow\"}", SKEP_ERROR},
        {0, "", SKEP_ERROR},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct answer *a = answer(rows[i].status, rows[i].body);
        if (a->verdict != rows[i].verdict)
            fail_msg("%u %s: %d", rows[i].status, rows[i].body, a->verdict);
        assert_int_equal(a->error != NULL, a->verdict == SKEP_ERROR);
        answer_unref(a);
    }
}

static void the_status_alone(void **state)
{
    static const struct {
        unsigned status;
        enum skep_verdict verdict;
    } rows[] = {{200, SKEP_ALLOW}, {201, SKEP_ALLOW}, {401, SKEP_DENY}, {302, SKEP_ERROR}};

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct answer *a =
            answer_new(rows[i].status, SKEP_STR("hello"), "text/plain", ANSWER_STATUS, NOW);
        assert_int_equal(a->verdict, rows[i].verdict);
        answer_unref(a);
    }
    struct answer *a =
        answer_new(200, SKEP_STR("{\"result\":\"allow\"}"), "text/html", ANSWER_JSON, NOW);
    assert_int_equal(a->verdict, SKEP_ERROR);
    answer_unref(a);
}

static void all_that_an_answer_can_say(void **state)
{
    struct answer *a = answer(
        200,
        "{\"result\":\"allow\",\"username\":\"maja\",\"attributes\":{\"room\":\"7\",\"n\":1.5,"
        "\"b\":true},\"quotas\":{\"message_rate\":10,\"keep_alive\":60},\"acl\":[{"
        "\"permission\":\"allow\",\"action\":\"all\",\"topic\":\"a\"}],\"expire_at\":1700000001,"
        "\"is_superuser\":true,\"qos\":1}");

    assert_int_equal(a->verdict, SKEP_ALLOW);
    assert_string_equal(a->username, "maja");
    assert_int_equal(a->attribute_count, 3);
    assert_string_equal(a->attributes[0].name, "room");
    assert_string_equal(a->attributes[0].value, "7");
    assert_string_equal(a->attributes[1].value, "1.5");
    assert_string_equal(a->attributes[2].value, "true");
    assert_int_equal(a->quotas_given, 1 << SKEP_QUOTA_MESSAGE_RATE | 1 << SKEP_QUOTA_KEEP_ALIVE_S);
    assert_int_equal(a->quotas[SKEP_QUOTA_MESSAGE_RATE], 10);
    assert_int_equal(a->rules.count, 1);
    assert_int_equal(a->expires_wall_ms, UINT64_C(1700000001000));
    assert_true(a->superuser);
    assert_int_equal(a->qos, 1);
    answer_unref(a);
}

static void as_emqx_users_know_it(void **state)
{
    struct answer *a =
        answer(200, "{\"result\":\"allow\",\"is_superuser\":false,"
                    "\"client_attrs\":{\"role\":\"admin\"},\"expire_at\":1700000009}");

    assert_int_equal(a->verdict, SKEP_ALLOW);
    assert_string_equal(a->attributes[0].name, "role");
    assert_false(a->superuser);
    answer_unref(a);
}

static void why_it_was_refused(void **state)
{
    struct answer *a =
        answer(200, "{\"result\":\"deny\",\"reason\":\"unpaid\",\"reason_code\":138}");

    assert_int_equal(a->reason, SKEP_RC_BANNED);
    assert_string_equal(a->text, "unpaid");
    answer_unref(a);
    a = answer(401, "{\"reason\":\"no such user\"}");
    assert_int_equal(a->reason, SKEP_RC_BAD_CREDENTIALS);
    assert_string_equal(a->text, "no such user");
    answer_unref(a);
    a = answer(403, "{\"reason_code\":0}");
    assert_int_equal(a->verdict, SKEP_DENY);
    assert_int_equal(a->reason, SKEP_RC_NOT_AUTHORIZED);
    answer_unref(a);
}

/* An allow with one thing wrong is no allow. */
static void half_an_answer_is_none(void **state)
{
    static const char *const bad[] = {
        "\"attributes\":[]",
        "\"attributes\":{\"a\":[]}",
        "\"attributes\":{\"a\":null}",
        "\"quotas\":5",
        "\"quotas\":{\"mesage_rate\":5}",
        "\"quotas\":{\"message_rate\":-5}",
        "\"quotas\":{\"message_rate\":0.5}",
        "\"quotas\":{\"message_rate\":\"5\"}",
        "\"acl\":[{\"permission\":\"deny\"}]",
        "\"acl\":\"x\"",
        "\"expire_at\":\"soon\"",
        "\"expire_at\":1699999999",
        "\"is_superuser\":\"false\"",
        "\"username\":5",
        "\"username\":\"\"",
        "\"reason_code\":0",
        "\"qos\":3",
    };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[256];
        snprintf(text, sizeof text, "{\"result\":\"allow\",%s}", bad[i]);
        struct answer *a = answer(200, text);
        if (a->verdict != SKEP_ERROR)
            fail_msg("%s was taken", text);
        answer_unref(a);
    }
}

/* -- The cache -- */

static const unsigned char *key(unsigned n)
{
    static unsigned char bytes[CACHE_KEY];
    memset(bytes, 0, sizeof bytes);
    memcpy(bytes + 4, &n, sizeof n); /* all in one shard */
    return bytes;
}

static bool has(struct cache *c, unsigned n, uint64_t now, bool stale)
{
    struct answer *a = stale ? cache_get_stale(c, key(n), now) : cache_get(c, key(n), now);
    bool there = a;
    answer_unref(a);
    return there;
}

static void put(struct cache *c, unsigned n, uint64_t now, uint64_t fresh, uint64_t stale)
{
    struct answer *a = answer(204, "");
    cache_put(c, key(n), a, now, fresh, stale);
    answer_unref(a);
}

static void an_answer_is_fresh_then_stale_then_gone(void **state)
{
    struct cache *c = cache_new(160, 1 << 20);

    put(c, 1, NOW, 10, 20);
    assert_true(has(c, 1, NOW + 9, false));
    assert_false(has(c, 2, NOW, false));
    assert_false(has(c, 1, NOW + 10, false));
    assert_true(has(c, 1, NOW + 29, true));
    assert_false(has(c, 1, NOW + 30, true));
    assert_int_equal(cache_count(c), 0);
    put(c, 1, NOW, 10, 0);
    put(c, 1, NOW, 50, 0);
    assert_int_equal(cache_count(c), 1);
    assert_true(has(c, 1, NOW + 40, false));
    cache_drop(c, key(1));
    assert_false(has(c, 1, NOW, false));
    cache_free(&c);
}

static void the_least_used_goes_first(void **state)
{
    struct cache *c = cache_new(16 * 3, 1 << 20); /* three a shard */

    for (unsigned n = 1; n <= 3; n++)
        put(c, n, NOW, 10, 0);
    assert_true(has(c, 1, NOW, false));
    put(c, 4, NOW, 10, 0);
    assert_false(has(c, 2, NOW, false));
    assert_true(has(c, 1, NOW, false) && has(c, 3, NOW, false) && has(c, 4, NOW, false));
    cache_clear(c);
    assert_int_equal(cache_count(c), 0);
    cache_free(&c);
}

static void bytes_are_bounded_too(void **state)
{
    struct answer *a = answer(204, "");
    struct cache *c = cache_new(16 * 1000, 16 * (a->cost * 4 + 1));

    answer_unref(a);
    for (unsigned n = 0; n < 100; n++)
        put(c, n, NOW, 10, 0);
    assert_int_equal(cache_count(c), 4);
    cache_free(&c);
}

/* -- The breaker -- */

static void answers(struct breaker *b, unsigned count, bool worked, uint64_t now)
{
    for (unsigned i = 0; i < count; i++) {
        uint32_t ticket;
        assert_true(breaker_ask(b, now, &ticket));
        breaker_report(b, ticket, worked, now);
    }
}

static void it_opens_after_failures_in_a_row(void **state)
{
    struct breaker b;
    uint32_t ticket, second;

    breaker_init(&b, &(struct breaker_conf){.failures = 3, .pause_ms = 100});
    answers(&b, 2, false, NOW);
    answers(&b, 1, true, NOW);
    answers(&b, 2, false, NOW);
    assert_int_equal(breaker_state(&b), BREAKER_CLOSED);
    assert_true(breaker_ask(&b, NOW, &ticket));
    assert_true(breaker_report(&b, ticket, false, NOW));
    assert_int_equal(breaker_state(&b), BREAKER_OPEN);
    assert_false(breaker_ask(&b, NOW + 99, &ticket));
    assert_true(breaker_ask(&b, NOW + 100, &ticket));
    assert_int_equal(breaker_state(&b), BREAKER_HALF_OPEN);
    assert_false(breaker_ask(&b, NOW + 100, &second)); /* one probe */
    assert_true(breaker_report(&b, ticket, true, NOW + 101));
    assert_int_equal(breaker_state(&b), BREAKER_CLOSED);
    breaker_fini(&b);
}

static void a_failed_probe_doubles_the_pause(void **state)
{
    static const unsigned pauses[] = {100, 200, 400, 800, 800};
    struct breaker b;
    uint64_t now = NOW;
    uint32_t ticket;

    breaker_init(&b, &(struct breaker_conf){.failures = 1, .pause_ms = 100});
    answers(&b, 1, false, now);
    for (size_t i = 0; i < sizeof pauses / sizeof *pauses; i++) {
        assert_false(breaker_ask(&b, now + pauses[i] - 1, &ticket));
        now += pauses[i];
        assert_true(breaker_ask(&b, now, &ticket));
        breaker_report(&b, ticket, false, now);
    }
    breaker_fini(&b);
}

static void it_opens_at_a_rate(void **state)
{
    struct breaker b;

    breaker_init(&b, &(struct breaker_conf){.percent = 50, .window = 4, .pause_ms = 100});
    answers(&b, 1, false, NOW);
    answers(&b, 3, true, NOW);  /* 1 of 4 */
    answers(&b, 1, false, NOW); /* the first has left the window: 1 of 4 */
    assert_int_equal(breaker_state(&b), BREAKER_CLOSED);
    answers(&b, 1, false, NOW); /* 2 of 4 */
    assert_int_equal(breaker_state(&b), BREAKER_OPEN);
    breaker_fini(&b);
}

/* What was sent before it opened says nothing about the probe. */
static void late_answers_do_not_count(void **state)
{
    struct breaker b;
    uint32_t late, probe;

    breaker_init(&b, &(struct breaker_conf){.failures = 1, .pause_ms = 100});
    assert_true(breaker_ask(&b, NOW, &late));
    answers(&b, 1, false, NOW);
    assert_false(breaker_report(&b, late, true, NOW));
    assert_int_equal(breaker_state(&b), BREAKER_OPEN);
    assert_true(breaker_ask(&b, NOW + 100, &probe));
    breaker_report(&b, late, true, NOW + 100);
    assert_int_equal(breaker_state(&b), BREAKER_HALF_OPEN);
    breaker_withdraw(&b, probe, NOW + 100);
    assert_true(breaker_ask(&b, NOW + 100, &probe)); /* somebody else may probe at once */
    assert_true(breaker_report(&b, probe, true, NOW + 100));
    breaker_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verdicts_by_status_and_body),
        cmocka_unit_test(the_status_alone),
        cmocka_unit_test(all_that_an_answer_can_say),
        cmocka_unit_test(as_emqx_users_know_it),
        cmocka_unit_test(why_it_was_refused),
        cmocka_unit_test(half_an_answer_is_none),
        cmocka_unit_test(an_answer_is_fresh_then_stale_then_gone),
        cmocka_unit_test(the_least_used_goes_first),
        cmocka_unit_test(bytes_are_bounded_too),
        cmocka_unit_test(it_opens_after_failures_in_a_row),
        cmocka_unit_test(a_failed_probe_doubles_the_pause),
        cmocka_unit_test(it_opens_at_a_rate),
        cmocka_unit_test(late_answers_do_not_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
