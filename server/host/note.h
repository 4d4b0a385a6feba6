/* Telling of decisions: names for people, the client's ring, events. */
#ifndef SKEP_HOST_NOTE_H
#define SKEP_HOST_NOTE_H

#include "host/request.h"

/* "on_connect", ...; "connect", ...; "allow", ... */
extern const char *const hook_names[];
static inline const char *stage_hook_name(unsigned stage)
{
    return hook_names[stage];
}
const char *stage_name(unsigned stage);
const char *verdict_name(unsigned verdict);

/* r was decided: into the client's ring (but for what is allowed at every message), and to those
 * who want to hear of decisions. */
void note_decision(struct skep_request *r);

/* "file:line text" of r's note, or its text; cut to fit, terminated. */
struct str note_where(const struct skep_request *r, char *buf, size_t size);

#endif
