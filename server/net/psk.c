#include "net/psk.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

enum { IDENTITY_MAX = 256, KEY_MIN = 8, KEY_MAX = 256, LINE_MAX_BYTES = 1024 };

struct psk {
    struct str identity, key; /* one allocation, at identity.ptr */
};

struct psk_table {
    struct psk *items; /* sorted by identity */
    size_t count, cap;
};

static int compare(struct str a, struct str b)
{
    size_t shorter = a.len < b.len ? a.len : b.len;
    int order = memcmp(a.ptr, b.ptr, shorter);
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

static int compare_items(const void *a, const void *b)
{
    return compare(((const struct psk *)a)->identity, ((const struct psk *)b)->identity);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes hex into out (len / 2 bytes).  False if it is not hex. */
static bool hex_decode(struct str hex, char *out)
{
    if (hex.len % 2 != 0)
        return false;
    for (size_t i = 0; i < hex.len; i += 2) {
        int high = hex_digit(hex.ptr[i]), low = hex_digit(hex.ptr[i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i / 2] = (char)(high << 4 | low);
    }
    return true;
}

/* NULL when fine, else what is wrong. */
static const char *add_line(struct psk_table *t, struct str line)
{
    const char *colon = memrchr(line.ptr, ':', line.len);
    if (!colon)
        return "write identity:hexkey";
    struct str identity = {line.ptr, (size_t)(colon - line.ptr)};
    struct str hex = {colon + 1, line.len - identity.len - 1};
    if (identity.len == 0 || identity.len > IDENTITY_MAX)
        return "an identity has 1 to 256 bytes";
    if (hex.len < 2 * KEY_MIN || hex.len > 2 * KEY_MAX)
        return "a key has 16 to 512 hex digits";

    char *bytes = xmalloc(identity.len + hex.len / 2);
    memcpy(bytes, identity.ptr, identity.len);
    if (!hex_decode(hex, bytes + identity.len)) {
        OPENSSL_cleanse(bytes, identity.len + hex.len / 2);
        free(bytes);
        return "the key is not hexadecimal";
    }
    if (t->count == t->cap) {
        t->cap = t->cap ? 2 * t->cap : 16;
        t->items = xrealloc(t->items, t->cap * sizeof *t->items);
    }
    t->items[t->count++] = (struct psk){{bytes, identity.len}, {bytes + identity.len, hex.len / 2}};
    return NULL;
}

static int read_lines(struct psk_table *t, FILE *f, const char *path, char *err, size_t errlen)
{
    char line[LINE_MAX_BYTES];
    const char *wrong = NULL;
    unsigned number = 0;

    while (!wrong && fgets(line, sizeof line, f)) {
        size_t len = strlen(line);
        number++;
        if (len == sizeof line - 1 && line[len - 1] != '\n') {
            wrong = "the line is too long";
            break;
        }
        while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r'))
            len--;
        if (len > 0 && line[0] != '#')
            wrong = add_line(t, (struct str){line, len});
    }
    OPENSSL_cleanse(line, sizeof line);
    if (wrong) {
        snprintf(err, errlen, "psk_file '%s' line %u: %s", path, number, wrong);
        return ERR_SYNTAX;
    }
    if (ferror(f)) {
        snprintf(err, errlen, "psk_file '%s': %s", path, strerror(errno));
        return ERR_SYSTEM;
    }
    return 0;
}

static int check_unique(const struct psk_table *t, const char *path, char *err, size_t errlen)
{
    for (size_t i = 1; i < t->count; i++) {
        if (str_eq(t->items[i - 1].identity, t->items[i].identity)) {
            snprintf(err, errlen, "psk_file '%s': the identity '%.*s' is there twice", path,
                     STR_ARG(t->items[i].identity));
            return ERR_EXISTS;
        }
    }
    return 0;
}

int psk_table_new(struct psk_table **out, const char *path, char *err, size_t errlen)
{
    FILE *f = fopen(path, "re");
    if (!f) {
        snprintf(err, errlen, "psk_file '%s': %s", path, strerror(errno));
        return ERR_SYSTEM;
    }
    static const size_t buffer_size = 8192;
    char *buffer = xmalloc(buffer_size); /* ours, so that the keys in it can be wiped */
    setvbuf(f, buffer, _IOFBF, buffer_size);

    struct psk_table *t = xcalloc(1, sizeof *t);
    int result = read_lines(t, f, path, err, errlen);
    fclose(f);
    OPENSSL_cleanse(buffer, buffer_size);
    free(buffer);
    if (result == 0) {
        if (t->count > 0)
            qsort(t->items, t->count, sizeof *t->items, compare_items);
        result = check_unique(t, path, err, errlen);
    }
    if (result < 0) {
        psk_table_free(&t);
        return result;
    }
    *out = t;
    return 0;
}

void psk_table_free(struct psk_table **table)
{
    struct psk_table *t = *table;
    if (!t)
        return;
    *table = NULL;
    for (size_t i = 0; i < t->count; i++) {
        struct psk *p = &t->items[i];
        OPENSSL_cleanse((char *)p->key.ptr, p->key.len);
        free((char *)p->identity.ptr);
    }
    free(t->items);
    free(t);
}

size_t psk_table_count(const struct psk_table *table)
{
    return table->count;
}

struct str psk_find(const struct psk_table *table, struct str identity)
{
    if (table->count == 0)
        return STR_NONE;
    struct psk wanted = {.identity = identity};
    const struct psk *found =
        bsearch(&wanted, table->items, table->count, sizeof *table->items, compare_items);
    return found ? found->key : STR_NONE;
}
