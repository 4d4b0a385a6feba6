/* What is written down in the module's storage.
 *
 *     id                     this broker's own id
 *     secret                 part of the backlog's topics, so that nobody publishes there
 *     n/NAME/REMOTE/PACKETID id of the message that was released (PUBREC came) under that packet id
 *     b/NAME                 there is a second queue
 *     s/NAME/REMOTE          subscriptions that the remote broker keeps for us, a line each
 *
 * A note is not removed when its message is done, but overwritten by the next of that packet id:
 * ids of messages are never used twice, so that an old note fits none. */
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>

#include <skep/storage.h>

#include "bridge.h"

enum { KEY_SIZE = 128, SUBSCRIBED_MOST = 256 * 1024 };

void notes_letters(struct skep_module *m, const char *key, char out[16])
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz234567";
    unsigned char random[12];
    int64_t len = skep_storage_get(m, skep_str(key), out, 12);

    out[12] = '\0';
    if (len == 12)
        return;
    RAND_bytes(random, sizeof random);
    for (size_t i = 0; i < sizeof random; i++)
        out[i] = letters[random[i] % 32];
    skep_storage_set(m, skep_str(key), skep_bytes(out, 12), NULL, NULL);
}

static struct skep_str key_of(const struct remote *r, char kind, char key[KEY_SIZE], int packet_id)
{
    int len = snprintf(key, KEY_SIZE, "%c/%s/%u", kind, r->bridge->conf->block.label, r->index);

    if (packet_id)
        len += snprintf(key + len, KEY_SIZE - (size_t)len, "/%d", packet_id);
    return skep_bytes(key, (size_t)len);
}

/* -- Released messages -- */

bool notes_has(const struct remote *r, uint64_t id)
{
    char key[KEY_SIZE];
    uint64_t noted = 0;
    int64_t len = skep_storage_get(r->bridge->m, key_of(r, 'n', key, engine_packet_id(id)), &noted,
                                   sizeof noted);

    return len == sizeof noted && noted == id;
}

struct writing {
    struct remote *r;
    uint64_t id;
    void (*then)(struct engine *e, uint64_t id);
};

static void written(void *arg, int error)
{
    struct writing *w = arg;
    struct remote *r = w->r;

    if (r->timer && error)
        remote_fail(r, "the module's storage does not take a note"); /* and tries again */
    else if (r->timer)
        w->then(&r->engine, w->id);
    if (r->timer)
        remote_flush_soon(r);
    remote_unref(r);
    free(w);
}

/* value NULL: removes it. */
static void write_note(struct remote *r, const struct item *item, const uint64_t *value,
                       void (*then)(struct engine *e, uint64_t id))
{
    struct writing *w = bridge_alloc(sizeof *w);
    char key[KEY_SIZE];

    *w = (struct writing){r, item->id, then};
    r->refs++;
    int err = skep_storage_set(r->bridge->m, key_of(r, 'n', key, item->packet_id),
                               skep_bytes(value, value ? sizeof *value : 0), written, w);
    if (err == 0)
        return;
    free(w);
    r->refs--;
    r->engine.why = "the module's storage is busy"; /* the engine gives the connection up */
    r->engine.temporary = true;
}

void notes_note(void *remote, const struct item *item)
{
    write_note(remote, item, &item->id, engine_noted);
}

void notes_clear(void *remote, const struct item *item)
{
    write_note(remote, item, NULL, engine_cleared);
}

bool notes_backlog(struct bridge *b, bool opened)
{
    char key[KEY_SIZE], one;
    int len = snprintf(key, sizeof key, "b/%s", b->conf->block.label);
    struct skep_str name = skep_bytes(key, (size_t)len);
    bool known = skep_storage_get(b->m, name, &one, 1) == 1;

    if (opened && !known)
        skep_storage_set(b->m, name, SKEP_STR("1"), NULL, NULL);
    return known;
}

/* -- Subscriptions -- */

static char *wanted_text(const struct remote *r)
{
    const struct bridge *b = r->bridge;
    struct buf text = {0};
    size_t at = 0;

    for (size_t i = 0; i < b->routes.count; i++) {
        const struct route *route = &b->routes.items[i];
        if (!route->subscribed)
            continue;
        /* The session here keeps the QoS 2 ids of the first connection alone. */
        unsigned remote = route->qos == 2 ? 0 : (unsigned)(at++ % b->count);
        if (remote != r->index)
            continue;
        buf_u8(&text, '0' + route->qos);
        buf_put(&text, route->subscribed, strlen(route->subscribed));
        buf_put(&text, "\n", 1);
    }
    buf_put(&text, "", 1);
    return (char *)text.ptr;
}

static bool has_line(const char *text, const char *line, size_t len)
{
    for (const char *at = text; *at; at += strcspn(at, "\n") + 1) {
        if (strcspn(at, "\n") == len && memcmp(at, line, len) == 0)
            return true;
    }
    return false;
}

static bool has_filter(const char *text, const char *line, size_t len)
{
    for (const char *at = text; *at; at += strcspn(at, "\n") + 1) {
        if (strcspn(at, "\n") == len && memcmp(at + 1, line + 1, len - 1) == 0)
            return true;
    }
    return false;
}

static size_t lines_of(const char *text)
{
    size_t n = 0;

    for (const char *at = text; *at; at++)
        n += *at == '\n';
    return n;
}

static char *known_text(const struct remote *r)
{
    char key[KEY_SIZE];
    char *text = bridge_alloc(SUBSCRIBED_MOST + 1);
    int64_t len = skep_storage_get(r->bridge->m, key_of(r, 's', key, 0), text, SUBSCRIBED_MOST);

    text[len > 0 && len <= SUBSCRIBED_MOST ? len : 0] = '\0';
    return text;
}

static struct wire_filter filter_of(const struct remote *r, const char *line, size_t len)
{
    bool shared = strncmp(line + 1, "$share/", 7) == 0;

    return (struct wire_filter){.filter = skep_bytes(line + 1, len - 1),
                                .qos = (uint8_t)(*line - '0'),
                                .no_local = !shared, /* [MQTT-3.8.3-4] */
                                .keep_retain = true};
}

void notes_subscriptions(struct remote *r, bool session)
{
    struct engine *e = &r->engine;
    char *known = session ? known_text(r) : bridge_strdup(SKEP_STR(""));

    free(r->subscribed);
    r->subscribed = wanted_text(r);
    free(e->subs);
    free(e->unsubs);
    free(r->known);
    r->known = known; /* e->unsubs are views into it */
    e->subs = bridge_alloc(lines_of(r->subscribed) * sizeof *e->subs);
    e->unsubs = bridge_alloc(lines_of(known) * sizeof *e->unsubs);
    for (const char *at = r->subscribed; *at;) {
        size_t len = strcspn(at, "\n");
        if (!has_line(known, at, len))
            e->subs[e->sub_count++] = filter_of(r, at, len);
        at += len + 1;
    }
    for (const char *at = known; *at;) {
        size_t len = strcspn(at, "\n");
        if (len > 1 && !has_filter(r->subscribed, at, len))
            e->unsubs[e->unsub_count++] = skep_bytes(at + 1, len - 1);
        at += len + 1;
    }
}

void notes_subscribed(struct remote *r)
{
    char key[KEY_SIZE];

    if (r->engine.sub_count || r->engine.unsub_count)
        skep_storage_set(r->bridge->m, key_of(r, 's', key, 0), skep_str(r->subscribed), NULL, NULL);
}
