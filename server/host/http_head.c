#include "host/http_head.h"

#include <strings.h>

static struct skep_str trim(struct skep_str s)
{
    while (s.len > 0 && (s.ptr[0] == ' ' || s.ptr[0] == '\t'))
        s = skep_bytes(s.ptr + 1, s.len - 1);
    while (s.len > 0 && strchr(" \t\r", s.ptr[s.len - 1]) && s.ptr[s.len - 1])
        s.len--;
    return s;
}

struct skep_str http_head_find(struct skep_str head, const char *name)
{
    size_t len = strlen(name);
    struct skep_str found = {0};

    while (head.len > 0) {
        const char *end = memchr(head.ptr, '\n', head.len);
        size_t line = end ? (size_t)(end - head.ptr) : head.len;
        if (line > len && head.ptr[len] == ':' && strncasecmp(head.ptr, name, len) == 0)
            found = trim(skep_bytes(head.ptr + len + 1, line - len - 1));
        size_t used = end ? line + 1 : line;
        head = skep_bytes(head.ptr + used, head.len - used);
    }
    return found;
}
