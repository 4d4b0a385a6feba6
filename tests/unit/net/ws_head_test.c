/* The request for a WebSocket, and its answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "net/ws_head.h"

static const struct ws_rules any = {.path = {"/mqtt", 5}};

/* The example of RFC 6455, with MQTT's sub-protocol. */
#define GOOD                                                                                       \
    "GET /mqtt HTTP/1.1\r\n"                                                                       \
    "Host: server.example.com\r\n"                                                                 \
    "Upgrade: websocket\r\n"                                                                       \
    "Connection: Upgrade\r\n"                                                                      \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"                                              \
    "Origin: http://example.com\r\n"                                                               \
    "Sec-WebSocket-Protocol: mqtt\r\n"                                                             \
    "Sec-WebSocket-Version: 13\r\n\r\n"

static int parse(const char *text, const struct ws_rules *rules, struct ws_request *out)
{
    const char *why = NULL;
    struct ws_request request;
    int status = ws_head_parse(out ? out : &request, str_of(text), rules, &why);
    assert_true(status == 101 || why != NULL);
    return status;
}

/* GOOD with one line replaced ("" removes it). */
static int parse_with(const char *line, const char *instead)
{
    char text[2048];
    const char *at = strstr(GOOD, line);
    assert_non_null(at);
    snprintf(text, sizeof text, "%.*s%s%s", (int)(at - GOOD), GOOD, instead, at + strlen(line));
    return parse(text, &any, NULL);
}

static void a_good_request_is_accepted(void **state)
{
    struct ws_request r;
    char answer[WS_ANSWER_MAX + 1];
    assert_int_equal(parse(GOOD, &any, &r), 101);
    assert_string_equal(r.protocol, "mqtt");
    assert_true(str_eq(r.origin, STR("http://example.com")));
    size_t len = ws_head_answer(answer, 101, NULL, &r);
    answer[len] = '\0';
    /* the RFC's own answer to its example [MQTT-6.0.0-4] */
    assert_non_null(strstr(answer, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
    assert_non_null(strstr(answer, "Sec-WebSocket-Protocol: mqtt\r\n"));
    assert_int_equal(strncmp(answer, "HTTP/1.1 101 ", 13), 0);
    assert_string_equal(answer + len - 4, "\r\n\r\n");
}

static void variations_are_accepted(void **state)
{
    assert_int_equal(parse_with("Upgrade: websocket", "uPgRaDe:\tWebSocket  "), 101);
    assert_int_equal(parse_with("Connection: Upgrade", "Connection: keep-alive, Upgrade"), 101);
    assert_int_equal(parse_with("GET /mqtt ", "GET /mqtt?token=x "), 101);
    assert_int_equal(parse_with("Protocol: mqtt", "Protocol: other, mqtt"), 101);
    assert_int_equal(
        parse_with("Protocol: mqtt", "Protocol: other\r\nSec-WebSocket-Protocol: mqtt"), 101);
    assert_int_equal(parse_with("Origin: http://example.com\r\n", ""), 101);
    assert_int_equal(parse_with("Host: ", "Content-Length: 0\r\nHost: "), 101);
}

static void the_sub_protocol_is_chosen(void **state)
{
    struct ws_request r;
    const char *old = strstr(GOOD, "mqtt\r\nSec-WebSocket-V");
    char text[1024];
    snprintf(text, sizeof text, "%.*s%s%s", (int)(old - GOOD), GOOD, "mqttv3.1", old + 4);
    assert_int_equal(parse(text, &any, &r), 101);
    assert_string_equal(r.protocol, "mqttv3.1");
    snprintf(text, sizeof text, "%.*s%s%s", (int)(old - GOOD), GOOD, "mqttv3.1, mqtt", old + 4);
    assert_int_equal(parse(text, &any, &r), 101);
    assert_string_equal(r.protocol, "mqtt");
    assert_int_equal(parse_with("Protocol: mqtt", "Protocol: MQTT"), 400);
    assert_int_equal(parse_with("Sec-WebSocket-Protocol: mqtt\r\n", ""), 400);
}

static void what_is_wrong_is_refused(void **state)
{
    assert_int_equal(parse_with("GET ", "POST "), 405);
    assert_int_equal(parse_with("GET /mqtt ", "GET / "), 404);
    assert_int_equal(parse_with("GET /mqtt ", "GET /mqtt/ "), 404);
    assert_int_equal(parse_with("GET /mqtt ", "GET http://x/mqtt "), 400);
    assert_int_equal(parse_with("HTTP/1.1", "HTTP/1.0"), 505);
    assert_int_equal(parse_with("HTTP/1.1", "HTTP/2.0"), 505);
    assert_int_equal(parse_with(" HTTP/1.1", ""), 400);
    assert_int_equal(parse_with("Host: server.example.com\r\n", ""), 400);
    assert_int_equal(parse_with("Upgrade: websocket", "Upgrade: h2c"), 426);
    assert_int_equal(parse_with("Connection: Upgrade", "Connection: close"), 426);
    assert_int_equal(parse_with("Version: 13", "Version: 8"), 426);
    assert_int_equal(parse_with("Sec-WebSocket-Version: 13\r\n", ""), 426);
    assert_int_equal(parse_with("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""), 400);
    assert_int_equal(parse_with("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ="), 400);
    assert_int_equal(parse_with("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQQQ"), 400);
    assert_int_equal(parse_with("dGhlIHNhbXBsZSBub25jZQ==", "dGhl*HNhbXBsZSBub25jZQ=="), 400);
}

/* What has been used to make two servers disagree about one request. */
static void smuggling_is_refused(void **state)
{
    assert_int_equal(parse_with("Host: ", "Host: other\r\nHost: "), 400);
    assert_int_equal(parse_with("Version: 13", "Version: 13\r\nSec-WebSocket-Version: 8"), 400);
    assert_int_equal(parse_with("Host: ", "Content-Length: 10\r\nHost: "), 400);
    assert_int_equal(parse_with("Host: ", "Transfer-Encoding: chunked\r\nHost: "), 400);
    assert_int_equal(parse_with("Host: server", "Host: a\r\n folded"), 400);
    assert_int_equal(parse_with("Host: ", "Host : "), 400);
    assert_int_equal(parse_with("Host: ", ": x\r\nHost: "), 400);
    assert_int_equal(parse_with("Host: server", "Host: a\nX: b"), 400);
    assert_int_equal(parse_with("Host: server", "Host: a\rb"), 400);
    assert_int_equal(parse_with("Host: server", "Host: a\x01"), 400);
    assert_int_equal(parse_with("Host: ", "no colon here\r\nHost: "), 400);
    assert_int_equal(parse_with("GET /mqtt ", "GET  /mqtt "), 400);
    assert_int_equal(parse_with("GET /mqtt", "GET /mq\ntt"), 400);
}

static void origins_are_checked(void **state)
{
    static const char *const items[] = {"https://one.test", "http://example.com"};
    static const char *const star[] = {"*"};
    struct ws_rules rules = any;
    rules.origins = (struct listen_strings){items, 2};
    assert_int_equal(parse(GOOD, &rules, NULL), 101);
    rules.origins.count = 1;
    assert_int_equal(parse(GOOD, &rules, NULL), 403);
    rules.origins = (struct listen_strings){star, 1};
    assert_int_equal(parse(GOOD, &rules, NULL), 101);
}

static void the_end_is_found_however_it_comes(void **state)
{
    struct str text = STR(GOOD);
    for (size_t step = 1; step < text.len; step++) {
        size_t from = 0, end = 0;
        for (size_t have = step; end == 0; have += step) {
            if (have > text.len)
                have = text.len;
            end = ws_head_end((struct str){text.ptr, have}, &from);
            assert_true(end == 0 || have >= text.len);
        }
        assert_int_equal(end, text.len);
    }
}

static void answers_are_in_words(void **state)
{
    static const int statuses[] = {400, 403, 404, 405, 426, 431, 505};
    char answer[WS_ANSWER_MAX + 1];
    for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
        size_t len = ws_head_answer(answer, statuses[i], "because", NULL);
        char start[32];
        answer[len] = '\0';
        snprintf(start, sizeof start, "HTTP/1.1 %d ", statuses[i]);
        assert_int_equal(strncmp(answer, start, strlen(start)), 0);
        assert_non_null(strstr(answer, "Content-Length: 8\r\n"));
        assert_string_equal(answer + len - 12, "\r\n\r\nbecause\n");
        assert_true((statuses[i] == 426) ==
                    (strstr(answer, "Sec-WebSocket-Version: 13\r\n") != NULL));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_request_is_accepted),
        cmocka_unit_test(variations_are_accepted),
        cmocka_unit_test(the_sub_protocol_is_chosen),
        cmocka_unit_test(what_is_wrong_is_refused),
        cmocka_unit_test(smuggling_is_refused),
        cmocka_unit_test(origins_are_checked),
        cmocka_unit_test(the_end_is_found_however_it_comes),
        cmocka_unit_test(answers_are_in_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
