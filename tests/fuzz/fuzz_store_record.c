/* Records of the log: any bytes may stand where one is looked for; what is accepted holds
 * together, and written again it is the same.  Input: type, flags, body. */
#include "fuzz.h"

#include <string.h>

#include "base/err.h"
#include "store/batch.h"
#include "store/record.h"

static void check_inside(struct str part, struct str whole)
{
    if (part.len)
        MUST(part.ptr >= whole.ptr && part.ptr + part.len <= whole.ptr + whole.len);
}

static void check_message(const struct record_message *m, struct str whole)
{
    check_inside(m->topic, whole);
    check_inside(m->payload, whole);
    check_inside(m->props, whole);
    MUST(m->qos <= 2);
}

static void write_pub(struct batch *b, const struct record_body *r)
{
    batch_pub_begin(b, &r->pub.message, r->flags, r->pub.origin, r->pub.packet_id);
    for (uint32_t i = 0; i < r->pub.target_count; i++) {
        struct record_target t = record_target_at(&r->pub, i);
        MUST(t.session != 0 && t.qos >= 1 && t.qos <= 2);
        batch_pub_target(b, &t);
    }
    batch_pub_end(b);
}

/* The body as the writer of its type makes it; false where the writer has no such flags. */
static int write_again(struct batch *b, const struct record_body *r)
{
    switch (r->type) {
    case RECORD_PUB:
        if (r->flags == 0 && r->pub.target_count == 0)
            return 0;
        write_pub(b, r);
        return 1;
    case RECORD_SESSION:
        batch_session(b, &r->session);
        return 1;
    case RECORD_AWAY:
        batch_away(b, &r->away);
        return 1;
    case RECORD_SUB:
        batch_sub(b, &r->sub);
        return 1;
    case RECORD_WILL:
        if (!(r->flags & RECORD_GONE) != (r->will.message.topic.len > 0))
            return 0;
        batch_will(b, &r->will);
        return 1;
    default:
        return 0;
    }
}

static void check_body(const struct record *r)
{
    struct record_body body;
    struct batch b = {0};

    if (record_decode(r, &body) < 0)
        return;
    if (body.type == RECORD_PUB)
        check_message(&body.pub.message, r->body);
    if (body.type == RECORD_WILL && !(body.flags & RECORD_GONE))
        check_message(&body.will.message, r->body);
    if (body.type == RECORD_SUB || body.type == RECORD_UNSUB)
        check_inside(body.sub.filter, r->body);
    if (write_again(&b, &body)) {
        MUST(b.len == record_size(r->body.len));
        MUST(memcmp(b.bytes + RECORD_HEAD, r->body.ptr, r->body.len) == 0);
    }
    batch_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct record r;

    /* raw bytes: looked for at the place they claim */
    if (size >= RECORD_HEAD) {
        uint64_t lsn;
        memcpy(&lsn, data + 8, sizeof lsn);
        if (record_read(data, size, lsn, 1, &r) == RECORD_VALID)
            check_body(&r);
    }
    /* a body behind a checksum that is right */
    if (size >= 2) {
        r = (struct record){0, data[0], data[1], {(const char *)data + 2, size - 2}};
        check_body(&r);
    }
    return 0;
}
