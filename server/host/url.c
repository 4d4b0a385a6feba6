/* <skep/http.h>: percent-encoding [RFC 3986]. */
#include <ctype.h>
#include <skep/http.h>

static bool unreserved(unsigned char c)
{
    return isalnum(c) || c == '-' || c == '.' || c == '_' || c == '~';
}

size_t skep_url_encode(struct skep_str text, char *out, size_t cap)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t len = 0, kept = 0;

    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        char code[3] = {'%', digits[c >> 4], digits[c & 15]};
        const char *from = unreserved(c) ? (const char *)&c : code;
        size_t n = unreserved(c) ? 1 : 3;
        if (kept == len && len + n < cap) { /* never half of a code */
            memcpy(out + len, from, n);
            kept += n;
        }
        len += n;
    }
    if (cap > 0)
        out[kept] = '\0';
    return len;
}
