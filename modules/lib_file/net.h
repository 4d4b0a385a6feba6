/* IP addresses and networks, as text and as bits.  IPv4 stands mapped into IPv6 (::ffff:a.b.c.d),
 * so that one comparison does.  Any thread. */
#ifndef LIB_FILE_NET_H
#define LIB_FILE_NET_H

#include <skep/base.h>

struct net_address {
    unsigned char bytes[16];
};

struct net {
    struct net_address address;
    unsigned bits; /* of 128 */
};

/* "192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1"; false: it is none. */
bool net_address_parse(struct skep_str text, struct net_address *out);
bool net_address_is_ip4(const struct net_address *a);

/* An address, or one with /BITS behind it; false: it is none, or bits behind BITS are set. */
bool net_parse(struct skep_str text, struct net *out);
bool net_holds(const struct net *n, const struct net_address *a);

#endif
