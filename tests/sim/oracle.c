#include "oracle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "world.h"

/* The instance and what it is an instance of. */
struct oracle_module {
    struct oracle oracle;
    struct skep_descriptor descriptor;
};

static const char *word_for(const struct oracle *o, enum skep_stage stage, struct skep_str subject)
{
    static _Thread_local char text[64];
    const char *any = NULL;

    for (unsigned i = 0; i < o->rule_count; i++) {
        if (o->rules[i].stage != stage)
            continue;
        if (!o->rules[i].subject)
            any = o->rules[i].word;
        else if (skep_str_eq(skep_str(o->rules[i].subject), subject))
            return o->rules[i].word;
    }
    if (any || (stage != SKEP_STAGE_CONNECT && stage != SKEP_STAGE_AUTH))
        return any ? any : "next";
    snprintf(text, sizeof text, "%.*s", (int)subject.len, subject.ptr ? subject.ptr : "");
    return text;
}

static enum skep_verdict then(struct skep_request *r, void *self);

static void dropped(void *data)
{
    struct oracle *o = data;
    o->dropped++;
}

static enum skep_verdict wait_for_word(struct skep_request *r, struct oracle *o)
{
    uint64_t token;

    *skep_request_data(r) = o;
    enum skep_verdict v = skep_wait_token(r, &token, dropped, then);
    if (token) {
        ASSERT(o->wait_count < ORACLE_WAITS);
        o->waits[o->wait_count++] = token;
    }
    return v;
}

static enum skep_verdict slept(struct skep_request *r, void *self)
{
    return skep_allow(r);
}

static enum skep_verdict say(struct skep_request *r, struct oracle *o, const char *word)
{
    if (strcmp(word, "allow") == 0) {
        skep_auth_reply(r, SKEP_STR("well done"));
        if (o->username[0])
            skep_connect_set_username(r, skep_str(o->username));
        if (o->on_connect && skep_stage(r) == SKEP_STAGE_CONNECT)
            o->on_connect(r);
        return skep_allow(r);
    }
    if (strcmp(word, "deny") == 0)
        return skep_deny(r, (enum skep_reason)o->reason, "the oracle says no");
    if (strcmp(word, "more") == 0) {
        skep_auth_reply(r, SKEP_STR("challenge"));
        return SKEP_CONTINUE;
    }
    if (strcmp(word, "wait") == 0)
        return wait_for_word(r, o);
    if (strcmp(word, "sleep") == 0)
        return skep_wait_ms(r, 50, slept);
    if (strcmp(word, "error") == 0)
        return SKEP_ERROR;
    if (strcmp(word, "drop") == 0)
        return skep_drop(r, "the oracle drops it");
    return SKEP_NEXT;
}

static enum skep_verdict then(struct skep_request *r, void *self)
{
    struct oracle *o = self;
    const char *word = *skep_request_data(r);

    o->thens++;
    return say(r, o, word);
}

static void keep(char *out, size_t size, struct skep_str s)
{
    snprintf(out, size, "%.*s", (int)s.len, s.ptr ? s.ptr : "");
}

static enum skep_verdict ask(struct skep_request *r, struct oracle *o, struct skep_str subject)
{
    enum skep_stage stage = skep_stage(r);
    const struct skep_client *c = skep_request_client(r);

    o->asked[stage]++;
    keep(o->topic, sizeof o->topic, subject);
    keep(o->client, sizeof o->client, c ? skep_client_id(c) : SKEP_STR(""));
    if (o->cacheable)
        skep_cacheable(r);
    skep_note(r, "oracle", 7, NULL);
    return say(r, o, word_for(o, stage, subject));
}

static enum skep_verdict on_connect(struct skep_request *r, void *self)
{
    return ask(r, self, skep_connect_username(r));
}

static enum skep_verdict on_auth(struct skep_request *r, void *self)
{
    struct oracle *o = self;

    o->auth_round = skep_auth_round(r);
    o->auth_again = skep_auth_is_reauth(r);
    if (!skep_str_eq(skep_auth_method(r), SKEP_STR("TEST")))
        return SKEP_NEXT;
    return ask(r, o, skep_auth_data(r));
}

static enum skep_verdict on_subscribe(struct skep_request *r, void *self)
{
    struct oracle *o = self;

    skep_subscribe_set_qos(r, o->qos);
    return ask(r, o, skep_subscribe_filter(r));
}

static enum skep_verdict on_publication(struct skep_request *r, void *self)
{
    return ask(r, self, skep_publish_topic(r));
}

static enum skep_verdict on_message(struct skep_request *r, void *self)
{
    struct oracle *o = self;

    enum skep_verdict v = ask(r, o, skep_publish_topic(r));
    if (o->on_message)
        o->on_message(r);
    return v;
}

struct oracle *oracle_new(const char *name, unsigned stages)
{
    struct oracle_module *m = xcalloc(1, sizeof *m);
    struct skep_descriptor *d = &m->descriptor;

    d->size = sizeof *d;
    d->name = name;
    d->on_connect = stages & 1u << SKEP_STAGE_CONNECT ? on_connect : NULL;
    d->on_auth = stages & 1u << SKEP_STAGE_AUTH ? on_auth : NULL;
    d->on_subscribe = stages & 1u << SKEP_STAGE_SUBSCRIBE ? on_subscribe : NULL;
    d->on_publish = stages & 1u << SKEP_STAGE_PUBLISH ? on_publication : NULL;
    d->on_will = stages & 1u << SKEP_STAGE_WILL ? on_publication : NULL;
    d->on_deliver = stages & 1u << SKEP_STAGE_DELIVER ? on_publication : NULL;
    d->on_message = stages & 1u << SKEP_STAGE_MESSAGE ? on_message : NULL;
    m->oracle.qos = 2;
    m->oracle.reason = 0x86;
    m->oracle.module = fake_module_new(name, d, &m->oracle, WORLD_LOOPS);
    return &m->oracle;
}

void oracle_free(struct oracle **oracle)
{
    struct oracle_module *m = CONTAINER_OF(*oracle, struct oracle_module, oracle);

    fake_module_free(&m->oracle.module);
    free(m);
    *oracle = NULL;
}

void oracle_rule(struct oracle *o, enum skep_stage stage, const char *subject, const char *word)
{
    for (unsigned i = 0; i < o->rule_count; i++) {
        const char *there = o->rules[i].subject;
        bool same = there && subject ? strcmp(there, subject) == 0 : there == subject;
        if (o->rules[i].stage == stage && same) {
            o->rules[i].word = word;
            return;
        }
    }
    ASSERT(o->rule_count < ORACLE_RULES);
    o->rules[o->rule_count].stage = stage;
    o->rules[o->rule_count].subject = subject;
    o->rules[o->rule_count++].word = word;
}

bool oracle_say(struct oracle *o, unsigned i, const char *word)
{
    ASSERT(i < o->wait_count);
    return skep_complete(o->waits[i], (void *)word);
}
