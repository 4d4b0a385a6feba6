/* HTTP requests as modules made them, kept for the test to look at. */
#ifndef SKEP_HARNESS_MADE_H
#define SKEP_HARNESS_MADE_H

#include <skep/http.h>

struct made;

/* A copy of all of it. */
struct made *made_new(const struct skep_http_request *ask);
void made_free(struct made *m);
const struct skep_http_request *made_request(const struct made *m);

/* It was sent: world_http_request() has it from now on, until made_reset(). */
void made_keep(struct made *m);
void made_reset(void);

#endif
