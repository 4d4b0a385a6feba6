/* The words of one directive into a struct's field, and back.  Private to conf. */
#ifndef SKEP_CONF_FIELD_H
#define SKEP_CONF_FIELD_H

#include "conf/directive.h"

/* Not for blocks.  Complains where the words do not fit.  `fresh`: a list starts anew. */
void field_set(const struct directive *d, const struct syntax_node *node, void *base, bool fresh,
               struct directive_context *ctx);

uint64_t field_number(const struct directive *d, const void *base);

/* The number in the directive's own notation. */
const char *field_number_text(const struct directive *d, uint64_t n, struct arena *arena);

/* The largest number the directive takes. */
uint64_t field_limit(const struct directive *d);

#endif
