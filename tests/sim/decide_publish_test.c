/* Decisions about what clients publish, and what on_message makes of it. */
#include "theatre.h"

enum { PUBLISH = 1 << SKEP_STAGE_PUBLISH, MESSAGE = 1 << SKEP_STAGE_MESSAGE };

static const struct player_options plain = {.clean = true};

struct scene {
    struct theatre t;
    struct actor *from, *to;
};

/* A publisher of that version, and a subscriber to everything. */
static struct scene scene_open(unsigned stages, unsigned version)
{
    struct scene s = {.t = theatre_open(stages, true)};

    s.from = actor_new(&s.t, "from", version);
    s.to = actor_new(&s.t, "to", 5);
    enter(&s.t, s.from, 0, &plain);
    enter(&s.t, s.to, 1, &plain);
    player_subscribe(s.to->p, "#", 2);
    ACT(&s.t, s.to);
    return s;
}

static void scene_close(struct scene *s)
{
    actor_free(&s->from);
    actor_free(&s->to);
    theatre_close(&s->t);
}

static void publish(struct scene *s, const char *topic, const char *payload, unsigned qos)
{
    assert_true(player_publish(s->from->p, topic, payload, qos, false));
    ACT(&s->t, s->from, s->to);
}

static void say(struct scene *s, unsigned i, const char *word)
{
    assert_true(oracle_say(s->t.oracle, i, word));
    ACT(&s->t, s->from, s->to);
}

static void what_is_allowed_arrives(void **state)
{
    struct scene s = scene_open(PUBLISH, 5);
    oracle_rule(s.t.oracle, SKEP_STAGE_PUBLISH, NULL, "allow");
    publish(&s, "a", "1", 0);
    publish(&s, "b", "2", 1);
    publish(&s, "c", "3", 2);
    assert_string_equal(s.to->inbox, "a=1/0 b=2/1 c=3/2 ");
    assert_int_equal(s.t.oracle->asked[SKEP_STAGE_PUBLISH], 3);
    assert_string_equal(s.t.oracle->client, "from");
    ASSERT_LEDGER(&s.t, accepted, 3);
    scene_close(&s);
}

static void what_is_denied_does_not(void **state) /* S3 */
{
    for (unsigned version = 3; version <= 5; version++) {
        struct scene s = scene_open(PUBLISH, version);
        s.t.oracle->reason = 0x87;
        oracle_rule(s.t.oracle, SKEP_STAGE_PUBLISH, NULL, "deny");
        for (unsigned qos = 0; qos < 3; qos++)
            publish(&s, "a", "x", qos);
        assert_string_equal(s.to->inbox, "");
        assert_int_equal(s.from->refused, version == 5 ? 2 : 0);
        assert_int_equal(s.from->reason, version == 5 ? 0x87 : 0);
        assert_int_equal(s.from->p->out_count, 0); /* 3.1.1 hears of no refusal */
        ASSERT_LEDGER(&s.t, refused_not_authorized, 3);
        ASSERT_LEDGER(&s.t, accepted, 0);
        scene_close(&s);
    }
}

static void a_reason_that_puback_lacks_becomes_another(void **state) /* [MQTT-3.4.2-1] */
{
    struct scene s = scene_open(PUBLISH, 5);
    s.t.oracle->reason = 0x8A; /* banned: for CONNACK and DISCONNECT */
    oracle_rule(s.t.oracle, SKEP_STAGE_PUBLISH, NULL, "deny");
    publish(&s, "a", "x", 1);
    assert_int_equal(s.from->reason, 0x87);
    s.t.oracle->reason = 0x97;
    publish(&s, "a", "x", 1);
    assert_int_equal(s.from->reason, 0x97);
    ASSERT_LEDGER(&s.t, refused_quota, 1);
    scene_close(&s);
}

static void without_an_opinion_the_default_decides(void **state)
{
    struct scene s = scene_open(PUBLISH, 5);
    publish(&s, "a", "1", 1);
    world_modules(s.t.world, &s.t.oracle->module, 1, false);
    publish(&s, "a", "2", 1);
    assert_string_equal(s.to->inbox, "a=1/1 ");
    assert_int_equal(s.from->refused, 1);
    scene_close(&s);
}

static void a_dropped_message_is_accepted_and_goes_nowhere(void **state)
{
    struct scene s = scene_open(PUBLISH, 5);
    oracle_rule(s.t.oracle, SKEP_STAGE_PUBLISH, NULL, "drop");
    publish(&s, "a", "x", 1);
    publish(&s, "a", "x", 2);
    assert_string_equal(s.to->inbox, "");
    assert_int_equal(s.from->refused, 0);
    assert_int_equal(s.from->p->out_count, 0);
    ASSERT_LEDGER(&s.t, accepted, 2);
    ASSERT_LEDGER(&s.t, accepted_dropped, 2);
    scene_close(&s);
}

/* -- Waiting -- */

static void what_comes_behind_waits_in_order(void **state)
{
    for (unsigned qos = 0; qos < 3; qos++) {
        struct scene s = scene_open(PUBLISH, 5);
        oracle_rule(s.t.oracle, SKEP_STAGE_PUBLISH, "slow", "wait");
        oracle_rule(s.t.oracle, SKEP_STAGE_PUBLISH, "fast", "allow");
        player_publish(s.from->p, "slow", "1", qos, false);
        player_publish(s.from->p, "fast", "2", 0, false);
        player_ping(s.from->p);
        ACT(&s.t, s.from, s.to);
        assert_string_equal(s.to->inbox, "");
        assert_int_equal(s.from->p->pings, 0);
        assert_int_equal(s.t.oracle->asked[SKEP_STAGE_PUBLISH], 1);
        say(&s, 0, "allow");
        assert_int_equal(s.from->p->pings, 1);
        if (qos == 0)
            assert_string_equal(s.to->inbox, "slow=1/0 fast=2/0 ");
        else /* each QoS has an order of its own */
            assert_non_null(strstr(s.to->inbox, "slow=1/"));
        ASSERT_LEDGER(&s.t, accepted, 2);
        scene_close(&s);
    }
}

static void a_late_no_is_a_no(void **state)
{
    struct scene s = scene_open(PUBLISH, 5);
    s.t.oracle->reason = 0x87;
    oracle_rule(s.t.oracle, SKEP_STAGE_PUBLISH, NULL, "wait");
    publish(&s, "a", "x", 2);
    say(&s, 0, "wait"); /* and it may put it off again */
    say(&s, 1, "deny");
    assert_int_equal(s.from->refused, 1);
    assert_string_equal(s.to->inbox, "");
    assert_int_equal(s.t.oracle->thens, 2);
    scene_close(&s);
}

static void one_that_waits_delays_nobody_else(void **state)
{
    struct scene s = scene_open(PUBLISH, 5);
    struct actor *other = actor_new(&s.t, "other", 4);
    oracle_rule(s.t.oracle, SKEP_STAGE_PUBLISH, "slow", "wait");
    enter(&s.t, other, 0, &plain); /* on the same loop */
    publish(&s, "slow", "x", 1);
    player_publish(other->p, "quick", "y", 1, false);
    ACT(&s.t, other, s.to);
    assert_string_equal(s.to->inbox, "quick=y/1 ");
    actor_free(&other);
    scene_close(&s);
}

static void time_runs_out(void **state)
{
    struct scene s = scene_open(PUBLISH, 5);
    oracle_rule(s.t.oracle, SKEP_STAGE_PUBLISH, "slow", "wait");
    publish(&s, "slow", "x", 1);
    world_wait(s.t.world, 6000);
    ACT(&s.t, s.from, s.to);
    assert_int_equal(s.from->refused, 1);
    assert_int_equal(s.t.oracle->dropped, 1);
    assert_false(oracle_say(s.t.oracle, 0, "allow")); /* too late */
    publish(&s, "next", "y", 1);
    assert_string_equal(s.to->inbox, "next=y/1 ");
    assert_int_equal(atomic_load(&s.t.oracle->module->pending), 0);
    scene_close(&s);
}

static void what_cannot_be_told_follows_on_error(void **state)
{
    static const enum skep_verdict policies[] = {SKEP_DENY, SKEP_NEXT, SKEP_ALLOW};

    for (unsigned i = 0; i < ARRAY_LEN(policies); i++) {
        struct scene s = scene_open(PUBLISH, 5);
        s.t.oracle->module->on_error = policies[i];
        oracle_rule(s.t.oracle, SKEP_STAGE_PUBLISH, NULL, "error");
        publish(&s, "a", "x", 1);
        assert_int_equal(s.from->refused, policies[i] == SKEP_DENY);
        world_modules(s.t.world, &s.t.oracle->module, 1, false);
        publish(&s, "a", "y", 1);
        assert_int_equal(s.from->refused, policies[i] == SKEP_DENY   ? 2
                                          : policies[i] == SKEP_NEXT ? 1
                                                                     : 0);
        scene_close(&s);
    }
}

/* -- More than one module -- */

static void the_first_opinion_counts(void **state)
{
    struct scene s = scene_open(PUBLISH, 5);
    struct oracle *second = oracle_new("second", PUBLISH);
    struct skep_module *both[] = {s.t.oracle->module, second->module};
    world_modules(s.t.world, both, 2, true);
    oracle_rule(s.t.oracle, SKEP_STAGE_PUBLISH, "mine", "allow");
    oracle_rule(second, SKEP_STAGE_PUBLISH, NULL, "deny");
    publish(&s, "mine", "1", 1);
    publish(&s, "other", "2", 1);
    assert_string_equal(s.to->inbox, "mine=1/1 ");
    assert_int_equal(second->asked[SKEP_STAGE_PUBLISH], 1);

    /* After a wait the rest of the chain is asked. */
    oracle_rule(s.t.oracle, SKEP_STAGE_PUBLISH, "slow", "wait");
    publish(&s, "slow", "3", 1);
    say(&s, 0, "next");
    assert_int_equal(second->asked[SKEP_STAGE_PUBLISH], 2);
    assert_int_equal(s.from->refused, 2);
    scene_close(&s);
    oracle_free(&second);
}

static void new_rules_hold_for_old_clients_at_once(void **state) /* S3 */
{
    struct scene s = scene_open(PUBLISH, 5);
    struct oracle *strict = oracle_new("strict", PUBLISH);
    oracle_rule(strict, SKEP_STAGE_PUBLISH, NULL, "deny");
    publish(&s, "a", "1", 1);
    world_modules(s.t.world, &strict->module, 1, true);
    publish(&s, "a", "2", 1);
    assert_string_equal(s.to->inbox, "a=1/1 ");
    world_modules(s.t.world, NULL, 0, true);
    publish(&s, "a", "3", 1);
    assert_string_equal(s.to->inbox, "a=1/1 a=3/1 ");
    scene_close(&s);
    oracle_free(&strict);
}

/* The old instance is out of the chain while it thinks: its answer counts, and then those that are
 * there now are asked. */
static void a_reload_while_one_waits(void **state)
{
    struct scene s = scene_open(PUBLISH, 5);
    struct oracle *again = oracle_new("oracle", PUBLISH), *after = oracle_new("after", PUBLISH);
    struct skep_module *both[] = {again->module, after->module};
    oracle_rule(s.t.oracle, SKEP_STAGE_PUBLISH, NULL, "wait");
    oracle_rule(after, SKEP_STAGE_PUBLISH, NULL, "deny");
    publish(&s, "a", "1", 1);
    world_modules(s.t.world, both, 2, true);
    assert_int_equal(atomic_load(&s.t.oracle->module->holds), 1);
    say(&s, 0, "next");
    assert_int_equal(again->asked[SKEP_STAGE_PUBLISH], 0); /* its place is behind its namesake */
    assert_int_equal(after->asked[SKEP_STAGE_PUBLISH], 1);
    assert_int_equal(s.from->refused, 1);
    assert_int_equal(atomic_load(&s.t.oracle->module->holds), 0);

    /* Nobody has its name any more: all are asked. */
    world_modules(s.t.world, &s.t.oracle->module, 1, true);
    publish(&s, "a", "2", 1);
    world_modules(s.t.world, &after->module, 1, true);
    say(&s, 1, "next");
    assert_int_equal(after->asked[SKEP_STAGE_PUBLISH], 2);
    assert_int_equal(s.from->refused, 2);
    scene_close(&s);
    oracle_free(&again);
    oracle_free(&after);
}

/* -- Remembering -- */

static void what_may_be_remembered_is(void **state)
{
    struct scene s = scene_open(PUBLISH, 5);
    struct oracle *o = s.t.oracle;
    o->cacheable = true;
    oracle_rule(o, SKEP_STAGE_PUBLISH, "no", "deny");
    oracle_rule(o, SKEP_STAGE_PUBLISH, "yes", "allow");
    for (unsigned i = 0; i < 3; i++) {
        publish(&s, "no", "x", 1);
        publish(&s, "yes", "x", 1);
    }
    assert_int_equal(o->asked[SKEP_STAGE_PUBLISH], 2);
    assert_int_equal(s.from->refused, 3);
    publish(&s, "yes", "x", 0); /* another QoS is another question */
    assert_int_equal(o->asked[SKEP_STAGE_PUBLISH], 3);
    skep_forget_verdicts(o->module);
    oracle_rule(o, SKEP_STAGE_PUBLISH, "yes", "deny");
    publish(&s, "yes", "x", 1);
    assert_int_equal(s.from->refused, 4);
    world_modules(s.t.world, &o->module, 1, true); /* as after a reload */
    publish(&s, "yes", "x", 1);
    assert_int_equal(o->asked[SKEP_STAGE_PUBLISH], 5);
    scene_close(&s);
}

static void one_who_objects_to_remembering_is_enough(void **state)
{
    struct scene s = scene_open(PUBLISH, 5);
    struct oracle *second = oracle_new("second", PUBLISH);
    struct skep_module *both[] = {s.t.oracle->module, second->module};
    world_modules(s.t.world, both, 2, true);
    second->cacheable = true;
    oracle_rule(second, SKEP_STAGE_PUBLISH, NULL, "allow");
    publish(&s, "a", "x", 1);
    publish(&s, "a", "x", 1);
    assert_int_equal(second->asked[SKEP_STAGE_PUBLISH], 2);
    scene_close(&s);
    oracle_free(&second);
}

/* -- Paths around it -- */

static void system_topics_are_nobodys(void **state) /* S4 */
{
    struct scene s = scene_open(PUBLISH | MESSAGE, 5);
    oracle_rule(s.t.oracle, SKEP_STAGE_PUBLISH, NULL, "allow");
    player_subscribe(s.to->p, "$SYS/#", 0);
    publish(&s, "$SYS/broker/version", "mine", 1);
    assert_int_equal(s.from->refused, 1);
    assert_int_equal(s.t.oracle->asked[SKEP_STAGE_PUBLISH], 0);
    assert_string_equal(s.to->inbox, "");
    scene_close(&s);
}

static void an_id_in_use_is_not_asked_about_again(void **state) /* [MQTT-4.3.3-10] */
{
    struct scene s = scene_open(PUBLISH, 4);
    static const uint8_t once[] = {0x34, 6, 0, 1, 'a', 0, 9, 'x'},
                         again[] = {0x3c, 6, 0, 1, 'a', 0, 9, 'x'};
    oracle_rule(s.t.oracle, SKEP_STAGE_PUBLISH, NULL, "allow");
    s.from->p->out[0] = (struct outgoing){.id = 9, .qos = 2};
    s.from->p->out_count = 1;
    player_write(s.from->p, once, sizeof once);
    player_write(s.from->p, again, sizeof again);
    world_settle(s.t.world);
    assert_int_equal(s.t.oracle->asked[SKEP_STAGE_PUBLISH], 1);
    ASSERT_LEDGER(&s.t, accepted, 1);
    scene_close(&s);
}

static void an_alias_stands_for_its_topic(void **state) /* S3 */
{
    struct scene s = scene_open(PUBLISH, 5);
    static const uint8_t first[] = {0x30, 10, 0, 2, 'o', 'k', 3, 0x23, 0, 1, 'x', 'y'};
    static const uint8_t other[] = {0x30, 10, 0, 2, 'n', 'o', 3, 0x23, 0, 1, 'x', 'y'};
    static const uint8_t alone[] = {0x30, 8, 0, 0, 3, 0x23, 0, 1, 'x', 'y'};
    oracle_rule(s.t.oracle, SKEP_STAGE_PUBLISH, "ok", "allow");
    oracle_rule(s.t.oracle, SKEP_STAGE_PUBLISH, "no", "deny");
    player_write(s.from->p, first, sizeof first);
    player_write(s.from->p, alone, sizeof alone);
    player_write(s.from->p, other, sizeof other); /* the alias is another topic's now */
    player_write(s.from->p, alone, sizeof alone);
    ACT(&s.t, s.from, s.to);
    assert_int_equal(s.t.oracle->asked[SKEP_STAGE_PUBLISH], 4);
    assert_string_equal(s.t.oracle->topic, "no");
    assert_string_equal(s.to->inbox, "ok=xy/0 ok=xy/0 ");

    /* And one that has to wait is still the same topic afterwards. */
    oracle_rule(s.t.oracle, SKEP_STAGE_PUBLISH, "no", "wait");
    player_write(s.from->p, alone, sizeof alone);
    ACT(&s.t, s.from, s.to);
    say(&s, 0, "allow");
    assert_string_equal(s.to->inbox, "ok=xy/0 ok=xy/0 no=xy/0 ");
    scene_close(&s);
}

/* -- on_message -- */

static void moves_it(struct skep_request *r)
{
    assert_int_equal(skep_message_set_topic(r, SKEP_STR("moved/here")), 0);
    assert_int_equal(skep_message_set_payload(r, SKEP_STR("other")), 0);
    assert_int_equal(skep_message_set_qos(r, 1), 0);
    assert_int_equal(skep_message_set_topic(r, SKEP_STR("a/+")), SKEP_E_INVALID);
    assert_int_equal(skep_message_set_topic(r, SKEP_STR("$SYS/x")), SKEP_E_INVALID);
    assert_int_equal(skep_message_set_qos(r, 3), SKEP_E_INVALID);
    assert_int_equal(skep_message_add_user_property(r, SKEP_STR("by"), SKEP_STR("test")), 0);
}

static void a_message_may_be_changed(void **state)
{
    struct scene s = scene_open(MESSAGE, 5);
    s.t.oracle->on_message = moves_it;
    publish(&s, "a", "x", 0);
    publish(&s, "a", "x", 2);
    assert_string_equal(s.to->inbox, "moved/here=other/1 moved/here=other/1 ");
    assert_int_equal(s.from->p->out_count, 0); /* its QoS 2 is between it and the broker */
    ASSERT_LEDGER(&s.t, accepted, 2);
    scene_close(&s);
}

static void copies_it(struct skep_request *r)
{
    assert_int_equal(skep_message_copy_to(r, SKEP_STR("copy/1")), 0);
    skep_message_set_payload(r, SKEP_STR("late"));
    assert_int_equal(skep_message_copy_to(r, SKEP_STR("copy/2")), 0);
    assert_int_equal(skep_message_copy_to(r, SKEP_STR("copy/#")), SKEP_E_INVALID);
}

static void a_message_may_be_copied(void **state)
{
    struct scene s = scene_open(MESSAGE, 5);
    s.t.oracle->on_message = copies_it;
    publish(&s, "a", "x", 1);
    assert_string_equal(s.to->inbox, "a=late/1 copy/1=x/1 copy/2=late/1 ");
    ASSERT_LEDGER(&s.t, accepted, 3);

    oracle_rule(s.t.oracle, SKEP_STAGE_MESSAGE, NULL, "drop"); /* elsewhere instead */
    s.to->inbox[0] = '\0';
    publish(&s, "a", "y", 1);
    assert_string_equal(s.to->inbox, "copy/1=y/1 copy/2=late/1 ");
    ASSERT_LEDGER(&s.t, accepted_dropped, 1);
    scene_close(&s);
}

static void every_module_may_change_it(void **state)
{
    struct scene s = scene_open(MESSAGE | PUBLISH, 5);
    struct oracle *second = oracle_new("second", MESSAGE);
    struct skep_module *both[] = {s.t.oracle->module, second->module};
    world_modules(s.t.world, both, 2, true);
    oracle_rule(s.t.oracle, SKEP_STAGE_PUBLISH, NULL, "allow");
    oracle_rule(s.t.oracle, SKEP_STAGE_MESSAGE, NULL, "allow"); /* no opinion hides it */
    s.t.oracle->on_message = moves_it;
    publish(&s, "a", "x", 1);
    assert_int_equal(second->asked[SKEP_STAGE_MESSAGE], 1);
    assert_string_equal(second->topic, "moved/here");

    oracle_rule(s.t.oracle, SKEP_STAGE_PUBLISH, "b", "deny"); /* what is denied is not shown */
    publish(&s, "b", "x", 1);
    assert_int_equal(second->asked[SKEP_STAGE_MESSAGE], 1);
    scene_close(&s);
    oracle_free(&second);
}

static void a_change_may_take_its_time(void **state)
{
    struct scene s = scene_open(MESSAGE, 5);
    oracle_rule(s.t.oracle, SKEP_STAGE_MESSAGE, NULL, "wait");
    s.t.oracle->on_message = moves_it;
    publish(&s, "a", "x", 2);
    assert_string_equal(s.to->inbox, "");
    say(&s, 0, "allow");
    assert_string_equal(s.to->inbox, "moved/here=other/1 ");
    publish(&s, "a", "y", 1);
    s.t.oracle->reason = 0x99;
    say(&s, 1, "deny");
    assert_int_equal(s.from->reason, 0x99);
    ASSERT_LEDGER(&s.t, refused_invalid, 1);
    scene_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_allowed_arrives),
        cmocka_unit_test(what_is_denied_does_not),
        cmocka_unit_test(a_reason_that_puback_lacks_becomes_another),
        cmocka_unit_test(without_an_opinion_the_default_decides),
        cmocka_unit_test(a_dropped_message_is_accepted_and_goes_nowhere),
        cmocka_unit_test(what_comes_behind_waits_in_order),
        cmocka_unit_test(a_late_no_is_a_no),
        cmocka_unit_test(one_that_waits_delays_nobody_else),
        cmocka_unit_test(time_runs_out),
        cmocka_unit_test(what_cannot_be_told_follows_on_error),
        cmocka_unit_test(the_first_opinion_counts),
        cmocka_unit_test(new_rules_hold_for_old_clients_at_once),
        cmocka_unit_test(a_reload_while_one_waits),
        cmocka_unit_test(what_may_be_remembered_is),
        cmocka_unit_test(one_who_objects_to_remembering_is_enough),
        cmocka_unit_test(system_topics_are_nobodys),
        cmocka_unit_test(an_id_in_use_is_not_asked_about_again),
        cmocka_unit_test(an_alias_stands_for_its_topic),
        cmocka_unit_test(a_message_may_be_changed),
        cmocka_unit_test(a_message_may_be_copied),
        cmocka_unit_test(every_module_may_change_it),
        cmocka_unit_test(a_change_may_take_its_time),
    };
    log_level_set(LOG_LEVEL_ERROR + 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
