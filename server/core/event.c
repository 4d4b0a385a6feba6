#include "core/event.h"

#include "core/message.h"
#include "core/router.h"
#include "core/session.h"

void core_tell_event(struct worker *w, const struct core_event *e)
{
    if (w->guest && w->guest->event)
        w->guest->event(w->guest, e);
}

void core_tell(struct worker *w, enum core_event_kind kind, struct session *s,
               const struct message *m, unsigned qos, const char *text)
{
    struct core_event e = {.kind = kind, .session = s, .qos = (uint8_t)qos, .text = str_of(text)};

    e.number = 1;
    if (m) {
        e.topic = message_topic(m);
        e.payload = message_payload(m);
        e.retain = m->retain;
    }
    core_tell_event(w, &e);
}

void core_tell_unlocked(struct worker *w, enum core_event_kind kind, struct session *s,
                        const struct message *m, unsigned qos, const char *text)
{
    lock_take(&s->lock);
    core_tell(w, kind, s, m, qos, text);
    lock_drop(&s->lock);
}

void core_tell_many(struct worker *w, struct session *s, uint64_t number, const char *text)
{
    struct core_event e = {
        .kind = CORE_DROPPED, .session = s, .number = number, .text = str_of(text)};

    core_tell_event(w, &e);
}

static struct core_event of_publication(enum core_event_kind kind, const struct publication *p)
{
    return (struct core_event){.kind = kind,
                               .who = p->who,
                               .topic = p->topic,
                               .payload = p->payload,
                               .qos = p->qos,
                               .retain = p->retain};
}

void core_tell_published(struct worker *w, const struct publication *p, uint64_t targets)
{
    struct core_event e = of_publication(CORE_PUBLISHED, p);

    e.number = targets;
    core_tell_event(w, &e);
}

void core_tell_refused(struct worker *w, const struct publication *p, uint8_t reason,
                       const char *text)
{
    struct core_event e = of_publication(CORE_PUBLISH_REFUSED, p);

    e.reason = reason;
    e.text = str_of(text);
    core_tell_event(w, &e);
}

void core_tell_retained(struct worker *w, const struct publication *p)
{
    struct core_event e = of_publication(CORE_RETAINED, p);

    e.flag = p->payload.len == 0;
    core_tell_event(w, &e);
}

void core_tell_session(struct worker *w, enum core_event_kind kind, struct session *s,
                       const char *text)
{
    struct core_event e = {.kind = kind, .session = s, .text = str_of(text)};

    lock_take(&s->lock);
    core_tell_event(w, &e);
    lock_drop(&s->lock);
}
