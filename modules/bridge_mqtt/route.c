#include "route.h"

#include <stdlib.h>

/* -- Reading -- */

struct words {
    const struct skep_list *list;
    struct skep_report *report;
    const char *pattern, *share;
};

static const struct skep_place *place(const struct words *w, size_t i)
{
    return w->list->places && i < w->list->count ? &w->list->places[i] : NULL;
}

static int read_way(const struct words *w, struct route *r)
{
    static const char *const names[] = {"", "out", "in", "both"};

    for (int i = ROUTE_OUT; i <= ROUTE_BOTH; i++) {
        if (strcmp(w->list->items[0], names[i]) == 0) {
            r->way = (enum route_way)i;
            return 0;
        }
    }
    skep_report(w->report, place(w, 0), "topic out sensors/# qos 1;",
                "a topic goes in, out or both, not '%s'", w->list->items[0]);
    return -1;
}

static int read_option(struct words *w, size_t i, struct route *r)
{
    const char *name = w->list->items[i], *value = w->list->items[i + 1];

    if (strcmp(name, "qos") == 0) {
        if (strlen(value) != 1 || *value < '0' || *value > '2') {
            skep_report(w->report, place(w, i + 1), NULL, "the QoS of a topic is 0, 1 or 2");
            return -1;
        }
        r->qos = (uint8_t)(*value - '0');
    } else if (strcmp(name, "local_prefix") == 0) {
        r->local_prefix = skep_str(value);
    } else if (strcmp(name, "remote_prefix") == 0) {
        r->remote_prefix = skep_str(value);
    } else if (strcmp(name, "share") == 0) {
        w->share = value;
    } else {
        skep_report(w->report, place(w, i), "qos, local_prefix, remote_prefix, share",
                    "a topic has no '%s'", name);
        return -1;
    }
    return 0;
}

static char *joined(struct skep_str a, const char *b)
{
    struct buf text = {0};

    buf_put(&text, a.ptr, a.len);
    buf_put(&text, b, strlen(b) + 1);
    return (char *)text.ptr;
}

static int check_filters(const struct words *w, const struct route *r)
{
    const char *const both[] = {r->local_filter, r->remote_filter};

    for (size_t i = 0; i < 2; i++) {
        if (!skep_topic_valid(skep_str(both[i]), false)) {
            skep_report(w->report, place(w, 1), NULL, "'%s' is not a topic filter", both[i]);
            return -1;
        }
    }
    if (!skep_topic_valid(r->local_prefix.len ? r->local_prefix : SKEP_STR("x"), true) ||
        !skep_topic_valid(r->remote_prefix.len ? r->remote_prefix : SKEP_STR("x"), true)) {
        skep_report(w->report, place(w, 1), NULL, "a prefix holds no wildcard");
        return -1;
    }
    if (strncmp(w->pattern, "$share/", 7) == 0) {
        skep_report(w->report, place(w, 1), "topic in jobs/# share GROUP;",
                    "a shared subscription is asked for with `share`");
        return -1;
    }
    if (w->share && (r->way != ROUTE_IN || !*w->share || strpbrk(w->share, "/+#"))) {
        skep_report(w->report, place(w, 1), NULL,
                    "a share has a name without / + #, and goes `in`");
        return -1;
    }
    return 0;
}

static int read_route(struct route *r, struct words *w)
{
    const struct skep_list *l = w->list;

    if (l->count < 2 || l->count % 2) {
        skep_report(w->report, place(w, 0), "topic out sensors/# qos 1;",
                    "a topic is written: in|out|both FILTER [qos N] [local_prefix P] "
                    "[remote_prefix P] [share GROUP]");
        return -1;
    }
    if (read_way(w, r))
        return -1;
    w->pattern = l->items[1];
    for (size_t i = 2; i < l->count; i += 2) {
        if (read_option(w, i, r))
            return -1;
    }
    r->local_filter = joined(r->local_prefix, w->pattern);
    r->remote_filter = joined(r->remote_prefix, w->pattern);
    if (r->way & ROUTE_IN) {
        struct buf share = {0};
        if (w->share) {
            buf_put(&share, "$share/", 7);
            buf_put(&share, w->share, strlen(w->share));
            buf_put(&share, "/", 1);
        }
        r->subscribed = joined(skep_bytes(share.ptr, buf_len(&share)), r->remote_filter);
        buf_fini(&share);
    }
    return check_filters(w, r);
}

int routes_read(struct routes *out, const struct skep_lines *lines, struct skep_report *report)
{
    *out = (struct routes){.items = bridge_alloc(lines->count * sizeof *out->items)};
    for (size_t i = 0; i < lines->count; i++) {
        struct words w = {.list = &lines->items[i], .report = report};

        out->count++;
        if (read_route(&out->items[i], &w)) {
            routes_fini(out);
            return -1;
        }
    }
    return 0;
}

void routes_fini(struct routes *r)
{
    for (size_t i = 0; i < r->count; i++) {
        free(r->items[i].local_filter);
        free(r->items[i].remote_filter);
        free(r->items[i].subscribed);
    }
    free(r->items);
    *r = (struct routes){0};
}

/* -- Mapping -- */

static bool renamed(struct skep_str topic, struct skep_str off, struct skep_str on, struct buf *out)
{
    size_t len = topic.len - off.len + on.len;

    buf_clear(out);
    if (len == 0 || len > UINT16_MAX)
        return false;
    buf_put(out, on.ptr, on.len);
    buf_put(out, topic.ptr + off.len, topic.len - off.len);
    return true;
}

const struct route *route_out(const struct routes *r, struct skep_str local, struct buf *topic)
{
    for (size_t i = 0; i < r->count; i++) {
        const struct route *route = &r->items[i];

        if ((route->way & ROUTE_OUT) && skep_topic_matches(skep_str(route->local_filter), local))
            return renamed(local, route->local_prefix, route->remote_prefix, topic) ? route : NULL;
    }
    return NULL;
}

const struct route *route_in(const struct routes *r, struct skep_str remote, struct buf *topic)
{
    for (size_t i = 0; i < r->count; i++) {
        const struct route *route = &r->items[i];

        if ((route->way & ROUTE_IN) && skep_topic_matches(skep_str(route->remote_filter), remote))
            return renamed(remote, route->remote_prefix, route->local_prefix, topic) ? route : NULL;
    }
    return NULL;
}
