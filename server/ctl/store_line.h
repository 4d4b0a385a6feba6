/* One line of an exported store: a JSON object, from and to the structs of store/load.h.
 *
 *     {"format":"skep-store","version":1,"meta":{"last_number":42}}
 *     {"type":"message","id":1064,"topic":"a/b","qos":1,"payload":"21.5"}
 *     {"type":"session","number":17,"client_id":"logger","version":5,"expiry":3600,"next":12}
 *     {"type":"subscription","session":17,"filter":"a/#","options":1}
 *     {"type":"received","session":17,"packet_id":4}
 *     {"type":"queued","session":17,"counter":11,"granted":1,"message":1064}
 *     {"type":"retained","topic":"a/b","qos":0,"payload":"x"}
 *     {"type":"end","messages":1,"sessions":1,"subscriptions":1,"received":1,"queued":1,...}
 *
 * Fields that say 0, false or nothing are left out.  Bytes stand under NAME when they are UTF-8
 * without control characters (tabs and line ends may be there), else in base64 under
 * NAME_base64.  A number above 2^53, which JSON readers round, stands in quotes.
 * docs/durability.md describes it for users. */
#ifndef SKEP_CTL_STORE_LINE_H
#define SKEP_CTL_STORE_LINE_H

#include <cjson/cJSON.h>

#include "base/arena.h"
#include "store/load.h"

enum line_kind {
    LINE_HEAD,
    LINE_MESSAGE,
    LINE_SESSION,
    LINE_SUBSCRIPTION,
    LINE_RECEIVED,
    LINE_QUEUED,
    LINE_RETAINED,
    LINE_END,
    LINE_KINDS
};

/* What the last line counts: "messages", "sessions", ...; NULL for head and end. */
extern const char *const line_plurals[LINE_KINDS];

enum { LINE_VERSION = 1, LINE_META_MOST = 16, LINE_LONGEST = 640 << 20 };

struct store_line {
    enum line_kind kind;
    union {
        struct {
            unsigned count;
            struct {
                struct str name;
                uint64_t value;
            } meta[LINE_META_MOST];
        } head;
        struct {
            uint64_t id;
            struct record_message message;
        } message; /* what several queues share */
        struct load_session session;
        struct record_sub subscription;
        struct record_received received;
        struct load_entry queued; /* with `shared`: message is not looked at */
        struct record_message retained;
        uint64_t counts[LINE_KINDS]; /* of the lines of each kind; head and end not counted */
    };
};

/* Holds what the parsed line views, until the next one or the end. */
struct line_reader {
    cJSON *json;
    struct arena arena;
    char why[256];
};

/* Any bytes at all.  0, or -1 with a reason in reader->why. */
int line_parse(struct line_reader *reader, struct str text, struct store_line *out);
void line_reader_fini(struct line_reader *reader);

/* Without a line end; free with cJSON_free(). */
char *line_print(const struct store_line *line);

/* Puts bytes into an object, under NAME or NAME_base64; nothing when there are none. */
void line_put_bytes(cJSON *object, const char *name, struct str bytes);

#endif
