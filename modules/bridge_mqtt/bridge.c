#include "bridge.h"

#include <stdlib.h>

enum {
    HOLD_MOST = 64 * 1024 * 1024, /* bytes of messages on their way out; the queue has the rest */
    REOPEN_MS = 5000,
};

static void open_consumer(void *arg);

/* -- Life, on the main thread -- */

static unsigned hash(const void *data, size_t len)
{
    uint64_t h = 0xcbf29ce484222325; /* FNV-1a */

    for (size_t i = 0; i < len; i++)
        h = (h ^ ((const uint8_t *)data)[i]) * 0x100000001b3;
    return (unsigned)(h ^ h >> 32);
}

struct bridge *bridge_new(struct skep_module *m, const struct connection_conf *conf,
                          struct skep_report *report)
{
    struct bridge *b = bridge_alloc(sizeof *b);
    const char *name = conf->block.label;

    b->m = m;
    b->conf = conf;
    b->durable = !conf->clean_start;
    b->loop = hash(name, strlen(name)) % skep_loop_count(m);
    b->count = conf->connections;
    pthread_mutex_init(&b->view.lock, NULL);
    conf_digest(conf, b->digest);
    if (routes_read(&b->routes, &conf->topic, report) ||
        (conf_has_tls(conf) && !(b->tls = conf_tls(conf, report)))) {
        bridge_free(b);
        return NULL;
    }
    status_meters(b);
    return b;
}

void bridge_free(struct bridge *b)
{
    if (!b)
        return;
    routes_fini(&b->routes);
    SSL_CTX_free(b->tls);
    buf_fini(&b->topic);
    buf_fini(&b->path);
    free(b->late);
    pthread_mutex_destroy(&b->view.lock);
    free(b);
}

/* -- The state of things -- */

unsigned bridge_up(const struct bridge *b)
{
    unsigned up = 0;

    for (unsigned i = 0; i < b->count; i++)
        up += b->remotes[i] && b->remotes[i]->state == REMOTE_UP;
    return up;
}

uint64_t bridge_backlog(const struct bridge *b)
{
    return b->consumer && b->ready ? skep_consumer_queued(b->consumer) : 0;
}

static size_t held(const struct bridge *b)
{
    size_t bytes = 0;

    for (unsigned i = 0; i < b->count; i++)
        bytes += b->remotes[i]->engine.queue.bytes + b->remotes[i]->engine.flight.bytes;
    return bytes;
}

/* Messages are taken from the queue while they can go somewhere. */
static void set_flow(struct bridge *b)
{
    bool flowing = b->ready && !b->paused && bridge_up(b) > 0 &&
                   held(b) < (b->flowing ? HOLD_MOST : HOLD_MOST / 2);

    if (flowing == b->flowing)
        return;
    b->flowing = flowing;
    skep_consumer_pause(b->consumer, !flowing);
}

static void set_alarm(struct bridge *b, bool up)
{
    char name[80] = "down_", text[256];
    uint64_t now = skep_now_ms();

    memcpy(name + 5, b->conf->block.label, strlen(b->conf->block.label) + 1);
    if (up || b->paused) {
        b->down_since_ms = 0;
        if (b->alarmed)
            skep_alarm_clear(b->m, name);
        b->alarmed = false;
        return;
    }
    if (b->down_since_ms == 0)
        b->down_since_ms = now ? now : 1;
    if (b->alarmed || now - b->down_since_ms < b->conf->alarm_after)
        return;
    pthread_mutex_lock(&b->view.lock);
    snprintf(text, sizeof text, "bridge %s is down: %.180s", b->conf->block.label, b->view.error);
    pthread_mutex_unlock(&b->view.lock);
    b->alarmed = true;
    skep_alarm(b->m, name, text);
}

void bridge_changed(struct bridge *b)
{
    set_flow(b);
    set_alarm(b, bridge_up(b) == b->count);
    status_update(b, bridge_up(b) == b->count ? "" : NULL);
    status_publish(b);
}

void bridge_tick(struct bridge *b)
{
    set_flow(b);
    set_alarm(b, bridge_up(b) == b->count);
}

/* -- Messages out -- */

static void late_add(struct bridge *b, uint64_t id)
{
    if (b->late_count == b->late_cap) {
        b->late_cap = b->late_cap ? b->late_cap * 2 : 64;
        b->late = realloc(b->late, b->late_cap * sizeof *b->late);
        if (!b->late)
            abort();
    }
    b->late[b->late_count++] = id;
}

static bool late_take(struct bridge *b, uint64_t id)
{
    for (size_t i = 0; i < b->late_count; i++) {
        if (b->late[i] == id) {
            b->late[i] = b->late[--b->late_count];
            return true;
        }
    }
    return false;
}

void bridge_ack(struct bridge *b, uint64_t id)
{
    if (id == 0)
        return;
    if (!b->consumer || !b->ready) {
        late_add(b, id);
        return;
    }
    skep_consumer_ack(b->consumer, id);
    if (!b->flowing)
        set_flow(b);
}

static struct remote *remote_for(struct bridge *b, struct skep_str topic)
{
    return b->remotes[b->count == 1 ? 0 : hash(topic.ptr, topic.len) % b->count];
}

static struct item *make_item(struct bridge *b, const struct skep_message *message, uint64_t id,
                              const struct route *route)
{
    struct skep_user_property some[16], *users = some;
    struct skep_message m = *message;
    size_t count = m.user_property_count;
    struct item *item;

    if (m.qos > route->qos)
        m.qos = route->qos;
    m.retain = m.retain && b->conf->retain;
    if (count + 1 > sizeof some / sizeof some[0])
        users = bridge_alloc((count + 1) * sizeof *users);
    if (b->conf->version) /* MQTT 3.1.1 has none */
        count = 0;
    else if (b->conf->loop_guard)
        count =
            path_add(m.user_properties, count, PATH_OUT, skep_str(b->broker_id), users, &b->path);
    else if (count)
        memcpy(users, m.user_properties, count * sizeof *users);
    item = item_new(&m, skep_bytes(buf_data(&b->topic), buf_len(&b->topic)), users, count,
                    skep_now_ms());
    if (users != some)
        free(users);
    if (item)
        item->id = id;
    return item;
}

static void on_message(struct skep_consumer *c, const struct skep_message *message, uint64_t id,
                       void *arg)
{
    struct bridge *b = arg;

    if (b->moved)
        return; /* the next instance gets it */
    const struct route *route = route_out(&b->routes, message->topic, &b->topic);
    if (!route || (id && late_take(b, id))) {
        bridge_ack(b, id); /* a subscription of an earlier configuration; or done meanwhile */
        return;
    }
    if (b->conf->loop_guard && path_has(message->user_properties, message->user_property_count,
                                        PATH_OUT, skep_str(b->broker_id))) {
        skep_counter_add(b->meters.loops, 1); /* it has left us before */
        bridge_ack(b, id);
        return;
    }
    struct remote *r = remote_for(b, message->topic);
    if (id == 0 && r->state != REMOTE_UP) {
        skep_counter_add(b->meters.dropped_offline, 1);
        return;
    }
    if (id && message->duplicate && engine_has(&r->engine, id))
        return;
    struct item *item = make_item(b, message, id, route);
    if (!item) {
        skep_log(b->m, SKEP_LOG_ERROR, "%s: no memory for a message", b->conf->block.label);
        return; /* it is in the queue still, and comes again when that is opened again */
    }
    engine_put(&r->engine, item, item->m.qos == 2 && message->duplicate && notes_has(r, id));
    if (b->flowing && held(b) > HOLD_MOST)
        set_flow(b);
    remote_flush_soon(r);
}

/* -- The consumer -- */

struct existing {
    struct bridge *b;
    struct buf gone; /* filters that nobody wants any more, each terminated */
    bool have[1024]; /* by route */
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

    if (r && r->qos == qos && (size_t)(r - x->b->routes.items) < sizeof x->have) {
        x->have[r - x->b->routes.items] = true;
    } else if (!r) {
        buf_put(&x->gone, filter.ptr, filter.len);
        buf_put(&x->gone, "", 1);
    }
}

/* Only what changed: a subscription that is made anew brings the retained messages again. */
static void subscribe(struct bridge *b)
{
    enum { OPTIONS = SKEP_SUBSCRIBE_NO_LOCAL | SKEP_SUBSCRIBE_KEEP_RETAIN };
    struct existing *x = bridge_alloc(sizeof *x);

    x->b = b;
    skep_consumer_subscriptions(b->consumer, see_existing, x);
    for (size_t at = 0; at < buf_len(&x->gone);) {
        const char *filter = (const char *)buf_data(&x->gone) + at;
        skep_consumer_unsubscribe(b->consumer, skep_str(filter));
        at += strlen(filter) + 1;
    }
    for (size_t i = 0; i < b->routes.count; i++) {
        const struct route *r = &b->routes.items[i];
        if (!(r->way & ROUTE_OUT) || same_filter(b, skep_str(r->local_filter)) != r ||
            (i < sizeof x->have && x->have[i]))
            continue;
        int err = skep_consumer_subscribe(b->consumer, skep_str(r->local_filter), r->qos, OPTIONS);
        if (err)
            skep_log(b->m, SKEP_LOG_ERROR, "%s: %s cannot be subscribed to: %s",
                     b->conf->block.label, r->local_filter, skep_error_text(err));
    }
    buf_fini(&x->gone);
    free(x);
}

static void on_ready(struct skep_consumer *c, bool resumed, const char *error, void *arg)
{
    struct bridge *b = arg;

    if (b->moved)
        return;
    if (error) {
        skep_log(b->m, SKEP_LOG_ERROR, "%s: its queue cannot be opened: %s", b->conf->block.label,
                 error);
        status_update(b, error);
        skep_consumer_close(c, false);
        b->consumer = NULL;
        skep_timer_set(b->open_timer, REOPEN_MS);
        return;
    }
    b->ready = true;
    subscribe(b);
    for (unsigned i = 0; i < b->count; i++) {
        if (b->remotes[i]->state == REMOTE_UP) /* taken over */
            remote_input(b->remotes[i], NULL, 0);
        remote_start(b->remotes[i]);
    }
    bridge_changed(b);
}

static void open_consumer(void *arg)
{
    struct bridge *b = arg;
    struct skep_consumer_conf conf = {
        .size = sizeof conf,
        .loop = b->loop,
        .name = b->conf->block.label,
        .durable = b->durable,
        .paused = true,
        .window = b->conf->window,
        .expiry_s = b->conf->queue_expiry / 1000,
        .on_message = on_message,
        .on_ready = on_ready,
        .arg = b,
    };

    b->flowing = false;
    b->consumer = skep_consumer_open(b->m, &conf);
    if (!b->consumer)
        skep_timer_set(b->open_timer, REOPEN_MS);
}

/* -- Start and stop, on the bridge's loop -- */

static void take_over(struct bridge *b, struct bridge *old)
{
    bool same = memcmp(b->digest, old->digest, sizeof b->digest) == 0;

    old->moved = true;
    b->paused = old->paused;
    for (unsigned i = 0; i < old->count; i++) {
        if (same) {
            b->remotes[i] = old->remotes[i];
            remote_adopt(b->remotes[i], b);
        } else if (old->remotes[i]) {
            remote_stop(old->remotes[i]);
            remote_free(old->remotes[i]);
        }
        old->remotes[i] = NULL;
    }
    if (!same)
        return;
    b->alarmed = old->alarmed;
    b->down_since_ms = old->down_since_ms;
    b->late = old->late;
    b->late_count = old->late_count;
    b->late_cap = old->late_cap;
    old->late = NULL;
    old->late_count = old->late_cap = 0;
}

void bridge_start(void *bridge)
{
    struct bridge *b = bridge;

    if (b->previous)
        take_over(b, b->previous);
    b->previous = NULL;
    b->open_timer = skep_timer_new(b->m, open_consumer, b);
    for (unsigned i = 0; i < b->count; i++) {
        if (!b->remotes[i])
            b->remotes[i] = remote_new(b, i);
    }
    status_update(b, NULL);
    if (bridge_up(b) == 0)
        status_publish(b);
    open_consumer(b);
}

void bridge_stop(void *bridge)
{
    struct bridge *b = bridge;

    b->ready = false;
    for (unsigned i = 0; i < b->count; i++) {
        if (!b->remotes[i])
            continue;
        remote_stop(b->remotes[i]);
        remote_free(b->remotes[i]);
        b->remotes[i] = NULL;
    }
    if (!b->moved) {
        b->paused = true;
        set_alarm(b, false);
        status_publish(b);
    }
    if (b->consumer)
        skep_consumer_close(b->consumer, b->orphan);
    b->consumer = NULL;
    skep_timer_free(b->open_timer);
    b->open_timer = NULL;
    b->moved = true;
}
