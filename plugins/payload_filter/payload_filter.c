/* payload_filter: only well-formed JSON gets through.
 *
 *     load payload_filter {
 *         topics  sensors/+/reading;
 *         require celsius:number room:string;
 *         invalid drop;               # or: move, to bad/TOPIC
 *         trim    on;
 *     }
 *
 * A message to one of the topics must be a JSON object with the required members.  One that is not
 * is dropped (its publisher is told that all is well, as MQTT wants it) or moved below `bad/`. With
 * `trim on` members that were not named are taken away.  Other topics pass as they are. */
#include <cjson/cJSON.h>
#include <skep/message.h>
#include <skep/metric.h>
#include <skep/module.h>
#include <stdlib.h>

enum { INVALID_DROP, INVALID_MOVE };
enum { MEMBER_NAME_MAX = 64, TOPIC_MAX = 65535 };

struct conf {
    struct skep_list topics, require;
    int invalid;
    bool trim;
};

static const struct skep_option options[] = {
    SKEP_LIST(struct conf, topics, SKEP_REQUIRED, .min = 1,
              .help = "topic filters of the messages to look at"),
    SKEP_LIST(struct conf, require, NULL,
              .help = "members they must have, NAME:TYPE; string, number, bool, array or object"),
    SKEP_ENUM(struct conf, invalid, "drop", .choices = "drop|move",
              .help = "what happens to others: nothing at all, or they go to bad/TOPIC"),
    SKEP_BOOL(struct conf, trim, "off", .help = "take members away that `require` does not name"),
    {0},
};

struct filter {
    struct skep_module *module;
    const struct conf *conf;
    struct skep_counter *passed, *trimmed, *invalid;
};

static const struct {
    const char *name;
    int type;
} types[] = {
    {"string", cJSON_String}, {"number", cJSON_Number}, {"bool", cJSON_True | cJSON_False},
    {"array", cJSON_Array},   {"object", cJSON_Object},
};

/* NAME:TYPE cut in two; 0: it is neither. */
static int requirement(const char *word, char name[MEMBER_NAME_MAX])
{
    const char *colon = strrchr(word, ':');

    if (!colon || colon == word || colon - word >= MEMBER_NAME_MAX)
        return 0;
    memcpy(name, word, (size_t)(colon - word));
    name[colon - word] = 0;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (strcmp(types[i].name, colon + 1) == 0)
            return types[i].type;
    }
    return 0;
}

static void check(const void *self, struct skep_report *report)
{
    const struct conf *conf = self;
    char name[MEMBER_NAME_MAX];

    for (size_t i = 0; i < conf->topics.count; i++) {
        if (!skep_topic_valid(skep_str(conf->topics.items[i]), false))
            skep_report(report, &conf->topics.places[i], NULL, "'%s' is no topic filter",
                        conf->topics.items[i]);
    }
    for (size_t i = 0; i < conf->require.count; i++) {
        if (!requirement(conf->require.items[i], name))
            skep_report(report, &conf->require.places[i],
                        "the types are string, number, bool, array and object",
                        "'%s' is not NAME:TYPE", conf->require.items[i]);
    }
}

static int load(struct skep_module *m, void *conf, void **self, struct skep_report *report)
{
    struct filter *f = calloc(1, sizeof *f);

    if (!f) {
        skep_report(report, NULL, NULL, "out of memory");
        return -1;
    }
    f->module = m;
    f->conf = conf;
    f->passed = skep_counter(m, "messages", "result=\"passed\"", "messages looked at");
    f->trimmed = skep_counter(m, "messages", "result=\"trimmed\"", "messages looked at");
    f->invalid = skep_counter(m, "messages", "result=\"invalid\"", "messages looked at");
    *self = f;
    return 0;
}

static void unload(void *self)
{
    free(self);
}

static bool is_ours(const struct conf *conf, struct skep_str topic)
{
    for (size_t i = 0; i < conf->topics.count; i++) {
        if (skep_topic_matches(skep_str(conf->topics.items[i]), topic))
            return true;
    }
    return false;
}

/* The whole payload as one object; NULL: it is none. */
static cJSON *parse(struct skep_str payload)
{
    const char *end = NULL;
    cJSON *json = cJSON_ParseWithLengthOpts(payload.ptr, payload.len, &end, false);

    while (json && end < payload.ptr + payload.len && strchr(" \t\r\n", *end) && *end)
        end++;
    if (json && cJSON_IsObject(json) && end == payload.ptr + payload.len)
        return json;
    cJSON_Delete(json);
    return NULL;
}

static bool has_members(const struct conf *conf, const cJSON *json)
{
    char name[MEMBER_NAME_MAX];

    for (size_t i = 0; i < conf->require.count; i++) {
        int type = requirement(conf->require.items[i], name);
        const cJSON *member = cJSON_GetObjectItemCaseSensitive(json, name);
        if (!member || !(member->type & type))
            return false;
    }
    return true;
}

static bool is_required(const struct conf *conf, const char *member)
{
    char name[MEMBER_NAME_MAX];

    for (size_t i = 0; i < conf->require.count; i++) {
        if (requirement(conf->require.items[i], name) && strcmp(name, member) == 0)
            return true;
    }
    return false;
}

/* True: something was taken away. */
static bool trim(const struct conf *conf, cJSON *json)
{
    cJSON *member = json->child;
    bool any = false;

    while (member) {
        cJSON *next = member->next;
        if (!is_required(conf, member->string)) {
            cJSON_Delete(cJSON_DetachItemViaPointer(json, member));
            any = true;
        }
        member = next;
    }
    return any;
}

static enum skep_verdict rewrite(struct skep_request *r, struct filter *f, cJSON *json)
{
    char *text = cJSON_PrintUnformatted(json);
    int err = text ? skep_message_set_payload(r, skep_str(text)) : SKEP_E_MEMORY;

    cJSON_free(text);
    skep_counter_add(f->trimmed, 1);
    return err < 0 ? SKEP_ERROR : SKEP_NEXT;
}

static enum skep_verdict refuse(struct skep_request *r, struct filter *f)
{
    struct skep_str topic = skep_publish_topic(r);
    char *moved;

    skep_counter_add(f->invalid, 1);
    if (f->conf->invalid == INVALID_DROP || topic.len + 4 > TOPIC_MAX)
        return skep_drop(r, "payload_filter: not the JSON that was agreed on");
    moved = skep_request_memory(r, topic.len + 4);
    if (!moved)
        return SKEP_ERROR;
    memcpy(moved, "bad/", 4);
    memcpy(moved + 4, topic.ptr, topic.len);
    return skep_message_set_topic(r, skep_bytes(moved, topic.len + 4)) < 0 ? SKEP_ERROR : SKEP_NEXT;
}

static enum skep_verdict on_message(struct skep_request *r, void *self)
{
    struct filter *f = self;
    enum skep_verdict verdict = SKEP_NEXT;
    cJSON *json;

    if (!is_ours(f->conf, skep_publish_topic(r)))
        return SKEP_NEXT;
    json = parse(skep_publish_payload(r));
    if (!json || !has_members(f->conf, json))
        verdict = refuse(r, f);
    else if (f->conf->trim && trim(f->conf, json))
        verdict = rewrite(r, f, json);
    else
        skep_counter_add(f->passed, 1);
    cJSON_Delete(json);
    return verdict;
}

SKEP_MODULE = {
    SKEP_MODULE_HEAD("payload_filter", "1.0", "lets well-formed JSON through"),
    .conf_size = sizeof(struct conf),
    .options = options,
    .check = check,
    .load = load,
    .unload = unload,
    .on_message = on_message,
};
