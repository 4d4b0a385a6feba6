/* What the HTTP server reads.  Input: the bytes of a connection: heads, each with the body that it
 * announces.  A head's end is found at the same place however it comes, views stay inside, and a
 * chunked body is the same in one piece as byte by byte. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "host/http_head.h"
#include "host/http_parse.h"

static size_t find_end(struct str bytes, size_t step)
{
    size_t from = 0, end = 0;

    for (size_t have = step; end == 0; have += step) {
        if (have > bytes.len)
            have = bytes.len;
        end = http_head_end((struct str){bytes.ptr, have}, &from);
        if (have == bytes.len)
            break;
    }
    return end;
}

static bool inside(struct str view, struct str head)
{
    return view.len == 0 || (view.ptr >= head.ptr && view.ptr + view.len <= head.ptr + head.len);
}

/* Bytes used; the body goes to out. */
static size_t unchunk(struct str bytes, size_t step, char *out, size_t *len,
                      enum http_chunk_state *state)
{
    struct http_chunks c = {0};
    struct str data;
    size_t used = 0, have = 0;

    *len = 0;
    while (have < bytes.len && c.state != CHUNK_DONE && c.state != CHUNK_WRONG) {
        have = have + step < bytes.len ? have + step : bytes.len;
        for (size_t n = 1; n > 0;) {
            n = http_chunks_step(&c, (struct str){bytes.ptr + used, have - used}, &data);
            MUST(n <= have - used && data.len <= n);
            if (data.len)
                memcpy(out + *len, data.ptr, data.len);
            *len += data.len;
            used += n;
        }
    }
    *state = c.state;
    return used;
}

static size_t check_chunks(struct str bytes)
{
    char *whole = malloc(bytes.len + 1), *slow = malloc(bytes.len + 1);
    size_t whole_len, slow_len;
    enum http_chunk_state a, b;
    size_t used = unchunk(bytes, bytes.len + 1, whole, &whole_len, &a);
    size_t used_slowly = unchunk(bytes, 1, slow, &slow_len, &b);

    MUST(whole && slow);
    MUST(a == b && whole_len == slow_len && memcmp(whole, slow, whole_len) == 0);
    MUST(a != CHUNK_DONE || used == used_slowly);
    free(whole);
    free(slow);
    return a == CHUNK_DONE ? used : bytes.len;
}

static void check_names(const struct http_head *h)
{
    char *decoded = malloc(h->path.len + h->query.len + 1);
    struct str value;
    size_t len;

    MUST(decoded);
    if (http_decode(h->path, false, decoded, &len))
        MUST(len <= h->path.len);
    if (http_query_find(h->query, STR("q"), &value)) {
        MUST(inside(value, h->query));
        http_decode(value, true, decoded, &len);
    }
    free(decoded);
    struct skep_str field = http_head_find(skep_bytes(h->fields.ptr, h->fields.len), "x");
    MUST(inside((struct str){field.ptr, field.len}, h->fields));
}

/* One request; the bytes that are used. */
static size_t check_one(struct str bytes)
{
    struct http_head h;
    const char *why = NULL;
    size_t end = find_end(bytes, bytes.len);

    MUST(end <= bytes.len);
    MUST(find_end(bytes, 7) == end);
    if (end == 0)
        return bytes.len;
    struct str head = {bytes.ptr, end};
    int status = http_head_parse(&h, head, &why);
    MUST(status == 0 || (status >= 400 && status <= 505 && why));
    if (status != 0)
        return end;
    MUST(h.method.len > 0 && h.path.len > 0);
    MUST(inside(h.method, head) && inside(h.path, head) && inside(h.query, head) &&
         inside(h.fields, head));
    MUST(!(h.chunked && h.length > 0));
    check_names(&h);
    struct str rest = {bytes.ptr + end, bytes.len - end};
    if (h.chunked)
        return end + check_chunks(rest);
    return end + (h.length < rest.len ? (size_t)h.length : rest.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str bytes = {(const char *)data, size};

    for (unsigned i = 0; bytes.len > 0 && i < 16; i++) {
        size_t used = check_one(bytes);
        MUST(used <= bytes.len);
        bytes = (struct str){bytes.ptr + used, bytes.len - used};
    }
    return 0;
}
