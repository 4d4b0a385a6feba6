/* Why something failed, in words for the person at the shell: one line that names what failed,
 * and where there is one, a second that says what to do next. */
#ifndef SKEP_CTL_FAULT_H
#define SKEP_CTL_FAULT_H

#include "base/str.h"

struct fault {
    char text[512];
    char hint[256];
};

/* What ended a command; skepctl's exit status.  Documented in skepctl.1. */
enum ctl_status {
    CTL_OK = 0,
    CTL_FAILED = 1,      /* anything without a number of its own */
    CTL_USAGE = 2,       /* the command line is wrong */
    CTL_UNREACHABLE = 3, /* no connection: address, TLS, WebSocket or control socket */
    CTL_REFUSED = 4,     /* the broker answered no: CONNACK, SUBACK, PUBACK or PUBREC */
    CTL_LOST = 5,        /* the connection ended before the work was done */
    CTL_TIMEOUT = 27,    /* -W passed first (the number that mosquitto_sub uses) */
};

/* Both return -1, so that a caller can `return fault_set(...)`. */
int fault_set(struct fault *f, const char *format, ...) __attribute__((format(printf, 2, 3)));
int fault_hint(struct fault *f, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Prints "NAME: text" and the hint on stderr. */
void fault_print(const struct fault *f, const char *name);

#endif
