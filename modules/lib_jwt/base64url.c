#include "lib_jwt/base64url.h"

#include <stdlib.h>

static int value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

char *base64url_decode(struct skep_str text, size_t *len)
{
    uint32_t bits = 0;
    unsigned have = 0;
    size_t n = 0;
    char *out;

    if (text.len % 4 == 1 || !(out = malloc(text.len / 4 * 3 + 4)))
        return NULL;
    for (size_t i = 0; i < text.len; i++) {
        int value = value_of(text.ptr[i]);
        if (value < 0) {
            free(out);
            return NULL;
        }
        bits = bits << 6 | (uint32_t)value;
        have += 6;
        if (have >= 8) {
            have -= 8;
            out[n++] = (char)(bits >> have & 0xff);
        }
    }
    if (bits & ((1u << have) - 1)) { /* bits left over are zero, or two texts mean the same */
        free(out);
        return NULL;
    }
    out[n] = '\0';
    *len = n;
    return out;
}
