/* WebSocket frames.  Input: one byte that says how the rest is cut, then wire bytes.
 * However the bytes are cut, payload, end and the pong that is due are the same. */
#include "fuzz.h"

#include <string.h>

#include "net/ws_frame.h"

struct result {
    struct ws_decoder decoder;
    uint8_t *payload;
    size_t len;
    int status;
};

static struct result run(const uint8_t *data, size_t size, size_t step)
{
    struct result r = {.payload = malloc(size + 1)};

    for (size_t at = 0; at < size && r.status == 0; at += step) {
        size_t part = size - at < step ? size - at : step, payload;
        uint8_t *piece = malloc(part);
        memcpy(piece, data + at, part);
        r.status = ws_decode(&r.decoder, piece, part, &payload);
        MUST(payload <= part);
        memcpy(r.payload + r.len, piece, payload);
        r.len += payload;
        free(piece);
    }
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    size_t step = data[0] ? data[0] : 1;
    struct result whole = run(data + 1, size - 1, size - 1);
    struct result cut = run(data + 1, size - 1, step);

    MUST(whole.status == cut.status);
    MUST(whole.len == cut.len && memcmp(whole.payload, cut.payload, cut.len) == 0);
    MUST(whole.decoder.left == cut.decoder.left);
    MUST(whole.decoder.in_message == cut.decoder.in_message);
    MUST(whole.decoder.pong_due == cut.decoder.pong_due);
    MUST(whole.decoder.pong_len == cut.decoder.pong_len);
    MUST(memcmp(whole.decoder.pong, cut.decoder.pong, cut.decoder.pong_len) == 0);
    MUST(whole.status <= 0 || whole.status == WS_CLOSE);
    MUST(whole.status != WS_CLOSE || whole.decoder.status >= 1000);
    free(whole.payload);
    free(cut.payload);
    return 0;
}
