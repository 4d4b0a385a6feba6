/* Text that grows, up to a limit.  A failure (no memory, the limit) sticks and is asked for once.
 */
#ifndef LIB_TEXT_BUFFER_H
#define LIB_TEXT_BUFFER_H

#include <skep/base.h>

struct buffer {
    char *ptr; /* terminated once anything was added */
    size_t len, cap, limit;
    bool failed;
};

void buffer_add(struct buffer *b, const void *bytes, size_t len);
void buffer_fini(struct buffer *b);

static inline void buffer_str(struct buffer *b, struct skep_str text)
{
    buffer_add(b, text.ptr, text.len);
}

static inline void buffer_text(struct buffer *b, const char *text)
{
    buffer_add(b, text, strlen(text));
}

/* -- Encodings -- */

/* All but unreserved characters as %XX [RFC 3986 2.3]. */
void buffer_percent(struct buffer *b, struct skep_str bytes);
/* The inside of a JSON string.  False: it is not text (UTF-8 without NUL). */
bool buffer_json(struct buffer *b, struct skep_str text);
/* What may stand in a header's value: visible ASCII and space; anything else, and %, as %XX. */
void buffer_header(struct buffer *b, struct skep_str bytes);
void buffer_base64(struct buffer *b, struct skep_str bytes);

#endif
