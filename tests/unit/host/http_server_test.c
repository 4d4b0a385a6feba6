/* The HTTP server: raw bytes from a client that can be rude, and libcurl as one that is not. */
#include "host_fixture.h"

#include "../net/tls_fixture.h"

#include <netinet/tcp.h>
#include <signal.h>
#include <skep/http.h>
#include <skep/loop.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "host/http_server.h"

static struct rig rig;
static char dir[64];
static struct identity ca, server_id;
static struct skep_http_server *server;
static unsigned port;

/* -- Doing things on the management loop, and waiting until they are done -- */

struct errand {
    void (*fn)(void *arg);
    void *arg;
    _Atomic bool done;
};

static void run_errand(void *arg)
{
    struct errand *e = arg;
    e->fn(e->arg);
    e->done = true;
}

static void on_management(void (*fn)(void *arg), void *arg)
{
    struct errand e = {.fn = fn, .arg = arg};
    skep_post(rig.module, SKEP_MANAGEMENT, run_errand, &e, NULL);
    WAIT_UNTIL(e.done);
}

/* -- What is served -- */

static _Atomic unsigned asked;
static struct skep_http_exchange *_Atomic parked[8];

static void echo(struct skep_http_exchange *x, void *arg)
{
    struct skep_str method = skep_http_method(x), path = skep_http_path(x),
                    body = skep_http_body(x), q = {0}, bee = skep_http_header(x, "X-Bee");
    char text[4096];
    bool has = skep_http_query(x, "q", &q);

    asked++;
    int len = snprintf(text, sizeof text, "%s|%.*s|%.*s|%s%.*s|%.*s|%.*s", (const char *)arg,
                       (int)method.len, method.ptr, (int)path.len, path.ptr, has ? "q=" : "",
                       (int)q.len, q.ptr ? q.ptr : "", (int)bee.len, bee.ptr ? bee.ptr : "",
                       (int)body.len, body.ptr ? body.ptr : "");
    skep_http_set_header(x, "X-Served", "yes");
    if (q.len) {
        log_level_set(LOG_LEVEL_ERROR + 1);
        skep_http_set_header(x, "X-Evil", "a\r\nSet-Cookie: b"); /* is left out */
        skep_http_set_header(x, "Content-Length", "1");          /* as well */
        log_level_set(LOG_LEVEL_INFO);
    }
    skep_http_answer(x, 200, "text/plain", skep_bytes(text, (size_t)len));
}

static void park(struct skep_http_exchange *x, void *arg)
{
    parked[asked] = x;
    asked++;
}

static void answer_parked(void *arg)
{
    skep_http_answer(parked[(uintptr_t)arg], 200, "text/plain", skep_str("later"));
}

static void status_of_query(struct skep_http_exchange *x, void *arg)
{
    struct skep_str q = {0};
    skep_http_query(x, "status", &q);
    skep_http_answer(x, (unsigned)atoi(q.ptr), "text/plain", skep_str("body"));
}

enum { BIG = 24 << 20 };

static void big(struct skep_http_exchange *x, void *arg)
{
    char *much = xmalloc(BIG);
    memset(much, 'x', BIG);
    skep_http_answer(x, 200, NULL, skep_bytes(much, BIG));
    free(much);
}

struct opening {
    struct skep_module *module;
    struct skep_http_listen listen;
    const char *tag; /* NULL: the module's name */
    struct skep_http_server *server;
    char why[300];
};

static void add_routes(struct skep_http_server *s, const char *tag)
{
    skep_http_route(s, "GET", "/echo", echo, (void *)tag);
    skep_http_route(s, "POST", "/echo", echo, (void *)tag);
    skep_http_route(s, NULL, "/any", echo, "any");
    skep_http_route(s, "GET", "/tree/", echo, "tree");
    skep_http_route(s, "GET", "/tree/low/", echo, "low");
    skep_http_route(s, "GET", "/tree/low/leaf", echo, "leaf");
    skep_http_route(s, NULL, "/park", park, NULL);
    skep_http_route(s, NULL, "/status", status_of_query, NULL);
    skep_http_route(s, NULL, "/big", big, NULL);
}

static void open_server(void *arg)
{
    struct opening *o = arg;

    o->listen.size = sizeof o->listen;
    o->server = skep_http_serve(o->module, &o->listen, o->why, sizeof o->why);
    if (o->server)
        add_routes(o->server, o->tag ? o->tag : o->module->name);
}

static void close_server(void *arg)
{
    skep_http_server_close(arg);
}

static struct skep_http_server *serve(struct skep_http_listen listen)
{
    struct opening o = {.module = rig.module, .listen = listen};

    on_management(open_server, &o);
    if (!o.server)
        fail_msg("%s", o.why);
    const char *colon = strrchr(skep_http_server_address(o.server), ':');
    port = colon ? (unsigned)atoi(colon + 1) : 0;
    return o.server;
}

static int set_up(void **state)
{
    rig_open(&rig, NULL);
    rig_start(&rig);
    asked = 0;
    server = serve((struct skep_http_listen){
        .address = "127.0.0.1:0", .max_body = 1000, .idle_timeout_ms = 20000});
    return 0;
}

static int tear_down(void **state)
{
    if (server)
        on_management(close_server, server);
    server = NULL;
    assert_int_equal(rig_close(&rig), 0);
    return 0;
}

/* -- A client of raw bytes -- */

static int dial(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {.tv_sec = 30};
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

static void say(int fd, const char *bytes)
{
    assert_int_equal(send(fd, bytes, strlen(bytes), MSG_NOSIGNAL), strlen(bytes));
}

/* One answer, by its Content-Length. */
static const char *hear_of(int fd, bool head_only)
{
    static char in[8192];
    size_t len = 0, whole = 0;

    while (!whole || len < whole) {
        ssize_t n = recv(fd, in + len, whole ? whole - len : 1, 0);
        if (n <= 0)
            fail_msg("the answer ends after %zu bytes", len);
        len += (size_t)n;
        in[len] = '\0';
        if (!whole && len >= 4 && memcmp(in + len - 4, "\r\n\r\n", 4) == 0) {
            const char *length = strstr(in, "Content-Length: ");
            whole = len + (length && !head_only ? (size_t)atoi(length + 16) : 0);
            assert_true(whole < sizeof in);
        }
    }
    return in;
}

static const char *hear(int fd)
{
    return hear_of(fd, false);
}

static bool ended(int fd)
{
    char c;
    return recv(fd, &c, 1, 0) <= 0;
}

static const char *once(const char *request)
{
    int fd = dial();
    say(fd, request);
    const char *answer = hear(fd);
    close(fd);
    return answer;
}

static unsigned status_for(const char *request)
{
    return (unsigned)atoi(once(request) + 9);
}

static void assert_has(const char *answer, const char *part)
{
    if (!strstr(answer, part))
        fail_msg("\"%s\" is not in:\n%s", part, answer);
}

static void assert_lacks(const char *answer, const char *part)
{
    if (strstr(answer, part))
        fail_msg("\"%s\" is in:\n%s", part, answer);
}

#define HOST      "Host: h\r\n"
#define GET(path) "GET " path " HTTP/1.1\r\n" HOST "\r\n"

/* -- Requests and answers -- */

static void a_request_is_answered(void **state)
{
    const char *a = once("GET /echo?x=1&q=a%26b+c HTTP/1.1\r\n" HOST "x-bee:\t honey \r\n\r\n");

    assert_int_equal(strncmp(a, "HTTP/1.1 200 OK\r\n", 17), 0);
    assert_has(a, "\r\n\r\nrig|GET|/echo|q=a&b c|honey|");
    assert_has(a, "Content-Type: text/plain\r\n");
    assert_has(a, "X-Served: yes\r\n");
    assert_has(a, "Date: ");
    assert_lacks(a, "Set-Cookie");
    assert_lacks(a, "Connection");
}

static void head_is_get_without_a_body(void **state)
{
    int fd = dial();
    say(fd, "HEAD /echo HTTP/1.1\r\n" HOST "\r\n");
    const char *a = hear_of(fd, true);
    assert_has(a, "HTTP/1.1 200");
    assert_has(a, "Content-Length: 17\r\n"); /* rig|HEAD|/echo||| */
    say(fd, GET("/echo"));                   /* nothing stands in between */
    assert_has(hear(fd), "rig|GET|/echo");
    say(fd, "HEAD /none HTTP/1.1\r\n" HOST "\r\n");
    assert_has(hear_of(fd, true), "HTTP/1.1 404");
    close(fd);
}

static void the_longest_route_wins(void **state)
{
    assert_has(once(GET("/tree/x")), "tree|GET|/tree/x|");
    assert_has(once(GET("/tree/")), "tree|GET|/tree/|");
    assert_has(once(GET("/tree/low/x/y")), "low|GET|");
    assert_has(once(GET("/tree/low/leaf")), "leaf|GET|");
    assert_has(once(GET("/tree/low/leaf2")), "low|GET|");
    assert_has(once(GET("http://other.test/tree/x")), "tree|GET|/tree/x|");
    assert_int_equal(status_for(GET("/tree")), 404);
    assert_int_equal(status_for(GET("/")), 404);
    assert_int_equal(status_for(GET("/echo/")), 404);
}

static void an_unknown_method_is_told_what_there_is(void **state)
{
    const char *a = once("PUT /echo HTTP/1.1\r\n" HOST "\r\n");

    assert_has(a, "HTTP/1.1 405");
    assert_has(a, "Allow: ");
    assert_has(a, "GET, HEAD");
    assert_has(a, "POST");
    assert_has(once("BREW /any HTTP/1.1\r\n" HOST "\r\n"), "any|BREW|/any");
    assert_int_equal(status_for("POST /tree/low/leaf HTTP/1.1\r\n" HOST "\r\n"), 405);
}

static void paths_are_decoded_and_stay_below(void **state)
{
    assert_has(once(GET("/tree/a%20b%2fc+d")), "tree|GET|/tree/a b/c+d|");
    assert_has(once(GET("/tree/..x/...")), "200");
    assert_int_equal(status_for(GET("/tree/../echo")), 400);
    assert_int_equal(status_for(GET("/tree/%2e%2e/echo")), 400);
    assert_int_equal(status_for(GET("/tree/x%2f..")), 400);
    assert_int_equal(status_for(GET("/tree/%00")), 400);
    assert_int_equal(status_for(GET("/tree/%4")), 400);
    assert_int_equal(status_for(GET("/tree/%zz")), 400);
}

static void statuses_without_a_body_have_none(void **state)
{
    int fd = dial();

    say(fd, GET("/status?status=204"));
    assert_lacks(hear(fd), "Content-");
    say(fd, GET("/status?status=304"));
    assert_lacks(hear(fd), "Content-");
    say(fd, GET("/status?status=503"));
    assert_has(hear(fd), "HTTP/1.1 503 Service Unavailable\r\n");
    say(fd, GET("/status?status=42"));
    assert_has(hear(fd), "HTTP/1.1 500 ");
    close(fd);
}

/* -- Bodies -- */

static void bodies_come_whole_or_in_chunks(void **state)
{
    const char chunked[] =
        "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
        "3;ext=1\r\none\r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n" GET("/any");

    assert_has(once("POST /echo HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello"), "||hello");
    int fd = dial();
    for (const char *c = chunked; *c; c++) /* a byte at a time */
        assert_int_equal(send(fd, c, 1, MSG_NOSIGNAL), 1);
    assert_has(hear(fd), "||one0123456789");
    assert_has(hear(fd), "any|GET|/any");
    close(fd);
}

static void whoever_asks_is_told_to_continue(void **state)
{
    int fd = dial();

    say(fd, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    assert_string_equal(hear(fd), "HTTP/1.1 100 Continue\r\n\r\n");
    say(fd, "hello");
    assert_has(hear(fd), "||hello");
    close(fd);
    assert_int_equal(status_for("POST /echo HTTP/1.1\r\n" HOST "Content-Length: 5\r\n"
                                "Expect: the-unexpected\r\n\r\n"),
                     417);
}

static void what_is_too_large_is_refused(void **state)
{
    char long_head[HTTP_HEAD_MAX + 100];

    assert_int_equal(status_for("POST /echo HTTP/1.1\r\n" HOST "Content-Length: 1001\r\n\r\n"),
                     413);
    assert_int_equal(
        status_for("POST /echo HTTP/1.1\r\n" HOST "Content-Length: 999999999999999\r\n\r\n"), 413);
    char chunks[2200] = "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n";
    for (unsigned i = 0; i < 11; i++) {
        strcat(chunks, "64\r\n");
        memset(chunks + strlen(chunks), 'x', 100);
        strcat(chunks, "\r\n");
    }
    assert_int_equal(status_for(chunks), 413);
    memset(long_head, 'x', sizeof long_head);
    memcpy(long_head, "GET /", 5);
    long_head[sizeof long_head - 1] = '\0';
    assert_int_equal(status_for(long_head), 431);
    char many[4000] = "GET /echo HTTP/1.1\r\n" HOST;
    for (unsigned i = 0; i < HTTP_HEADER_LINES_MAX; i++)
        strcat(many, "X: y\r\n");
    strcat(many, "\r\n");
    assert_int_equal(status_for(many), 431);
    assert_int_equal(asked, 0);
}

/* -- Requests that are none, or two -- */

static void malformed_requests_are_refused(void **state)
{
    static const struct {
        const char *request;
        unsigned status;
    } all[] = {
        {"\r\n\r\n", 400},
        {"MQTT\r\n\r\n", 400},
        {"GET /echo\r\n\r\n", 400},
        {"GET  /echo HTTP/1.1\r\n" HOST "\r\n", 400},
        {"GET echo HTTP/1.1\r\n" HOST "\r\n", 400},
        {"G(T /echo HTTP/1.1\r\n" HOST "\r\n", 400},
        {"GET /echo HTTP/2.0\r\n" HOST "\r\n", 505},
        {"GET /echo HTTP/1.1\r\n\r\n", 400}, /* no Host */
        {"GET /echo HTTP/1.1\r\n" HOST HOST "\r\n", 400},
        {"GET /echo HTTP/1.1\r\n" HOST "X : y\r\n\r\n", 400},
        {"GET /echo HTTP/1.1\r\n" HOST "X: y\r\n folded\r\n\r\n", 400},
        {"GET /echo HTTP/1.1\r\n" HOST "X: a\rb\r\n\r\n", 400},
        {"GET /echo HTTP/1.1\r\n" HOST "X: a\nY: b\r\n\r\n", 400},
        {"GET /echo HTTP/1.1\r\n" HOST ": b\r\n\r\n", 400},
        {"GET /echo HTTP/1.1\r\n" HOST "Content-Length: 5x\r\n\r\n", 400},
        {"GET /echo HTTP/1.1\r\n" HOST "Content-Length: -1\r\n\r\n", 400},
        {"GET /echo HTTP/1.1\r\n" HOST "Content-Length:\r\n\r\n", 400},
        {"GET /echo HTTP/1.1\r\n" HOST "Content-Length: 9999999999999999\r\n\r\n", 400},
        {"POST /echo HTTP/1.1\r\n" HOST "Content-Length: 1\r\nContent-Length: 1\r\n\r\nx", 400},
        {"POST /echo HTTP/1.1\r\n" HOST
         "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
         400},
        {"POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n", 501},
        {"POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\nx\r\n", 400},
        {"POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n", 400},
        {"POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n-1\r\n", 400},
        {"POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\nfffffffffffff\r\n", 400},
    };

    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        int fd = dial();
        say(fd, all[i].request);
        const char *a = hear(fd);
        if ((unsigned)atoi(a + 9) != all[i].status)
            fail_msg("%s\n=>\n%s", all[i].request, a);
        assert_has(a, "Connection: close\r\n");
        assert_true(ended(fd));
        close(fd);
    }
    assert_int_equal(asked, 0);
}

/* -- Connections -- */

static void requests_may_stand_in_a_row(void **state)
{
    int fd = dial();

    say(fd, GET("/echo?q=1") GET("/park") GET("/echo?q=3"));
    assert_has(hear(fd), "q=1");
    WAIT_UNTIL(asked == 2); /* the third waits for the second's answer */
    on_management(answer_parked, (void *)1);
    assert_has(hear(fd), "later");
    assert_has(hear(fd), "q=3");
    say(fd, "GET /echo?q=4 HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
    assert_has(hear(fd), "Connection: close\r\n");
    assert_true(ended(fd));
    close(fd);
}

static void an_old_client_gets_one_answer(void **state)
{
    int fd = dial();

    say(fd, "GET /echo HTTP/1.0\r\n\r\n");
    assert_has(hear(fd), "Connection: close\r\n");
    assert_true(ended(fd));
    close(fd);
    fd = dial();
    say(fd, "GET /echo HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_has(hear(fd), "Connection: keep-alive\r\n");
    say(fd, "GET /echo HTTP/1.0\r\n\r\n");
    assert_has(hear(fd), "200");
    close(fd);
}

static void an_answer_for_a_client_that_left_goes_nowhere(void **state)
{
    struct linger reset = {.l_onoff = 1};
    int fd = dial();

    say(fd, GET("/park"));
    WAIT_UNTIL(asked == 1);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(fd); /* a reset */
    struct loop_stats stats;
    do
        loop_stats(rig.host->management, &stats);
    while (stats.connections > 0);
    on_management(answer_parked, (void *)0);
    fd = dial();
    say(fd, GET("/park"));
    WAIT_UNTIL(asked == 2);
    shutdown(fd, SHUT_WR); /* still listens */
    on_management(answer_parked, (void *)1);
    assert_has(hear(fd), "later");
    close(fd);
}

static void whoever_says_nothing_is_let_go(void **state)
{
    struct skep_http_server *hasty =
        serve((struct skep_http_listen){.address = "127.0.0.1:0", .idle_timeout_ms = 50});
    static const char *const beginnings[] = {
        "", "GET /echo HT", "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhel",
        GET("/echo")};

    for (size_t i = 0; i < ARRAY_LEN(beginnings); i++) {
        int fd = dial();
        say(fd, beginnings[i]);
        if (i == 3)
            hear(fd);
        assert_true(ended(fd));
        close(fd);
    }
    int fd = dial();
    say(fd, GET("/park")); /* but an answer may take its time */
    WAIT_UNTIL(asked == 2);
    int slow = dial();
    assert_true(ended(slow)); /* longer than the timeout has passed now */
    on_management(answer_parked, (void *)1);
    assert_has(hear(fd), "later");
    close(slow);
    close(fd);
    on_management(close_server, hasty);
}

static void a_large_answer_waits_for_its_reader(void **state)
{
    static char chunk[1 << 16];
    int fd = dial();
    size_t got = 0;
    ssize_t n;

    say(fd, GET("/big") "GET /echo HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
    while ((n = recv(fd, chunk, sizeof chunk - 1, 0)) > 0) {
        got += (size_t)n;
        chunk[n] = '\0';
    }
    assert_true(got > BIG + 100);
    assert_has(chunk, "rig|GET|/echo"); /* the end of the last piece */
    close(fd);
}

/* -- The end of a server -- */

static void closing_answers_what_is_under_way(void **state)
{
    int idle = dial(), fd = dial();

    say(idle, GET("/echo"));
    hear(idle);
    say(fd, GET("/park"));
    WAIT_UNTIL(asked == 2);
    on_management(close_server, server);
    server = NULL;
    assert_has(hear(fd), "HTTP/1.1 503");
    assert_true(ended(fd));
    assert_true(ended(idle));
    on_management(answer_parked, (void *)1); /* too late, and no harm */
    close(fd);
    close(idle);
}

static void a_forgotten_server_is_closed(void **state)
{
    int fd = dial();

    say(fd, GET("/park"));
    WAIT_UNTIL(asked == 1);
    services_quiesce(rig.module); /* on main, with the loops running */
    assert_has(hear(fd), "HTTP/1.1 503");
    assert_true(ended(fd));
    close(fd);
    log_level_set(LOG_LEVEL_ERROR);
    server = NULL;
    assert_int_equal(rig_close(&rig), 1);
    log_level_set(LOG_LEVEL_INFO);
    rig_open(&rig, NULL); /* for tear_down */
    rig_start(&rig);
}

static void the_broker_may_end_in_the_middle(void **state)
{
    int fd = dial(), half = dial();

    say(half, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhel");
    say(fd, GET("/park"));
    WAIT_UNTIL(asked == 1);
    log_level_set(LOG_LEVEL_ERROR);
    server = NULL;
    assert_int_equal(rig_close(&rig), 1);
    log_level_set(LOG_LEVEL_INFO);
    assert_true(ended(half));
    close(fd);
    close(half);
    rig_open(&rig, NULL);
    rig_start(&rig);
}

static void close_inside(struct skep_http_exchange *x, void *arg)
{
    skep_http_server_close(server);
    server = NULL;
    skep_http_answer(x, 200, NULL, skep_str("gone"));
    asked++;
}

static void answer_and_close(struct skep_http_exchange *x, void *arg)
{
    skep_http_answer(x, 200, NULL, skep_str("last"));
    skep_http_server_close(server);
    server = NULL;
    asked++;
}

static void add_closing_route(void *arg)
{
    skep_http_route(server, "GET", "/close", close_inside, NULL);
    skep_http_route(server, "GET", "/last", answer_and_close, NULL);
}

static void a_request_may_close_its_server(void **state)
{
    on_management(add_closing_route, NULL);
    int fd = dial();
    say(fd, GET("/close") GET("/echo"));
    assert_has(hear(fd), "503");
    assert_true(ended(fd));
    WAIT_UNTIL(asked == 1); /* the second request was not */
    close(fd);
}

/* The connection is ending already, in that very turn, when its server is closed. */
static void a_last_answer_may_close_the_server(void **state)
{
    on_management(add_closing_route, NULL);
    int fd = dial();
    say(fd, "GET /last HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
    const char *a = hear(fd);
    assert_has(a, "last");
    assert_true(ended(fd));
    WAIT_UNTIL(asked == 1);
    close(fd);
}

/* -- Addresses -- */

static const char *refusal(struct skep_http_listen listen)
{
    static struct opening o;

    o = (struct opening){.module = rig.module, .listen = listen};
    on_management(open_server, &o);
    assert_null(o.server);
    assert_true(strlen(o.why) > 0);
    return o.why;
}

static void an_address_that_does_not_work_is_told(void **state)
{
    char taken[64], why[100];

    snprintf(taken, sizeof taken, "127.0.0.1:%u", port);
    refusal((struct skep_http_listen){.address = "nowhere"});
    refusal((struct skep_http_listen){.address = NULL});
    assert_has(refusal((struct skep_http_listen){.address = taken}), taken);
    assert_has(
        refusal((struct skep_http_listen){.address = "127.0.0.1:0", .certificate = "/no/such.pem"}),
        "/no/such.pem");
    struct skep_http_listen listen = {.size = sizeof listen, .address = "127.0.0.1:0"};
    assert_null(skep_http_serve(rig.module, &listen, why, sizeof why)); /* on main */
}

/* A reload: the next instance of the same name takes the address over. */
static void a_new_instance_takes_the_address_over(void **state)
{
    char address[64];
    struct skep_module *next = rig_module_new(rig.host, "rig"),
                       *other = rig_module_new(rig.host, "other");

    struct skep_http_server *any = server;
    /* The first one asks for its address by number, as a configuration does. */
    snprintf(address, sizeof address, "127.0.0.1:%u", port);
    on_management(close_server, any);
    server = NULL;
    struct skep_http_server *old = serve((struct skep_http_listen){.address = address});
    int idle = dial(), busy = dial();
    say(idle, GET("/echo"));
    hear(idle);
    say(busy, GET("/park"));
    WAIT_UNTIL(asked == 2);

    struct opening stranger = {.module = other, .listen = {.address = address}};
    on_management(open_server, &stranger);
    assert_null(stranger.server); /* another module has no right to it, ... */

    struct opening o = {.module = next, .listen = {.address = address}, .tag = "next"};
    on_management(open_server, &o);
    assert_non_null(o.server);
    assert_string_equal(skep_http_server_address(o.server), address);
    say(idle, GET("/echo")); /* clients are not dropped */
    assert_has(hear(idle), "next|GET");
    on_management(answer_parked, (void *)1); /* what was begun is finished */
    assert_has(hear(busy), "later");
    on_management(close_server, old);
    say(busy, GET("/echo"));
    assert_has(hear(busy), "next|GET");
    assert_has(once(GET("/echo")), "next|GET");

    atomic_store(&next->going, true); /* ... but when its owner goes */
    on_management(open_server, &stranger);
    assert_non_null(stranger.server);
    assert_has(once(GET("/echo")), "other|GET");
    on_management(close_server, o.server);
    say(idle, GET("/echo"));
    assert_has(hear(idle), "other|GET");
    struct opening secret = {
        .module = other,
        .listen = {.address = address,
                   .certificate = server_id.cert_path,
                   .key = server_id.key_path},
    };
    atomic_store(&other->stopped, true);
    on_management(open_server, &secret);
    assert_non_null(secret.server);
    assert_true(ended(idle)); /* from plain to TLS nobody is taken along */
    on_management(close_server, secret.server);
    on_management(close_server, stranger.server);
    services_forget(next);
    services_forget(other);
    rig_module_free(next);
    rig_module_free(other);
    close(idle);
    close(busy);
}

static void a_unix_socket_serves_too(void **state)
{
    char address[120];
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = 30};

    snprintf(at.sun_path, sizeof at.sun_path, "%s/sock", dir);
    snprintf(address, sizeof address, "unix:%s/sock", dir);
    struct skep_http_server *s = serve((struct skep_http_listen){.address = address});
    assert_string_equal(skep_http_server_address(s), address);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    say(fd, GET("/echo"));
    assert_has(hear(fd), "rig|GET|/echo");
    on_management(close_server, s);
    assert_int_equal(access(at.sun_path, F_OK), -1);
    close(fd);
}

/* -- libcurl -- */

struct fetched {
    struct skep_http_request ask;
    _Atomic unsigned done;
    unsigned status;
    char body[300], error[300];
};

static void on_reply(const struct skep_http_reply *r, void *arg)
{
    struct fetched *f = arg;

    f->status = r->status;
    snprintf(f->body, sizeof f->body, "%.*s", (int)r->body.len, r->body.ptr);
    snprintf(f->error, sizeof f->error, "%s", r->error ? r->error : "");
    f->done++;
}

static void fetch_on_loop(void *arg)
{
    struct fetched *f = arg;
    assert_int_not_equal(skep_http_send(rig.module, &f->ask, on_reply, f), 0);
}

static void libcurl_is_served_over_tls(void **state)
{
    char url[100];
    struct skep_http_server *s = serve((struct skep_http_listen){
        .address = "127.0.0.1:0", .certificate = server_id.cert_path, .key = server_id.key_path});

    for (unsigned i = 0; i < 5; i++) {
        struct fetched f = {.ask = {.size = sizeof f.ask,
                                    .url = url,
                                    .ca = ca.cert_path,
                                    .body = SKEP_STR("{\"a\":1}"),
                                    .content_type = "application/json"}};
        snprintf(url, sizeof url, "https://localhost:%u/echo?q=%u", port, i);
        skep_post(rig.module, 0, fetch_on_loop, &f, NULL);
        WAIT_UNTIL(f.done);
        assert_string_equal(f.error, "");
        assert_int_equal(f.status, 200);
        assert_has(f.body, "rig|POST|/echo|q=");
        assert_has(f.body, "{\"a\":1}");
    }
    on_management(close_server, s);
}

static int make_identities(void **state)
{
    signal(SIGPIPE, SIG_IGN);
    strcpy(dir, "/tmp/skep-http-XXXXXX");
    assert_non_null(mkdtemp(dir));
    ca = identity_new(dir, "ca", "Test CA", NULL, NULL);
    server_id = identity_new(dir, "server", "server", "DNS:localhost", &ca);
    return 0;
}

static int drop_identities(void **state)
{
    identity_free(&ca);
    identity_free(&server_id);
    return rmdir(dir);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_request_is_answered),
        TEST(head_is_get_without_a_body),
        TEST(the_longest_route_wins),
        TEST(an_unknown_method_is_told_what_there_is),
        TEST(paths_are_decoded_and_stay_below),
        TEST(statuses_without_a_body_have_none),
        TEST(bodies_come_whole_or_in_chunks),
        TEST(whoever_asks_is_told_to_continue),
        TEST(what_is_too_large_is_refused),
        TEST(malformed_requests_are_refused),
        TEST(requests_may_stand_in_a_row),
        TEST(an_old_client_gets_one_answer),
        TEST(an_answer_for_a_client_that_left_goes_nowhere),
        TEST(whoever_says_nothing_is_let_go),
        TEST(a_large_answer_waits_for_its_reader),
        TEST(closing_answers_what_is_under_way),
        TEST(a_forgotten_server_is_closed),
        TEST(the_broker_may_end_in_the_middle),
        TEST(a_request_may_close_its_server),
        TEST(a_last_answer_may_close_the_server),
        TEST(an_address_that_does_not_work_is_told),
        TEST(a_new_instance_takes_the_address_over),
        TEST(a_unix_socket_serves_too),
        TEST(libcurl_is_served_over_tls),
    };
    return cmocka_run_group_tests(tests, make_identities, drop_identities);
}
