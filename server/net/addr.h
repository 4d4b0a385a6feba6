/* Socket addresses as people write them: "192.0.2.1:1883", "[::1]:1883", "unix:/path",
 * and CIDR blocks "10.0.0.0/8", "2001:db8::/32", "::1". */
#ifndef SKEP_NET_ADDR_H
#define SKEP_NET_ADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

struct addr {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un local;
    };
    socklen_t len;
};

/* 0, or ERR_SYNTAX with a message in err. */
int addr_parse(struct addr *out, const char *text, char *err, size_t errlen);

/* "192.0.2.1:1883" and so on; an IPv4 peer of an IPv6 socket is written as IPv4.
 * "unknown" for what is none of the three. */
void addr_text(const struct sockaddr *sa, char *out, size_t outlen);

/* 127.0.0.0/8, ::1 (also as mapped IPv4) and Unix sockets. */
bool addr_is_here(const struct sockaddr *sa);

/* An address block; bits count from the left of the 16 bytes (IPv4 is kept mapped). */
struct cidr {
    unsigned char bytes[16];
    unsigned bits;
};

int cidr_parse(struct cidr *out, const char *text);
bool cidr_has(const struct cidr *block, const struct sockaddr *sa);

#endif
