/* JSON for people: a list of objects as a table, an object as `name: value` lines. */
#ifndef SKEP_CTL_TABLE_H
#define SKEP_CTL_TABLE_H

#include <cjson/cJSON.h>
#include <stdio.h>

/* Columns are the members of the objects in the order in which they first appear; numbers stand on
 * the right.  What is no list of objects is printed by table_value(). */
void table_print(FILE *to, const cJSON *value);

/* One value on one line: text without control characters, nested values as JSON. */
void table_value(FILE *to, const cJSON *value);

#endif
