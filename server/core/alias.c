#include "core/alias.h"

#include <stdlib.h>

#include "base/hash.h"
#include "base/mem.h"

struct alias_slot {
    char *topic;
    uint16_t len;
    uint16_t credit; /* how often it may still be passed by */
};

enum { CREDIT_FIRST = 8, CREDIT_MAX = 64 };

struct alias_table {
    uint16_t size;
    struct alias_slot slots[];
};

struct alias_table *alias_table_new(uint16_t size)
{
    struct alias_table *t = xcalloc(1, sizeof *t + size * sizeof t->slots[0]);
    t->size = size;
    return t;
}

void alias_table_free(struct alias_table **t)
{
    if (!*t)
        return;
    for (unsigned i = 0; i < (*t)->size; i++)
        free((*t)->slots[i].topic);
    free(*t);
    *t = NULL;
}

uint16_t alias_assign(struct alias_table *t, struct str topic, bool *known)
{
    uint64_t h = hash_bytes(topic.ptr, topic.len);
    unsigned at = (unsigned)(h % t->size);
    struct alias_slot *slot = &t->slots[at];

    *known =
        slot->topic && slot->len == topic.len && memcmp(slot->topic, topic.ptr, topic.len) == 0;
    if (*known) {
        slot->credit += slot->credit < CREDIT_MAX;
    } else if (slot->topic && slot->credit > 0) {
        slot->credit--;
        return 0;
    } else {
        free(slot->topic);
        slot->topic = str_dup(topic);
        slot->len = (uint16_t)topic.len;
        slot->credit = CREDIT_FIRST;
    }
    return (uint16_t)(at + 1);
}
