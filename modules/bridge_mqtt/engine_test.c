/* The protocol, against a remote broker that is a few lines of bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "engine.h"

struct world {
    struct engine e;
    struct engine_conf conf;
    char told[1024]; /* what the engine told, a word each */
    bool session;
    enum handing handing;
    struct incoming *in[8];
    size_t in_count;
    struct wire_filter subs[2];
    size_t sub_count;
    uint64_t now;
};

static void tell(struct world *w, const char *format, ...)
{
    size_t len = strlen(w->told);
    va_list args;

    va_start(args, format);
    vsnprintf(w->told + len, sizeof w->told - len, format, args);
    va_end(args);
}

static void expect(struct world *w, const char *told)
{
    assert_string_equal(w->told, told);
    w->told[0] = '\0';
}

static void on_up(void *arg, bool session)
{
    struct world *w = arg;

    tell(w, "up%d ", session);
    w->e.subs = realloc(w->e.subs, sizeof w->subs);
    memcpy(w->e.subs, w->subs, sizeof w->subs);
    w->e.sub_count = w->sub_count;
}

static void on_live(void *arg)
{
    tell(arg, "live ");
}

static void on_refused(void *arg, struct skep_str filter, unsigned reason)
{
    tell(arg, "refused(%.*s,%u) ", (int)filter.len, filter.ptr, reason);
}

static enum handing on_message(void *arg, const struct wire_packet *p, struct incoming *in)
{
    struct world *w = arg;

    tell(w, "message(%.*s,%u) ", (int)p->payload.len, p->payload.ptr, p->qos);
    if (w->handing == HANDED && in)
        w->in[w->in_count++] = in;
    return w->handing;
}

static void on_forget(void *arg, uint16_t id)
{
    tell(arg, "forget%u ", id);
}

static void on_note(void *arg, const struct item *item)
{
    tell(arg, "note%u ", (unsigned)item->id);
}

static void on_clear(void *arg, const struct item *item)
{
    tell(arg, "clear%u ", (unsigned)item->id);
}

static void on_left(void *arg, const struct item *item, enum outcome outcome, unsigned reason)
{
    static const char *const words[] = {"done", "refused", "expired", "large", "overflow"};

    tell(arg, "%s%u ", words[outcome], (unsigned)item->id);
}

static const struct engine_calls calls = {on_up,     on_live, on_refused, on_message,
                                          on_forget, on_note, on_clear,   on_left};

static void begin(struct world *w, enum wire_version version)
{
    *w = (struct world){.handing = HANDED, .now = 1000};
    w->conf = (struct engine_conf){
        .connect = {.version = version, .keep_alive_s = 10, .client_id = SKEP_STR("id")},
        .ping_timeout_ms = 2000,
        .window = 4,
        .window2 = 3,
        .q0_bytes = 4096};
    engine_init(&w->e, &w->conf, &calls, w);
}

static int hear(struct world *w, const char *bytes, size_t len)
{
    return engine_input(&w->e, bytes, len, w->now);
}
#define HEAR(w, text) hear(w, text, sizeof(text) - 1)

/* What the engine has to say. */
static void said(struct world *w, const char *bytes, size_t len)
{
    engine_pump(&w->e, w->now);
    if (buf_len(&w->e.out) != len || memcmp(buf_data(&w->e.out), bytes, len) != 0) {
        for (size_t i = 0; i < buf_len(&w->e.out); i++)
            print_error("%02x ", buf_data(&w->e.out)[i]);
        fail_msg("instead of %zu bytes it said %zu", len, buf_len(&w->e.out));
    }
    buf_clear(&w->e.out);
}
#define SAID(w, text) said(w, text, sizeof(text) - 1)

static void connect_up(struct world *w, bool session)
{
    engine_open(&w->e, w->now, false);
    buf_clear(&w->e.out);
    if (w->conf.connect.version == WIRE_5)
        assert_int_equal(session ? HEAR(w, "\x20\3\1\0\0") : HEAR(w, "\x20\3\0\0\0"), 0);
    else
        assert_int_equal(session ? HEAR(w, "\x20\2\1\0") : HEAR(w, "\x20\2\0\0"), 0);
}

static void put(struct world *w, uint64_t id, unsigned qos, bool released)
{
    struct skep_message m = {.qos = (uint8_t)qos, .payload = SKEP_STR("x"), .duplicate = released};
    struct item *item = item_new(&m, SKEP_STR("t"), NULL, 0, w->now);

    item->id = id;
    engine_put(&w->e, item, released);
}

static void qos2_has_a_window_of_its_own(void **state)
{
    struct world w;

    begin(&w, WIRE_311);
    connect_up(&w, false);
    for (uint64_t id = 1; id <= 4; id++)
        put(&w, id, 2, false);
    SAID(&w, "\x34\6\0\1t\0\2x\x34\6\0\1t\0\3x\x34\6\0\1t\0\4x");
    HEAR(&w, "\x50\2\0\3");
    SAID(&w, ""); /* it counts until PUBCOMP */
    engine_noted(&w.e, 2);
    SAID(&w, "\x62\2\0\3");
    HEAR(&w, "\x70\2\0\3");
    SAID(&w, "\x34\6\0\1t\0\5x");
    engine_fini(&w.e);
}

static void subscriptions_come_first(void **state)
{
    struct world w;

    begin(&w, WIRE_311);
    w.subs[0] = (struct wire_filter){.filter = SKEP_STR("a"), .qos = 1};
    w.subs[1] = (struct wire_filter){.filter = SKEP_STR("b"), .qos = 2};
    w.sub_count = 2;
    put(&w, 1, 1, false);
    connect_up(&w, false);
    expect(&w, "up0 ");
    SAID(&w, "\x82\x0a\xff\xff\0\1a\1\0\1b\2");
    assert_int_equal(HEAR(&w, "\x90\4\xff\xff\1\x80"), 0);
    expect(&w, "refused(b,128) live ");
    SAID(&w, "\x32\6\0\1t\0\2x");
    engine_fini(&w.e);
}

static void qos1_is_sent_again_until_acknowledged(void **state)
{
    struct world w;

    begin(&w, WIRE_311);
    connect_up(&w, false);
    put(&w, 1, 1, false);
    put(&w, 2, 1, false);
    SAID(&w, "\x32\6\0\1t\0\2x\x32\6\0\1t\0\3x");
    assert_true(engine_has(&w.e, 2) && !engine_has(&w.e, 3));
    HEAR(&w, "\x40\2\0\3");
    expect(&w, "up0 live done2 ");
    HEAR(&w, "\x40\2\0\x63"); /* nothing of ours: no harm */
    engine_lost(&w.e);
    put(&w, 3, 1, false);
    connect_up(&w, true);
    SAID(&w, "\x3a\6\0\1t\0\2x\x32\6\0\1t\0\4x"); /* in order, DUP where it was sent before */
    HEAR(&w, "\x40\2\0\2\x40\2\0\4");
    expect(&w, "up1 live done1 done3 ");
    engine_lost(&w.e);
    put(&w, 4, 1, false);
    connect_up(&w, true);
    engine_pump(&w.e, w.now);
    engine_lost(&w.e);
    connect_up(&w, false);
    SAID(&w, "\x32\6\0\1t\0\5x"); /* a new session has not seen it: no DUP */
    engine_fini(&w.e);
}

static void qos2_is_noted_before_it_is_released(void **state)
{
    struct world w;

    begin(&w, WIRE_311);
    connect_up(&w, false);
    put(&w, 1, 2, false);
    SAID(&w, "\x34\6\0\1t\0\2x");
    HEAR(&w, "\x50\2\0\2");
    expect(&w, "up0 live note1 ");
    SAID(&w, "");
    HEAR(&w, "\x70\2\0\2"); /* PUBCOMP out of turn: ignored */
    expect(&w, "");
    engine_noted(&w.e, 1);
    SAID(&w, "\x62\2\0\2");
    engine_lost(&w.e);
    connect_up(&w, true);
    SAID(&w, "\x62\2\0\2"); /* only that again */
    HEAR(&w, "\x70\2\0\2");
    expect(&w, "up1 live done1 ");
    engine_fini(&w.e);
}

static void a_note_that_comes_after_the_loss(void **state)
{
    struct world w;

    begin(&w, WIRE_311);
    connect_up(&w, false);
    put(&w, 1, 2, false);
    engine_pump(&w.e, w.now);
    HEAR(&w, "\x50\2\0\2");
    engine_lost(&w.e);
    buf_clear(&w.e.out);
    connect_up(&w, true);
    w.told[0] = '\0';
    SAID(&w, ""); /* in flight again, waiting for the note, which is asked for again */
    expect(&w, "note1 ");
    engine_noted(&w.e, 1);
    SAID(&w, "\x62\2\0\2");
    engine_fini(&w.e);
}

static void an_earlier_process_released_it(void **state)
{
    struct world w;

    begin(&w, WIRE_311);
    put(&w, 1, 2, true);
    connect_up(&w, true);
    SAID(&w, "\x62\2\0\2");
    engine_lost(&w.e);
    w.told[0] = '\0';
    connect_up(&w, false); /* but the remote broker has forgotten all: it gets it anew */
    expect(&w, "clear1 up0 live ");
    SAID(&w, ""); /* not before the note is gone */
    engine_cleared(&w.e, 1);
    SAID(&w, "\x34\6\0\1t\0\2x");
    engine_fini(&w.e);
}

static void what_the_remote_broker_allows(void **state)
{
    struct world w;

    begin(&w, WIRE_5);
    engine_open(&w.e, w.now, false);
    buf_clear(&w.e.out);
    /* receive maximum 1, maximum QoS 1, no retain, packets up to 20 bytes */
    HEAR(&w, "\x20\x0f\0\0\x0c\x21\0\1\x24\1\x25\0\x27\0\0\0\x14");
    struct skep_message m = {.qos = 2, .retain = true, .payload = SKEP_STR("x")};
    struct item *a = item_new(&m, SKEP_STR("t"), NULL, 0, w.now);
    m.payload = SKEP_STR("much too long for it");
    struct item *b = item_new(&m, SKEP_STR("t"), NULL, 0, w.now);
    a->id = 1;
    b->id = 2;
    engine_put(&w.e, a, false);
    engine_put(&w.e, b, false);
    put(&w, 3, 1, false);
    SAID(&w, "\x32\7\0\1t\0\2\0x");
    expect(&w, "up0 live ");
    HEAR(&w, "\x40\2\0\2");
    SAID(&w, "\x32\7\0\1t\0\4\0x");
    expect(&w, "done1 large2 ");
    engine_fini(&w.e);
}

static void refusals(void **state)
{
    struct world w;

    begin(&w, WIRE_5);
    connect_up(&w, false);
    put(&w, 1, 1, false);
    put(&w, 2, 2, false);
    engine_pump(&w.e, w.now);
    HEAR(&w, "\x40\3\0\2\x87\x50\3\0\3\x87");
    expect(&w, "up0 live refused1 refused2 ");
    put(&w, 3, 1, false);
    engine_pump(&w.e, w.now);
    assert_int_equal(HEAR(&w, "\x40\3\0\4\x97"), -1); /* quota: later */
    assert_true(w.e.temporary && engine_has(&w.e, 3));
    engine_fini(&w.e);
}

static void expiry_counts_while_it_waits(void **state)
{
    struct world w;

    begin(&w, WIRE_5);
    struct skep_message m = {.qos = 1, .payload = SKEP_STR("x"), .expiry_s = 5};
    for (unsigned i = 1; i <= 2; i++) {
        m.expiry_s = i * 5;
        struct item *item = item_new(&m, SKEP_STR("t"), NULL, 0, w.now);
        item->id = i;
        engine_put(&w.e, item, false);
    }
    w.now += 6000;
    connect_up(&w, false);
    SAID(&w, "\x32\x0c\0\1t\0\3\5\2\0\0\0\4x");
    expect(&w, "up0 live expired1 ");
    engine_fini(&w.e);
}

static void qos0_goes_by_a_paced_backlog(void **state)
{
    struct world w;

    begin(&w, WIRE_311);
    connect_up(&w, false);
    engine_pace(&w.e, 1, 2, w.now);
    for (uint64_t id = 1; id <= 3; id++)
        put(&w, id, 1, false);
    put(&w, 0, 0, false);
    SAID(&w, "\x30\4\0\1tx\x32\6\0\1t\0\2x");
    assert_true(w.e.retry_ms > w.now);
    SAID(&w, "");
    w.now += 1001;
    SAID(&w, "\x32\6\0\1t\0\3x\x32\6\0\1t\0\4x"); /* the backlog was two; the third is live */
    engine_fini(&w.e);
}

static void live_messages_go_by_slow_ones(void **state)
{
    struct world w;

    begin(&w, WIRE_311);
    connect_up(&w, false);
    engine_pace(&w.e, 20, 0, w.now);
    for (uint64_t id = 1; id <= 5; id++) {
        struct skep_message m = {.qos = 1, .payload = SKEP_STR("s")};
        struct item *item = item_new(&m, SKEP_STR("t"), NULL, 0, w.now);
        item->id = id;
        item->slow = true;
        engine_put(&w.e, item, false);
    }
    put(&w, 6, 1, false);
    SAID(&w, "\x32\6\0\1t\0\7x\x32\6\0\1t\0\2s\x32\6\0\1t\0\3s");
    w.now += 1000; /* half of the window of four is the most that slow ones get */
    SAID(&w, "");
    put(&w, 7, 1, false);
    SAID(&w, "\x32\6\0\1t\0\x8x");
    engine_lost(&w.e);
    connect_up(&w, true);
    SAID(&w, "\x3a\6\0\1t\0\7x\x3a\6\0\1t\0\x8x\x3a\6\0\1t\0\2s\x3a\6\0\1t\0\3s");
    HEAR(&w, "\x40\2\0\2");
    w.now += 1000;
    SAID(&w, "\x32\6\0\1t\0\4s");
    engine_fini(&w.e);
}

static void too_much_qos0_drops_the_oldest(void **state)
{
    struct world w;

    begin(&w, WIRE_311);
    w.conf.q0_bytes = sizeof(struct item) * 2 + 4;
    connect_up(&w, false);
    w.told[0] = '\0';
    for (uint64_t id = 1; id <= 3; id++)
        put(&w, id, 0, false);
    expect(&w, "overflow1 ");
    engine_lost(&w.e);
    expect(&w, "overflow2 overflow3 ");
    engine_fini(&w.e);
}

static void incoming_is_acknowledged_in_order(void **state)
{
    struct world w;

    begin(&w, WIRE_311);
    connect_up(&w, false);
    HEAR(&w, "\x32\6\0\1t\0\7a\x34\6\0\1t\0\x8"
             "b\x30\4\0\1tc");
    expect(&w, "up0 live message(a,1) message(b,2) message(c,0) ");
    engine_taken(w.in[1], 0);
    SAID(&w, "");
    engine_taken(w.in[0], 0);
    SAID(&w, "\x40\2\0\7\x50\2\0\x8");
    HEAR(&w, "\x62\2\0\x8");
    expect(&w, "forget8 ");
    engine_complete(&w.e, 8);
    SAID(&w, "\x70\2\0\x8");
    HEAR(&w, "\x32\6\0\1t\0\x9"
             "d");
    engine_lost(&w.e);
    engine_taken(w.in[2], 0); /* nobody waits for it any more */
    SAID(&w, "");
    engine_fini(&w.e);
}

static void incoming_may_have_to_wait(void **state)
{
    struct world w;

    begin(&w, WIRE_311);
    connect_up(&w, false);
    w.told[0] = '\0';
    w.handing = HAND_LATER;
    HEAR(&w, "\x32\6\0\1t\0\7a\x32\6\0\1t\0\x8"
             "b");
    expect(&w, "message(a,1) ");
    assert_true(w.e.waiting);
    HEAR(&w, "\x32\6\0\1t\0\x9"
             "c");
    expect(&w, "");
    w.handing = HANDED;
    engine_resume(&w.e);
    hear(&w, NULL, 0);
    expect(&w, "message(a,1) message(b,1) message(c,1) ");
    for (size_t i = 0; i < 3; i++)
        engine_taken(w.in[i], 0);
    SAID(&w, "\x40\2\0\7\x40\2\0\x8\x40\2\0\x9");
    w.handing = HAND_FAILED;
    assert_int_equal(HEAR(&w, "\x32\6\0\1t\0\x9"
                              "c"),
                     -1);
    engine_fini(&w.e);
}

static void pings(void **state)
{
    struct world w;

    begin(&w, WIRE_311);
    connect_up(&w, false);
    w.now += 8000;
    assert_int_equal(engine_tick(&w.e, w.now), 0);
    SAID(&w, "");
    w.now += 1500;
    assert_int_equal(engine_tick(&w.e, w.now), 0);
    SAID(&w, "\xc0\0");
    w.now += 1000;
    assert_int_equal(engine_tick(&w.e, w.now), 0);
    HEAR(&w, "\xd0\0");
    w.now += 9500;
    engine_tick(&w.e, w.now);
    SAID(&w, "\xc0\0");
    w.now += 2000;
    assert_int_equal(engine_tick(&w.e, w.now), -1);
    assert_string_equal(w.e.why, "it does not answer pings");
    engine_fini(&w.e);
}

static void what_ends_a_connection(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        const char *why;
    } ends[] = {
#define END(text, why) {text, sizeof(text) - 1, why}
        END("\x20\3\0\x87\0", "not authorized"),
        END("\x40\2\0\1", "its first packet is no CONNACK"),
        END("\x20\3\0\0\0\x20\3\0\0\0", "it sent CONNACK twice"),
        END("\x20\3\0\0\0\xe0\1\x8e", "another client took over our client id"),
        END("\x20\3\0\0\0\xf0\0", "it asks for an authentication exchange"),
        END("\x20\3\0\0\0\x90\4\xff\xff\0\0",
            "it acknowledged a subscription that nobody asked for"),
        END("\x20\3\0\0\0\x30\5\0\1#\0x", "it sent a topic name that is none"),
        END("\x20\3\0\0\0\x01\0", "it sent a malformed packet"),
#undef END
    };

    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        struct world w;
        begin(&w, WIRE_5);
        engine_open(&w.e, w.now, false);
        assert_int_equal(hear(&w, ends[i].bytes, ends[i].len), -1);
        assert_string_equal(w.e.why, ends[i].why);
        engine_fini(&w.e);
    }
}

/* The id after 65534 others has the packet id of the first, and waits for it. */
static void packet_ids_do_not_meet(void **state)
{
    struct world w;

    begin(&w, WIRE_311);
    connect_up(&w, false);
    put(&w, 1, 1, false);
    put(&w, 65535, 1, false);
    SAID(&w, "\x32\6\0\1t\0\2x");
    HEAR(&w, "\x40\2\0\2");
    SAID(&w, "\x32\6\0\1t\0\2x");
    engine_fini(&w.e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(qos2_has_a_window_of_its_own),
        cmocka_unit_test(subscriptions_come_first),
        cmocka_unit_test(qos1_is_sent_again_until_acknowledged),
        cmocka_unit_test(qos2_is_noted_before_it_is_released),
        cmocka_unit_test(a_note_that_comes_after_the_loss),
        cmocka_unit_test(an_earlier_process_released_it),
        cmocka_unit_test(what_the_remote_broker_allows),
        cmocka_unit_test(refusals),
        cmocka_unit_test(expiry_counts_while_it_waits),
        cmocka_unit_test(qos0_goes_by_a_paced_backlog),
        cmocka_unit_test(live_messages_go_by_slow_ones),
        cmocka_unit_test(too_much_qos0_drops_the_oldest),
        cmocka_unit_test(incoming_is_acknowledged_in_order),
        cmocka_unit_test(incoming_may_have_to_wait),
        cmocka_unit_test(pings),
        cmocka_unit_test(what_ends_a_connection),
        cmocka_unit_test(packet_ids_do_not_meet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
