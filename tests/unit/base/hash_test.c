/* The keyed hash: every byte and the length count, the key matters, buckets fill evenly. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"

static void every_byte_counts(void **state)
{
    unsigned char text[80];
    memset(text, 'x', sizeof text);
    for (size_t len = 1; len <= sizeof text; len++) {
        uint64_t h = hash_bytes(text, len);
        assert_int_equal(h, hash_bytes(text, len));
        for (size_t i = 0; i < len; i++) {
            text[i] ^= 1;
            assert_int_not_equal(h, hash_bytes(text, len));
            text[i] ^= 1;
        }
    }
}

static void the_length_counts(void **state)
{
    static const char zeros[40];
    for (size_t a = 0; a <= sizeof zeros; a++)
        for (size_t b = 0; b < a; b++)
            assert_int_not_equal(hash_bytes(zeros, a), hash_bytes(zeros, b));
}

static void nothing_is_read_behind_the_end(void **state)
{
    char a[64], b[64];
    memset(a, 'a', sizeof a);
    memset(b, 'b', sizeof b);
    for (size_t len = 0; len < 48; len++) {
        memcpy(b, a, len);
        assert_int_equal(hash_bytes(a, len), hash_bytes(b, len));
    }
}

static void another_key_is_another_hash(void **state)
{
    hash_seed_set(1);
    uint64_t one = hash_bytes("topic", 5);
    hash_seed_set(2);
    uint64_t two = hash_bytes("topic", 5);
    hash_seed_set(1);
    assert_int_not_equal(one, two);
    assert_int_equal(one, hash_bytes("topic", 5));
    hash_seed();
    assert_int_not_equal(one, hash_bytes("topic", 5));
}

/* Numbered topics in 256 buckets by the top, the bottom and the tag's bits: no bucket twice as full
 * as it should be. */
static void numbered_topics_spread_evenly(void **state)
{
    enum { N = 256 * 400 };
    static const unsigned shifts[] = {56, 40, 0};
    char topic[40];

    for (size_t s = 0; s < 3; s++) {
        unsigned buckets[256] = {0};
        for (unsigned i = 0; i < N; i++) {
            int len = snprintf(topic, sizeof topic, "site/%u/status", i);
            buckets[hash_bytes(topic, (size_t)len) >> shifts[s] & 255]++;
        }
        for (unsigned b = 0; b < 256; b++)
            assert_in_range(buckets[b], 200, 600);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte_counts),
        cmocka_unit_test(the_length_counts),
        cmocka_unit_test(nothing_is_read_behind_the_end),
        cmocka_unit_test(another_key_is_another_hash),
        cmocka_unit_test(numbered_topics_spread_evenly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
