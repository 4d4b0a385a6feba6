/* Looking at one .so file without using it: for `skepctl module check` and the reference.
 *
 * In a process of its own, if the file is not trusted: loading runs its constructors. */
#ifndef SKEP_HOST_CHECK_H
#define SKEP_HOST_CHECK_H

#include <cjson/cJSON.h>
#include <stdbool.h>

/* {"file":..., "good":bool, "error":..., "missing":[...], "name":..., "version":..., "summary":...,
 * "sdk":..., "hooks":[...], "events":[...], "options":[...], "warnings":[...]}.  The caller deletes
 * it. */
cJSON *check_module(const char *path);

#endif
