/* The request for a WebSocket.  Input: the bytes of the request.  Its end is found at the
 * same place however they come, and each request has an answer. */
#include "fuzz.h"

#include <string.h>

#include "net/ws_head.h"

static size_t find_end(struct str bytes, size_t step)
{
    size_t from = 0, end = 0;
    for (size_t have = step; end == 0; have += step) {
        if (have > bytes.len)
            have = bytes.len;
        end = ws_head_end((struct str){bytes.ptr, have}, &from);
        if (have == bytes.len)
            break;
    }
    return end;
}

static bool inside(struct str view, struct str head)
{
    return view.len == 0 || (view.ptr >= head.ptr && view.ptr + view.len <= head.ptr + head.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const origins[] = {"https://one.test"};
    struct ws_rules rules = {.path = STR("/mqtt"), .origins = {origins, size % 2}};
    struct str bytes = {(const char *)data, size};
    struct ws_request request;
    char answer[WS_ANSWER_MAX];
    const char *why = NULL;

    if (size == 0)
        return 0;
    size_t end = find_end(bytes, size);
    MUST(end <= size);
    MUST(find_end(bytes, 1) == end && find_end(bytes, 7) == end);
    if (end == 0)
        return 0;
    struct str head = {bytes.ptr, end};
    int status = ws_head_parse(&request, head, &rules, &why);
    MUST(status == 101 || (status >= 400 && status <= 505 && why));
    MUST(inside(request.path, head) && inside(request.key, head) && inside(request.origin, head));
    size_t len = ws_head_answer(answer, status, why, &request);
    MUST(len > 0 && len < sizeof answer);
    if (status == 101) {
        MUST(request.protocol && request.host.len > 0 && request.key.len == 24);
        MUST(str_eq(request.path, rules.path));
        MUST(memcmp(answer + len - 4, "\r\n\r\n", 4) == 0);
    }
    return 0;
}
