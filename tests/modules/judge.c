/* Decides by a list of rules in its load block, the first that fits:
 *
 *     rule connect NAME VERDICT;      the user name, * for any
 *     rule subscribe FILTER VERDICT;  the filter itself, # for any
 *     rule publish|will|deliver|message FILTER VERDICT;
 *
 * Verdicts: allow, deny, next, error, drop; wait (200 ms, then allow), long (2 s), never (no
 * answer); qos0, qos1 (subscribe: at most that); end (connect: for a second); to/TOPIC (message).
 */
#include <skep/loop.h>
#include <skep/module.h>

struct conf {
    struct skep_lines rule;
};

static const struct skep_option options[] = {
    SKEP_OPTION(SKEP_TYPE_LINES, struct conf, rule, NULL, .min = 3, .max = 3,
                .help = "stage, subject and verdict"),
    {0},
};

static enum skep_verdict waited(struct skep_request *r, void *self)
{
    return skep_allow(r);
}

static enum skep_verdict say(struct skep_request *r, const char *word)
{
    uint64_t token;

    if (strcmp(word, "deny") == 0)
        return skep_deny(r,
                         skep_stage(r) == SKEP_STAGE_CONNECT ? SKEP_RC_BAD_CREDENTIALS
                                                             : SKEP_RC_NOT_AUTHORIZED,
                         "the judge says no");
    if (strcmp(word, "next") == 0)
        return SKEP_NEXT;
    if (strcmp(word, "error") == 0)
        return SKEP_ERROR;
    if (strcmp(word, "drop") == 0)
        return skep_drop(r, "the judge drops it");
    if (strcmp(word, "wait") == 0)
        return skep_wait_ms(r, 200, waited);
    if (strcmp(word, "long") == 0)
        return skep_wait_ms(r, 2000, waited);
    if (strcmp(word, "never") == 0)
        return skep_wait_token(r, &token, NULL, waited);
    if (strncmp(word, "qos", 3) == 0)
        skep_subscribe_set_qos(r, (unsigned)(word[3] - '0'));
    if (strcmp(word, "end") == 0)
        skep_connect_set_expiry(r, skep_wall_ms() + 1000);
    if (strncmp(word, "to/", 3) == 0)
        skep_message_set_topic(r, skep_str(word + 3));
    return skep_allow(r);
}

static bool fits(const char *stage, const char *subject, struct skep_str asked)
{
    if (strcmp(subject, "*") == 0 || skep_str_eq(skep_str(subject), asked))
        return true;
    if (strcmp(stage, "subscribe") == 0)
        return strcmp(subject, "#") == 0;
    return strcmp(stage, "connect") != 0 && skep_topic_matches(skep_str(subject), asked);
}

static enum skep_verdict judge(struct skep_request *r, const struct conf *c, const char *stage,
                               struct skep_str asked)
{
    for (size_t i = 0; i < c->rule.count; i++) {
        const struct skep_list *rule = &c->rule.items[i];
        if (strcmp(rule->items[0], stage) != 0 || !fits(stage, rule->items[1], asked))
            continue;
        skep_note(r, rule->places[0].file, rule->places[0].line, rule->items[2]);
        return say(r, rule->items[2]);
    }
    return SKEP_NEXT;
}

static enum skep_verdict on_connect(struct skep_request *r, void *self)
{
    return judge(r, self, "connect", skep_connect_username(r));
}

static enum skep_verdict on_subscribe(struct skep_request *r, void *self)
{
    return judge(r, self, "subscribe", skep_subscribe_filter(r));
}

static enum skep_verdict on_publish(struct skep_request *r, void *self)
{
    return judge(r, self, "publish", skep_publish_topic(r));
}

static enum skep_verdict on_will(struct skep_request *r, void *self)
{
    return judge(r, self, "will", skep_publish_topic(r));
}

static enum skep_verdict on_deliver(struct skep_request *r, void *self)
{
    return judge(r, self, "deliver", skep_publish_topic(r));
}

static enum skep_verdict on_message(struct skep_request *r, void *self)
{
    return judge(r, self, "message", skep_publish_topic(r));
}

SKEP_MODULE = {
    SKEP_MODULE_HEAD("judge", "1", "decides by a list of rules"),
    .conf_size = sizeof(struct conf),
    .options = options,
    .on_connect = on_connect,
    .on_subscribe = on_subscribe,
    .on_publish = on_publish,
    .on_will = on_will,
    .on_deliver = on_deliver,
    .on_message = on_message,
};
