#include "queue.h"

#include <stdlib.h>

#include "bridge.h"

enum { REOPEN_MS = 5000, ROUTES_MOST = 1024 };

/* -- Subscriptions -- */

struct existing {
    const struct bridge *b;
    struct buf gone;        /* filters that nobody wants any more, each terminated */
    bool have[ROUTES_MOST]; /* by route */
};

static const struct route *same_filter(const struct bridge *b, struct skep_str filter)
{
    for (size_t i = 0; i < b->routes.count; i++) {
        const struct route *r = &b->routes.items[i];
        if ((r->way & ROUTE_OUT) && skep_str_eq(skep_str(r->local_filter), filter))
            return r;
    }
    return NULL;
}

static void see_existing(struct skep_str filter, unsigned qos, void *arg)
{
    struct existing *x = arg;
    const struct route *r = same_filter(x->b, filter);

    if (r && r->qos == qos && r - x->b->routes.items < ROUTES_MOST) {
        x->have[r - x->b->routes.items] = true;
    } else if (!r) {
        buf_put(&x->gone, filter.ptr, filter.len);
        buf_put(&x->gone, "", 1);
    }
}

static void subscribe_one(struct queue *q, const char *filter, unsigned qos, unsigned options)
{
    int err = skep_consumer_subscribe(q->consumer, skep_str(filter), qos, options);

    if (err)
        skep_log(q->bridge->m, SKEP_LOG_ERROR, "%s: %s cannot be subscribed to: %s",
                 q->bridge->conf->block.label, filter, skep_error_text(err));
}

/* Only what changed: a subscription that is made anew brings the retained messages again. */
static void subscribe_live(struct queue *q)
{
    enum { OPTIONS = SKEP_SUBSCRIBE_NO_LOCAL | SKEP_SUBSCRIBE_KEEP_RETAIN };
    const struct bridge *b = q->bridge;
    struct existing *x = bridge_alloc(sizeof *x);

    x->b = b;
    skep_consumer_subscriptions(q->consumer, see_existing, x);
    for (size_t at = 0; at < buf_len(&x->gone);) {
        const char *filter = (const char *)buf_data(&x->gone) + at;
        skep_consumer_unsubscribe(q->consumer, skep_str(filter));
        at += strlen(filter) + 1;
    }
    for (size_t i = 0; i < b->routes.count; i++) {
        const struct route *r = &b->routes.items[i];
        bool first = same_filter(b, skep_str(r->local_filter)) == r;
        if ((r->way & ROUTE_OUT) && first && !(i < ROUTES_MOST && x->have[i]))
            subscribe_one(q, r->local_filter, r->qos, OPTIONS);
    }
    buf_fini(&x->gone);
    free(x);
}

static void subscribe(struct queue *q)
{
    struct buf filter = {0};

    if (q->number == QUEUE_LIVE) {
        subscribe_live(q);
        return;
    }
    backlog_topic(q->bridge, SKEP_STR("#"), &filter);
    buf_put(&filter, "", 1);
    subscribe_one(q, (const char *)buf_data(&filter), 2,
                  SKEP_SUBSCRIBE_NO_RETAINED | SKEP_SUBSCRIBE_KEEP_RETAIN);
    buf_fini(&filter);
}

/* -- Opening and closing -- */

static void on_message(struct skep_consumer *c, const struct skep_message *message, uint64_t id,
                       void *arg)
{
    struct queue *q = arg;

    if (!q->bridge->moved) /* else the next instance gets it */
        bridge_message(q->bridge, q, message, id);
}

static void on_ready(struct skep_consumer *c, bool resumed, const char *error, void *arg)
{
    struct queue *q = arg;
    struct bridge *b = q->bridge;

    if (b->moved)
        return;
    if (error) {
        skep_log(b->m, SKEP_LOG_ERROR, "%s: its queue cannot be opened: %s", b->conf->block.label,
                 error);
        status_update(b, error);
        skep_consumer_close(c, false);
        q->consumer = NULL;
        q->ready = false;
        skep_timer_set(q->timer, REOPEN_MS);
        return;
    }
    q->ready = true;
    subscribe(q);
    bridge_queue_open(b);
}

static void open_now(void *arg)
{
    struct queue *q = arg;
    struct bridge *b = q->bridge;
    struct buf name = {0};

    buf_put(&name, b->conf->block.label, strlen(b->conf->block.label));
    if (q->number == QUEUE_BACKLOG)
        buf_put(&name, "/backlog", 8);
    buf_put(&name, "", 1);
    struct skep_consumer_conf conf = {
        .size = sizeof conf,
        .loop = b->loop,
        .name = (const char *)buf_data(&name),
        .durable = b->durable,
        .paused = true,
        .window = b->conf->window,
        .expiry_s = b->conf->queue_expiry / 1000,
        .on_message = on_message,
        .on_ready = on_ready,
        .arg = q,
    };
    q->flowing = false;
    q->consumer = skep_consumer_open(b->m, &conf);
    if (!q->consumer)
        skep_timer_set(q->timer, REOPEN_MS);
    buf_fini(&name);
}

void queue_open(struct queue *q, struct bridge *b, unsigned number)
{
    q->bridge = b;
    q->number = number;
    q->timer = skep_timer_new(b->m, open_now, q);
    open_now(q);
}

void queue_close(struct queue *q, bool forget)
{
    q->ready = false;
    if (q->consumer)
        skep_consumer_close(q->consumer, forget);
    q->consumer = NULL;
    skep_timer_free(q->timer);
    q->timer = NULL;
}

void queue_free(struct queue *q)
{
    free(q->late);
}

void queue_adopt(struct queue *q, struct queue *old)
{
    q->late = old->late;
    q->late_count = old->late_count;
    q->late_cap = old->late_cap;
    old->late = NULL;
    old->late_count = old->late_cap = 0;
}

/* -- Messages -- */

void queue_flow(struct queue *q, bool flow)
{
    if (!q->ready || q->flowing == flow)
        return;
    q->flowing = flow;
    skep_consumer_pause(q->consumer, !flow);
}

uint64_t queue_length(const struct queue *q)
{
    return q->ready ? skep_consumer_queued(q->consumer) : 0;
}

static void late_add(struct queue *q, uint64_t id)
{
    if (q->late_count == q->late_cap) {
        q->late_cap = q->late_cap ? q->late_cap * 2 : 64;
        q->late = realloc(q->late, q->late_cap * sizeof *q->late);
        if (!q->late)
            abort();
    }
    q->late[q->late_count++] = id;
}

bool queue_was_late(struct queue *q, uint64_t id)
{
    for (size_t i = 0; i < q->late_count; i++) {
        if (q->late[i] == id) {
            q->late[i] = q->late[--q->late_count];
            skep_consumer_ack(q->consumer, id);
            return true;
        }
    }
    return false;
}

void queue_ack(struct queue *queues, uint64_t item_id)
{
    struct queue *q = &queues[item_id & 1];

    if (item_id == 0)
        return;
    if (q->ready)
        skep_consumer_ack(q->consumer, item_id >> 1);
    else
        late_add(q, item_id >> 1);
}
