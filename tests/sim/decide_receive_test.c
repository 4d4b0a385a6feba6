/* Who may subscribe to what and receive what, on every path a message can take to a client. */
#include "theatre.h"

enum {
    SUBSCRIBE = 1 << SKEP_STAGE_SUBSCRIBE,
    DELIVER = 1 << SKEP_STAGE_DELIVER,
    PUBLISH = 1 << SKEP_STAGE_PUBLISH,
    WILL = 1 << SKEP_STAGE_WILL,
    CONNECT = 1 << SKEP_STAGE_CONNECT,
};

static const struct player_options plain = {.clean = true};
static const struct player_options lasting = {.expiry = 3600};

struct scene {
    struct theatre t;
    struct oracle *o;
    struct actor *from, *to;
};

static struct scene scene_open(unsigned stages, unsigned version)
{
    struct scene s = {.t = theatre_open(stages, true)};

    s.o = s.t.oracle;
    s.o->reason = 0x87;
    s.from = actor_new(&s.t, "from", 5);
    s.to = actor_new(&s.t, "to", version);
    enter(&s.t, s.from, 0, &plain);
    enter(&s.t, s.to, 1, &lasting);
    return s;
}

static void scene_close(struct scene *s)
{
    actor_free(&s->from);
    actor_free(&s->to);
    theatre_close(&s->t);
}

static void subscribe(struct scene *s, const char *filter, unsigned qos)
{
    player_subscribe(s->to->p, filter, qos);
    ACT(&s->t, s->to);
}

static void publish(struct scene *s, const char *topic, const char *payload, unsigned qos)
{
    player_publish(s->from->p, topic, payload, qos, false);
    ACT(&s->t, s->from, s->to);
}

static void back_again(struct scene *s)
{
    player_hang_up(s->to->p, false);
    world_settle(s->t.world);
    enter(&s->t, s->to, 1, &lasting);
    ACT(&s->t, s->from, s->to);
}

/* -- SUBSCRIBE -- */

static void a_filter_may_be_refused(void **state)
{
    for (unsigned version = 4; version <= 5; version++) {
        struct scene s = scene_open(SUBSCRIBE, version);
        oracle_rule(s.o, SKEP_STAGE_SUBSCRIBE, "secret/#", "deny");
        subscribe(&s, "secret/#", 1);
        assert_int_equal(s.to->p->granted, version == 5 ? 0x87 : 0x80);
        subscribe(&s, "open/#", 1);
        assert_int_equal(s.to->p->granted, 1);
        publish(&s, "secret/x", "1", 1);
        publish(&s, "open/x", "2", 1);
        assert_string_equal(s.to->inbox, "open/x=2/1 ");
        scene_close(&s);
    }
}

static void less_may_be_granted(void **state)
{
    struct scene s = scene_open(SUBSCRIBE, 5);
    s.o->qos = 1;
    subscribe(&s, "a", 2);
    assert_int_equal(s.to->p->granted, 1);
    publish(&s, "a", "x", 2);
    assert_string_equal(s.to->inbox, "a=x/1 ");
    scene_close(&s);
}

static void a_shared_filter_is_asked_about_by_its_topic(void **state) /* S3 */
{
    struct scene s = scene_open(SUBSCRIBE, 5);
    oracle_rule(s.o, SKEP_STAGE_SUBSCRIBE, "secret/#", "deny");
    subscribe(&s, "$share/g/secret/#", 1);
    assert_int_equal(s.to->p->granted, 0x87);
    assert_string_equal(s.o->topic, "secret/#");
    scene_close(&s);
}

static void a_subscription_may_wait(void **state)
{
    struct scene s = scene_open(SUBSCRIBE, 5);
    oracle_rule(s.o, SKEP_STAGE_SUBSCRIBE, NULL, "wait");
    player_publish(s.from->p, "a", "kept", 1, true);
    ACT(&s.t, s.from);
    subscribe(&s, "a", 1);
    assert_int_equal(s.to->p->subacks, 0);
    publish(&s, "a", "too early", 1);
    oracle_say(s.o, 0, "allow");
    ACT(&s.t, s.to);
    assert_int_equal(s.to->p->subacks, 1);
    assert_string_equal(s.to->inbox, "a=kept/1r ");
    scene_close(&s);
}

static void a_resumed_session_keeps_what_it_may(void **state) /* S3 */
{
    for (unsigned later = 0; later < 2; later++) {
        struct scene s = scene_open(SUBSCRIBE, 5);
        subscribe(&s, "open", 2);
        subscribe(&s, "secret", 1);
        subscribe(&s, "$share/g/secret", 1);
        s.o->qos = 1; /* less than was granted */
        oracle_rule(s.o, SKEP_STAGE_SUBSCRIBE, "secret", later ? "wait" : "deny");
        player_hang_up(s.to->p, false);
        world_settle(s.t.world);
        enter(&s.t, s.to, 2, &lasting);
        assert_int_equal(s.to->p->connected, !later);
        if (later) {
            oracle_say(s.o, 0, "deny");
            ACT(&s.t, s.to);
            assert_false(s.to->p->connected);
            oracle_say(s.o, 1, "deny");
            ACT(&s.t, s.to);
        }
        assert_true(s.to->p->connected && s.to->p->session_present);
        publish(&s, "secret", "1", 1);
        publish(&s, "open", "2", 2);
        assert_string_equal(s.to->inbox, "open=2/1 ");
        scene_close(&s);
    }
}

static void who_leaves_while_it_resumes_loses_nothing(void **state)
{
    struct scene s = scene_open(SUBSCRIBE, 5);
    subscribe(&s, "a", 1);
    oracle_rule(s.o, SKEP_STAGE_SUBSCRIBE, "a", "wait");
    back_again(&s);
    assert_false(s.to->p->connected);
    player_hang_up(s.to->p, true);
    world_settle(s.t.world);
    assert_false(oracle_say(s.o, 0, "deny"));
    publish(&s, "a", "x", 1);
    oracle_rule(s.o, SKEP_STAGE_SUBSCRIBE, "a", "allow");
    enter(&s.t, s.to, 0, &lasting);
    ACT(&s.t, s.to);
    assert_string_equal(s.to->inbox, "a=x/1 ");
    scene_close(&s);
}

/* -- Delivery -- */

static void what_one_may_not_have_is_not_sent(void **state) /* S3 */
{
    struct scene s = scene_open(DELIVER, 5);
    oracle_rule(s.o, SKEP_STAGE_DELIVER, "secret", "deny");
    subscribe(&s, "#", 2);
    for (unsigned qos = 0; qos < 3; qos++) {
        publish(&s, "secret", "1", qos);
        publish(&s, "open", "2", qos);
    }
    assert_string_equal(s.to->inbox, "open=2/0 open=2/1 open=2/2 ");
    assert_string_equal(s.o->client, "to");
    ASSERT_LEDGER(&s.t, dropped_not_authorized, 3);
    scene_close(&s);
}

static void retained_messages_are_asked_about(void **state) /* S3 */
{
    struct scene s = scene_open(DELIVER, 5);
    oracle_rule(s.o, SKEP_STAGE_DELIVER, "secret", "deny");
    player_publish(s.from->p, "secret", "1", 1, true);
    player_publish(s.from->p, "open", "2", 1, true);
    ACT(&s.t, s.from);
    subscribe(&s, "#", 1);
    assert_string_equal(s.to->inbox, "open=2/1r ");
    scene_close(&s);
}

static void a_queue_follows_the_rules_of_the_day(void **state) /* S3 */
{
    struct scene s = scene_open(DELIVER, 5);
    subscribe(&s, "#", 2);
    player_hang_up(s.to->p, false);
    world_settle(s.t.world);
    publish(&s, "secret", "1", 1);
    publish(&s, "secret", "2", 2);
    publish(&s, "open", "3", 1);
    oracle_rule(s.o, SKEP_STAGE_DELIVER, "secret", "deny"); /* since it was queued */
    enter(&s.t, s.to, 1, &lasting);
    ACT(&s.t, s.to);
    assert_string_equal(s.to->inbox, "open=3/1 ");
    ASSERT_LEDGER(&s.t, dropped_not_authorized, 2);
    scene_close(&s);
}

static void who_cannot_answer_at_once_follows_on_error(void **state)
{
    struct scene s = scene_open(DELIVER, 5);
    oracle_rule(s.o, SKEP_STAGE_DELIVER, NULL, "wait");
    subscribe(&s, "#", 0);
    publish(&s, "a", "1", 0);
    s.o->module->on_error = SKEP_ALLOW;
    publish(&s, "a", "2", 0);
    assert_string_equal(s.to->inbox, "a=2/0 ");
    assert_int_equal(s.o->dropped, 2); /* what it left with the request */
    assert_int_equal(s.o->wait_count, 0);
    scene_close(&s);
}

/* A filter of deliveries beside an access list that does not look at them. */
static void the_default_is_for_access_lists(void **state)
{
    struct scene s = scene_open(DELIVER, 5);
    struct oracle *list = oracle_new("list", PUBLISH | SUBSCRIBE);
    struct skep_module *both[] = {s.o->module, list->module};
    oracle_rule(list, SKEP_STAGE_PUBLISH, NULL, "allow");
    oracle_rule(list, SKEP_STAGE_SUBSCRIBE, NULL, "allow");
    world_modules(s.t.world, both, 2, false);
    subscribe(&s, "#", 0);
    publish(&s, "a", "1", 0);
    assert_string_equal(s.to->inbox, "a=1/0 ");
    scene_close(&s);
    oracle_free(&list);

    s = scene_open(DELIVER | PUBLISH | SUBSCRIBE, 5);
    oracle_rule(s.o, SKEP_STAGE_PUBLISH, NULL, "allow");
    oracle_rule(s.o, SKEP_STAGE_SUBSCRIBE, NULL, "allow");
    world_modules(s.t.world, &s.o->module, 1, false);
    subscribe(&s, "#", 0);
    publish(&s, "a", "1", 0);
    assert_string_equal(s.to->inbox, "");
    scene_close(&s);
}

static void verdicts_about_deliveries_are_remembered(void **state)
{
    struct scene s = scene_open(DELIVER, 5);
    s.o->cacheable = true;
    oracle_rule(s.o, SKEP_STAGE_DELIVER, NULL, "allow");
    subscribe(&s, "#", 0);
    for (unsigned i = 0; i < 3; i++)
        publish(&s, "a", "1", 0);
    assert_int_equal(s.o->asked[SKEP_STAGE_DELIVER], 1);
    skep_forget_verdicts(s.o->module);
    oracle_rule(s.o, SKEP_STAGE_DELIVER, NULL, "deny");
    publish(&s, "a", "1", 0);
    assert_string_equal(s.to->inbox, "a=1/0 a=1/0 a=1/0 ");
    scene_close(&s);
}

/* -- Shared subscriptions -- */

static const char *barred; /* the client that may receive nothing */

static enum skep_verdict bars_one(struct skep_request *r, void *self)
{
    struct skep_str id = skep_client_id(skep_request_client(r));

    return skep_str_eq(id, skep_str(barred)) ? skep_deny(r, SKEP_RC_NOT_AUTHORIZED, NULL)
                                             : skep_allow(r);
}

static void a_member_without_the_right_swallows_nothing(void **state) /* S3 */
{
    static const struct skep_descriptor d = {
        .size = sizeof d, .name = "bars", .on_deliver = bars_one};
    struct skep_module *m = fake_module_new("bars", &d, NULL, WORLD_LOOPS);
    struct scene s = scene_open(0, 5);
    struct actor *other = actor_new(&s.t, "other", 5);

    world_modules(s.t.world, &m, 1, true);
    barred = "to";
    enter(&s.t, other, 2, &lasting);
    subscribe(&s, "$share/g/a", 1);
    player_subscribe(other->p, "$share/g/a", 1);
    ACT(&s.t, other);
    for (unsigned i = 0; i < 4; i++) {
        player_publish(s.from->p, "a", "x", 1, false);
        ACT(&s.t, s.from, s.to, other);
    }
    assert_string_equal(s.to->inbox, "");
    assert_string_equal(other->inbox, "a=x/1 a=x/1 a=x/1 a=x/1 ");

    /* Away, it is still the one with the right who gets it. */
    player_hang_up(other->p, false);
    player_hang_up(s.to->p, false);
    world_settle(s.t.world);
    player_publish(s.from->p, "a", "y", 1, false);
    ACT(&s.t, s.from);
    enter(&s.t, s.to, 0, &lasting);
    enter(&s.t, other, 0, &lasting);
    ACT(&s.t, s.to, other);
    assert_string_equal(s.to->inbox, "");
    assert_string_equal(other->inbox, "a=x/1 a=x/1 a=x/1 a=x/1 a=y/1 ");

    /* With nobody left who may, that is said. */
    player_unsubscribe(other->p, "$share/g/a");
    ACT(&s.t, other);
    player_publish(s.from->p, "a", "z", 1, false);
    ACT(&s.t, s.from, s.to, other);
    ASSERT_LEDGER(&s.t, dropped_not_authorized, 1);
    assert_int_equal(s.from->refused, 0);
    actor_free(&other);
    scene_close(&s);
    fake_module_free(&m);
}

/* It was chosen while it had the right, and lost that before it came for the message. */
static void who_lost_the_right_passes_it_on(void **state) /* S3 */
{
    static const struct skep_descriptor d = {
        .size = sizeof d, .name = "bars", .on_deliver = bars_one};
    for (unsigned qos = 1; qos < 3; qos++) {
        struct skep_module *m = fake_module_new("bars", &d, NULL, WORLD_LOOPS);
        struct scene s = scene_open(0, 5);
        struct actor *other = actor_new(&s.t, "other", 5);

        world_modules(s.t.world, &m, 1, true);
        barred = "nobody";
        subscribe(&s, "$share/g/a", qos);
        player_hang_up(s.to->p, false);
        world_settle(s.t.world);
        player_publish(s.from->p, "a", "1", qos, false);
        player_publish(s.from->p, "a", "2", qos, false);
        ACT(&s.t, s.from);
        enter(&s.t, other, 2, &lasting);
        player_subscribe(other->p, "$share/g/a", qos);
        ACT(&s.t, other);
        barred = "to";
        enter(&s.t, s.to, 0, &lasting);
        ACT(&s.t, s.to, other);
        assert_string_equal(s.to->inbox, "");
        assert_string_equal(other->inbox, qos == 1 ? "a=1/1 a=2/1 " : "a=1/2 a=2/2 ");
        ASSERT_LEDGER(&s.t, dropped_not_authorized, 0);

        /* With nobody left to take it, it is dropped and counted. */
        player_unsubscribe(other->p, "$share/g/a");
        barred = "nobody";
        player_hang_up(s.to->p, false);
        ACT(&s.t, other);
        player_publish(s.from->p, "a", "3", qos, false);
        ACT(&s.t, s.from);
        barred = "to";
        enter(&s.t, s.to, 0, &lasting);
        ACT(&s.t, s.to, other);
        assert_string_equal(s.to->inbox, "");
        ASSERT_LEDGER(&s.t, dropped_not_authorized, 1);
        actor_free(&other);
        scene_close(&s);
        fake_module_free(&m);
    }
}

/* -- Wills -- */

static struct player_options with_will(uint32_t delay)
{
    static struct player_will will = {.topic = "will", .payload = "gone", .qos = 1};

    will.delay = delay;
    return (struct player_options){.expiry = 3600, .will = &will};
}

static void a_will_is_asked_about_with_connect(void **state) /* S3 */
{
    struct scene s = scene_open(WILL, 5);
    struct actor *one = actor_new(&s.t, "one", 5);
    struct player_options options = with_will(0);

    oracle_rule(s.o, SKEP_STAGE_WILL, "will", "deny");
    enter(&s.t, one, 0, &options);
    assert_true(one->p->refused);
    assert_int_equal(one->p->end_reason, 0x87);

    player_hang_up(one->p, false);
    oracle_rule(s.o, SKEP_STAGE_WILL, "will", "wait");
    enter(&s.t, one, 0, &options);
    assert_false(one->p->connected);
    oracle_say(s.o, 0, "allow");
    ACT(&s.t, one);
    assert_true(one->p->connected);
    actor_free(&one);
    scene_close(&s);
}

static void without_on_will_on_publish_is_asked(void **state)
{
    struct scene s = scene_open(PUBLISH, 5);
    struct actor *one = actor_new(&s.t, "one", 5);
    struct player_options options = with_will(0);

    oracle_rule(s.o, SKEP_STAGE_WILL, "will", "deny");
    enter(&s.t, one, 0, &options);
    assert_true(one->p->refused);
    actor_free(&one);
    scene_close(&s);
}

static void and_again_when_it_is_sent(void **state) /* S3 */
{
    static const char *const words[] = {"deny", "wait", "allow", "drop"};

    for (unsigned delay = 0; delay < 2; delay++) {
        for (unsigned i = 0; i < ARRAY_LEN(words); i++) {
            struct scene s = scene_open(WILL, 5);
            struct actor *one = actor_new(&s.t, "one", 5);
            struct player_options options = with_will(delay);
            enter(&s.t, one, 0, &options);
            subscribe(&s, "#", 1);
            oracle_rule(s.o, SKEP_STAGE_WILL, "will", words[i]); /* since it was left */
            player_hang_up(one->p, false);
            world_wait(s.t.world, 3000);
            ACT(&s.t, s.to);
            bool sent = i == 1 || i == 2; /* to wait is to say what was said at CONNECT */
            assert_string_equal(s.to->inbox, sent ? "will=gone/1 " : "");
            assert_string_equal(s.o->client, "one");
            ASSERT_LEDGER(&s.t, refused_not_authorized, i == 0);
            ASSERT_LEDGER(&s.t, accepted_dropped, i == 3);
            actor_free(&one);
            scene_close(&s);
        }
    }
}

/* -- Rules of one connection -- */

static const char *rule_filter;
static unsigned rule_actions;

static void one_rule(struct skep_request *r)
{
    if (!skep_str_eq(skep_connect_username(r), SKEP_STR("allow")))
        return;
    assert_int_equal(skep_connect_add_rule(r, true, rule_actions, skep_str(rule_filter)), 0);
    assert_int_equal(skep_connect_add_rule(r, false, 15, SKEP_STR("#")), 0);
    assert_int_equal(skep_connect_add_rule(r, true, 1, SKEP_STR("a/#/b")), SKEP_E_INVALID);
    assert_int_equal(skep_connect_add_rule(r, true, 16, SKEP_STR("a")), SKEP_E_INVALID);
}

static struct actor *ruled(struct scene *s, const char *id, const char *filter, unsigned actions)
{
    struct actor *a = actor_new(&s->t, id, 5);

    rule_filter = filter;
    rule_actions = actions;
    s->o->on_connect = one_rule;
    enter(&s->t, a, 0, &(struct player_options){.username = "allow", .expiry = 3600});
    assert_true(a->p->connected);
    return a;
}

static void a_connection_may_have_rules_of_its_own(void **state)
{
    struct scene s = scene_open(CONNECT, 5);
    struct actor *a =
        ruled(&s, "bee", "hive/%c/#", SKEP_MAY_PUBLISH | SKEP_MAY_SUBSCRIBE | SKEP_MAY_RECEIVE);

    subscribe(&s, "#", 1);
    player_publish(a->p, "hive/bee/1", "x", 1, false);
    player_publish(a->p, "hive/wasp/1", "x", 1, false);
    player_publish(a->p, "hive/bee/1", "x", 1, true); /* not retained, though */
    ACT(&s.t, a, s.to);
    assert_string_equal(s.to->inbox, "hive/bee/1=x/1 ");
    assert_int_equal(a->refused, 2);

    player_subscribe(a->p, "#", 1);
    ACT(&s.t, a);
    assert_int_equal(a->p->granted, 0x87);
    player_subscribe(a->p, "hive/+/x", 1);
    ACT(&s.t, a);
    assert_int_equal(a->p->granted, 0x87);
    player_subscribe(a->p, "hive/bee/+", 1);
    ACT(&s.t, a);
    assert_int_equal(a->p->granted, 1);
    actor_free(&a);
    scene_close(&s);
}

static void a_name_widens_nothing(void **state) /* S3 */
{
    static const char *const names[] = {"+", "#", "a/b", "$SYS"};

    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        struct scene s = scene_open(CONNECT, 5);
        struct actor *a = ruled(&s, names[i], "%c/#", SKEP_MAY_SUBSCRIBE | SKEP_MAY_PUBLISH);
        char filter[32];
        snprintf(filter, sizeof filter, "%s", strcmp(names[i], "#") == 0 ? "#" : "x/#");
        if (i == 0)
            snprintf(filter, sizeof filter, "+/#");
        player_subscribe(a->p, filter, 0);
        ACT(&s.t, a);
        assert_int_equal(a->p->granted, 0x87);
        player_publish(a->p, "a/b/c", "x", 1, false);
        ACT(&s.t, a);
        assert_int_equal(a->refused, 1);
        actor_free(&a);
        scene_close(&s);
    }
}

static void rules_about_receiving_hold_in_the_queue(void **state)
{
    struct scene s = scene_open(CONNECT, 5);
    struct actor *a = ruled(&s, "bee", "+/open", SKEP_MAY_RECEIVE);

    s.o->on_connect = NULL;
    player_subscribe(a->p, "#", 1); /* not allowed */
    ACT(&s.t, a);
    assert_int_equal(a->p->granted, 0x87);
    actor_free(&a);

    a = ruled(&s, "wasp", "#", SKEP_MAY_SUBSCRIBE);
    player_subscribe(a->p, "#", 1);
    ACT(&s.t, a);
    assert_int_equal(a->p->granted, 1);
    publish(&s, "x", "1", 1);
    player_hang_up(a->p, false);
    publish(&s, "x", "2", 1);
    enter(&s.t, a, 0, &(struct player_options){.username = "allow", .expiry = 3600});
    ACT(&s.t, a);
    assert_string_equal(a->inbox, "");
    actor_free(&a);
    scene_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_filter_may_be_refused),
        cmocka_unit_test(less_may_be_granted),
        cmocka_unit_test(a_shared_filter_is_asked_about_by_its_topic),
        cmocka_unit_test(a_subscription_may_wait),
        cmocka_unit_test(a_resumed_session_keeps_what_it_may),
        cmocka_unit_test(who_leaves_while_it_resumes_loses_nothing),
        cmocka_unit_test(what_one_may_not_have_is_not_sent),
        cmocka_unit_test(retained_messages_are_asked_about),
        cmocka_unit_test(a_queue_follows_the_rules_of_the_day),
        cmocka_unit_test(who_cannot_answer_at_once_follows_on_error),
        cmocka_unit_test(the_default_is_for_access_lists),
        cmocka_unit_test(verdicts_about_deliveries_are_remembered),
        cmocka_unit_test(a_member_without_the_right_swallows_nothing),
        cmocka_unit_test(who_lost_the_right_passes_it_on),
        cmocka_unit_test(a_will_is_asked_about_with_connect),
        cmocka_unit_test(without_on_will_on_publish_is_asked),
        cmocka_unit_test(and_again_when_it_is_sent),
        cmocka_unit_test(a_connection_may_have_rules_of_its_own),
        cmocka_unit_test(a_name_widens_nothing),
        cmocka_unit_test(rules_about_receiving_hold_in_the_queue),
    };
    log_level_set(LOG_LEVEL_ERROR + 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
