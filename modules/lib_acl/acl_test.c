/* Access rules: both syntaxes, their order, names that try to widen a rule, subscriptions that a
 * rule covers in part, and the index against a search that looks at every rule. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "acl.h"

static struct acl *parse_as(const char *text, enum acl_format format, enum acl_overlap overlap)
{
    struct acl_options options = {.format = format, .overlap = overlap};
    struct faults faults = {0};
    struct acl *acl = acl_parse(skep_str(text), &options, &faults);

    if (!acl)
        fail_msg("%u:%u: %s\n%s", faults.list[0].line, faults.list[0].column, faults.list[0].text,
                 text);
    return acl;
}

static struct acl *parse(const char *text)
{
    return parse_as(text, FORMAT_AUTO, OVERLAP_AUTO);
}

static struct skep_str attribute(const void *arg, const char *name)
{
    return skep_str(strcmp(name, "role") == 0 ? arg : strcmp(name, "wild") == 0 ? "+" : NULL);
}

/* "alice|c1": user and client id; "-" for no user. */
static struct acl_who who_is(const char *names, const char *role)
{
    const char *slash = strrchr(names, '|');
    struct acl_who who = {.user = skep_bytes(names, (size_t)(slash - names)),
                          .client = skep_str(slash + 1),
                          .listener = SKEP_STR("mqtt"),
                          .host = SKEP_STR("192.0.2.7"),
                          .attribute = attribute,
                          .arg = role};

    who.has_user = !skep_str_eq(who.user, SKEP_STR("-"));
    if (!who.has_user)
        who.user = skep_bytes(NULL, 0);
    return who;
}

/* "publish a/b", "retain a/b", "publish2 a" (its QoS), "subscribe a/#", "receive a": the line of
 * the rule, negative for a deny, 0 for none. */
static int decide(const struct acl *acl, const struct acl_who *who, const char *what)
{
    const char *space = strchr(what, ' ');
    struct ask ask = {.who = who, .topic = skep_str(space + 1)};
    struct acl_answer fast, slow;

    ask.retain = strncmp(what, "retain", 6) == 0;
    ask.action = strncmp(what, "sub", 3) == 0   ? MAY_SUBSCRIBE
                 : strncmp(what, "rec", 3) == 0 ? MAY_RECEIVE
                                                : MAY_PUBLISH;
    if (space[-1] >= '0' && space[-1] <= '2')
        ask.qos = (unsigned)(space[-1] - '0');
    fast = acl_decide(acl, &ask);
    slow = acl_decide_slowly(acl, &ask);
    assert_ptr_equal(fast.rule, slow.rule);
    assert_int_equal(fast.granted_unseen, slow.granted_unseen);
    if (fast.granted_unseen)
        return 1000;
    return !fast.rule ? 0 : fast.rule->allow ? (int)fast.rule->line : -(int)fast.rule->line;
}

static void check(const struct acl *acl, const char *names, const char *what, int line)
{
    struct acl_who who = who_is(names, "staff");
    int got = decide(acl, &who, what);

    if (got != line)
        fail_msg("%s %s: line %d, expected %d", names, what, got, line);
}

/* -- Our syntax -- */

static void rules_are_asked_in_order(void **state)
{
    struct acl *acl = parse("# who may what\n"
                            "deny * publish cmd/off;      # before the next\n"
                            "allow user alice publish cmd/#;\n"
                            "deny user alice all #;\n"
                            "allow * all #;\n");

    check(acl, "alice|c", "publish cmd/off", -2);
    check(acl, "alice|c", "publish cmd/on", 3);
    check(acl, "alice|c", "publish cmd", 3);
    check(acl, "alice|c", "subscribe cmd/on", -4);
    check(acl, "bob|c", "publish cmd/off", -2);
    check(acl, "bob|c", "publish cmd/on", 5);
    check(acl, "-|c", "subscribe #", 5);
    check(acl, "-|c", "publish $SYS/x", 0); /* # does not hold $ */
    acl_free(&acl);
}

static void conditions_must_all_hold(void **state)
{
    struct acl *acl = parse("group ops carol 'dave x';\n"
                            "group ops erin;\n"
                            "allow user sensor-* client s* publish t1;\n"
                            "allow group ops publish t2;\n"
                            "allow listener mqtt address 192.0.2.0/24 publish t3;\n"
                            "allow listener other publish t4;\n"
                            "allow address 10.0.0.0/8 publish t5;\n"
                            "allow attribute role=staff publish t6;\n"
                            "allow attribute 'role=sta' publish t7;\n"
                            "allow anonymous publish t8;\n"
                            "allow not anonymous publish t9;\n"
                            "allow not user bob publish t10;\n"
                            "allow user 'x*' publish t11;\n"
                            "allow attribute role=st* client c publish t12;\n");

    check(acl, "sensor-1|s1", "publish t1", 3);
    check(acl, "sensor-1|t1", "publish t1", 0);
    check(acl, "sensor|s1", "publish t1", 0);
    check(acl, "-|s1", "publish t1", 0);
    check(acl, "carol|c", "publish t2", 4);
    check(acl, "dave x|c", "publish t2", 4);
    check(acl, "erin|c", "publish t2", 4);
    check(acl, "dave|c", "publish t2", 0);
    check(acl, "bob|c", "publish t3", 5);
    check(acl, "bob|c", "publish t4", 0);
    check(acl, "bob|c", "publish t5", 0);
    check(acl, "bob|c", "publish t6", 8);
    check(acl, "bob|c", "publish t7", 0);
    check(acl, "-|c", "publish t8", 10);
    check(acl, "bob|c", "publish t8", 0);
    check(acl, "-|c", "publish t9", 0);
    check(acl, "bob|c", "publish t9", 11);
    check(acl, "bob|c", "publish t10", 0);
    check(acl, "-|c", "publish t10", 12);
    check(acl, "x1|c", "publish t11", 0);
    check(acl, "x*|c", "publish t11", 13);
    check(acl, "x1|c", "publish t12", 14);
    acl_free(&acl);
}

static void blocks_hold_conditions(void **state)
{
    struct acl *acl = parse("for user alice {\n"
                            "  allow publish a; deny subscribe a;\n"
                            "  for client c1 { allow publish b; }\n"
                            "  allow publish c;\n"
                            "}\n"
                            "allow publish d;\n");

    check(acl, "alice|c2", "publish a", 2);
    check(acl, "alice|c2", "subscribe a", -2);
    check(acl, "bob|c1", "publish a", 0);
    check(acl, "alice|c1", "publish b", 3);
    check(acl, "alice|c2", "publish b", 0);
    check(acl, "alice|c2", "publish c", 4);
    check(acl, "bob|c1", "publish d", 6);
    acl_free(&acl);
}

static void qos_and_retain_are_conditions(void **state)
{
    struct acl *acl = parse("deny * retain log/#;\n"
                            "allow * publish qos<=1 log/# m/#;\n"
                            "allow * retain qos <= 2 cfg/#;\n"
                            "allow * subscribe qos <=0 low/#;\n"
                            "deny * receive low/secret;\n"
                            "allow * receive given/#;\n");
    struct acl_who who = who_is("a|c", NULL);
    struct ask ask = {.who = &who, .action = MAY_SUBSCRIBE, .topic = SKEP_STR("low/x"), .qos = 2};

    check(acl, "a|c", "publish0 log/x", 2);
    check(acl, "a|c", "publish1 m/x", 2);
    check(acl, "a|c", "publish2 log/x", 0);
    check(acl, "a|c", "retain log/x", -1);
    check(acl, "a|c", "retain m/x", 2);
    check(acl, "a|c", "retain cfg/x", 3);
    check(acl, "a|c", "publish cfg/x", 0);
    assert_int_equal(0, acl_decide(acl, &ask).rule->qos_max); /* granted, with less */
    check(acl, "a|c", "receive low/x", 4);
    check(acl, "a|c", "receive low/secret", 4); /* the first one decides */
    check(acl, "a|c", "receive given/x", 6);
    check(acl, "a|c", "subscribe given/x", 0);
    acl_free(&acl);
}

static void variables_stand_for_names(void **state)
{
    struct acl *acl = parse("allow * publish dev/%c/up;\n"
                            "allow * publish %u/#;\n"
                            "allow * publish team/%{role}/x-%c-%u;\n"
                            "allow * publish wild/%{wild}/#;\n"
                            "allow * publish none/%{nothing}/#;\n"
                            "allow * publish 100%%;\n");

    check(acl, "alice|c1", "publish dev/c1/up", 1);
    check(acl, "alice|c1", "publish dev/c2/up", 0);
    check(acl, "alice|c1", "publish dev/c1", 0);
    check(acl, "alice|c1", "publish alice/x/y", 2);
    check(acl, "alice|c1", "publish alice", 2);
    check(acl, "alice|c1", "publish alic", 0);
    check(acl, "alice|c1", "publish team/staff/x-c1-alice", 3);
    check(acl, "alice|c1", "publish team/staff/x-c1-alic", 0);
    check(acl, "alice|c1", "publish wild/+/x", 0);
    check(acl, "alice|c1", "publish wild/x/x", 0);
    check(acl, "alice|c1", "publish none//x", 0);
    check(acl, "alice|c1", "publish 100%", 6);
    acl_free(&acl);
}

static void names_cannot_widen_a_rule(void **state)
{
    static const char *const hostile[] = {"+", "#", "a/b", "+/+", "a+", "", "x#"};
    struct acl *acl = parse("allow * all own/%u/#;\nallow * all %u/#;\nallow * all c/%c;\n");

    for (size_t i = 0; i < sizeof hostile / sizeof hostile[0]; i++) {
        char names[40];

        snprintf(names, sizeof names, "%s|%s", hostile[i], hostile[i]);
        check(acl, names, "publish own/x/y", 0);
        check(acl, names, "publish own/a/b/y", 0);
        check(acl, names, "publish x/y", 0);
        check(acl, names, "publish a/b/y", 0);
        check(acl, names, "subscribe own/+/#", 0);
        check(acl, names, "subscribe own/#", 0);
        check(acl, names, "subscribe #", 0);
        check(acl, names, "subscribe +/#", 0);
        check(acl, names, "receive c/x", 0);
        check(acl, names, "subscribe c/+", 0);
    }
    check(acl, "-|c", "publish own//y", 0); /* no name at all */
    check(acl, "$SYS|c", "subscribe $SYS/#", 0);
    check(acl, "$SYS|c", "subscribe own/$SYS/#", 1); /* not in front: a name as any other */
    acl_free(&acl);
}

static void a_name_does_not_get_around_a_deny(void **state)
{
    struct acl *acl = parse("deny * all safe/%u/key;\nallow * all #;\n");

    check(acl, "alice|c", "publish safe/alice/key", -1);
    check(acl, "alice|c", "publish safe/bob/key", 2);
    check(acl, "+|c", "publish safe/bob/key", -1);
    check(acl, "a/b|c", "publish safe/a/b/key", -1);
    check(acl, "-|c", "publish safe/x", -1);
    check(acl, "-|c", "subscribe safe/+/x", -1);
    check(acl, "-|c", "publish open/x", 2);
    acl_free(&acl);
}

/* -- Subscriptions -- */

static void a_subscription_is_covered_whole_or_refused(void **state)
{
    struct acl *acl = parse("allow * subscribe a/# b/+/c x;\n");

    check(acl, "u|c", "subscribe a/#", 1);
    check(acl, "u|c", "subscribe a", 1);
    check(acl, "u|c", "subscribe a/+/b", 1);
    check(acl, "u|c", "subscribe #", 0);
    check(acl, "u|c", "subscribe +", 0);
    check(acl, "u|c", "subscribe +/b", 0);
    check(acl, "u|c", "subscribe b/+/c", 1);
    check(acl, "u|c", "subscribe b/x/c", 1);
    check(acl, "u|c", "subscribe b/#", 0);
    check(acl, "u|c", "subscribe b/+/+", 0);
    check(acl, "u|c", "subscribe x/#", 0);
    acl_free(&acl);

    acl = parse("deny * subscribe a/secret/#;\nallow * subscribe a/# +/#;\n");
    check(acl, "u|c", "subscribe a/#", -1); /* it would touch what is denied */
    check(acl, "u|c", "subscribe a/+/x", -1);
    check(acl, "u|c", "subscribe a/+", -1); /* a/secret itself */
    check(acl, "u|c", "subscribe a/open/#", 2);
    check(acl, "u|c", "subscribe #", -1);
    check(acl, "u|c", "subscribe b/#", 2);
    acl_free(&acl);

    acl = parse("allow * subscribe +/#;\n");
    check(acl, "u|c", "subscribe #", 1); /* the same topics */
    check(acl, "u|c", "subscribe $SYS/#", 0);
    acl_free(&acl);
}

static void or_granted_and_checked_at_delivery(void **state)
{
    struct acl *acl = parse_as("deny * subscribe a/secret/#;\nallow * subscribe a/# own/%u/#;\n",
                               FORMAT_AUTO, OVERLAP_DELIVER);

    assert_true(acl_needs_delivery(acl));
    check(acl, "u|c", "subscribe #", 2);
    check(acl, "u|c", "subscribe a/#", 2);
    check(acl, "u|c", "subscribe a/secret/x", -1);
    check(acl, "u|c", "subscribe a/secret/#", -1);
    check(acl, "u|c", "subscribe b/#", 0);
    check(acl, "u|c", "subscribe own/+/x", 2);
    check(acl, "a/b|c", "subscribe own/+/x", 0);
    check(acl, "u|c", "subscribe +/+", 2);
    check(acl, "u|c", "receive a/secret/x", -1);
    check(acl, "u|c", "receive a/x", 2);
    check(acl, "u|c", "receive b", 0);
    acl_free(&acl);
}

/* -- Mosquitto -- */

static const char theirs[] = "topic read open/#\n"
                             "\n"
                             "# a comment\n"
                             "user alice\n"
                             "topic home/#\n"
                             "topic write cmd/%c\n"
                             "topic deny home/safe\n"
                             "  user bob smith  \n"
                             "topic readwrite my topic/+\n"
                             "pattern write dev/%c/%u\n"
                             "pattern deny dev/c9/#\n"
                             "pattern read all/#\n";

static void mosquittos_files_mean_what_they_do_there(void **state)
{
    struct acl *acl = parse(theirs);

    check(acl, "-|c", "receive open/x", 1);
    check(acl, "alice|c", "receive open/x", 0); /* only for those without a name */
    check(acl, "-|c", "publish open/x", 0);
    check(acl, "alice|c", "publish home/x", 5);
    check(acl, "alice|c", "receive home/x", 5);
    check(acl, "alice|c", "publish home/safe", -7); /* denies come first */
    check(acl, "alice|c", "receive home/safe", -7);
    check(acl, "alice|c", "publish cmd/%c", 6); /* topics have no variables */
    check(acl, "alice|c", "publish cmd/c", 0);
    check(acl, "bob smith|c", "publish my topic/x", 9);
    check(acl, "bob smith|c9", "publish dev/c9/bob smith", -11);
    check(acl, "bob smith|c", "publish dev/c/bob smith", 10);
    check(acl, "-|c", "publish dev/c/", 0);
    check(acl, "-|c", "receive all/x", 12);
    check(acl, "alice|+", "receive all/x", 0); /* such names have no patterns */
    check(acl, "alice|c", "subscribe nothing/#", 1000);
    assert_true(acl_needs_delivery(acl));
    acl_free(&acl);

    acl = parse_as(theirs, FORMAT_AUTO, OVERLAP_DENY);
    check(acl, "alice|c", "subscribe #", -7);
    check(acl, "alice|c", "subscribe home/x", 5);
    check(acl, "alice|c", "subscribe home/#", -7);
    acl_free(&acl);
}

/* -- What is refused -- */

static void mistakes_are_told_by_place(void **state)
{
    static const struct {
        const char *text;
        unsigned line, column;
        const char *says, *hint;
    } cases[] = {
        {"alow * publish #;", 1, 1, "begins with allow", ""},
        {"allow * publsh #;", 1, 9, "publsh", "did you mean publish?"},
        {"allow usr bob publish #;", 1, 7, "usr", "did you mean user?"},
        {"allow * publish;", 1, 16, "topic filter is missing", "all topics are #"},
        {"allow * publish a/#/b;", 1, 19, "at the end of a filter", ""},
        {"allow * publish a/b+;", 1, 20, "whole levels", ""},
        {"allow * publish 'a/%x';", 1, 20, "%c, %u", ""},
        {"allow * publish $share/g/a;", 1, 17, "without $share", ""},
        {"allow * publish a", 1, 18, "a ; is missing", ""},
        {"allow *\n publish 'a;\nallow * publish b/#c;", 2, 10, "quote is not closed", ""},
        {"for user bob {\n allow publish #;\n", 3, 1, "not closed", ""},
        {"allow publish a; }", 1, 18, "closes nothing", ""},
        {"user bob { allow publish a; }", 1, 1, "begins with `for`", "for user alice"},
        {"for user bob publish { allow publish a; }", 1, 14, "conditions only", ""},
        {"allow group g publish a;", 1, 13, "no such group", "group NAME"},
        {"group g;", 1, 7, "a name and users", ""},
        {"allow address 10.0.0.1/8 publish a;", 1, 15, "no address or network", ""},
        {"allow attribute role publish a;", 1, 17, "NAME=VALUE", ""},
        {"allow user a*b publish a;", 1, 12, "at the end of a name", "in quotes"},
        {"allow not publish a;", 1, 11, "behind `not`", ""},
        {"allow * publish qos<=3 a;", 1, 17, "qos<=0", ""},
        {"allow * receive qos<=1 a;", 1, 25, "publishes or subscribes", ""},
        {"allow user", 1, 11, "a ; is missing", ""},
        {"allow user;", 1, 11, "value is missing", ""},
        {"topic rw a", 1, 7, "read, write", ""},
        {"topic", 1, 6, "filter is missing", ""},
        {"topic;", 1, 1, "begins with allow", ""},
        {"topic read a\ntopics b", 2, 1, "user, topic or pattern", ""},
        {"user \n", 1, 1, "user name", ""},
        {"topic a/b#", 1, 10, "whole levels", ""},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct acl_options options = {0};
        struct faults faults = {0};
        struct acl *acl = acl_parse(skep_str(cases[i].text), &options, &faults);
        const struct fault *f = &faults.list[0];

        if (acl || faults.errors == 0)
            fail_msg("taken: %s", cases[i].text);
        if (f->line != cases[i].line || f->column != cases[i].column ||
            !strstr(f->text, cases[i].says) || !strstr(f->hint, cases[i].hint))
            fail_msg("%s\n%u:%u: %s (%s)", cases[i].text, f->line, f->column, f->text, f->hint);
    }
}

static void the_example_is_taken(void **state)
{
    static char text[4000];
    FILE *f = fopen(MODULE_DIR "/../acl_file/access.conf", "r");
    struct acl *acl;

    assert_non_null(f);
    text[fread(text, 1, sizeof text - 1, f)] = '\0';
    fclose(f);
    acl = parse(text);
    assert_in_range(acl_rules(acl), 5, 10);
    acl_free(&acl);
}

static void one_mistake_does_not_hide_the_next(void **state)
{
    struct acl_options options = {0};
    struct faults faults = {0};

    assert_null(acl_parse(SKEP_STR("allow * publsh a;\nallow * publish b#;\n\nallow x;\n"),
                          &options, &faults));
    assert_int_equal(3, faults.errors);
    assert_int_equal(2, faults.list[1].line);
    assert_int_equal(4, faults.list[2].line);
}

/* -- Against an oracle that enumerates topics -- */

static const char *const words[] = {"a", "b", "$s", "+", "#", "%u", "%{wild}"};

static void random_filter(char *out, bool variables)
{
    unsigned levels = 1 + (unsigned)rand() % 4;

    *out = '\0';
    for (unsigned i = 0; i < levels; i++) {
        const char *word = words[rand() % (variables ? 7 : 5)];

        if (*word == '#' && i + 1 < levels)
            word = "+";
        strcat(out, i ? "/" : "");
        strcat(out, word);
    }
}

/* MQTT's own matching, written once more. */
static bool matches(const char *filter, const char *topic)
{
    if ((*filter == '+' || *filter == '#') && *topic == '$')
        return false;
    for (;;) {
        if (*filter == '#')
            return true;
        if (*filter == '+') {
            filter++;
            while (*topic && *topic != '/')
                topic++;
        } else {
            while (*filter && *filter != '/' && *filter == *topic) {
                filter++;
                topic++;
            }
        }
        if (!*filter && !*topic)
            return true;
        if (!*topic && strcmp(filter, "/#") == 0)
            return true;
        if (*filter != '/' || *topic != '/')
            return false;
        filter++;
        topic++;
    }
}

enum { TOPIC_COUNT = 4 + 16 + 64 + 256 + 1024 };
static char topics[TOPIC_COUNT][32];

static void topics_make(void)
{
    static const char *const level[] = {"a", "b", "$s", "z"};
    unsigned n = 0, from = 0;

    for (unsigned i = 0; i < 4; i++)
        strcpy(topics[n++], level[i]);
    for (unsigned depth = 2; depth <= 5; depth++) {
        unsigned to = n;

        for (; from < to; from++) {
            for (unsigned i = 0; i < 4; i++) {
                strcpy(topics[n], topics[from]);
                strcat(topics[n], "/");
                strcat(topics[n++], level[i]);
            }
        }
    }
    assert_int_equal(TOPIC_COUNT, n);
}

static void covering_and_touching_are_what_topics_say(void **state)
{
    struct acl_who who = who_is("a|c", NULL);
    struct region region = {0};

    topics_make();
    for (unsigned round = 0; round < 4000; round++) {
        char ours[40], asked[40];
        struct filter f;
        size_t at;
        bool covers = true, touches = false;

        random_filter(ours, false);
        random_filter(asked, false);
        assert_null(filter_compile(&f, &region, skep_str(ours), VARIABLES_ALL, &at));
        for (unsigned i = 0; i < TOPIC_COUNT; i++) {
            bool one = matches(ours, topics[i]), other = matches(asked, topics[i]);

            covers = covers && (one || !other);
            touches = touches || (one && other);
            assert_int_equal(one,
                             filter_test(&f, &who, FILTER_MATCHES, skep_str(topics[i]), false));
        }
        if (covers != filter_test(&f, &who, FILTER_COVERS, skep_str(asked), false) ||
            touches != filter_test(&f, &who, FILTER_INTERSECTS, skep_str(asked), false))
            fail_msg("%s and %s: covers %d, touches %d", ours, asked, covers, touches);
    }
    region_fini(&region);
}

static void random_rules(char *text, unsigned count)
{
    static const char *const whom[] = {"*",        "user a",         "user b",     "client c",
                                       "group g",  "user a*",        "not user a", "anonymous",
                                       "client d", "user a client c"};
    static const char *const what[] = {"publish", "subscribe",      "receive",         "retain",
                                       "all",     "publish qos<=1", "subscribe qos<=1"};

    text += sprintf(text, "group g a x;\n");
    for (unsigned i = 0; i < count; i++) {
        char filter[40];

        random_filter(filter, true);
        text += sprintf(text, "%s %s %s %s;\n", rand() % 3 ? "allow" : "deny", whom[rand() % 10],
                        what[rand() % 7], filter);
    }
}

static void the_index_agrees_with_a_search_through_all(void **state)
{
    static const char *const names[] = {"a|c", "b|c", "x|d", "-|c", "+|d", "a/b|c", "$s|e"};
    static const char *const asked[] = {"publish0 ", "publish2 ", "retain1 ", "subscribe2 ",
                                        "receive "};
    char *text = malloc(200 * 100);
    unsigned decided = 0;

    for (unsigned round = 0; round < 60; round++) {
        struct acl *acl;

        random_rules(text, round < 10 ? 8 : 120);
        acl = parse_as(text, FORMAT_SKEP, round % 2 ? OVERLAP_DELIVER : OVERLAP_DENY);
        for (unsigned i = 0; i < 1500; i++) {
            struct acl_who who = who_is(names[rand() % 7], NULL);
            const char *action = asked[rand() % 5];
            char what[80], topic[40];

            random_filter(topic, false);
            if (*action != 's')
                strcpy(topic, topics[rand() % TOPIC_COUNT]);
            snprintf(what, sizeof what, "%s%s", action, topic);
            decided += decide(acl, &who, what) != 0; /* compares the two */
        }
        acl_free(&acl);
    }
    assert_in_range(decided, 30000, 90000);
    free(text);
}

static void what_one_question_may_cost_is_bounded(void **state)
{
    enum { COUNT = 100000 };
    char *text = malloc(COUNT * 60), *to = text;
    struct acl_who who = who_is("u|c", NULL);
    struct ask ask = {.who = &who, .action = MAY_SUBSCRIBE, .topic = SKEP_STR("+/+/zzz")};
    struct acl *acl;

    for (int i = 0; i < COUNT; i++)
        to += sprintf(to, "deny * subscribe s/%d/x/y;\n", i);
    strcpy(to, "allow * subscribe #;\n");
    acl = parse(text);
    assert_true(acl_decide(acl, &ask).too_wide); /* it would have to look at each */
    ask.topic = SKEP_STR("s/1/+");
    assert_int_equal(COUNT + 1, acl_decide(acl, &ask).rule->line);
    ask.topic = SKEP_STR("+/+/x/+"); /* the first one denies it */
    assert_int_equal(1, acl_decide(acl, &ask).rule->line);
    acl_free(&acl);
    free(text);
}

static void a_hundred_thousand_rules_are_read(void **state)
{
    enum { COUNT = 100000 };
    char *text = malloc(COUNT * 80), *to = text;
    struct acl *acl;

    for (int i = 0; i < COUNT / 2; i++)
        to +=
            sprintf(to, "allow user u%d publish up/%d/#;\nallow * subscribe down/%d/+;\n", i, i, i);
    acl = parse(text);
    assert_int_equal(COUNT, acl_rules(acl));
    check(acl, "u49999|c", "publish up/49999/x", 99999);
    check(acl, "u49999|c", "publish up/1/x", 0);
    check(acl, "u1|c", "subscribe down/49999/x", 100000);
    assert_in_range(acl_bytes(acl), 0, 400u * 1024 * 1024);
    acl_free(&acl);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_are_asked_in_order),
        cmocka_unit_test(conditions_must_all_hold),
        cmocka_unit_test(blocks_hold_conditions),
        cmocka_unit_test(qos_and_retain_are_conditions),
        cmocka_unit_test(variables_stand_for_names),
        cmocka_unit_test(names_cannot_widen_a_rule),
        cmocka_unit_test(a_name_does_not_get_around_a_deny),
        cmocka_unit_test(a_subscription_is_covered_whole_or_refused),
        cmocka_unit_test(or_granted_and_checked_at_delivery),
        cmocka_unit_test(mosquittos_files_mean_what_they_do_there),
        cmocka_unit_test(mistakes_are_told_by_place),
        cmocka_unit_test(the_example_is_taken),
        cmocka_unit_test(one_mistake_does_not_hide_the_next),
        cmocka_unit_test(covering_and_touching_are_what_topics_say),
        cmocka_unit_test(the_index_agrees_with_a_search_through_all),
        cmocka_unit_test(what_one_question_may_cost_is_bounded),
        cmocka_unit_test(a_hundred_thousand_rules_are_read),
    };

    srand(20260726);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
