/* broker.http.request{ url = , method = , headers = , body = , timeout = }: the handler waits for
 * the answer; its client's stream is parked meanwhile. */
#include <lauxlib.h>
#include <math.h>
#include <skep/http.h>
#include <stdlib.h>

#include "bind.h"
#include "object.h"

enum { HEADERS = 32 };

struct answer {
    unsigned status;
    char *error;
    bool timed_out;
    size_t len;
    char body[];
};

static void keep_answer(const struct skep_http_reply *reply, void *call)
{
    struct call *c = call;
    struct answer *a = malloc(sizeof *a + reply->body.len);

    if (!a)
        abort();
    *a = (struct answer){.status = reply->status,
                         .error = reply->error ? strdup(reply->error) : NULL,
                         .timed_out = reply->timed_out,
                         .len = reply->body.len};
    if (reply->body.len > 0)
        memcpy(a->body, reply->body.ptr, reply->body.len);
    c->answer = a;
    call_resume(c);
}

static void answer_free(void *answer)
{
    struct answer *a = answer;

    free(a->error);
    free(a);
}

/* A table with status and body; or nil and a line. */
static void push_answer(struct call *c)
{
    struct answer *a = c->answer;

    if (a->error) {
        lua_pushnil(c->co);
        lua_pushstring(c->co, a->error);
        return;
    }
    lua_createtable(c->co, 0, 2);
    lua_pushinteger(c->co, a->status);
    lua_setfield(c->co, -2, "status");
    lua_pushlstring(c->co, a->body, a->len);
    lua_setfield(c->co, -2, "body");
}

static int returns_answer(struct call *c)
{
    int top = lua_gettop(c->co);

    if (!call_arguments(c, push_answer)) {
        lua_settop(c->co, top);
        lua_pushnil(c->co);
        lua_pushliteral(c->co, "not enough memory for the answer");
    }
    return lua_gettop(c->co) - top;
}

static const char *text_field(lua_State *L, const char *name)
{
    const char *text = NULL;

    if (lua_getfield(L, 1, name) != LUA_TNIL)
        text = luaL_checkstring(L, -1);
    lua_pop(L, 1); /* the table keeps it */
    return text;
}

static size_t read_headers(lua_State *L, struct skep_http_header *headers)
{
    size_t n = 0;

    if (lua_getfield(L, 1, "headers") == LUA_TTABLE) {
        lua_pushnil(L);
        while (lua_next(L, -2)) {
            if (n == HEADERS || lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TSTRING)
                luaL_error(L, "headers: at most %d names with text", HEADERS);
            headers[n].name = arg_str(L, -2);
            headers[n++].value = arg_str(L, -1);
            lua_pop(L, 1);
        }
    }
    lua_pop(L, 1);
    return n;
}

static int l_request(lua_State *L)
{
    struct skep_http_header headers[HEADERS];
    struct skep_http_request ask = {.size = sizeof ask, .headers = headers};
    struct call *c = call_wait(L, "http.request");

    luaL_checktype(L, 1, LUA_TTABLE);
    ask.url = text_field(L, "url");
    ask.method = text_field(L, "method");
    ask.content_type = text_field(L, "content_type");
    ask.ca = text_field(L, "ca");
    if (lua_getfield(L, 1, "body") != LUA_TNIL)
        ask.body = arg_str(L, -1);
    lua_getfield(L, 1, "timeout");
    double timeout = luaL_optnumber(L, -1, 10);
    luaL_argcheck(L, timeout > 0 && timeout <= 3600, 1, "timeout: up to 3600 seconds");
    ask.timeout_ms = (uint32_t)ceil(timeout * 1000.0);
    lua_pop(L, 2);
    ask.header_count = read_headers(L, headers);
    luaL_argcheck(L, ask.url, 1, "url is missing");
    c->answer_free = answer_free;
    c->http = skep_http_send(c->s->engine->m, &ask, keep_answer, c);
    if (c->http == 0)
        return luaL_error(L, "'%s' is not a URL to ask", ask.url);
    return call_yield(L, c, returns_answer);
}

static int l_url_encode(lua_State *L)
{
    struct skep_str text = arg_str(L, 1);
    luaL_Buffer b;
    size_t cap = text.len * 3 + 1;
    char *out = luaL_buffinitsize(L, &b, cap);

    luaL_pushresultsize(&b, skep_url_encode(text, out, cap));
    return 1;
}

int http_open(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"request", l_request}, {"url_encode", l_url_encode}, {NULL, NULL}};

    luaL_newlib(L, functions);
    return 1;
}
