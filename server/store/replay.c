#include "store/replay.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "store/octets.h"

/* A segment's bytes behind its header. */
struct replay_bytes {
    struct replay_bytes *next;
    size_t len;
    uint8_t data[];
};

int replay_init(struct replay *r, struct segment *segments, uint64_t from, uint64_t to)
{
    struct segment *start = NULL;

    *r = (struct replay){.lsn = from, .to = to};
    for (struct segment *s = segments; s && s->sequence; s = s->next) {
        if (s->base <= from)
            start = s;
    }
    if (!start && segments && segments->sequence) {
        snprintf(r->why, sizeof r->why,
                 "the log begins at %llu, but what was checkpointed ends at %llu: log files are "
                 "missing",
                 (unsigned long long)segments->base, (unsigned long long)from);
        return ERR_DAMAGED;
    }
    r->at = start;
    return 0;
}

void replay_forget(struct replay *r)
{
    while (r->kept) {
        struct replay_bytes *b = r->kept;
        r->kept = b->next;
        free(b);
    }
}

void replay_fini(struct replay *r)
{
    replay_forget(r);
    r->at = NULL;
}

static int load(struct replay *r, const struct segment *s, struct replay_bytes **out)
{
    struct replay_bytes *b = malloc(sizeof *b + segment_room(s));

    if (!b) {
        snprintf(r->why, sizeof r->why, "no memory to read a log file of %llu bytes",
                 (unsigned long long)s->size);
        return ERR_MEMORY;
    }
    ssize_t n = disk_read(s->disk, s->fd, b->data, segment_room(s), SEGMENT_HEAD);
    if (n < 0) {
        snprintf(r->why, sizeof r->why, "cannot read log-%05u: %s", s->slot, strerror(errno));
        free(b);
        return ERR_SYSTEM;
    }
    b->len = (size_t)n;
    b->next = r->kept;
    r->kept = b;
    *out = b;
    return 0;
}

/* Whether a record whose checksum is right means something, or may be passed by. */
static int understand(struct replay *r, const struct segment *s, const struct record *record)
{
    struct record_body body;
    int err = record_decode(record, &body);

    if (!err || (err == ERR_NOT_FOUND && record->flags & RECORD_SKIPPABLE))
        return 0;
    r->damaged_slot = s->slot;
    r->damaged_place = segment_place(s, record->lsn);
    snprintf(r->why, sizeof r->why,
             err == ERR_NOT_FOUND
                 ? "log-%05u holds at %llu a record of type %u that this Skep does not know: "
                   "start the Skep that wrote it"
                 : "log-%05u holds at %llu a record of type %u that makes no sense",
             s->slot, (unsigned long long)r->damaged_place, record->type);
    return err == ERR_NOT_FOUND ? ERR_DENIED : ERR_DAMAGED;
}

/* The chain that begins at r->lsn; *end is where it ends.  1: it is whole and means something;
 * 0: it is not all there. */
static int find_chain(struct replay *r, const struct segment *s, const struct replay_bytes *b,
                      uint64_t limit, uint64_t *end)
{
    struct record record = {.flags = RECORD_MORE};
    int err;

    *end = r->lsn;
    while (record.flags & RECORD_MORE) {
        uint64_t at = *end - s->base;
        if (*end >= limit || at >= b->len ||
            record_read(b->data + at, b->len - at, *end, s->salt, &record) != RECORD_VALID)
            return 0;
        if ((err = understand(r, s, &record)) < 0)
            return err;
        *end += record_size(record.body.len);
    }
    return 1;
}

/* The records from r->lsn to `end`, which find_chain() has seen. */
static int hand_over(struct replay *r, const struct segment *s, const struct replay_bytes *b,
                     uint64_t end, replay_fn *fn, void *arg)
{
    struct record_body body;

    for (uint64_t lsn = r->lsn; lsn < end;) {
        struct record record = record_at(b->data + (lsn - s->base), lsn);
        lsn += record_size(record.body.len);
        if (record_decode(&record, &body) < 0) /* skippable */
            continue;
        r->records++;
        int err = fn(arg, &record, &body);
        if (err && !r->why[0])
            snprintf(r->why, sizeof r->why, "%s", err_text(err));
        if (err)
            return err;
    }
    return 0;
}

/* Whatever of a write that was cut off can still be told: where its last whole record ends,
 * and what the newest COMMIT in it says was synced. */
struct wreck {
    uint64_t end, synced;
};

static struct wreck survey(const struct segment *s, const struct replay_bytes *b, uint64_t lsn)
{
    struct wreck w = {.end = lsn};
    struct record_body body;
    struct record record;

    for (uint64_t at = lsn - s->base; at + RECORD_HEAD <= b->len; at += 4) {
        const uint8_t *p = b->data + at;
        if (get_u64(p + 8) != s->base + at)
            continue;
        enum record_found found = record_read(p, b->len - at, s->base + at, s->salt, &record);
        if (found == RECORD_NONE)
            continue;
        uint64_t end = s->base + at + RECORD_HEAD;
        if (found == RECORD_VALID) {
            end = s->base + at + record_size(record.body.len);
            if (record.type == RECORD_COMMIT && record_decode(&record, &body) == 0)
                w.synced = body.commit.synced;
        }
        w.end = end > w.end ? end : w.end;
    }
    return w;
}

static int damaged(struct replay *r, const struct segment *s)
{
    r->damaged_slot = s->slot;
    r->damaged_place = segment_place(s, r->lsn);
    snprintf(
        r->why, sizeof r->why,
        "log-%05u is damaged at byte %llu (record %llu), within what had been acknowledged; "
        "put a copy of the data directory aside, then 'skepctl store repair' cuts the damage out",
        s->slot, (unsigned long long)r->damaged_place, (unsigned long long)r->lsn);
    return ERR_DAMAGED;
}

/* No record, or no whole chain, stands at r->lsn in the last segment. */
static int judge_end(struct replay *r, const struct segment *s, const struct replay_bytes *b)
{
    if (r->to != UINT64_MAX && r->lsn < r->to)
        return damaged(r, s);
    struct wreck w = survey(s, b, r->lsn);
    if (w.synced > r->lsn)
        return damaged(r, s);
    r->torn_bytes = w.end - r->lsn;
    r->torn_slot = s->slot;
    r->torn_place = segment_place(s, r->lsn);
    return 0;
}

int replay_segment(struct replay *r, replay_fn *fn, void *arg)
{
    struct segment *s = r->at, *next = s ? s->next : NULL;
    struct replay_bytes *b;
    uint64_t limit = r->to, end;
    int err;

    if (!s || r->lsn >= r->to)
        return 0;
    if (next && !next->sequence)
        next = NULL;
    if (next && next->base < limit)
        limit = next->base;
    if (r->lsn < limit && (err = load(r, s, &b)) < 0)
        return err;
    while (r->lsn < limit) {
        if ((err = find_chain(r, s, b, limit, &end)) == 0)
            return next ? damaged(r, s) : judge_end(r, s, b);
        if (err < 0 || (err = hand_over(r, s, b, end, fn, arg)) < 0)
            return err;
        r->lsn = end;
    }
    r->at = next;
    return next && r->lsn < r->to;
}
