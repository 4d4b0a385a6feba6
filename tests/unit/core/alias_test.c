/* Outgoing topic aliases: what a client would make of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <stdio.h>

#include "base/hash.h"
#include "core/alias.h"

/* The client's side: alias -> topic, from what was sent. */
static void a_client_that_follows_knows_every_topic(void **state) /* [MQTT-3.1.2-26] */
{
    enum { SIZE = 7 };
    struct alias_table *t = alias_table_new(SIZE);
    char known_as[SIZE + 1][32] = {{0}}, topic[32];
    uint32_t seed = 3;
    unsigned left_out = 0;

    for (int step = 0; step < 20000; step++) {
        bool known;
        seed = seed * 1664525u + 1013904223u;
        snprintf(topic, sizeof topic, "t/%u", (seed >> 10) % (step < 10000 ? 5 : 40));
        unsigned alias = alias_assign(t, str_of(topic), &known);
        assert_in_range(alias, 0, SIZE);
        if (alias == 0)
            assert_false(known); /* goes out without [MQTT-3.3.2-8] */
        else if (known)
            assert_string_equal(known_as[alias], topic);
        else
            strcpy(known_as[alias], topic);
        left_out += known;
    }
    assert_true(left_out > 1000);
    alias_table_free(&t);
    assert_null(t);
}

static void one_alias_is_enough_to_work_with(void **state)
{
    struct alias_table *t = alias_table_new(1);
    bool known;

    assert_int_equal(alias_assign(t, STR("a"), &known), 1);
    assert_false(known);
    assert_int_equal(alias_assign(t, STR("a"), &known), 1);
    assert_true(known);
    unsigned passed_by = 0;
    while (alias_assign(t, STR("b"), &known) == 0)
        passed_by++;
    assert_in_range(passed_by, 1, 100); /* and then the place is b's */
    assert_false(known);
    assert_int_equal(alias_assign(t, STR("b"), &known), 1);
    assert_true(known);
    assert_int_equal(alias_assign(t, STR("a"), &known), 0);
    alias_table_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_client_that_follows_knows_every_topic),
        cmocka_unit_test(one_alias_is_enough_to_work_with),
    };
    hash_seed();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
