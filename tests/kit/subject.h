/* What the subject tells the tests that are linked with it. */
#ifndef SKEP_TESTS_SUBJECT_H
#define SKEP_TESTS_SUBJECT_H

#include <stdint.h>

struct subject_counts {
    unsigned loaded, started, took_over, unloaded, ticks, continued, worked, dropped, refused;
    int last_event;
};
extern struct subject_counts subject_counts;

/* Of the last CONNECT of user "token". */
extern uint64_t subject_token;

#endif
