/* What a start makes of the store: the broker's state before the end is the model.  Both are
 * told as text, sessions in the order of their ids, and compared. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/idset.h"
#include "core/retained.h"
#include "stored.h"

enum { CLIENTS = 8, TOPICS = 5, TEXT = 256 << 10, QUEUE_MOST = 200 };

static struct stored st;
static struct peer *peers[CLIENTS]; /* NULL: never connected */
static uint64_t seed;

static unsigned dice(unsigned sides)
{
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return (unsigned)(seed >> 33) % sides;
}

/* -- The broker's state as text -- */

struct text {
    char bytes[TEXT];
    size_t len;
    char lines[64][256]; /* what comes in no order of its own */
    unsigned line_count;
};

__attribute__((format(printf, 2, 3))) static void say(struct text *t, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    int n = vsnprintf(t->bytes + t->len, TEXT - t->len, fmt, args);
    va_end(args);
    assert_true(n >= 0 && t->len + (size_t)n < TEXT);
    t->len += (size_t)n;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void note_subscription(void *arg, struct str filter, const struct subscription *sub)
{
    struct text *t = arg;

    assert_true(t->line_count < 64);
    snprintf(t->lines[t->line_count++], sizeof t->lines[0], " sub %.*s options %u id %u\n",
             (int)filter.len, filter.ptr, (unsigned)sub->options, sub->id);
}

static void say_message(struct text *t, const struct message *m)
{
    struct str topic = message_topic(m), payload = message_payload(m), props = message_props(m);

    say(t, "%.*s=%.*s props %zu qos %u%s", (int)topic.len, topic.ptr, (int)payload.len, payload.ptr,
        props.len, m->qos, m->retain ? " retained" : "");
    if (m->expires_ms != MESSAGE_NO_EXPIRY)
        say(t, " expires in %lld", (long long)(m->expires_ms - st.rig->now_ms));
    say(t, "\n");
}

static void say_entry(struct text *t, uint64_t counter, const struct entry *e)
{
    if (e->state == ENTRY_DONE)
        return;
    say(t, " %llu: qos %u", (unsigned long long)counter, e->qos);
    if (e->state == ENTRY_RELEASED) {
        say(t, " released\n");
        return;
    }
    say(t, " id %u%s ", e->sub_id, e->retain ? " retain" : "");
    say_message(t, e->message);
}

static void say_session(struct text *t, struct session *s)
{
    struct str id = session_id(s);

    say(t, "%.*s: number %llu expiry %u version %u user %s\n", (int)id.len, id.ptr,
        (unsigned long long)s->serial, s->expiry, s->version, s->username ? s->username : "-");
    if (s->will)
        say(t, " will %.*s=%.*s delay %u\n", (int)s->will->topic_len, s->will->topic,
            (int)s->will->payload_len, s->will->payload, s->will->delay);
    t->line_count = 0;
    session_each_subscription(s, note_subscription, t);
    qsort(t->lines, t->line_count, sizeof t->lines[0], by_text);
    for (unsigned i = 0; i < t->line_count; i++)
        say(t, "%s", t->lines[i]);
    for (unsigned packet_id = 1; s->received && packet_id <= 65535; packet_id++) {
        if (idset_has(s->received, (uint16_t)packet_id))
            say(t, " received %u\n", packet_id);
    }
    if (s->out && s->out->q1.tail > 0) {
        for (uint64_t i = s->out->q1.head; i != s->out->q1.tail; i++)
            say_entry(t, i, fifo_at(&s->out->q1, i));
        say(t, " next counter %llu, %llu bytes\n", (unsigned long long)s->out->q1.tail,
            (unsigned long long)s->out->q1_bytes);
    }
}

struct collected {
    struct session *list[64];
    unsigned count;
};

static bool collect(void *arg, struct session *s)
{
    struct collected *c = arg;

    if (session_stored(s)) {
        assert_true(c->count < 64);
        c->list[c->count++] = s;
    }
    return true;
}

static int by_id(const void *a, const void *b)
{
    return strcmp((*(struct session *const *)a)->id, (*(struct session *const *)b)->id);
}

static void tell(struct text *t)
{
    struct collected c = {.count = 0};

    t->len = 0;
    t->bytes[0] = 0;
    sessions_each(st.rig->broker->sessions, collect, &c);
    qsort(c.list, c.count, sizeof(struct session *), by_id);
    for (unsigned i = 0; i < c.count; i++)
        say_session(t, c.list[i]);
    for (unsigned i = 0; i < TOPICS; i++) {
        char topic[16];
        snprintf(topic, sizeof topic, "t/%u", i);
        struct message *m = retained_get(st.rig->broker->retained, str_of(topic), st.rig->now_ms);
        if (m) {
            say(t, "retained ");
            say_message(t, m);
        }
    }
}

/* Both may be long: only the first line that differs is shown. */
static void expect_same(const struct text *before, const struct text *after, uint64_t life)
{
    const char *a = before->bytes, *b = after->bytes, *session = a;

    while (*a && *b) {
        size_t len = strcspn(a, "\n"), other = strcspn(b, "\n");
        if (*a != ' ')
            session = a;
        if (len != other || memcmp(a, b, len) != 0)
            break;
        a += len + (a[len] != 0);
        b += other + (b[other] != 0);
    }
    if (*a || *b)
        fail_msg("life %u, %.*s:\n%.*s\n became\n%.*s", (unsigned)life, (int)strcspn(session, "\n"),
                 session, (int)strcspn(a, "\n"), a, (int)strcspn(b, "\n"), b);
}

/* -- A life -- */

static void come(unsigned i, bool clean)
{
    char id[16];
    struct peer *p = peers[i];

    if (p && p->s)
        return;
    if (!p)
        p = peers[i] = peer_new(st.rig, dice(RIG_WORKERS), dice(2) ? MQTT_50 : MQTT_311);
    snprintf(id, sizeof id, "c%u", i);
    uint32_t expiry = i == 0 ? 0 : i == 1 ? EXPIRY_NEVER : 1000 + i;
    assert_int_equal(
        peer_claim(p, id, i % 2 ? "user" : NULL, clean || expiry == 0 || dice(12) == 0),
        CLAIM_GRANTED);
    p->claim.session->expiry = expiry;
    p->claim.session->version = p->link.version;
    will_free(&p->claim.session->will);
    if (dice(3) == 0)
        stored_will(p, "gone", 500 + i);
    sessions_record(p->w, &p->claim, p->claim.session);
    p->link.blocked = false;
    p->link.quota = (uint16_t)(1 + dice(10));
    peer_attach(p, expiry);
}

static void subscribe(struct peer *p)
{
    static const char *const filters[] = {"t/+", "t/1", "#", "t/2", "$share/g/t/3"};
    unsigned at = dice(5);

    if (dice(3) == 0)
        session_unsubscribe(p->w, p->s, str_of(filters[at]));
    else
        peer_subscribe_with(p, filters[at], dice(3) | (dice(2) ? SUB_RETAIN_AS_PUBLISHED : 0),
                            at == 4 ? 0 : dice(3));
}

static void publish(struct peer *from)
{
    static unsigned serial;
    char topic[16], payload[64];
    struct publication p;

    snprintf(topic, sizeof topic, "t/%u", dice(TOPICS));
    snprintf(payload, sizeof payload, "message %u", ++serial);
    p = rig_publication(topic, payload, dice(3));
    p.retain = dice(5) == 0;
    if (p.retain && dice(4) == 0)
        p.payload.len = 0;
    if (dice(4) == 0)
        p.expiry = 2000 + dice(100000);
    if (dice(4) == 0)
        p.props = STR("\x01\x01");
    if (from) {
        p.publisher = from->s->serial;
        p.origin = session_stored(from->s) ? from->s->serial : 0;
    }
    if (from && p.qos == 2) {
        p.packet_id = (uint16_t)(1 + dice(50));
        if (from->s->received && idset_has(from->s->received, p.packet_id))
            return;
    }
    struct worker *w = from ? from->w : st.rig->workers[0];
    struct routed routed = rig_publish_as(w, &p);
    if (p.retain) /* of two loops at the same moment either may be the last: docs/adr/0005 */
        journal_submit(w);
    if (!from || p.qos != 2)
        return;
    if (!from->s->received)
        from->s->received = xcalloc(1, sizeof *from->s->received);
    idset_add(from->s->received, p.packet_id);
    if (!routed.id_written)
        journal_received(from->w, from->s, p.packet_id, false);
}

static void release_one(struct peer *p)
{
    uint16_t id = (uint16_t)(1 + dice(50));

    if (p->s->received && idset_remove(p->s->received, id))
        journal_received(p->w, p->s, id, true);
}

/* Its client answers some of what it has got, not always in order. */
static void answer(struct peer *p)
{
    struct packet got;
    bool release;

    while (peer_next(p, &got)) {
        if (dice(3) == 0 || got.type != MQTT_PUBLISH)
            continue;
        if (got.qos == 1)
            session_puback(p->w, p->s, got.id, 0);
        else if (got.qos == 2 && session_pubrec(p->w, p->s, got.id, 0, &release) == 0 && dice(2))
            session_pubcomp(p->w, p->s, got.id, 0);
    }
}

static void step(void)
{
    unsigned i = dice(CLIENTS), what = dice(100);
    struct peer *p = peers[i];

    if (!p || !p->s) {
        if (what < 30)
            come(i, false);
        else
            publish(NULL);
        return;
    }
    if (session_queued(p->s) > QUEUE_MOST) { /* before a part of it leaves memory */
        peer_leave(p);
        come(i, true);
    } else if (what < 6) {
        peer_leave(p);
    } else if (what < 20) {
        subscribe(p);
    } else if (what < 60) {
        publish(p);
    } else if (what < 70) {
        release_one(p);
    } else {
        answer(p);
    }
    if (dice(3) == 0)
        stored_turn(&st);
}

/* The process ends, and the next one begins.  The clients' connections are gone with it. */
static void start_again(const struct limits *limits)
{
    for (unsigned i = 0; i < RIG_WORKERS; i++)
        journal_stop(st.rig->workers[i]);
    for (unsigned i = 0; i < CLIENTS; i++) {
        if (peers[i])
            peer_free(&peers[i]);
    }
    stored_free(&st);
    stored_open(&st, limits);
}

static void finish(void)
{
    start_again(NULL);
    stored_close(&st);
    stored_free(&st);
}

static int begin(void **state)
{
    scratch_clear();
    memset(peers, 0, sizeof peers);
    stored_open(&st, NULL);
    return 0;
}

/* -- Tests -- */

static void all_is_as_it_was_after_any_life(void **state) /* [MQTT-4.1.0-1] */
{
    static struct text before, after;

    for (uint64_t life = 1; life <= 40; life++) {
        seed = life;
        for (unsigned i = 0; i < 120; i++)
            step();
        stored_turn(&st);
        tell(&before);
        start_again(NULL);
        tell(&after);
        expect_same(&before, &after, life);
        rig_check_ledger(st.rig);
        if (life % 4 == 0) { /* what nobody touched is there once more */
            start_again(NULL);
            tell(&after);
            expect_same(&before, &after, life);
        }
        if (life % 10 == 0) { /* and from the tables alone */
            char why[512] = "";
            uint64_t end = store_stats(st.store).log.end;
            assert_int_equal(store_fold(st.store, end, why, sizeof why), 0);
            start_again(NULL);
            tell(&after);
            expect_same(&before, &after, life);
        }
    }
    finish();
}

static struct peer *away_with(unsigned qos, unsigned count)
{
    struct peer *p = peers[1] = stored_connect(&st, 1, "c", 1000);
    char payload[16];

    peer_subscribe(p, "t", qos);
    peer_leave(p);
    for (unsigned i = 0; i < count; i++) {
        snprintf(payload, sizeof payload, "%u", i);
        rig_publish(st.rig, "t", payload, qos);
    }
    return p;
}

static struct peer *back(const char *id)
{
    struct peer *p = peers[1] = stored_connect(&st, 1, id, 1000);

    assert_true(p->present);
    return p;
}

static void expect_dup(struct peer *p, unsigned count, unsigned with_dup)
{
    struct packet got;

    for (unsigned i = 0; i < count; i++) {
        assert_true(peer_next(p, &got));
        assert_int_equal(got.id, i + 1);
        assert_int_equal(got.dup, i < with_dup);
        assert_int_equal(session_puback(p->w, p->s, got.id, 0), 0);
    }
    peer_expect_nothing(p);
}

/* Of a client that is away it is known what it was sent, of one that was connected it is not. */
static void what_may_have_been_sent_carries_dup(void **state) /* [MQTT-3.3.1-1] */
{
    away_with(1, 5);
    start_again(NULL);
    assert_int_equal(st.found.messages, 5);
    peer_leave(back("c")); /* all were sent with its CONNACK */
    rig_publish(st.rig, "t", "5", 1);
    stored_turn(&st);
    start_again(NULL);
    expect_dup(back("c"), 6, 5);
    start_again(NULL);
    struct peer *p = back("c");
    p->link.blocked = true; /* it gets nothing, which nobody writes down */
    for (unsigned i = 0; i < 3; i++)
        rig_publish(st.rig, "t", "x", 1);
    stored_turn(&st);
    start_again(NULL);
    p = back("c");
    for (unsigned i = 0; i < 3; i++)
        assert_true(peer_expect(p, "x", 1).dup);
    finish();
}

static void what_has_expired_is_dropped_unless_its_id_may_be_in_use(void **state)
{
    struct publication p = rig_publication("t", "short", 1);
    struct packet got;

    peer_subscribe(peers[1] = stored_connect(&st, 1, "c", 1000), "t", 2);
    p.expiry = 10;
    for (p.qos = 1; p.qos <= 2; p.qos++)
        rig_publish_as(st.rig->workers[0], &p);
    rig_publish(st.rig, "t", "lasting", 1);
    stored_turn(&st);
    atomic_fetch_add(&stored_ms, 11000);
    start_again(NULL);
    stored_log(&st);
    struct peer *c = back("c");
    assert_true(peer_next(c, &got)); /* [MQTT-4.3.3-7] */
    assert_int_equal(got.qos, 2);
    assert_true(got.dup);
    peer_expect(c, "lasting", 1);
    peer_expect_nothing(c);
    assert_log(&st, "SESSION 1 c 1000\nACK 1#0+1 EXPIRED\n");
    finish();
}

static void a_connected_client_is_away_from_now_on_and_only_once(void **state)
{
    struct peer *p = peers[1] = stored_connect(&st, 1, "c", 100), *w;

    stored_will(p, "gone", 30);
    journal_session(p->w, p->s);
    stored_turn(&st);
    atomic_fetch_add(&stored_ms, 1000000); /* connected all the while */
    st.rig->now_ms = stored_clock();
    rig_begin(st.rig);
    start_again(NULL);
    assert_log(&st, "AWAY 1 ends 100 will 30\n");
    atomic_fetch_add(&stored_ms, 20000);
    start_again(NULL);
    assert_log(&st, ""); /* 80 and 10 seconds are left */
    w = peers[2] = peer_connect(st.rig, 0, MQTT_50, "w", 0);
    peer_subscribe(w, "will", 1);
    stored_wait(&st, 9999);
    peer_expect_nothing(w);
    stored_wait(&st, 1);
    peer_expect(w, "gone", 1);
    stored_wait(&st, 69999);
    assert_int_equal(sessions_stats(st.rig->broker->sessions).total, 2);
    stored_wait(&st, 1);
    assert_int_equal(sessions_stats(st.rig->broker->sessions).total, 1);
    assert_non_null(strstr(stored_log(&st), "END 1\n"));
    finish();
}

/* DISCONNECT took it back, which the store was told only by "none is due". */
static void a_will_taken_back_stays_so(void **state) /* [MQTT-3.14.4-3] */
{
    struct peer *p = peers[1] = stored_connect(&st, 1, "c", 100);

    stored_will(p, "gone", 0);
    journal_session(p->w, p->s);
    will_free(&p->s->will);
    peer_leave(p);
    start_again(NULL);
    back("c");
    assert_log(&st, "SESSION 1 c 1000 +\nNO WILL 1\n");
    start_again(NULL);
    stored_log(&st);
    stored_wait(&st, 1000);
    struct ledger_sum sum;
    rig_sum(st.rig, &sum);
    assert_int_equal(sum.wills_published, 0);
    finish();
}

static void one_message_in_many_queues_is_one_again(void **state)
{
    struct message *first = NULL;

    for (unsigned i = 0; i < CLIENTS; i++) {
        char id[16];
        snprintf(id, sizeof id, "c%u", i);
        peers[i] = stored_connect(&st, i % RIG_WORKERS, id, 100);
        peer_subscribe_with(peers[i], "t", 1, i);
    }
    rig_publish(st.rig, "t", "shared", 1);
    stored_turn(&st);
    start_again(NULL);
    struct collected c = {.count = 0};
    sessions_each(st.rig->broker->sessions, collect, &c);
    assert_int_equal(c.count, CLIENTS);
    for (unsigned i = 0; i < c.count; i++) {
        struct message *m = fifo_at(&c.list[i]->out->q1, 0)->message;
        assert_true(!first || m == first);
        first = m;
    }
    finish();
}

static void what_was_granted_stays_though_the_limit_is_lower(void **state)
{
    struct limits limits;

    limits_default(&limits);
    limits.max_subscriptions = 1;
    limits.max_queue_messages = 2;
    limits.max_retained_messages = 1;
    away_with(1, 5);
    struct peer *p = peers[1] = stored_claim(peers[1], "c", 1000, false);
    peer_subscribe(p, "a", 1);
    peer_subscribe(p, "b", 1);
    struct publication kept = rig_publication("r/1", "x", 1);
    kept.retain = true;
    rig_publish_as(st.rig->workers[0], &kept);
    kept.topic = STR("r/2");
    rig_publish_as(st.rig->workers[0], &kept);
    stored_turn(&st);
    start_again(&limits);
    assert_int_equal(st.found.subscriptions, 3);
    assert_int_equal(st.found.messages, 5);
    assert_int_equal(st.found.retained, 1); /* there is no room for the other */
    assert_int_equal(retained_stats(st.rig->broker->retained).messages, 1);
    assert_non_null(strstr(stored_log(&st), "PUB r/2= KEEP\n"));
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(all_is_as_it_was_after_any_life, begin),
        cmocka_unit_test_setup(what_may_have_been_sent_carries_dup, begin),
        cmocka_unit_test_setup(what_has_expired_is_dropped_unless_its_id_may_be_in_use, begin),
        cmocka_unit_test_setup(a_connected_client_is_away_from_now_on_and_only_once, begin),
        cmocka_unit_test_setup(a_will_taken_back_stays_so, begin),
        cmocka_unit_test_setup(one_message_in_many_queues_is_one_again, begin),
        cmocka_unit_test_setup(what_was_granted_stays_though_the_limit_is_lower, begin),
    };

    hash_seed();
    return cmocka_run_group_tests(tests, in_scratch, out_of_scratch);
}
