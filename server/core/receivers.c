#include "core/receivers.h"

#include "core/broker.h"
#include "core/share.h"

struct visit {
    void (*each)(void *arg, struct session *s, unsigned options, struct str shared);
    void *arg;
    struct str shared;
};

static void visit_member(void *visit, struct session *s, unsigned options)
{
    struct visit *v = visit;
    v->each(v->arg, s, options, v->shared);
}

void receivers_each(struct worker *w, struct str topic,
                    void (*each)(void *arg, struct session *s, unsigned options, struct str shared),
                    void *arg)
{
    struct visit v = {.each = each, .arg = arg};
    struct sub_node *const *nodes;
    unsigned count = subs_match(w->broker->subs, w->cache, topic, &nodes);

    for (unsigned i = 0; i < count; i++) {
        struct sub_walk walk = sub_walk_begin(nodes[i]);
        for (uint64_t e; (e = sub_walk_next(&walk)) != 0;) {
            if (sub_entry_options(e) & SUB_GROUP) {
                v.shared = share_filter(sub_entry_target(e));
                share_each(sub_entry_target(e), visit_member, &v);
            } else {
                each(arg, sub_entry_target(e), sub_entry_options(e), STR_NONE);
            }
        }
    }
}
