/* Talking to the service manager: sd_notify's datagrams in a few lines of our own, so that
 * nothing of systemd is linked.  No-ops when it did not start us.  Main thread. */
#ifndef SKEP_MAIN_NOTIFY_H
#define SKEP_MAIN_NOTIFY_H

#include <stdint.h>

/* Reads NOTIFY_SOCKET and WATCHDOG_USEC, and takes them out of the environment. */
void notify_init(void);

void notify_ready(const char *status);
void notify_reloading(void);
void notify_stopping(void);
void notify_status(const char *status);
void notify_watchdog(void);

/* How often notify_watchdog() must be called, in milliseconds; 0: never. */
uint64_t notify_watchdog_ms(void);

#endif
