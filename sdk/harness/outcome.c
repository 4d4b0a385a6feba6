/* What the last request of a client came to, and what became of its message. */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "harness.h"
#include "observe.h"

void outcome_clear(struct skep_test_client *c)
{
    free(c->outcome.text);
    free(c->outcome.where);
    free((void *)c->outcome.auth_data.ptr);
    c->outcome = (struct outcome){0};
    for (size_t i = 0; i < c->message_count; i++)
        message_free(&c->messages[i]);
    free(c->messages);
    c->messages = NULL;
    c->message_count = 0;
}

static char *where_of(const struct skep_request *r)
{
    char text[512];

    if (r->note_file)
        snprintf(text, sizeof text, "%s:%u%s%s", r->note_file, r->note_line,
                 r->note_text ? " " : "", r->note_text ? r->note_text : "");
    else
        snprintf(text, sizeof text, "%s", r->note_text ? r->note_text : "");
    return str_dup(str_of(text));
}

void outcome_take(struct skep_test_client *c, const struct skep_request *r)
{
    struct outcome *o = &c->outcome;

    outcome_clear(c);
    o->verdict = r->verdict;
    o->reason = r->verdict == SKEP_DENY ? r->reason : SKEP_RC_SUCCESS;
    o->text = str_dup(r->text);
    o->where = where_of(r);
    o->granted_qos = r->stage == SKEP_STAGE_SUBSCRIBE ? r->granted : 0;
    if (c->question == ASK_CONNECT && !r->module && r->verdict != SKEP_PENDING)
        o->verdict = SKEP_NEXT; /* nobody said anything; front goes by the listener's rule */
    if (c->question == ASK_CONNECT || c->question == ASK_AUTH) {
        struct str reply = host_auth_reply(c->asked);
        o->auth_data = skep_bytes(str_dup(reply), reply.len);
    }
}

void outcome_message(struct skep_test_client *c, const struct asked_message *m)
{
    struct skep_message message = {.size = sizeof message,
                                   .qos = m->qos,
                                   .retain = m->retain,
                                   .expiry_s = m->expiry == UINT32_MAX ? 0 : m->expiry,
                                   .topic = {m->topic.ptr, m->topic.len},
                                   .payload = {m->payload.ptr, m->payload.len}};
    struct skep_user_property properties[64];
    struct mqtt_prop_item item;
    struct str rest = m->props;
    size_t count = 0;

    while (mqtt_prop_next(&rest, &item) > 0) {
        struct skep_str value = {item.value.ptr, item.value.len};
        if (item.id == PROP_CONTENT_TYPE)
            message.content_type = value;
        else if (item.id == PROP_RESPONSE_TOPIC)
            message.response_topic = value;
        else if (item.id == PROP_CORRELATION_DATA)
            message.correlation_data = value;
        else if (item.id == PROP_PAYLOAD_FORMAT)
            message.payload_is_utf8 = item.number == 1;
        else if (item.id == PROP_USER_PROPERTY && count < ARRAY_LEN(properties))
            properties[count++] =
                (struct skep_user_property){{item.name.ptr, item.name.len}, value};
    }
    message.user_properties = properties;
    message.user_property_count = count;
    c->messages = xrealloc(c->messages, (c->message_count + 1) * sizeof *c->messages);
    message_copy(&c->messages[c->message_count++], &message);
}

/* -- <skep/test.h> -- */

enum skep_verdict skep_test_verdict(const struct skep_test_client *c)
{
    return c->outcome.verdict;
}

enum skep_reason skep_test_reason(const struct skep_test_client *c)
{
    return c->outcome.reason;
}

const char *skep_test_text(const struct skep_test_client *c)
{
    return c->outcome.text ? c->outcome.text : "";
}

const char *skep_test_where(const struct skep_test_client *c)
{
    return c->outcome.where ? c->outcome.where : "";
}

unsigned skep_test_granted_qos(const struct skep_test_client *c)
{
    return c->outcome.granted_qos;
}

struct skep_str skep_test_auth_data(const struct skep_test_client *c)
{
    return c->outcome.auth_data;
}

const struct skep_message *skep_test_message(const struct skep_test_client *c, size_t i)
{
    return i < c->message_count ? &c->messages[i] : NULL;
}
