/* What a WebSocket server may send to skepctl.  Input: one byte that says how the rest is cut and
 * whether it begins with the answer to the upgrade, then wire bytes.  However the bytes are cut,
 * the payload and the end are the same, and what we send back is bounded by what came. */
#include "fuzz.h"

#include <string.h>

#include "ctl/websocket.h"

struct result {
    struct bytes payload, answer;
    int status; /* of the upgrade: 0 or less when it did not succeed; then of the frames */
};

static struct result run(const uint8_t *data, size_t size, size_t step, bool upgrade)
{
    struct result r = {.status = 0};
    struct bytes raw = {0};
    struct fault fault;
    bool open = !upgrade;

    for (size_t at = 0; at < size && r.status >= 0; at += step) {
        bytes_add(&raw, data + at, size - at < step ? size - at : step);
        if (!open) {
            r.status = websocket_answer(&raw, "dGhlIHNhbXBsZSBub25jZQ==", &fault);
            open = r.status > 0;
        }
        if (open)
            r.status = websocket_take(&raw, &r.payload, &r.answer, &fault);
    }
    bytes_fini(&raw);
    return r;
}

static void result_free(struct result *r)
{
    bytes_fini(&r->payload);
    bytes_fini(&r->answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > 20000) /* the head's limit depends on the cut beyond that */
        return 0;
    size_t step = (data[0] & 127) + 1;
    bool upgrade = data[0] & 128;
    struct result whole = run(data + 1, size - 1, size - 1, upgrade);
    struct result cut = run(data + 1, size - 1, step, upgrade);

    if (size < 16000)
        MUST((whole.status < 0) == (cut.status < 0));
    MUST(!upgrade || size >= 16000 || whole.payload.len == cut.payload.len);
    if (!upgrade) {
        MUST(whole.payload.len == cut.payload.len);
        MUST(whole.payload.len == 0 ||
             memcmp(whole.payload.ptr, cut.payload.ptr, cut.payload.len) == 0);
        MUST(whole.answer.len == cut.answer.len); /* the masks differ */
    }
    MUST(whole.payload.len <= size);
    MUST(whole.answer.len <= 8 * size);
    result_free(&whole);
    result_free(&cut);
    return 0;
}
