/* The HTTP request that asks for a WebSocket: parsed once, when it is whole; pure.
 *
 * Strict where laxness has been used against servers: CRLF line ends, no folded lines, no
 * control characters, no repeated header that decides something, no body. */
#ifndef SKEP_NET_WS_HEAD_H
#define SKEP_NET_WS_HEAD_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"
#include "net/listen.h"

struct ws_rules {
    struct str path;
    struct listen_strings origins; /* empty: any */
};

/* What was asked for; views into the head. */
struct ws_request {
    struct str path, host, origin, key;
    const char *protocol; /* ours of those offered: "mqtt", "mqttv3.1" or NULL */
};

/* The length of the head with its empty line, or 0 if it is not all there; `from` is where
 * an earlier call may stop to look again. */
size_t ws_head_end(struct str bytes, size_t *from);

/* 101, or the HTTP status to refuse with and *why in words. */
int ws_head_parse(struct ws_request *out, struct str head, const struct ws_rules *rules,
                  const char **why);

enum { WS_ANSWER_MAX = 512 };

/* The answer to the request, for any status that ws_head_parse() gives; and 431 for a head
 * that is too long.  Returns its length. */
size_t ws_head_answer(char out[WS_ANSWER_MAX], int status, const char *why,
                      const struct ws_request *request);

#endif
