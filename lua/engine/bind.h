/* What `require "broker"` and its parts are made of; each file opens one table. */
#ifndef SKEP_LUA_BIND_H
#define SKEP_LUA_BIND_H

#include "call.h"

int broker_open(lua_State *L); /* bind_broker.c: handlers, publish, kick, retained, log, time */
int kv_open(lua_State *L);     /* bind_kv.c: the shared store */
int http_open(lua_State *L);   /* bind_http.c */
int metric_open(lua_State *L); /* bind_metric.c */

/* timers.c: broker.after, broker.every, broker.sleep. */
void timers_register(lua_State *L);
void timers_start(struct state *s); /* on the state's loop */
void timers_stop(struct state *s);

/* subscribe.c: broker.subscribe, broker.request. */
void subscribe_register(lua_State *L);
void subscribe_start(struct state *s);
void subscribe_stop(struct state *s);
void subscribe_free(struct state *s);

/* What a script publishes while it handles a message of a subscription carries this user property,
 * so that scripts that answer each other do not do so for ever. */
#define HOPS_PROPERTY "skep-hops"
enum { HOPS_MOST = 10 };

/* Reads a message table { topic = , payload = , qos = , ... } at `index`; the strings live as
 * long as the table.  User properties stand in `room`. */
struct skep_message message_argument(lua_State *L, int index, struct skep_user_property *room,
                                     size_t room_count);
/* Pushes a received message as a table. */
void message_table(lua_State *L, const struct skep_message *message);

#endif
