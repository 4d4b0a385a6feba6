/* Where log lines go: one descriptor whose number never changes once opened, so that
 * writers need no lock (a new destination is dup'ed over the old).  Private to log.c. */
#ifndef SKEP_BASE_LOG_SINK_H
#define SKEP_BASE_LOG_SINK_H

#include "base/log.h"

/* How a line must be laid out for the destination in use. */
enum log_layout { LOG_AS_TEXT, LOG_AS_JSON, LOG_AS_PREFIXED, LOG_AS_SYSLOG, LOG_AS_JOURNAL };

int log_sink_open(const struct log_conf *conf, char *why, size_t why_size);
int log_sink_reopen(char *why, size_t why_size);
enum log_layout log_sink_layout(void);

/* One write of one line.  False when the destination could not take it now. */
bool log_sink_write(const char *bytes, size_t len);

#endif
