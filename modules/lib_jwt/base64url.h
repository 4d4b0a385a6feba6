/* base64url without padding, read strictly [RFC 7515 2]: one text for each sequence of bytes. */
#ifndef LIB_JWT_BASE64URL_H
#define LIB_JWT_BASE64URL_H

#include <skep/base.h>

/* The bytes, malloc'ed and terminated behind *len; NULL: it is no base64url, or no memory. */
char *base64url_decode(struct skep_str text, size_t *len);

#endif
