/* Base64 of RFC 4648, strict: no other characters, no stray bits.  Any thread. */
#ifndef LIB_USERS_BASE64_H
#define LIB_USERS_BASE64_H

#include <skep/base.h>

enum base64_form { BASE64_PADDED, BASE64_BARE /* without =, as in PHC strings */ };

/* How long n bytes become, the NUL not counted. */
#define BASE64_LEN(n) (((n) + 2) / 3 * 4)

/* Decodes into out; the number of bytes, or -1: not base64, or more than cap. */
int base64_decode(unsigned char *out, size_t cap, struct skep_str text, enum base64_form form);

/* out has room for BASE64_LEN(len) + 1; padded and terminated.  Returns its length. */
size_t base64_encode(char *out, const void *data, size_t len);

#endif
