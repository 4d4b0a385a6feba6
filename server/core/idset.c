#include "core/idset.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { ARRAY_MAX = 32, BITMAP_WORDS = 65536 / 64 };

static int find(const struct idset *s, uint16_t id)
{
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->array[i] == id)
            return (int)i;
    }
    return -1;
}

static uint64_t bit(uint16_t id)
{
    return 1ull << (id & 63);
}

bool idset_has(const struct idset *s, uint16_t id)
{
    if (s->bits)
        return (s->bits[id >> 6] & bit(id)) != 0;
    return find(s, id) >= 0;
}

static void to_bitmap(struct idset *s)
{
    s->bits = xcalloc(BITMAP_WORDS, sizeof *s->bits);
    for (uint32_t i = 0; i < s->count; i++)
        s->bits[s->array[i] >> 6] |= bit(s->array[i]);
    free(s->array);
    s->array = NULL;
    s->cap = 0;
}

bool idset_add(struct idset *s, uint16_t id)
{
    if (idset_has(s, id))
        return false;
    if (!s->bits && s->count == ARRAY_MAX)
        to_bitmap(s);
    if (s->bits) {
        s->bits[id >> 6] |= bit(id);
    } else {
        if (s->count == s->cap) {
            s->cap = s->cap ? s->cap * 2 : 4;
            s->array = xrealloc(s->array, s->cap * sizeof *s->array);
        }
        s->array[s->count] = id;
    }
    s->count++;
    return true;
}

bool idset_remove(struct idset *s, uint16_t id)
{
    if (s->bits) {
        if (!(s->bits[id >> 6] & bit(id)))
            return false;
        s->bits[id >> 6] &= ~bit(id);
        s->count--;
    } else {
        int i = find(s, id);
        if (i < 0)
            return false;
        s->array[i] = s->array[--s->count];
    }
    if (s->count == 0 && s->bits)
        idset_fini(s); /* a small array stays: the next message wants it */
    return true;
}

void idset_fini(struct idset *s)
{
    free(s->array);
    free(s->bits);
    *s = (struct idset){0};
}
