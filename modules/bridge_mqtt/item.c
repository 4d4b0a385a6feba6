#include "item.h"

#include <stdlib.h>

#include "buf.h"

static struct skep_str keep(char **at, struct skep_str s)
{
    struct skep_str copy = skep_bytes(*at, s.len);

    if (s.len)
        memcpy(*at, s.ptr, s.len);
    *at += s.len;
    return copy;
}

struct item *item_new(const struct skep_message *m, struct skep_str topic,
                      const struct skep_user_property *properties, size_t count, uint64_t now_ms)
{
    size_t pairs = count * sizeof *properties;
    size_t size = sizeof(struct item) + pairs + topic.len + m->payload.len + m->content_type.len +
                  m->response_topic.len + m->correlation_data.len;

    for (size_t i = 0; i < count; i++)
        size += properties[i].name.len + properties[i].value.len;
    struct item *item = malloc(size);
    if (!item)
        return NULL;
    *item = (struct item){.m = *m, .bytes = size};
    struct skep_user_property *to = (struct skep_user_property *)(item + 1);
    char *at = (char *)(to + count);
    for (size_t i = 0; i < count; i++) {
        to[i].name = keep(&at, properties[i].name);
        to[i].value = keep(&at, properties[i].value);
    }
    item->m.user_properties = to;
    item->m.user_property_count = count;
    item->m.topic = keep(&at, topic);
    item->m.payload = keep(&at, m->payload);
    item->m.content_type = keep(&at, m->content_type);
    item->m.response_topic = keep(&at, m->response_topic);
    item->m.correlation_data = keep(&at, m->correlation_data);
    if (m->expiry_s)
        item->ends_ms = now_ms + (uint64_t)m->expiry_s * 1000;
    return item;
}

void items_add(struct items *l, struct item *i)
{
    if (!l->first)
        l->last = &l->first;
    i->next = NULL;
    *l->last = i;
    l->last = &i->next;
    l->count++;
    l->bytes += i->bytes;
}

void items_push(struct items *l, struct item *i)
{
    if (!l->first) {
        items_add(l, i);
        return;
    }
    i->next = l->first;
    l->first = i;
    l->count++;
    l->bytes += i->bytes;
}

void items_remove(struct items *l, struct item *i)
{
    struct item **at = &l->first;

    while (*at != i)
        at = &(*at)->next;
    *at = i->next;
    if (!i->next)
        l->last = at;
    l->count--;
    l->bytes -= i->bytes;
}

struct item *items_take(struct items *l)
{
    struct item *i = l->first;

    if (i)
        items_remove(l, i);
    return i;
}

void items_fini(struct items *l)
{
    for (struct item *i; (i = items_take(l));)
        free(i);
}
