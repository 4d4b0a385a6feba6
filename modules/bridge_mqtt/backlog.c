/* What arrives while the line is down, with `live_first`: it is moved from the first queue to the
 * second, under a topic that only that one subscribes to:
 *
 *     $MODULE/CONNECTION/SECRET/r/TOPIC      n in place of r: not retained
 *
 * The secret keeps clients from publishing there what they may not publish under its own topic.
 *
 * A message of QoS 2 is published `once`, under a number that follows from its place in the first
 * queue: it is in the second one once, however often that is tried. */
#include <stdlib.h>

#include "bridge.h"

struct moving {
    struct bridge *b;
    struct item *item; /* if it cannot be moved, it goes the usual way */
    uint16_t once;
};

void backlog_topic(const struct bridge *b, struct skep_str rest, struct buf *out)
{
    const char *const levels[] = {
        "$", skep_module_name(b->m), "/", b->conf->block.label, "/", b->secret, "/"};

    buf_clear(out);
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++)
        buf_put(out, levels[i], strlen(levels[i]));
    buf_put(out, rest.ptr, rest.len);
}

void backlog_restore(const struct bridge *b, struct skep_message *m)
{
    size_t len =
        strlen(skep_module_name(b->m)) + strlen(b->conf->block.label) + strlen(b->secret) + 4;

    if (m->topic.len < len + 2)
        return;
    m->retain = m->topic.ptr[len] == 'r';
    m->topic = skep_bytes(m->topic.ptr + len + 2, m->topic.len - len - 2);
}

static void keep_here(struct bridge *b, struct item *item)
{
    struct remote *r = bridge_remote(b, item->m.topic);

    if (!r) { /* it comes again from the queue, to the next instance */
        free(item);
        return;
    }
    engine_put(&r->engine, item, false);
    remote_flush_soon(r);
}

static void moved(void *arg, enum skep_reason reason)
{
    struct moving *mv = arg;
    struct bridge *b = mv->b;

    if (reason >= 0x80 || b->moved) {
        keep_here(b, mv->item);
    } else {
        /* In this order: should only the first of the two records survive, it is moved twice,
         * not lost. */
        if (mv->once && b->queues[QUEUE_BACKLOG].ready)
            skep_consumer_forget(b->queues[QUEUE_BACKLOG].consumer, mv->once, NULL, NULL);
        queue_ack(b->queues, mv->item->id);
        free(mv->item);
    }
    free(mv);
}

bool backlog_take(struct bridge *b, const struct skep_message *message, struct item *item)
{
    struct queue *q = &b->queues[QUEUE_BACKLOG];
    struct skep_message m = *message;
    struct buf topic = {0};

    if (!b->conf->live_first || !q->ready || item->m.qos == 0)
        return false;
    struct moving *mv = bridge_alloc(sizeof *mv);
    backlog_topic(b, m.retain ? SKEP_STR("r/") : SKEP_STR("n/"), &topic);
    buf_put(&topic, m.topic.ptr, m.topic.len);
    *mv = (struct moving){.b = b, .item = item};
    m.topic = skep_bytes(buf_data(&topic), buf_len(&topic));
    m.retain = false; /* or this broker would keep it */
    if (m.qos == 2)
        mv->once = m.once = (uint16_t)((item->id >> 1) % 65535 + 1);
    int err = skep_publish(b->m, &m, m.once ? q->consumer : NULL, moved, mv);
    buf_fini(&topic);
    if (err)
        free(mv);
    return err == 0;
}
