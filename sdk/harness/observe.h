/* What refuse.c tells observe.c. */
#ifndef SKEP_HARNESS_OBSERVE_H
#define SKEP_HARNESS_OBSERVE_H

#include <skep/message.h>

void observe_published(const struct skep_message *message);

/* A message of its own, with all it points to; free with message_free(). */
void message_copy(struct skep_message *out, const struct skep_message *message);
void message_free(struct skep_message *message);

#endif
