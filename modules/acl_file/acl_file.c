/* acl_file: who may publish, subscribe and receive what, from a file of rules.
 *
 *     load acl_file { file access.conf; }
 *
 * The file has our own syntax (README.md) or mosquitto's.  A verdict depends on nothing but the
 * client, the topic, the QoS and the retain flag, so that the host may remember it. */
#include <skep/loop.h>
#include <skep/metric.h>
#include <skep/module.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib_acl/acl.h"
#include "lib_file/live.h"

enum unmatched { UNMATCHED_NEXT, UNMATCHED_DENY };

struct conf {
    const char *file;
    uint64_t max_size;
    bool watch;
    int format;
    int overlap;
    int unmatched;
    bool check_delivery;
};

static const struct skep_option options[] = {
    SKEP_PATH(struct conf, file, SKEP_REQUIRED, .help = "the rules, in our syntax or mosquitto's"),
    SKEP_SIZE(struct conf, max_size, "16m", .min = 1024, .max = 256 * 1024 * 1024,
              .help = "a larger file is refused"),
    SKEP_BOOL(struct conf, watch, "on", .help = "take a changed file without a reload"),
    SKEP_ENUM(struct conf, format, "auto", .choices = "auto|skep|mosquitto",
              .help = "syntax of the file; auto: its first word tells"),
    SKEP_ENUM(struct conf, overlap, "auto", .choices = "auto|deny|deliver",
              .help = "a subscription that the rules cover in part: refuse it, or grant it and "
                      "check each message; auto: deny, and for mosquitto's files as mosquitto"),
    SKEP_ENUM(struct conf, unmatched, "next", .choices = "next|deny",
              .help = "what no rule speaks of: ask the next module (then acl_default), or deny"),
    SKEP_BOOL(struct conf, check_delivery, "on",
              .help = "also check each message that a client is to receive"),
    {0},
};

struct access {
    const struct conf *conf;
    struct live_kind kind;
    struct live *file;
    struct skep_gauge *rules;
};

/* -- The file -- */

static void *parse(struct skep_str text, const void *settings, struct faults *faults)
{
    const struct conf *conf = settings;
    struct acl_options how = {.format = conf->format, .overlap = conf->overlap};
    struct acl *acl = acl_parse(text, &how, faults);

    if (acl && acl_needs_delivery(acl) && !conf->check_delivery) {
        faults_error(faults, 0, 0, "`check_delivery on`, or `overlap deny`",
                     "with this file subscriptions are granted that only delivery checks");
        acl_free(&acl);
    }
    return acl;
}

static void parsed_free(void *parsed)
{
    struct acl *acl = parsed;

    acl_free(&acl);
}

static void changed(void *parsed, void *arg)
{
    skep_gauge_set(((struct access *)arg)->rules, (double)acl_rules(parsed));
}

static struct live_kind kind_of(const struct conf *conf)
{
    return (struct live_kind){
        .noun = "access file",
        .alarm = "access_file",
        .max_size = (size_t)conf->max_size,
        .parse = parse,
        .options = conf,
        .free = parsed_free,
        .changed = changed,
    };
}

/* -- Life -- */

static void check(const void *conf, struct skep_report *report)
{
    struct live_kind kind = kind_of(conf);

    live_check(((const struct conf *)conf)->file, &kind, report);
}

static int load(struct skep_module *m, void *conf, void **self, struct skep_report *report)
{
    struct access *a = calloc(1, sizeof *a);

    if (!a)
        return SKEP_E_MEMORY;
    a->conf = conf;
    a->kind = kind_of(conf);
    a->file = live_open(m, a->conf->file, &a->kind, a, report);
    if (!a->file) {
        free(a);
        return SKEP_E_INVALID;
    }
    a->rules = skep_gauge(m, "rules", NULL, "rules in the access file");
    changed((void *)live_now(a->file), a);
    *self = a;
    return 0;
}

static void start(void *self, void *previous)
{
    const struct access *a = self;

    if (a->conf->watch)
        live_start(a->file);
}

static void stop(void *self)
{
    live_stop(((struct access *)self)->file);
}

static void unload(void *self)
{
    struct access *a = self;

    live_free(&a->file);
    free(a);
}

/* -- Deciding -- */

static struct skep_str attribute(const void *arg, const char *name)
{
    return skep_client_attribute(arg, name);
}

static struct acl_who who_of(const struct skep_client *c)
{
    return (struct acl_who){
        .user = skep_client_username(c),
        .client = skep_client_id(c),
        .listener = skep_client_listener(c),
        .host = skep_client_host(c),
        .has_user = skep_client_has_username(c),
        .attribute = attribute,
        .arg = c,
    };
}

static enum skep_verdict nothing_applies(const struct access *a, struct skep_request *r)
{
    skep_note(r, a->conf->file, 0, "no rule applies");
    if (a->conf->unmatched == UNMATCHED_NEXT)
        return SKEP_NEXT;
    return skep_deny(r, SKEP_RC_NOT_AUTHORIZED, NULL);
}

static enum skep_verdict verdict(const struct access *a, struct skep_request *r,
                                 const struct acl_answer *answer)
{
    const struct rule *rule = answer->rule;

    if (answer->granted_unseen) {
        skep_note(r, a->conf->file, 0, "granted, as mosquitto does; deliveries are checked");
        return skep_allow(r);
    }
    if (answer->too_wide) {
        skep_note(r, a->conf->file, 0, "it touches too many rules to be compared with all");
        return skep_deny(r, SKEP_RC_NOT_AUTHORIZED, "the filter is too wide");
    }
    if (!rule)
        return nothing_applies(a, r);
    skep_note(r, a->conf->file, rule->line, rule->allow ? "allow" : "deny");
    return rule->allow ? skep_allow(r) : skep_deny(r, SKEP_RC_NOT_AUTHORIZED, NULL);
}

static enum skep_verdict on_subscribe(struct skep_request *r, void *self)
{
    const struct access *a = self;
    struct acl_who who = who_of(skep_request_client(r));
    struct ask ask = {
        .who = &who,
        .action = MAY_SUBSCRIBE,
        .topic = skep_subscribe_filter(r),
        .qos = skep_subscribe_qos(r),
    };
    struct acl_answer answer = acl_decide(live_now(a->file), &ask);

    if (answer.rule && answer.rule->allow && answer.rule->qos_max < ask.qos)
        skep_subscribe_set_qos(r, answer.rule->qos_max);
    return verdict(a, r, &answer);
}

static enum skep_verdict message(const struct access *a, struct skep_request *r, enum action action)
{
    struct acl_who who = who_of(skep_request_client(r));
    struct ask ask = {
        .who = &who,
        .action = action,
        .topic = skep_publish_topic(r),
        .qos = skep_publish_qos(r),
        .retain = skep_publish_retain(r),
    };
    struct acl_answer answer = acl_decide(live_now(a->file), &ask);

    skep_cacheable(r);
    return verdict(a, r, &answer);
}

static enum skep_verdict on_publish(struct skep_request *r, void *self)
{
    return message(self, r, MAY_PUBLISH);
}

static enum skep_verdict on_deliver(struct skep_request *r, void *self)
{
    const struct access *a = self;

    if (a->conf->check_delivery)
        return message(a, r, MAY_RECEIVE);
    skep_note(r, a->conf->file, 0, "checked when it was subscribed to");
    skep_cacheable(r);
    return skep_allow(r);
}

static void on_command(struct skep_command *command, void *self)
{
    const struct access *a = self;
    const struct acl *acl = live_now(a->file);
    char text[200];
    int len;

    if (!skep_str_eq(skep_command_word(command, 0), SKEP_STR("status"))) {
        skep_command_fail(command, "the command is: status");
        return;
    }
    len = snprintf(text, sizeof text,
                   "{\"rules\":%zu,\"bytes\":%zu,\"loaded_at_ms\":%llu,\"stale\":%s}",
                   acl_rules(acl), acl_bytes(acl), (unsigned long long)live_loaded_at_ms(a->file),
                   live_is_stale(a->file) ? "true" : "false");
    skep_command_answer(command, skep_bytes(text, (size_t)len));
}

SKEP_MODULE = {
    SKEP_MODULE_HEAD("acl_file", "1.0", "access rules from a file, ours or mosquitto's"),
    .flags = SKEP_KEEP,
    .conf_size = sizeof(struct conf),
    .options = options,
    .check = check,
    .load = load,
    .start = start,
    .stop = stop,
    .unload = unload,
    .on_subscribe = on_subscribe,
    .on_publish = on_publish,
    .on_deliver = on_deliver,
    .on_command = on_command,
};
