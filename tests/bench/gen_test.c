/* The generator's judgement: a benchmark that cannot see loss proves nothing. */
#include "hdr.h"
#include "track.h"
#include "webframe.h"
#include "wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct track_sums sums_of(const uint32_t *seqs, size_t n, size_t *fresh)
{
    struct track t = {0};
    struct track_sums sums = {0};
    *fresh = 0;
    for (size_t i = 0; i < n; i++)
        *fresh += track_note(&t, seqs[i], &sums);
    return sums;
}

#define SUMS(fresh, ...)                                                                           \
    sums_of((const uint32_t[]){__VA_ARGS__},                                                       \
            sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t), fresh)

static void order_is_no_event(void **state)
{
    size_t fresh;
    struct track_sums s = SUMS(&fresh, 0, 1, 2, 3);
    assert_int_equal(fresh, 4);
    assert_int_equal(s.missing + s.duplicated + s.reordered, 0);
}

static void a_gap_is_loss(void **state)
{
    size_t fresh;
    struct track_sums s = SUMS(&fresh, 0, 1, 5, 6);
    assert_int_equal(s.missing, 3);
    assert_int_equal(fresh, 4);
    assert_int_equal(SUMS(&fresh, 0, 200, 201).missing, 199);
}

static void a_late_one_is_disorder_and_no_loss(void **state)
{
    size_t fresh;
    struct track_sums s = SUMS(&fresh, 0, 2, 1, 3);
    assert_int_equal(s.missing, 0);
    assert_int_equal(s.reordered, 1);
    assert_int_equal(s.duplicated, 0);
    assert_int_equal(fresh, 4);
}

static void a_second_one_is_a_duplicate(void **state)
{
    size_t fresh;
    struct track_sums s = SUMS(&fresh, 0, 1, 1, 0, 2, 2, 3);
    assert_int_equal(s.duplicated, 3);
    assert_int_equal(s.reordered, 0);
    assert_int_equal(fresh, 4);
}

static void numbers_wrap(void **state)
{
    struct track t = {.next = 0xffffffff, .seen = 3};
    struct track_sums s = {0};
    assert_true(track_note(&t, 0xffffffff, &s));
    assert_true(track_note(&t, 0, &s));
    assert_false(track_note(&t, 0xffffffff, &s));
    assert_int_equal(s.missing, 0);
    assert_int_equal(s.duplicated, 1);
}

static int ascending(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Against the sorted truth, over nine orders of magnitude. */
static void percentiles_are_within_two_percent(void **state)
{
    enum { N = 20000 };
    static uint64_t values[N];
    static struct hdr h;
    static const double shares[] = {0.01, 0.5, 0.9, 0.99, 0.999, 1.0};
    uint64_t x = 88172645463325252u;

    for (size_t i = 0; i < N; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        values[i] = x >> (34 + x % 30);
        hdr_add(&h, values[i]);
    }
    qsort(values, N, sizeof values[0], ascending);
    for (size_t i = 0; i < sizeof shares / sizeof shares[0]; i++) {
        size_t rank = (size_t)(shares[i] * N + 0.5);
        double truth = (double)values[rank ? rank - 1 : 0], got = (double)hdr_at(&h, shares[i]);
        assert_true(got >= truth && got <= truth * 1.02 + 1);
    }
    assert_int_equal(h.most, values[N - 1]);
    hdr_add(&h, UINT64_MAX);
    assert_true(hdr_at(&h, 1.0) == UINT64_MAX);
}

/* Every cut of a frame says "more", and the payload is found behind MQTT 5 properties. */
static void frames_are_found_whole(void **state)
{
    uint8_t frame[512];
    struct wire_publish p = {
        .version = 5, .qos = 1, .topic = "a/b", .topic_len = 3, .payload_len = 200};
    struct wire_frame f;
    struct wire_message m;

    wire_publish_layout(&p);
    wire_publish(frame, &p);
    frame[p.id_at + 1] = 7;
    frame[p.payload_at] = 0x5a;
    for (size_t n = 0; n < p.size; n++)
        assert_int_equal(wire_next(frame, n, &f), 0);
    assert_int_equal(wire_next(frame, p.size, &f), 1);
    assert_int_equal(f.total, p.size);
    assert_true(wire_message(&m, &f, 5));
    assert_int_equal(m.payload_len, 200);
    assert_int_equal(m.payload[0], 0x5a);
    assert_int_equal(m.packet_id[1], 7);
    assert_memory_equal(m.topic, "a/b", 3);
    assert_int_equal(wire_next((const uint8_t *)"\x30\xff\xff\xff\xff\x01", 6, &f), -1);
}

/* A session that is kept asks for it in the flags, and in MQTT 5 by its expiry. */
static void a_kept_session_says_so(void **state)
{
    static const uint8_t expiry[] = {5, 0x11, 0xff, 0xff, 0xff, 0xff};
    uint8_t out[WIRE_SMALL];
    struct wire_login login = {.version = 4, .client_id = "c"};
    struct wire_frame f;

    for (login.version = 4; login.version <= 5; login.version++) {
        for (int kept = 0; kept <= 1; kept++) {
            login.kept = kept;
            size_t n = wire_connect(out, &login);
            assert_int_equal(wire_next(out, n, &f), 1);
            assert_int_equal(f.total, n);
            assert_int_equal(f.body[7] & 2, kept ? 0 : 2);
            const uint8_t *props = f.body + 10;
            if (login.version == 5 && kept)
                assert_memory_equal(props, expiry, sizeof expiry);
            else if (login.version == 5)
                assert_int_equal(props[0], 0);
            assert_memory_equal(out + n - 3, "\0\1c", 3);
        }
    }
}

/* What the server would send (unmasked), in every split: the payload comes out whole. */
static void websocket_headers_vanish(void **state)
{
    static const uint8_t stream[] = "\x82\x03"
                                    "abc"
                                    "\x89\x02xx"
                                    "\x02\x7e\x00\x02"
                                    "de"
                                    "\x80\x01"
                                    "f";
    size_t n = sizeof stream - 1;

    for (size_t cut = 0; cut <= n; cut++) {
        struct chan c = {0};
        uint8_t in[64], out[64];
        int closing = 0;
        memcpy(in, stream, n);
        size_t a = webframe_strip(&c, in, cut, &closing);
        memcpy(out, in, a);
        memcpy(in, stream, n);
        size_t b = webframe_strip(&c, in + cut, n - cut, &closing);
        memcpy(out + a, in + cut, b);
        assert_false(closing);
        assert_int_equal(a + b, 6);
        assert_memory_equal(out, "abcdef", 6);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_is_no_event),
        cmocka_unit_test(a_gap_is_loss),
        cmocka_unit_test(a_late_one_is_disorder_and_no_loss),
        cmocka_unit_test(a_second_one_is_a_duplicate),
        cmocka_unit_test(numbers_wrap),
        cmocka_unit_test(percentiles_are_within_two_percent),
        cmocka_unit_test(frames_are_found_whole),
        cmocka_unit_test(a_kept_session_says_so),
        cmocka_unit_test(websocket_headers_vanish),
    };
    return cmocka_run_group_tests_name("bench", tests, NULL, NULL);
}
