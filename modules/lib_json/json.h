/* JSON from outside, read strictly.
 *
 * cJSON builds the tree; before that a scan of our own refuses what cJSON takes and two readers of
 * one text could understand differently: bytes that are not UTF-8, \u0000 (where a C string ends
 * early), lone surrogates, numbers like 01, a name twice in one object, anything behind the value.
 */
#ifndef LIB_JSON_JSON_H
#define LIB_JSON_JSON_H

#include <cjson/cJSON.h>
#include <skep/base.h>

enum { JSON_DEPTH = 16, JSON_MEMBERS = 256 }; /* levels; names in one object */

/* The value, to be freed with cJSON_Delete(); NULL: *why says in a few words what is wrong. */
cJSON *json_parse(struct skep_str text, const char **why);

/* Whether it is UTF-8 without NUL, surrogates and overlong forms. */
bool json_is_text(struct skep_str bytes);

/* A member of an object by its exact name; NULL: not there, or `object` is none. */
const cJSON *json_member(const cJSON *object, const char *name);

/* Behind a dotted path, "realm.roles.0": numbers are places in arrays.  A member whose name is the
 * whole (rest of the) path wins, so that "https://example.com/role" is found, too. */
const cJSON *json_at(const cJSON *value, const char *path);

/* The text of a string; NULL: it is none. */
const char *json_text(const cJSON *value);

#endif
