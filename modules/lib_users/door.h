/* What auth_file and auth_scram share: a users file kept up to date, the guard against guessing,
 * counters, log lines and commands.  One for each instance. */
#ifndef LIB_USERS_DOOR_H
#define LIB_USERS_DOOR_H

#include <skep/module.h>

#include "lib_file/live.h"
#include "users.h"

/* Options of both, as a member `door` of the module's conf. */
struct door_conf {
    const char *file;
    uint64_t max_size;
    bool watch;
    uint32_t max_failures, max_address_failures;
    uint64_t failure_window, ban_time;
    uint64_t slow_down, slow_down_max;
    uint32_t max_tracked;
    struct skep_list trusted;
};

#define DOOR_OPTION(kind, T, member, text, ...)                                                    \
    {                                                                                              \
        .name = #member, .type = kind, .offset = offsetof(T, door.member),                         \
        .width = sizeof(((T *)NULL)->door.member), .fallback = text, ##__VA_ARGS__                 \
    }

#define DOOR_OPTIONS(T)                                                                            \
    DOOR_OPTION(SKEP_TYPE_PATH, T, file, SKEP_REQUIRED,                                            \
                .help = "users file, as `skepctl passwd` or mosquitto_passwd writes it"),          \
        DOOR_OPTION(SKEP_TYPE_SIZE, T, max_size, "64m", .min = 1024, .max = 1024 * 1024 * 1024,    \
                    .help = "a larger users file is refused"),                                     \
        DOOR_OPTION(SKEP_TYPE_BOOL, T, watch, "on",                                                \
                    .help = "take a changed users file without a reload"),                         \
        DOOR_OPTION(SKEP_TYPE_UINT, T, max_failures, "5", .max = 1000000,                          \
                    .help =                                                                        \
                        "wrong passwords of a user from one address before that pair is banned; "  \
                        "0: never"),                                                               \
        DOOR_OPTION(SKEP_TYPE_UINT, T, max_address_failures, "50", .max = 1000000,                 \
                    .help = "wrong passwords from one address before it is banned; 0: never"),     \
        DOOR_OPTION(SKEP_TYPE_DURATION, T, failure_window, "10m", .min = 1000,                     \
                    .max = 30ull * 24 * 3600 * 1000,                                               \
                    .help = "how long a failure counts after the last one"),                       \
        DOOR_OPTION(SKEP_TYPE_DURATION, T, ban_time, "5m", .min = 1000,                            \
                    .max = 30ull * 24 * 3600 * 1000, .help = "how long a ban lasts"),              \
        DOOR_OPTION(SKEP_TYPE_DURATION, T, slow_down, "250ms", .max = 60000,                       \
                    .help = "how long the answer to a first wrong password is held back; doubles " \
                            "with each"),                                                          \
        DOOR_OPTION(SKEP_TYPE_DURATION, T, slow_down_max, "2s", .max = 60000,                      \
                    .help = "the longest time an answer is held back"),                            \
        DOOR_OPTION(SKEP_TYPE_UINT, T, max_tracked, "8192", .min = 64, .max = 1000000,             \
                    .help = "how many addresses and users failures are kept of"),                  \
        DOOR_OPTION(SKEP_TYPE_LIST, T, trusted, NULL, .syntax = "NETWORK...",                      \
                    .help = "addresses that are not banned as such, for many stand behind them")

struct door;

/* For check() and load(). */
void door_check(const struct door_conf *conf, struct skep_report *report);
struct door *door_open(struct skep_module *m, const struct door_conf *conf,
                       struct skep_report *report);
/* previous: of the instance that is replaced, or NULL; its bans are taken over. */
void door_start(struct door *d, struct door *previous);
void door_stop(struct door *d);
void door_close(struct door **d); /* accepts NULL */
void door_command(struct door *d, struct skep_command *command);

/* The users in force, until the hook returns. */
const struct users *door_users(const struct door *d);

/* Whether this user is banned there; then *verdict is the answer. */
bool door_is_barred(struct door *d, struct skep_request *r, struct skep_str user,
                    enum skep_verdict *verdict);

/* He proved who he is: the answer. */
enum skep_verdict door_let_in(struct door *d, struct skep_request *r, struct skep_str user,
                              const char *how);

/* It was wrong (why: for the log, the client only hears that it was refused).  The answer, or a
 * wait that ends in then(), which returns door_refused(). */
enum skep_verdict door_refuse(struct door *d, struct skep_request *r, struct skep_str user,
                              const char *why, skep_then_fn *then);
enum skep_verdict door_refused(struct skep_request *r);

#endif
