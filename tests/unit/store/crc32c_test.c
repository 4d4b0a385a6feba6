/* The checksum: known values, and both ways of computing it agree. */
#include "store/crc32c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rand.h"

/* From RFC 3720, B.4. */
static void test_known_values(void **state)
{
    uint8_t zeros[32] = {0}, ones[32], up[32];

    memset(ones, 0xff, sizeof ones);
    for (unsigned i = 0; i < 32; i++)
        up[i] = (uint8_t)i;
    assert_int_equal(crc32c(0, zeros, 32), 0x8a9136aa);
    assert_int_equal(crc32c(0, ones, 32), 0x62a8ab43);
    assert_int_equal(crc32c(0, up, 32), 0x46dd794e);
    assert_int_equal(crc32c_portable(0, up, 32), 0x46dd794e);
    assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
}

static void test_ways_agree(void **state)
{
    uint8_t bytes[300];

    rand_bytes(bytes, sizeof bytes);
    for (size_t from = 0; from < 9; from++) {
        for (size_t len = 0; len <= sizeof bytes - from; len++) {
            uint32_t seed = (uint32_t)(len * 2654435761u);
            assert_int_equal(crc32c(seed, bytes + from, len),
                             crc32c_portable(seed, bytes + from, len));
        }
    }
}

static void test_chains(void **state)
{
    assert_int_equal(crc32c(crc32c(7, "1234", 4), "56789", 5), crc32c(7, "123456789", 9));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_values),
        cmocka_unit_test(test_ways_agree),
        cmocka_unit_test(test_chains),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
