/* `require "broker"`: what a script registers, and what it does to the broker. */
#include <lauxlib.h>
#include <skep/loop.h>
#include <stdio.h>
#include <stdlib.h>

#include "bind.h"
#include "bytes.h"
#include "json.h"
#include "object.h"

enum { USER_PROPERTIES = 64, RETAINED_MOST = 10000 };

/* -- Handlers: while the script is loaded -- */

static struct script *loading(lua_State *L, const char *what)
{
    struct script *script = state_of(L)->loading;

    if (!script)
        luaL_error(L, "%s is for the script's beginning, not for a handler", what);
    return script;
}

static bool takes_two(lua_State *L, int index)
{
    lua_Debug ar;

    lua_pushvalue(L, index);
    lua_getinfo(L, ">u", &ar);
    return ar.nparams > 1 || ar.isvararg;
}

static struct handler *handler_new(struct state *s)
{
    struct handler *grown = realloc(s->handlers, (s->handler_count + 1) * sizeof *grown);

    if (!grown)
        abort();
    s->handlers = grown;
    grown[s->handler_count] = (struct handler){.function = LUA_NOREF};
    return &grown[s->handler_count++];
}

static void list_plain(struct state *s, enum handler_kind kind)
{
    uint32_t n = s->plain_count[kind];
    uint32_t *grown = realloc(s->plain[kind], (n + 1) * sizeof *grown);

    if (!grown)
        abort();
    grown[n] = s->handler_count - 1;
    s->plain[kind] = grown;
    s->plain_count[kind] = n + 1;
}

static int on_topic(lua_State *L, enum handler_kind kind, const char *what)
{
    struct state *s = state_of(L);
    struct script *script = loading(L, what);
    struct match_filter filter;
    char why[160];

    luaL_checktype(L, 2, LUA_TFUNCTION);
    if (match_filter_parse(&filter, arg_str(L, 1), why, sizeof why) < 0)
        return luaL_argerror(L, 1, why);
    struct handler *h = handler_new(s);
    h->script = script;
    h->kind = kind;
    h->filter = filter;
    h->captures = filter.name_count > 0 && takes_two(L, 2);
    lua_pushvalue(L, 2);
    h->function = luaL_ref(L, LUA_REGISTRYINDEX);
    match_add(s->topics[kind], skep_str(filter.filter), s->handler_count - 1);
    return 0;
}

static int on_plain(lua_State *L, enum handler_kind kind, const char *what)
{
    struct state *s = state_of(L);
    struct script *script = loading(L, what);

    luaL_checktype(L, 1, LUA_TFUNCTION);
    struct handler *h = handler_new(s);
    h->script = script;
    h->kind = kind;
    lua_pushvalue(L, 1);
    h->function = luaL_ref(L, LUA_REGISTRYINDEX);
    list_plain(s, kind);
    return 0;
}

static int l_on_publish(lua_State *L)
{
    return on_topic(L, ON_PUBLISH, "on_publish");
}

static int l_on_deliver(lua_State *L)
{
    return on_topic(L, ON_DELIVER, "on_deliver");
}

static int l_on_will(lua_State *L)
{
    return on_topic(L, ON_WILL, "on_will");
}

static int l_on_connect(lua_State *L)
{
    return on_plain(L, ON_CONNECT, "on_connect");
}

/* broker.on_auth(method, fn) */
static int l_on_auth(lua_State *L)
{
    struct state *s = state_of(L);
    const char *method = luaL_checkstring(L, 1);
    char *copy = strdup(method);

    if (!copy)
        abort();
    lua_remove(L, 1);
    if (!lua_isfunction(L, 1))
        free(copy);
    on_plain(L, ON_AUTH, "on_auth");
    s->handlers[s->handler_count - 1].filter.filter = copy;
    return 0;
}

static int l_on_subscribe(lua_State *L)
{
    return on_plain(L, ON_SUBSCRIBE, "on_subscribe");
}

static int l_on_connected(lua_State *L)
{
    return on_plain(L, ON_CONNECTED, "on_connected");
}

static int l_on_disconnect(lua_State *L)
{
    return on_plain(L, ON_DISCONNECT, "on_disconnect");
}

static int l_selftest(lua_State *L)
{
    return on_plain(L, ON_SELFTEST, "selftest");
}

/* broker.option(name, default): `option limit 60;` in the load block. */
static int l_option(lua_State *L)
{
    const struct skep_lines *lines = &state_of(L)->engine->conf->option;
    const char *name = luaL_checkstring(L, 1);

    for (size_t i = 0; i < lines->count; i++) {
        if (lines->items[i].count == 2 && strcmp(lines->items[i].items[0], name) == 0) {
            lua_pushstring(L, lines->items[i].items[1]);
            return 1;
        }
    }
    lua_settop(L, 2);
    return 1;
}

/* -- Messages -- */

static struct skep_str field_str(lua_State *L, int index, const char *name)
{
    size_t len = 0;
    const char *ptr = "";

    switch (lua_getfield(L, index, name)) {
    case LUA_TNIL:
        break;
    case LUA_TSTRING:
        ptr = lua_tolstring(L, -1, &len); /* the table keeps it */
        break;
    case LUA_TNUMBER:
        lua_tostring(L, -1);
        lua_pushvalue(L, -1);
        lua_setfield(L, index, name); /* so that the table keeps it */
        ptr = lua_tolstring(L, -1, &len);
        break;
    default:
        luaL_error(L, "%s has to be a string", name);
    }
    lua_pop(L, 1);
    return skep_bytes(ptr, len);
}

static lua_Integer field_integer(lua_State *L, int index, const char *name, lua_Integer most)
{
    lua_Integer n = 0;
    int whole = 1;

    if (lua_getfield(L, index, name) != LUA_TNIL)
        n = lua_tointegerx(L, -1, &whole);
    if (!whole || n < 0 || n > most)
        luaL_error(L, "%s has to be a whole number from 0 to %I", name, most);
    lua_pop(L, 1);
    return n;
}

static size_t read_properties(lua_State *L, int index, struct skep_user_property *room, size_t most)
{
    size_t n = 0;

    if (lua_getfield(L, index, "user_properties") == LUA_TTABLE) {
        int list = lua_gettop(L);
        for (lua_Integer i = 1; lua_rawgeti(L, list, i) == LUA_TTABLE; i++) {
            if (n == most)
                luaL_error(L, "more than %d user properties", (int)most);
            lua_rawgeti(L, -1, 1);
            lua_rawgeti(L, -2, 2);
            if (lua_type(L, -1) != LUA_TSTRING || lua_type(L, -2) != LUA_TSTRING)
                luaL_error(L, "a user property is { name, value }, two strings");
            room[n].name = arg_str(L, -2);
            room[n++].value = arg_str(L, -1);
            lua_pop(L, 3);
        }
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    return n;
}

struct skep_message message_argument(lua_State *L, int index, struct skep_user_property *room,
                                     size_t room_count)
{
    struct skep_message m = {.size = sizeof m};

    luaL_checktype(L, index, LUA_TTABLE);
    m.topic = field_str(L, index, "topic");
    m.payload = field_str(L, index, "payload");
    m.content_type = field_str(L, index, "content_type");
    m.response_topic = field_str(L, index, "response_topic");
    m.correlation_data = field_str(L, index, "correlation_data");
    m.qos = (uint8_t)field_integer(L, index, "qos", 2);
    m.expiry_s = (uint32_t)field_integer(L, index, "expiry", UINT32_MAX);
    lua_getfield(L, index, "retain");
    m.retain = lua_toboolean(L, -1);
    lua_pop(L, 1);
    m.user_property_count = read_properties(L, index, room, room_count);
    m.user_properties = room;
    if (!skep_topic_valid(m.topic, true))
        luaL_error(L, "'%s' is not a topic to publish to", m.topic.ptr);
    return m;
}

static void set_str(lua_State *L, const char *name, struct skep_str value)
{
    if (value.len == 0)
        return;
    push_str(L, value);
    lua_setfield(L, -2, name);
}

void message_table(lua_State *L, const struct skep_message *m)
{
    lua_createtable(L, 0, 6);
    push_str(L, m->topic);
    lua_setfield(L, -2, "topic");
    push_str(L, m->payload);
    lua_setfield(L, -2, "payload");
    lua_pushinteger(L, m->qos);
    lua_setfield(L, -2, "qos");
    lua_pushboolean(L, m->retain);
    lua_setfield(L, -2, "retain");
    set_str(L, "content_type", m->content_type);
    set_str(L, "response_topic", m->response_topic);
    set_str(L, "correlation_data", m->correlation_data);
    if (m->expiry_s > 0) {
        lua_pushinteger(L, m->expiry_s);
        lua_setfield(L, -2, "expiry");
    }
    lua_newtable(L);
    for (size_t i = 0; i < m->user_property_count; i++) {
        lua_createtable(L, 2, 0);
        push_str(L, m->user_properties[i].name);
        lua_rawseti(L, -2, 1);
        push_str(L, m->user_properties[i].value);
        lua_rawseti(L, -2, 2);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_setfield(L, -2, "user_properties");
}

/* true, or nil and why not */
static int l_publish(lua_State *L)
{
    struct skep_user_property room[USER_PROPERTIES + 1];
    struct skep_message m = message_argument(L, 1, room, USER_PROPERTIES);
    struct call *c = call_current(L, "publish");
    char hops[12];

    if (c->hops > 0) {
        snprintf(hops, sizeof hops, "%u", c->hops);
        room[m.user_property_count].name = SKEP_STR(HOPS_PROPERTY);
        room[m.user_property_count++].value = skep_str(hops);
    }
    int err = skep_publish(c->s->engine->m, &m, NULL, NULL, NULL);

    if (err < 0) {
        lua_pushnil(L);
        lua_pushstring(L, skep_error_text(err));
        return 2;
    }
    lua_pushboolean(L, true);
    return 1;
}

struct collect {
    lua_State *L;
    lua_Integer n;
};

static bool collect_one(const struct skep_message *m, void *arg)
{
    struct collect *c = arg;

    message_table(c->L, m);
    lua_rawseti(c->L, 2, ++c->n);
    return true;
}

struct look_up {
    struct skep_module *m;
    struct skep_str filter;
    size_t most;
    struct skep_message *found; /* copies, so that no error of Lua crosses the host */
    size_t count;
};

static struct skep_str copy(struct skep_str s)
{
    char *ptr = malloc(s.len + 1);

    if (!ptr)
        abort();
    memcpy(ptr, s.ptr, s.len);
    return skep_bytes(ptr, s.len);
}

static bool keep_one(const struct skep_message *m, void *arg)
{
    struct look_up *l = arg;
    struct skep_message *grown = realloc(l->found, (l->count + 1) * sizeof *grown);

    if (!grown)
        abort();
    l->found = grown;
    grown[l->count] = (struct skep_message){.size = sizeof *grown,
                                            .qos = m->qos,
                                            .retain = m->retain,
                                            .expiry_s = m->expiry_s,
                                            .topic = copy(m->topic),
                                            .payload = copy(m->payload)};
    l->count++;
    return true;
}

static int push_found(lua_State *L)
{
    struct look_up *l = lua_touserdata(L, 1);
    struct collect c = {.L = L};

    lua_newtable(L);
    for (size_t i = 0; i < l->count; i++)
        collect_one(&l->found[i], &c);
    return 1;
}

/* broker.retained(filter, most): a list of messages. */
static int l_retained(lua_State *L)
{
    struct skep_str filter = arg_str(L, 1);
    lua_Integer most = luaL_optinteger(L, 2, 100);
    struct call *c = call_current(L, "retained");
    struct look_up l = {.m = c->s->engine->m, .filter = filter, .most = (size_t)most};

    luaL_argcheck(L, skep_topic_valid(filter, false), 1, "not a topic filter");
    luaL_argcheck(L, most >= 1 && most <= RETAINED_MOST, 2, "1 to 10000");
    skep_retained(l.m, filter, l.most, keep_one, &l);
    lua_pushcfunction(L, push_found);
    lua_pushlightuserdata(L, &l);
    int status = lua_pcall(L, 1, 1, 0);
    for (size_t i = 0; i < l.count; i++) {
        free((char *)l.found[i].topic.ptr);
        free((char *)l.found[i].payload.ptr);
    }
    free(l.found);
    return status == LUA_OK ? 1 : lua_error(L);
}

/* -- Clients, log, time -- */

static int l_kick(lua_State *L)
{
    struct skep_str id = arg_str(L, 1);
    const char *text = luaL_optstring(L, 2, NULL);
    struct call *c = call_current(L, "kick");

    lua_pushboolean(L, skep_kick(c->s->engine->m, id, SKEP_RC_ADMINISTRATIVE, text) == 0);
    return 1;
}

static int l_client(lua_State *L)
{
    struct call *c = call_current(L, "client");

    client_push_found(L, c->s->engine->m, arg_str(L, 1));
    return 1;
}

/* broker.log.info(format, ...): as string.format, if there is more than one argument. */
static int l_log(lua_State *L)
{
    struct state *s = state_of(L);
    struct script *script = state_script(s);
    enum skep_level level = (enum skep_level)lua_tointeger(L, lua_upvalueindex(1));

    luaL_checkany(L, 1);
    if (!skep_log_wanted(level))
        return 0;
    if (lua_gettop(L) > 1) {
        lua_pushvalue(L, lua_upvalueindex(2)); /* string.format */
        lua_insert(L, 1);
        lua_call(L, lua_gettop(L) - 1, 1);
    }
    skep_log(s->engine->m, level, "%s: %s", script ? script->name : "?",
             luaL_tolstring(L, -1, NULL));
    return 0;
}

static int log_open(lua_State *L)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};

    lua_newtable(L);
    for (int level = SKEP_LOG_DEBUG; level <= SKEP_LOG_ERROR; level++) {
        lua_pushinteger(L, level);
        lua_pushliteral(L, "");
        lua_getfield(L, -1, "format"); /* through the strings' metatable */
        lua_remove(L, -2);
        lua_pushcclosure(L, l_log, 2);
        lua_setfield(L, -2, names[level]);
    }
    return 1;
}

/* Seconds since 1970 UTC, with milliseconds. */
static int l_time(lua_State *L)
{
    lua_pushnumber(L, (double)skep_wall_ms() / 1000.0);
    return 1;
}

/* Seconds that never jump, for measuring. */
static int l_now(lua_State *L)
{
    lua_pushnumber(L, (double)skep_now_ms() / 1000.0);
    return 1;
}

static void part(lua_State *L, const char *name, lua_CFunction open)
{
    lua_pushcfunction(L, open);
    lua_call(L, 0, 1);
    lua_setfield(L, -2, name);
}

int broker_open(lua_State *L)
{
    static const luaL_Reg functions[] = {{"on_publish", l_on_publish},
                                         {"on_deliver", l_on_deliver},
                                         {"on_will", l_on_will},
                                         {"on_connect", l_on_connect},
                                         {"on_auth", l_on_auth},
                                         {"on_subscribe", l_on_subscribe},
                                         {"on_connected", l_on_connected},
                                         {"on_disconnect", l_on_disconnect},
                                         {"selftest", l_selftest},
                                         {"option", l_option},
                                         {"publish", l_publish},
                                         {"retained", l_retained},
                                         {"kick", l_kick},
                                         {"client", l_client},
                                         {"time", l_time},
                                         {"now", l_now},
                                         {NULL, NULL}};

    luaL_newlib(L, functions);
    timers_register(L);
    subscribe_register(L);
    part(L, "log", log_open);
    part(L, "kv", kv_open);
    part(L, "http", http_open);
    part(L, "metric", metric_open);
    part(L, "json", json_open);
    part(L, "bytes", bytes_open);
    return 1;
}
