#include "pattern.h"

#include <ctype.h>
#include <lauxlib.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { CAPTURES = 32, DEPTH = 180, STEPS = 2000000 };

enum { OPEN = -1, POSITION = -2 };

struct run {
    lua_State *L;
    const char *subject, *subject_end;
    const char *pattern_end;
    unsigned captures;
    unsigned depth;
    uint32_t steps; /* left */
    struct {
        const char *at;
        ptrdiff_t len; /* or OPEN, POSITION */
    } capture[CAPTURES];
};

static const char *match_here(struct run *r, const char *s, const char *p);

static void step(struct run *r)
{
    if (r->steps-- == 0)
        luaL_error(r->L, "pattern too costly for this text (%d steps)", STEPS);
}

/* Behind the single class that begins at p. */
static const char *class_end(struct run *r, const char *p)
{
    if (*p++ == '%') {
        if (p == r->pattern_end)
            luaL_error(r->L, "malformed pattern (ends with '%%')");
        return p + 1;
    }
    if (p[-1] != '[')
        return p;
    if (p < r->pattern_end && *p == '^')
        p++;
    do { /* a ']' that comes first is a member */
        if (p == r->pattern_end)
            luaL_error(r->L, "malformed pattern (missing ']')");
        if (*p++ == '%') {
            if (p == r->pattern_end)
                luaL_error(r->L, "malformed pattern (missing ']')");
            p++;
        }
    } while (p == r->pattern_end || *p != ']');
    return p + 1;
}

static bool letter_class(unsigned char c, unsigned char letter)
{
    bool yes;

    switch (tolower(letter)) {
    case 'a':
        yes = isalpha(c);
        break;
    case 'c':
        yes = iscntrl(c);
        break;
    case 'd':
        yes = isdigit(c);
        break;
    case 'g':
        yes = isgraph(c);
        break;
    case 'l':
        yes = islower(c);
        break;
    case 'p':
        yes = ispunct(c);
        break;
    case 's':
        yes = isspace(c);
        break;
    case 'u':
        yes = isupper(c);
        break;
    case 'w':
        yes = isalnum(c);
        break;
    case 'x':
        yes = isxdigit(c);
        break;
    case 'z': /* of Lua 5.1, still taken */
        yes = c == 0;
        break;
    default:
        return letter == c;
    }
    return isupper(letter) ? !yes : yes;
}

/* set points at '[', last at its ']'. */
static bool in_set(unsigned char c, const char *set, const char *last)
{
    bool found = true;
    const char *p = set + 1;

    if (*p == '^') {
        found = false;
        p++;
    }
    for (; p < last; p++) {
        if (*p == '%') {
            if (letter_class(c, (unsigned char)*++p))
                return found;
        } else if (p[1] == '-' && p + 2 < last) {
            if ((unsigned char)p[0] <= c && c <= (unsigned char)p[2])
                return found;
            p += 2;
        } else if ((unsigned char)*p == c) {
            return found;
        }
    }
    return !found;
}

static bool one_matches(struct run *r, const char *s, const char *p, const char *end)
{
    step(r);
    if (s >= r->subject_end)
        return false;
    switch (*p) {
    case '.':
        return true;
    case '%':
        return letter_class((unsigned char)*s, (unsigned char)p[1]);
    case '[':
        return in_set((unsigned char)*s, p, end - 1);
    default:
        return *p == *s;
    }
}

/* -- Captures -- */

static const char *capture_begin(struct run *r, const char *s, const char *p, ptrdiff_t kind)
{
    const char *found;

    if (r->captures == CAPTURES)
        luaL_error(r->L, "too many captures");
    r->capture[r->captures].at = s;
    r->capture[r->captures].len = kind;
    r->captures++;
    if ((found = match_here(r, s, p)) == NULL)
        r->captures--;
    return found;
}

static const char *capture_finish(struct run *r, const char *s, const char *p)
{
    unsigned i = r->captures;
    const char *found;

    while (i > 0 && r->capture[i - 1].len != OPEN)
        i--;
    if (i == 0)
        luaL_error(r->L, "invalid pattern capture");
    r->capture[i - 1].len = s - r->capture[i - 1].at;
    if ((found = match_here(r, s, p)) == NULL)
        r->capture[i - 1].len = OPEN;
    return found;
}

static const char *capture_again(struct run *r, const char *s, int digit)
{
    unsigned i = (unsigned)(digit - '1');

    if (i >= r->captures || r->capture[i].len == OPEN)
        luaL_error(r->L, "invalid capture index %%%d", (int)i + 1);
    size_t len = (size_t)r->capture[i].len;
    if (r->capture[i].len == POSITION || (size_t)(r->subject_end - s) < len ||
        memcmp(r->capture[i].at, s, len) != 0)
        return NULL;
    return s + len;
}

/* -- Items -- */

/* %bxy; p points at x. */
static const char *balanced(struct run *r, const char *s, const char *p)
{
    int depth = 1;

    if (r->pattern_end - p < 2)
        luaL_error(r->L, "malformed pattern (missing arguments to '%%b')");
    if (s >= r->subject_end || *s != p[0])
        return NULL;
    while (++s < r->subject_end) {
        step(r);
        if (*s == p[1]) {
            if (--depth == 0)
                return s + 1;
        } else if (*s == p[0]) {
            depth++;
        }
    }
    return NULL;
}

static const char *longest(struct run *r, const char *s, const char *p, const char *end)
{
    ptrdiff_t n = 0;

    while (one_matches(r, s + n, p, end))
        n++;
    for (; n >= 0; n--) {
        const char *found = match_here(r, s + n, end + 1);
        if (found)
            return found;
    }
    return NULL;
}

static const char *shortest(struct run *r, const char *s, const char *p, const char *end)
{
    for (;;) {
        const char *found = match_here(r, s, end + 1);
        if (found)
            return found;
        if (!one_matches(r, s, p, end))
            return NULL;
        s++;
    }
}

/* %f[set]; p points at the set. */
static bool frontier(struct run *r, const char *s, const char *p, const char **next)
{
    const char *end;

    if (p == r->pattern_end || *p != '[')
        luaL_error(r->L, "missing '[' after '%%f' in pattern");
    end = class_end(r, p);
    unsigned char before = s == r->subject ? 0 : (unsigned char)s[-1];
    unsigned char here = s == r->subject_end ? 0 : (unsigned char)*s;
    *next = end;
    return !in_set(before, p, end - 1) && in_set(here, p, end - 1);
}

/* A single class with what follows it.  True: go on at *s, *p; false: *s is the result. */
static bool single(struct run *r, const char **s, const char **p)
{
    const char *end = class_end(r, *p), *found;
    char follow = end < r->pattern_end ? *end : 0;

    switch (follow) {
    case '?':
        if (one_matches(r, *s, *p, end) && (found = match_here(r, *s + 1, end + 1)) != NULL) {
            *s = found;
            return false;
        }
        *p = end + 1;
        return true;
    case '+':
        *s = one_matches(r, *s, *p, end) ? longest(r, *s + 1, *p, end) : NULL;
        return false;
    case '*':
        *s = longest(r, *s, *p, end);
        return false;
    case '-':
        *s = shortest(r, *s, *p, end);
        return false;
    default:
        if (!one_matches(r, *s, *p, end)) {
            *s = NULL;
            return false;
        }
        ++*s;
        *p = end;
        return true;
    }
}

/* An escape that is more than a class: handled if true; then go on if *s is not NULL. */
static bool escape(struct run *r, const char **s, const char **p)
{
    const char *at = *p;

    if (*at != '%' || at + 1 == r->pattern_end)
        return false;
    switch (at[1]) {
    case 'b':
        *s = balanced(r, *s, at + 2);
        *p = at + 4;
        return true;
    case 'f':
        if (!frontier(r, *s, at + 2, p))
            *s = NULL;
        return true;
    default:
        if (!isdigit((unsigned char)at[1]))
            return false;
        *s = capture_again(r, *s, at[1]);
        *p = at + 2;
        return true;
    }
}

static const char *match_loop(struct run *r, const char *s, const char *p)
{
    while (p != r->pattern_end) {
        step(r);
        if (*p == '(')
            return p + 1 < r->pattern_end && p[1] == ')' ? capture_begin(r, s, p + 2, POSITION)
                                                         : capture_begin(r, s, p + 1, OPEN);
        if (*p == ')')
            return capture_finish(r, s, p + 1);
        if (*p == '$' && p + 1 == r->pattern_end)
            return s == r->subject_end ? s : NULL;
        if (escape(r, &s, &p)) {
            if (!s)
                return NULL;
            continue;
        }
        if (!single(r, &s, &p))
            return s;
    }
    return s;
}

static const char *match_here(struct run *r, const char *s, const char *p)
{
    const char *found;

    if (++r->depth > DEPTH)
        luaL_error(r->L, "pattern too complex");
    found = match_loop(r, s, p);
    r->depth--;
    return found;
}

/* -- Results -- */

static void push_capture(struct run *r, unsigned i, const char *s, const char *end)
{
    if (i >= r->captures) {
        if (i != 0)
            luaL_error(r->L, "invalid capture index %%%d", (int)i + 1);
        lua_pushlstring(r->L, s, (size_t)(end - s)); /* the whole match */
    } else if (r->capture[i].len == OPEN) {
        luaL_error(r->L, "unfinished capture");
    } else if (r->capture[i].len == POSITION) {
        lua_pushinteger(r->L, r->capture[i].at - r->subject + 1);
    } else {
        lua_pushlstring(r->L, r->capture[i].at, (size_t)r->capture[i].len);
    }
}

static int push_captures(struct run *r, const char *s, const char *end, bool whole)
{
    unsigned n = r->captures == 0 && whole ? 1 : r->captures;

    luaL_checkstack(r->L, (int)n, "too many captures");
    for (unsigned i = 0; i < n; i++)
        push_capture(r, i, s, end);
    return (int)n;
}

static void run_init(struct run *r, lua_State *L, const char *s, size_t len, const char *p,
                     size_t p_len)
{
    r->L = L;
    r->subject = s;
    r->subject_end = s + len;
    r->pattern_end = p + p_len;
    r->steps = STEPS;
    r->captures = r->depth = 0;
}

static const char *run_at(struct run *r, const char *s, const char *p)
{
    r->captures = r->depth = 0;
    return match_here(r, s, p);
}

static size_t start_position(lua_Integer init, size_t len)
{
    if (init > 0)
        return (size_t)init - 1;
    if (init == 0 || init < -(lua_Integer)len)
        return 0;
    return len - (size_t)-init;
}

static int find_plain(lua_State *L, const char *s, size_t len, size_t init, const char *p,
                      size_t p_len)
{
    const char *at = p_len == 0 ? s + init : memmem(s + init, len - init, p, p_len);

    if (!at) {
        lua_pushnil(L);
        return 1;
    }
    lua_pushinteger(L, at - s + 1);
    lua_pushinteger(L, at - s + (lua_Integer)p_len);
    return 2;
}

static bool no_specials(const char *p, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (strchr("^$*+?.([%-", p[i]) && p[i] != 0)
            return false;
    }
    return true;
}

static int find_or_match(lua_State *L, bool find)
{
    size_t len, p_len;
    const char *s = luaL_checklstring(L, 1, &len), *p = luaL_checklstring(L, 2, &p_len);
    size_t init = start_position(luaL_optinteger(L, 3, 1), len);
    struct run r;

    if (init > len) {
        lua_pushnil(L);
        return 1;
    }
    if (find && (lua_toboolean(L, 4) || no_specials(p, p_len)))
        return find_plain(L, s, len, init, p, p_len);
    bool anchored = p_len > 0 && *p == '^';
    run_init(&r, L, s, len, p, p_len);
    const char *at = s + init;
    do {
        const char *end = run_at(&r, at, p + anchored);
        if (!end)
            continue;
        if (!find)
            return push_captures(&r, at, end, true);
        lua_pushinteger(L, at - s + 1);
        lua_pushinteger(L, end - s);
        return push_captures(&r, at, end, false) + 2;
    } while (at++ < r.subject_end && !anchored);
    lua_pushnil(L);
    return 1;
}

static int l_find(lua_State *L)
{
    return find_or_match(L, true);
}

static int l_match(lua_State *L)
{
    return find_or_match(L, false);
}

/* -- gmatch: upvalues subject, pattern, where to go on, where the last match ended -- */

static int gmatch_next(lua_State *L)
{
    size_t len, p_len;
    const char *s = lua_tolstring(L, lua_upvalueindex(1), &len);
    const char *p = lua_tolstring(L, lua_upvalueindex(2), &p_len);
    lua_Integer from = lua_tointeger(L, lua_upvalueindex(3));
    lua_Integer last = lua_tointeger(L, lua_upvalueindex(4));
    struct run r;

    run_init(&r, L, s, len, p, p_len);
    for (const char *at = s + from; at <= r.subject_end; at++) {
        const char *end = run_at(&r, at, p);
        if (!end || end - s == last)
            continue;
        lua_pushinteger(L, end - s);
        lua_copy(L, -1, lua_upvalueindex(3));
        lua_replace(L, lua_upvalueindex(4));
        return push_captures(&r, at, end, true);
    }
    return 0;
}

static int l_gmatch(lua_State *L)
{
    size_t len;

    luaL_checklstring(L, 1, &len);
    luaL_checkstring(L, 2);
    size_t init = start_position(luaL_optinteger(L, 3, 1), len);
    lua_settop(L, 2);
    lua_pushinteger(L, (lua_Integer)(init > len ? len + 1 : init));
    lua_pushinteger(L, -1);
    lua_pushcclosure(L, gmatch_next, 4);
    return 1;
}

/* -- gsub -- */

static void add_text(struct run *r, luaL_Buffer *b, const char *s, const char *end)
{
    lua_State *L = r->L;
    size_t len;
    const char *text = lua_tolstring(L, 3, &len);

    for (size_t i = 0; i < len; i++) {
        if (text[i] != '%') {
            luaL_addchar(b, text[i]);
            continue;
        }
        i++;
        if (i < len && text[i] == '%') {
            luaL_addchar(b, '%');
        } else if (i < len && text[i] == '0') {
            luaL_addlstring(b, s, (size_t)(end - s));
        } else if (i < len && isdigit((unsigned char)text[i])) {
            push_capture(r, (unsigned)(text[i] - '1'), s, end);
            luaL_tolstring(L, -1, NULL);
            lua_remove(L, -2);
            luaL_addvalue(b);
        } else {
            luaL_error(L, "invalid use of '%%' in replacement string");
        }
    }
}

/* True: something took the match's place. */
static bool add_value(struct run *r, luaL_Buffer *b, const char *s, const char *end)
{
    lua_State *L = r->L;

    switch (lua_type(L, 3)) {
    case LUA_TFUNCTION:
        lua_pushvalue(L, 3);
        lua_call(L, push_captures(r, s, end, true), 1);
        break;
    case LUA_TTABLE:
        push_capture(r, 0, s, end);
        lua_gettable(L, 3);
        break;
    default:
        add_text(r, b, s, end);
        return true;
    }
    if (!lua_toboolean(L, -1)) {
        lua_pop(L, 1);
        luaL_addlstring(b, s, (size_t)(end - s));
        return false;
    }
    if (!lua_isstring(L, -1))
        luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
    luaL_addvalue(b);
    return true;
}

static int l_gsub(lua_State *L)
{
    size_t len, p_len;
    const char *s = luaL_checklstring(L, 1, &len), *p = luaL_checklstring(L, 2, &p_len);
    int type = lua_type(L, 3);
    lua_Integer most = luaL_optinteger(L, 4, (lua_Integer)len + 1), n = 0;
    bool anchored = p_len > 0 && *p == '^';
    const char *last = NULL, *at = s;
    struct run r;
    luaL_Buffer b;

    luaL_argexpected(L,
                     type == LUA_TNUMBER || type == LUA_TSTRING || type == LUA_TFUNCTION ||
                         type == LUA_TTABLE,
                     3, "string/function/table");
    if (type == LUA_TNUMBER)
        lua_tostring(L, 3);
    run_init(&r, L, s, len, p, p_len);
    luaL_buffinit(L, &b);
    while (n < most) {
        const char *end = run_at(&r, at, p + anchored);
        if (end && end != last) {
            n++;
            add_value(&r, &b, at, end);
            at = last = end;
        } else if (at < r.subject_end) {
            luaL_addchar(&b, *at++);
        } else {
            break;
        }
        if (anchored)
            break;
    }
    luaL_addlstring(&b, at, (size_t)(r.subject_end - at));
    luaL_pushresult(&b);
    lua_pushinteger(L, n);
    return 2;
}

void pattern_register(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"find", l_find}, {"match", l_match}, {"gmatch", l_gmatch}, {"gsub", l_gsub}, {NULL, NULL}};

    luaL_setfuncs(L, functions, 0);
}
