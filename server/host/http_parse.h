/* HTTP requests as a server reads them: the head when it is whole, and chunked bodies; pure.
 *
 * Strict where laxness has been used against servers: CRLF line ends, no folded lines, no control
 * characters, no body of two lengths. */
#ifndef SKEP_HOST_HTTP_PARSE_H
#define SKEP_HOST_HTTP_PARSE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

enum { HTTP_HEAD_MAX = 16384, HTTP_HEADER_LINES_MAX = 100 };

/* Views into the head. */
struct http_head {
    struct str method;
    struct str path, query; /* as sent; query without its ? */
    struct str fields;      /* the header lines */
    uint64_t length;        /* of the body, unless chunked */
    bool chunked, keep_alive, wants_continue;
    bool old; /* HTTP/1.0 */
};

/* The length of the head with its empty line, or 0 if it is not all there; `from` is where an
 * earlier call may stop to look again. */
size_t http_head_end(struct str bytes, size_t *from);

/* 0, or the status to refuse with and *why in words. */
int http_head_parse(struct http_head *out, struct str head, const char **why);

/* Decodes %XX (and, of a query, + for a space) into out, which has room for s.len bytes.  False: a
 * code is no code. */
bool http_decode(struct str s, bool query, char *out, size_t *len);

/* The value of that name in a query, as sent; false: not there. */
bool http_query_find(struct str query, struct str name, struct str *value);

enum http_chunk_state { CHUNK_SIZE, CHUNK_DATA, CHUNK_END, CHUNK_TRAILER, CHUNK_DONE, CHUNK_WRONG };

/* Zero-initialised. */
struct http_chunks {
    enum http_chunk_state state;
    uint64_t left;   /* of the chunk */
    size_t trailers; /* bytes of them */
};

/* Takes the next step: returns how many bytes were used (0: more must come), and in *data what of
 * them is body. */
size_t http_chunks_step(struct http_chunks *c, struct str bytes, struct str *data);

#endif
