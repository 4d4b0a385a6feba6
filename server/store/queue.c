#include "store/queue.h"

#include "base/err.h"
#include "store/fold.h"
#include "store/octets.h"

static int shared_message(struct queue_reader *q, uint64_t lsn)
{
    struct table_key key = {.len = 0};
    struct str bytes;

    if (q->shared == lsn)
        return 0;
    key_u64(&key, lsn);
    key_u8(&key, 0);
    int err = tables_get(q->txn, TABLE_MESSAGES, key_str(&key), &bytes);
    if (err)
        return err == ERR_NOT_FOUND ? ERR_DAMAGED : err;
    if (record_message_get(bytes, &q->message) < 0)
        return ERR_DAMAGED;
    q->shared = lsn;
    return 0;
}

static int entry_message(struct queue_reader *q, unsigned kind, struct octets *o,
                         struct load_entry *e)
{
    int err;

    if (kind == QUEUE_SHARED) {
        e->shared = take_u64(o);
        if (o->bad || (err = shared_message(q, e->shared)) < 0)
            return o->bad ? ERR_DAMAGED : err;
        e->message = q->message;
    } else if (kind == QUEUE_OWN) {
        struct str rest = take_str(o, (size_t)(o->end - o->at));
        return record_message_get(rest, &e->message) < 0 ? ERR_DAMAGED : 0;
    } else if (kind == QUEUE_RELEASED) {
        e->released = true;
        if (e->target.qos == 0) /* its message was lost: then at least PUBREL */
            e->target.qos = 2;
    } else {
        return ERR_DAMAGED;
    }
    return 0;
}

int queue_entry(struct queue_reader *q, struct str key, struct str value, struct load_entry *out)
{
    struct octets o = octets_of(value);
    int err;

    if (key.len != 16)
        return ERR_DAMAGED;
    *out = (struct load_entry){
        .target = {.session = key_get_u64(key, 0), .counter = key_get_u64(key, 8)}};
    uint8_t kind = take_u8(&o);
    if (kind == QUEUE_DONE && value.len == 1)
        return 0;
    out->target.sub_id = take_u32(&o);
    out->target.share = take_u16(&o);
    out->target.qos = take_u8(&o);
    out->target.retain = take_u8(&o);
    if ((err = entry_message(q, kind, &o, out)) < 0)
        return err;
    return octets_done(&o) ? 1 : ERR_DAMAGED;
}

/* -- A part of one -- */

struct part {
    struct queue_reader reader;
    const struct load_part *wanted;
    uint64_t next;
    uint32_t count;
    size_t bytes;
};

enum { ENOUGH = 1 };

static int part_each(void *arg, struct str key, struct str value, bool *remove)
{
    struct part *p = arg;
    const struct load_part *w = p->wanted;
    struct load_entry e;
    int found = queue_entry(&p->reader, key, value, &e);

    if (found <= 0)
        return found;
    int err = w->entry(w->arg, &e);
    if (err)
        return err < 0 ? err : ENOUGH;
    p->next = e.target.counter + 1;
    p->bytes += e.message.payload.len;
    return ++p->count >= w->most || p->bytes >= w->most_bytes ? ENOUGH : 0;
}

int load_queue(struct tables *t, const struct load_part *wanted, uint64_t *next)
{
    struct table_key prefix = {.len = 0}, from;
    struct part p = {.wanted = wanted, .next = wanted->from};
    int err = tables_begin(t, false, &p.reader.txn);

    if (err)
        return err;
    key_u64(&prefix, wanted->session);
    from = prefix;
    key_u64(&from, wanted->from);
    if (wanted->most > 0)
        err = tables_each_from(p.reader.txn, TABLE_QUEUE, key_str(&prefix), key_str(&from),
                               part_each, &p);
    tables_abort(&p.reader.txn);
    *next = p.next;
    return err == ENOUGH ? 0 : err;
}
