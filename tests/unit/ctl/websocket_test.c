/* WebSocket from the client's side, byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/websocket.h"

static void add(struct bytes *b, struct str s)
{
    bytes_add(b, s.ptr, s.len);
}

static void the_request_has_what_rfc_6455_asks(void **state)
{
    struct link_conf conf = {.host = "::1", .port = 99, .ws_path = "chat"};
    struct bytes out = {0};
    char key[WEBSOCKET_KEY_SIZE];

    arg_list_add(&conf.ws_headers, "Origin: http://x");
    websocket_ask(&out, &conf, key);
    bytes_add(&out, "", 1);
    assert_int_equal(24, strlen(key));
    assert_int_equal(0, strncmp((char *)out.ptr, "GET /chat HTTP/1.1\r\n", 20));
    assert_non_null(strstr((char *)out.ptr, "\r\nHost: [::1]:99\r\n"));
    assert_non_null(strstr((char *)out.ptr, "\r\nUpgrade: websocket\r\n"));
    assert_non_null(strstr((char *)out.ptr, "\r\nSec-WebSocket-Version: 13\r\n"));
    assert_non_null(strstr((char *)out.ptr, "\r\nSec-WebSocket-Protocol: mqtt\r\n"));
    assert_non_null(strstr((char *)out.ptr, "\r\nOrigin: http://x\r\n\r\n"));
    bytes_fini(&out);
    arg_list_fini(&conf.ws_headers);
}

/* The key and its answer are RFC 6455's own example. */
#define KEY    "dGhlIHNhbXBsZSBub25jZQ=="
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

static void the_answer_is_checked(void **state)
{
    struct bytes raw = {0};
    struct fault fault;

    add(&raw, STR("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"));
    assert_int_equal(0, websocket_answer(&raw, KEY, &fault));
    add(&raw, STR("sec-websocket-accept:  " ACCEPT "\r\n\r\nrest"));
    assert_int_equal(1, websocket_answer(&raw, KEY, &fault));
    assert_true(str_eq(STR("rest"), bytes_str(&raw)));

    raw.len = 0;
    add(&raw, STR("HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: AAAA\r\n\r\n"));
    assert_int_equal(-1, websocket_answer(&raw, KEY, &fault));
    raw.len = 0;
    add(&raw, STR("HTTP/1.1 404 Not Found\r\n\r\n"));
    assert_int_equal(-1, websocket_answer(&raw, KEY, &fault));
    assert_non_null(strstr(fault.text, "404 Not Found"));
    raw.len = 0;
    add(&raw, STR("\x20\x02\r\n\r\n"));
    assert_int_equal(-1, websocket_answer(&raw, KEY, &fault));
    bytes_fini(&raw);
}

static void an_endless_answer_is_cut_off(void **state)
{
    struct bytes raw = {0};
    struct fault fault;
    int result = 0;

    for (int i = 0; i < 100 && result == 0; i++) {
        memset(bytes_room(&raw, 1000), 'a', 1000);
        raw.len += 1000;
        result = websocket_answer(&raw, KEY, &fault);
    }
    assert_int_equal(-1, result);
    assert_true(raw.len < 20000);
    bytes_fini(&raw);
}

/* Every length form, its mask undone by hand. */
static void frames_out_are_masked(void **state)
{
    static const size_t sizes[] = {0, 1, 125, 126, 65535, 65536};

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        size_t len = sizes[i], head = len < 126 ? 2 : len < 65536 ? 4 : 10;
        uint8_t *data = malloc(len + 1);
        struct bytes out = {0};

        for (size_t k = 0; k < len; k++)
            data[k] = (uint8_t)(k * 7);
        websocket_put(&out, WEBSOCKET_BINARY, data, len);
        assert_int_equal(head + 4 + len, out.len);
        assert_int_equal(0x82, out.ptr[0]);
        assert_int_equal(0x80, out.ptr[1] & 0x80);
        for (size_t k = 0; k < len; k++)
            assert_int_equal(data[k], out.ptr[head + 4 + k] ^ out.ptr[head + k % 4]);
        free(data);
        bytes_fini(&out);
    }
}

static void frames_in_are_joined(void **state)
{
    static const struct str wire = STR("\x02\x03"
                                       "abc" /* begins a fragmented message */
                                       "\x89\x02"
                                       "hi" /* a ping in the middle */
                                       "\x80\x01"
                                       "d" /* ends it */
                                       "\x82\x7e\x00\x02"
                                       "ef");
    struct bytes raw = {0}, in = {0}, out = {0};
    struct fault fault;

    for (size_t i = 0; i < wire.len; i++) {
        bytes_add(&raw, wire.ptr + i, 1);
        assert_int_equal(0, websocket_take(&raw, &in, &out, &fault));
    }
    assert_true(str_eq(STR("abcdef"), bytes_str(&in)));
    assert_int_equal(0, raw.len);
    assert_int_equal(8, out.len); /* the pong */
    assert_int_equal(0x8a, out.ptr[0]);
    bytes_fini(&raw);
    bytes_fini(&in);
    bytes_fini(&out);
}

static void broken_frames_end_the_link(void **state)
{
    static const struct {
        struct str wire;
        const char *says;
    } wrong[] = {
        {STR("\x82\x81"), "masked"},
        {STR("\xc2\x01x"), "extended"},
        {STR("\x81\x01x"), "type 1"},
        {STR("\x82\x7f\x80\x00\x00\x00\x00\x00\x00\x00"), "256 MiB"},
        {STR("\x88\x06\x03\xf0nope"), "code 1008: nope"},
        {STR("\x88\x00"), "closed"},
    };

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct bytes raw = {0}, in = {0}, out = {0};
        struct fault fault = {0};

        add(&raw, wrong[i].wire);
        assert_int_equal(-1, websocket_take(&raw, &in, &out, &fault));
        if (!strstr(fault.text, wrong[i].says))
            fail_msg("'%s' does not say '%s'", fault.text, wrong[i].says);
        bytes_fini(&raw);
        bytes_fini(&in);
        bytes_fini(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_request_has_what_rfc_6455_asks),
        cmocka_unit_test(the_answer_is_checked),
        cmocka_unit_test(an_endless_answer_is_cut_off),
        cmocka_unit_test(frames_out_are_masked),
        cmocka_unit_test(frames_in_are_joined),
        cmocka_unit_test(broken_frames_end_the_link),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
