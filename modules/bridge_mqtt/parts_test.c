/* Waits and rates, the path of a message, WebSocket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <openssl/evp.h>

#include "pace.h"
#include "path.h"
#include "websocket.h"

static void waits_grow_and_differ(void **state)
{
    struct backoff b, other;
    bool differ = false;

    backoff_init(&b, 1000, 8000, 12345);
    backoff_init(&other, 1000, 8000, 54321);
    for (uint32_t step = 1000, i = 0; i < 8; i++) {
        uint32_t wait = backoff_next(&b);
        assert_in_range(wait, step - step / 2, step);
        differ |= wait != backoff_next(&other);
        step = step * 2 > 8000 ? 8000 : step * 2;
    }
    assert_true(differ);
    backoff_reset(&b);
    assert_in_range(backoff_next(&b), 500, 1000);
    backoff_init(&b, UINT32_MAX / 2 + 9, UINT32_MAX, 1); /* no overflow */
    backoff_next(&b);
    assert_in_range(backoff_next(&b), UINT32_MAX / 2, UINT32_MAX);
}

static void a_rate_holds(void **state)
{
    struct bucket b;
    uint64_t wait = 0, now = 5000;
    unsigned taken = 0;

    bucket_init(&b, 100, now);
    for (unsigned ms = 0; ms < 1000; ms++, now++) {
        while (bucket_take(&b, now, &wait))
            taken++;
        assert_in_range(wait, 1, 11);
    }
    assert_in_range(taken, 105, 111); /* a burst of ten, then a hundred a second */
    bucket_init(&b, 0, now);
    for (unsigned i = 0; i < 1000; i++)
        assert_true(bucket_take(&b, now, &wait));
}

static void a_path_grows_and_is_recognised(void **state)
{
    struct skep_user_property from[] = {{SKEP_STR("x"), SKEP_STR("1")},
                                        {SKEP_STR("skep-path"), SKEP_STR(">aaa,<bbb")}};
    struct skep_user_property to[3];
    struct buf text = {0}, more = {0};

    assert_true(path_has(from, 2, 0, SKEP_STR("aaa")) && path_has(from, 2, 0, SKEP_STR("bbb")));
    assert_true(path_has(from, 2, PATH_OUT, SKEP_STR("aaa")));
    assert_false(path_has(from, 2, PATH_OUT, SKEP_STR("bbb")));
    assert_false(path_has(from, 2, 0, SKEP_STR("aa")) || path_has(from, 2, 0, SKEP_STR("")));
    assert_false(path_has(from, 1, 0, SKEP_STR("aaa")));
    assert_int_equal(path_add(from, 2, PATH_OUT, SKEP_STR("ccc"), to, &text), 2);
    assert_true(skep_str_eq(to[1].value, SKEP_STR(">aaa,<bbb,>ccc")));
    assert_true(skep_str_eq(to[0].value, SKEP_STR("1")));
    assert_int_equal(path_add(NULL, 0, PATH_IN, SKEP_STR("ccc"), to, &more), 1);
    assert_true(skep_str_eq(to[0].value, SKEP_STR("<ccc")));
    assert_int_equal(path_add(from, 2, PATH_IN, SKEP_STR("ddd"), from, &more), 2); /* in place */
    assert_true(skep_str_eq(from[1].value, SKEP_STR(">aaa,<bbb,<ddd")));
    char *long_one = calloc(1, PATH_MOST + 1);
    from[1].value = skep_bytes(long_one, PATH_MOST + 1);
    assert_true(path_has(from, 2, 0, SKEP_STR("zzz"))); /* it went round and round */
    free(long_one);
    buf_fini(&text);
    buf_fini(&more);
}

/* -- WebSocket -- */

static void put_answer(struct buf *raw, const struct ws *w, const char *protocol)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    char text[256], accept[64];
    unsigned len;

    snprintf(text, sizeof text, "%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", w->key);
    EVP_Digest(text, strlen(text), digest, &len, EVP_sha1(), NULL);
    EVP_EncodeBlock((unsigned char *)accept, digest, (int)len);
    int n = snprintf(text, sizeof text,
                     "HTTP/1.1 101 Switching\r\nsec-websocket-ACCEPT:  %s \r\n"
                     "Sec-WebSocket-Protocol: %s\r\n\r\n",
                     accept, protocol);
    buf_put(raw, text, (size_t)n);
}

static void a_websocket_opens(void **state)
{
    struct buf raw = {0}, in = {0}, out = {0};
    struct ws w;

    ws_ask(&w, &out, "example.com", "/mqtt");
    buf_put(&out, "", 1);
    assert_non_null(strstr((const char *)buf_data(&out), "GET /mqtt HTTP/1.1\r\n"));
    assert_non_null(strstr((const char *)buf_data(&out), "Sec-WebSocket-Protocol: mqtt\r\n"));
    buf_clear(&out);
    put_answer(&raw, &w, "mqtt");
    struct buf part = {0};
    buf_put(&part, buf_data(&raw), 20);
    assert_int_equal(ws_take(&w, &part, &in, &out), 0);
    assert_int_equal(w.state, WS_ASKED);
    buf_put(&part, buf_data(&raw) + 20, buf_len(&raw) - 20);
    buf_put(&part, "\x82\3abc\x89\2hi\x02\1d\x80\1e", 15); /* data, ping, two fragments */
    buf_put(&part, "f", 0);
    assert_int_equal(ws_take(&w, &part, &in, &out), 0);
    assert_int_equal(w.state, WS_OPEN);
    assert_int_equal(buf_len(&in), 5);
    assert_memory_equal(buf_data(&in), "abcde", 5);
    const uint8_t *pong = buf_data(&out);
    assert_int_equal(buf_len(&out), 8);
    assert_int_equal(pong[0], 0x8a);
    assert_int_equal(pong[1], 0x82);
    assert_int_equal(pong[6] ^ pong[2], 'h');
    buf_clear(&in);
    for (size_t i = 0; i < 6; i++) { /* a frame byte by byte */
        buf_put(&part, &"\x82\4wxyz"[i], 1);
        assert_int_equal(ws_take(&w, &part, &in, &out), 0);
    }
    assert_memory_equal(buf_data(&in), "wxyz", 4);
    buf_put(&part, "\x88\0", 2);
    assert_int_equal(ws_take(&w, &part, &in, &out), -1);
    assert_string_equal(w.why, "it closed the WebSocket");
    ws_fini(&w);
    buf_fini(&raw);
    buf_fini(&part);
    buf_fini(&in);
    buf_fini(&out);
}

static void a_websocket_may_be_wrong(void **state)
{
    static const char *const frames[] = {"\xc2\1a", "\x82\x81mask", "\x81\1t", "\x09\0", "\x83\0"};
    struct buf raw = {0}, in = {0}, out = {0};
    struct ws w;

    ws_ask(&w, &out, "h", "/");
    buf_put(&raw, "HTTP/1.1 403 No\r\n\r\n", 19);
    assert_int_equal(ws_take(&w, &raw, &in, &out), -1);
    assert_string_equal(w.why, "it did not upgrade to WebSocket");
    buf_clear(&raw);
    ws_ask(&w, &out, "h", "/");
    put_answer(&raw, &w, "chat");
    assert_int_equal(ws_take(&w, &raw, &in, &out), -1);
    assert_string_equal(w.why, "it does not offer MQTT over WebSocket");
    for (size_t i = 0; i < sizeof frames / sizeof frames[0]; i++) {
        buf_clear(&raw);
        w = (struct ws){.state = WS_OPEN};
        buf_put(&raw, frames[i], i == 3 || i == 4 ? 2 : 3);
        assert_int_equal(ws_take(&w, &raw, &in, &out), -1);
    }
    buf_fini(&raw);
    buf_fini(&in);
    buf_fini(&out);
}

static void lengths_of_frames(void **state)
{
    static const size_t sizes[] = {0, 125, 126, 65535, 65536};
    uint8_t *data = calloc(1, 65536);

    for (size_t i = 0; i < 5; i++) {
        struct buf out = {0};
        ws_put(&out, data, sizes[i]);
        size_t head = sizes[i] < 126 ? 2 : sizes[i] < 65536 ? 4 : 10;
        assert_int_equal(buf_len(&out), head + 4 + sizes[i]);
        buf_fini(&out);
    }
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waits_grow_and_differ),          cmocka_unit_test(a_rate_holds),
        cmocka_unit_test(a_path_grows_and_is_recognised), cmocka_unit_test(a_websocket_opens),
        cmocka_unit_test(a_websocket_may_be_wrong),       cmocka_unit_test(lengths_of_frames),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
