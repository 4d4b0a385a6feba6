/* SHA-1 and base64, for the WebSocket handshake. */
#include "host.h"

#include <lauxlib.h>
#include <openssl/evp.h>
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

static const luaL_Reg functions[] = {{"sha1", hash_sha1}, {"base64", hash_base64}, {NULL, NULL}};

void hash_register(lua_State *lua)
{
    luaL_setfuncs(lua, functions, 0);
}
