/* Replay: a walk through the tree that can be left after any message and taken up again.
 *
 * The order of topics is that of the tree: level by level, children by hash and then by
 * bytes, a topic before those below it.  It depends on names alone, so the name of the last topic
 * done says where to go on, whatever has happened to the tree.  On the way down to that name the
 * walk is `bound`: it passes over what comes before; once past it, it is not.
 *
 * Within one call readers need no lock: pages do not change, and nothing that is reached is
 * freed before the thread's next quiescent state. */
#include <stdlib.h>

#include "base/mem.h"
#include "core/retained_tree.h"
#include "mqtt/topic.h"

/* A node whose children are being visited. */
struct frame {
    struct tree_node *node;
    struct links_walk walk;
    struct levels filter; /* from the level of the children on */
    struct levels bound;  /* likewise of the place to resume behind; at NULL: not bound */
    size_t offset;        /* where the children's level starts in a topic */
    bool once;            /* a plain level: the one child is looked up */
};

struct retained_cursor {
    struct str filter; /* in text */
    bool wild_start;   /* the filter begins with a wildcard: no topics with $ [MQTT-4.7.2-1] */
    bool done;
    /* All topics up to place are done, with those below it when place_below. */
    bool placed, place_below;
    char *place;
    size_t place_len, place_room;
    struct frame *frames;
    unsigned depth, room;
    char text[];
};

/* One call of retained_replay. */
struct turn {
    const struct retained *r;
    struct retained_cursor *c;
    uint64_t now_ms;
    bool all; /* expired and $ too */
    unsigned most, visited;
    uint64_t looked, look_most;
    bool (*visit)(void *arg, struct message *m);
    void *arg;
    /* What was done last; both NULL: nothing yet. */
    struct message *last;
    struct tree_node *last_below;
};

struct retained_cursor *retained_cursor_new(struct str filter)
{
    struct retained_cursor *c = xcalloc(1, sizeof *c + filter.len);

    memcpy(c->text, filter.ptr, filter.len);
    c->filter = (struct str){c->text, filter.len};
    c->wild_start = filter.len > 0 && (c->text[0] == '+' || c->text[0] == '#');
    return c;
}

void retained_cursor_free(struct retained_cursor **cursor)
{
    struct retained_cursor *c = *cursor;

    *cursor = NULL;
    if (!c)
        return;
    free(c->place);
    free(c->frames);
    free(c);
}

/* -- The place -- */

static char *place_reserve(struct retained_cursor *c, size_t len)
{
    if (c->place_room < len || !c->place) {
        c->place_room = len;
        c->place = xrealloc(c->place, len);
    }
    c->place_len = len;
    c->placed = true;
    return c->place;
}

static size_t node_path_len(const struct tree_node *n)
{
    size_t len = 0;
    for (; n->parent; n = n->parent)
        len += n->len + (n->parent->parent != NULL);
    return len;
}

/* Notes what was done last as the place to go on behind. */
static void place_note(struct turn *t)
{
    struct retained_cursor *c = t->c;

    if (t->last) {
        struct str topic = message_topic(t->last);
        memcpy(place_reserve(c, topic.len), topic.ptr, topic.len);
        c->place_below = false;
    } else if (t->last_below) {
        const struct tree_node *n = t->last_below;
        char *end = place_reserve(c, node_path_len(n));
        end += c->place_len;
        for (; n->parent; n = n->parent) {
            end -= n->len;
            memcpy(end, n->text, n->len);
            if (n->parent->parent)
                *--end = '/';
        }
        c->place_below = true;
    }
}

/* <0, 0, >0: level comes before, is, comes after the place's level. */
static int level_order(struct str level, struct str place)
{
    uint64_t a = level_hash(level), b = level_hash(place);
    if (a != b)
        return a < b ? -1 : 1;
    int order = memcmp(level.ptr, place.ptr, level.len < place.len ? level.len : place.len);
    return order ? order : (level.len > place.len) - (level.len < place.len);
}

/* Whether what is left of a topic comes behind what is left of the place. */
static bool behind_place(const struct retained_cursor *c, struct levels topic, struct levels place)
{
    struct str a, b;

    for (;;) {
        bool more = level_next(&topic, &a);
        if (!level_next(&place, &b))
            return more && !c->place_below;
        if (!more)
            return false;
        int order = level_order(a, b);
        if (order)
            return order > 0;
    }
}

/* -- Visiting -- */

static bool topic_wanted(const struct turn *t, struct message *m, bool everything)
{
    if (t->all)
        return true;
    if (message_expired(m, t->now_ms))
        return false;
    return everything || topic_matches(t->c->filter, message_topic(m));
}

/* False: stop here, the message is not done. */
static bool message_visit(struct turn *t, struct message *m, bool everything)
{
    if (topic_wanted(t, m, everything)) {
        if (t->visited == t->most || !t->visit(t->arg, m))
            return false;
        t->visited++;
    }
    t->last = m;
    t->last_below = NULL;
    return true;
}

static bool is_everything(struct levels filter)
{
    return filter.at && filter.end - filter.at == 1 && *filter.at == '#';
}

static struct frame *frame_push(struct retained_cursor *c)
{
    if (c->depth == c->room) {
        c->room = c->room ? c->room * 2 : 8;
        c->frames = xrealloc(c->frames, c->room * sizeof *c->frames);
    }
    return &c->frames[c->depth++];
}

/* Begins with a node: its own message, then (a frame) its children.  bound_here: the place
 * lies at or below this node.  False: stop, nothing was begun. */
static bool node_enter(struct turn *t, struct tree_node *n, size_t offset, struct levels filter,
                       bool bound_here, struct levels bound)
{
    struct message *own = own_message(n);
    bool everything = is_everything(filter);

    if (own && !bound_here && (!filter.at || everything) && !message_visit(t, own, everything))
        return false;
    if (!filter.at || (bound_here && !bound.at && t->c->place_below))
        return true;

    struct frame *f = frame_push(t->c);
    struct levels rest = filter;
    struct str level, place;
    *f = (struct frame){.node = n, .filter = filter, .bound = bound, .offset = offset};
    level_next(&rest, &level);
    if (!level_is(level, '+') && !everything) {
        f->once = true;
        return true;
    }
    struct levels peek = bound;
    f->walk = links_walk(n, offset, level_next(&peek, &place) ? level_hash(place) : 0);
    return true;
}

/* The next child of the top frame, 0: none. */
static uint64_t frame_next(struct frame *f)
{
    if (!f->once)
        return links_next(&f->walk, f->node, f->offset);
    if (f->walk.index++ > 0)
        return 0;
    struct levels filter = f->filter;
    struct str level;
    level_next(&filter, &level);
    _Atomic uint64_t *link = links_find(f->node, f->offset, level_hash(level), level);
    return link ? atomic_load_explicit(link, memory_order_acquire) : 0;
}

/* Visits or begins with one child of the top frame.  False: stop before it. */
static bool child_visit(struct turn *t, struct frame *f, uint64_t link)
{
    struct message *m = link_message(link);
    struct levels filter = f->filter, bound = {0};
    bool everything = is_everything(filter), bound_here = false;
    struct str level;

    if (f->bound.at || (f->offset == 0 && t->c->wild_start)) {
        struct str child = link_level(link, f->offset), place;
        if (f->offset == 0 && t->c->wild_start && !t->all && child.len > 0 && child.ptr[0] == '$')
            return true;
        if (f->bound.at) {
            bound = f->bound;
            level_next(&bound, &place);
            int order = level_order(child, place);
            if (order < 0)
                return true;
            bound_here = order == 0;
            if (order > 0)
                f->bound = bound = (struct levels){0};
        }
    }
    if (m) {
        if (bound_here) {
            struct str topic = message_topic(m);
            struct str child = link_level(link, f->offset);
            if (!behind_place(t->c, levels_from(topic, f->offset + child.len + 1), bound))
                return true;
        }
        return message_visit(t, m, everything);
    }
    if (!everything)
        level_next(&filter, &level);
    struct tree_node *n = link_node(link);
    return node_enter(t, n, f->offset + n->len + 1u, filter, bound_here, bound);
}

static bool turn_over(const struct turn *t)
{
    return t->looked >= t->look_most && (t->last || t->last_below);
}

/* Goes on until all is visited (false) or the turn is over (true). */
static bool turn_run(struct turn *t)
{
    struct retained_cursor *c = t->c;

    while (c->depth > 0) {
        if (turn_over(t))
            return true;
        struct frame *f = &c->frames[c->depth - 1];
        uint64_t link = frame_next(f);
        t->looked++;
        if (link) {
            if (!child_visit(t, f, link))
                return true;
            continue;
        }
        t->last = NULL;
        t->last_below = f->node;
        c->depth--;
    }
    return false;
}

static bool cursor_run(struct turn *t)
{
    struct retained_cursor *c = t->c;
    struct levels filter = levels_of(c->filter), bound = {0};

    if (c->done)
        return false;
    if (t->most == 0)
        return true;
    t->look_most = (uint64_t)t->most * 64;
    c->depth = 0;
    if (c->placed)
        bound = levels_of((struct str){c->place, c->place_len});
    bool more = !node_enter(t, t->r->root, 0, filter, c->placed, bound) || turn_run(t);
    if (more)
        place_note(t);
    c->done = !more;
    return more;
}

bool retained_replay(struct retained *r, struct retained_cursor *cursor, uint64_t now_ms,
                     unsigned most, bool (*visit)(void *arg, struct message *m), void *arg)
{
    struct turn t = {
        .r = r, .c = cursor, .now_ms = now_ms, .most = most, .visit = visit, .arg = arg};
    return cursor_run(&t);
}

bool retained_walk_all(struct retained *r, struct retained_cursor *cursor, unsigned most,
                       bool (*visit)(void *arg, struct message *m), void *arg)
{
    struct turn t = {.r = r, .c = cursor, .all = true, .most = most, .visit = visit, .arg = arg};
    return cursor_run(&t);
}
