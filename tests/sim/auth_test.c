/* Enhanced authentication, and decisions about CONNECT that take a while [MQTT 4.12]. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/mem.h"
#include "mqtt/packet.h"
#include "oracle.h"
#include "player.h"

enum { RC_SUCCESS_ = 0, CONTINUE = 0x18, REAUTH = 0x19 };

struct stage {
    struct world *world;
    struct oracle *oracle;
    struct player *p;
    struct packet auth; /* the last AUTH, CONNACK or DISCONNECT */
    char method[16], data[16];
    unsigned auths;
};

static void on_packet(struct player *p, const struct packet *got)
{
    struct stage *s = p->arg;

    if (got->type != 15 && got->type != 2 && got->type != 14)
        return;
    s->auths += got->type == 15;
    s->auth = *got;
    memset(s->method, 0, sizeof s->method);
    memset(s->data, 0, sizeof s->data);
    if (got->auth_method)
        memcpy(s->method, got->auth_method, got->auth_method_len);
    if (got->auth_data)
        memcpy(s->data, got->auth_data, got->auth_data_len);
}

static struct stage *stage_open(void)
{
    struct stage *s = xcalloc(1, sizeof *s);
    struct limits limits;

    limits_default(&limits);
    s->world = world_new(&limits);
    s->oracle = oracle_new("oracle", 1u << SKEP_STAGE_CONNECT | 1u << SKEP_STAGE_AUTH);
    s->oracle->module->decision_timeout_ms = 60000;
    world_modules(s->world, &s->oracle->module, 1, true);
    s->p = player_new(s->world, "c", 5);
    s->p->arg = s;
    s->p->on_packet = on_packet;
    return s;
}

static void stage_close(struct stage **s)
{
    player_free(&(*s)->p);
    world_free(&(*s)->world);
    if ((*s)->oracle)
        oracle_free(&(*s)->oracle);
    free(*s);
    *s = NULL;
}

static void act(struct stage *s)
{
    world_settle(s->world);
    player_read(s->p);
}

static void connect_with(struct stage *s, const char *method, const char *data)
{
    player_connect(
        s->p, 1, true, 100000,
        &(struct player_options){.auth_method = method, .auth_data = data, .expiry = 60});
    act(s);
}

static void connect_as(struct stage *s, const char *username)
{
    player_connect(s->p, 1, true, 100000,
                   &(struct player_options){.username = username, .expiry = 60});
    act(s);
}

static void assert_refused(struct stage *s, uint8_t reason)
{
    assert_true(s->p->refused);
    assert_int_equal(s->p->end_reason, reason);
    assert_true(wire_closed_ms(s->p->wire) != 0);
}

static void assert_ended(struct stage *s, uint8_t reason)
{
    assert_true(s->p->ended);
    assert_false(s->p->refused);
    assert_int_equal(s->auth.type, 14);
    assert_int_equal(s->p->end_reason, reason);
    assert_true(wire_closed_ms(s->p->wire) != 0);
}

/* -- The exchange of a CONNECT -- */

static void an_unknown_method_is_refused(void **state) /* [MQTT-4.12.0-1] */
{
    struct stage *s = stage_open();
    connect_with(s, "OTHER", "allow");
    assert_refused(s, 0x8C);
    stage_close(&s);
}

static void without_modules_every_method_is_unknown(void **state) /* [MQTT-4.12.0-1] */
{
    struct limits limits;
    limits_default(&limits);
    struct stage *s = xcalloc(1, sizeof *s);
    s->world = world_new(&limits);
    s->p = player_new(s->world, "c", 5);
    s->p->arg = s;
    s->p->on_packet = on_packet;
    connect_with(s, "TEST", "allow");
    assert_refused(s, 0x8C);
    stage_close(&s);
}

static void a_method_may_be_content_at_once(void **state) /* [MQTT-4.12.0-5] */
{
    struct stage *s = stage_open();
    connect_with(s, "TEST", "allow");
    assert_true(s->p->connected);
    assert_string_equal(s->method, "TEST");
    assert_string_equal(s->data, "well done");
    assert_int_equal(s->oracle->auth_round, 0);
    stage_close(&s);
}

static void a_challenge_is_answered(void **state) /* [MQTT-4.12.0-2] [MQTT-4.12.0-5] */
{
    struct stage *s = stage_open();
    connect_with(s, "TEST", "more");
    for (unsigned i = 1; i < 4; i++) {
        assert_int_equal(s->auth.type, 15);
        assert_int_equal(s->auth.reason, CONTINUE);
        assert_string_equal(s->method, "TEST");
        assert_string_equal(s->data, "challenge");
        assert_false(s->p->connected);
        assert_int_equal(s->auths, i);
        player_auth(s->p, CONTINUE, "TEST", i < 3 ? "more" : "allow");
        act(s);
    }
    assert_true(s->p->connected);
    assert_string_equal(s->method, "TEST");
    assert_string_equal(s->data, "well done");
    stage_close(&s);
}

static void the_answer_may_be_no_at_any_step(void **state) /* [MQTT-4.12.0-4] */
{
    for (unsigned steps = 0; steps < 3; steps++) {
        struct stage *s = stage_open();
        connect_with(s, "TEST", steps ? "more" : "deny");
        for (unsigned i = 1; i <= steps; i++) {
            player_auth(s->p, CONTINUE, "TEST", i < steps ? "more" : "deny");
            act(s);
        }
        assert_refused(s, 0x86);
        stage_close(&s);
    }
}

static void no_method_no_auth(void **state) /* [MQTT-4.12.0-6] [MQTT-4.12.0-7] */
{
    struct stage *s = stage_open();
    connect_as(s, "allow");
    assert_true(s->p->connected);
    assert_string_equal(s->method, "");
    assert_int_equal(s->auths, 0);
    player_auth(s->p, REAUTH, "TEST", "allow");
    act(s);
    assert_ended(s, 0x82);
    stage_close(&s);
}

static void meanwhile_only_auth_and_disconnect_may_come(void **state) /* [MQTT-3.1.2-30] */
{
    struct stage *s = stage_open();
    connect_with(s, "TEST", "more");
    player_write(s->p, "\xc0\x00", 2); /* PINGREQ */
    act(s);
    assert_refused(s, 0x82);
    player_hang_up(s->p, false);

    connect_with(s, "TEST", "more");
    player_write(s->p, "\xe0\x00", 2); /* DISCONNECT */
    act(s);
    assert_true(s->p->ended);
    assert_false(s->p->refused); /* not a word more */
    player_hang_up(s->p, false);

    connect_with(s, "TEST", "more");
    player_auth(s->p, CONTINUE, "OTHER", "allow");
    act(s);
    assert_refused(s, 0x82); /* [MQTT-4.12.0-5] */
    player_hang_up(s->p, false);

    connect_with(s, "TEST", "more");
    player_auth(s->p, REAUTH, "TEST", "allow"); /* not the time for it */
    act(s);
    assert_refused(s, 0x82);
    stage_close(&s);
}

static void an_exchange_has_its_time(void **state) /* C1 */
{
    struct stage *s = stage_open();
    connect_with(s, "TEST", "more");
    world_wait(s->world, 9000);
    player_auth(s->p, CONTINUE, "TEST", "more");
    act(s);
    assert_false(s->p->ended);
    world_wait(s->world, 2000);
    act(s);
    assert_true(s->p->ended);
    assert_int_equal(s->oracle->auth_round, 1);
    stage_close(&s);
}

/* -- Re-authentication -- */

static void a_client_may_authenticate_anew(void **state) /* [MQTT-4.12.1-1] */
{
    struct stage *s = stage_open();
    connect_with(s, "TEST", "allow");
    player_auth(s->p, REAUTH, "TEST", "more");
    act(s);
    assert_true(s->oracle->auth_again);
    assert_int_equal(s->auth.type, 15);
    assert_int_equal(s->auth.reason, CONTINUE);
    player_ping(s->p); /* everything else goes on meanwhile */
    act(s);
    assert_int_equal(s->p->pings, 1);
    player_auth(s->p, CONTINUE, "TEST", "allow");
    act(s);
    assert_int_equal(s->auth.type, 15);
    assert_int_equal(s->auth.reason, 0);
    assert_string_equal(s->method, "TEST");
    assert_string_equal(s->data, "well done");
    assert_true(s->p->connected && !s->p->ended);
    player_auth(s->p, REAUTH, "TEST", "allow"); /* and once more */
    act(s);
    assert_int_equal(s->auths, 3);
    stage_close(&s);
}

static void another_method_is_an_error(void **state) /* [MQTT-4.12.1-1] */
{
    struct stage *s = stage_open();
    connect_with(s, "TEST", "allow");
    player_auth(s->p, REAUTH, "OTHER", "allow");
    act(s);
    assert_ended(s, 0x82);
    stage_close(&s);
}

static void auth_out_of_turn_is_an_error(void **state)
{
    static const uint8_t reasons[] = {RC_SUCCESS_, CONTINUE};

    for (unsigned i = 0; i < ARRAY_LEN(reasons); i++) {
        struct stage *s = stage_open();
        connect_with(s, "TEST", "allow");
        player_auth(s->p, reasons[i], "TEST", "allow"); /* nobody asked for it */
        act(s);
        assert_ended(s, 0x82);
        stage_close(&s);
    }
}

static void who_fails_to_is_disconnected(void **state) /* [MQTT-4.12.1-2] */
{
    struct stage *s = stage_open();
    connect_with(s, "TEST", "allow");
    player_auth(s->p, REAUTH, "TEST", "deny");
    act(s);
    assert_ended(s, 0x87); /* 0x86 is none of DISCONNECT's [MQTT-3.14.2-1] */
    stage_close(&s);
}

/* -- Decisions that take a while -- */

/* The oracle makes up its mind about the i-th question it put off. */
static void decide(struct stage *s, unsigned i, const char *word)
{
    assert_true(oracle_say(s->oracle, i, word));
    act(s);
}

static void an_answer_may_come_later(void **state) /* [MQTT-3.1.4-2] */
{
    static const struct {
        const char *word;
        uint8_t reason, expected;
    } rows[] = {{"allow", 0, 0}, {"deny", 0x8A, 0x8A}, {"deny", 0, 0x87}, {"next", 0, 0}};

    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        struct stage *s = stage_open();
        connect_as(s, "wait");
        player_ping(s->p); /* a client may send ahead of CONNACK: it waits */
        act(s);
        assert_false(s->p->connected || s->p->ended);
        world_wait(s->world, 5000);
        s->oracle->reason = rows[i].reason;
        decide(s, 0, rows[i].word);
        if (rows[i].expected == 0) {
            assert_true(s->p->connected);
            assert_int_equal(s->p->pings, 1);
        } else {
            assert_refused(s, rows[i].expected);
            assert_int_equal(s->p->pings, 0); /* [MQTT-3.1.4-6] */
        }
        stage_close(&s);
    }
}

static void a_challenge_may_come_later_too(void **state)
{
    struct stage *s = stage_open();
    connect_with(s, "TEST", "wait");
    decide(s, 0, "more");
    assert_int_equal(s->auth.type, 15);
    assert_string_equal(s->data, "challenge");
    player_auth(s->p, CONTINUE, "TEST", "wait"); /* it is read from again */
    act(s);
    assert_int_equal(s->oracle->asked[SKEP_STAGE_AUTH], 2);
    decide(s, 1, "allow");
    assert_true(s->p->connected);

    /* The same after CONNACK. */
    player_auth(s->p, REAUTH, "TEST", "wait");
    player_ping(s->p);
    act(s);
    assert_int_equal(s->p->pings, 1);
    decide(s, 2, "more");
    assert_int_equal(s->auth.reason, CONTINUE);
    player_auth(s->p, CONTINUE, "TEST", "wait");
    act(s);
    decide(s, 3, "allow");
    assert_int_equal(s->auth.type, 15);
    assert_int_equal(s->auth.reason, 0);
    player_auth(s->p, REAUTH, "TEST", "wait");
    act(s);
    s->oracle->reason = 0x87;
    decide(s, 4, "deny");
    assert_ended(s, 0x87); /* [MQTT-4.12.1-2] */
    stage_close(&s);
}

static void auth_while_the_module_thinks_is_an_error(void **state)
{
    struct stage *s = stage_open();
    connect_with(s, "TEST", "allow");
    player_auth(s->p, REAUTH, "TEST", "wait");
    player_auth(s->p, CONTINUE, "TEST", "allow");
    act(s);
    assert_ended(s, 0x82);
    stage_close(&s);
}

static void a_client_may_leave_before_the_answer(void **state) /* S2 */
{
    for (unsigned reset = 0; reset < 2; reset++) {
        struct stage *s = stage_open();
        connect_as(s, "wait");
        player_hang_up(s->p, reset);
        if (!reset) /* an orderly close behind unread bytes is seen when reading goes on */
            world_wait(s->world, 11000);
        world_settle(s->world);
        assert_int_equal(s->oracle->dropped, 1);
        assert_false(oracle_say(s->oracle, 0, "allow")); /* nobody is left to decide about */
        stage_close(&s);
    }
}

static void a_decision_that_never_comes_has_a_limit(void **state)
{
    struct stage *s = stage_open();
    connect_as(s, "wait");
    world_wait(s->world, 11000);
    act(s);
    assert_true(s->p->ended);
    assert_int_equal(s->oracle->dropped, 1);
    stage_close(&s);
}

/* Two CONNECTs with one client id, decided in the other order: each answer is for the
 * connection it was asked for, whatever the id. */
static void answers_are_bound_to_their_attempt(void **state) /* S2 */
{
    struct stage *s = stage_open();
    struct player *thief = player_new(s->world, "c", 5);

    connect_as(s, "wait"); /* the owner, who will be let in */
    player_connect(thief, 2, true, 100000, &(struct player_options){.username = "wait"});
    world_settle(s->world);
    assert_int_equal(s->oracle->asked[SKEP_STAGE_CONNECT], 2);

    decide(s, 1, "deny");
    player_read(thief);
    assert_true(thief->refused);
    assert_false(s->p->connected || s->p->ended);
    decide(s, 0, "allow");
    assert_true(s->p->connected);
    player_free(&thief);
    stage_close(&s);
}

static void one_that_waits_keeps_nobody_else_waiting(void **state)
{
    struct stage *s = stage_open();
    struct player *other = player_new(s->world, "other", 4);

    connect_as(s, "wait");
    player_connect(other, 1, true, 100000,
                   &(struct player_options){.username = "allow", .clean = true});
    world_settle(s->world);
    player_read(other);
    assert_true(other->connected);
    assert_false(s->p->connected);
    player_free(&other);
    stage_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_unknown_method_is_refused),
        cmocka_unit_test(without_modules_every_method_is_unknown),
        cmocka_unit_test(a_method_may_be_content_at_once),
        cmocka_unit_test(a_challenge_is_answered),
        cmocka_unit_test(the_answer_may_be_no_at_any_step),
        cmocka_unit_test(no_method_no_auth),
        cmocka_unit_test(meanwhile_only_auth_and_disconnect_may_come),
        cmocka_unit_test(an_exchange_has_its_time),
        cmocka_unit_test(a_client_may_authenticate_anew),
        cmocka_unit_test(another_method_is_an_error),
        cmocka_unit_test(auth_out_of_turn_is_an_error),
        cmocka_unit_test(who_fails_to_is_disconnected),
        cmocka_unit_test(an_answer_may_come_later),
        cmocka_unit_test(a_challenge_may_come_later_too),
        cmocka_unit_test(auth_while_the_module_thinks_is_an_error),
        cmocka_unit_test(a_client_may_leave_before_the_answer),
        cmocka_unit_test(a_decision_that_never_comes_has_a_limit),
        cmocka_unit_test(answers_are_bound_to_their_attempt),
        cmocka_unit_test(one_that_waits_keeps_nobody_else_waiting),
    };
    log_level_set(LOG_LEVEL_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
