#include "ctl/salvage.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "store/segment.h"

/* Reads the file from `at` on and counts each whole record that stands in its place. */
static int count_segment(const struct segment *s, uint64_t at, struct salvage *out, char *why,
                         size_t why_size)
{
    size_t len = (size_t)(s->size - at);
    uint8_t *bytes = malloc(len);
    ssize_t got = bytes ? disk_read(s->disk, s->fd, bytes, len, at) : ERR_SYSTEM;
    uint64_t lsn = s->base + (at - SEGMENT_HEAD), end = lsn;
    struct record r;

    if (got < 0) {
        snprintf(why, why_size, "cannot read log-%05u: %s", s->slot, strerror(errno));
        free(bytes);
        return ERR_SYSTEM;
    }
    for (size_t i = 0; i + RECORD_HEAD <= (size_t)got;) {
        if (record_read(bytes + i, (size_t)got - i, lsn + i, s->salt, &r) != RECORD_VALID) {
            i += 4;
            continue;
        }
        if (r.type < RECORD_TYPES)
            out->records[r.type]++;
        i += record_size(r.body.len);
        end = lsn + i;
    }
    out->bytes += end - lsn;
    out->files++;
    free(bytes);
    return 0;
}

int salvage_count(const char *dir, const struct check_report *report, struct salvage *out,
                  char *why, size_t why_size)
{
    struct segment *list;
    bool behind = false;
    int err = segment_list(&list, &disk_system, dir, why, why_size);

    *out = (struct salvage){0};
    if (err)
        return err;
    for (const struct segment *s = list; !err && s && s->sequence; s = s->next) {
        if (behind)
            err = count_segment(s, SEGMENT_HEAD, out, why, why_size);
        else if (s->slot == report->slot)
            err = count_segment(s, report->place, out, why, why_size);
        behind |= s->slot == report->slot;
    }
    segment_list_free(&list);
    return err;
}
