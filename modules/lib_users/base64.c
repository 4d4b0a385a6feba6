#include "base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Takes the padding off; false when there is not what the form asks for. */
static bool unpad(struct skep_str *text, enum base64_form form)
{
    size_t pads = 0;

    if (form == BASE64_BARE)
        return text->len % 4 != 1;
    if (text->len % 4 != 0)
        return false;
    while (pads < 2 && text->len && text->ptr[text->len - 1] == '=') {
        text->len--;
        pads++;
    }
    return true;
}

int base64_decode(unsigned char *out, size_t cap, struct skep_str text, enum base64_form form)
{
    uint32_t bits = 0;
    unsigned count = 0;
    size_t n = 0;

    if (!unpad(&text, form))
        return -1;
    for (size_t i = 0; i < text.len; i++) {
        int v = value(text.ptr[i]);

        if (v < 0)
            return -1;
        bits = bits << 6 | (uint32_t)v;
        count += 6;
        if (count >= 8) {
            count -= 8;
            if (n == cap)
                return -1;
            out[n++] = (unsigned char)(bits >> count);
            bits &= (1u << count) - 1;
        }
    }
    return bits == 0 ? (int)n : -1; /* else two texts would mean the same bytes */
}

size_t base64_encode(char *out, const void *data, size_t len)
{
    const unsigned char *p = data;
    char *to = out;

    for (size_t i = 0; i < len; i += 3) {
        size_t left = len - i;
        uint32_t v = (uint32_t)p[i] << 16 | (left > 1 ? (uint32_t)p[i + 1] << 8 : 0) |
                     (left > 2 ? p[i + 2] : 0);

        *to++ = alphabet[v >> 18];
        *to++ = alphabet[v >> 12 & 63];
        *to++ = left > 1 ? alphabet[v >> 6 & 63] : '=';
        *to++ = left > 2 ? alphabet[v & 63] : '=';
    }
    *to = '\0';
    return (size_t)(to - out);
}
