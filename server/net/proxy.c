#include "net/proxy.h"

#include <arpa/inet.h>

#include "base/err.h"

enum {
    V1_MAX = 107, /* "PROXY TCP6 ..." at its longest, CRLF included */
    V2_HEAD = 16,
    TLV_ALPN = 0x01,
    TLV_AUTHORITY = 0x02,
    TLV_CRC32C = 0x03,
    TLV_SSL = 0x20,
    TLV_SSL_VERSION = 0x21,
    TLV_SSL_CN = 0x22,
    TLV_SSL_CIPHER = 0x23,
    SSL_CLIENT_TLS = 0x01,
    SSL_CLIENT_CERTS = 0x02 | 0x04, /* on this connection, or in this session */
    SSL_HEAD = 5,
};

static const unsigned char v2_signature[12] = "\r\n\r\n\0\r\nQUIT\n";
static const char v1_signature[] = "PROXY ";

/* Version 1: one line of text. */

static struct str next_word(struct str *rest)
{
    const char *space = rest->len ? memchr(rest->ptr, ' ', rest->len) : NULL;
    struct str word = {rest->ptr, space ? (size_t)(space - rest->ptr) : rest->len};
    size_t skip = space ? word.len + 1 : word.len;
    rest->ptr += skip;
    rest->len -= skip;
    return word;
}

static bool parse_port(struct str word, in_port_t *port)
{
    uint32_t n = 0;
    if (word.len == 0 || word.len > 5 || (word.len > 1 && word.ptr[0] == '0'))
        return false;
    for (size_t i = 0; i < word.len; i++) {
        if (word.ptr[i] < '0' || word.ptr[i] > '9')
            return false;
        n = n * 10 + (uint32_t)(word.ptr[i] - '0');
    }
    *port = htons((uint16_t)n);
    return n <= 65535;
}

static bool parse_address(struct addr *out, int family, struct str host, struct str port)
{
    char text[INET6_ADDRSTRLEN];

    if (host.len == 0 || host.len >= sizeof text)
        return false;
    memcpy(text, host.ptr, host.len);
    text[host.len] = '\0';
    if (strlen(text) != host.len)
        return false;
    *out = (struct addr){.len = family == AF_INET ? sizeof out->v4 : sizeof out->v6};
    out->any.sa_family = (sa_family_t)family;
    if (family == AF_INET)
        return parse_port(port, &out->v4.sin_port) &&
               inet_pton(family, text, &out->v4.sin_addr) == 1;
    return parse_port(port, &out->v6.sin6_port) && inet_pton(family, text, &out->v6.sin6_addr) == 1;
}

static int parse_v1(struct proxy_header *out, struct str bytes)
{
    size_t look = bytes.len < V1_MAX ? bytes.len : V1_MAX;
    const char *end = memmem(bytes.ptr, look, "\r\n", 2);
    if (!end)
        return bytes.len < V1_MAX ? 0 : ERR_PROTOCOL;

    int total = (int)(end - bytes.ptr) + 2;
    struct str rest = {bytes.ptr + sizeof v1_signature - 1,
                       (size_t)total - 2 - (sizeof v1_signature - 1)};
    struct str family = next_word(&rest);
    if (str_eq(family, STR("UNKNOWN")))
        return total;
    bool v4 = str_eq(family, STR("TCP4"));
    if (!v4 && !str_eq(family, STR("TCP6")))
        return ERR_PROTOCOL;
    struct str source = next_word(&rest), destination = next_word(&rest);
    struct str source_port = next_word(&rest), destination_port = next_word(&rest);
    int af = v4 ? AF_INET : AF_INET6;
    if (rest.len > 0 || !parse_address(&out->source, af, source, source_port) ||
        !parse_address(&out->destination, af, destination, destination_port))
        return ERR_PROTOCOL;
    out->known = true;
    return total;
}

/* Version 2: binary, with type-length-values behind the addresses. */

static unsigned get16(const char *p)
{
    return (unsigned)(unsigned char)p[0] << 8 | (unsigned char)p[1];
}

struct tlv {
    unsigned type;
    struct str value;
};

/* Takes the next one off *rest; false at the end (rest empty) or if it is cut short. */
static bool next_tlv(struct str *rest, struct tlv *out)
{
    if (rest->len < 3)
        return false;
    size_t len = get16(rest->ptr + 1);
    if (rest->len < 3 + len)
        return false;
    *out = (struct tlv){(unsigned char)rest->ptr[0], {rest->ptr + 3, len}};
    rest->ptr += 3 + len;
    rest->len -= 3 + len;
    return true;
}

static int parse_ssl(struct proxy_header *out, struct str value)
{
    struct tlv tlv;

    if (value.len < SSL_HEAD)
        return ERR_PROTOCOL;
    unsigned client = (unsigned char)value.ptr[0];
    bool failed = memcmp(value.ptr + 1, "\0\0\0\0", 4) != 0;
    out->tls = client & SSL_CLIENT_TLS;
    out->cert_verified = (client & SSL_CLIENT_CERTS) && !failed;
    struct str rest = {value.ptr + SSL_HEAD, value.len - SSL_HEAD};
    while (next_tlv(&rest, &tlv)) {
        if (tlv.type == TLV_SSL_VERSION)
            out->tls_version = tlv.value;
        else if (tlv.type == TLV_SSL_CN)
            out->cert_cn = tlv.value;
        else if (tlv.type == TLV_SSL_CIPHER)
            out->tls_cipher = tlv.value;
    }
    return rest.len > 0 ? ERR_PROTOCOL : 0;
}

static uint32_t crc32c_step(uint32_t crc, unsigned char byte)
{
    crc ^= byte;
    for (int bit = 0; bit < 8; bit++)
        crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    return crc;
}

/* The checksum is over the header with the checksum itself as zeros. */
static bool checksum_fits(struct str header, struct str checksum)
{
    uint32_t crc = ~0u, told = 0;

    if (checksum.len != 4)
        return false;
    for (size_t i = 0; i < header.len; i++) {
        bool hole = header.ptr + i >= checksum.ptr && header.ptr + i < checksum.ptr + 4;
        crc = crc32c_step(crc, hole ? 0 : (unsigned char)header.ptr[i]);
    }
    for (int i = 0; i < 4; i++)
        told = told << 8 | (unsigned char)checksum.ptr[i];
    return ~crc == told;
}

static int parse_tlvs(struct proxy_header *out, struct str header, struct str rest)
{
    struct tlv tlv;

    while (next_tlv(&rest, &tlv)) {
        if (tlv.type == TLV_SSL && parse_ssl(out, tlv.value) < 0)
            return ERR_PROTOCOL;
        if (tlv.type == TLV_CRC32C && !checksum_fits(header, tlv.value))
            return ERR_PROTOCOL;
        if (tlv.type == TLV_AUTHORITY)
            out->server_name = tlv.value;
        if (tlv.type == TLV_ALPN)
            out->alpn = tlv.value;
    }
    return rest.len > 0 ? ERR_PROTOCOL : 0;
}

static void set_v4(struct addr *out, const char *host, const char *port)
{
    *out = (struct addr){.v4 = {.sin_family = AF_INET}, .len = sizeof out->v4};
    memcpy(&out->v4.sin_addr, host, 4);
    memcpy(&out->v4.sin_port, port, 2);
}

static void set_v6(struct addr *out, const char *host, const char *port)
{
    *out = (struct addr){.v6 = {.sin6_family = AF_INET6}, .len = sizeof out->v6};
    memcpy(&out->v6.sin6_addr, host, 16);
    memcpy(&out->v6.sin6_port, port, 2);
}

/* Reads the addresses; how many bytes they took, or negative. */
static int parse_addresses(struct proxy_header *out, unsigned family, struct str body)
{
    switch (family) {
    case 0x00: /* unspecified */
        return 0;
    case 0x11: /* TCP over IPv4 */
        if (body.len < 12)
            return ERR_PROTOCOL;
        set_v4(&out->source, body.ptr, body.ptr + 8);
        set_v4(&out->destination, body.ptr + 4, body.ptr + 10);
        out->known = true;
        return 12;
    case 0x21: /* TCP over IPv6 */
        if (body.len < 36)
            return ERR_PROTOCOL;
        set_v6(&out->source, body.ptr, body.ptr + 32);
        set_v6(&out->destination, body.ptr + 16, body.ptr + 34);
        out->known = true;
        return 36;
    case 0x31: /* Unix stream: paths on the balancer's machine, which mean nothing here */
        return body.len < 216 ? ERR_PROTOCOL : 216;
    default:
        return ERR_PROTOCOL;
    }
}

static int parse_v2(struct proxy_header *out, struct str bytes)
{
    if (bytes.len < V2_HEAD)
        return 0;
    unsigned version = (unsigned char)bytes.ptr[12] >> 4;
    unsigned command = (unsigned char)bytes.ptr[12] & 0x0f;
    unsigned family = (unsigned char)bytes.ptr[13];
    size_t len = get16(bytes.ptr + 14);
    if (version != 2 || command > 1 || V2_HEAD + len > PROXY_HEADER_MAX)
        return ERR_PROTOCOL;
    if (bytes.len < V2_HEAD + len)
        return 0;

    int total = (int)(V2_HEAD + len);
    struct str body = {bytes.ptr + V2_HEAD, len};
    if (command == 0) { /* LOCAL: the rest is to be skipped */
        out->local = true;
        return total;
    }
    int used = parse_addresses(out, family, body);
    if (used < 0)
        return used;
    struct str tlvs = {body.ptr + used, body.len - (size_t)used};
    int err = parse_tlvs(out, (struct str){bytes.ptr, (size_t)total}, tlvs);
    return err < 0 ? err : total;
}

/* Do the bytes there are agree with the signature? */
static bool may_be(struct str bytes, const void *signature, size_t len)
{
    return memcmp(bytes.ptr, signature, bytes.len < len ? bytes.len : len) == 0;
}

int proxy_parse(struct proxy_header *out, struct str bytes, enum listen_proxy allowed)
{
    size_t v1_len = sizeof v1_signature - 1, v2_len = sizeof v2_signature;

    *out = (struct proxy_header){0};
    if (bytes.len == 0)
        return 0;
    if (allowed != LISTEN_PROXY_V1 && may_be(bytes, v2_signature, v2_len))
        return parse_v2(out, bytes);
    if (allowed != LISTEN_PROXY_V2 && may_be(bytes, v1_signature, v1_len))
        return bytes.len < v1_len ? 0 : parse_v1(out, bytes);
    return ERR_PROTOCOL;
}
