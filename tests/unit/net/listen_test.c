/* Listeners: addresses, limits, descriptors running out, closing. */
#include "net_fixture.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "net/addr.h"
#include "net/loop_impl.h"

enum { PEERS = 64 };

struct fixture {
    struct loop *loop;
    struct listener *listener;
    struct peer peer[PEERS];
    struct peers peers;
    struct listen_conf conf;
    char dir[64], path[96];
    char err[256];
};

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof *f);
    assert_int_equal(loop_open(&f->loop, 0, NULL, NULL), 0);
    f->peers = (struct peers){.items = f->peer, .cap = PEERS};
    f->conf = (struct listen_conf){.name = "test",
                                   .address = "127.0.0.1:0",
                                   .unix_uid = (uid_t)-1,
                                   .unix_gid = (gid_t)-1,
                                   .handler = &peer_handler,
                                   .user = &f->peers};
    snprintf(f->dir, sizeof f->dir, "/tmp/skep-listen-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof f->path, "unix:%s/sock", f->dir);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    listener_close(&f->listener);
    loop_free(&f->loop);
    for (int i = 0; i < PEERS; i++) {
        assert_int_equal(f->peer[i].closes, f->peer[i].ups);
        peer_free(&f->peer[i]);
    }
    unlink(f->path + 5);
    assert_return_code(rmdir(f->dir), errno);
    free(f);
    return 0;
}

static void open_listener(struct fixture *f)
{
    if (listener_open(&f->listener, &f->conf, &f->loop, 1, f->err, sizeof f->err) < 0)
        fail_msg("%s", f->err);
}

static int connect_here(struct fixture *f)
{
    return client_connect(listener_port(f->listener));
}

static struct listen_stats stats_of(struct fixture *f)
{
    struct listen_stats s;
    listener_stats(f->listener, &s);
    return s;
}

/* True once the broker has hung up on fd. */
static bool hung_up(int fd)
{
    char byte;
    ssize_t n = recv(fd, &byte, 1, MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno == ECONNRESET);
}

static void bytes_travel_both_ways(void **state)
{
    struct fixture *f = *state;
    char got[3];
    open_listener(f);
    assert_int_equal(strncmp(listener_address(f->listener), "127.0.0.1:", 10), 0);
    int fd = connect_here(f);
    assert_int_equal(send(fd, "abc", 3, 0), 3);
    TURN_UNTIL(f->loop, f->peer[0].len == 3);
    struct out_vec v = {"xyz", 3, NULL};
    assert_int_equal(conn_send(f->peer[0].conn, &v, 1), CONN_SENT);
    assert_int_equal(recv(fd, got, 3, MSG_WAITALL), 3);
    assert_memory_equal(got, "xyz", 3);
    assert_ptr_equal(conn_listener(f->peer[0].conn), f->listener);
    close(fd);
    TURN_UNTIL(f->loop, f->peer[0].closes == 1);
    assert_int_equal(stats_of(f).connections, 0);
    assert_int_equal(stats_of(f).accepted, 1);
}

static int option_of(int fd, int level, int name)
{
    int value = -1;
    socklen_t len = sizeof value;
    assert_return_code(getsockopt(fd, level, name, &value, &len), errno);
    return value;
}

static void small_packets_are_not_held_back(void **state)
{
    struct fixture *f = *state;
    f->conf.keepalive = true;
    open_listener(f);
    int fd = connect_here(f);
    TURN_UNTIL(f->loop, f->peer[0].ups == 1);
    assert_true(option_of(conn_fd(f->peer[0].conn), IPPROTO_TCP, TCP_NODELAY) > 0);
    assert_true(option_of(conn_fd(f->peer[0].conn), SOL_SOCKET, SO_KEEPALIVE) > 0);
    close(fd);
}

static void ipv6_is_bound_as_written(void **state)
{
    struct fixture *f = *state;
    f->conf.address = "[::1]:0";
    if (listener_open(&f->listener, &f->conf, &f->loop, 1, f->err, sizeof f->err) < 0) {
        assert_non_null(strstr(f->err, "[::1]:0")); /* a machine without IPv6 */
        skip();
    }
    struct sockaddr_in6 to = {.sin6_family = AF_INET6,
                              .sin6_port = htons(listener_port(f->listener)),
                              .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    assert_return_code(connect(fd, (struct sockaddr *)&to, sizeof to), errno);
    TURN_UNTIL(f->loop, f->peer[0].ups == 1);
    char text[CONN_ADDR_MAX];
    assert_int_equal(strncmp(conn_peer(f->peer[0].conn, text), "[::1]:", 6), 0);
    assert_true(conn_from_here(f->peer[0].conn));
    close(fd);
}

static int unix_connect(const char *path)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    snprintf(to.sun_path, sizeof to.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0)
        return fd;
    close(fd);
    return -1;
}

static void a_unix_socket_has_its_mode_and_goes_away(void **state)
{
    struct fixture *f = *state;
    struct stat st;
    f->conf.address = f->path;
    f->conf.unix_mode = 0600;
    open_listener(f);
    assert_return_code(stat(f->path + 5, &st), errno);
    assert_int_equal(st.st_mode & 0777, 0600);
    int fd = unix_connect(f->path + 5);
    assert_true(fd >= 0);
    TURN_UNTIL(f->loop, f->peer[0].ups == 1);
    struct conn_facts facts;
    conn_facts(f->peer[0].conn, &facts);
    assert_true(facts.is_unix);
    assert_true(conn_from_here(f->peer[0].conn));
    listener_close(&f->listener);
    assert_int_equal(stat(f->path + 5, &st), -1);
    /* the connection lives on without its listener */
    assert_int_equal(send(fd, "abc", 3, 0), 3);
    TURN_UNTIL(f->loop, f->peer[0].len == 3);
    close(fd);
}

static void a_socket_left_by_a_crash_is_replaced_a_live_one_is_not(void **state)
{
    struct fixture *f = *state;
    struct listener *second = NULL;
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    snprintf(at.sun_path, sizeof at.sun_path, "%s", f->path + 5);
    int dead = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_return_code(bind(dead, (struct sockaddr *)&at, sizeof at), errno);
    close(dead);
    f->conf.address = f->path;
    open_listener(f);
    assert_true(listener_open(&second, &f->conf, &f->loop, 1, f->err, sizeof f->err) < 0);
    assert_non_null(strstr(f->err, "binding"));
    int fd = unix_connect(f->path + 5);
    assert_true(fd >= 0); /* the failed attempt did not remove the path */
    close(fd);
}

static void a_file_in_the_way_is_not_removed(void **state)
{
    struct fixture *f = *state;
    struct stat st;
    int fd = open(f->path + 5, O_CREAT | O_WRONLY, 0600);
    close(fd);
    f->conf.address = f->path;
    assert_true(listener_open(&f->listener, &f->conf, &f->loop, 1, f->err, sizeof f->err) < 0);
    assert_return_code(stat(f->path + 5, &st), errno);
}

static void a_wrong_address_is_explained(void **state)
{
    static const char *const wrong[] = {
        "",         "1883",          "127.0.0.1",  "localhost:1883", "[::1]", "[::1]1883",
        "::1:1883", "1.2.3.4:99999", "1.2.3.4:-1", "1.2.3.4:1883x",  "unix:"};
    struct fixture *f = *state;
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        f->conf.address = wrong[i];
        f->err[0] = '\0';
        assert_true(listener_open(&f->listener, &f->conf, &f->loop, 1, f->err, sizeof f->err) < 0);
        assert_true(f->err[0] != '\0');
        assert_null(f->listener);
    }
}

static void a_taken_port_is_explained(void **state)
{
    struct fixture *f = *state;
    struct listener *second = NULL;
    char address[64];
    open_listener(f);
    snprintf(address, sizeof address, "%s", listener_address(f->listener));
    f->conf.address = address;
    assert_true(listener_open(&second, &f->conf, &f->loop, 1, f->err, sizeof f->err) < 0);
    assert_non_null(strstr(f->err, address));
    assert_non_null(strstr(f->err, "Address already in use"));
}

static void the_address_is_free_after_closing(void **state)
{
    struct fixture *f = *state;
    char address[64];
    open_listener(f);
    snprintf(address, sizeof address, "%s", listener_address(f->listener));
    int fd = connect_here(f);
    TURN_UNTIL(f->loop, f->peer[0].ups == 1);
    listener_close(&f->listener);
    f->conf.address = address;
    open_listener(f);
    close(fd);
}

static void callers_over_the_limit_are_closed_at_once(void **state)
{
    struct fixture *f = *state;
    f->conf.max_connections = 2;
    open_listener(f);
    int a = connect_here(f), b = connect_here(f), c = connect_here(f);
    TURN_UNTIL(f->loop, stats_of(f).refused_limit == 1);
    assert_int_equal(f->peers.count, 2);
    TURN_UNTIL(f->loop, hung_up(c));
    close(a);
    TURN_UNTIL(f->loop, stats_of(f).connections == 1);
    int d = connect_here(f); /* a place is free again */
    TURN_UNTIL(f->loop, f->peers.count == 3);
    f->conf.max_connections = 0;
    listener_set_limits(f->listener, &f->conf);
    int e = connect_here(f);
    TURN_UNTIL(f->loop, f->peers.count == 4);
    close(b);
    close(c);
    close(d);
    close(e);
}

static void callers_over_the_rate_are_closed_at_once(void **state)
{
    struct fixture *f = *state;
    int fds[30];
    f->conf.connect_rate = 10;
    open_listener(f);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        fds[i] = connect_here(f);
    TURN_UNTIL(f->loop, stats_of(f).accepted == ARRAY_LEN(fds));
    struct listen_stats s = stats_of(f);
    assert_true(s.connections >= 10);
    assert_true(s.refused_rate > 0);
    assert_int_equal(s.connections + s.refused_rate, ARRAY_LEN(fds));
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        close(fds[i]);
}

/* Promises C5 and C7: out of descriptors the caller is answered, the loop rests instead of
 * spinning, and all is well once descriptors are free. */
static void running_out_of_descriptors_does_not_spin(void **state)
{
    struct fixture *f = *state;
    struct rlimit before, tight;
    open_listener(f);
    int first = connect_here(f);
    TURN_UNTIL(f->loop, f->peer[0].ups == 1);
    int second = connect_here(f);
    assert_return_code(getrlimit(RLIMIT_NOFILE, &before), errno);
    int lowest_free = dup(first);
    close(lowest_free);
    tight = before;
    tight.rlim_cur = (rlim_t)lowest_free;
    assert_return_code(setrlimit(RLIMIT_NOFILE, &tight), errno);
    uint64_t turns = f->loop->counters.turns, start_ms = clock_mono_ms();
    TURN_UNTIL(f->loop, stats_of(f).refused_descriptors > 0);
    TURN_UNTIL(f->loop, hung_up(second));
    TURN_UNTIL(f->loop, clock_mono_ms() > start_ms + 60);
    assert_true(f->loop->counters.turns - turns < 50);
    assert_return_code(setrlimit(RLIMIT_NOFILE, &before), errno);
    int third = connect_here(f);
    TURN_UNTIL(f->loop, f->peers.count == 2);
    close(first);
    close(second);
    close(third);
}

/* Promise C7. */
static void churn_leaves_no_descriptor_behind(void **state)
{
    struct fixture *f = *state;
    f->peers.cap = 0; /* up() refuses */
    open_listener(f);
    unsigned before = open_descriptors();
    for (int i = 0; i < 500; i++) {
        int fd = connect_here(f);
        if (i % 3 == 0)
            client_reset(fd);
        else
            close(fd);
        loop_turn(f->loop, 0);
    }
    TURN_UNTIL(f->loop, stats_of(f).accepted == 500 && stats_of(f).connections == 0);
    assert_int_equal(open_descriptors(), before);
}

static void connections_are_handed_out_in_turn(void **state)
{
    struct fixture *f = *state;
    struct loop *loops[3] = {f->loop};
    unsigned seen[3] = {0};
    assert_int_equal(loop_open(&loops[1], 1, NULL, NULL), 0);
    assert_int_equal(loop_open(&loops[2], 2, NULL, NULL), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(loop_start(loops[i]), 0);
    int err = listener_open(&f->listener, &f->conf, loops, 3, f->err, sizeof f->err);
    assert_int_equal(err, 0);
    int fds[9];
    for (int i = 0; i < 9; i++)
        fds[i] = connect_here(f);
    uint64_t end = clock_mono_ms() + DEADLINE_MS;
    struct loop_stats s;
    for (int i = 0; i < 3; i++) {
        do
            loop_stats(loops[i], &s);
        while (s.connections < 3 && clock_mono_ms() < end);
        seen[i] = (unsigned)s.connections;
    }
    listener_close(&f->listener);
    for (int i = 0; i < 3; i++)
        loop_stop(loops[i]);
    for (int i = 0; i < 9; i++)
        close(fds[i]);
    loop_free(&loops[1]);
    loop_free(&loops[2]);
    for (int i = 0; i < 3; i++)
        assert_int_equal(seen[i], 3);
}

static bool block_has(const char *block, const char *address)
{
    struct cidr c;
    struct addr a;
    char err[128];
    assert_int_equal(cidr_parse(&c, block), 0);
    assert_int_equal(addr_parse(&a, address, err, sizeof err), 0);
    return cidr_has(&c, &a.any);
}

static void blocks_of_addresses(void **state)
{
    assert_true(block_has("10.0.0.0/8", "10.255.1.2:1"));
    assert_false(block_has("10.0.0.0/8", "11.0.0.1:1"));
    assert_true(block_has("192.168.4.128/25", "192.168.4.200:1"));
    assert_false(block_has("192.168.4.128/25", "192.168.4.100:1"));
    assert_true(block_has("192.0.2.7", "192.0.2.7:1"));
    assert_false(block_has("192.0.2.7", "192.0.2.6:1"));
    assert_true(block_has("192.0.2.0/24", "[::ffff:192.0.2.9]:1"));
    assert_true(block_has("0.0.0.0/0", "203.0.113.1:1"));
    assert_false(block_has("0.0.0.0/0", "[2001:db8::1]:1"));
    assert_true(block_has("2001:db8::/33", "[2001:db8:7fff::1]:1"));
    assert_false(block_has("2001:db8::/33", "[2001:db8:8000::1]:1"));
    struct cidr c;
    static const char *const wrong[] = {"",       "/",      "10.0.0.0/",   "10.0.0.0/33",
                                        "::/129", "10.0/8", "10.0.0.0/8x", "host"};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        assert_true(cidr_parse(&c, wrong[i]) < 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(bytes_travel_both_ways),
        TEST(small_packets_are_not_held_back),
        TEST(ipv6_is_bound_as_written),
        TEST(a_unix_socket_has_its_mode_and_goes_away),
        TEST(a_socket_left_by_a_crash_is_replaced_a_live_one_is_not),
        TEST(a_file_in_the_way_is_not_removed),
        TEST(a_wrong_address_is_explained),
        TEST(a_taken_port_is_explained),
        TEST(the_address_is_free_after_closing),
        TEST(callers_over_the_limit_are_closed_at_once),
        TEST(callers_over_the_rate_are_closed_at_once),
        TEST(running_out_of_descriptors_does_not_spin),
        TEST(churn_leaves_no_descriptor_behind),
        TEST(connections_are_handed_out_in_turn),
        cmocka_unit_test(blocks_of_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
