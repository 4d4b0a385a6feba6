#include "net.h"

#include <arpa/inet.h>

enum { TEXT_MAX = INET6_ADDRSTRLEN };

static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};

bool net_address_is_ip4(const struct net_address *a)
{
    return memcmp(a->bytes, mapped, sizeof mapped) == 0;
}

bool net_address_parse(struct skep_str text, struct net_address *out)
{
    char copy[TEXT_MAX];

    if (text.len == 0 || text.len >= sizeof copy)
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    memcpy(out->bytes, mapped, sizeof mapped);
    return strlen(copy) == text.len && (inet_pton(AF_INET, copy, out->bytes + 12) == 1 ||
                                        inet_pton(AF_INET6, copy, out->bytes) == 1);
}

static bool bits_parse(struct skep_str text, unsigned max, unsigned *bits)
{
    *bits = 0;
    if (text.len == 0 || text.len > 3)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
        *bits = *bits * 10 + (unsigned)(text.ptr[i] - '0');
    }
    return *bits <= max;
}

bool net_holds(const struct net *n, const struct net_address *a)
{
    unsigned whole = n->bits / 8, rest = n->bits % 8;

    if (memcmp(n->address.bytes, a->bytes, whole) != 0)
        return false;
    return rest == 0 ||
           ((n->address.bytes[whole] ^ a->bytes[whole]) & (0xff00u >> rest & 0xff)) == 0;
}

/* Whether nothing is set behind the network's bits. */
static bool is_base(const struct net *n)
{
    for (unsigned i = n->bits; i < 128; i++) {
        if (n->address.bytes[i / 8] & (0x80u >> i % 8))
            return false;
    }
    return true;
}

bool net_parse(struct skep_str text, struct net *out)
{
    const char *slash = text.len ? memchr(text.ptr, '/', text.len) : NULL;
    struct skep_str address = text;
    unsigned bits;
    bool ip4;

    if (slash)
        address.len = (size_t)(slash - text.ptr);
    if (!net_address_parse(address, &out->address))
        return false;
    ip4 = !memchr(address.ptr, ':', address.len);
    bits = ip4 ? 32 : 128;
    if (slash && !bits_parse(skep_bytes(slash + 1, text.len - address.len - 1), bits, &bits))
        return false;
    out->bits = bits + (ip4 ? 96 : 0);
    return is_base(out);
}
