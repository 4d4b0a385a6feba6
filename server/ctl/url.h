/* --url: a broker, credentials and a topic in one word.
 *
 *     mqtt://user:password@host:1883/topic   mqtts://...   ws://host:80/path   wss://...
 *     unix:/run/skep/mqtt.sock */
#ifndef SKEP_CTL_URL_H
#define SKEP_CTL_URL_H

#include "ctl/dial.h"

/* Fills the fields of d that the URL names; d owns the memory behind them.  *topic is the topic of
 * an mqtt:// URL, or NULL.  0, or -1 with fault. */
int url_parse(const char *url, struct dial *d, const char **topic, struct fault *fault);

#endif
