/* The set of packet ids against a plain array of flags. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/idset.h"

static void it_agrees_with_an_array_of_flags(void **state)
{
    static bool flags[65536];
    struct idset s = {0};
    uint32_t count = 0, seed = 1;

    for (int step = 0; step < 200000; step++) {
        seed = seed * 1664525u + 1013904223u;
        /* Now few ids, now many, so that it changes its form again and again. */
        uint16_t id = (uint16_t)(1 + (seed >> 8) % (step / 20000 % 2 ? 65535 : 24));
        if (seed >> 31) {
            assert_int_equal(idset_add(&s, id), !flags[id]);
            count += !flags[id];
            flags[id] = true;
        } else {
            assert_int_equal(idset_remove(&s, id), flags[id]);
            count -= flags[id];
            flags[id] = false;
        }
        assert_int_equal(idset_has(&s, id), flags[id]);
        assert_int_equal(s.count, count);
    }
    for (unsigned id = 1; id < 65536; id++)
        assert_int_equal(idset_has(&s, (uint16_t)id), flags[id]);
    idset_fini(&s);
    assert_int_equal(s.count, 0);
}

static void every_id_fits_and_the_bitmap_goes_with_the_last(void **state)
{
    struct idset s = {0};

    for (unsigned id = 1; id < 65536; id++)
        assert_true(idset_add(&s, (uint16_t)id));
    assert_int_equal(s.count, 65535);
    assert_non_null(s.bits);
    for (unsigned id = 1; id < 65536; id++)
        assert_true(idset_remove(&s, (uint16_t)id));
    assert_int_equal(s.count, 0);
    assert_null(s.bits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_agrees_with_an_array_of_flags),
        cmocka_unit_test(every_id_fits_and_the_bitmap_goes_with_the_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
