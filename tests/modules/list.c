/* Lets everybody publish to, and subscribe to, the topics it is given; has no opinion about others.
 */
#include <skep/module.h>

struct conf {
    struct skep_list topics;
};

static const struct skep_option options[] = {
    SKEP_LIST(struct conf, topics, NULL, .help = "filters of what is allowed"),
    {0},
};

static enum skep_verdict decide(struct skep_request *r, const struct conf *c, struct skep_str topic)
{
    for (size_t i = 0; i < c->topics.count; i++)
        if (skep_topic_matches(skep_str(c->topics.items[i]), topic))
            return skep_allow(r);
    return SKEP_NEXT;
}

static enum skep_verdict on_publish(struct skep_request *r, void *self)
{
    return decide(r, self, skep_publish_topic(r));
}

static enum skep_verdict on_subscribe(struct skep_request *r, void *self)
{
    return decide(r, self, skep_subscribe_filter(r));
}

SKEP_MODULE = {
    SKEP_MODULE_HEAD("list", "1", "a list of topics"),
    .conf_size = sizeof(struct conf),
    .options = options,
    .on_publish = on_publish,
    .on_subscribe = on_subscribe,
};
