/* bridge_mqtt: this broker's topics at another broker, and that one's here.
 *
 *     load bridge_mqtt {
 *         connection hq {
 *             address hq.example.com;
 *             tls { }
 *             topic out sensors/# qos 1 remote_prefix site7/;
 *         }
 *     }
 */
#include <stdlib.h>

#include "bridge.h"

static int load(struct skep_module *m, void *conf, void **self, struct skep_report *report)
{
    struct instance *s = bridge_alloc(sizeof *s);

    s->m = m;
    s->conf = conf;
    s->bridges = bridge_alloc(s->conf->connection.count * sizeof *s->bridges);
    for (; s->count < s->conf->connection.count; s->count++) {
        struct bridge *b = bridge_new(m, s->conf->connection.items[s->count], report);
        if (!b)
            goto fail;
        b->broker_id = s->broker_id;
        b->secret = s->secret;
        s->bridges[s->count] = b;
    }
    *self = s;
    return 0;
fail:
    while (s->count)
        bridge_free(s->bridges[--s->count]);
    free(s->bridges);
    free(s);
    return -1;
}

static struct bridge *named(const struct instance *s, const char *name)
{
    for (size_t i = 0; s && i < s->count; i++) {
        if (strcmp(s->bridges[i]->conf->block.label, name) == 0)
            return s->bridges[i];
    }
    return NULL;
}

static void start(void *self, void *previous)
{
    struct instance *s = self, *old = previous;

    notes_letters(s->m, "id", s->broker_id);
    notes_letters(s->m, "secret", s->secret);
    /* A connection that is not there any more takes its queue with it. */
    for (size_t i = 0; old && i < old->count; i++)
        old->bridges[i]->orphan = !named(s, old->bridges[i]->conf->block.label);
    for (size_t i = 0; i < s->count; i++) {
        struct bridge *b = s->bridges[i];
        b->previous = named(old, b->conf->block.label);
        skep_post(s->m, b->loop, bridge_start, b, NULL);
    }
}

static void stop(void *self)
{
    struct instance *s = self;

    for (size_t i = 0; i < s->count; i++)
        skep_post(s->m, s->bridges[i]->loop, bridge_stop, s->bridges[i], NULL);
}

static void unload(void *self)
{
    struct instance *s = self;

    for (size_t i = 0; i < s->count; i++)
        bridge_free(s->bridges[i]);
    free(s->bridges);
    free(s);
}

SKEP_MODULE = {
    SKEP_MODULE_HEAD("bridge_mqtt", "1.0", "connects topics with those of other MQTT brokers"),
    .flags = SKEP_KEEP,
    .conf_size = sizeof(struct conf),
    .options = bridge_options,
    .check = conf_check,
    .load = load,
    .start = start,
    .stop = stop,
    .unload = unload,
    .on_command = status_command,
};
