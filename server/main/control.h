/* The local control socket: how skepctl talks to a running Skep.
 *
 * A Unix stream socket whose file mode says who may use it.  One JSON object a line in
 * each direction, requests answered in order:
 *
 *     {"cmd":"version"}                 {"ok":true,"version":"0.1.0","pid":1}
 *     {"cmd":"status"}                  {"ok":true,"version":"0.1.0","pid":1,"uptime_s":5,
 *                                        "config":"/etc/skep/skep.conf","data_dir":"...",
 *                                        "threads":2,"log_level":"info","state":"running",
 *                                        "ready":true,
 *                                        "listeners":[{"name":"mqtt","address":"127.0.0.1:1883"}],
 *                                        "connections":0,"sessions":0,"subscriptions":0,
 *                                        "retained":0,"messages_in":0,"messages_out":0,
 *                                        "messages_dropped":0,"bytes_in":0,"bytes_out":0,
 *                                        "store":{"on":true,"sync":"always","log_bytes":0,
 *                                        "refusing":false,...}: struct server_store_stats,
 *                                        "alarms":[{"module":"...","name":"...","text":"...",
 *                                        "since_ms":0}]}
 *     {"cmd":"ledger"}                  {"ok":true,"bytes_received":0,...,"waiting":0}: the
 *                                        counters below $SYS/broker/ledger/
 *     {"cmd":"clients"}                 {"ok":true,"connections":0}; with "list":true also
 *                                        "clients":[{"id":"...",...}],"left_out":0.  It takes
 *                                        "filter" (part of id, user or address), "username",
 *                                        "listener", "all" (also those away), "most"
 *     {"cmd":"client","id":"..."}       {"ok":true,"client":{"id":"...",...,"decisions":[...]}}
 *     {"cmd":"kick","id":"..."}         {"ok":true}; may have "reason" (152) and "text"
 *     {"cmd":"explain","what":"publish","client":"...","topic":"...","qos":0}
 *                                        {"ok":true,"verdict":"allow",...,"steps":[...],
 *                                        "receivers":[...]}; "subscribe" with a filter as topic,
 *                                        "connect" with username, password, address, listener
 *     {"cmd":"trace","client":"...","topic":"..."}  {"ok":true,"trace":1}; then "next":1 fetches
 *                                        {"ok":true,"events":[...],"dropped":0}, "end":1 ends it
 *     {"cmd":"reload"}                  {"ok":true,"changes":[{"text":"limits.max_packet: 1m ->
 * 2m", "path":"limits.max_packet","restart":false}], "messages":["file:1:1: warning: ..."]}
 *     {"cmd":"reload","plan":true}      the same, and nothing is changed
 *     {"cmd":"log-level","level":"debug"}  {"ok":true,"level":"debug"}; without level: tells it
 *     {"cmd":"config"}                  {"ok":true,"text":"..."}: what skep -T prints
 *     {"cmd":"backup","dir":"/..."}     {"ok":true,"number":1}: it is being made
 *     {"cmd":"backup-status"}           {"ok":true,"number":1,"dir":"/...","state":"done",
 *                                        "took_ms":5}; "running", or "failed" with "why";
 *                                        number 0 and nothing else: there was none
 *     {"cmd":"module"}                  {"ok":true,"modules":[{"name":"...",...}]}
 *     {"cmd":"module","do":"info","name":"..."}    {"ok":true,"module":{...}}: with its hooks'
 * figures
 *     {"cmd":"module","do":"call","name":"...","words":["..."]}    {"ok":true,"answer":...}: what
 * the module says
 *     {"cmd":"stop"}                    {"ok":true}; Skep then drains and ends
 *
 * What fails is answered {"ok":false,"error":"one line","messages":[...]}.  Members may be
 * added; readers ignore those they do not know.
 *
 * Answers that take a while are given later (control_later), each in its turn.
 *
 * Served on the main thread, never blocking it: up to CONTROL_CLIENTS at a time, lines of
 * at most CONTROL_LINE bytes, silent ones closed after CONTROL_IDLE_MS. */
#ifndef SKEP_MAIN_CONTROL_H
#define SKEP_MAIN_CONTROL_H

#include <cjson/cJSON.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct control;

enum { CONTROL_CLIENTS = 16, CONTROL_LINE = 4096, CONTROL_IDLE_MS = 30000 };

/* Answers one request: fills `answer`, an empty object.  `cmd` is never NULL. */
typedef void control_answer_fn(void *arg, const char *cmd, const cJSON *request, cJSON *answer);

/* path must be free or a socket nobody listens on.  owner -1: as created. */
int control_open(struct control **out, const char *path, mode_t mode, uid_t uid, gid_t gid,
                 control_answer_fn *answer, void *arg, char *why, size_t why_size);
/* Also removes the socket file. */
void control_close(struct control **c);

/* For poll(): fills at most CONTROL_CLIENTS + 1 entries and returns how many.  Then, with
 * the same entries: does what they say. */
size_t control_poll(struct control *c, struct pollfd *fds);
void control_serve(struct control *c, const struct pollfd *fds, size_t count, uint64_t now_ms);

/* Inside the answer function: the answer comes later, and what is filled in now does not count. The
 * caller waits, and nobody else does.  Returns a ticket for control_finish(). */
uint64_t control_later(struct control *c);
/* The answer, made like one of the answer function; nothing happens if that caller is gone. */
void control_finish(struct control *c, uint64_t ticket, cJSON *answer);

/* {"ok":false,"error":text} */
void control_refuse(cJSON *answer, const char *text);

#endif
