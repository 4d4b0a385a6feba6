/* One record of the log: how it stands on the disk, and what it says.
 *
 *     crc32c | length | lsn | type | flags | 0 0 | body, padded to four bytes
 *       u32     u32     u64    u8     u8
 *
 * All numbers are little-endian.  `lsn` is the record's own place: the bytes of all records
 * before it since the log began.  The checksum covers everything behind it and begins with the
 * segment's salt, so that bytes left over from a segment's earlier use never pass for records.
 *
 * A session is known by its number: unique for the life of the store, never used again.  A
 * message in a session's queue is known by number and counter (core/fifo.h).
 *
 * Decoders take any bytes at all: what does not fit is ERR_SYNTAX. */
#ifndef SKEP_STORE_RECORD_H
#define SKEP_STORE_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "store/moment.h"

enum {
    RECORD_HEAD = 20,
    RECORD_TARGET = 24,           /* bytes of one target of RECORD_PUB */
    RECORD_BODY_MAX = 0x40000000, /* above any MQTT packet with all its targets */
};

enum record_type {
    RECORD_COMMIT = 1, /* first of each write: what had been synced by then */
    RECORD_PUB,        /* a message, the sessions that queue it, the topic that keeps it */
    RECORD_ACK,        /* queued messages that are done: a run of counters of one session */
    RECORD_RELEASE,    /* PUBREC came for a QoS 2 message: from now on it is PUBREL's turn */
    RECORD_RECEIVED,   /* an inbound QoS 2 packet id came, or (RECORD_GONE) was released */
    RECORD_SESSION,    /* a session begins, or a client came back to it */
    RECORD_END,        /* a session is over */
    RECORD_AWAY,       /* its client is gone: when it ends, when its will is due */
    RECORD_SUB,
    RECORD_UNSUB,
    RECORD_WILL, /* the session's will, or (RECORD_GONE) none any more */
    RECORD_TYPES
};

enum record_flag {
    RECORD_SKIPPABLE = 0x80, /* whoever does not know the type may pass it by */
    RECORD_MORE = 0x40,      /* counts only together with the record behind it: see below */
    RECORD_GONE = 0x01,      /* of RECEIVED and WILL: the opposite */
    /* Of RECORD_PUB: */
    RECORD_KEEP = 0x01,      /* it is the topic's retained message; empty: it has none now */
    RECORD_INBOUND = 0x02,   /* `origin` received it with `packet_id` at QoS 2 */
    RECORD_FROM_WILL = 0x04, /* it is the will of `origin`, which has none now */
    /* Of RECORD_ACK, for the curious only: */
    RECORD_EXPIRED = 0x01,
    RECORD_DROPPED = 0x02,
};

/* Records of which each but the last has RECORD_MORE are a chain: they come from one batch,
 * stand in one segment, and take effect together or, when the last is not there, not at all. */

struct record {
    uint64_t lsn;
    uint8_t type, flags;
    struct str body;
};

/* Times are in store time (moment.h). */
struct record_message {
    struct str topic, payload, props;
    uint64_t expires_ms; /* 0: never */
    uint64_t publisher;  /* session number, 0: the broker itself or a session not stored */
    uint8_t qos;
    bool retain; /* as published */
};

struct record_target {
    uint64_t session, counter;
    uint32_t sub_id;
    uint16_t share; /* reserved for the group it came through; 0 */
    uint8_t qos;
    bool retain;
};

struct record_pub {
    struct record_message message;
    uint64_t origin; /* session number; 0: neither INBOUND nor FROM_WILL */
    uint16_t packet_id;
    uint32_t target_count;
    const uint8_t *targets; /* see record_target_at() */
};

struct record_run {
    uint64_t session, first;
    uint32_t count;
};

struct record_received {
    uint64_t session;
    uint16_t packet_id;
};

struct record_session {
    uint64_t number;
    struct str client_id, username;
    uint32_t expiry;
    uint32_t realm; /* stands for its mount point, 0: none */
    uint8_t version;
    bool has_username;
};

struct record_away {
    uint64_t number;
    uint64_t ends_ms; /* UINT64_MAX: never */
    uint64_t will_ms; /* 0: no will is due */
    uint64_t sent;    /* messages with a counter below may have been sent to the client */
};

struct record_sub {
    uint64_t number;
    struct str filter;
    uint32_t id;
    uint8_t options, retain_handling;
};

struct record_will {
    uint64_t number;
    uint32_t delay, expiry;        /* seconds, as in the CONNECT */
    struct record_message message; /* unless RECORD_GONE */
};

struct record_commit {
    uint64_t synced;      /* everything before this had reached the disk when this was written */
    struct moment moment; /* when that was */
};

struct record_body {
    uint8_t type, flags;
    union {
        struct record_commit commit;
        struct record_pub pub;
        struct record_run run; /* ACK, RELEASE */
        struct record_received received;
        struct record_session session;
        uint64_t end;
        struct record_away away;
        struct record_sub sub; /* SUB, UNSUB */
        struct record_will will;
    };
};

/* -- The frame -- */

static inline size_t record_size(size_t body_len)
{
    return (RECORD_HEAD + body_len + 3) & ~(size_t)3;
}

/* Length of the whole record that begins at p, which this process wrote itself. */
size_t record_length(const uint8_t *p);

/* Whether it has RECORD_MORE; a record as above. */
bool record_more(const uint8_t *p);

/* Gives a record its place and its checksum. */
void record_seal(uint8_t *p, uint64_t lsn, uint32_t salt);

enum record_found {
    RECORD_VALID,
    RECORD_NONE,   /* nothing that claims to be the record of this place */
    RECORD_BROKEN, /* it claims to be, but its length or checksum is wrong */
};

/* Looks for the record `lsn` at p.  `out` views those bytes. */
enum record_found record_read(const uint8_t *p, size_t room, uint64_t lsn, uint32_t salt,
                              struct record *out);

/* The record at p, in which record_read() has found it before. */
struct record record_at(const uint8_t *p, uint64_t lsn);

/* "PUB", ... or "?" */
const char *record_name(unsigned type);

/* -- The contents -- */

/* 0; ERR_SYNTAX when the body does not fit its type; ERR_NOT_FOUND for a type this version
 * does not know.  Strings are views of the record. */
int record_decode(const struct record *r, struct record_body *out);

/* `at` below pub->target_count. */
struct record_target record_target_at(const struct record_pub *pub, uint32_t at);

/* A message alone, as RECORD_PUB, RECORD_WILL and the tables hold it. */
size_t record_message_size(const struct record_message *m);
uint8_t *record_message_put(uint8_t *p, const struct record_message *m);
int record_message_get(struct str bytes, struct record_message *out);

#endif
