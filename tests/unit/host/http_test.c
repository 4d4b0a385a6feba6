/* The HTTP client against real servers: what is sent, what comes back, and everything that goes
 * wrong. */
#include "http_peer.h"

#include "../net/tls_fixture.h"

#include <netdb.h>
#include <signal.h>
#include <skep/http.h>
#include <skep/loop.h>

#include "host/http_impl.h"
#include "host/metrics.h"

static struct rig rig;
static struct http_peer *peer;
static char dir[64];
static struct identity ca, other_ca, server_id, client_id;

/* -- Asking, and the reply as a test looks at it -- */

struct asked {
    struct skep_http_request ask;
    char url[300];
    _Atomic uint64_t number;
    _Atomic bool sent;
    _Atomic unsigned done;
    unsigned status, at;
    bool timed_out, cancel_at_once;
    char error[300], body[4096], bee[32], missing[8];
    size_t body_len;
};

static struct asked to(const char *path)
{
    struct asked a = {.ask.size = sizeof a.ask};
    snprintf(a.url, sizeof a.url, "http://127.0.0.1:%u%s", peer->port, path);
    return a;
}

static void on_reply(const struct skep_http_reply *r, void *arg)
{
    struct asked *a = arg;
    struct skep_str bee = skep_http_reply_header(r, "X-BEE");
    size_t keep = r->body.len < sizeof a->body ? r->body.len : sizeof a->body - 1;

    a->status = r->status;
    a->timed_out = r->timed_out;
    a->at = skep_loop_here();
    snprintf(a->error, sizeof a->error, "%s", r->error ? r->error : "");
    snprintf(a->bee, sizeof a->bee, "%.*s", (int)bee.len, bee.ptr ? bee.ptr : "");
    assert_int_equal(skep_http_reply_header(r, "X-Be").len, 0);
    memcpy(a->body, r->body.ptr, keep);
    a->body[keep] = '\0';
    a->body_len = r->body.len;
    assert_int_equal(r->body.ptr[r->body.len], '\0');
    a->done++;
}

static void send_it(void *arg)
{
    struct asked *a = arg;

    a->ask.url = a->url;
    a->number = skep_http_send(rig.module, &a->ask, on_reply, a);
    if (a->cancel_at_once)
        skep_http_cancel(rig.module, a->number);
    a->sent = true;
}

static void start(struct asked *a)
{
    skep_post(rig.module, 0, send_it, a, NULL);
}

static void fetch(struct asked *a)
{
    start(a);
    WAIT_UNTIL(a->sent);
    assert_int_not_equal(a->number, 0);
    WAIT_UNTIL(a->done == 1);
    assert_int_equal(a->at, 0);
}

static void cancel_it(void *arg)
{
    struct asked *a = arg;
    skep_http_cancel(rig.module, a->number);
    a->sent = false;
}

static int set_up(void **state)
{
    peer = peer_open(NULL, NULL, NULL);
    rig_open(&rig, NULL);
    rig_start(&rig);
    return 0;
}

static int tear_down(void **state)
{
    assert_int_equal(rig_close(&rig), 0);
    peer_close(peer);
    return 0;
}

/* -- What is sent and what comes back -- */

static void a_reply_comes_back_whole(void **state)
{
    struct asked a = to("/ok");

    fetch(&a);
    assert_int_equal(a.status, 200);
    assert_string_equal(a.error, "");
    assert_string_equal(a.body, "hello");
    assert_string_equal(a.bee, "honey");
}

static void a_status_is_no_error(void **state)
{
    static const unsigned all[] = {204, 302, 401, 404, 500, 503};

    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        char path[32];
        snprintf(path, sizeof path, "/status/%u", all[i]);
        struct asked a = to(path);
        if (all[i] == 204)
            continue; /* has no body; the peer sends one */
        fetch(&a);
        assert_int_equal(a.status, all[i]);
        assert_string_equal(a.error, "");
    }
}

static void assert_contains(const struct asked *a, const char *part)
{
    if (!strstr(a->body, part))
        fail_msg("\"%s\" is not in:\n%s", part, a->body);
}

static void assert_lacks(const struct asked *a, const char *part)
{
    if (strstr(a->body, part))
        fail_msg("\"%s\" is in:\n%s", part, a->body);
}

static void a_plain_get_says_little(void **state)
{
    struct asked a = to("/echo");

    fetch(&a);
    assert_true(strncmp(a.body, "GET /echo HTTP/1.1\r\n", 20) == 0);
    assert_contains(&a, "User-Agent: skep/");
    assert_lacks(&a, "Content-Type");
    assert_lacks(&a, "Content-Length");
    assert_lacks(&a, "Authorization");
    assert_lacks(&a, "Cookie");
}

static void a_body_makes_it_a_post(void **state)
{
    struct asked a = to("/echo");

    a.ask.body = skep_bytes("{\0}", 3);
    a.ask.content_type = "application/json";
    fetch(&a);
    assert_true(strncmp(a.body, "POST /echo HTTP/1.1\r\n", 21) == 0);
    assert_contains(&a, "Content-Type: application/json\r\n");
    assert_contains(&a, "Content-Length: 3\r\n");
    assert_lacks(&a, "Expect");
    assert_memory_equal(a.body + a.body_len - 3, "{\0}", 3);
}

static void methods_are_sent_as_asked(void **state)
{
    static const char *const methods[] = {"GET", "POST", "PUT", "PATCH", "DELETE", "PURGE"};

    for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
        struct asked a = to("/echo");
        a.ask.method = methods[i];
        fetch(&a);
        assert_int_equal(strncmp(a.body, methods[i], strlen(methods[i])), 0);
        assert_int_equal(a.body[strlen(methods[i])], ' ');
        bool body = methods[i][0] == 'P' && strcmp(methods[i], "PURGE") != 0;
        assert_int_equal(strstr(a.body, "Content-Length: 0") != NULL, body);
    }
    struct asked with = to("/echo");
    with.ask.method = "GET";
    with.ask.body = SKEP_STR("q");
    fetch(&with);
    assert_int_equal(strncmp(with.body, "GET ", 4), 0);
    assert_contains(&with, "\r\n\r\nq");
}

static void headers_and_credentials_are_sent(void **state)
{
    const struct skep_http_header headers[] = {{SKEP_STR("X-One"), SKEP_STR("1 and a half")},
                                               {SKEP_STR("X-Empty"), SKEP_STR("")}};
    struct asked a = to("/echo"), b = to("/echo");

    a.ask.headers = headers;
    a.ask.header_count = 2;
    a.ask.bearer = SKEP_STR("to.ken");
    fetch(&a);
    assert_contains(&a, "X-One: 1 and a half\r\n");
    assert_contains(&a, "X-Empty:\r\n");
    assert_contains(&a, "Authorization: Bearer to.ken\r\n");

    b.ask.username = SKEP_STR("bee");
    b.ask.password = SKEP_STR("ho:ney");
    fetch(&b);
    assert_contains(&b, "Authorization: Basic YmVlOmhvOm5leQ==\r\n");
}

static void what_could_break_out_is_refused(void **state)
{
    const struct skep_http_header headers[] = {
        {SKEP_STR("X"), SKEP_STR("a\r\nEvil: 1")}, {SKEP_STR("X: y\r\nZ"), SKEP_STR("1")},
        {SKEP_STR("X"), SKEP_STR("a\0b")},         {SKEP_STR(""), SKEP_STR("1")},
        {SKEP_STR("X "), SKEP_STR("1")},           {SKEP_STR("X"), SKEP_STR("a\nb")}};
    const struct skep_str tokens[] = {SKEP_STR("a b"), SKEP_STR("a\r\nb"), SKEP_STR("a\0b"),
                                      SKEP_STR("b\xc3\xa9")};
    struct skep_http_request ask = {.size = sizeof ask, .url = "http://127.0.0.1:1/"};

    for (size_t i = 0; i < ARRAY_LEN(headers); i++) {
        ask.headers = &headers[i];
        ask.header_count = 1;
        assert_int_equal(skep_http_send(rig.module, &ask, on_reply, NULL), 0);
    }
    ask.header_count = 0;
    for (size_t i = 0; i < ARRAY_LEN(tokens); i++) {
        ask.bearer = tokens[i];
        assert_int_equal(skep_http_send(rig.module, &ask, on_reply, NULL), 0);
    }
    ask.bearer = SKEP_STR("");
    ask.username = SKEP_STR("a:b");
    assert_int_equal(skep_http_send(rig.module, &ask, on_reply, NULL), 0);
    ask.username = SKEP_STR("a\0b");
    assert_int_equal(skep_http_send(rig.module, &ask, on_reply, NULL), 0);
    ask.username = SKEP_STR("");
    ask.method = "GET / HTTP/1.1\r\nX:";
    assert_int_equal(skep_http_send(rig.module, &ask, on_reply, NULL), 0);
    ask.method = NULL;
    ask.content_type = "text/plain\r\nX: 1";
    assert_int_equal(skep_http_send(rig.module, &ask, on_reply, NULL), 0);
}

static void urls_that_make_no_sense_are_refused(void **state)
{
    static const char *const bad[] = {"",
                                      "ftp://127.0.0.1/",
                                      "file:///etc/passwd",
                                      "127.0.0.1",
                                      "http://",
                                      "http://a b/",
                                      "http://127.0.0.1:99999/",
                                      "gopher://x",
                                      "http://h/\r\nX: 1",
                                      "mqtt://127.0.0.1"};
    struct skep_http_request ask = {.size = sizeof ask};

    assert_int_equal(skep_http_send(rig.module, &ask, on_reply, NULL), 0);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        ask.url = bad[i];
        if (skep_http_send(rig.module, &ask, on_reply, NULL) != 0)
            fail_msg("taken: %s", bad[i]);
    }
    assert_int_equal(atomic_load(&rig.module->holds), 0);
}

static void the_environment_brings_no_proxy(void **state)
{
    struct asked a = to("/ok");

    setenv("http_proxy", "http://127.0.0.1:1", 1);
    setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
    fetch(&a);
    assert_int_equal(a.status, 200);
    unsetenv("http_proxy");
    unsetenv("ALL_PROXY");
}

static void asking_from_main_is_done_by_the_management_loop(void **state)
{
    struct asked a = to("/ok");

    send_it(&a);
    WAIT_UNTIL(a.done == 1);
    assert_int_equal(a.status, 200);
    assert_int_equal(a.at, SKEP_MANAGEMENT);
}

static void an_older_modules_struct_is_understood(void **state)
{
    struct asked a = to("/echo");

    a.ask.bearer = SKEP_STR("beyond");
    a.ask.size = offsetof(struct skep_http_request, bearer);
    fetch(&a);
    assert_lacks(&a, "beyond");
}

/* -- Servers that misbehave -- */

static void a_dead_server_costs_the_timeout(void **state)
{
    struct asked dead = to("/dead"), fine = to("/ok");

    dead.ask.timeout_ms = 100;
    fetch(&dead);
    assert_int_equal(dead.status, 0);
    assert_true(dead.timed_out);
    assert_string_equal(dead.error, "no answer within 100 ms");
    fetch(&fine);
    assert_int_equal(fine.status, 200);
}

static void time_in_the_queue_counts(void **state)
{
    struct asked first = to("/wait"), second = to("/ok");

    first.ask.max_per_host = second.ask.max_per_host = 1;
    second.ask.timeout_ms = 100;
    start(&first);
    WAIT_UNTIL(peer->waiting == 1);
    fetch(&second);
    assert_true(second.timed_out);
    peer_gate(peer, true);
    WAIT_UNTIL(first.done == 1);
    assert_int_equal(first.status, 200);
    assert_int_equal(peer->requests, 1);
}

static void nobody_listens(void **state)
{
    struct asked a = to("/ok");
    struct http_peer *gone = peer_open(NULL, NULL, NULL);

    snprintf(a.url, sizeof a.url, "http://127.0.0.1:%u/ok", gone->port);
    peer_close(gone);
    fetch(&a);
    assert_int_equal(a.status, 0);
    assert_false(a.timed_out);
    assert_true(strlen(a.error) > 0);
}

static void a_half_answer_is_an_error(void **state)
{
    struct asked half = to("/half"), garbage = to("/garbage");

    fetch(&half);
    assert_int_equal(half.status, 0);
    assert_true(strlen(half.error) > 0);
    assert_int_equal(half.body_len, 0);
    fetch(&garbage);
    assert_int_equal(garbage.status, 0);
    assert_true(strlen(garbage.error) > 0);
}

static void an_answer_above_the_limit_is_cut_off(void **state)
{
    struct asked a = to("/huge"), b = to("/headers"), enough = to("/huge"), small = to("/ok");

    fetch(&a);
    assert_int_equal(a.status, 0);
    assert_string_equal(a.error, "the reply is too large");
    fetch(&b);
    assert_int_equal(b.status, 0);
    assert_true(strlen(b.error) > 0);
    enough.ask.max_reply = 2 << 20;
    fetch(&enough);
    assert_int_equal(enough.status, 200);
    assert_int_equal(enough.body_len, 2 << 20);
    small.ask.max_reply = 4;
    fetch(&small);
    assert_string_equal(small.error, "the reply is too large");
}

static void redirects_are_followed_only_when_asked(void **state)
{
    struct asked none = to("/to/ok"), one = to("/to/ok"), file = to("/to-file"), loop = to("/loop");

    fetch(&none);
    assert_int_equal(none.status, 302);
    one.ask.redirects = 1;
    fetch(&one);
    assert_int_equal(one.status, 200);
    assert_string_equal(one.body, "hello");
    file.ask.redirects = 3;
    fetch(&file);
    assert_int_equal(file.status, 0);
    assert_int_equal(file.body_len, 0);
    loop.ask.redirects = 3;
    fetch(&loop);
    assert_int_equal(loop.status, 0);
    assert_int_equal(peer->requests, 1 + 2 + 1 + 4);
}

/* A name server that does not answer: libcurl's threads come to this instead of the C library. */
static _Atomic bool names_known;
static _Atomic unsigned looking_up, looked_up;

__attribute__((visibility("default"))) int getaddrinfo(const char *node, const char *service,
                                                       const struct addrinfo *hints,
                                                       struct addrinfo **out)
{
    looking_up++;
    WAIT_UNTIL(names_known);
    looked_up++;
    return EAI_AGAIN;
}

static struct asked to_nowhere(void)
{
    struct asked a = {.ask.size = sizeof a.ask};
    snprintf(a.url, sizeof a.url, "http://slow.test:%u/ok", peer->port);
    return a;
}

static void a_slow_name_server_holds_nobody_up(void **state)
{
    struct asked slow = to_nowhere(), called_off = to_nowhere(), fine = to("/ok"),
                 last = to_nowhere();

    looking_up = looked_up = 0;
    names_known = false;
    start(&called_off);
    slow.ask.timeout_ms = 100;
    start(&slow);
    WAIT_UNTIL(looking_up == 2);
    fetch(&fine); /* on the same loop */
    assert_int_equal(fine.status, 200);
    WAIT_UNTIL(slow.done == 1);
    assert_true(slow.timed_out);
    skep_post(rig.module, 0, cancel_it, &called_off, NULL);
    start(&last);
    WAIT_UNTIL(looking_up == 3);
    assert_int_equal(rig_close(&rig), 0); /* nor the end of the broker */
    assert_int_equal(last.done, 1);
    assert_int_equal(called_off.done, 0);
    assert_int_equal(looked_up, 0);
    names_known = true;
    WAIT_UNTIL(looked_up == 3);
    rig_open(&rig, NULL); /* for tear_down */
    rig_start(&rig);
}

/* -- Connections -- */

static void connections_are_kept(void **state)
{
    for (unsigned i = 0; i < 20; i++) {
        struct asked a = to("/ok");
        fetch(&a);
        assert_int_equal(a.status, 200);
    }
    assert_int_equal(peer_connections(peer), 1);
    assert_int_equal(peer->requests, 20);
}

static void a_connection_the_server_closed_is_not_missed(void **state)
{
    for (unsigned i = 0; i < 5; i++) {
        struct asked a = to("/close");
        fetch(&a);
        assert_int_equal(a.status, 200);
    }
    assert_int_equal(peer->requests, 5);
}

enum { MANY = 1000 };
static struct asked many[MANY];

static void send_many(void *arg)
{
    for (unsigned i = 0; i < MANY; i++)
        send_it(&many[i]);
}

static void a_thousand_at_once_keep_to_the_limit(void **state)
{
    for (unsigned i = 0; i < MANY; i++) {
        many[i] = to("/wait");
        many[i].ask.max_per_host = 16;
    }
    skep_post(rig.module, 0, send_many, NULL, NULL);
    WAIT_UNTIL(peer->waiting == 16);
    assert_int_equal(peer->requests, 16);
    peer_gate(peer, true);
    for (unsigned i = 0; i < MANY; i++) {
        WAIT_UNTIL(many[i].done == 1);
        assert_int_equal(many[i].status, 200);
    }
    assert_true(peer->most_at_once <= 16);
    assert_true(peer_connections(peer) <= 16);
    assert_int_equal(peer->requests, MANY);
    assert_int_equal(atomic_load(&rig.module->holds), 0);
}

/* A house full of requests that wait for a dead server. */
static uint64_t first_number, refused_number;
static struct asked crowd_asked;

static void on_crowd(const struct skep_http_reply *r, void *arg)
{
    crowd_asked.done++;
}

static void send_crowd(void *arg)
{
    uint64_t number = 0;

    crowd_asked.ask.url = crowd_asked.url;
    for (unsigned i = 0; i < HTTP_PENDING_MAX; i++) {
        number = skep_http_send(rig.module, &crowd_asked.ask, on_crowd, NULL);
        assert_int_not_equal(number, 0);
        if (i == 0)
            first_number = number;
    }
    refused_number = skep_http_send(rig.module, &crowd_asked.ask, on_crowd, NULL);
    skep_http_cancel(rig.module, number); /* one leaves, one may come */
    assert_int_not_equal(skep_http_send(rig.module, &crowd_asked.ask, on_crowd, NULL), 0);
    crowd_asked.sent = true;
}

static void cancel_crowd(void *arg)
{
    for (unsigned i = 0; i <= HTTP_PENDING_MAX; i++)
        skep_http_cancel(rig.module, first_number + i);
    crowd_asked.sent = false;
}

static void there_is_an_end_to_what_waits(void **state)
{
    refused_number = 1;
    crowd_asked = to("/dead");
    crowd_asked.ask.max_per_host = 2;
    crowd_asked.ask.timeout_ms = 600000;
    skep_post(rig.module, 0, send_crowd, NULL, NULL);
    WAIT_UNTIL(crowd_asked.sent);
    assert_int_equal(refused_number, 0);
    WAIT_UNTIL(peer->waiting == 2);
    skep_post(rig.module, 0, cancel_crowd, NULL, NULL);
    WAIT_UNTIL(!crowd_asked.sent);
    WAIT_UNTIL(atomic_load(&rig.module->holds) == 0);
    assert_int_equal(crowd_asked.done, 0);
    struct asked fine = to("/ok");
    fetch(&fine);
    assert_int_equal(fine.status, 200);
}

/* -- Single flight -- */

static void one_flight_serves_all_who_ask_for_it(void **state)
{
    for (unsigned i = 0; i < 50; i++) {
        many[i] = to("/wait");
        many[i].ask.single_flight = SKEP_STR("key");
    }
    for (unsigned i = 0; i < 50; i++)
        start(&many[i]);
    struct asked other = to("/ok");
    other.ask.single_flight = SKEP_STR("another key");
    fetch(&other);
    WAIT_UNTIL(many[49].sent && peer->waiting == 1);
    peer_gate(peer, true);
    for (unsigned i = 0; i < 50; i++) {
        WAIT_UNTIL(many[i].done == 1);
        assert_string_equal(many[i].body, "hello");
    }
    assert_int_equal(peer->requests, 2);

    struct asked later = to("/ok"); /* a flight that landed is over */
    later.ask.single_flight = SKEP_STR("key");
    fetch(&later);
    assert_int_equal(peer->requests, 3);
}

static void each_keeps_its_own_deadline(void **state)
{
    struct asked first = to("/wait"), hasty = to("/wait");

    first.ask.single_flight = hasty.ask.single_flight = SKEP_STR("key");
    hasty.ask.timeout_ms = 50;
    start(&first);
    WAIT_UNTIL(peer->waiting == 1);
    fetch(&hasty);
    assert_true(hasty.timed_out);
    assert_int_equal(first.done, 0);
    peer_gate(peer, true);
    WAIT_UNTIL(first.done == 1);
    assert_int_equal(first.status, 200);
}

/* -- Cancelling -- */

static void what_is_cancelled_is_not_called(void **state)
{
    struct asked a = to("/wait"), b = to("/wait"), queued = to("/ok"), at_once = to("/ok");

    a.ask.single_flight = b.ask.single_flight = SKEP_STR("key");
    queued.ask.max_per_host = 1;
    at_once.cancel_at_once = true;
    start(&a);
    start(&b);
    start(&queued);
    start(&at_once);
    WAIT_UNTIL(at_once.sent && peer->waiting == 1);
    assert_int_equal(atomic_load(&rig.module->holds), 3);
    skep_post(rig.module, 0, cancel_it, &a, NULL);
    skep_post(rig.module, 0, cancel_it, &a, NULL); /* twice is once */
    skep_post(rig.module, 0, cancel_it, &queued, NULL);
    WAIT_UNTIL(!queued.sent);
    peer_gate(peer, true);
    WAIT_UNTIL(b.done == 1); /* the other one of the flight is told */
    assert_int_equal(b.status, 200);
    WAIT_UNTIL(atomic_load(&rig.module->holds) == 0);
    assert_int_equal(a.done + queued.done + at_once.done, 0);
    assert_int_equal(peer->requests, 1);
}

static void the_last_to_cancel_ends_the_flight(void **state)
{
    struct asked a = to("/dead"), next = to("/ok");

    a.ask.max_per_host = next.ask.max_per_host = 1;
    start(&a);
    WAIT_UNTIL(peer->waiting == 1);
    start(&next);
    skep_post(rig.module, 0, cancel_it, &a, NULL);
    WAIT_UNTIL(next.done == 1); /* its place at the host is free */
    assert_int_equal(next.status, 200);
    assert_int_equal(a.done, 0);
}

/* A callback that cancels others of its own flight, and asks anew. */
static struct asked siblings[3], again;

static void on_first_reply(const struct skep_http_reply *r, void *arg)
{
    struct asked *a = arg;

    a->done++;
    for (unsigned i = 0; i < 3; i++) {
        if (&siblings[i] != a)
            skep_http_cancel(rig.module, siblings[i].number);
    }
    send_it(&again);
}

static void send_siblings(void *arg)
{
    for (unsigned i = 0; i < 3; i++) {
        siblings[i].ask.url = siblings[i].url;
        siblings[i].number =
            skep_http_send(rig.module, &siblings[i].ask, on_first_reply, &siblings[i]);
    }
}

static void a_callback_may_cancel_and_ask(void **state)
{
    for (unsigned i = 0; i < 3; i++) {
        siblings[i] = to("/ok");
        siblings[i].ask.single_flight = SKEP_STR("siblings");
    }
    again = to("/ok");
    again.ask.single_flight = SKEP_STR("siblings");
    skep_post(rig.module, 0, send_siblings, NULL, NULL);
    WAIT_UNTIL(again.done == 1);
    assert_int_equal(siblings[0].done + siblings[1].done + siblings[2].done, 1);
    assert_int_equal(peer->requests, 2);
}

static void what_is_under_way_at_the_end_is_told(void **state)
{
    struct asked a = to("/dead"), b = to("/dead"), c = to("/dead");

    b.ask.max_per_host = 1;
    start(&a);
    start(&b);
    WAIT_UNTIL(a.sent && b.sent && peer->waiting == 1);
    send_it(&c); /* on the management loop */
    WAIT_UNTIL(peer->waiting == 2);
    assert_int_equal(rig_close(&rig), 0);
    assert_int_equal(a.done + b.done + c.done, 3);
    assert_string_equal(a.error, "the broker is ending");
    rig_open(&rig, NULL); /* for tear_down */
    rig_start(&rig);
}

/* -- TLS -- */

static struct asked to_tls(struct http_peer *p, const char *host)
{
    struct asked a = {.ask.size = sizeof a.ask};
    snprintf(a.url, sizeof a.url, "https://%s:%u/ok", host, p->port);
    return a;
}

static void a_server_is_verified(void **state)
{
    struct http_peer *p = peer_open(server_id.cert_path, server_id.key_path, NULL);
    struct asked good = to_tls(p, "localhost"), address = to_tls(p, "127.0.0.1"),
                 system = to_tls(p, "localhost"), foreign = to_tls(p, "localhost"),
                 blind = to_tls(p, "127.0.0.1"), missing = to_tls(p, "localhost");

    good.ask.ca = address.ask.ca = ca.cert_path;
    fetch(&good);
    assert_string_equal(good.error, "");
    assert_int_equal(good.status, 200);
    fetch(&address); /* the certificate names localhost only */
    assert_int_equal(address.status, 0);
    fetch(&system);
    assert_int_equal(system.status, 0);
    foreign.ask.ca = other_ca.cert_path;
    fetch(&foreign); /* a connection verified by other authorities must not be shared */
    assert_int_equal(foreign.status, 0);
    blind.ask.insecure = true;
    fetch(&blind);
    assert_int_equal(blind.status, 200);
    missing.ask.ca = "/no/such/file.pem";
    fetch(&missing);
    assert_int_equal(missing.status, 0);
    peer_close(p);
}

static void a_client_certificate_is_shown(void **state)
{
    struct http_peer *p = peer_open(server_id.cert_path, server_id.key_path, ca.cert_path);
    struct asked with = to_tls(p, "localhost"), without = to_tls(p, "localhost");

    with.ask.ca = without.ask.ca = ca.cert_path;
    fetch(&without);
    assert_int_equal(without.status, 0);
    with.ask.certificate = client_id.cert_path;
    with.ask.key = client_id.key_path;
    fetch(&with);
    assert_string_equal(with.error, "");
    assert_int_equal(with.status, 200);
    peer_close(p);
}

static void plain_http_is_not_https(void **state)
{
    struct asked a = to("/ok");

    snprintf(a.url, sizeof a.url, "https://127.0.0.1:%u/ok", peer->port);
    a.ask.insecure = true;
    a.ask.timeout_ms = 100; /* the peer waits for the rest of a request */
    fetch(&a);
    assert_int_equal(a.status, 0);
    assert_true(a.timed_out);
    assert_int_equal(peer->requests, 0);
}

/* -- Figures, and encoding -- */

static double figures[4];

static void note_figure(const struct skep_sample *s, void *arg)
{
    if (strcmp(s->labels, "module=\"rig\"") != 0)
        return;
    if (strcmp(s->name, "skep_module_http_requests_total") == 0)
        figures[0] = s->value;
    if (strcmp(s->name, "skep_module_http_errors_total") == 0)
        figures[1] = s->value;
    if (strcmp(s->name, "skep_module_http_timeouts_total") == 0)
        figures[2] = s->value;
    if (strcmp(s->name, "skep_module_http_seconds") == 0)
        figures[3] = (double)s->count;
}

static void requests_are_counted(void **state)
{
    struct asked ok = to("/ok"), dead = to("/dead"), half = to("/half");

    dead.ask.timeout_ms = 20;
    fetch(&ok);
    fetch(&dead);
    fetch(&half);
    skep_metrics(rig.module, note_figure, NULL);
    assert_true(figures[0] == 3);
    assert_true(figures[1] == 2);
    assert_true(figures[2] == 1);
    assert_true(figures[3] == 3);
}

static void text_is_encoded_for_a_url(void **state)
{
    char out[64];

    assert_int_equal(skep_url_encode(SKEP_STR("a-Z_0.~"), out, sizeof out), 7);
    assert_string_equal(out, "a-Z_0.~");
    assert_int_equal(skep_url_encode(SKEP_STR("a b/\xc3\xbc&\0"), out, sizeof out), 20);
    assert_string_equal(out, "a%20b%2F%C3%BC%26%00");
    assert_int_equal(skep_url_encode(SKEP_STR("a b"), out, 5), 5);
    assert_string_equal(out, "a%20"); /* 5 is `cap`: the b is missing */
    assert_int_equal(skep_url_encode(SKEP_STR("a b"), out, 3), 5);
    assert_string_equal(out, "a");
    assert_int_equal(skep_url_encode(SKEP_STR("a b"), NULL, 0), 5);
}

static int make_identities(void **state)
{
    signal(SIGPIPE, SIG_IGN);
    strcpy(dir, "/tmp/skep-http-XXXXXX");
    assert_non_null(mkdtemp(dir));
    ca = identity_new(dir, "ca", "Test CA", NULL, NULL);
    other_ca = identity_new(dir, "other", "Other CA", NULL, NULL);
    server_id = identity_new(dir, "server", "server", "DNS:localhost", &ca);
    client_id = identity_new(dir, "client", "client", NULL, &ca);
    return 0;
}

static int drop_identities(void **state)
{
    char command[128];

    identity_free(&ca);
    identity_free(&other_ca);
    identity_free(&server_id);
    identity_free(&client_id);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_reply_comes_back_whole),
        TEST(a_status_is_no_error),
        TEST(a_plain_get_says_little),
        TEST(a_body_makes_it_a_post),
        TEST(methods_are_sent_as_asked),
        TEST(headers_and_credentials_are_sent),
        TEST(what_could_break_out_is_refused),
        TEST(urls_that_make_no_sense_are_refused),
        TEST(the_environment_brings_no_proxy),
        TEST(asking_from_main_is_done_by_the_management_loop),
        TEST(an_older_modules_struct_is_understood),
        TEST(a_dead_server_costs_the_timeout),
        TEST(time_in_the_queue_counts),
        TEST(nobody_listens),
        TEST(a_half_answer_is_an_error),
        TEST(an_answer_above_the_limit_is_cut_off),
        TEST(redirects_are_followed_only_when_asked),
        TEST(a_slow_name_server_holds_nobody_up),
        TEST(connections_are_kept),
        TEST(a_connection_the_server_closed_is_not_missed),
        TEST(a_thousand_at_once_keep_to_the_limit),
        TEST(there_is_an_end_to_what_waits),
        TEST(one_flight_serves_all_who_ask_for_it),
        TEST(each_keeps_its_own_deadline),
        TEST(what_is_cancelled_is_not_called),
        TEST(the_last_to_cancel_ends_the_flight),
        TEST(a_callback_may_cancel_and_ask),
        TEST(what_is_under_way_at_the_end_is_told),
        TEST(a_server_is_verified),
        TEST(a_client_certificate_is_shown),
        TEST(plain_http_is_not_https),
        TEST(requests_are_counted),
        cmocka_unit_test(text_is_encoded_for_a_url),
    };
    return cmocka_run_group_tests(tests, make_identities, drop_identities);
}
