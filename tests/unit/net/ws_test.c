/* WebSocket and PROXY connections over loopback, alone, together and over TLS. */
#include "tls_fixture.h"

#include <pthread.h>

#include "net/conn_impl.h"

enum { PEERS = 8, FIN = 0x80, MASKED = 0x80 };

#define REQUEST                                                                                    \
    "GET /mqtt HTTP/1.1\r\n"                                                                       \
    "Host: localhost\r\n"                                                                          \
    "Upgrade: websocket\r\n"                                                                       \
    "Connection: Upgrade\r\n"                                                                      \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"                                              \
    "Sec-WebSocket-Protocol: mqtt\r\n"                                                             \
    "Origin: https://app.test\r\n"                                                                 \
    "Sec-WebSocket-Version: 13\r\n\r\n"

struct fixture {
    struct loop *loop;
    struct listener *listener;
    struct peer peer[PEERS];
    struct peers peers;
    struct listen_conf conf;
    struct identity ca, server;
    struct listen_cert cert;
    char dir[64];
    char err[256];
    int fd;
};

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof *f);
    assert_int_equal(loop_open(&f->loop, 0, NULL, NULL), 0);
    f->peers = (struct peers){.items = f->peer, .cap = PEERS};
    f->conf = (struct listen_conf){.name = "ws",
                                   .address = "127.0.0.1:0",
                                   .websocket = true,
                                   .handler = &peer_handler,
                                   .user = &f->peers};
    f->fd = -1;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    if (f->fd >= 0)
        close(f->fd);
    listener_close(&f->listener);
    loop_free(&f->loop);
    for (int i = 0; i < PEERS; i++) {
        assert_int_equal(f->peer[i].closes, f->peer[i].ups);
        peer_free(&f->peer[i]);
    }
    free(f);
    return 0;
}

static void open_listener(struct fixture *f)
{
    if (listener_open(&f->listener, &f->conf, &f->loop, 1, f->err, sizeof f->err) < 0)
        fail_msg("%s", f->err);
    f->fd = client_connect(listener_port(f->listener));
}

static void far_send(struct fixture *f, const void *bytes, size_t len)
{
    assert_int_equal(send(f->fd, bytes, len, MSG_NOSIGNAL), (ssize_t)len);
}

/* Reads until len bytes are there, or the end; returns how many. */
static size_t far_read(struct fixture *f, void *buf, size_t len)
{
    uint64_t end = clock_mono_ms() + DEADLINE_MS;
    size_t have = 0;
    while (have < len) {
        ssize_t n = recv(f->fd, (char *)buf + have, len - have, MSG_DONTWAIT);
        if (n == 0)
            break;
        assert_true(n > 0 || errno == EAGAIN);
        assert_true(clock_mono_ms() < end);
        if (n > 0)
            have += (size_t)n;
        else
            loop_turn(f->loop, 1);
    }
    return have;
}

/* The answer's head; what follows is left in the socket. */
static void far_read_head(struct fixture *f, char *text, size_t size)
{
    size_t len = 0;
    while (len < 4 || memcmp(text + len - 4, "\r\n\r\n", 4) != 0) {
        assert_true(len + 1 < size);
        assert_int_equal(far_read(f, text + len, 1), 1);
        len++;
    }
    text[len] = '\0';
}

static void far_upgrade(struct fixture *f)
{
    char answer[1024];
    far_send(f, REQUEST, sizeof REQUEST - 1);
    far_read_head(f, answer, sizeof answer);
    assert_non_null(strstr(answer, "101 Switching Protocols"));
    assert_non_null(strstr(answer, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_int_equal(f->peer[0].ups, 1);
}

static size_t make_frame(uint8_t *out, unsigned first, const void *payload, size_t len)
{
    static const uint8_t mask[4] = {9, 8, 7, 6};
    size_t n = 0;
    out[n++] = (uint8_t)first;
    if (len < 126) {
        out[n++] = (uint8_t)(MASKED | len);
    } else {
        assert_true(len < 65536);
        out[n++] = MASKED | 126;
        out[n++] = (uint8_t)(len >> 8);
        out[n++] = (uint8_t)len;
    }
    memcpy(out + n, mask, 4);
    n += 4;
    for (size_t i = 0; i < len; i++)
        out[n++] = ((const uint8_t *)payload)[i] ^ mask[i % 4];
    return n;
}

static void far_frame(struct fixture *f, unsigned first, const void *payload, size_t len)
{
    uint8_t *frame = xmalloc(len + 14);
    far_send(f, frame, make_frame(frame, first, payload, len));
    free(frame);
}

static void expect_frame(struct fixture *f, unsigned first, const void *payload, size_t len)
{
    uint8_t got[200];
    assert_true(len < 126);
    assert_int_equal(far_read(f, got, 2 + len), 2 + len);
    assert_int_equal(got[0], first);
    assert_int_equal(got[1], len);
    assert_memory_equal(got + 2, payload, len);
}

static void bytes_travel_in_frames(void **state)
{
    struct fixture *f = *state;
    struct conn_facts facts;
    open_listener(f);
    far_upgrade(f);
    conn_facts(f->peer[0].conn, &facts);
    assert_true(facts.is_websocket);
    assert_true(str_eq(facts.ws_protocol, STR("mqtt")));
    assert_true(str_eq(facts.ws_origin, STR("https://app.test")));
    assert_true(conn_shareable(f->peer[0].conn));
    far_frame(f, 2, "he", 2);
    far_frame(f, FIN | 0, "llo", 3);
    TURN_UNTIL(f->loop, f->peer[0].len == 5);
    assert_memory_equal(f->peer[0].bytes, "hello", 5);
    struct out_vec v[2] = {{"wor", 3, NULL}, {"ld", 2, NULL}};
    assert_int_equal(conn_send(f->peer[0].conn, v, 2), CONN_SENT);
    expect_frame(f, FIN | 2, "world", 5);
}

/* Promise C1: parsed once, however it drips. */
static void a_dripping_request_is_understood(void **state)
{
    struct fixture *f = *state;
    open_listener(f);
    for (size_t i = 0; i + 1 < sizeof REQUEST; i++) {
        far_send(f, &REQUEST[i], 1);
        loop_turn(f->loop, 0);
    }
    TURN_UNTIL(f->loop, f->peer[0].ups == 1);
    assert_null(f->peer[0].conn->in);
}

static void frames_behind_the_request_are_not_lost(void **state)
{
    struct fixture *f = *state;
    uint8_t all[sizeof REQUEST + 20];
    open_listener(f);
    memcpy(all, REQUEST, sizeof REQUEST - 1);
    size_t len = sizeof REQUEST - 1;
    len += make_frame(all + len, FIN | 2, "early", 5);
    far_send(f, all, len);
    TURN_UNTIL(f->loop, f->peer[0].len == 5);
}

static void expect_refusal(struct fixture *f, const char *request, const char *status)
{
    char answer[2048];
    far_send(f, request, strlen(request));
    answer[far_read(f, answer, sizeof answer - 1)] = '\0'; /* up to the end of the connection */
    if (strncmp(answer + 9, status, 3) != 0)
        fail_msg("expected %s: %s", status, answer);
    assert_int_equal(f->peers.count, 0);
    struct listen_stats s;
    listener_stats(f->listener, &s);
    assert_int_equal(s.failed_handshakes, 1);
}

static void a_browser_is_answered_in_words(void **state)
{
    struct fixture *f = *state;
    open_listener(f);
    expect_refusal(f, "GET /mqtt HTTP/1.1\r\nHost: x\r\n\r\n", "426");
}

static void a_wrong_path_is_not_found(void **state)
{
    struct fixture *f = *state;
    f->conf.ws_path = "/other";
    open_listener(f);
    expect_refusal(f, REQUEST, "404");
}

static void a_foreign_origin_is_refused(void **state)
{
    static const char *const allowed[] = {"https://other.test"};
    struct fixture *f = *state;
    f->conf.ws_origins = (struct listen_strings){allowed, 1};
    open_listener(f);
    expect_refusal(f, REQUEST, "403");
}

static void an_endless_request_is_cut_off(void **state)
{
    struct fixture *f = *state;
    char request[9000];
    open_listener(f);
    memset(request, 'x', sizeof request);
    memcpy(request, "GET /mqtt HTTP/1.1\r\nX: ", 23);
    request[sizeof request - 1] = '\0';
    expect_refusal(f, request, "431");
}

static void a_silent_client_times_out(void **state)
{
    struct fixture *f = *state;
    struct listen_stats s;
    f->conf.handshake_timeout_ms = 50;
    open_listener(f);
    far_send(f, "GET /", 5);
    do {
        loop_turn(f->loop, 10);
        listener_stats(f->listener, &s);
    } while (s.connections > 0 || s.failed_handshakes == 0);
    assert_int_equal(f->peers.count, 0);
}

static void a_ping_is_answered(void **state)
{
    struct fixture *f = *state;
    open_listener(f);
    far_upgrade(f);
    far_frame(f, FIN | 9, "alive?", 6);
    expect_frame(f, FIN | 10, "alive?", 6);
    assert_int_equal(f->peer[0].writables, 1);
    far_frame(f, FIN | 10, "unasked", 7);
    far_frame(f, FIN | 9, "", 0);
    expect_frame(f, FIN | 10, "", 0);
}

/* Many pings in one read cost one answer. */
static void a_flood_of_pings_is_answered_once_a_read(void **state)
{
    enum { PINGS = 2000 };
    struct fixture *f = *state;
    uint8_t *flood = xmalloc(PINGS * 16);
    size_t len = 0;
    open_listener(f);
    far_upgrade(f);
    for (int i = 0; i < PINGS; i++)
        len += make_frame(flood + len, FIN | 9, &i, sizeof i);
    far_send(f, flood, len);
    far_frame(f, FIN | 2, "x", 1);
    TURN_UNTIL(f->loop, f->peer[0].len == 1);
    assert_true(f->peer[0].writables < 100);
    free(flood);
}

static void closing_is_answered(void **state)
{
    struct fixture *f = *state;
    char byte;
    open_listener(f);
    far_upgrade(f);
    far_frame(f, FIN | 2, "last", 4);
    far_frame(f, FIN | 8, "\x03\xe8", 2);
    expect_frame(f, FIN | 8, "\x03\xe8", 2);
    assert_int_equal(far_read(f, &byte, 1), 0);
    assert_int_equal(f->peer[0].cause, CONN_PEER_CLOSED);
    assert_int_equal(f->peer[0].len, 4);
}

static void text_is_refused(void **state)
{
    struct fixture *f = *state;
    open_listener(f);
    far_upgrade(f);
    far_frame(f, FIN | 1, "{}", 2);
    expect_frame(f, FIN | 8, "\x03\xeb", 2); /* 1003 [MQTT-6.0.0-1] */
    TURN_UNTIL(f->loop, f->peer[0].closes == 1);
    assert_int_equal(f->peer[0].cause, CONN_PROTOCOL);
}

static void an_unmasked_frame_is_refused(void **state)
{
    struct fixture *f = *state;
    open_listener(f);
    far_upgrade(f);
    far_send(f, "\x82\x01x", 3);
    expect_frame(f, FIN | 8, "\x03\xea", 2); /* 1002 */
    TURN_UNTIL(f->loop, f->peer[0].closes == 1);
}

static void our_close_carries_its_status(void **state)
{
    struct fixture *f = *state;
    open_listener(f);
    far_upgrade(f);
    struct out_vec v = {"bye", 3, NULL};
    assert_int_equal(conn_send(f->peer[0].conn, &v, 1), CONN_SENT);
    conn_kill_later(f->peer[0].conn, CONN_SHUTDOWN, 5000);
    expect_frame(f, FIN | 2, "bye", 3);
    expect_frame(f, FIN | 8, "\x03\xe9", 2); /* 1001 */
    char byte;
    assert_int_equal(far_read(f, &byte, 1), 0);
}

static void packets_span_frames(void **state)
{
    enum { SIZE = 500000 };
    struct fixture *f = *state;
    uint8_t *packet = xmalloc(SIZE);
    open_listener(f);
    far_upgrade(f);
    f->peer[0].framed = true;
    for (size_t i = 0; i < SIZE; i++)
        packet[i] = (uint8_t)(i * 13);
    frame_put_length(packet, SIZE);
    uint8_t *frames = xmalloc(2 * SIZE);
    size_t len = 0;
    for (size_t at = 0; at < SIZE; at += 1000)
        len += make_frame(frames + len, FIN | 2, packet + at, SIZE - at < 1000 ? SIZE - at : 1000);
    for (size_t at = 0; at < len;) {
        ssize_t n = send(f->fd, frames + at, len - at, MSG_DONTWAIT | MSG_NOSIGNAL);
        at += n > 0 ? (size_t)n : 0;
        loop_turn(f->loop, 0);
    }
    TURN_UNTIL(f->loop, f->peer[0].len == SIZE);
    assert_memory_equal(f->peer[0].bytes, packet, SIZE);
    free(frames);
    free(packet);
}

/* Foreign threads send while the owner answers pings: frames are never torn. */
enum { MESSAGES = 2000 };

static void *send_messages(void *arg)
{
    struct peer *p = arg;
    uint8_t message[100];
    struct out_vec v = {message, sizeof message, NULL};
    memset(message, 'm', sizeof message);
    for (int sent = 0; sent < MESSAGES;) {
        lock_take(&p->lock);
        if (!conn_blocked(p->conn)) {
            conn_send(p->conn, &v, 1);
            sent++;
        }
        lock_drop(&p->lock);
    }
    return NULL;
}

static void pongs_and_foreign_messages_do_not_mix(void **state)
{
    struct fixture *f = *state;
    pthread_t thread;
    uint8_t ping[16], got[102];
    open_listener(f);
    far_upgrade(f);
    size_t ping_len = make_frame(ping, FIN | 9, "tick", 4);
    assert_int_equal(loop_start(f->loop), 0);
    pthread_create(&thread, NULL, send_messages, &f->peer[0]);
    int messages = 0, pongs = 0;
    while (messages < MESSAGES || pongs == 0) {
        if (messages % 10 == 0 && messages < MESSAGES)
            far_send(f, ping, ping_len);
        assert_int_equal(recv(f->fd, got, 2, MSG_WAITALL), 2);
        assert_true(got[0] == (FIN | 2) || got[0] == (FIN | 10));
        assert_int_equal(got[1], got[0] == (FIN | 2) ? 100 : 4);
        assert_int_equal(recv(f->fd, got + 2, got[1], MSG_WAITALL), got[1]);
        if (got[0] == (FIN | 2)) {
            assert_int_equal(got[2], 'm');
            assert_int_equal(got[101], 'm');
            messages++;
        } else {
            assert_memory_equal(got + 2, "tick", 4);
            pongs++;
        }
    }
    pthread_join(thread, NULL);
    loop_stop(f->loop);
}

/* PROXY headers */

static void a_proxy_header_names_the_peer(void **state)
{
    static const char *const sources[] = {"192.0.2.0/24", "127.0.0.0/8"};
    struct fixture *f = *state;
    char text[CONN_ADDR_MAX];
    f->conf.websocket = false;
    f->conf.proxy = LISTEN_PROXY_ANY;
    f->conf.proxy_sources = (struct listen_strings){sources, 2};
    open_listener(f);
    static const char header[] = "PROXY TCP4 203.0.113.9 198.51.100.2 4711 1883\r\nhello";
    for (size_t i = 0; i + 1 < sizeof header; i++) {
        far_send(f, header + i, 1);
        loop_turn(f->loop, 0);
    }
    TURN_UNTIL(f->loop, f->peer[0].len == 5);
    assert_string_equal(conn_peer(f->peer[0].conn, text), "203.0.113.9:4711");
    assert_string_equal(conn_local(f->peer[0].conn, text), "198.51.100.2:1883");
    assert_false(conn_from_here(f->peer[0].conn));
    struct conn_facts facts;
    conn_facts(f->peer[0].conn, &facts);
    assert_true(facts.is_proxied);
    assert_false(facts.is_tls);
}

/* Promise S6: only from listed addresses; and it is a must there. */
static void a_proxy_header_from_elsewhere_is_refused(void **state)
{
    static const char *const sources[] = {"192.0.2.0/24"};
    struct fixture *f = *state;
    char byte;
    f->conf.websocket = false;
    f->conf.proxy = LISTEN_PROXY_ANY;
    f->conf.proxy_sources = (struct listen_strings){sources, 1};
    open_listener(f);
    assert_int_equal(far_read(f, &byte, 1), 0);
    struct listen_stats s;
    listener_stats(f->listener, &s);
    assert_int_equal(s.refused_source, 1);
    assert_int_equal(f->peers.count, 0);
}

static void a_missing_proxy_header_is_refused(void **state)
{
    static const char *const sources[] = {"127.0.0.1"};
    struct fixture *f = *state;
    char byte;
    f->conf.websocket = false;
    f->conf.proxy = LISTEN_PROXY_V2;
    f->conf.proxy_sources = (struct listen_strings){sources, 1};
    open_listener(f);
    far_send(f, "\x10\x0c\0\4MQTT", 8);
    assert_int_equal(far_read(f, &byte, 1), 0);
    assert_int_equal(f->peers.count, 0);
}

static void a_wrong_source_list_is_explained(void **state)
{
    static const char *const sources[] = {"10.0.0.0/8", "load-balancer"};
    struct fixture *f = *state;
    f->conf.proxy = LISTEN_PROXY_ANY;
    f->conf.proxy_sources = (struct listen_strings){sources, 2};
    assert_true(listener_open(&f->listener, &f->conf, &f->loop, 1, f->err, sizeof f->err) < 0);
    assert_non_null(strstr(f->err, "load-balancer"));
}

/* All layers at once: PROXY header, TLS, WebSocket. */
static void all_layers_together(void **state)
{
    static const char *const sources[] = {"127.0.0.1"};
    struct fixture *f = *state;
    char text[CONN_ADDR_MAX], answer[512] = "";
    snprintf(f->dir, sizeof f->dir, "/tmp/skep-wss-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    f->ca = identity_new(f->dir, "ca", "Test CA", NULL, NULL);
    f->server = identity_new(f->dir, "server", "one", "DNS:one.test", &f->ca);
    f->cert = (struct listen_cert){f->server.cert_path, f->server.key_path};
    f->conf.tls = true;
    f->conf.tls_conf = (struct listen_tls){.certs = &f->cert, .cert_count = 1};
    f->conf.proxy = LISTEN_PROXY_V1;
    f->conf.proxy_sources = (struct listen_strings){sources, 1};
    open_listener(f);
    far_send(f, "PROXY TCP4 203.0.113.9 198.51.100.2 4711 8084\r\n", 47);
    struct tls_client c = {.ctx = SSL_CTX_new(TLS_client_method()), .fd = f->fd};
    assert_return_code(fcntl(c.fd, F_SETFL, O_NONBLOCK), errno);
    assert_true(tls_client_connect(&c, f->loop));
    tls_client_write(&c, f->loop, REQUEST, sizeof REQUEST - 1);
    size_t len = 0;
    while (!strstr(answer, "\r\n\r\n")) {
        assert_true(tls_client_read(&c, f->loop, answer + len, 1));
        answer[++len] = '\0';
    }
    assert_non_null(strstr(answer, " 101 "));

    uint8_t frame[32];
    tls_client_write(&c, f->loop, frame, make_frame(frame, FIN | 2, "hello", 5));
    TURN_UNTIL(f->loop, f->peer[0].len == 5);
    assert_string_equal(conn_peer(f->peer[0].conn, text), "203.0.113.9:4711");
    assert_false(conn_shareable(f->peer[0].conn));
    struct conn_facts facts;
    conn_facts(f->peer[0].conn, &facts);
    assert_true(facts.is_tls && facts.is_websocket && facts.is_proxied);
    tls_client_write(&c, f->loop, frame, make_frame(frame, FIN | 9, "p", 1));
    struct out_vec v = {"world", 5, NULL};
    assert_int_equal(conn_send(f->peer[0].conn, &v, 1), CONN_SENT);
    assert_true(tls_client_read(&c, f->loop, answer, 10));
    assert_true(memcmp(answer, "\x82\x05world\x8a\x01p", 10) == 0 ||
                memcmp(answer, "\x8a\x01p\x82\x05world", 10) == 0);
    tls_client_write(&c, f->loop, frame, make_frame(frame, FIN | 8, "", 0));
    TURN_UNTIL(f->loop, f->peer[0].closes == 1);
    assert_true(tls_client_read(&c, f->loop, answer, 4));
    assert_memory_equal(answer, "\x88\x02\x03\xe8", 4);
    assert_false(tls_client_read(&c, f->loop, answer, 1));
    assert_int_equal(SSL_get_shutdown(c.ssl), SSL_RECEIVED_SHUTDOWN);
    f->fd = -1;
    tls_client_free(&c);
    identity_free(&f->ca);
    identity_free(&f->server);
    assert_return_code(rmdir(f->dir), errno);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(bytes_travel_in_frames),
        TEST(a_dripping_request_is_understood),
        TEST(frames_behind_the_request_are_not_lost),
        TEST(a_browser_is_answered_in_words),
        TEST(a_wrong_path_is_not_found),
        TEST(a_foreign_origin_is_refused),
        TEST(an_endless_request_is_cut_off),
        TEST(a_silent_client_times_out),
        TEST(a_ping_is_answered),
        TEST(a_flood_of_pings_is_answered_once_a_read),
        TEST(closing_is_answered),
        TEST(text_is_refused),
        TEST(an_unmasked_frame_is_refused),
        TEST(our_close_carries_its_status),
        TEST(packets_span_frames),
        TEST(pongs_and_foreign_messages_do_not_mix),
        TEST(a_proxy_header_names_the_peer),
        TEST(a_proxy_header_from_elsewhere_is_refused),
        TEST(a_missing_proxy_header_is_refused),
        TEST(a_wrong_source_list_is_explained),
        TEST(all_layers_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
