#include "host/elf.h"

#include <elf.h>
#include <link.h>
#include <stdint.h>
#include <string.h>

struct image {
    const unsigned char *bytes;
    size_t size;
};

static const void *at(const struct image *i, uint64_t offset, uint64_t size)
{
    return offset <= i->size && size <= i->size - offset ? i->bytes + offset : NULL;
}

/* The index-th section, whole and in the file. */
static const ElfW(Shdr) * section(const struct image *i, const ElfW(Ehdr) * head, unsigned index)
{
    const ElfW(Shdr) * s;

    if (index >= head->e_shnum || head->e_shentsize != sizeof *s)
        return NULL;
    s = at(i, head->e_shoff + (uint64_t)index * sizeof *s, sizeof *s);
    return s && ((uintptr_t)s % _Alignof(ElfW(Shdr))) == 0 && at(i, s->sh_offset, s->sh_size)
               ? s
               : NULL;
}

static const char *name_at(const struct image *i, const ElfW(Shdr) * strings, uint64_t offset)
{
    const char *name;

    if (!strings || offset >= strings->sh_size)
        return NULL;
    name = (const char *)i->bytes + strings->sh_offset + offset;
    return memchr(name, '\0', strings->sh_size - offset) ? name : NULL;
}

static void symbols_undefined(const struct image *i, const ElfW(Ehdr) * head,
                              const ElfW(Shdr) * symbols, elf_name_fn *each, void *arg)
{
    const ElfW(Shdr) *strings = section(i, head, symbols->sh_link);

    for (uint64_t n = 0; n < symbols->sh_size / sizeof(ElfW(Sym)); n++) {
        ElfW(Sym) symbol;
        const char *name;
        memcpy(&symbol, i->bytes + symbols->sh_offset + n * sizeof symbol, sizeof symbol);
        name = name_at(i, strings, symbol.st_name);
        if (symbol.st_shndx == SHN_UNDEF && name && *name)
            each(name, arg);
    }
}

void elf_undefined(const void *bytes, size_t size, elf_name_fn *each, void *arg)
{
    const struct image i = {bytes, size};
    const ElfW(Ehdr) *head = at(&i, 0, sizeof *head);

    if (!head || memcmp(head->e_ident, ELFMAG, SELFMAG) != 0)
        return;
    for (unsigned n = 0; n < head->e_shnum; n++) {
        const ElfW(Shdr) *s = section(&i, head, n);
        if (s && s->sh_type == SHT_DYNSYM)
            symbols_undefined(&i, head, s, each, arg);
    }
}
