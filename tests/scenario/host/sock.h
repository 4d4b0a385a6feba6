/* A client socket, plain or TLS.  Private to sock.c and tls.c. */
#ifndef STORY_SOCK_H
#define STORY_SOCK_H

#include <lua.h>
#include <openssl/ssl.h>

#define SOCK_TYPE "story.sock"

struct sock {
    int fd;   /* -1 once closed */
    SSL *ssl; /* NULL on a plain socket */
    SSL_CTX *ctx;
    unsigned char psk[64];
    size_t psk_len;
    char psk_identity[128];
};

struct sock *sock_check(lua_State *lua, int index);

/* sock:start_tls(options), sock:handshake(), sock:tls_info(), sock:ticket() */
int tls_start(lua_State *lua);
int tls_handshake(lua_State *lua);
int tls_info(lua_State *lua);
int tls_ticket(lua_State *lua);

/* Reads or writes through TLS; pushes what sock:read and sock:write return. */
int tls_read(lua_State *lua, struct sock *s, size_t limit);
int tls_write(lua_State *lua, struct sock *s, const char *bytes, size_t len);
void tls_free(struct sock *s);

#endif
