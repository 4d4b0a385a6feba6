/* A module for tests that says what it is told to, at once or later.
 *
 * What it says at a stage hangs on the subject: the user name of a CONNECT, the data of an AUTH,
 * the filter of a SUBSCRIBE, the topic of everything else.  Words: "allow", "deny", "next",
 * "error", "drop", "more" (AUTH: challenge), "wait" (for oracle_say()), "sleep" (50 ms, then
 * allow). */
#ifndef TESTS_SIM_ORACLE_H
#define TESTS_SIM_ORACLE_H

#include <stdbool.h>
#include <stdint.h>

#include "fake_host.h"

enum { ORACLE_RULES = 32, ORACLE_WAITS = 64 };

struct oracle {
    struct skep_module *module;
    struct {
        enum skep_stage stage;
        const char *subject, *word; /* subject NULL: any other */
    } rules[ORACLE_RULES];
    unsigned rule_count;
    unsigned asked[SKEP_STAGES], dropped, thens;
    uint64_t waits[ORACLE_WAITS]; /* tokens, oldest first */
    unsigned wait_count;
    uint8_t reason; /* of denials */
    bool cacheable; /* everything is */
    unsigned qos;   /* grants at most this to subscriptions */
    unsigned auth_round;
    bool auth_again;                            /* the last AUTH was a re-authentication's */
    char username[64];                          /* given to whom it lets connect, unless empty */
    void (*on_connect)(struct skep_request *r); /* may say more about the client */
    void (*on_message)(struct skep_request *r); /* may change the message */
    char client[64], topic[128];                /* of the last question */
};

/* stages: bits of those it takes part in. */
struct oracle *oracle_new(const char *name, unsigned stages);
void oracle_free(struct oracle **o);

void oracle_rule(struct oracle *o, enum skep_stage stage, const char *subject, const char *word);

/* Answers the i-th wait; false: nobody waits there any more.  The word must live on. */
bool oracle_say(struct oracle *o, unsigned i, const char *word);

#endif
