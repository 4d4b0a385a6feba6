/* From `load` blocks and the listeners' `modules` to what the host is given. */
#include <string.h>

#include "base/mem.h"
#include "conf/near.h"
#include "conf/syntax.h"
#include "conf/value.h"
#include "main/settings.h"

static bool is_path_node(const struct syntax_node *n)
{
    return str_eq(n->words[0].text, STR("module_path"));
}

/* `load` needs the path while it is read, wherever in the file module_path stands: so this looks
 * for it first.  What is wrong with the directive itself is complained about later. */
void settings_module_path(struct settings *s, const struct syntax_node *nodes)
{
    const char **dirs;
    size_t count = 0, most = 1;
    bool overridden = false;

    for (const struct syntax_node *n = nodes; n; n = n->next)
        if (is_path_node(n)) {
            most += n->count;
            overridden |= n->overrides;
        }
    dirs = ARENA_ARRAY(&s->arena, const char *, most);
    for (const struct syntax_node *n = nodes; n; n = n->next)
        for (size_t i = 1; is_path_node(n) && n->overrides == overridden && i < n->count; i++)
            dirs[count++] = source_relative(&s->arena, n->words[i].pos.file, n->words[i].text);
    if (count == 0)
        dirs[count++] = load_default_path(&s->arena);
    s->opened.path = dirs;
    s->opened.path_count = count;
}

static const struct load_block *block_named(const struct settings *s, const char *name,
                                            struct arena *arena)
{
    for (size_t i = 0; i < s->loads.count; i++)
        if (strcmp(load_name(s->loads.items[i], arena), name) == 0)
            return s->loads.items[i];
    return NULL;
}

static bool is_none(const struct directive_list *modules)
{
    return modules->count == 1 && strcmp(modules->items[0], "none") == 0;
}

static void check_modules(struct settings *s, const struct settings_listener *l)
{
    for (size_t i = 0; i < l->modules.count && !is_none(&l->modules) && !s->opened.failed; i++) {
        struct str name = str_of(l->modules.items[i]);
        const char *hint = "load it first: load NAME { ... }";
        struct near near;
        if (block_named(s, name.ptr, &s->arena))
            continue;
        near_init(&near, name);
        for (size_t j = 0; j < s->loads.count; j++)
            near_offer(&near, str_of(load_name(s->loads.items[j], &s->arena)));
        if (near_best(&near).len)
            hint = arena_printf(&s->arena, "did you mean %.*s?", STR_ARG(near_best(&near)));
        complaint_error(&s->complaints, l->modules.pos[i], hint,
                        "listener %s: no module is loaded as %s", l->block.label,
                        value_quote(&s->arena, name));
    }
}

bool settings_authenticates(const struct settings *s, const struct settings_listener *l)
{
    struct arena scratch = {0};
    bool found = false;

    for (size_t i = 0; l->modules.count == 0 && i < s->loads.count && !found; i++)
        found = load_authenticates(s->loads.items[i]);
    for (size_t i = 0; i < l->modules.count && !found; i++) {
        const struct load_block *b = block_named(s, l->modules.items[i], &scratch);
        found = b && load_authenticates(b);
    }
    arena_fini(&scratch);
    return found;
}

static void retain(void *settings)
{
    ((struct settings *)settings)->refs++;
}

static void release(void *settings)
{
    struct settings *s = settings;
    settings_free(&s);
}

void settings_modules(struct settings *s)
{
    struct life_chain *chains = ARENA_ARRAY(&s->arena, struct life_chain, s->listeners.count);

    for (size_t i = 0; i < s->listeners.count; i++) {
        const struct settings_listener *l = s->listeners.items[i];
        check_modules(s, l);
        chains[i].listener = l->block.label;
        if (l->modules.count) {
            chains[i].modules = l->modules.items;
            chains[i].count = is_none(&l->modules) ? 0 : l->modules.count;
        }
    }
    s->life = (struct life_conf){
        .loads = &s->loads,
        .chains = chains,
        .chain_count = s->listeners.count,
        .acl = s->acl_default,
        .owner = s,
        .retain = retain,
        .release = release,
    };
    load_check(&s->loads, &s->complaints);
}
