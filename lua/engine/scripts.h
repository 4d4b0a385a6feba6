/* The files behind `script` lines. */
#ifndef SKEP_LUA_SCRIPTS_H
#define SKEP_LUA_SCRIPTS_H

#include "engine.h"

enum { SCRIPTS_MOST = 500, SCRIPT_BYTES_MOST = 1 << 20 };

/* Reads them all; false: reported. */
bool scripts_read(struct engine *e, struct skep_report *report);
void scripts_free(struct engine *e);

/* Whether a file behind the lines changed, came or went since scripts_read() or the last time this
 * was asked.  Management loop. */
bool scripts_changed(struct engine *e);

#endif
