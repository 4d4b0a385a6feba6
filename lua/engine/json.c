#include "json.h"

#include <cjson/cJSON.h>
#include <lauxlib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH = 100, TEXT_MOST = 16 << 20 };

static const char array_key;

/* -- Decoding -- */

static void push_value(lua_State *L, const cJSON *item, int depth);

static void push_array(lua_State *L, const cJSON *item, int depth)
{
    lua_Integer i = 0;

    lua_newtable(L);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &array_key);
    lua_setmetatable(L, -2);
    for (const cJSON *child = item->child; child; child = child->next) {
        push_value(L, child, depth + 1);
        lua_rawseti(L, -2, ++i);
    }
}

static void push_object(lua_State *L, const cJSON *item, int depth)
{
    lua_newtable(L);
    for (const cJSON *child = item->child; child; child = child->next) {
        lua_pushstring(L, child->string);
        push_value(L, child, depth + 1);
        lua_rawset(L, -3);
    }
}

static void push_number(lua_State *L, double n)
{
    if (n == floor(n) && fabs(n) < 9007199254740992.0)
        lua_pushinteger(L, (lua_Integer)n);
    else
        lua_pushnumber(L, n);
}

static void push_value(lua_State *L, const cJSON *item, int depth)
{
    if (depth > DEPTH)
        luaL_error(L, "JSON nested deeper than %d", DEPTH);
    luaL_checkstack(L, 4, "JSON");
    if (cJSON_IsString(item))
        lua_pushstring(L, item->valuestring);
    else if (cJSON_IsNumber(item))
        push_number(L, item->valuedouble);
    else if (cJSON_IsBool(item))
        lua_pushboolean(L, cJSON_IsTrue(item));
    else if (cJSON_IsArray(item))
        push_array(L, item, depth);
    else if (cJSON_IsObject(item))
        push_object(L, item, depth);
    else
        lua_pushlightuserdata(L, NULL); /* json.null */
}

/* The tree is freed also when Lua runs out of memory on the way. */
static int protected_push(lua_State *L)
{
    push_value(L, lua_touserdata(L, 1), 0);
    return 1;
}

int json_decode(lua_State *L, struct skep_str text)
{
    const char *end = NULL;
    cJSON *tree;
    int status;

    if (text.len > TEXT_MOST)
        return luaL_error(L, "JSON text longer than %d bytes", TEXT_MOST);
    tree = cJSON_ParseWithLengthOpts(text.ptr, text.len, &end, false);
    while (tree && end < text.ptr + text.len && (unsigned char)*end <= ' ')
        end++;
    if (!tree || end < text.ptr + text.len) {
        cJSON_Delete(tree);
        lua_pushnil(L);
        lua_pushfstring(L, "not JSON at byte %d", end ? (int)(end - text.ptr) + 1 : 1);
        return 2;
    }
    lua_pushcfunction(L, protected_push);
    lua_pushlightuserdata(L, tree);
    status = lua_pcall(L, 1, 1, 0);
    cJSON_Delete(tree);
    return status == LUA_OK ? 1 : lua_error(L);
}

/* -- Encoding: straight into Lua's buffer.  By way of a cJSON tree it took twice as long, most of
 * it for printing numbers -- */

struct writer {
    lua_State *L;
    char *text; /* not a luaL_Buffer: that wants the top of the stack, where tables are walked */
    size_t len, cap;
    bool pretty;
};

static void put(struct writer *w, const void *bytes, size_t len)
{
    if (w->len + len > w->cap) {
        size_t cap = (w->len + len) * 2;
        char *grown = cap > TEXT_MOST * 2u ? NULL : realloc(w->text, cap);
        if (!grown)
            luaL_error(w->L, "JSON text too long");
        w->text = grown;
        w->cap = cap;
    }
    memcpy(w->text + w->len, bytes, len);
    w->len += len;
}

static void put_string(struct writer *w, const char *s, size_t len)
{
    size_t from = 0;

    put(w, "\"", 1);
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];
        char escape[8];
        if (c >= ' ' && c != '"' && c != '\\')
            continue;
        put(w, s + from, i - from);
        from = i + 1;
        if (c == '"' || c == '\\')
            snprintf(escape, sizeof escape, "\\%c", c);
        else if (c == '\n')
            strcpy(escape, "\\n");
        else
            snprintf(escape, sizeof escape, "\\u%04x", c);
        put(w, escape, strlen(escape));
    }
    put(w, s + from, len - from);
    put(w, "\"", 1);
}

static void put_number(struct writer *w, int index)
{
    char digits[40];
    int n;

    if (lua_isinteger(w->L, index)) {
        n = snprintf(digits, sizeof digits, LUA_INTEGER_FMT, lua_tointeger(w->L, index));
    } else {
        double d = lua_tonumber(w->L, index);
        if (!isfinite(d))
            luaL_error(w->L, "JSON has no form for %f", d);
        n = snprintf(digits, sizeof digits, "%.15g", d);
        if (strtod(digits, NULL) != d)
            n = snprintf(digits, sizeof digits, "%.17g", d);
    }
    put(w, digits, (size_t)n);
}

static void put_value(struct writer *w, int index, int depth);

static void put_line(struct writer *w, int depth)
{
    if (!w->pretty)
        return;
    put(w, "\n", 1);
    for (int i = 0; i < depth; i++)
        put(w, "  ", 2);
}

static bool is_array(lua_State *L, int index)
{
    bool marked = false;

    if (lua_getmetatable(L, index)) {
        lua_rawgetp(L, LUA_REGISTRYINDEX, &array_key);
        marked = lua_rawequal(L, -1, -2);
        lua_pop(L, 2);
    }
    return marked || lua_rawlen(L, index) > 0;
}

static void put_array(struct writer *w, int index, int depth)
{
    lua_Integer n = (lua_Integer)lua_rawlen(w->L, index);

    put(w, "[", 1);
    for (lua_Integer i = 1; i <= n; i++) {
        if (i > 1)
            put(w, ",", 1);
        put_line(w, depth + 1);
        lua_rawgeti(w->L, index, i);
        put_value(w, lua_gettop(w->L), depth + 1);
        lua_pop(w->L, 1);
    }
    if (n > 0)
        put_line(w, depth);
    put(w, "]", 1);
}

static void put_key(struct writer *w, int index)
{
    size_t len;

    if (lua_type(w->L, index) == LUA_TSTRING) {
        const char *key = lua_tolstring(w->L, index, &len);
        put_string(w, key, len);
    } else if (lua_isinteger(w->L, index)) {
        put(w, "\"", 1);
        put_number(w, index);
        put(w, "\"", 1);
    } else {
        luaL_error(w->L, "JSON wants strings for keys, not a %s", luaL_typename(w->L, index));
    }
}

static void put_object(struct writer *w, int index, int depth)
{
    bool first = true;

    put(w, "{", 1);
    lua_pushnil(w->L);
    while (lua_next(w->L, index)) {
        int value = lua_gettop(w->L);
        if (!first)
            put(w, ",", 1);
        first = false;
        put_line(w, depth + 1);
        put_key(w, value - 1);
        put(w, ": ", w->pretty ? 2 : 1);
        put_value(w, value, depth + 1);
        lua_pop(w->L, 1);
    }
    if (!first)
        put_line(w, depth);
    put(w, "}", 1);
}

static void put_value(struct writer *w, int index, int depth)
{
    lua_State *L = w->L;
    size_t len;

    if (depth > DEPTH)
        luaL_error(L, "JSON nested deeper than %d", DEPTH);
    luaL_checkstack(L, 6, "JSON");
    switch (lua_type(L, index)) {
    case LUA_TSTRING: {
        const char *s = lua_tolstring(L, index, &len);
        put_string(w, s, len);
        return;
    }
    case LUA_TNUMBER:
        put_number(w, index);
        return;
    case LUA_TBOOLEAN:
        put(w, lua_toboolean(L, index) ? "true" : "false", lua_toboolean(L, index) ? 4 : 5);
        return;
    case LUA_TTABLE:
        if (is_array(L, index))
            put_array(w, index, depth);
        else
            put_object(w, index, depth);
        return;
    case LUA_TLIGHTUSERDATA:
    case LUA_TNIL:
        put(w, "null", 4);
        return;
    default:
        luaL_error(L, "JSON has no form for a %s", luaL_typename(L, index));
    }
}

/* Errors pass through here, so that the text is freed. */
static int protected_write(lua_State *L)
{
    struct writer *w = lua_touserdata(L, 2);

    put_value(w, 1, 0);
    lua_pushlstring(L, w->text, w->len);
    return 1;
}

void json_encode(lua_State *L, int index, bool pretty)
{
    struct writer w = {.L = L, .cap = 512, .text = malloc(512), .pretty = pretty};
    int status;

    if (!w.text)
        luaL_error(L, "not enough memory");
    index = lua_absindex(L, index);
    lua_pushcfunction(L, protected_write);
    lua_pushvalue(L, index);
    lua_pushlightuserdata(L, &w);
    status = lua_pcall(L, 2, 1, 0);
    free(w.text);
    if (status != LUA_OK)
        lua_error(L);
}

static int l_decode(lua_State *L)
{
    size_t len;
    const char *text = luaL_checklstring(L, 1, &len);

    return json_decode(L, skep_bytes(text, len));
}

static int l_encode(lua_State *L)
{
    luaL_checkany(L, 1);
    json_encode(L, 1, lua_toboolean(L, 2));
    return 1;
}

static int l_array(lua_State *L)
{
    lua_settop(L, 1);
    if (lua_isnil(L, 1)) {
        lua_newtable(L);
        lua_replace(L, 1);
    }
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &array_key);
    lua_setmetatable(L, -2);
    return 1;
}

int json_open(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"decode", l_decode}, {"encode", l_encode}, {"array", l_array}, {NULL, NULL}};

    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &array_key) == LUA_TNIL) {
        lua_newtable(L);
        lua_pushboolean(L, 0);
        lua_setfield(L, -2, "__metatable");
        lua_rawsetp(L, LUA_REGISTRYINDEX, &array_key);
    }
    lua_settop(L, 0);
    luaL_newlib(L, functions);
    lua_pushlightuserdata(L, NULL);
    lua_setfield(L, -2, "null");
    return 1;
}
