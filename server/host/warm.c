/* Before new instances are asked: they fetch what they need. */
#include <stdlib.h>

#include "base/mem.h"
#include "host/crash.h"
#include "host/life_impl.h"

void skep_warm_done(struct skep_warm *warm, const char *error)
{
    CHECK(warm, WARM_MAGIC);
    if (atomic_load(&warm->done))
        return;
    warm->error = error ? str_dup(str_of(error)) : NULL;
    atomic_store(&warm->done, true);
    life_wake(warm->life);
}

void life_warm(struct life_set *set, uint64_t now_ms)
{
    set->warm_until_ms = now_ms + LIFE_WARM_MS;
    for (size_t i = 0; i < set->count; i++) {
        struct skep_module *m = set->modules[i];
        if (set->kept[i] || !m->d->warm)
            continue;
        m->warm = xcalloc(1, sizeof *m->warm);
        m->warm->magic = WARM_MAGIC;
        m->warm->life = set->host->life;
        struct blame mark = blame_begin(m, "warm");
        m->d->warm(m->self, m->warm);
        blame_end(mark);
    }
}

enum life_warmth life_warmed(struct life_set *set, uint64_t now_ms, struct complaints *complaints)
{
    enum life_warmth warmth = LIFE_WARM;

    for (size_t i = 0; i < set->count; i++) {
        struct skep_module *m = set->modules[i];
        if (set->kept[i] || !m->warm)
            continue;
        if (!atomic_load(&m->warm->done)) {
            warmth = LIFE_WARMING;
        } else if (m->warm->error) {
            complaint_error(complaints, m->pos, NULL, "module %s is not ready: %s", m->name,
                            m->warm->error);
            return LIFE_COLD;
        }
    }
    if (warmth == LIFE_WARM || now_ms < set->warm_until_ms)
        return warmth;
    for (size_t i = 0; i < set->count; i++) {
        struct skep_module *m = set->modules[i];
        if (!set->kept[i] && m->warm && !atomic_load(&m->warm->done))
            complaint_error(complaints, m->pos, NULL, "module %s was not ready within %d s",
                            m->name, LIFE_WARM_MS / 1000);
    }
    return LIFE_COLD;
}
