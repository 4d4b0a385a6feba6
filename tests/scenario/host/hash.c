/* SHA-1 and base64, for the WebSocket handshake; HMAC and SHA-256, for clients that prove a
 * password. */
#include "host.h"

#include <lauxlib.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

/* host.sha1(bytes) -> 20 bytes */
static int hash_sha1(lua_State *lua)
{
    size_t len;
    const char *bytes = luaL_checklstring(lua, 1, &len);
    unsigned char digest[SHA_DIGEST_LENGTH];

    SHA1((const unsigned char *)bytes, len, digest);
    lua_pushlstring(lua, (char *)digest, sizeof digest);
    return 1;
}

/* host.base64(bytes) -> text */
static int hash_base64(lua_State *lua)
{
    size_t len;
    const char *bytes = luaL_checklstring(lua, 1, &len);
    luaL_Buffer buf;
    char *room = luaL_buffinitsize(lua, &buf, 4 * ((len + 2) / 3) + 1);
    int n = EVP_EncodeBlock((unsigned char *)room, (const unsigned char *)bytes, (int)len);

    luaL_pushresultsize(&buf, (size_t)n);
    return 1;
}

/* host.unbase64(text) -> bytes, or nil */
static int hash_unbase64(lua_State *lua)
{
    size_t len, pads = 0;
    const char *text = luaL_checklstring(lua, 1, &len);
    luaL_Buffer buf;
    char *room = luaL_buffinitsize(lua, &buf, len + 4);
    int n = EVP_DecodeBlock((unsigned char *)room, (const unsigned char *)text, (int)len);

    while (pads < 2 && pads < len && text[len - 1 - pads] == '=')
        pads++;
    luaL_pushresultsize(&buf, n < 0 ? 0 : (size_t)n - pads);
    if (n < 0)
        lua_pushnil(lua);
    return 1;
}

/* host.sha256(bytes) -> 32 bytes */
static int hash_sha256(lua_State *lua)
{
    size_t len;
    const char *bytes = luaL_checklstring(lua, 1, &len);
    unsigned char digest[SHA256_DIGEST_LENGTH];

    SHA256((const unsigned char *)bytes, len, digest);
    lua_pushlstring(lua, (char *)digest, sizeof digest);
    return 1;
}

/* host.hmac_sha256(key, bytes) -> 32 bytes */
static int hash_hmac_sha256(lua_State *lua)
{
    size_t key_len, len;
    const char *key = luaL_checklstring(lua, 1, &key_len);
    const char *bytes = luaL_checklstring(lua, 2, &len);
    unsigned char digest[SHA256_DIGEST_LENGTH];

    HMAC(EVP_sha256(), key, (int)key_len, (const unsigned char *)bytes, len, digest, NULL);
    lua_pushlstring(lua, (char *)digest, sizeof digest);
    return 1;
}

static const luaL_Reg functions[] = {
    {"sha1", hash_sha1},     {"sha256", hash_sha256},     {"hmac_sha256", hash_hmac_sha256},
    {"base64", hash_base64}, {"unbase64", hash_unbase64}, {NULL, NULL}};

void hash_register(lua_State *lua)
{
    luaL_setfuncs(lua, functions, 0);
}
