/* What goes out to a client, and how other threads reach it.
 *
 * Control packets of a turn collect in c->ctl and lead the write that ends the turn, in front
 * of what the session's queue has.  The link is core's way to the same socket. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "core/session.h"
#include "front/client.h"
#include "front/client_impl.h"

enum {
    CTL_FIRST = 512,
    CTL_HOLD = 64 * 1024, /* so much unsent control output, and the client is not read from */
};

/* -- The link: core's way out -- */

static struct client *client_of(struct link *link)
{
    return CONTAINER_OF(link, struct client, link);
}

static enum link_sent link_send(struct link *link, const struct out_vec *vec, unsigned count)
{
    switch (conn_send(client_of(link)->conn, vec, count)) {
    case CONN_SENT:
        return LINK_SENT;
    case CONN_BLOCKED:
        return LINK_BLOCKED;
    case CONN_FAILED:
    default:
        return LINK_FAILED;
    }
}

struct client_task {
    struct loop_task task;
    struct client *client;
    void (*fn)(struct client *c);
};

void client_free(struct client *c)
{
    c->magic = 0;
    if (c->extra) {
        free(c->extra->connect);
        free(c->extra->auth_method);
        free(c->extra->auth);
    }
    free(c->extra);
    free(c);
}

static void task_run(struct loop_task *task, struct loop *l)
{
    struct client_task *t = CONTAINER_OF(task, struct client_task, task);
    struct client *c = t->client;
    void (*fn)(struct client * c) = t->fn;

    free(t);
    CHECK(c, CLIENT_MAGIC);
    desk_worker(c->desk);
    fn(c);
    if (atomic_fetch_sub(&c->pending, 1) == 1 && c->gone)
        client_free(c);
}

void client_post(struct client *c, void (*fn)(struct client *c))
{
    struct client_task *t = xmalloc(sizeof *t);

    *t = (struct client_task){.task = {.run = task_run}, .client = c, .fn = fn};
    loop_post(c->desk->loop, &t->task);
}

static void kick_arrived(struct client *c)
{
    uint8_t reason = atomic_exchange(&c->kicked, 0);

    if (c->gone)
        return;
    if (reason == RC_TAKEN_OVER)
        COUNT(c->desk->w, takeovers);
    client_end(c, reason, NULL);
}

struct kick {
    struct loop_task task;
    struct client *client;
    char text[];
};

static void kick_with_text(struct loop_task *task, struct loop *l)
{
    struct kick *k = CONTAINER_OF(task, struct kick, task);
    struct client *c = k->client;

    CHECK(c, CLIENT_MAGIC);
    desk_worker(c->desk);
    if (!c->gone)
        client_end(c, atomic_load(&c->kicked), k->text);
    atomic_store(&c->kicked, 0);
    free(k);
    if (atomic_fetch_sub(&c->pending, 1) == 1 && c->gone)
        client_free(c);
}

static void link_kick_text(struct link *link, uint8_t reason, const char *text)
{
    struct client *c = client_of(link);
    size_t len = strlen(text);
    uint8_t none = 0;

    if (!atomic_compare_exchange_strong(&c->kicked, &none, reason))
        return;
    atomic_fetch_add(&c->pending, 1);
    struct kick *k = xmalloc(sizeof *k + len + 1);
    k->task = (struct loop_task){.run = kick_with_text};
    k->client = c;
    memcpy(k->text, text, len + 1);
    loop_post(c->desk->loop, &k->task);
}

/* Any worker, session lock held, so the client cannot be freed meanwhile. */
static void link_kick(struct link *link, uint8_t reason)
{
    struct client *c = client_of(link);
    uint8_t none = 0;

    if (!atomic_compare_exchange_strong(&c->kicked, &none, reason))
        return;
    atomic_fetch_add(&c->pending, 1);
    client_post(c, kick_arrived);
}

/* Any worker, session lock held. */
static struct skep_client *link_identify(struct link *link)
{
    return client_identity_new(client_of(link));
}

const struct link_ops client_link_ops = {
    .send = link_send,
    .kick = link_kick,
    .kick_text = link_kick_text,
    .identify = link_identify,
};

/* -- Output -- */

struct mqtt_out client_out(struct client *c, size_t need)
{
    uint32_t len = c->ctl ? c->ctl->len : 0, cap = c->ctl ? c->ctl->cap : 0;

    if (len + need > cap) {
        for (cap = cap ? cap : CTL_FIRST; cap < len + need;)
            cap *= 2;
        c->ctl = xrealloc(c->ctl, sizeof *c->ctl + cap);
        c->ctl->len = len;
        c->ctl->cap = cap;
    }
    return (struct mqtt_out){.ptr = c->ctl->bytes + len, .cap = need};
}

void client_out_done(struct client *c, const struct mqtt_out *out)
{
    ASSERT(mqtt_out_fits(out));
    c->ctl->len += (uint32_t)out->need;
    COUNT(c->desk->w, sent_control);
    if (!c->talking) {
        c->talking = true;
        client_list_add(&c->desk->talking, c);
    }
    if (c->ctl->len > CTL_HOLD)
        conn_pause(c->conn);
}

bool client_output_crowded(const struct client *c)
{
    return c->ctl && c->ctl->len > CTL_HOLD;
}

void client_ctl_drop(struct client *c)
{
    free(c->ctl);
    c->ctl = NULL;
}

/* What was not taken stays, and client_writable() comes back to it. */
static void ctl_taken(struct client *c, enum link_sent sent)
{
    if (sent == LINK_BUSY)
        return;
    bool held = client_output_crowded(c);
    client_ctl_drop(c);
    c->unacked = c->extra ? c->extra->park.all.pubacks : 0;
    if (held && sent != LINK_FAILED)
        client_read_on(c);
}

static struct str ctl_of(const struct client *c)
{
    return c->ctl ? (struct str){(const char *)c->ctl->bytes, c->ctl->len} : STR_NONE;
}

void client_flush(struct client *c)
{
    struct str ctl = ctl_of(c);

    if (conn_dying(c->conn)) {
        client_ctl_drop(c);
    } else if (c->state == CLIENT_LIVE) {
        ctl_taken(c, session_flush(desk_worker(c->desk), c->session, ctl));
    } else if (ctl.len > 0 && !c->link.blocked) {
        enum link_sent sent = link_send(&c->link, &(struct out_vec){ctl.ptr, ctl.len, NULL}, 1);
        if (sent == LINK_BLOCKED)
            c->link.blocked = true;
        else
            COUNT_N(c->desk->w, bytes_sent, ctl.len);
        ctl_taken(c, sent);
    }
}

void client_attach(struct client *c, struct session *s)
{
    c->session = s;
    c->state = CLIENT_LIVE;
    ctl_taken(c, session_attach(desk_worker(c->desk), s, &c->link, ctl_of(c)));
}

/* Still marked as blocked meanwhile, so that nobody's message gets ahead of what stands in
 * ctl: a CONNACK, a SUBACK before its retained messages. */
static bool residue_gone(struct client *c)
{
    struct lock *lock = c->session ? &c->session->lock : NULL;

    if (lock)
        lock_take(lock);
    bool gone = conn_flush(c->conn) == CONN_SENT;
    if (lock)
        lock_drop(lock);
    return gone;
}

void client_writable(struct conn *conn, void *owner)
{
    struct client *c = owner;

    CHECK(c, CLIENT_MAGIC);
    if (!residue_gone(c))
        return;
    if (c->state == CLIENT_LIVE) {
        ctl_taken(c, session_unblock(desk_worker(c->desk), c->session, ctl_of(c)));
        client_replay_wake(c);
    } else {
        c->link.blocked = false;
        client_flush(c);
    }
}

struct str client_reason_string(const struct client *c, uint8_t type, struct str text)
{
    bool allowed = c->problem_info || type == MQTT_CONNACK || type == MQTT_DISCONNECT;

    if (c->version != MQTT_50 || !allowed || !c->desk->w->limits->reason_strings)
        return STR_NONE;
    return text;
}
