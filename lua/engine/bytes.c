/* `require "broker.bytes"`: base64, hex, digests, HMAC; string.pack is Lua's own. */
#include "bytes.h"

#include <lauxlib.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdbool.h>
#include <string.h>

enum { MOST = 16 << 20 };

static const char hex_digits[] = "0123456789abcdef";

static const unsigned char *checked(lua_State *L, int index, size_t *len)
{
    const char *s = luaL_checklstring(L, index, len);

    luaL_argcheck(L, *len <= MOST, index, "longer than 16 MiB");
    return (const unsigned char *)s;
}

static int l_base64_encode(lua_State *L)
{
    size_t len;
    const unsigned char *s = checked(L, 1, &len);
    luaL_Buffer b;
    char *out = luaL_buffinitsize(L, &b, (len + 2) / 3 * 4 + 1);

    luaL_pushresultsize(&b, (size_t)EVP_EncodeBlock((unsigned char *)out, s, (int)len));
    return 1;
}

/* nil for what is not base64; padding may be missing, and the alphabet for URLs is taken too. */
static int l_base64_decode(lua_State *L)
{
    size_t len;
    const unsigned char *s = checked(L, 1, &len);
    luaL_Buffer in, out;
    size_t padded = (len + 3) / 4 * 4, padding = 0;

    lua_settop(L, 1);
    char *text = luaL_buffinitsize(L, &in, padded + 1);
    int n;

    for (size_t i = 0; i < padded; i++) {
        char c = i < len ? (char)s[i] : '=';
        text[i] = c == '-' ? '+' : c == '_' ? '/' : c;
        if (c == '=')
            padding++;
        else if (padding > 0)
            padding = 3; /* no letter behind it */
    }
    luaL_pushresultsize(&in, padded);
    char *bytes = luaL_buffinitsize(L, &out, padded / 4 * 3 + 1);
    n = padding > 2 ? -1
                    : EVP_DecodeBlock((unsigned char *)bytes,
                                      (const unsigned char *)lua_tostring(L, 2), (int)padded);
    luaL_pushresultsize(&out, n < 0 ? 0 : (size_t)n - padding);
    if (n < 0)
        lua_pushnil(L);
    return 1;
}

static void push_hex(lua_State *L, const unsigned char *s, size_t len)
{
    luaL_Buffer b;
    char *out = luaL_buffinitsize(L, &b, len * 2);

    for (size_t i = 0; i < len; i++) {
        out[2 * i] = hex_digits[s[i] >> 4];
        out[2 * i + 1] = hex_digits[s[i] & 15];
    }
    luaL_pushresultsize(&b, len * 2);
}

static int l_hex_encode(lua_State *L)
{
    size_t len;
    const unsigned char *s = checked(L, 1, &len);

    push_hex(L, s, len);
    return 1;
}

static int nibble(unsigned char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int l_hex_decode(lua_State *L)
{
    size_t len;
    const unsigned char *s = checked(L, 1, &len);
    luaL_Buffer b;
    char *out = luaL_buffinitsize(L, &b, len / 2 + 1);
    bool good = len % 2 == 0;

    for (size_t i = 0; good && i < len; i += 2) {
        int high = nibble(s[i]), low = nibble(s[i + 1]);
        good = high >= 0 && low >= 0;
        out[i / 2] = good ? (char)(high << 4 | low) : 0;
    }
    luaL_pushresultsize(&b, good ? len / 2 : 0);
    if (!good)
        lua_pushnil(L);
    return 1;
}

static const EVP_MD *digest_named(lua_State *L, int index)
{
    static const char *const names[] = {"sha256", "sha512", "sha1", "md5", NULL};

    switch (luaL_checkoption(L, index, "sha256", names)) {
    case 0:
        return EVP_sha256();
    case 1:
        return EVP_sha512();
    case 2:
        return EVP_sha1();
    default:
        return EVP_md5();
    }
}

static int l_hash(lua_State *L)
{
    const EVP_MD *md = digest_named(L, 1);
    unsigned char out[EVP_MAX_MD_SIZE];
    unsigned out_len;
    size_t len;
    const unsigned char *s = checked(L, 2, &len);

    if (!EVP_Digest(s, len, out, &out_len, md, NULL))
        return luaL_error(L, "this digest is not available");
    lua_pushlstring(L, (const char *)out, out_len);
    return 1;
}

static int l_hmac(lua_State *L)
{
    const EVP_MD *md = digest_named(L, 1);
    unsigned char out[EVP_MAX_MD_SIZE];
    unsigned out_len;
    size_t key_len, len;
    const unsigned char *key = checked(L, 2, &key_len), *s = checked(L, 3, &len);

    if (!HMAC(md, key, (int)key_len, s, len, out, &out_len))
        return luaL_error(L, "this digest is not available");
    lua_pushlstring(L, (const char *)out, out_len);
    return 1;
}

/* In a time that depends on the lengths only. */
static int l_equal(lua_State *L)
{
    size_t a_len, b_len;
    const unsigned char *a = checked(L, 1, &a_len), *b = checked(L, 2, &b_len);

    lua_pushboolean(L, a_len == b_len && CRYPTO_memcmp(a, b, a_len) == 0);
    return 1;
}

static int l_random(lua_State *L)
{
    unsigned char out[256];
    lua_Integer n = luaL_checkinteger(L, 1);

    luaL_argcheck(L, n >= 1 && n <= (lua_Integer)sizeof out, 1, "1 to 256 bytes");
    if (RAND_bytes(out, (int)n) != 1)
        return luaL_error(L, "no random bytes");
    lua_pushlstring(L, (const char *)out, (size_t)n);
    return 1;
}

int bytes_open(lua_State *L)
{
    static const luaL_Reg functions[] = {{"base64_encode", l_base64_encode},
                                         {"base64_decode", l_base64_decode},
                                         {"hex_encode", l_hex_encode},
                                         {"hex_decode", l_hex_decode},
                                         {"hash", l_hash},
                                         {"hmac", l_hmac},
                                         {"equal", l_equal},
                                         {"random", l_random},
                                         {NULL, NULL}};

    luaL_newlib(L, functions);
    return 1;
}
