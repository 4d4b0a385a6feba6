/* Pre-shared keys: a file of `identity:hexkey` lines, read once into an immutable table.
 * Empty lines and lines starting with '#' are skipped.  An identity may contain colons. */
#ifndef SKEP_NET_PSK_H
#define SKEP_NET_PSK_H

#include <stddef.h>

#include "base/str.h"

struct psk_table;

/* 0, or an error with `err` naming file and line. */
int psk_table_new(struct psk_table **out, const char *path, char *err, size_t errlen);
void psk_table_free(struct psk_table **table);
size_t psk_table_count(const struct psk_table *table);

/* The key, or none; lives as long as the table. */
struct str psk_find(const struct psk_table *table, struct str identity);

#endif
