/* Bans: of a pair, of an address, and never of a user whom somebody else guesses at. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "guard.h"
#include "recall.h"

#define NEAR SKEP_STR("192.0.2.1")
#define FAR  SKEP_STR("198.51.100.7")
#define BOB  SKEP_STR("bob")

static const struct guard_policy policy = {
    .max_failures = 3,
    .max_address_failures = 10,
    .window_ms = 60000,
    .ban_ms = 30000,
    .delay_ms = 100,
    .delay_max_ms = 1000,
};

static struct guard_blow fail_at(struct guard *g, uint64_t now, struct skep_str host,
                                 struct skep_str user)
{
    return guard_failure(g, &policy, now, host, user, false);
}

static void ban_bob(struct guard *g, uint64_t now)
{
    assert_false(fail_at(g, now, NEAR, BOB).banned_pair);
    assert_false(fail_at(g, now, NEAR, BOB).banned_pair);
    assert_false(guard_is_banned(g, now, NEAR, BOB));
    assert_true(fail_at(g, now, NEAR, BOB).banned_pair);
    assert_true(guard_is_banned(g, now, NEAR, BOB));
}

static void a_pair_is_banned_and_nobody_else(void **state)
{
    struct guard *g = guard_new(1000);

    ban_bob(g, 5);
    assert_false(guard_is_banned(g, 5, FAR, BOB)); /* the real one, from elsewhere */
    assert_false(guard_is_banned(g, 5, NEAR, SKEP_STR("carol")));
    assert_true(guard_is_banned(g, 30004, NEAR, BOB));
    assert_false(guard_is_banned(g, 30005, NEAR, BOB));
    ban_bob(g, 30005); /* and anew */
    guard_unref(&g);
}

static void a_success_forgets_failures(void **state)
{
    struct guard *g = guard_new(1000);

    fail_at(g, 1, NEAR, BOB);
    fail_at(g, 1, NEAR, BOB);
    guard_success(g, NEAR, BOB);
    ban_bob(g, 2);
    guard_unref(&g);
}

static void old_failures_do_not_count(void **state)
{
    struct guard *g = guard_new(1000);

    fail_at(g, 1, NEAR, BOB);
    fail_at(g, 1, NEAR, BOB);
    assert_false(fail_at(g, 60001, NEAR, BOB).banned_pair);
    assert_int_equal(2, fail_at(g, 60002, NEAR, BOB).failures);
    guard_unref(&g);
}

static void an_address_that_tries_many_users_is_banned(void **state)
{
    struct guard *g = guard_new(1000);
    struct guard_blow blow;

    for (int i = 0; i < 10; i++) {
        char name[20];

        sprintf(name, "user-%d", i);
        assert_false(guard_is_banned(g, 1, NEAR, SKEP_STR("carol")));
        blow = fail_at(g, 1, NEAR, skep_str(name));
    }
    assert_true(blow.banned_address);
    assert_true(guard_is_banned(g, 1, NEAR, SKEP_STR("carol")));
    assert_false(guard_is_banned(g, 1, FAR, SKEP_STR("carol")));
    guard_unref(&g);
}

static void trusted_and_local_addresses_are_not_banned_as_such(void **state)
{
    struct guard *g = guard_new(1000);

    for (int i = 0; i < 50; i++) {
        char name[20];

        sprintf(name, "user-%d", i);
        assert_false(guard_failure(g, &policy, 1, NEAR, skep_str(name), true).banned_address);
        assert_false(fail_at(g, 1, SKEP_STR("unix"), skep_str(name)).banned_address);
    }
    for (int i = 0; i < 3; i++)
        fail_at(g, 1, SKEP_STR("unix"), BOB);
    assert_true(guard_is_banned(g, 1, SKEP_STR("unix"), BOB)); /* pairs are */
    guard_unref(&g);
}

static void networks_of_ip6_count_as_one(void **state)
{
    struct guard *g = guard_new(1000);

    fail_at(g, 1, SKEP_STR("2001:db8::1"), BOB);
    fail_at(g, 1, SKEP_STR("2001:db8::2"), BOB);
    fail_at(g, 1, SKEP_STR("2001:db8::ffff:1"), BOB);
    assert_true(guard_is_banned(g, 1, SKEP_STR("2001:db8::3"), BOB));
    assert_false(guard_is_banned(g, 1, SKEP_STR("2001:db8:0:1::1"), BOB));
    for (int i = 0; i < 3; i++)
        fail_at(g, 1, SKEP_STR("::ffff:192.0.2.1"), BOB);
    assert_true(guard_is_banned(g, 1, NEAR, BOB));
    guard_unref(&g);
}

static void answers_to_failures_get_slower(void **state)
{
    static const unsigned expected[] = {100, 200, 400, 800, 1000, 1000};
    struct guard *g = guard_new(1000);

    for (int i = 0; i < 6; i++) { /* each from another address: the user's own count */
        char host[20];

        sprintf(host, "192.0.2.%d", i + 1);
        assert_int_equal(expected[i], fail_at(g, 1, skep_str(host), BOB).delay_ms);
    }
    assert_false(guard_is_banned(g, 1, NEAR, BOB));
    guard_unref(&g);
}

struct seen {
    unsigned entries, bans;
    char host[64], user[80];
};

static void see(const struct guard_entry *e, void *arg)
{
    struct seen *s = arg;

    s->entries++;
    if (e->banned_for_ms) {
        s->bans++;
        snprintf(s->host, sizeof s->host, "%s", e->host);
        snprintf(s->user, sizeof s->user, "%s", e->user);
    }
}

static void bans_are_listed_and_lifted(void **state)
{
    struct guard *g = guard_new(1000);
    struct seen seen = {0};

    ban_bob(g, 1);
    guard_each(g, 1, see, &seen);
    assert_int_equal(3, seen.entries); /* the pair, the address, the user */
    assert_int_equal(1, seen.bans);
    assert_string_equal("192.0.2.1", seen.host);
    assert_string_equal("bob", seen.user);
    assert_int_equal(0, guard_forget(g, 1, SKEP_STR("bo")));
    assert_int_equal(0, guard_forget(g, 1, FAR));
    assert_int_equal(1, guard_forget(g, 1, BOB));
    assert_false(guard_is_banned(g, 1, NEAR, BOB));
    ban_bob(g, 2);
    assert_int_equal(1, guard_forget(g, 2, NEAR));
    ban_bob(g, 3);
    assert_int_equal(1, guard_forget(g, 3, SKEP_STR("*")));
    seen = (struct seen){0};
    guard_each(g, 3, see, &seen);
    assert_int_equal(0, seen.entries);
    guard_unref(&g);
}

static void a_full_table_keeps_bans_longest(void **state)
{
    struct guard *g = guard_new(64);
    struct seen seen = {0};

    assert_int_equal(64, guard_size(g));
    ban_bob(g, 1);
    for (unsigned i = 0; i < 5000; i++) {
        char host[32], user[20];

        snprintf(host, sizeof host, "10.%u.%u.1", i >> 8, i & 255);
        snprintf(user, sizeof user, "u%u", i);
        fail_at(g, 2, skep_str(host), skep_str(user));
    }
    assert_true(guard_is_banned(g, 2, NEAR, BOB));
    guard_each(g, 2, see, &seen);
    assert_true(seen.entries <= 64);
    guard_unref(&g);
}

static void long_names_are_told_apart(void **state)
{
    struct guard *g = guard_new(1000);
    static char name[60000];
    struct seen seen = {0};

    memset(name, 'x', sizeof name);
    memcpy(name + 70, "\xc3\xbc", 2); /* across the cut */
    for (int i = 0; i < 3; i++)
        fail_at(g, 1, NEAR, skep_bytes(name, sizeof name));
    assert_true(guard_is_banned(g, 1, NEAR, skep_bytes(name, sizeof name)));
    assert_false(guard_is_banned(g, 1, NEAR, skep_bytes(name, sizeof name - 1)));
    guard_each(g, 1, see, &seen);
    assert_int_equal(70, strlen(seen.user));
    guard_unref(&g);
}

static void a_right_password_is_remembered_for_its_hash_alone(void **state)
{
    struct recall *r = recall_new();
    struct password_hash hash = {.kind = PASSWORD_PBKDF2, .cost = 7, .digest = "digest"};
    struct recall_key key, other;

    recall_key(r, &key, BOB, &hash, SKEP_STR("secret"));
    assert_false(recall_knows(r, &key, 10));
    recall_note(r, &key, 20);
    assert_true(recall_knows(r, &key, 19));
    assert_false(recall_knows(r, &key, 20));
    recall_key(r, &other, BOB, &hash, SKEP_STR("Secret"));
    assert_false(recall_knows(r, &other, 10));
    recall_key(r, &other, SKEP_STR("bo"), &hash, SKEP_STR("bsecret"));
    assert_false(recall_knows(r, &other, 10));
    hash.digest[0]++; /* the password was changed */
    recall_key(r, &other, BOB, &hash, SKEP_STR("secret"));
    assert_false(recall_knows(r, &other, 10));
    recall_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pair_is_banned_and_nobody_else),
        cmocka_unit_test(a_success_forgets_failures),
        cmocka_unit_test(old_failures_do_not_count),
        cmocka_unit_test(an_address_that_tries_many_users_is_banned),
        cmocka_unit_test(trusted_and_local_addresses_are_not_banned_as_such),
        cmocka_unit_test(networks_of_ip6_count_as_one),
        cmocka_unit_test(answers_to_failures_get_slower),
        cmocka_unit_test(bans_are_listed_and_lifted),
        cmocka_unit_test(a_full_table_keeps_bans_longest),
        cmocka_unit_test(long_names_are_told_apart),
        cmocka_unit_test(a_right_password_is_remembered_for_its_hash_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
