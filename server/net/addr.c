#include "net/addr.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

static const char unix_prefix[] = "unix:";

static int parse_unix(struct addr *out, const char *path, char *err, size_t errlen)
{
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof out->local.sun_path) {
        snprintf(err, errlen, "a Unix socket path has 1 to %zu bytes, this one has %zu",
                 sizeof out->local.sun_path - 1, len);
        return ERR_SYNTAX;
    }
    out->local.sun_family = AF_UNIX;
    memcpy(out->local.sun_path, path, len + 1);
    out->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
    return 0;
}

static bool parse_port(const char *text, in_port_t *port)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || n > 65535)
        return false;
    *port = htons((uint16_t)n);
    return true;
}

static bool parse_host(struct addr *out, const char *host, bool bracketed)
{
    if (bracketed) {
        out->v6.sin6_family = AF_INET6;
        out->len = sizeof out->v6;
        return inet_pton(AF_INET6, host, &out->v6.sin6_addr) == 1;
    }
    out->v4.sin_family = AF_INET;
    out->len = sizeof out->v4;
    return inet_pton(AF_INET, host, &out->v4.sin_addr) == 1;
}

int addr_parse(struct addr *out, const char *text, char *err, size_t errlen)
{
    memset(out, 0, sizeof *out);
    if (strncmp(text, unix_prefix, sizeof unix_prefix - 1) == 0)
        return parse_unix(out, text + sizeof unix_prefix - 1, err, errlen);

    char host[INET6_ADDRSTRLEN + 1] = "";
    bool bracketed = text[0] == '[';
    const char *start = bracketed ? text + 1 : text;
    const char *end = bracketed ? strchr(text, ']') : strrchr(text, ':');
    in_port_t port = 0;
    if (end && (size_t)(end - start) < sizeof host)
        memcpy(host, start, (size_t)(end - start));
    const char *colon = end && bracketed ? end + 1 : end;
    if (!colon || *colon != ':' || !parse_port(colon + 1, &port) ||
        !parse_host(out, host, bracketed)) {
        snprintf(err, errlen,
                 "'%s' is not an address: write 127.0.0.1:1883, [::1]:1883 or unix:/path", text);
        return ERR_SYNTAX;
    }
    if (bracketed)
        out->v6.sin6_port = port;
    else
        out->v4.sin_port = port;
    return 0;
}

static bool is_mapped(const struct in6_addr *a)
{
    return IN6_IS_ADDR_V4MAPPED(a);
}

void addr_text(const struct sockaddr *sa, char *out, size_t outlen)
{
    char host[INET6_ADDRSTRLEN];

    if (sa->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const void *)sa;
        inet_ntop(AF_INET, &v4->sin_addr, host, sizeof host);
        snprintf(out, outlen, "%s:%u", host, ntohs(v4->sin_port));
    } else if (sa->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const void *)sa;
        bool mapped = is_mapped(&v6->sin6_addr);
        inet_ntop(mapped ? AF_INET : AF_INET6, v6->sin6_addr.s6_addr + (mapped ? 12 : 0), host,
                  sizeof host);
        snprintf(out, outlen, mapped ? "%s:%u" : "[%s]:%u", host, ntohs(v6->sin6_port));
    } else {
        snprintf(out, outlen, "%s", sa->sa_family == AF_UNIX ? "unix" : "unknown");
    }
}

/* The 16 bytes of an IPv6 address, IPv4 in its mapped form. */
static bool to_bytes(const struct sockaddr *sa, unsigned char out[16])
{
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};

    if (sa->sa_family == AF_INET) {
        memcpy(out, mapped, sizeof mapped);
        memcpy(out + 12, &((const struct sockaddr_in *)(const void *)sa)->sin_addr, 4);
        return true;
    }
    if (sa->sa_family == AF_INET6) {
        memcpy(out, &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr, 16);
        return true;
    }
    return false;
}

bool addr_is_here(const struct sockaddr *sa)
{
    static const struct cidr v4 = {.bytes = {[10] = 0xff, [11] = 0xff, [12] = 127}, .bits = 104};
    static const struct cidr v6 = {.bytes = {[15] = 1}, .bits = 128};

    return sa->sa_family == AF_UNIX || cidr_has(&v4, sa) || cidr_has(&v6, sa);
}

int cidr_parse(struct cidr *out, const char *text)
{
    char host[INET6_ADDRSTRLEN] = "";
    const char *slash = strchr(text, '/');
    size_t len = slash ? (size_t)(slash - text) : strlen(text);
    struct addr a = {0};
    bool v6 = memchr(text, ':', len) != NULL;
    unsigned most = v6 ? 128 : 32;

    if (len >= sizeof host)
        return ERR_SYNTAX;
    memcpy(host, text, len);
    if (!parse_host(&a, host, v6))
        return ERR_SYNTAX;
    unsigned long bits = most;
    if (slash) {
        char *end;
        bits = strtoul(slash + 1, &end, 10);
        if (slash[1] < '0' || slash[1] > '9' || *end != '\0' || bits > most)
            return ERR_SYNTAX;
    }
    to_bytes(&a.any, out->bytes);
    out->bits = (unsigned)bits + (v6 ? 0 : 96);
    return 0;
}

bool cidr_has(const struct cidr *block, const struct sockaddr *sa)
{
    unsigned char bytes[16];
    if (!to_bytes(sa, bytes))
        return false;
    unsigned whole = block->bits / 8, rest = block->bits % 8;
    if (memcmp(bytes, block->bytes, whole) != 0)
        return false;
    unsigned char mask = (unsigned char)(0xff00u >> rest);
    return rest == 0 || ((bytes[whole] ^ block->bytes[whole]) & mask) == 0;
}
