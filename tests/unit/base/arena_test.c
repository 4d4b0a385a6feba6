#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"

static void allocations_are_aligned_zeroed_and_apart(void **state)
{
    struct arena a = {0};
    unsigned char *last = NULL;

    for (size_t size = 0; size < 300; size++) {
        unsigned char *p = arena_alloc(&a, size);
        assert_int_equal((uintptr_t)p % _Alignof(max_align_t), 0);
        for (size_t i = 0; i < size; i++)
            assert_int_equal(p[i], 0);
        memset(p, 0xff, size);
        if (last && size > 1)
            assert_int_equal(last[size - 2], 0xff);
        last = p;
    }
    arena_fini(&a);
    assert_null(a.blocks);
    assert_int_equal(a.total_bytes, 0);
}

static void reset_keeps_one_ordinary_block(void **state)
{
    struct arena a = {0};

    memset(arena_alloc(&a, 100), 0xff, 100);
    arena_alloc(&a, 1 << 20);
    for (int i = 0; i < 100; i++)
        arena_alloc(&a, 1000);
    assert_true(a.total_bytes > (1 << 20));
    arena_reset(&a);
    assert_true(a.total_bytes > 0 && a.total_bytes < 64 * 1024);
    size_t held = a.total_bytes;
    char *p = arena_alloc(&a, 100);
    assert_int_equal(a.total_bytes, held);
    for (int i = 0; i < 100; i++)
        assert_int_equal(p[i], 0); /* zeroed again although used before */
    arena_fini(&a);
}

static void strings_are_copied_with_a_nul(void **state)
{
    struct arena a = {0};
    char text[] = "topic";
    struct str s = arena_str(&a, (struct str){text, 3});

    text[0] = 'X';
    assert_int_equal(s.len, 3);
    assert_string_equal(s.ptr, "top");
    assert_string_equal(arena_cstr(&a, STR_NONE), "");
    assert_string_equal(arena_printf(&a, "%s-%d", "a", 7), "a-7");
    arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(allocations_are_aligned_zeroed_and_apart),
        cmocka_unit_test(reset_keeps_one_ordinary_block),
        cmocka_unit_test(strings_are_copied_with_a_nul),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
