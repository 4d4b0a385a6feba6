#include "host/consumer.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "core/broker.h"
#include "core/session.h"
#include "host/services.h"
#include "mqtt/packet.h"
#include "mqtt/reason.h"
#include "store/store.h"

enum { ARRIVALS_HOLD = 256 * 1024, WINDOW_USUAL = 100 };

static void consumer_gone(struct skep_consumer *c);
static void finish_close(struct skep_consumer *c);

void consumer_wake(struct skep_consumer *c)
{
    struct traffic *t = c->place->traffic;

    if (c->busy || c->closed)
        return;
    consumer_pin(c);
    c->busy = true;
    c->busy_next = t->busy;
    t->busy = c;
}

bool consumer_usable(const struct skep_consumer *c)
{
    return host_here == c->place && c->place->within == 0;
}

/* -- Its memory -- */

static void consumer_free(struct skep_consumer *c)
{
    CHECK(c, CONSUMER_MAGIC);
    c->magic = 0;
    arrivals_fini(&c->in);
    free(c->late);
    free(c->client_id);
    unpacking_fini(&c->unpacking);
    free(c);
}

/* Nothing is under way any more.  One that the host closed stays for a module that does not know
 * yet, until it was unloaded. */
static void consumer_over(struct skep_consumer *c)
{
    struct skep_module *m = c->module;

    if (c->forced) {
        lock_take(&m->consumers_lock);
        c->next = m->consumers_left;
        m->consumers_left = c;
        lock_drop(&m->consumers_lock);
    } else {
        consumer_free(c);
    }
    instance_release(m);
}

void traffic_forget(struct skep_module *m)
{
    while (m->consumers_left) {
        struct skep_consumer *c = m->consumers_left;
        m->consumers_left = c->next;
        consumer_free(c);
    }
}

void consumer_pin(struct skep_consumer *c)
{
    atomic_fetch_add(&c->pins, 1);
}

/* All pins end on the consumer's loop. */
void consumer_unpin(struct skep_consumer *c)
{
    if (atomic_fetch_sub(&c->pins, 1) == 1 && c->closed)
        consumer_over(c);
}

static void say_ready(struct skep_consumer *c, bool resumed, const char *error)
{
    if (c->close_asked || !c->conf.on_ready)
        return;
    struct blame before = blame_begin(c->module, "on_ready of a consumer");
    c->conf.on_ready(c, resumed, error, c->conf.arg);
    blame_end(before);
}

/* -- The link: core's way to the module -- */

static struct skep_consumer *consumer_of(struct link *link)
{
    return CONTAINER_OF(link, struct skep_consumer, link);
}

static enum link_sent link_send(struct link *link, const struct out_vec *vec, unsigned count)
{
    struct skep_consumer *c = consumer_of(link);

    arrivals_keep(&c->in, &c->session->out->q1, vec, count);
    consumer_wake(c);
    return arrivals_bytes(&c->in) > ARRIVALS_HOLD ? LINK_BLOCKED : LINK_SENT;
}

static void kick_arrived(struct loop_task *task, struct loop *l)
{
    struct skep_consumer *c = CONTAINER_OF(task, struct skep_consumer, kick_task);

    place_worker(c->place);
    if (c->state == CONSUMER_LIVE) {
        COUNT(c->place->worker, takeovers);
        consumer_gone(c);
        say_ready(c, false, "a newer consumer has its name");
    }
    consumer_unpin(c);
}

/* Any worker, session lock held.  There is no connection to end for any other reason. */
static void link_kick(struct link *link, uint8_t reason)
{
    struct skep_consumer *c = consumer_of(link);

    if (reason != RC_TAKEN_OVER || atomic_exchange(&c->kick_posted, true))
        return;
    consumer_pin(c);
    loop_post(c->place->loop, &c->kick_task);
}

static const struct link_ops consumer_link_ops = {.send = link_send, .kick = link_kick};

/* -- Getting the session -- */

static void refuse(struct skep_consumer *c, const char *why)
{
    c->state = CONSUMER_GONE;
    say_ready(c, false, why);
}

static void go_live(struct skep_consumer *c)
{
    struct worker *w = c->place->worker;

    c->state = CONSUMER_LIVE;
    c->link.blocked = c->paused;
    session_attach(w, c->session, &c->link, STR_NONE);
    sessions_attached(w, c->session);
    say_ready(c, c->claim.present, NULL);
}

static void settled(void *arg, enum skep_reason reason)
{
    struct skep_consumer *c = arg;

    if (c->state == CONSUMER_SETTLING && reason == SKEP_RC_SUCCESS && !c->close_asked)
        go_live(c);
    consumer_unpin(c);
}

static void welcome(struct skep_consumer *c)
{
    struct worker *w = c->place->worker;
    struct session *s = c->session = c->claim.session;
    struct outgoing *question = outgoing_new(c->module, c->place, 0);

    ASSERT(question != NULL);
    s->version = MQTT_50;
    s->expiry = !c->conf.durable ? 0 : c->conf.expiry_s ? c->conf.expiry_s : EXPIRY_NEVER;
    bool waits = sessions_record(w, &c->claim, s) > 0;
    c->state = CONSUMER_SETTLING;
    consumer_pin(c);
    question->origin = c->place;
    question->done = settled;
    question->arg = c;
    outgoing_settle(c->place->traffic, question, waits);
}

static void decided(struct skep_consumer *c, enum claim_result result)
{
    c->claiming = false;
    if (c->state != CONSUMER_CLAIMING) { /* too late: back to the table */
        if (result == CLAIM_GRANTED)
            sessions_release(c->place->worker, c->claim.session);
    } else if (result == CLAIM_GRANTED) {
        welcome(c);
    } else if (result == CLAIM_LIMIT) {
        refuse(c, "too many sessions");
    } else {
        refuse(c, "a newer consumer has its name");
    }
}

static void ready_arrived(struct loop_task *task, struct loop *l)
{
    struct skep_consumer *c = CONTAINER_OF(task, struct skep_consumer, ready_task);

    place_worker(c->place);
    decided(c, c->claim_result);
    consumer_unpin(c);
}

/* On the worker that let go of the session; pinned since the claim was made. */
static void claim_ready(struct claim *claim, enum claim_result result)
{
    struct skep_consumer *c = CONTAINER_OF(claim, struct skep_consumer, claim);

    c->claim_result = result;
    loop_post(c->place->loop, &c->ready_task);
}

static void begin(struct skep_consumer *c)
{
    struct worker *w = place_worker(c->place);

    if (c->conf.durable && journal_refusing(w)) {
        refuse(c, "the disk takes no sessions at the moment");
        return;
    }
    c->claim = (struct claim){.client_id = str_of(c->client_id),
                              .clean_start = !c->conf.durable,
                              .realm = REALM_MODULE,
                              .ready = claim_ready};
    consumer_pin(c);
    c->claiming = true;
    enum claim_result result = sessions_claim(w, &c->claim);
    if (result == CLAIM_WAITING)
        return;
    decided(c, result);
    consumer_unpin(c);
}

static void list(struct traffic *t, struct skep_consumer *c)
{
    c->next = t->consumers;
    c->link_to = &t->consumers;
    if (c->next)
        c->next->link_to = &c->next;
    t->consumers = c;
}

static void begin_arrived(struct loop_task *task, struct loop *l)
{
    struct skep_consumer *c = CONTAINER_OF(task, struct skep_consumer, begin_task);
    struct traffic *t = c->place->traffic;

    if (!c->close_asked) {
        list(t, c);
        if (t->ended || atomic_load(&c->module->stopped)) {
            c->forced = c->close_asked = true; /* perhaps no turn follows any more */
            finish_close(c);
        } else {
            begin(c);
        }
    }
    consumer_unpin(c);
}

/* -- Letting go -- */

/* What has arrived and was not handed out goes back to the queue, or (QoS 0) is lost. */
static void consumer_gone(struct skep_consumer *c)
{
    struct worker *w = c->place->worker;

    if (c->state == CONSUMER_CLAIMING && c->claiming && sessions_cancel(w, &c->claim)) {
        c->claiming = false;
        atomic_fetch_sub(&c->pins, 1); /* of the claim; our caller has one, too */
    }
    if (c->state == CONSUMER_LIVE)
        session_detach(w, c->session);
    if (c->state == CONSUMER_LIVE || c->state == CONSUMER_SETTLING) {
        if (c->forget)
            c->session->expiry = 0;
        sessions_release(w, c->session);
    }
    c->session = NULL;
    c->state = CONSUMER_GONE;
    arrivals_drop(&c->in);
    c->late_count = 0;
    replays_fini(&c->replays);
}

void consumer_close(struct skep_consumer *c, bool forget)
{
    c->close_asked = true;
    c->forget = forget;
    consumer_wake(c);
}

static void finish_close(struct skep_consumer *c)
{
    consumer_gone(c);
    if (c->link_to)
        *c->link_to = c->next;
    if (c->link_to && c->next)
        c->next->link_to = c->link_to;
    c->closed = true;
}

static void force_close(struct skep_consumer *c)
{
    if (c->close_asked)
        return;
    c->forced = true;
    consumer_close(c, false);
}

/* -- The turn's end -- */

static void hand_out(struct skep_consumer *c, const struct mqtt_frame *frame, uint64_t counter)
{
    struct mqtt_publish p;
    struct skep_message m = {.size = sizeof m};

    int err = mqtt_decode_publish(frame, MQTT_50, true, &p);
    ASSERT(err == 0);
    m.topic = str_out(p.topic);
    m.payload = str_out(p.payload);
    m.qos = p.qos;
    m.retain = p.retain;
    m.duplicate = p.dup;
    m.expiry_s = p.expiry == UINT32_MAX ? 0 : p.expiry;
    message_props_read(&m, p.props, &c->unpacking);
    struct blame before = blame_begin(c->module, "on_message of a consumer");
    c->conf.on_message(c, &m, p.qos ? counter + 1 : 0, c->conf.arg);
    blame_end(before);
}

/* The next packet; it stays where it is while the module looks at it. */
static void hand_next(struct skep_consumer *c)
{
    struct mqtt_frame frame;
    uint64_t counter;

    arrivals_next(&c->in, &frame, &counter);
    if (frame.type == MQTT_PUBLISH)
        hand_out(c, &frame, counter);
    else /* PUBREL: it had been acknowledged before the restart */
        session_took(c->place->worker, c->session, counter);
}

static void take_late(struct skep_consumer *c)
{
    for (uint32_t i = 0; i < c->late_count; i++)
        session_took(c->place->worker, c->session, c->late[i]);
    c->late_count = 0;
}

static void block(struct skep_consumer *c)
{
    lock_take(&c->session->lock);
    c->link.blocked = true;
    lock_drop(&c->session->lock);
}

static void go_on(struct skep_consumer *c)
{
    struct worker *w = c->place->worker;

    take_late(c);
    while (c->state == CONSUMER_LIVE && !c->paused && !c->close_asked && !arrivals_empty(&c->in))
        hand_next(c);
    if (c->state != CONSUMER_LIVE || c->close_asked)
        return;
    if (c->paused)
        block(c);
    arrivals_trim(&c->in);
    if (!c->paused && c->link.blocked && arrivals_empty(&c->in))
        session_unblock(w, c->session, STR_NONE);
    if (c->replays.first && replays_slice(w, &c->replays, c->session))
        consumer_wake(c);
}

bool consumers_run(struct traffic *t)
{
    struct skep_consumer *list = t->busy, *c;
    bool any = list != NULL;

    t->busy = NULL;
    while ((c = list) != NULL) {
        list = c->busy_next;
        c->busy = false;
        if (c->state == CONSUMER_LIVE && !c->close_asked)
            go_on(c);
        if (c->close_asked && !c->closed)
            finish_close(c);
        consumer_unpin(c);
    }
    return any;
}

void consumers_close_all(struct traffic *t, const struct skep_module *m)
{
    for (struct skep_consumer *c = t->consumers; c; c = c->next) {
        if (c->module == m)
            force_close(c);
    }
}

void consumers_end(struct traffic *t)
{
    for (struct skep_consumer *c = t->consumers; c; c = c->next)
        force_close(c);
    consumers_run(t);
}

/* -- Opening -- */

static char *make_client_id(const char *module, const char *name)
{
    size_t len = strlen(module) + strlen(name) + 3;
    char *id = xmalloc(len);

    snprintf(id, len, "$%s/%s", module, name);
    return id;
}

struct skep_consumer *consumer_new(struct skep_module *m, const struct skep_consumer_conf *conf,
                                   struct host_place *place)
{
    struct skep_consumer *c = xcalloc(1, sizeof *c);

    c->magic = CONSUMER_MAGIC;
    c->module = m;
    c->place = place;
    c->conf = *conf;
    c->conf.name = NULL; /* the caller's */
    c->client_id = make_client_id(m->name, conf->name);
    c->paused = conf->paused;
    c->link = (struct link){.ops = &consumer_link_ops,
                            .maximum_packet = UINT32_MAX,
                            .quota = conf->window ? conf->window : WINDOW_USUAL,
                            .version = MQTT_50,
                            .worker = (uint8_t)place->index};
    c->begin_task.run = begin_arrived;
    c->ready_task.run = ready_arrived;
    c->kick_task.run = kick_arrived;
    instance_hold(m);
    atomic_init(&c->pins, 1);
    loop_post(place->loop, &c->begin_task);
    return c;
}
