/* Patterns: ours against Lua's own on many small texts; and the budget, which Lua has not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pattern.h"

static lua_State *open_both(void)
{
    lua_State *L = luaL_newstate();

    luaL_openlibs(L);
    lua_getglobal(L, "string");
    lua_setglobal(L, "theirs");
    lua_newtable(L);
    pattern_register(L);
    lua_setglobal(L, "ours");
    return L;
}

static void run(lua_State *L, const char *chunk)
{
    if (luaL_dostring(L, chunk) != LUA_OK)
        fail_msg("%s", lua_tostring(L, -1));
}

static void same_as_lua(void **state)
{
    lua_State *L = open_both();

    run(L,
        "math.randomseed(7)\n"
        "local pieces = { 'a', 'b', '.', '%a', '%d', '[ab]', '[^a]', '[a-c]', '(', ')', '()', '*', "
        "'+',\n"
        "  '-', '?', '^', '$', '%1', '%bab', '%f[a]', '%', '[', ']', 'c', '%w', '%s', ' ', '1', "
        "'%.',\n"
        "  '[%a]', '[]]', '[^]]', '[a-]', '[%-a]', '%f[%z]', '\\0' }\n"
        "local letters = { 'a', 'b', 'c', '1', ' ', '.', ']', '-', '\\0' }\n"
        "local function text(from, most)\n"
        "  local t = {}\n"
        "  for i = 1, math.random(0, most) do t[i] = from[math.random(#from)] end\n"
        "  return table.concat(t)\n"
        "end\n"
        "local function pack(...) return { n = select('#', ...), ... } end\n"
        "local function show(r)\n"
        "  local t = {}\n"
        "  for i = 1, r.n do t[i] = tostring(r[i]) end\n"
        "  return table.concat(t, '|')\n"
        "end\n"
        "local good = 0\n"
        "local function compare(name, ...)\n"
        "  local a, b = pack(pcall(theirs[name], ...)), pack(pcall(ours[name], ...))\n"
        "  if a[1] ~= b[1] or (a[1] and show(a) ~= show(b)) then\n"
        "    local args = pack(...)\n"
        "    error(string.format('%s %q: Lua %q, ours %q', name, show(args), show(a), show(b)))\n"
        "  end\n"
        "  if a[1] then good = good + 1 end\n"
        "end\n"
        "local function all(list, s, p)\n"
        "  local out = {}\n"
        "  for a, b in list.gmatch(s, p) do out[#out + 1] = tostring(a) .. ':' .. tostring(b) end\n"
        "  return table.concat(out, ',')\n"
        "end\n"
        "for i = 1, 60000 do\n"
        "  local s, p = text(letters, 12), text(pieces, 6)\n"
        "  compare('find', s, p)\n"
        "  compare('find', s, p, math.random(-5, 14))\n"
        "  compare('find', s, p, 1, true)\n"
        "  compare('match', s, p)\n"
        "  compare('gsub', s, p, '<%0>')\n"
        "  compare('gsub', s, p, '%1%%', math.random(0, 3))\n"
        "  compare('gsub', s, p, { a = 'x', b = false, c = 1 })\n"
        "  compare('gsub', s, p, function(c) return c ~= 'a' and 'y' or nil end)\n"
        "  local ok_a, a = pcall(all, theirs, s, p)\n"
        "  local ok_b, b = pcall(all, ours, s, p)\n"
        "  assert(ok_a == ok_b and (not ok_a or a == b), s .. ' ' .. p .. ' ' .. tostring(a) .. ' "
        "' .. tostring(b))\n"
        "end\n"
        "assert(good > 100000, good)\n");
    lua_close(L);
}

static void a_costly_pattern_ends(void **state)
{
    lua_State *L = open_both();

    run(L,
        "local ok, why = pcall(ours.find, ('a'):rep(30000), '.-.-.-.-.-b')\n"
        "assert(not ok and why:find('too costly', 1, true), why)\n"
        "ok, why = pcall(ours.gsub, ('a'):rep(3000), ('a?'):rep(40) .. ('a'):rep(40) .. 'b', '')\n"
        "assert(not ok and (why:find('too co', 1, true)), why)\n"
        "assert(ours.find(('a'):rep(100000) .. 'b', 'a*b') == 1)\n");
    lua_close(L);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_as_lua),
        cmocka_unit_test(a_costly_pattern_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
