/* TLS over loopback: versions, client certificates and CRL, SNI, PSK, reload, large data
 * both ways, hostile and slow handshakes.  Promise S6. */
#include "tls_fixture.h"

#include <malloc.h>

#include "net/conn_impl.h"

enum { PEERS = 32 };

struct fixture {
    struct loop *loop;
    struct listener *listener;
    struct peer peer[PEERS];
    struct peers peers;
    struct identity ca, server, other, client;
    struct listen_cert certs[2];
    struct listen_conf conf;
    char dir[64], crl[96], psk[96];
    char err[512];
};

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof *f);
    assert_int_equal(loop_open(&f->loop, 0, NULL, NULL), 0);
    f->peers = (struct peers){.items = f->peer, .cap = PEERS};
    snprintf(f->dir, sizeof f->dir, "/tmp/skep-tls-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->crl, sizeof f->crl, "%s/crl", f->dir);
    snprintf(f->psk, sizeof f->psk, "%s/psk", f->dir);
    f->ca = identity_new(f->dir, "ca", "Test CA", NULL, NULL);
    f->server = identity_new(f->dir, "server", "one", "DNS:one.test,DNS:*.one.test", &f->ca);
    f->other = identity_new(f->dir, "other", "two", "DNS:two.test", &f->ca);
    f->client = identity_new(f->dir, "client", "sensor 7", NULL, &f->ca);
    f->certs[0] = (struct listen_cert){f->server.cert_path, f->server.key_path};
    f->certs[1] = (struct listen_cert){f->other.cert_path, f->other.key_path};
    f->conf = (struct listen_conf){
        .name = "mqtts",
        .address = "127.0.0.1:0",
        .tls = true,
        .tls_conf = {.certs = f->certs, .cert_count = 1, .tickets = true},
        .handler = &peer_handler,
        .user = &f->peers,
    };
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
    identity_free(&f->ca);
    identity_free(&f->server);
    identity_free(&f->other);
    identity_free(&f->client);
    unlink(f->crl);
    unlink(f->psk);
    assert_return_code(rmdir(f->dir), errno);
    free(f);
    return 0;
}

static void open_listener(struct fixture *f)
{
    if (listener_open(&f->listener, &f->conf, &f->loop, 1, f->err, sizeof f->err) < 0)
        fail_msg("%s", f->err);
}

static struct tls_client client_of(struct fixture *f)
{
    return tls_client_new(listener_port(f->listener));
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

/* One byte each way proves that both ends are content. */
static void greet(struct fixture *f, struct tls_client *c, unsigned peer)
{
    char byte;
    struct out_vec v = {"y", 1, NULL};
    tls_client_write(c, f->loop, "x", 1);
    TURN_UNTIL(f->loop, f->peer[peer].len == 1);
    assert_int_equal(conn_send(f->peer[peer].conn, &v, 1), CONN_SENT);
    assert_true(tls_client_read(c, f->loop, &byte, 1));
    assert_int_equal(byte, 'y');
}

static bool refused(struct fixture *f, struct tls_client *c)
{
    char byte;
    return !tls_client_connect(c, f->loop) || !tls_client_read(c, f->loop, &byte, 1);
}

static void versions_1_2_and_1_3_are_spoken(void **state)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    struct fixture *f = *state;
    open_listener(f);
    for (unsigned i = 0; i < 2; i++) {
        struct tls_client c = client_of(f);
        SSL_CTX_set_min_proto_version(c.ctx, versions[i]);
        SSL_CTX_set_max_proto_version(c.ctx, versions[i]);
        assert_true(tls_client_connect(&c, f->loop));
        greet(f, &c, i);
        struct conn_facts facts;
        conn_facts(f->peer[i].conn, &facts);
        assert_true(facts.is_tls);
        assert_true(str_eq(facts.tls_version, i ? STR("TLSv1.3") : STR("TLSv1.2")));
        assert_true(facts.tls_cipher.len > 0);
        assert_false(facts.cert_verified);
        assert_int_equal(facts.cert_cn.len, 0);
        assert_false(conn_shareable(f->peer[i].conn));
        tls_client_free(&c);
        TURN_UNTIL(f->loop, f->peer[i].closes == 1);
    }
}

static void older_versions_are_refused(void **state)
{
    struct fixture *f = *state;
    struct listen_stats s;
    open_listener(f);
    struct tls_client c = client_of(f);
    SSL_CTX_set_security_level(c.ctx, 0);
    SSL_CTX_set_min_proto_version(c.ctx, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(c.ctx, TLS1_1_VERSION);
    SSL_CTX_set_cipher_list(c.ctx, "ALL:@SECLEVEL=0");
    assert_true(refused(f, &c));
    tls_client_free(&c);
    do {
        loop_turn(f->loop, 10);
        listener_stats(f->listener, &s);
    } while (s.connections > 0);
    assert_int_equal(s.failed_handshakes, 1);
    assert_int_equal(f->peers.count, 0);
}

static void the_minimum_version_can_be_raised(void **state)
{
    struct fixture *f = *state;
    f->conf.tls_conf.min_version = LISTEN_TLS_1_3;
    open_listener(f);
    struct tls_client c = client_of(f);
    SSL_CTX_set_max_proto_version(c.ctx, TLS1_2_VERSION);
    assert_true(refused(f, &c));
    tls_client_free(&c);
}

static void weak_ciphers_are_refused(void **state)
{
    static const char *const weak[] = {"AES128-SHA", "AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA",
                                       "NULL-SHA256:@SECLEVEL=0", "ADH-AES128-SHA:@SECLEVEL=0"};
    struct fixture *f = *state;
    open_listener(f);
    for (size_t i = 0; i < ARRAY_LEN(weak); i++) {
        struct tls_client c = client_of(f);
        SSL_CTX_set_max_proto_version(c.ctx, TLS1_2_VERSION);
        assert_int_equal(SSL_CTX_set_cipher_list(c.ctx, weak[i]), 1);
        assert_true(refused(f, &c));
        tls_client_free(&c);
    }
    assert_int_equal(f->peers.count, 0);
}

static void renegotiation_is_refused(void **state)
{
    struct fixture *f = *state;
    open_listener(f);
    struct tls_client c = client_of(f);
    SSL_CTX_set_max_proto_version(c.ctx, TLS1_2_VERSION);
    assert_true(tls_client_connect(&c, f->loop));
    greet(f, &c, 0);
    SSL_renegotiate(c.ssl);
    bool renegotiated = tls_client_connect(&c, f->loop);
    assert_false(renegotiated);
    tls_client_free(&c);
}

static void fill_pattern(uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(i * 131 + (i >> 9));
}

static void large_data_arrives_whole(void **state)
{
    enum { SIZE = 3000000 };
    struct fixture *f = *state;
    uint8_t *bytes = xmalloc(SIZE);
    fill_pattern(bytes, SIZE);
    open_listener(f);
    struct tls_client c = client_of(f);
    assert_true(tls_client_connect(&c, f->loop));
    tls_client_write(&c, f->loop, bytes, SIZE);
    TURN_UNTIL(f->loop, f->peer[0].len == SIZE);
    assert_memory_equal(f->peer[0].bytes, bytes, SIZE);
    TURN_UNTIL(f->loop, f->loop->ready.count == 0);
    assert_null(f->peer[0].conn->in);
    tls_client_free(&c);
    free(bytes);
}

struct counted_buffer {
    struct refbuf ref;
    uint8_t bytes[300000];
};

static void never_released(struct refbuf *r)
{
    fail_msg("released too often");
}

/* What the socket does not take waits as plain text by reference, but for what was
 * encrypted already. */
static void large_output_waits_and_drains(void **state)
{
    enum { ROUNDS = 20 };
    struct fixture *f = *state;
    struct counted_buffer *b = xcalloc(1, sizeof *b);
    struct out_vec v[ROUNDS * 2];
    b->ref = (struct refbuf){.refs = 1, .release = never_released};
    fill_pattern(b->bytes, sizeof b->bytes);
    open_listener(f);
    struct tls_client c = client_of(f);
    assert_true(tls_client_connect(&c, f->loop));
    TURN_UNTIL(f->loop, f->peer[0].ups == 1);
    char head[8] = "headers!";
    for (int i = 0; i < ROUNDS; i++) {
        v[2 * i] = (struct out_vec){head, sizeof head, NULL};
        v[2 * i + 1] = (struct out_vec){b->bytes, sizeof b->bytes, &b->ref};
    }
    assert_int_equal(conn_send(f->peer[0].conn, v, 2 * ROUNDS), CONN_BLOCKED);
    assert_true(conn_blocked(f->peer[0].conn));
    assert_true(conn_residue(f->peer[0].conn) > 100000);
    memset(head, 'x', sizeof head);
    uint8_t *got = xmalloc(sizeof head + sizeof b->bytes);
    for (int i = 0; i < ROUNDS; i++) {
        assert_true(tls_client_read(&c, f->loop, got, sizeof head + sizeof b->bytes));
        assert_memory_equal(got, "headers!", sizeof head);
        assert_memory_equal(got + sizeof head, b->bytes, sizeof b->bytes);
    }
    assert_false(conn_blocked(f->peer[0].conn));
    assert_int_equal(conn_residue(f->peer[0].conn), 0);
    assert_int_equal(b->ref.refs, 1);
    tls_client_free(&c);
    free(got);
    free(b);
}

static void closing_says_goodbye(void **state)
{
    struct fixture *f = *state;
    char byte;
    open_listener(f);
    struct tls_client c = client_of(f);
    assert_true(tls_client_connect(&c, f->loop));
    greet(f, &c, 0);
    conn_kill(f->peer[0].conn, CONN_KILLED);
    assert_false(tls_client_read(&c, f->loop, &byte, 1));
    assert_int_equal(SSL_get_shutdown(c.ssl), SSL_RECEIVED_SHUTDOWN);
    tls_client_free(&c);
}

static void a_goodbye_of_the_peer_is_a_close(void **state)
{
    struct fixture *f = *state;
    open_listener(f);
    struct tls_client c = client_of(f);
    assert_true(tls_client_connect(&c, f->loop));
    tls_client_write(&c, f->loop, "last", 4);
    SSL_shutdown(c.ssl);
    TURN_UNTIL(f->loop, f->peer[0].closes == 1);
    assert_int_equal(f->peer[0].len, 4); /* the bytes before it are not lost */
    assert_int_equal(f->peer[0].cause, CONN_PEER_CLOSED);
    tls_client_free(&c);
}

static void verify_clients(struct fixture *f, enum listen_verify verify)
{
    f->conf.tls_conf.verify = verify;
    f->conf.tls_conf.client_ca_file = f->ca.cert_path;
}

static void show(struct tls_client *c, const struct identity *id)
{
    SSL_CTX_use_certificate(c->ctx, id->cert);
    SSL_CTX_use_PrivateKey(c->ctx, id->key);
}

static void a_client_certificate_names_the_client(void **state)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    struct fixture *f = *state;
    verify_clients(f, LISTEN_VERIFY_REQUIRE);
    open_listener(f);
    for (unsigned i = 0; i < 2; i++) {
        struct tls_client c = client_of(f);
        SSL_CTX_set_max_proto_version(c.ctx, versions[i]);
        show(&c, &f->client);
        assert_true(tls_client_connect(&c, f->loop));
        greet(f, &c, i);
        struct conn_facts facts;
        conn_facts(f->peer[i].conn, &facts);
        assert_true(facts.cert_verified);
        assert_true(str_eq(facts.cert_cn, STR("sensor 7")));
        assert_true(str_eq(facts.cert_subject, STR("CN=sensor 7,O=Skep\\, Ltd")));
        tls_client_free(&c);
    }
}

static void required_means_required(void **state)
{
    struct fixture *f = *state;
    struct identity stranger_ca = identity_new(f->dir, "sca", "Test CA", NULL, NULL);
    struct identity stranger = identity_new(f->dir, "str", "sensor 7", NULL, &stranger_ca);
    verify_clients(f, LISTEN_VERIFY_REQUIRE);
    open_listener(f);
    struct tls_client c = client_of(f);
    assert_true(refused(f, &c));
    tls_client_free(&c);
    c = client_of(f);
    show(&c, &stranger);
    assert_true(refused(f, &c));
    tls_client_free(&c);
    assert_int_equal(f->peers.count, 0);
    identity_free(&stranger);
    identity_free(&stranger_ca);
}

static void optional_lets_clients_without_a_certificate_in(void **state)
{
    struct fixture *f = *state;
    struct conn_facts facts;
    struct identity stranger_ca = identity_new(f->dir, "sca", "Test CA", NULL, NULL);
    struct identity stranger = identity_new(f->dir, "str", "sensor 7", NULL, &stranger_ca);
    verify_clients(f, LISTEN_VERIFY_OPTIONAL);
    open_listener(f);
    struct tls_client c = client_of(f);
    assert_true(tls_client_connect(&c, f->loop));
    greet(f, &c, 0);
    conn_facts(f->peer[0].conn, &facts);
    assert_false(facts.cert_verified);
    tls_client_free(&c);
    c = client_of(f);
    show(&c, &stranger); /* but a wrong one is refused */
    assert_true(refused(f, &c));
    tls_client_free(&c);
    identity_free(&stranger);
    identity_free(&stranger_ca);
}

static void reload(struct fixture *f)
{
    if (listener_reload_tls(f->listener, &f->conf, f->err, sizeof f->err) < 0)
        fail_msg("%s", f->err);
}

/* A revoked certificate is refused after a reload, also when it comes back with a ticket;
 * the connection it has stays. */
static void a_crl_is_obeyed_after_reload(void **state)
{
    struct fixture *f = *state;
    write_crl(f->crl, &f->ca, NULL);
    verify_clients(f, LISTEN_VERIFY_REQUIRE);
    f->conf.tls_conf.crl_file = f->crl;
    open_listener(f);
    struct tls_client c = client_of(f);
    show(&c, &f->client);
    assert_true(tls_client_connect(&c, f->loop));
    greet(f, &c, 0);
    SSL_SESSION *ticket = SSL_get1_session(c.ssl);

    struct tls_client again = client_of(f);
    show(&again, &f->client);
    tls_client_begin(&again);
    SSL_set_session(again.ssl, ticket);
    assert_true(tls_client_connect(&again, f->loop));
    greet(f, &again, 1);
    assert_true(SSL_session_reused(again.ssl));
    struct conn_facts facts;
    conn_facts(f->peer[1].conn, &facts);
    assert_true(str_eq(facts.cert_cn, STR("sensor 7"))); /* also when resumed */
    tls_client_free(&again);

    write_crl(f->crl, &f->ca, &f->client);
    reload(f);
    again = client_of(f);
    show(&again, &f->client);
    tls_client_begin(&again);
    SSL_set_session(again.ssl, ticket);
    assert_true(refused(f, &again));
    tls_client_free(&again);
    f->peer[0].len = 0;
    greet(f, &c, 0);
    SSL_SESSION_free(ticket);
    tls_client_free(&c);
}

static bool served_by(struct fixture *f, const char *name, const struct identity *id)
{
    struct tls_client c = client_of(f);
    tls_client_begin(&c);
    if (name)
        SSL_set_tlsext_host_name(c.ssl, name);
    assert_true(tls_client_connect(&c, f->loop));
    X509 *cert = SSL_get1_peer_certificate(c.ssl);
    bool same = X509_cmp(cert, id->cert) == 0;
    X509_free(cert);
    tls_client_free(&c);
    return same;
}

static void the_server_name_chooses_the_certificate(void **state)
{
    struct fixture *f = *state;
    f->conf.tls_conf.cert_count = 2;
    open_listener(f);
    assert_true(served_by(f, "one.test", &f->server));
    assert_true(served_by(f, "two.test", &f->other));
    assert_true(served_by(f, "TWO.TEST", &f->other));
    assert_true(served_by(f, "deep.one.test", &f->server));
    assert_true(served_by(f, "unknown.test", &f->server));
    assert_true(served_by(f, NULL, &f->server));
}

static int key_type_for(struct fixture *f, const char *signatures)
{
    struct tls_client c = client_of(f);
    SSL_CTX_set1_sigalgs_list(c.ctx, signatures);
    assert_true(tls_client_connect(&c, f->loop));
    X509 *cert = SSL_get1_peer_certificate(c.ssl);
    int type = EVP_PKEY_get_base_id(X509_get0_pubkey(cert));
    X509_free(cert);
    tls_client_free(&c);
    return type;
}

static void two_kinds_of_key_for_one_name(void **state)
{
    struct fixture *f = *state;
    struct identity rsa = identity_with_key(f->dir, "rsa", "one", "DNS:one.test,DNS:*.one.test",
                                            &f->ca, EVP_RSA_gen(2048));
    f->certs[1] = (struct listen_cert){rsa.cert_path, rsa.key_path};
    f->conf.tls_conf.cert_count = 2;
    open_listener(f);
    assert_int_equal(key_type_for(f, "ECDSA+SHA256"), EVP_PKEY_EC);
    assert_int_equal(key_type_for(f, "RSA-PSS+SHA256"), EVP_PKEY_RSA);
    identity_free(&rsa);
}

/* Client certificates are checked whichever certificate answers. */
static void the_server_name_does_not_change_verification(void **state)
{
    struct fixture *f = *state;
    f->conf.tls_conf.cert_count = 2;
    verify_clients(f, LISTEN_VERIFY_REQUIRE);
    open_listener(f);
    struct tls_client c = client_of(f);
    tls_client_begin(&c);
    SSL_set_tlsext_host_name(c.ssl, "two.test");
    assert_true(refused(f, &c));
    tls_client_free(&c);
    c = client_of(f);
    show(&c, &f->client);
    tls_client_begin(&c);
    SSL_set_tlsext_host_name(c.ssl, "two.test");
    assert_true(tls_client_connect(&c, f->loop));
    greet(f, &c, 0);
    struct conn_facts facts;
    conn_facts(f->peer[0].conn, &facts);
    assert_true(str_eq(facts.tls_server_name, STR("two.test")));
    assert_true(facts.cert_verified);
    tls_client_free(&c);
}

static void a_reload_changes_the_certificate_or_nothing(void **state)
{
    struct fixture *f = *state;
    open_listener(f);
    struct tls_client c = client_of(f);
    assert_true(tls_client_connect(&c, f->loop));
    greet(f, &c, 0);

    f->certs[0] = f->certs[1];
    reload(f);
    assert_true(served_by(f, NULL, &f->other));
    f->certs[0].certificate = f->crl; /* not there */
    assert_true(listener_reload_tls(f->listener, &f->conf, f->err, sizeof f->err) < 0);
    assert_non_null(strstr(f->err, f->crl));
    assert_non_null(strstr(f->err, "No such file"));
    assert_true(served_by(f, NULL, &f->other));
    f->peer[0].len = 0;
    greet(f, &c, 0); /* the established connection never noticed */
    tls_client_free(&c);
}

/* Handshakes on the loop's thread while the main thread swaps contexts. */
static void reloading_beside_handshakes_is_safe(void **state)
{
    struct fixture *f = *state;
    open_listener(f);
    assert_int_equal(loop_start(f->loop), 0);
    for (int i = 0; i < 20; i++) {
        struct tls_client c = client_of(f);
        assert_return_code(fcntl(c.fd, F_SETFL, 0), errno);
        tls_client_begin(&c);
        SSL_set_mode(c.ssl, SSL_MODE_AUTO_RETRY);
        reload(f);
        assert_int_equal(SSL_connect(c.ssl), 1);
        reload(f);
        tls_client_free(&c);
    }
    loop_stop(f->loop);
}

static void expect_complaint(struct fixture *f, const char *about, const char *reason)
{
    f->err[0] = '\0';
    assert_true(listener_check_tls(&f->conf, f->err, sizeof f->err) < 0);
    if (!strstr(f->err, about) || !strstr(f->err, reason))
        fail_msg("'%s' does not speak of '%s' and '%s'", f->err, about, reason);
    assert_true(listener_open(&f->listener, &f->conf, &f->loop, 1, f->err, sizeof f->err) < 0);
    assert_null(f->listener);
}

static void what_is_wrong_is_said(void **state)
{
    struct fixture *f = *state;
    struct listen_tls good = f->conf.tls_conf;
    struct listen_cert cert = f->certs[0];
    assert_int_equal(listener_check_tls(&f->conf, f->err, sizeof f->err), 0);

    f->certs[0].key = f->other.key_path;
    expect_complaint(f, f->other.key_path, "does not belong to");
    f->certs[0] = cert;
    write_file(f->psk, "this is no certificate\n");
    f->certs[0].certificate = f->psk;
    expect_complaint(f, f->psk, "no start line");
    f->certs[0] = cert;
    f->conf.tls_conf.ciphers = "HIGHLY-SECRET";
    expect_complaint(f, "HIGHLY-SECRET", "no cipher match");
    f->conf.tls_conf = good;
    f->conf.tls_conf.verify = LISTEN_VERIFY_REQUIRE;
    expect_complaint(f, "client_ca", "no client_ca");
    f->conf.tls_conf.client_ca_file = "/nonexistent/ca.pem";
    expect_complaint(f, "/nonexistent/ca.pem", "No such file");
    f->conf.tls_conf.client_ca_file = f->ca.cert_path;
    f->conf.tls_conf.crl_file = f->ca.cert_path;
    expect_complaint(f, "crl", f->ca.cert_path);
    f->conf.tls_conf = good;
    f->conf.tls_conf.cert_count = 0;
    expect_complaint(f, "certificate", "psk_file");
}

static void an_encrypted_key_does_not_ask_the_terminal(void **state)
{
    struct fixture *f = *state;
    FILE *file = fopen(f->server.key_path, "w");
    PEM_write_PrivateKey(file, f->server.key, EVP_aes_128_cbc(), (unsigned char *)"secret", 6, NULL,
                         NULL);
    fclose(file);
    expect_complaint(f, f->server.key_path, "is encrypted");
}

/* Pre-shared keys */

static const char *psk_identity_to_use = "device:1";
static const unsigned char psk_key[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
static unsigned char psk_key_to_use[sizeof psk_key];

static unsigned use_psk(SSL *ssl, const char *hint, char *identity, unsigned identity_max,
                        unsigned char *key, unsigned key_max)
{
    snprintf(identity, identity_max, "%s", psk_identity_to_use);
    memcpy(key, psk_key_to_use, sizeof psk_key_to_use);
    return sizeof psk_key_to_use;
}

static void psk_listener(struct fixture *f)
{
    write_file(f->psk, "# devices\n\nother:00112233445566778899aabbccddeeff\r\n"
                       "device:1:0102030405060708090A0b0c0d0e0f10\n");
    f->conf.tls_conf.psk_file = f->psk;
    f->conf.tls_conf.psk_hint = "skep";
    psk_identity_to_use = "device:1";
    memcpy(psk_key_to_use, psk_key, sizeof psk_key);
    open_listener(f);
}

static void a_pre_shared_key_names_the_client(void **state)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    struct fixture *f = *state;
    f->conf.tls_conf.cert_count = 0;
    psk_listener(f);
    for (unsigned i = 0; i < 2; i++) {
        struct tls_client c = client_of(f);
        SSL_CTX_set_max_proto_version(c.ctx, versions[i]);
        SSL_CTX_set_psk_client_callback(c.ctx, use_psk);
        assert_true(tls_client_connect(&c, f->loop));
        greet(f, &c, i);
        struct conn_facts facts;
        conn_facts(f->peer[i].conn, &facts);
        assert_true(str_eq(facts.psk_identity, STR("device:1")));
        assert_false(facts.cert_verified);
        tls_client_free(&c);
    }
}

static void a_wrong_key_or_identity_is_refused(void **state)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    struct fixture *f = *state;
    f->conf.tls_conf.cert_count = 0;
    psk_listener(f);
    for (unsigned i = 0; i < 4; i++) {
        struct tls_client c = client_of(f);
        SSL_CTX_set_max_proto_version(c.ctx, versions[i % 2]);
        SSL_CTX_set_psk_client_callback(c.ctx, use_psk);
        psk_identity_to_use = i < 2 ? "device:1" : "nobody";
        psk_key_to_use[0] = i < 2 ? 0xff : 1;
        assert_true(refused(f, &c));
        tls_client_free(&c);
    }
    assert_int_equal(f->peers.count, 0);
}

/* With a certificate beside the keys, an unknown identity falls back to the certificate:
 * then the client has no identity, whatever it offered. */
static void an_identity_counts_only_if_its_key_was_used(void **state)
{
    struct fixture *f = *state;
    struct conn_facts facts;
    psk_listener(f);
    struct tls_client c = client_of(f);
    SSL_CTX_set_psk_client_callback(c.ctx, use_psk);
    psk_identity_to_use = "nobody";
    assert_true(tls_client_connect(&c, f->loop));
    greet(f, &c, 0);
    conn_facts(f->peer[0].conn, &facts);
    assert_int_equal(facts.psk_identity.len, 0);
    tls_client_free(&c);

    c = client_of(f); /* known identity, but a cipher suite of TLS 1.2 without it */
    SSL_CTX_set_psk_client_callback(c.ctx, use_psk);
    SSL_CTX_set_max_proto_version(c.ctx, TLS1_2_VERSION);
    SSL_CTX_set_cipher_list(c.ctx, "ECDHE-ECDSA-AES128-GCM-SHA256");
    psk_identity_to_use = "device:1";
    assert_true(tls_client_connect(&c, f->loop));
    greet(f, &c, 1);
    conn_facts(f->peer[1].conn, &facts);
    assert_int_equal(facts.psk_identity.len, 0);
    tls_client_free(&c);
}

static void keys_reload(void **state)
{
    struct fixture *f = *state;
    f->conf.tls_conf.cert_count = 0;
    psk_listener(f);
    write_file(f->psk, "device:1:ffffffffffffffffffffffffffffffff\n");
    reload(f);
    struct tls_client c = client_of(f);
    SSL_CTX_set_psk_client_callback(c.ctx, use_psk);
    assert_true(refused(f, &c));
    tls_client_free(&c);
    memset(psk_key_to_use, 0xff, sizeof psk_key_to_use);
    c = client_of(f);
    SSL_CTX_set_psk_client_callback(c.ctx, use_psk);
    assert_true(tls_client_connect(&c, f->loop));
    greet(f, &c, 0);
    tls_client_free(&c);
}

static void a_wrong_psk_file_is_explained(void **state)
{
    static const char *const wrong[] = {"nocolon\n", ":0011223344556677\n", "a:0011\n",
                                        "a:00112233445566zz\n", "a:001122334455667\n"};
    struct fixture *f = *state;
    char text[128];
    f->conf.tls_conf.psk_file = f->psk;
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        snprintf(text, sizeof text, "# first\n%s", wrong[i]);
        write_file(f->psk, text);
        expect_complaint(f, f->psk, "line 2");
    }
    write_file(f->psk, "a:0011223344556677\nb:0011223344556677\na:0011223344556677\n");
    expect_complaint(f, f->psk, "twice");
}

static void alpn_is_agreed(void **state)
{
    static const char *const ours[] = {"mqtt", "x-amzn-mqtt-ca"};
    struct fixture *f = *state;
    struct conn_facts facts;
    f->conf.tls_conf.alpn = (struct listen_strings){ours, 2};
    open_listener(f);
    struct tls_client c = client_of(f);
    SSL_CTX_set_alpn_protos(c.ctx, (const unsigned char *)"\2h2\4mqtt", 8);
    assert_true(tls_client_connect(&c, f->loop));
    greet(f, &c, 0);
    conn_facts(f->peer[0].conn, &facts);
    assert_true(str_eq(facts.alpn, STR("mqtt")));
    tls_client_free(&c);
    c = client_of(f);
    SSL_CTX_set_alpn_protos(c.ctx, (const unsigned char *)"\2h2", 3);
    assert_true(refused(f, &c));
    tls_client_free(&c);
}

/* Promise C1: whoever does not finish the handshake is gone after the timeout. */
static void a_slow_handshake_times_out(void **state)
{
    struct fixture *f = *state;
    struct listen_stats s;
    f->conf.handshake_timeout_ms = 100;
    open_listener(f);
    uint64_t start = clock_mono_ms(), end = start + DEADLINE_MS;
    int silent = client_connect(listener_port(f->listener));
    int dripping = client_connect(listener_port(f->listener));
    assert_int_equal(send(dripping, "\x16\x03", 2, 0), 2);
    do {
        loop_turn(f->loop, 10);
        listener_stats(f->listener, &s);
        assert_true(clock_mono_ms() < end);
    } while (s.failed_handshakes < 2);
    assert_true(clock_mono_ms() - start >= 100);
    assert_int_equal(s.connections, 0);
    close(silent);
    close(dripping);
}

static void plain_text_on_a_tls_port_is_refused(void **state)
{
    struct fixture *f = *state;
    struct listen_stats s;
    static const uint8_t connect_packet[] = {0x10, 12, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 9, 0, 0};
    open_listener(f);
    int fd = client_connect(listener_port(f->listener));
    assert_int_equal(send(fd, connect_packet, sizeof connect_packet, 0), sizeof connect_packet);
    do {
        loop_turn(f->loop, 10);
        listener_stats(f->listener, &s);
    } while (s.failed_handshakes == 0);
    assert_int_equal(f->peers.count, 0);
    close(fd);
}

/* Promise C1: who only connects costs no TLS state. */
static void a_silent_connection_costs_no_tls_state(void **state)
{
    enum { SILENT = 200 };
    struct fixture *f = *state;
    int fds[SILENT];
    open_listener(f);
    struct tls_client warm = client_of(f); /* what the first handshake makes for all */
    assert_true(tls_client_connect(&warm, f->loop));
    tls_client_free(&warm);
    TURN_UNTIL(f->loop, f->loop->conns.count == 0);
    size_t before = mallinfo2().uordblks;
    for (int i = 0; i < SILENT; i++)
        fds[i] = client_connect(listener_port(f->listener));
    TURN_UNTIL(f->loop, f->loop->conns.count == SILENT);
    size_t each = (mallinfo2().uordblks - before) / SILENT;
    assert_true(each < 1500); /* mallinfo2 knows nothing under sanitizers and says 0 */
    for (int i = 0; i < SILENT; i++)
        close(fds[i]);
}

/* A storm of handshakes is cut into slices: no turn does more than its share. */
static void handshakes_are_spread_over_turns(void **state)
{
    enum { CLIENTS = 24 };
    struct fixture *f = *state;
    struct tls_client clients[CLIENTS];
    open_listener(f);
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = client_of(f);
        tls_client_begin(&clients[i]);
        SSL_do_handshake(clients[i].ssl); /* the hello is on its way */
    }
    uint64_t end = clock_mono_ms() + DEADLINE_MS, longest_ns = 0;
    int connected = 0;
    while (connected < CLIENTS) {
        loop_turn(f->loop, 1);
        if (f->loop->handshake_ns > longest_ns)
            longest_ns = f->loop->handshake_ns;
        connected = 0;
        for (int i = 0; i < CLIENTS; i++)
            connected += SSL_do_handshake(clients[i].ssl) == 1;
        assert_true(clock_mono_ms() < end);
    }
    TURN_UNTIL(f->loop, f->peers.count == CLIENTS);
    /* 2 ms and one step more; generous, for sanitizers and busy machines */
    assert_true(longest_ns < 200 * 1000 * 1000ull);
    struct loop_stats s;
    loop_stats(f->loop, &s);
    assert_int_equal(s.handshakes, CLIENTS);
    for (int i = 0; i < CLIENTS; i++)
        tls_client_free(&clients[i]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(versions_1_2_and_1_3_are_spoken),
        TEST(older_versions_are_refused),
        TEST(the_minimum_version_can_be_raised),
        TEST(weak_ciphers_are_refused),
        TEST(renegotiation_is_refused),
        TEST(large_data_arrives_whole),
        TEST(large_output_waits_and_drains),
        TEST(closing_says_goodbye),
        TEST(a_goodbye_of_the_peer_is_a_close),
        TEST(a_client_certificate_names_the_client),
        TEST(required_means_required),
        TEST(optional_lets_clients_without_a_certificate_in),
        TEST(a_crl_is_obeyed_after_reload),
        TEST(the_server_name_chooses_the_certificate),
        TEST(two_kinds_of_key_for_one_name),
        TEST(the_server_name_does_not_change_verification),
        TEST(a_reload_changes_the_certificate_or_nothing),
        TEST(reloading_beside_handshakes_is_safe),
        TEST(what_is_wrong_is_said),
        TEST(an_encrypted_key_does_not_ask_the_terminal),
        TEST(a_pre_shared_key_names_the_client),
        TEST(a_wrong_key_or_identity_is_refused),
        TEST(an_identity_counts_only_if_its_key_was_used),
        TEST(keys_reload),
        TEST(a_wrong_psk_file_is_explained),
        TEST(alpn_is_agreed),
        TEST(a_slow_handshake_times_out),
        TEST(plain_text_on_a_tls_port_is_refused),
        TEST(a_silent_connection_costs_no_tls_state),
        TEST(handshakes_are_spread_over_turns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
