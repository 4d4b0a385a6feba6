/* PROXY headers of both versions, whole and cut, good and bad. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/mem.h"
#include "net/proxy.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"

static int parse(struct str bytes, enum listen_proxy allowed, struct proxy_header *h)
{
    struct proxy_header unused;
    return proxy_parse(h ? h : &unused, bytes, allowed);
}

/* Any beginning of a good header asks for more. */
static void check_cut(struct str bytes, int whole)
{
    for (size_t len = 0; len < (size_t)whole; len++)
        assert_int_equal(parse((struct str){bytes.ptr, len}, LISTEN_PROXY_ANY, NULL), 0);
}

static void expect_peer(const struct proxy_header *h, const char *source, const char *destination)
{
    char text[128];
    assert_true(h->known);
    addr_text(&h->source.any, text, sizeof text);
    assert_string_equal(text, source);
    addr_text(&h->destination.any, text, sizeof text);
    assert_string_equal(text, destination);
}

static void version_1(void **state)
{
    struct proxy_header h;
    struct str v4 = STR("PROXY TCP4 192.0.2.1 198.51.100.2 56324 1883\r\nrest");
    assert_int_equal(parse(v4, LISTEN_PROXY_ANY, &h), v4.len - 4);
    expect_peer(&h, "192.0.2.1:56324", "198.51.100.2:1883");
    check_cut(v4, (int)v4.len - 4);

    struct str v6 = STR("PROXY TCP6 2001:db8::1 ::1 1 65535\r\n");
    assert_int_equal(parse(v6, LISTEN_PROXY_V1, &h), v6.len);
    expect_peer(&h, "[2001:db8::1]:1", "[::1]:65535");

    struct str unknown = STR("PROXY UNKNOWN whatever it says\r\n");
    assert_int_equal(parse(unknown, LISTEN_PROXY_V1, &h), unknown.len);
    assert_false(h.known);
    assert_false(h.local);
}

static void wrong_version_1(void **state)
{
    static const char *const wrong[] = {
        "PROXY TCP4 192.0.2.1 198.51.100.2 56324\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 56324 1883 x\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 56324 65536\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 56324 -1\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 056 1\r\n",
        "PROXY TCP4 192.0.2.256 198.51.100.2 5 1\r\n",
        "PROXY TCP4 ::1 ::1 5 1\r\n",
        "PROXY TCP6 192.0.2.1 192.0.2.1 5 1\r\n",
        "PROXY TCP5 192.0.2.1 192.0.2.1 5 1\r\n",
        "PROXY  TCP4 192.0.2.1 192.0.2.1 5 1\r\n",
        "PROXY\r\n........",
        "proxy TCP4 192.0.2.1 198.51.100.2 5 1\r\n",
        "GET / HTTP/1.1\r\n",
        "\x10\x0c", /* MQTT without a header */
    };
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        if (parse(str_of(wrong[i]), LISTEN_PROXY_ANY, NULL) >= 0)
            fail_msg("accepted: %s", wrong[i]);
    }
    char endless[200];
    memset(endless, 'x', sizeof endless);
    memcpy(endless, "PROXY TCP4 ", 11);
    assert_int_equal(parse((struct str){endless, 106}, LISTEN_PROXY_ANY, NULL), 0);
    assert_true(parse((struct str){endless, 107}, LISTEN_PROXY_ANY, NULL) < 0);
    assert_true(parse(STR("PROXY TCP4 1.1.1.1 1.1.1.1 1 1\0\r\n"), LISTEN_PROXY_ANY, NULL) < 0);
}

static const struct str v2_v4 = {SIGNATURE "\x21\x11\x00\x0c"
                                           "\xc0\x00\x02\x01\xc6\x33\x64\x02\xdc\x04\x07\x5b",
                                 28};

static void version_2(void **state)
{
    struct proxy_header h;
    assert_int_equal(parse(v2_v4, LISTEN_PROXY_ANY, &h), 28);
    expect_peer(&h, "192.0.2.1:56324", "198.51.100.2:1883");
    check_cut(v2_v4, 28);

    struct str v6 = STR(SIGNATURE "\x21\x21\x00\x24"
                                  "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"
                                  "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01"
                                  "\x00\x01\xff\xff");
    assert_int_equal(parse(v6, LISTEN_PROXY_V2, &h), 52);
    expect_peer(&h, "[2001:db8::1]:1", "[::1]:65535");

    struct str local = STR(SIGNATURE "\x20\x00\x00\x03xyz");
    assert_int_equal(parse(local, LISTEN_PROXY_V2, &h), 19);
    assert_true(h.local);

    struct str unspecified = STR(SIGNATURE "\x21\x00\x00\x00");
    assert_int_equal(parse(unspecified, LISTEN_PROXY_V2, &h), 16);
    assert_false(h.known);
    assert_false(h.local);
}

static void what_the_balancer_knows_of_tls(void **state)
{
    struct proxy_header h;
    struct str good = STR(SIGNATURE "\x21\x11\x00\x4d"
                                    "\xc0\x00\x02\x01\xc6\x33\x64\x02\xdc\x04\x07\x5b"
                                    "\x02\x00\x08one.test"
                                    "\x01\x00\x04mqtt"
                                    "\x20\x00\x2c"
                                    "\x07\x00\x00\x00\x00"
                                    "\x21\x00\x07TLSv1.3"
                                    "\x22\x00\x08sensor 7"
                                    "\x23\x00\x0f"
                                    "AES128-GCM-SHA2");
    assert_int_equal(parse(good, LISTEN_PROXY_ANY, &h), good.len);
    assert_true(h.tls);
    assert_true(h.cert_verified);
    assert_true(str_eq(h.tls_version, STR("TLSv1.3")));
    assert_true(str_eq(h.cert_cn, STR("sensor 7")));
    assert_true(str_eq(h.tls_cipher, STR("AES128-GCM-SHA2")));
    assert_true(str_eq(h.server_name, STR("one.test")));
    assert_true(str_eq(h.alpn, STR("mqtt")));

    char bytes[128];
    size_t client = 12 + 4 + 12 + 11 + 7 + 3;
    memcpy(bytes, good.ptr, good.len);
    struct str changed = {bytes, good.len};
    bytes[client + 4] = 1; /* verification failed */
    assert_int_equal(parse(changed, LISTEN_PROXY_ANY, &h), good.len);
    assert_false(h.cert_verified);
    bytes[client + 4] = 0;
    bytes[client] = 1; /* TLS, but no certificate shown */
    assert_int_equal(parse(changed, LISTEN_PROXY_ANY, &h), good.len);
    assert_true(h.tls);
    assert_false(h.cert_verified);
    bytes[client - 1] = 0x2d; /* longer than what there is */
    assert_true(parse(changed, LISTEN_PROXY_ANY, &h) < 0);
}

static void a_checksum_is_checked(void **state)
{
    char bytes[35];
    /* CRC32C by an independent bitwise computation of this test */
    memcpy(bytes, v2_v4.ptr, 28);
    bytes[15] = 12 + 7;
    memcpy(bytes + 28, "\x03\x00\x04\0\0\0\0", 7);
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < sizeof bytes; i++) {
        for (int bit = 0; bit < 8; bit++) {
            unsigned in = ((unsigned char)bytes[i] >> bit & 1) ^ (crc & 1);
            crc = crc >> 1 ^ (in ? 0x82f63b78 : 0);
        }
    }
    crc = ~crc;
    for (int i = 0; i < 4; i++)
        bytes[31 + i] = (char)(crc >> (24 - 8 * i));
    struct str s = {bytes, sizeof bytes};
    assert_int_equal(parse(s, LISTEN_PROXY_ANY, NULL), sizeof bytes);
    bytes[17] ^= 1;
    assert_true(parse(s, LISTEN_PROXY_ANY, NULL) < 0);
}

static void expect_wrong(size_t at, char value)
{
    char bytes[28];
    memcpy(bytes, v2_v4.ptr, sizeof bytes);
    bytes[at] = value;
    assert_true(parse((struct str){bytes, sizeof bytes}, LISTEN_PROXY_ANY, NULL) < 0);
}

static void wrong_version_2(void **state)
{
    expect_wrong(5, 'x');     /* signature */
    expect_wrong(12, '\x11'); /* version */
    expect_wrong(12, '\x22'); /* command */
    expect_wrong(13, '\x12'); /* UDP */
    expect_wrong(13, '\x41'); /* family */
    expect_wrong(13, '\x21'); /* too short for IPv6 */
    expect_wrong(14, '\xff'); /* larger than any balancer's */
    expect_wrong(15, 11);     /* too short for IPv4 */
    struct str torn = STR(SIGNATURE "\x21\x11\x00\x0e"
                                    "\xc0\x00\x02\x01\xc6\x33\x64\x02\xdc\x04\x07\x5b\x02\x00");
    assert_true(parse(torn, LISTEN_PROXY_ANY, NULL) < 0);
}

static void only_the_configured_version_is_taken(void **state)
{
    struct str v1 = STR("PROXY TCP4 192.0.2.1 198.51.100.2 56324 1883\r\n");
    assert_true(parse(v1, LISTEN_PROXY_V2, NULL) < 0);
    assert_true(parse(v2_v4, LISTEN_PROXY_V1, NULL) < 0);
    assert_true(parse(v1, LISTEN_PROXY_V1, NULL) > 0);
    assert_true(parse(v2_v4, LISTEN_PROXY_V2, NULL) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(version_1),
        cmocka_unit_test(wrong_version_1),
        cmocka_unit_test(version_2),
        cmocka_unit_test(what_the_balancer_knows_of_tls),
        cmocka_unit_test(a_checksum_is_checked),
        cmocka_unit_test(wrong_version_2),
        cmocka_unit_test(only_the_configured_version_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
