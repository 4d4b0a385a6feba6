/* Inside the harness: a broker without a network, with the module under test in its host.
 *
 *   rig.c      broker, loop, worker and host, on the world's clock
 *   config.c   from options in a string to instances, as main does with a file
 *   linked.c   a module that is part of the test program
 *   client.c   clients that are not there, in front's place
 *   ask.c      what they ask
 *   outcome.c  and what became of it
 *   observe.c  what the test looks at: log, messages, metrics
 *   test.c     the functions of <skep/test.h> that drive all this */
#ifndef SKEP_HARNESS_HARNESS_H
#define SKEP_HARNESS_HARNESS_H

#include <skep/module.h>
#include <skep/test.h>

#include "base/arena.h"
#include "base/str.h"
#include "core/link.h"
#include "core/sessions.h"
#include "host/decide.h"
#include "host/host.h"
#include "mqtt/packet.h"

struct life_conf;

#define TEST_LISTENER "mqtt"

/* A load block of the test. */
struct test_line {
    struct test_line *next;
    char *file; /* NULL: the module that is linked into the test program */
    char *options;
};

struct skep_test {
    struct broker *broker;
    struct loop *loop;
    struct worker *worker;
    struct host *host;
    char *data_dir;
    struct test_line *lines;
    struct skep_module *module; /* the first */
    struct skep_test_client *clients;
    unsigned reloading; /* at the wish of the module */
};

/* What the last request of a client came to. */
struct outcome {
    enum skep_verdict verdict;
    enum skep_reason reason;
    char *text, *where;
    unsigned granted_qos;
    struct skep_str auth_data;
};

enum question {
    ASK_NOTHING,
    ASK_CONNECT,
    ASK_AUTH,
    ASK_WILL,
    ASK_SUBSCRIBE,
    ASK_PUBLISH,
    ASK_MESSAGE
};

struct skep_test_client {
    struct skep_test_client *next;
    struct skep_test *test;
    struct link link; /* the session's way out: swallows what is sent */
    char *id, *username, *address, *cert_cn, *method;
    struct str password;
    bool has_password, connected, over, connecting;
    uint8_t kick_reason;
    struct mqtt_connect packet;
    char *will_topic, *will_payload;
    struct host_client *asked; /* the host's side; NULL before the first question */
    struct claim claim;
    struct session *session;
    enum question question; /* under way */
    struct skep_request *request;
    struct outcome outcome;
    char *topic, *payload; /* of the question under way */
    struct asked_message message;
    unsigned qos;
    struct skep_message *messages; /* as the modules left it */
    size_t message_count;
};

/* -- rig.c -- */

struct skep_test *rig_new(void);
void rig_free(struct skep_test **t);
/* Turns, until nothing is to be done at this time; instances that ended are unloaded. */
void rig_settle(struct skep_test *t);
/* Runs fn on the clients' loop. */
void rig_call(struct skep_test *t, void (*fn)(void *arg), void *arg);

/* -- config.c -- */

/* Loads what t->lines say, in place of what runs.  NULL, or what is wrong, a line each; in a buffer
 * of its own. */
const char *config_apply(struct skep_test *t);

/* -- linked.c -- */

/* Stands for the file name of a module that is linked into the program. */
#define TEST_LINKED "./linked-module"

/* -- client.c -- */

void client_free_all(struct skep_test *t);
/* CONNECT was allowed: session, identity, event. */
void client_admit(struct skep_test_client *c);
/* The connection is over. */
void client_end(struct skep_test_client *c, uint8_t reason, bool orderly);

/* -- ask.c -- */

extern const struct host_client_ops ask_ops;

/* -- outcome.c -- */

/* Replaces what was there; messages are forgotten. */
void outcome_take(struct skep_test_client *c, const struct skep_request *r);
void outcome_clear(struct skep_test_client *c);
/* A message as it went out. */
void outcome_message(struct skep_test_client *c, const struct asked_message *m);

/* -- observe.c -- */

void observe_begin(void);
void observe_end(void);
/* Things of modules that were left behind at their unload. */
unsigned observe_leftovers(void);

#endif
