/* Decisions about CONNECT, and what comes with a yes: a name, attributes, quotas, an end; words of
 * modules for a client; many who wait. */
#include "core/broker.h"
#include "core/session.h"
#include "core/sessions.h"
#include "host/decide.h"
#include "host/ring.h"
#include "host/wait.h"
#include "theatre.h"

enum { CONNECT = 1 << SKEP_STAGE_CONNECT, PUBLISH = 1 << SKEP_STAGE_PUBLISH, CROWD = 10000 };

static struct actor *connect_as(struct theatre *t, const char *id, const char *username)
{
    struct actor *a = actor_new(t, id, 5);

    enter(t, a, 0, &(struct player_options){.username = username, .expiry = 3600});
    return a;
}

static void an_error_is_not_the_clients_fault(void **state)
{
    static const struct {
        enum skep_verdict policy;
        uint8_t reason;
    } rows[] = {{SKEP_DENY, 0x88}, {SKEP_NEXT, 0}, {SKEP_ALLOW, 0}};

    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        struct theatre t = theatre_open(CONNECT, true);
        t.oracle->module->on_error = rows[i].policy;
        struct actor *a = connect_as(&t, "a", "error");
        assert_int_equal(a->p->end_reason, rows[i].reason);
        assert_int_equal(a->p->connected, rows[i].reason == 0);
        actor_free(&a);
        theatre_close(&t);
    }
}

static void no_answer_in_time_is_an_error(void **state)
{
    struct theatre t = theatre_open(CONNECT, true);
    struct actor *a = connect_as(&t, "a", "wait");
    world_wait(t.world, 6000);
    ACT(&t, a);
    assert_int_equal(a->p->end_reason, 0x88);
    assert_false(oracle_say(t.oracle, 0, "allow"));
    actor_free(&a);
    theatre_close(&t);
}

static void a_wait_of_its_own(void **state)
{
    struct theatre t = theatre_open(CONNECT, true);
    struct actor *a = actor_new(&t, "a", 5);
    player_connect(a->p, 0, true, 100000, &(struct player_options){.username = "sleep"});
    world_settle(t.world);
    player_read(a->p);
    assert_false(a->p->connected);
    world_wait(t.world, 250);
    ACT(&t, a);
    assert_true(a->p->connected);
    actor_free(&a);
    theatre_close(&t);
}

/* Whose session it is follows from the name a module gives. */
static void a_module_may_give_the_name(void **state)
{
    struct theatre t = theatre_open(CONNECT | PUBLISH, true);
    strcpy(t.oracle->username, "ann");
    struct actor *a = connect_as(&t, "a", "allow");
    assert_true(a->p->connected);
    player_hang_up(a->p, false);
    world_settle(t.world);
    strcpy(t.oracle->username, "eve");
    enter(&t, a, 0, &(struct player_options){.username = "allow", .expiry = 3600});
    assert_true(a->p->refused); /* the session is another user's */
    assert_int_equal(a->p->end_reason, 0x87);
    actor_free(&a);
    theatre_close(&t);
}

/* -- What comes with a yes -- */

static void gives_attributes(struct skep_request *r)
{
    char many[8];

    assert_int_equal(skep_connect_set_attribute(r, "role", SKEP_STR("sensor")), 0);
    assert_int_equal(skep_connect_set_attribute(r, "role", SKEP_STR("display")), 0);
    assert_int_equal(skep_connect_set_attribute(r, "", SKEP_STR("x")), SKEP_E_INVALID);
    assert_true(
        skep_str_eq(skep_client_attribute(skep_request_client(r), "role"), SKEP_STR("display")));
    for (unsigned i = 1; i < 64; i++) {
        snprintf(many, sizeof many, "a%u", i);
        assert_int_equal(skep_connect_set_attribute(r, many, SKEP_STR("x")), 0);
    }
    assert_int_equal(skep_connect_set_attribute(r, "a64", SKEP_STR("x")), SKEP_E_LIMIT);
}

static char role[16];

static void reads_role(struct skep_request *r)
{
    struct skep_str s = skep_client_attribute(skep_request_client(r), "role");
    snprintf(role, sizeof role, "%.*s", (int)s.len, s.ptr ? s.ptr : "");
}

static void attributes_stay_with_the_client(void **state)
{
    struct theatre t = theatre_open(CONNECT | 1 << SKEP_STAGE_MESSAGE, true);
    t.oracle->on_connect = gives_attributes;
    t.oracle->on_message = reads_role;
    struct actor *a = connect_as(&t, "a", "allow");
    player_publish(a->p, "x", "y", 0, false);
    ACT(&t, a);
    assert_string_equal(role, "display");
    actor_free(&a);
    theatre_close(&t);
}

static void sets_quotas(struct skep_request *r)
{
    assert_int_equal(skep_connect_set_quota(r, SKEP_QUOTA_SUBSCRIPTIONS, 1), 0);
    assert_int_equal(skep_connect_set_quota(r, SKEP_QUOTA_SESSION_EXPIRY_S, 60), 0);
    assert_int_equal(skep_connect_set_quota(r, SKEP_QUOTA_KEEP_ALIVE_S, 10), 0);
    assert_int_equal(skep_connect_set_quota(r, SKEP_QUOTA_MESSAGE_RATE, 2), 0);
    assert_int_equal(skep_connect_set_quota(r, (enum skep_quota)99, 2), SKEP_E_INVALID);
}

static void quotas_hold(void **state)
{
    struct theatre t = theatre_open(CONNECT, true);
    t.oracle->on_connect = sets_quotas;
    struct actor *a = connect_as(&t, "a", "allow"), *to = NULL;
    assert_true(a->p->connected);
    player_subscribe(a->p, "one", 0);
    ACT(&t, a);
    assert_int_equal(a->p->granted, 0);
    player_subscribe(a->p, "two", 0);
    ACT(&t, a);
    assert_int_equal(a->p->granted, 0x97);

    /* Two messages a second: the others are read later. */
    t.oracle->on_connect = NULL;
    to = connect_as(&t, "to", "allow");
    player_subscribe(to->p, "m", 0);
    ACT(&t, to);
    for (unsigned i = 0; i < 8; i++)
        player_publish(a->p, "m", "x", 0, false);
    ACT(&t, a, to);
    size_t first = strlen(to->inbox) / strlen("m=x/0 ");
    assert_in_range(first, 1, 4);
    world_wait(t.world, 5000);
    ACT(&t, to);
    assert_int_equal(strlen(to->inbox) / strlen("m=x/0 "), 8);

    /* Its session does not outlive the minute; nor its silence the 15 s. */
    world_wait(t.world, 21000);
    ACT(&t, a);
    assert_true(a->p->ended);
    uint64_t total, connected;
    world_wait(t.world, 62000);
    world_sessions(t.world, &total, &connected);
    assert_int_equal(total, 1);
    actor_free(&a);
    actor_free(&to);
    theatre_close(&t);
}

static uint64_t ends_ms;

static void sets_an_end(struct skep_request *r)
{
    skep_connect_set_expiry(r, ends_ms);
}

static void a_connection_may_have_an_end(void **state)
{
    struct theatre t = theatre_open(CONNECT, true);
    ends_ms = UINT64_C(1700000000000) + world_now_ms(t.world) + 90000; /* by the wall clock */
    t.oracle->on_connect = sets_an_end;
    struct actor *a = connect_as(&t, "a", "allow");
    world_wait(t.world, 89000);
    ACT(&t, a);
    assert_false(a->p->ended);
    world_wait(t.world, 2000);
    ACT(&t, a);
    assert_true(a->p->ended);
    assert_int_equal(a->p->end_reason, 0xA0);
    actor_free(&a);
    theatre_close(&t);
}

/* -- Words of modules -- */

static unsigned words_dropped;

static void word_dropped(void *word)
{
    assert_ptr_equal(word, &words_dropped);
    words_dropped++;
}

static void leaves_a_word(struct skep_request *r)
{
    void **slot = skep_client_slot(skep_request_module(r), skep_request_client(r));

    if (skep_stage(r) == SKEP_STAGE_CONNECT)
        assert_null(*slot);
    else
        assert_ptr_equal(*slot, &words_dropped);
    *slot = &words_dropped;
}

static void a_word_goes_with_its_client_or_its_module(void **state)
{
    struct theatre t = theatre_open(CONNECT | 1 << SKEP_STAGE_MESSAGE, true);
    words_dropped = 0;
    skep_client_slot_dropper(t.oracle->module, word_dropped);
    t.oracle->on_connect = t.oracle->on_message = leaves_a_word;
    struct actor *a = connect_as(&t, "a", "allow"), *b = connect_as(&t, "b", "allow");
    player_publish(a->p, "x", "y", 0, false);
    ACT(&t, a, b);
    player_hang_up(a->p, true);
    world_settle(t.world);
    assert_int_equal(words_dropped, 1);
    for (unsigned i = 0; i < WORLD_LOOPS; i++) { /* as when the instance goes */
        host_enter(world_host(t.world), i);
        host_forget_slots(host_here, t.oracle->module);
        host_here = NULL;
    }
    assert_int_equal(words_dropped, 2);
    actor_free(&a);
    actor_free(&b);
    assert_int_equal(words_dropped, 2);
    theatre_close(&t);
}

/* -- All clients -- */

static bool note_client(const struct skep_client *c, void *ids)
{
    struct skep_str id = skep_client_id(c);
    char *at = (char *)ids + strlen(ids);

    sprintf(at, "%.*s%s ", (int)id.len, id.ptr, skep_client_is_connected(c) ? "" : "?");
    return true;
}

static void modules_see_who_is_there(void **state)
{
    struct theatre t = theatre_open(CONNECT, true);
    struct skep_module *m = t.oracle->module;
    struct actor *a = connect_as(&t, "a", "allow"), *b = connect_as(&t, "b", "allow");
    char ids[64] = "";
    skep_clients(m, note_client, ids);
    assert_true(strcmp(ids, "a b ") == 0 || strcmp(ids, "b a ") == 0);

    const struct skep_client *who = skep_client_find(m, SKEP_STR("a"));
    assert_non_null(who);
    assert_true(skep_str_eq(skep_client_username(who), SKEP_STR("allow")));
    assert_true(skep_str_eq(skep_client_listener(who), SKEP_STR("sim")));
    assert_int_equal(skep_client_protocol(who), 5);
    assert_null(skep_client_find(m, SKEP_STR("c")));

    /* A connection is ended by its own description only. */
    player_hang_up(a->p, true);
    world_settle(t.world);
    assert_false(skep_client_is_connected(who));
    assert_null(skep_client_find(m, SKEP_STR("a")));
    enter(&t, a, 1, &(struct player_options){.username = "allow", .expiry = 3600});
    assert_int_equal(skep_kick_client(m, who, SKEP_RC_ADMINISTRATIVE, NULL), SKEP_E_NOT_FOUND);
    ACT(&t, a);
    assert_false(a->p->ended);
    assert_int_equal(skep_kick(m, SKEP_STR("a"), SKEP_RC_SUCCESS, NULL), SKEP_E_INVALID);
    assert_int_equal(skep_kick(m, SKEP_STR("a"), SKEP_RC_ADMINISTRATIVE, "enough"), 0);
    ACT(&t, a, b);
    assert_true(a->p->ended);
    assert_int_equal(a->p->end_reason, 0x98);
    assert_false(b->p->ended);
    skep_client_unref(who);
    actor_free(&a);
    actor_free(&b);
    theatre_close(&t);
}

/* -- The ring -- */

static void note_entry(void *text, const struct ring_entry *e)
{
    char *at = (char *)text + strlen(text);
    sprintf(at, "%u/%u:%.*s ", e->stage, e->verdict, STR_ARG(e->topic));
}

static void the_last_decisions_are_kept(void **state)
{
    struct theatre t = theatre_open(CONNECT | PUBLISH, true);
    char text[1024] = "";
    struct actor *a = connect_as(&t, "a", "allow");
    oracle_rule(t.oracle, SKEP_STAGE_PUBLISH, "yes", "allow");
    oracle_rule(t.oracle, SKEP_STAGE_PUBLISH, "no", "deny");
    player_publish(a->p, "yes", "y", 0, false); /* says nothing */
    player_publish(a->p, "no", "y", 0, false);
    ACT(&t, a);
    struct skep_client *who =
        sessions_identity(world_host(t.world)->broker->sessions, STR("a"), true);
    ring_each(who->presence, note_entry, text);
    assert_string_equal(text, "0/1: 3/2:no ");
    for (unsigned i = 0; i < 20; i++) {
        player_publish(a->p, "no", "y", 0, false);
        ACT(&t, a);
    }
    text[0] = '\0';
    ring_each(who->presence, note_entry, text);
    assert_int_equal(strlen(text), RING_RECORDS * strlen("3/2:no "));
    identity_unref(who);
    actor_free(&a);
    theatre_close(&t);
}

/* -- A crowd -- */

static void write_connect(struct wire *w, unsigned i)
{
    uint8_t packet[] = {0x10, 23, 0, 4, 'M', 'Q', 'T', 'T', 4,   0x82, 0,   0,  0,
                        5,    0,  0, 0, 0,   0,   0,   4,   'w', 'a',  'i', 't'};
    char id[6];

    snprintf(id, sizeof id, "%05u", i);
    memcpy(packet + 14, id, 5);
    wire_write(w, packet, sizeof packet);
}

static enum skep_verdict crowd_then(struct skep_request *r, void *self)
{
    return skep_allow(r);
}

static uint64_t crowd[CROWD];
static unsigned crowd_size;

static enum skep_verdict crowd_waits(struct skep_request *r, void *self)
{
    if (!skep_str_eq(skep_connect_username(r), SKEP_STR("wait")))
        return skep_allow(r);
    return skep_wait_token(r, &crowd[crowd_size++], NULL, crowd_then);
}

static void ten_thousand_wait_and_others_go_on(void **state)
{
    static const struct skep_descriptor d = {
        .size = sizeof d, .name = "crowd", .on_connect = crowd_waits};
    struct skep_module *m = fake_module_new("crowd", &d, NULL, WORLD_LOOPS);
    struct wire **wires = xcalloc(CROWD, sizeof *wires);
    struct limits limits;
    const uint8_t *bytes;

    limits_default(&limits);
    limits.max_pending_connects = 0;
    struct theatre t = theatre_open_with(&limits, 0, true);
    world_modules(t.world, &m, 1, true);
    crowd_size = 0;
    for (unsigned i = 0; i < CROWD; i++) {
        wires[i] = world_dial(t.world, i % WORLD_LOOPS, true, 1000);
        write_connect(wires[i], i);
    }
    world_settle(t.world);
    assert_int_equal(crowd_size, CROWD);
    assert_int_equal(waits_now(), CROWD);

    struct actor *a = connect_as(&t, "quick", "x");
    assert_true(a->p->connected);
    player_ping(a->p);
    ACT(&t, a);
    assert_int_equal(a->p->pings, 1);

    for (unsigned i = 0; i < CROWD / 2; i++)
        assert_true(skep_complete(crowd[i], NULL));
    world_settle(t.world);
    unsigned answered = 0;
    for (unsigned i = 0; i < CROWD; i++) {
        answered += wire_read(wires[i], &bytes) == 4;
        wire_hang_up(&wires[i], true); /* and the others leave before their answer */
    }
    assert_int_equal(answered, CROWD / 2);
    world_settle(t.world);
    assert_int_equal(waits_now(), 0);
    for (unsigned i = CROWD / 2; i < CROWD; i++)
        assert_false(skep_complete(crowd[i], NULL));
    actor_free(&a);
    free(wires);
    theatre_close(&t);
    fake_module_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_error_is_not_the_clients_fault),
        cmocka_unit_test(no_answer_in_time_is_an_error),
        cmocka_unit_test(a_wait_of_its_own),
        cmocka_unit_test(a_module_may_give_the_name),
        cmocka_unit_test(attributes_stay_with_the_client),
        cmocka_unit_test(quotas_hold),
        cmocka_unit_test(a_connection_may_have_an_end),
        cmocka_unit_test(a_word_goes_with_its_client_or_its_module),
        cmocka_unit_test(modules_see_who_is_there),
        cmocka_unit_test(the_last_decisions_are_kept),
        cmocka_unit_test(ten_thousand_wait_and_others_go_on),
    };
    log_level_set(LOG_LEVEL_ERROR + 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
