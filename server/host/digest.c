/* What an instance must agree in to be kept over a reload: its options as they are printed, its
 * secrets, and what is in the files that its path options name. */
#include <openssl/evp.h>

#include "host/life_impl.h"

static void add_text(EVP_MD_CTX *md, struct str s)
{
    uint64_t len = s.len;

    EVP_DigestUpdate(md, &len, sizeof len); /* so that words cannot run together */
    EVP_DigestUpdate(md, s.ptr ? s.ptr : "", s.len);
}

static void add_file(EVP_MD_CTX *md, const char *path)
{
    unsigned char hash[32];

    object_hash_file(path, hash);
    EVP_DigestUpdate(md, hash, sizeof hash);
}

static void add_table(EVP_MD_CTX *md, const struct directive_table *table, const void *base,
                      struct arena *arena);

static void add_one(EVP_MD_CTX *md, const struct directive *d, const void *base,
                    struct arena *arena)
{
    const void *at = (const char *)base + d->offset;
    const struct directive_blocks *blocks = at;
    const struct directive_block *head = at;
    const char *path;

    add_text(md, str_of(d->name));
    switch (d->type) {
    case DIRECTIVE_BLOCK:
        if (head->table)
            add_table(md, d->body, at, arena);
        break;
    case DIRECTIVE_BLOCKS:
        for (size_t i = 0; i < blocks->count; i++) {
            head = blocks->items[i];
            add_text(md, str_of(head->label));
            add_table(md, head->table, head, arena);
        }
        break;
    case DIRECTIVE_SECRET:
        add_text(md, ((const struct directive_secret *)at)->value);
        break;
    case DIRECTIVE_PATH:
        memcpy(&path, at, sizeof path);
        if (path)
            add_file(md, path);
        break;
    default:
        break;
    }
    add_text(md, str_of(directive_print(d, base, arena)));
}

static void add_table(EVP_MD_CTX *md, const struct directive_table *table, const void *base,
                      struct arena *arena)
{
    for (size_t i = 0; i < table->count; i++)
        add_one(md, &table->items[i], base, arena);
}

void life_digest(const struct load_block *b, unsigned char out[32])
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    struct arena arena = {0};

    EVP_DigestInit_ex(md, EVP_sha256(), NULL);
    add_table(md, b->block.table, b, &arena);
    EVP_DigestFinal_ex(md, out, NULL);
    EVP_MD_CTX_free(md);
    arena_fini(&arena);
}
