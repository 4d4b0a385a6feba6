/* What a shared object needs of others, read from its bytes, which may be anything. */
#ifndef SKEP_HOST_ELF_H
#define SKEP_HOST_ELF_H

#include <stddef.h>

typedef void elf_name_fn(const char *name, void *arg);

/* Calls each with the name of every undefined dynamic symbol.  bytes is aligned as a page is. */
void elf_undefined(const void *bytes, size_t size, elf_name_fn *each, void *arg);

#endif
