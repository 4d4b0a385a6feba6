/* Real threads in the core: workers publish to each other's sessions while those are taken
 * over, subscribed, acknowledged, blocked, left and expired.  For the thread sanitizer to
 * look at; what can be checked in any build is that nothing is lost and nobody but the owner
 * uses a link that is not shareable.
 *
 *     unit_core_stress [SECONDS [SEED]] */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <pthread.h>
#include <sched.h>

#include "base/clock.h"
#include "rig.h"

enum { THREADS = 3, CLIENTS = 24 /* a thread */, OPEN_MAX = 32, SPEED = 40 };

struct thread;

/* What a loop's inbox carries. */
struct letter {
    struct letter *next;
    enum { LETTER_FLUSH, LETTER_KICK, LETTER_READY } kind;
    void *what;
};

struct client {
    struct link link;
    struct thread *t;
    struct session *s;
    struct claim claim;
    enum claim_result claimed;
    bool claiming;
    _Atomic bool kicked;
    char id[12];
    /* Written by whoever sends, under the session's lock. */
    struct {
        uint16_t id;
        uint8_t qos;
    } open[OPEN_MAX];
    unsigned open_count;
    bool in_send;
    uint32_t random;
};

struct thread {
    pthread_t thread;
    struct qsbr_slot slot;
    struct worker *w;
    unsigned index;
    uint64_t random;
    pthread_mutex_t lock;
    struct letter *inbox, **last;
    struct client clients[CLIENTS];
};

static struct broker *broker;
static struct thread threads[THREADS];
static _Thread_local struct thread *self;
static _Atomic bool stopping;
static _Atomic unsigned quiet;
static _Atomic uint64_t foreign_sends;
static uint64_t started_ms, seconds = 2, seed = 1;

static uint32_t pick(uint32_t below)
{
    self->random ^= self->random << 13;
    self->random ^= self->random >> 7;
    self->random ^= self->random << 17;
    return (uint32_t)((self->random >> 20) % below);
}

static uint64_t now_ms(void)
{
    return 1000 + (clock_mono_ms() - started_ms) * SPEED;
}

/* -- The loop's part -- */

static void letter_post(struct thread *t, int kind, void *what)
{
    struct letter *l = xcalloc(1, sizeof *l);

    l->kind = kind;
    l->what = what;
    pthread_mutex_lock(&t->lock);
    *t->last = l;
    t->last = &l->next;
    pthread_mutex_unlock(&t->lock);
}

static void post_flush(void *arg, unsigned worker, struct flush_batch *batch)
{
    letter_post(&threads[worker], LETTER_FLUSH, batch);
}

static const struct broker_ops broker_ops = {.post_flush = post_flush};

/* -- The link -- */

static void note_publishes(struct client *c, const struct out_vec *vec, unsigned count)
{
    static _Thread_local uint8_t bytes[1 << 20];
    size_t len = 0, at = 0;
    struct packet got;

    for (unsigned i = 0; i < count && len + vec[i].len <= sizeof bytes; i++) {
        memcpy(bytes + len, vec[i].ptr, vec[i].len);
        len += vec[i].len;
    }
    while (packet_read(bytes + at, len - at, MQTT_311, &got) == 1) {
        at += got.size;
        if (got.type == MQTT_PUBLISH && got.qos && c->open_count < OPEN_MAX) {
            c->open[c->open_count].id = (uint16_t)got.id;
            c->open[c->open_count++].qos = (uint8_t)got.qos;
        }
    }
}

static enum link_sent client_send(struct link *link, const struct out_vec *vec, unsigned count)
{
    struct client *c = CONTAINER_OF(link, struct client, link);

    ASSERT(!c->in_send && !link->blocked);
    c->in_send = true;
    if (!link->shareable && self != c->t)
        atomic_fetch_add(&foreign_sends, 1);
    note_publishes(c, vec, count);
    c->random = c->random * 1664525u + 1013904223u;
    c->in_send = false;
    return c->random >> 28 ? LINK_SENT : LINK_BLOCKED;
}

static void client_kick(struct link *link, uint8_t reason)
{
    struct client *c = CONTAINER_OF(link, struct client, link);

    if (!atomic_exchange(&c->kicked, true))
        letter_post(c->t, LETTER_KICK, c);
}

static const struct link_ops ops = {.send = client_send, .kick = client_kick};

static void on_ready(struct claim *claim, enum claim_result result)
{
    struct client *c = CONTAINER_OF(claim, struct client, claim);

    c->claimed = result;
    letter_post(c->t, LETTER_READY, c);
}

/* -- A client's life -- */

static void client_attach(struct client *c)
{
    c->claiming = false;
    c->s = c->claim.session;
    c->s->expiry = pick(3) ? pick(8) : EXPIRY_NEVER;
    c->link = (struct link){.ops = &ops,
                            .maximum_packet = UINT32_MAX,
                            .quota = (uint16_t)(1 + pick(20)),
                            .version = MQTT_311,
                            .worker = (uint8_t)c->t->index,
                            .shareable = pick(2)};
    c->open_count = 0;
    session_attach(c->t->w, c->s, &c->link, STR_NONE);
    sessions_attached(c->t->w, c->s);
}

static void client_leave(struct client *c)
{
    if (!c->s)
        return;
    session_detach(c->t->w, c->s);
    sessions_release(c->t->w, c->s);
    c->s = NULL;
}

static void client_connect(struct client *c)
{
    snprintf(c->id, sizeof c->id, "c%u", pick(THREADS * CLIENTS / 2));
    c->claim =
        (struct claim){.client_id = str_of(c->id), .clean_start = pick(4) == 0, .ready = on_ready};
    c->claiming = true;
    enum claim_result result = sessions_claim(c->t->w, &c->claim);
    if (result == CLAIM_GRANTED)
        client_attach(c);
    else if (result != CLAIM_WAITING)
        c->claiming = false;
}

static void client_subscribe(struct client *c)
{
    static const char *const filters[] = {"t/0", "t/+", "#", "t/#", "$share/g/t/+", "$share/h/#"};
    struct subscribe_request r = {.filter = str_of(filters[pick(ARRAY_LEN(filters))]),
                                  .options = pick(3),
                                  .id = pick(2) ? 1 + pick(100) : 0};
    bool existed;

    if (pick(2))
        session_unsubscribe(c->t->w, c->s, r.filter);
    else
        session_subscribe(c->t->w, c->s, &r, &existed);
}

static void client_answer(struct client *c)
{
    uint16_t id = 0;
    uint8_t qos = 0;
    bool release;

    lock_take(&c->s->lock);
    if (c->open_count > 0) {
        c->open_count--;
        id = c->open[c->open_count].id;
        qos = c->open[c->open_count].qos;
    }
    lock_drop(&c->s->lock);
    if (qos == 1) {
        session_puback(c->t->w, c->s, id, 0);
    } else if (qos == 2) {
        session_pubrec(c->t->w, c->s, id, 0, &release);
        session_pubcomp(c->t->w, c->s, id, 0);
    }
}

static void client_unblock(struct client *c)
{
    lock_take(&c->s->lock);
    bool blocked = c->link.blocked;
    lock_drop(&c->s->lock);
    if (blocked)
        session_unblock(c->t->w, c->s, STR_NONE);
}

static void client_step(struct client *c)
{
    if (!c->s) {
        if (!c->claiming)
            client_connect(c);
        else if (pick(8) == 0 && sessions_cancel(c->t->w, &c->claim))
            c->claiming = false;
        return;
    }
    switch (pick(12)) {
    case 0:
        client_leave(c);
        break;
    case 1:
    case 2:
        client_subscribe(c);
        break;
    case 3:
        client_unblock(c);
        break;
    default:
        client_answer(c);
        break;
    }
}

/* -- A worker's turn -- */

static void letter_read(struct letter *l)
{
    struct client *c = l->what;

    switch (l->kind) {
    case LETTER_FLUSH:
        worker_flush_batch(self->w, l->what);
        break;
    case LETTER_KICK:
        atomic_store(&c->kicked, false);
        client_leave(c);
        break;
    case LETTER_READY:
        if (c->claimed == CLAIM_GRANTED)
            client_attach(c);
        c->claiming = false;
        break;
    }
}

static void read_letters(void)
{
    pthread_mutex_lock(&self->lock);
    struct letter *l = self->inbox, *next;
    self->inbox = NULL;
    self->last = &self->inbox;
    pthread_mutex_unlock(&self->lock);
    for (; l; l = next) {
        next = l->next;
        letter_read(l);
        free(l);
    }
}

static void publish(void)
{
    char topic[8], payload[64];
    struct client *from = &self->clients[pick(CLIENTS)];

    snprintf(topic, sizeof topic, "t/%u", pick(5));
    memset(payload, 'p', sizeof payload);
    struct publication p = rig_publication(topic, "", pick(3));
    p.payload = (struct str){payload, pick(sizeof payload)};
    p.publisher = from->s ? from->s->serial : 0;
    p.expiry = pick(2) ? UINT32_MAX : pick(4);
    p.retain = pick(16) == 0;
    rig_publish_as(self->w, &p);
}

static void turn(bool busy)
{
    worker_turn_begin(self->w, now_ms());
    read_letters();
    for (unsigned i = 0; busy && i < 20; i++)
        client_step(&self->clients[pick(CLIENTS)]);
    for (unsigned i = 0; busy && i < 10; i++)
        publish();
    if (self->index == 0)
        broker_tick(self->w);
    worker_turn_end(self->w);
    qsbr_quiescent(&self->slot);
    if (busy && pick(16) == 0) {
        qsbr_offline(&self->slot);
        sched_yield();
        qsbr_online(&self->slot);
    }
}

/* Everybody leaves, and letters are read until no more can come. */
static void wind_down(void)
{
    for (unsigned phase = 1; phase <= 4; phase++) {
        worker_turn_begin(self->w, now_ms());
        for (unsigned i = 0; i < CLIENTS; i++) {
            struct client *c = &self->clients[i];
            if (c->claiming && sessions_cancel(self->w, &c->claim))
                c->claiming = false;
            client_leave(c);
        }
        turn(false);
        atomic_fetch_add(&quiet, 1);
        while (atomic_load(&quiet) < phase * THREADS)
            turn(false);
    }
}

static void *thread_main(void *arg)
{
    self = arg;
    qsbr_online(&self->slot);
    while (!atomic_load_explicit(&stopping, memory_order_relaxed))
        turn(true);
    wind_down();
    qsbr_offline(&self->slot);
    return NULL;
}

static void threads_open(void)
{
    for (unsigned i = 0; i < THREADS; i++) {
        struct thread *t = &threads[i];
        t->index = i;
        t->random = (seed + i + 1) * 0x9e3779b97f4a7c15ull | 1;
        pthread_mutex_init(&t->lock, NULL);
        t->last = &t->inbox;
        qsbr_join(&t->slot);
        qsbr_offline(&t->slot);
        t->w = worker_new(broker, &t->slot, i);
        for (unsigned k = 0; k < CLIENTS; k++) {
            t->clients[k].t = t;
            t->clients[k].random = k + 100 * i;
        }
    }
}

static void threads_close(void)
{
    for (unsigned i = 0; i < THREADS; i++) {
        qsbr_online(&threads[i].slot);
        qsbr_leave(&threads[i].slot);
    }
    for (unsigned i = THREADS; i-- > 0;) {
        assert_null(threads[i].inbox);
        worker_free(&threads[i].w);
        pthread_mutex_destroy(&threads[i].lock);
    }
}

static void workers_share_the_core(void **state)
{
    struct limits limits;
    struct ledger_sum sum;

    limits_default(&limits);
    limits.max_queue_messages = 20;
    limits.qos0_queue_bytes = 2000;
    limits.queue_full = QUEUE_DROP_OLD;
    started_ms = clock_mono_ms();
    broker = broker_new(&limits, &broker_ops, NULL);
    threads_open();
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i].thread, NULL, thread_main, &threads[i]), 0);
    uint64_t until = clock_mono_ms() + seconds * 1000;
    while (clock_mono_ms() < until) {
        broker_ledger(broker, &sum); /* from yet another thread, as $SYS does */
        sched_yield();
    }
    atomic_store(&stopping, true);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i].thread, NULL);

    assert_int_equal(sessions_stats(broker->sessions).connected, 0);
    assert_int_equal(atomic_load(&foreign_sends), 0);
    self = &threads[0];
    qsbr_online(&self->slot);
    worker_turn_begin(self->w, now_ms());
    sessions_end_all(self->w);
    worker_turn_end(self->w);
    qsbr_offline(&self->slot);
    broker_ledger(broker, &sum);
    print_message("%llu received, %llu routed, %llu delivered, %llu dropped, %llu sent again\n",
                  (unsigned long long)ledger_received(&sum), (unsigned long long)sum.routed,
                  (unsigned long long)ledger_delivered(&sum),
                  (unsigned long long)ledger_dropped(&sum), (unsigned long long)sum.redelivered);
    assert_true(sum.routed > 1000);
    assert_int_equal(ledger_received(&sum), ledger_refused(&sum) + sum.accepted);
    assert_int_equal(ledger_waiting(&sum), 0);
    threads_close();
    broker_free(&broker);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(workers_share_the_core)};

    hash_seed();
    if (argc > 1)
        seconds = strtoull(argv[1], NULL, 0);
    if (argc > 2)
        seed = strtoull(argv[2], NULL, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
