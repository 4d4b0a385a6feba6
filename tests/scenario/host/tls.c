/* TLS for story sockets: client certificates, PSK, ALPN, SNI, version bounds, session tickets. */
#include "sock.h"

#include "host.h"

#include <errno.h>
#include <string.h>

#include <lauxlib.h>
#include <openssl/err.h>

static int tls_fail(lua_State *lua)
{
    char text[256] = "TLS failed";
    unsigned long code = ERR_get_error();

    if (code)
        ERR_error_string_n(code, text, sizeof text);
    ERR_clear_error();
    return host_fail(lua, text);
}

static const char *option(lua_State *lua, int table, const char *name)
{
    const char *value;

    lua_getfield(lua, table, name);
    value = lua_tostring(lua, -1);
    lua_pop(lua, 1); /* the table still holds it */
    return value;
}

static unsigned psk_give(SSL *ssl, const char *hint, char *identity, unsigned identity_max,
                         unsigned char *psk, unsigned psk_max)
{
    struct sock *s = SSL_get_app_data(ssl);

    (void)hint;
    if (strlen(s->psk_identity) >= identity_max || s->psk_len > psk_max)
        return 0;
    strcpy(identity, s->psk_identity);
    memcpy(psk, s->psk, s->psk_len);
    return (unsigned)s->psk_len;
}

static int version_of(const char *name)
{
    if (strcmp(name, "1.0") == 0)
        return TLS1_VERSION;
    if (strcmp(name, "1.1") == 0)
        return TLS1_1_VERSION;
    return strcmp(name, "1.2") == 0 ? TLS1_2_VERSION : TLS1_3_VERSION;
}

/* Files, version bounds and ciphers; false with an OpenSSL error queued. */
static int context_fill(lua_State *lua, SSL_CTX *ctx, int t)
{
    const char *ca = option(lua, t, "ca"), *cert = option(lua, t, "certificate");
    const char *key = option(lua, t, "key"), *ciphers = option(lua, t, "ciphers");
    const char *min = option(lua, t, "min"), *max = option(lua, t, "max");

    SSL_CTX_set_verify(ctx, ca ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
    if (ca && SSL_CTX_load_verify_locations(ctx, ca, NULL) != 1)
        return 0;
    if (cert && SSL_CTX_use_certificate_chain_file(ctx, cert) != 1)
        return 0;
    if (key && SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
        return 0;
    if (ciphers && SSL_CTX_set_cipher_list(ctx, ciphers) != 1)
        return 0;
    if (min && SSL_CTX_set_min_proto_version(ctx, version_of(min)) != 1)
        return 0;
    return !max || SSL_CTX_set_max_proto_version(ctx, version_of(max)) == 1;
}

static void psk_fill(lua_State *lua, struct sock *s, int t)
{
    const char *identity = option(lua, t, "psk_identity");
    size_t len = 0;

    if (!identity)
        return;
    strncpy(s->psk_identity, identity, sizeof s->psk_identity - 1);
    lua_getfield(lua, t, "psk");
    const char *bytes = luaL_checklstring(lua, -1, &len);
    s->psk_len = len < sizeof s->psk ? len : sizeof s->psk;
    memcpy(s->psk, bytes, s->psk_len);
    lua_pop(lua, 1);
    SSL_CTX_set_psk_client_callback(s->ctx, psk_give);
}

static void alpn_set(lua_State *lua, struct sock *s, int t)
{
    const char *name = option(lua, t, "alpn");
    unsigned char wire[64];

    if (!name || strlen(name) >= sizeof wire)
        return;
    wire[0] = (unsigned char)strlen(name);
    memcpy(wire + 1, name, wire[0]);
    SSL_set_alpn_protos(s->ssl, wire, wire[0] + 1u);
}

static void ticket_set(lua_State *lua, struct sock *s, int t)
{
    size_t len;

    lua_getfield(lua, t, "ticket");
    const unsigned char *der = (const unsigned char *)lua_tolstring(lua, -1, &len);
    SSL_SESSION *session = der ? d2i_SSL_SESSION(NULL, &der, (long)len) : NULL;
    if (session) {
        SSL_set_session(s->ssl, session);
        SSL_SESSION_free(session);
    }
    lua_pop(lua, 1);
}

/* sock:start_tls{ ca, certificate, key, psk_identity, psk, alpn, sni, min, max, ciphers, ticket }
 */
int tls_start(lua_State *lua)
{
    struct sock *s = sock_check(lua, 1);
    const char *sni;

    luaL_checktype(lua, 2, LUA_TTABLE);
    s->ctx = SSL_CTX_new(TLS_client_method());
    /* stories offer old versions on purpose, to see them refused */
    SSL_CTX_set_security_level(s->ctx, 0);
    SSL_CTX_set_mode(s->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    if (!context_fill(lua, s->ctx, 2))
        return tls_fail(lua);
    psk_fill(lua, s, 2);
    s->ssl = SSL_new(s->ctx);
    SSL_set_app_data(s->ssl, s);
    SSL_set_fd(s->ssl, s->fd);
    SSL_set_connect_state(s->ssl);
    sni = option(lua, 2, "sni");
    if (sni)
        SSL_set_tlsext_host_name(s->ssl, sni);
    alpn_set(lua, s, 2);
    ticket_set(lua, s, 2);
    lua_pushboolean(lua, 1);
    return 1;
}

/* What an SSL call that did not succeed means to the caller. */
static int tls_pushwhy(lua_State *lua, struct sock *s, int result)
{
    int saved = errno;

    switch (SSL_get_error(s->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        return host_fail(lua, "read");
    case SSL_ERROR_WANT_WRITE:
        return host_fail(lua, "write");
    case SSL_ERROR_ZERO_RETURN:
        return host_fail(lua, "closed");
    case SSL_ERROR_SYSCALL:
        if (saved == 0 || saved == EPIPE || saved == ECONNRESET)
            return host_fail(lua, "closed");
        return host_fail(lua, strerror(saved));
    default:
        /* an end of file without close_notify is an end of file to a story */
        if (ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
            ERR_clear_error();
            return host_fail(lua, "closed");
        }
        return tls_fail(lua);
    }
}

int tls_handshake(lua_State *lua)
{
    struct sock *s = sock_check(lua, 1);
    int n;

    ERR_clear_error();
    errno = 0;
    n = SSL_do_handshake(s->ssl);
    if (n != 1)
        return tls_pushwhy(lua, s, n);
    lua_pushboolean(lua, 1);
    return 1;
}

int tls_read(lua_State *lua, struct sock *s, size_t limit)
{
    luaL_Buffer buf;
    char *room = luaL_buffinitsize(lua, &buf, limit);

    ERR_clear_error();
    errno = 0;
    int n = SSL_read(s->ssl, room, (int)limit);
    if (n <= 0)
        return tls_pushwhy(lua, s, n);
    luaL_pushresultsize(&buf, (size_t)n);
    return 1;
}

int tls_write(lua_State *lua, struct sock *s, const char *bytes, size_t len)
{
    ERR_clear_error();
    errno = 0;
    int n = SSL_write(s->ssl, bytes, (int)len);
    if (n <= 0)
        return tls_pushwhy(lua, s, n);
    lua_pushinteger(lua, n);
    return 1;
}

static void field(lua_State *lua, const char *name, const char *value)
{
    lua_pushstring(lua, value);
    lua_setfield(lua, -2, name);
}

/* sock:tls_info() -> { version, cipher, subject, alpn, reused } */
int tls_info(lua_State *lua)
{
    struct sock *s = sock_check(lua, 1);
    const unsigned char *alpn;
    unsigned alpn_len;
    X509 *peer = SSL_get0_peer_certificate(s->ssl);

    lua_newtable(lua);
    field(lua, "version", SSL_get_version(s->ssl));
    field(lua, "cipher", SSL_get_cipher_name(s->ssl));
    if (peer) {
        char text[256];
        field(lua, "subject", X509_NAME_oneline(X509_get_subject_name(peer), text, sizeof text));
    }
    SSL_get0_alpn_selected(s->ssl, &alpn, &alpn_len);
    if (alpn) {
        lua_pushlstring(lua, (const char *)alpn, alpn_len);
        lua_setfield(lua, -2, "alpn");
    }
    lua_pushboolean(lua, SSL_session_reused(s->ssl));
    lua_setfield(lua, -2, "reused");
    return 1;
}

/* sock:ticket() -> the session as a string for start_tls{ ticket = }, or nil */
int tls_ticket(lua_State *lua)
{
    struct sock *s = sock_check(lua, 1);
    unsigned char *der = NULL;
    int len = i2d_SSL_SESSION(SSL_get0_session(s->ssl), &der);

    if (len <= 0)
        return host_fail(lua, "no session");
    lua_pushlstring(lua, (char *)der, (size_t)len);
    OPENSSL_free(der);
    return 1;
}

void tls_free(struct sock *s)
{
    SSL_free(s->ssl);
    SSL_CTX_free(s->ctx);
    s->ssl = NULL;
    s->ctx = NULL;
}
