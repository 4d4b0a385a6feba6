/* The reference of all directives, made from their tables: for the terminal, as JSON for
 * tools, as Markdown for docs/guide/configuration.md and as mdoc for skep.conf(5). */
#ifndef SKEP_CONF_REFERENCE_H
#define SKEP_CONF_REFERENCE_H

#include <stdio.h>

#include "conf/directive.h"

enum reference_format { REFERENCE_TEXT, REFERENCE_JSON, REFERENCE_MARKDOWN, REFERENCE_MAN };

void reference_print(FILE *to, const struct directive_table *table, enum reference_format format);

#endif
