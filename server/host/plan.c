/* What a reload would do with each module. */
#include "host/life_impl.h"

static struct life_step *step(struct arena *arena, struct life_step ***last, const char *name,
                              const char *what, bool changes)
{
    struct life_step *s = ARENA_NEW(arena, struct life_step);

    *s = (struct life_step){
        .name = arena_cstr(arena, str_of(name)), .what = what, .changes = changes};
    **last = s;
    *last = &s->next;
    return s;
}

static const char *what_happens(const struct skep_module *old, const struct load_block *b,
                                bool *changes)
{
    unsigned char digest[32];

    *changes = true;
    if (!old)
        return "loaded";
    if (old->object != bind_object_of(b))
        return "loaded anew: its file changed";
    life_digest(b, digest);
    if (memcmp(digest, old->digest, sizeof digest) != 0)
        return "loaded anew: its options, or files they name, changed";
    if (!(old->d->flags & SKEP_KEEP))
        return "loaded anew: it does that at each reload";
    *changes = false;
    return "kept";
}

struct life_step *life_plan(struct host *h, const struct life_conf *conf, struct arena *arena)
{
    const struct life_set *running = h->life->running;
    struct life_step *first = NULL, **last = &first;
    bool changes;

    for (size_t i = 0; i < conf->loads->count; i++) {
        const struct load_block *b = conf->loads->items[i];
        const char *name = load_name(b, arena);
        const char *what = what_happens(life_find(h, name), b, &changes);
        step(arena, &last, name, what, changes);
    }
    for (size_t i = 0; running && i < running->count; i++) {
        const char *name = running->modules[i]->name;
        size_t j = 0;
        while (j < conf->loads->count && strcmp(load_name(conf->loads->items[j], arena), name) != 0)
            j++;
        if (j == conf->loads->count)
            step(arena, &last, name, "unloaded", true);
    }
    return first;
}
