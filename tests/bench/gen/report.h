/* What a scenario found, for people and as one flat JSON object.
 *
 * A result is a list of named numbers in the order they were noted; the runner and other programs
 * read the names, so they are part of the interface: never rename, only add.
 */
#ifndef SKEP_BENCH_REPORT_H
#define SKEP_BENCH_REPORT_H

#include "plan.h"

enum { REPORT_LINES = 48 };

struct report {
    struct {
        const char *name, *unit;
        double value;
    } lines[REPORT_LINES];
    unsigned count;
    const char *verdict; /* NULL: nothing went wrong */
};

/* Note one number; name and unit must be literals.  Unit "" for plain counts. */
void report_note(struct report *r, const char *name, double value, const char *unit);

/* Print as the plan says, on stdout. */
void report_print(const struct report *r, const struct plan *plan);

#endif
