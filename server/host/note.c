#include "host/note.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "host/decide.h"
#include "host/event.h"
#include "host/instance.h"
#include "host/ring.h"
#include "net/loop.h"

const char *const hook_names[] = {
    [SKEP_STAGE_CONNECT] = "on_connect",     [SKEP_STAGE_AUTH] = "on_auth",
    [SKEP_STAGE_SUBSCRIBE] = "on_subscribe", [SKEP_STAGE_PUBLISH] = "on_publish",
    [SKEP_STAGE_WILL] = "on_will",           [SKEP_STAGE_DELIVER] = "on_deliver",
    [SKEP_STAGE_MESSAGE] = "on_message",
};

static const char *const verdicts[] = {
    [SKEP_NEXT] = "next",   [SKEP_ALLOW] = "allow",     [SKEP_DENY] = "deny",
    [SKEP_ERROR] = "error", [SKEP_PENDING] = "pending", [SKEP_CONTINUE] = "continue",
    [SKEP_DROP] = "drop",
};

const char *stage_name(unsigned stage)
{
    return stage < SKEP_STAGES ? hook_names[stage] + strlen("on_") : "?";
}

const char *verdict_name(unsigned verdict)
{
    return verdict < ARRAY_LEN(verdicts) ? verdicts[verdict] : "?";
}

struct str note_where(const struct skep_request *r, char *buf, size_t size)
{
    const char *text = r->note_text ? r->note_text : "";
    int n = 0;

    if (r->note_file && r->note_line)
        n = snprintf(buf, size, "%s:%u%s%s", r->note_file, r->note_line, *text ? " " : "", text);
    else if (r->note_file)
        n = snprintf(buf, size, "%s%s%s", r->note_file, *text ? " " : "", text);
    else
        n = snprintf(buf, size, "%s", text);
    return (struct str){buf, n < 0 ? 0 : (size_t)n < size ? (size_t)n : size - 1};
}

/* What every message would leave behind says nothing. */
static bool trivial(const struct skep_request *r)
{
    return r->dry || r->remembered ||
           (r->verdict == SKEP_ALLOW && !r->waited &&
            (r->stage == SKEP_STAGE_PUBLISH || r->stage == SKEP_STAGE_DELIVER ||
             r->stage == SKEP_STAGE_MESSAGE));
}

static struct str subject(const struct skep_request *r)
{
    return r->stage == SKEP_STAGE_SUBSCRIBE ? r->filter : r->message.topic;
}

static uint8_t qos_of(const struct skep_request *r)
{
    return r->stage == SKEP_STAGE_SUBSCRIBE ? r->granted : r->message.qos;
}

static bool has_subject(const struct skep_request *r)
{
    return r->stage != SKEP_STAGE_CONNECT && r->stage != SKEP_STAGE_AUTH;
}

static struct skep_str give(struct str s)
{
    return skep_bytes(s.ptr, s.len);
}

static void into_ring(const struct skep_request *r, const struct skep_client *who)
{
    char where[RING_TEXT];
    struct str text = note_where(r, where, sizeof where);

    ring_add(who->presence, &(struct ring_entry){
                                .wall_ms = clock_wall_ms(),
                                .stage = r->stage,
                                .verdict = r->verdict,
                                .reason = r->reason,
                                .qos = has_subject(r) ? qos_of(r) : 0,
                                .topic = has_subject(r) ? subject(r) : STR_NONE,
                                .module = str_of(r->module ? r->module->name : NULL),
                                .where = text.len > 0 ? text : r->text,
                            });
}

/* "module file:line text": who said so, and why. */
static void tell(const struct skep_request *r)
{
    char where[RING_TEXT], text[2 * RING_TEXT];
    struct str note = note_where(r, where, sizeof where);
    int n = snprintf(text, sizeof text, "%s%s%.*s", r->module ? r->module->name : "skep",
                     note.len > 0 ? " " : "", STR_ARG(note));

    host_event(
        r->place->host,
        &(struct skep_event){
            .size = sizeof(struct skep_event),
            .kind = SKEP_EVENT_DECIDED,
            .now_ms = loop_now_ms(r->place->loop),
            .client = request_who(r),
            .topic = has_subject(r) ? give(subject(r)) : skep_str(NULL),
            .text = skep_bytes(text, n < (int)sizeof text ? (size_t)n : sizeof text - 1),
            .qos = has_subject(r) ? qos_of(r) : 0,
            .reason = r->reason,
            .stage = r->stage,
            .verdict = r->verdict,
            .retain = has_subject(r) && r->stage != SKEP_STAGE_SUBSCRIBE && r->message.retain,
        });
}

void note_decision(struct skep_request *r)
{
    const struct skep_client *who;

    if (!trivial(r) && (who = request_who(r)) != NULL)
        into_ring(r, who);
    if (host_wants(r->place->host, SKEP_EVENT_DECIDED) && !r->dry)
        tell(r);
}
