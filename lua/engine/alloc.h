/* Memory of a Lua state, charged to the script that runs.
 *
 * Each block says in eight bytes in front of it whose it is.  Above its limit a script gets no
 * more: Lua collects, tries again, and raises "not enough memory" in that script. */
#ifndef SKEP_LUA_ALLOC_H
#define SKEP_LUA_ALLOC_H

#include <stddef.h>
#include <stdint.h>

enum { ALLOC_ENGINE = 0 }; /* owner of what no script asked for; scripts count from 1 */

struct alloc {
    uint32_t owner; /* who is charged now */
    uint32_t owners;
    size_t limit;     /* of each script; the engine itself has none */
    size_t *used;     /* by owner */
    uint64_t refused; /* allocations */
};

void alloc_init(struct alloc *a, uint32_t scripts, size_t limit);
void alloc_fini(struct alloc *a);

/* For lua_newstate(); ud is the struct alloc. */
void *alloc_lua(void *ud, void *ptr, size_t old_size, size_t new_size);

size_t alloc_total(const struct alloc *a);

#endif
