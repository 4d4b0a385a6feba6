/* One packet, one frame: cut in every way the pieces may lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "net/ws_cut.h"
#include "net/ws_frame.h"

static uint8_t stream[200000], wanted[300000];
static size_t stream_len, wanted_len;

/* Appends a packet with that remaining length to the stream, and its frame to what is wanted. */
static void add_packet(size_t remaining)
{
    uint8_t head[WS_HEAD_MAX];
    size_t start = stream_len, left = remaining;

    stream[stream_len++] = 0x30;
    do {
        stream[stream_len++] = (uint8_t)((left & 0x7f) | (left > 127 ? 0x80 : 0));
        left >>= 7;
    } while (left > 0);
    for (size_t i = 0; i < remaining; i++)
        stream[stream_len++] = (uint8_t)(i * 13 + remaining);
    size_t n = ws_head_write(head, WS_BINARY, stream_len - start);
    memcpy(wanted + wanted_len, head, n);
    memcpy(wanted + wanted_len + n, stream + start, stream_len - start);
    wanted_len += n + stream_len - start;
}

static void expect_cut(const struct out_vec *v, unsigned n)
{
    struct ws_cut cut;
    size_t at = 0;

    assert_true(ws_cut_init(&cut, v, n));
    for (unsigned i = 0; i < cut.n; i++) {
        assert_true(at + cut.v[i].len <= wanted_len);
        assert_memory_equal(wanted + at, cut.v[i].ptr, cut.v[i].len);
        at += cut.v[i].len;
    }
    assert_int_equal(wanted_len, at);
    ws_cut_fini(&cut);
}

static int setup(void **state)
{
    stream_len = wanted_len = 0;
    return 0;
}

static void every_length_of_length(void **state)
{
    static const size_t sizes[] = {0, 1, 122, 123, 124, 127, 128, 65530, 65531, 65532, 3};

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        add_packet(sizes[i]);
    struct out_vec v = {stream, stream_len, NULL};
    assert_int_equal(sizeof sizes / sizeof sizes[0], ws_cut_count(&v, 1));
    expect_cut(&v, 1);
}

/* Pieces of every size, owned and not, with empty ones between: borders fall everywhere. */
static void every_way_to_lie(void **state)
{
    static struct out_vec v[2000];
    struct refbuf *owner = (struct refbuf *)stream; /* only carried along */

    for (size_t i = 0; i < 12; i++)
        add_packet(i * 29 % 150);
    for (size_t size = 1; size < 40; size++) {
        for (unsigned owned = 0; owned < 3; owned++) {
            unsigned n = 0;

            for (size_t at = 0; at < stream_len; at += size) {
                size_t len = stream_len - at < size ? stream_len - at : size;

                v[n] = (struct out_vec){stream + at, len, owned && n % 3 < owned ? owner : NULL};
                n++;
                if (n % 5 == 0)
                    v[n++] = (struct out_vec){stream, 0, NULL};
            }
            assert_int_equal(12, ws_cut_count(v, n));
            expect_cut(v, n);
        }
    }
}

/* Owned pieces are passed on, not copied. */
static void owned_pieces_stay(void **state)
{
    struct refbuf *owner = (struct refbuf *)stream;
    struct ws_cut cut;

    add_packet(5000);
    add_packet(10);
    struct out_vec v[] = {{stream, 20, NULL},
                          {stream + 20, 5003 - 20, owner},
                          {stream + 5003, stream_len - 5003, NULL}};
    assert_true(ws_cut_init(&cut, v, 3));
    assert_int_equal(3, cut.n);
    assert_ptr_equal(stream + 20, cut.v[1].ptr);
    assert_ptr_equal(owner, cut.v[1].owner);
    ws_cut_fini(&cut);
    expect_cut(v, 3);
}

/* It is no packet's fault that the rest is missing: what is there goes out. */
static void an_unfinished_end_is_a_frame(void **state)
{
    static const char *const ends[] = {"\x30", "\x30\x80", "\x30\xff\xff\xff\xff", "\x30\x7fxy"};

    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        setup(NULL);
        add_packet(3);
        size_t len = strlen(ends[i]);
        memcpy(stream + stream_len, ends[i], len);
        wanted[wanted_len] = 0x82;
        wanted[wanted_len + 1] = (uint8_t)len;
        memcpy(wanted + wanted_len + 2, ends[i], len);
        wanted_len += 2 + len;
        stream_len += len;
        struct out_vec v = {stream, stream_len, NULL};
        assert_int_equal(2, ws_cut_count(&v, 1));
        expect_cut(&v, 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(every_length_of_length, setup),
        cmocka_unit_test_setup(every_way_to_lie, setup),
        cmocka_unit_test_setup(owned_pieces_stay, setup),
        cmocka_unit_test_setup(an_unfinished_end_is_a_frame, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
