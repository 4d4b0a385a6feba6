/* PROXY headers.  Input: wire bytes.  A header is asked more of until it is whole, and what
 * follows it changes nothing. */
#include "fuzz.h"

#include <string.h>

#include "net/proxy.h"

static bool inside(struct str view, struct str bytes)
{
    return view.len == 0 || (view.ptr >= bytes.ptr && view.ptr + view.len <= bytes.ptr + bytes.len);
}

static void check_header(struct str bytes, int total)
{
    struct proxy_header whole, h;
    char text[128];

    for (int len = 0; len < total; len++)
        MUST(proxy_parse(&h, (struct str){bytes.ptr, (size_t)len}, LISTEN_PROXY_ANY) == 0);
    struct str exact = {bytes.ptr, (size_t)total};
    MUST(proxy_parse(&whole, exact, LISTEN_PROXY_ANY) == total);
    MUST(inside(whole.cert_cn, exact) && inside(whole.server_name, exact));
    MUST(inside(whole.tls_version, exact) && inside(whole.tls_cipher, exact));
    if (whole.known) {
        addr_text(&whole.source.any, text, sizeof text);
        MUST(strcmp(text, "unknown") != 0);
        (void)addr_is_here(&whole.destination.any);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str bytes = {(const char *)data, size};
    struct proxy_header h;
    int any = proxy_parse(&h, bytes, LISTEN_PROXY_ANY);
    int v1 = proxy_parse(&h, bytes, LISTEN_PROXY_V1);
    int v2 = proxy_parse(&h, bytes, LISTEN_PROXY_V2);

    MUST(any <= (int)size && any <= PROXY_HEADER_MAX);
    if (any > 0) {
        MUST((v1 == any) != (v2 == any));
        check_header(bytes, any);
    } else {
        MUST(v1 <= 0 && v2 <= 0);
    }
    return 0;
}
