/* What is wrong with a file: a bounded list with places, and texts from outside made printable. */
#ifndef LIB_FILE_FAULT_H
#define LIB_FILE_FAULT_H

#include <skep/base.h>

enum { FAULTS_MAX = 20 };

struct fault {
    unsigned line, column; /* from 1; 0: the file as a whole */
    bool warning;
    char text[200];
    char hint[160]; /* empty: none */
};

struct faults {
    struct fault list[FAULTS_MAX];
    unsigned count;  /* in the list */
    unsigned errors; /* of all, also those that found no room */
    unsigned more;   /* that found no room */
};

/* hint may be NULL. */
void faults_error(struct faults *f, unsigned line, unsigned column, const char *hint,
                  const char *format, ...) SKEP_PRINTF(5, 6);
void faults_warn(struct faults *f, unsigned line, unsigned column, const char *hint,
                 const char *format, ...) SKEP_PRINTF(5, 6);

/* A name from outside, for a log line or an error: what is not printable ASCII
 * becomes \xNN, long ones end in "...".  Returns out; cap is at least 8. */
const char *printable(char *out, size_t cap, struct skep_str s);

#endif
