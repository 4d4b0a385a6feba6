/* A connection over real sockets: input with remainders, output with residues, the end. */
#include "net_fixture.h"

#include <fcntl.h>
#include <pthread.h>

#include "net/conn_impl.h"

struct fixture {
    struct loop *loop;
    struct peer peer;
    int fd; /* the far end, blocking */
};

static int setup_on(void **state, int fds[2])
{
    struct fixture *f = xcalloc(1, sizeof *f);
    assert_int_equal(loop_open(&f->loop, 0, NULL, NULL), 0);
    f->fd = fds[1];
    assert_int_equal(conn_adopt(&f->peer.conn, f->loop, fds[0], &peer_handler, &f->peer), 0);
    *state = f;
    return 0;
}

static int setup(void **state)
{
    int fds[2];
    tcp_pair(fds);
    return setup_on(state, fds);
}

static int setup_unix(void **state)
{
    int fds[2];
    assert_return_code(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds),
                       errno);
    assert_return_code(fcntl(fds[1], F_SETFL, 0), errno);
    return setup_on(state, fds);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    loop_free(&f->loop);
    if (f->fd >= 0)
        close(f->fd);
    assert_int_equal(f->peer.closes, 1); /* whatever happened: exactly once */
    peer_free(&f->peer);
    free(f);
    return 0;
}

static void far_send(struct fixture *f, const void *bytes, size_t len)
{
    assert_int_equal(send(f->fd, bytes, len, MSG_NOSIGNAL), (ssize_t)len);
}

static void fill_pattern(uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(i * 31 + (i >> 8));
}

/* Input */

static void bytes_arrive(void **state)
{
    struct fixture *f = *state;
    far_send(f, "hello", 5);
    TURN_UNTIL(f->loop, f->peer.len == 5);
    assert_memory_equal(f->peer.bytes, "hello", 5);
    assert_int_equal(f->peer.calls, 1);
    assert_null(f->peer.conn->in); /* an idle connection owns no buffer */
}

static void a_remainder_comes_back_with_more_behind_it(void **state)
{
    struct fixture *f = *state;
    uint8_t frame[10];
    f->peer.framed = true;
    fill_pattern(frame, sizeof frame);
    frame_put_length(frame, sizeof frame);
    for (size_t i = 0; i < sizeof frame; i++) {
        uint64_t reads = f->loop->counters.reads;
        far_send(f, frame + i, 1);
        TURN_UNTIL(f->loop, f->loop->counters.reads > reads);
    }
    assert_int_equal(f->peer.len, sizeof frame);
    assert_memory_equal(f->peer.bytes, frame, sizeof frame);
    assert_int_equal(f->peer.calls, 5); /* 4 for the length, 1 when whole */
    assert_null(f->peer.conn->in);
}

/* Promise C1: memory follows the bytes that came, not the length that was announced. */
static void an_announcement_costs_nothing(void **state)
{
    struct fixture *f = *state;
    uint8_t head[1000] = {0x0f, 0xff, 0xff, 0xff};
    f->peer.framed = true;
    far_send(f, head, sizeof head);
    TURN_UNTIL(f->loop, f->peer.calls == 1);
    far_send(f, head, sizeof head);
    TURN_UNTIL(f->loop, f->peer.conn->in && f->peer.conn->in->len == 2 * sizeof head);
    assert_true(f->peer.conn->in->cap <= 8192);
    assert_int_equal(f->peer.calls, 1);
}

struct sender {
    int fd;
    const uint8_t *bytes;
    size_t len;
};

static void *send_all(void *arg)
{
    struct sender *s = arg;
    while (s->len > 0) {
        ssize_t n = send(s->fd, s->bytes, s->len, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN)
            continue;
        if (n <= 0)
            break;
        s->bytes += n;
        s->len -= (size_t)n;
    }
    return NULL;
}

/* Frames of 4 bytes to 1 MB, back to back, cut wherever the socket cuts them. */
static void frames_of_all_sizes_are_whole_and_in_order(void **state)
{
    static const uint32_t sizes[] = {4, 5, 300, 70000, 4, 1 << 20, 12, 65536, 65537, 250000, 4};
    struct fixture *f = *state;
    size_t total = 0;
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        total += sizes[i];
    uint8_t *all = xmalloc(3 * total);
    fill_pattern(all, 3 * total);
    uint8_t *p = all;
    for (size_t i = 0; i < 3 * ARRAY_LEN(sizes); i++) {
        frame_put_length(p, sizes[i % ARRAY_LEN(sizes)]);
        p += sizes[i % ARRAY_LEN(sizes)];
    }
    f->peer.framed = true;
    struct sender sender = {f->fd, all, 3 * total};
    pthread_t thread;
    pthread_create(&thread, NULL, send_all, &sender);
    TURN_UNTIL(f->loop, f->peer.len == 3 * total);
    pthread_join(thread, NULL);
    assert_memory_equal(f->peer.bytes, all, 3 * total);
    assert_null(f->peer.conn->in);
    free(all);
}

static void again_runs_without_new_bytes(void **state)
{
    struct fixture *f = *state;
    f->peer.use_most = 2;
    f->peer.again_once = true;
    far_send(f, "abcdef", 6);
    TURN_UNTIL(f->loop, f->peer.calls == 1);
    TURN_UNTIL(f->loop, f->peer.calls == 2);
    loop_turn(f->loop, 0);
    assert_int_equal(f->peer.calls, 2); /* it did not ask again */
    assert_memory_equal(f->peer.bytes, "abcd", 4);
    far_send(f, "g", 1);
    f->peer.use_most = 0;
    TURN_UNTIL(f->loop, f->peer.len == 7);
    assert_memory_equal(f->peer.bytes, "abcdefg", 7);
}

static void a_paused_connection_hears_nothing_until_resumed(void **state)
{
    struct fixture *f = *state;
    f->peer.use_most = 1;
    f->peer.pause_on_data = true;
    far_send(f, "abc", 3);
    TURN_UNTIL(f->loop, f->peer.calls == 1);
    far_send(f, "def", 3);
    close(f->fd);
    f->fd = -1;
    for (int i = 0; i < 5; i++)
        loop_turn(f->loop, 1);
    assert_int_equal(f->peer.calls, 1);
    assert_int_equal(f->peer.closes, 0); /* bytes precede the end */
    f->peer.pause_on_data = false;
    f->peer.use_most = 0;
    conn_resume(f->peer.conn);
    TURN_UNTIL(f->loop, f->peer.closes == 1);
    assert_memory_equal(f->peer.bytes, "abcdef", 6);
    assert_int_equal(f->peer.cause, CONN_PEER_CLOSED);
}

static void a_reset_is_noticed_while_paused(void **state)
{
    struct fixture *f = *state;
    conn_pause(f->peer.conn);
    client_reset(f->fd);
    f->fd = -1;
    TURN_UNTIL(f->loop, f->peer.closes == 1);
    assert_int_equal(f->peer.cause, CONN_RESET);
}

/* Output */

struct counted_buffer {
    struct refbuf ref;
    bool released;
    uint8_t bytes[256 * 1024];
};

static void note_release(struct refbuf *r)
{
    CONTAINER_OF(r, struct counted_buffer, ref)->released = true;
}

static struct counted_buffer *counted_new(void)
{
    struct counted_buffer *b = xcalloc(1, sizeof *b);
    b->ref = (struct refbuf){.refs = 1, .release = note_release};
    fill_pattern(b->bytes, sizeof b->bytes);
    return b;
}

static void far_expect(struct fixture *f, const uint8_t *want, size_t len)
{
    uint8_t *got = xmalloc(len);
    size_t have = 0;
    uint64_t end = clock_mono_ms() + DEADLINE_MS;
    while (have < len) {
        ssize_t n = recv(f->fd, got + have, len - have, MSG_DONTWAIT);
        if (n > 0)
            have += (size_t)n;
        else if (n == 0 || (errno != EAGAIN && errno != EINTR) || clock_mono_ms() > end)
            fail_msg("got %zu of %zu bytes", have, len);
        loop_turn(f->loop, n > 0 ? 0 : 1);
    }
    assert_memory_equal(got, want, len);
    free(got);
}

static void pieces_go_out_in_order(void **state)
{
    struct fixture *f = *state;
    struct out_vec pieces[700];
    uint8_t bytes[700];
    fill_pattern(bytes, sizeof bytes);
    for (unsigned i = 0; i < 700; i++)
        pieces[i] = (struct out_vec){bytes + i, i % 7 ? 1 : 0, NULL}; /* empty ones too */
    uint8_t want[700];
    size_t len = 0;
    for (unsigned i = 0; i < 700; i++) {
        if (i % 7)
            want[len++] = bytes[i];
    }
    assert_int_equal(conn_send(f->peer.conn, pieces, 700), CONN_SENT);
    far_expect(f, want, len);
}

/* Sends until blocked; then references are held for counted pieces and copies made of the
 * others, and all arrives in order once the far end reads. */
static void what_the_socket_refuses_is_kept(void **state)
{
    struct fixture *f = *state;
    struct counted_buffer *b = counted_new();
    enum conn_result result;
    size_t rounds = 0;
    do {
        char head[16] = "0123456789abcdef";
        struct out_vec v[2] = {{head, sizeof head, NULL}, {b->bytes, sizeof b->bytes, &b->ref}};
        result = conn_send(f->peer.conn, v, 2);
        memset(head, 'x', sizeof head);
        rounds++;
    } while (result == CONN_SENT && rounds < 10000);
    assert_int_equal(result, CONN_BLOCKED);
    assert_true(conn_blocked(f->peer.conn));
    assert_true(conn_residue(f->peer.conn) > 0);
    assert_int_equal(b->ref.refs, 2);

    size_t each = 16 + sizeof b->bytes;
    uint8_t *want = xmalloc(rounds * each);
    for (size_t i = 0; i < rounds; i++) {
        memcpy(want + i * each, "0123456789abcdef", 16);
        memcpy(want + i * each + 16, b->bytes, sizeof b->bytes);
    }
    far_expect(f, want, rounds * each);
    TURN_UNTIL(f->loop, !conn_blocked(f->peer.conn));
    assert_int_equal(f->peer.flushed, CONN_SENT);
    assert_true(f->peer.writables > 0);
    assert_int_equal(b->ref.refs, 1);
    free(want);
    free(b);
}

static void a_residue_is_released_when_the_connection_dies(void **state)
{
    struct fixture *f = *state;
    struct counted_buffer *b = counted_new();
    struct out_vec v = {b->bytes, sizeof b->bytes, &b->ref};
    while (conn_send(f->peer.conn, &v, 1) == CONN_SENT)
        ;
    refbuf_unref(&b->ref);
    assert_false(b->released);
    conn_kill(f->peer.conn, CONN_KILLED);
    TURN_UNTIL(f->loop, f->peer.closes == 1);
    assert_true(b->released);
    free(b);
}

static void a_failed_send_closes_once(void **state)
{
    struct fixture *f = *state;
    struct out_vec v = {"x", 1, NULL};
    conn_pause(f->peer.conn); /* so that only the failure can tell */
    client_reset(f->fd);
    f->fd = -1;
    enum conn_result result;
    do
        result = conn_send(f->peer.conn, &v, 1);
    while (result == CONN_SENT);
    assert_int_equal(result, CONN_FAILED);
    assert_int_equal(conn_send(f->peer.conn, &v, 1), CONN_FAILED);
    TURN_UNTIL(f->loop, f->peer.closes == 1);
}

/* Two foreign threads send under the lock while the owner flushes and the far end reads;
 * no byte is lost, and no wake-up. */
struct writer {
    struct fixture *f;
    uint8_t id;
    unsigned blocked;
};

enum { WRITER_MESSAGES = 3000, WRITER_SIZE = 2000 };

static void *write_many(void *arg)
{
    struct writer *w = arg;
    struct peer *p = &w->f->peer;
    uint8_t message[WRITER_SIZE];
    struct out_vec v = {message, sizeof message, NULL};

    memset(message, w->id, sizeof message);
    for (unsigned sent = 0; sent < WRITER_MESSAGES;) {
        lock_take(&p->lock);
        if (p->conn && !conn_blocked(p->conn)) {
            w->blocked += conn_send(p->conn, &v, 1) == CONN_BLOCKED;
            sent++;
        }
        lock_drop(&p->lock);
    }
    return NULL;
}

static void *read_many(void *arg)
{
    struct fixture *f = arg;
    static uint8_t buf[WRITER_SIZE];
    size_t counts[256] = {0};
    for (size_t i = 0; i < 2 * WRITER_MESSAGES; i++) {
        if (recv(f->fd, buf, sizeof buf, MSG_WAITALL) != (ssize_t)sizeof buf)
            return NULL;
        for (size_t j = 1; j < sizeof buf; j++) {
            if (buf[j] != buf[0])
                return NULL; /* messages were mixed up */
        }
        counts[buf[0]]++;
    }
    return counts[1] == WRITER_MESSAGES && counts[2] == WRITER_MESSAGES ? f : NULL;
}

static void other_threads_may_send(void **state)
{
    struct fixture *f = *state;
    struct writer writers[2] = {{f, 1, 0}, {f, 2, 0}};
    pthread_t threads[2], reader;
    void *ok;
    assert_true(conn_shareable(f->peer.conn));
    assert_int_equal(loop_start(f->loop), 0);
    pthread_create(&reader, NULL, read_many, f);
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, write_many, &writers[i]);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    pthread_join(reader, &ok);
    loop_stop(f->loop);
    assert_ptr_equal(ok, f);
}

/* The end */

static void killing_inside_data_is_safe(void **state)
{
    struct fixture *f = *state;
    f->peer.kill_on_data = true;
    f->peer.use_most = 1;
    far_send(f, "abc", 3);
    TURN_UNTIL(f->loop, f->peer.closes == 1);
    assert_int_equal(f->peer.calls, 1);
    assert_int_equal(f->peer.cause, CONN_KILLED);
}

static void a_close_by_the_peer_is_reported(void **state)
{
    struct fixture *f = *state;
    far_send(f, "bye", 3);
    close(f->fd);
    f->fd = -1;
    TURN_UNTIL(f->loop, f->peer.closes == 1);
    assert_int_equal(f->peer.len, 3);
    assert_int_equal(f->peer.cause, CONN_PEER_CLOSED);
}

/* Promise C7.  Bytes and a reset that come together are one edge, and libevent does not
 * tell the reset from readiness; it is found without the peer's or our doing anything. */
static void a_reset_right_behind_bytes_is_noticed(void **state)
{
    struct fixture *f = *state;
    far_send(f, "abc", 3);
    client_reset(f->fd);
    f->fd = -1;
    TURN_UNTIL(f->loop, f->peer.closes == 1);
    assert_int_equal(f->peer.len, 3);
    assert_int_equal(f->peer.cause, CONN_RESET);
}

/* Input that nobody reads would turn close() into a reset, and the peer would lose the
 * last packet: lingering prevents it. */
static void a_last_packet_reaches_the_peer(void **state)
{
    struct fixture *f = *state;
    static uint8_t noise[300000];
    struct out_vec v = {"last words", 10, NULL};
    f->peer.pause_on_data = true;
    f->peer.use_most = 1;
    struct sender sender = {f->fd, noise, sizeof noise};
    pthread_t thread;
    pthread_create(&thread, NULL, send_all, &sender);
    TURN_UNTIL(f->loop, f->peer.calls == 1);
    assert_int_equal(conn_send(f->peer.conn, &v, 1), CONN_SENT);
    conn_kill_later(f->peer.conn, CONN_KILLED, 15000);
    TURN_UNTIL(f->loop, f->peer.closes == 1);
    assert_int_equal(f->loop->conns.count, 1); /* lingering */
    far_expect(f, (const uint8_t *)"last words", 10);
    char byte;
    assert_int_equal(recv(f->fd, &byte, 1, 0), 0); /* an end, not a reset */
    pthread_join(thread, NULL);
    assert_int_equal(sender.len, 0);
    close(f->fd);
    f->fd = -1;
    TURN_UNTIL(f->loop, f->loop->conns.count == 0);
}

static void lingering_ends_at_its_deadline(void **state)
{
    struct fixture *f = *state;
    conn_kill_later(f->peer.conn, CONN_KILLED, 20);
    TURN_UNTIL(f->loop, f->peer.closes == 1);
    assert_int_equal(f->loop->conns.count, 1);
    TURN_UNTIL(f->loop, f->loop->conns.count == 0);
}

static void freeing_the_loop_closes_what_is_left(void **state)
{
    struct fixture *f = *state;
    struct loop *fresh;
    loop_free(&f->loop);
    assert_int_equal(f->peer.closes, 1);
    assert_int_equal(f->peer.cause, CONN_SHUTDOWN);
    assert_int_equal(loop_open(&fresh, 0, NULL, NULL), 0);
    f->loop = fresh;
}

static void the_struct_stays_small(void **state)
{
    assert_true(conn_size() <= 184);
}

static void an_address_is_told(void **state)
{
    struct fixture *f = *state;
    char text[CONN_ADDR_MAX];
    assert_int_equal(strncmp(conn_peer(f->peer.conn, text), "127.0.0.1:", 10), 0);
    assert_true(conn_from_here(f->peer.conn));
}

#define TEST(name)      cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TEST_UNIX(name) cmocka_unit_test_setup_teardown(name, setup_unix, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(bytes_arrive),
        TEST(a_remainder_comes_back_with_more_behind_it),
        TEST(an_announcement_costs_nothing),
        TEST(frames_of_all_sizes_are_whole_and_in_order),
        TEST_UNIX(frames_of_all_sizes_are_whole_and_in_order),
        TEST(again_runs_without_new_bytes),
        TEST(a_paused_connection_hears_nothing_until_resumed),
        TEST(a_reset_is_noticed_while_paused),
        TEST(pieces_go_out_in_order),
        TEST(what_the_socket_refuses_is_kept),
        TEST_UNIX(what_the_socket_refuses_is_kept),
        TEST(a_residue_is_released_when_the_connection_dies),
        TEST(a_failed_send_closes_once),
        TEST(other_threads_may_send),
        TEST_UNIX(other_threads_may_send),
        TEST(killing_inside_data_is_safe),
        TEST(a_close_by_the_peer_is_reported),
        TEST(a_reset_right_behind_bytes_is_noticed),
        TEST(a_last_packet_reaches_the_peer),
        TEST(lingering_ends_at_its_deadline),
        TEST(freeing_the_loop_closes_what_is_left),
        TEST(an_address_is_told),
        cmocka_unit_test(the_struct_stays_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
