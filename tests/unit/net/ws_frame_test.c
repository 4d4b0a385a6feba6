/* WebSocket frames: written byte by byte here, decoded whole and cut at every place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "net/ws_frame.h"

enum { FIN = 0x80, MASKED = 0x80 };

struct wire {
    uint8_t bytes[300000];
    size_t len;
};

static void put(struct wire *w, unsigned byte)
{
    w->bytes[w->len++] = (uint8_t)byte;
}

static void put_number(struct wire *w, uint64_t n, int bytes)
{
    for (int i = bytes - 1; i >= 0; i--)
        put(w, (unsigned)(n >> 8 * i) & 0xff);
}

static void put_payload(struct wire *w, const void *payload, size_t len)
{
    static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
    for (int i = 0; i < 4; i++)
        put(w, mask[i]);
    for (size_t i = 0; i < len; i++)
        put(w, ((const uint8_t *)payload)[i] ^ mask[i % 4]);
}

static void put_frame(struct wire *w, unsigned first, const void *payload, size_t len)
{
    put(w, first);
    if (len < 126) {
        put(w, MASKED | (unsigned)len);
    } else if (len < 65536) {
        put(w, MASKED | 126);
        put_number(w, len, 2);
    } else {
        put(w, MASKED | 127);
        put_number(w, len, 8);
    }
    put_payload(w, payload, len);
}

static struct wire *wire_new(void)
{
    return xcalloc(1, sizeof(struct wire));
}

/* Decodes in pieces of `step` bytes (each its own allocation, so that sanitizers see every
 * overrun); the payload of all ends up in out. */
static int decode(struct ws_decoder *d, const struct wire *w, size_t step, uint8_t *out,
                  size_t *outlen)
{
    *outlen = 0;
    for (size_t at = 0; at < w->len; at += step) {
        size_t part = w->len - at < step ? w->len - at : step, payload;
        uint8_t *piece = xmalloc(part);
        memcpy(piece, w->bytes + at, part);
        int status = ws_decode(d, piece, part, &payload);
        assert_true(payload <= part);
        memcpy(out + *outlen, piece, payload);
        *outlen += payload;
        free(piece);
        if (status != 0)
            return status;
    }
    return 0;
}

static int status_of(const struct wire *w, uint16_t *peer)
{
    static uint8_t out[sizeof w->bytes];
    size_t len;
    int first = 0;
    for (size_t step = w->len; step > 0; step = step > 9 ? step / 2 : step - 1) {
        struct ws_decoder d = {0};
        int status = decode(&d, w, step, out, &len);
        if (step == w->len)
            first = status;
        assert_int_equal(status, first); /* however it is cut */
        if (peer)
            *peer = d.status;
    }
    return first;
}

/* [MQTT-6.0.0-1] binary frames, [MQTT-6.0.0-2] packets need not align with them. */
static void payload_becomes_one_run(void **state)
{
    struct wire *w = wire_new();
    static uint8_t bytes[70000], want[300000], got[300000];
    size_t want_len = 0, len;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7 + (i >> 8));
    static const size_t sizes[] = {0, 1, 5, 15, 16, 17, 125, 126, 127, 65535, 65536, 3, 70000};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        put_frame(w, FIN | WS_BINARY, bytes, sizes[i]);
        memcpy(want + want_len, bytes, sizes[i]);
        want_len += sizes[i];
    }
    static const size_t steps[] = {300000, 65536, 4096, 1000, 17, 3, 2, 1};
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        struct ws_decoder d = {0};
        assert_int_equal(decode(&d, w, steps[i], got, &len), 0);
        assert_int_equal(len, want_len);
        assert_memory_equal(got, want, want_len);
    }
    free(w);
}

static void fragments_with_control_frames_between_them(void **state)
{
    struct wire *w = wire_new();
    uint8_t got[100];
    size_t len;
    put_frame(w, WS_BINARY, "one ", 4);
    put_frame(w, FIN | WS_PING, "are you there", 13);
    put_frame(w, WS_CONTINUATION, "two ", 4);
    put_frame(w, FIN | WS_PONG, "unasked", 7);
    put_frame(w, WS_CONTINUATION, "", 0);
    put_frame(w, FIN | WS_CONTINUATION, "three", 5);
    put_frame(w, FIN | WS_BINARY, "!", 1);
    for (size_t step = 1; step <= w->len; step++) {
        struct ws_decoder d = {0};
        assert_int_equal(decode(&d, w, step, got, &len), 0);
        assert_int_equal(len, 14);
        assert_memory_equal(got, "one two three!", 14);
        assert_true(d.pong_due);
        assert_int_equal(d.pong_len, 13);
        assert_memory_equal(d.pong, "are you there", 13);
    }
    free(w);
}

static void the_latest_ping_is_answered(void **state)
{
    struct wire *w = wire_new();
    struct ws_decoder d = {0};
    uint8_t got[10], big[125];
    size_t len;
    memset(big, 'x', sizeof big);
    put_frame(w, FIN | WS_PING, big, sizeof big);
    put_frame(w, FIN | WS_PING, "second", 6);
    assert_int_equal(decode(&d, w, w->len, got, &len), 0);
    assert_int_equal(d.pong_len, 6);
    assert_memory_equal(d.pong, "second", 6);
    free(w);
}

static void expect(int want, void (*write)(struct wire *w))
{
    struct wire *w = wire_new();
    put_frame(w, FIN | WS_BINARY, "good", 4);
    write(w);
    assert_int_equal(status_of(w, NULL), want);
    free(w);
}

static void unmasked(struct wire *w)
{
    put(w, FIN | WS_BINARY);
    put(w, 4);
    put_number(w, 0, 4);
}

static void reserved_bit(struct wire *w)
{
    put_frame(w, FIN | 0x40 | WS_BINARY, "x", 1);
}

static void unknown_opcode(struct wire *w)
{
    put_frame(w, FIN | 3, "x", 1);
}

static void unknown_control(struct wire *w)
{
    put_frame(w, FIN | 11, "x", 1);
}

static void text(struct wire *w)
{
    put_frame(w, FIN | WS_TEXT, "x", 1);
}

static void text_fragment(struct wire *w)
{
    put_frame(w, WS_TEXT, "x", 1);
}

static void continuation_of_nothing(struct wire *w)
{
    put_frame(w, FIN | WS_CONTINUATION, "x", 1);
}

static void new_message_inside_another(struct wire *w)
{
    put_frame(w, WS_BINARY, "x", 1);
    put_frame(w, FIN | WS_BINARY, "x", 1);
}

static void fragmented_ping(struct wire *w)
{
    put_frame(w, WS_PING, "x", 1);
}

static void long_ping(struct wire *w)
{
    uint8_t bytes[126] = {0};
    put_frame(w, FIN | WS_PING, bytes, sizeof bytes);
}

static void long_form_of_a_short_length(struct wire *w)
{
    put(w, FIN | WS_BINARY);
    put(w, MASKED | 126);
    put_number(w, 125, 2);
    put_number(w, 0, 4);
}

static void longest_form_of_a_medium_length(struct wire *w)
{
    put(w, FIN | WS_BINARY);
    put(w, MASKED | 127);
    put_number(w, 65535, 8);
    put_number(w, 0, 4);
}

static void length_of_64_bits(struct wire *w)
{
    put(w, FIN | WS_BINARY);
    put(w, MASKED | 127);
    put_number(w, 1ull << 63 | 70000, 8);
    put_number(w, 0, 4);
}

static void close_of_one_byte(struct wire *w)
{
    put_frame(w, FIN | WS_CLOSE, "x", 1);
}

static void close_with_a_reserved_code(struct wire *w)
{
    put_frame(w, FIN | WS_CLOSE, "\x03\xed", 2); /* 1005 */
}

static void close_with_bad_utf8(struct wire *w)
{
    put_frame(w, FIN | WS_CLOSE, "\x03\xe8\xff", 3);
}

static void what_is_not_allowed_is_refused(void **state)
{
    expect(-WS_PROTOCOL_ERROR, unmasked);
    expect(-WS_PROTOCOL_ERROR, reserved_bit);
    expect(-WS_PROTOCOL_ERROR, unknown_opcode);
    expect(-WS_PROTOCOL_ERROR, unknown_control);
    expect(-WS_UNSUPPORTED, text);
    expect(-WS_UNSUPPORTED, text_fragment);
    expect(-WS_PROTOCOL_ERROR, continuation_of_nothing);
    expect(-WS_PROTOCOL_ERROR, new_message_inside_another);
    expect(-WS_PROTOCOL_ERROR, fragmented_ping);
    expect(-WS_PROTOCOL_ERROR, long_ping);
    expect(-WS_PROTOCOL_ERROR, long_form_of_a_short_length);
    expect(-WS_PROTOCOL_ERROR, longest_form_of_a_medium_length);
    expect(-WS_PROTOCOL_ERROR, length_of_64_bits);
    expect(-WS_PROTOCOL_ERROR, close_of_one_byte);
    expect(-WS_PROTOCOL_ERROR, close_with_a_reserved_code);
    expect(-WS_BAD_DATA, close_with_bad_utf8);
}

static void a_close_is_told_with_its_reason(void **state)
{
    struct wire *w = wire_new();
    uint16_t peer = 0;
    put_frame(w, FIN | WS_BINARY, "last", 4);
    put_frame(w, FIN | WS_CLOSE,
              "\x03\xe9"
              "bye",
              5);
    put_frame(w, FIN | WS_BINARY, "too late", 8);
    assert_int_equal(status_of(w, &peer), WS_CLOSE);
    assert_int_equal(peer, 1001);
    w->len = 0;
    put_frame(w, FIN | WS_CLOSE, "", 0);
    assert_int_equal(status_of(w, &peer), WS_CLOSE);
    assert_int_equal(peer, WS_NO_STATUS);
    free(w);
}

static void a_huge_length_is_streamed_not_stored(void **state)
{
    struct wire *w = wire_new();
    struct ws_decoder d = {0};
    uint8_t got[100];
    size_t len;
    put(w, FIN | WS_BINARY);
    put(w, MASKED | 127);
    put_number(w, (1ull << 63) - 1, 8);
    put_payload(w, "abc", 3);
    assert_int_equal(decode(&d, w, w->len, got, &len), 0);
    assert_int_equal(len, 3);
    assert_memory_equal(got, "abc", 3);
    assert_true(d.left == (1ull << 63) - 4);
    free(w);
}

static void unmasking_agrees_with_the_definition(void **state)
{
    static const uint8_t mask[4] = {1, 2, 4, 8};
    uint8_t bytes[200];
    for (unsigned gap = 0; gap < 20; gap++) {
        for (size_t len = 0; len < 150; len++) {
            for (unsigned at = 0; at < 4; at++) {
                for (size_t i = 0; i < sizeof bytes; i++)
                    bytes[i] = (uint8_t)(i * 3);
                unsigned next = ws_unmask(bytes, bytes + gap, len, mask, at);
                assert_int_equal(next, (at + len) % 4);
                for (size_t i = 0; i < len; i++)
                    assert_int_equal(bytes[i], (uint8_t)((i + gap) * 3) ^ mask[(at + i) % 4]);
            }
        }
    }
}

static void headers_are_shortest(void **state)
{
    uint8_t head[WS_HEAD_MAX];
    assert_int_equal(ws_head_write(head, WS_BINARY, 125), 2);
    assert_memory_equal(head, "\x82\x7d", 2);
    assert_int_equal(ws_head_write(head, WS_PONG, 0), 2);
    assert_memory_equal(head, "\x8a\x00", 2);
    assert_int_equal(ws_head_write(head, WS_BINARY, 126), 4);
    assert_memory_equal(head, "\x82\x7e\x00\x7e", 4);
    assert_int_equal(ws_head_write(head, WS_BINARY, 65535), 4);
    assert_memory_equal(head, "\x82\x7e\xff\xff", 4);
    assert_int_equal(ws_head_write(head, WS_BINARY, 65536), 10);
    assert_memory_equal(head, "\x82\x7f\0\0\0\0\0\x01\0\0", 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(payload_becomes_one_run),
        cmocka_unit_test(fragments_with_control_frames_between_them),
        cmocka_unit_test(the_latest_ping_is_answered),
        cmocka_unit_test(what_is_not_allowed_is_refused),
        cmocka_unit_test(a_close_is_told_with_its_reason),
        cmocka_unit_test(a_huge_length_is_streamed_not_stored),
        cmocka_unit_test(unmasking_agrees_with_the_definition),
        cmocka_unit_test(headers_are_shortest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
