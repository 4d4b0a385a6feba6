/* Types that every other header of the SDK uses.
 *
 * Conventions of the whole SDK:
 *   - Bytes are a `struct skep_str`: a pointer and a length, not terminated unless a function
 *     says so.  One that the host hands to a module is borrowed: it lives until the callback
 *     returns, or until the request it belongs to ends.
 *   - Structs a module hands in begin with `size` (sizeof the struct, as the module was compiled),
 *     so that later releases can add members at the end.  Members left zero take their default.
 *   - Functions that can fail return 0 or a negative SKEP_E_*.
 *   - Times are milliseconds unless the name says otherwise.
 *   - "Loop" is one of the broker's event loops, each a thread.  "Management loop" is one more
 *     thread with an event loop that serves no client.  No callback may block on any of them: no
 *     file sync, no name look-up, no password hash; see <skep/loop.h>, skep_job().
 *
 * Compatibility: a minor release adds functions, and members at the end of structs; a major one
 * may change anything, and refuses modules of another major with a clear message. */
#ifndef SKEP_BASE_H
#define SKEP_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
#define SKEP_BEGIN extern "C" {
#define SKEP_END   }
#else
#define SKEP_BEGIN
#define SKEP_END
#endif

#define SKEP_EXPORT       __attribute__((visibility("default")))
#define SKEP_PRINTF(f, a) __attribute__((format(printf, f, a)))

#define SKEP_ABI_MAJOR 1
#define SKEP_ABI_MINOR 0

SKEP_BEGIN

struct skep_module;  /* one loaded module: the host's side of it; lives until unload() returned */
struct skep_client;  /* who a connected client is; see <skep/client.h> */
struct skep_request; /* a decision that is being made; see <skep/decide.h> */

/* Bytes with a length; not terminated unless said so. */
struct skep_str {
    const char *ptr;
    size_t len;
};

/* A string literal as a skep_str. */
#define SKEP_STR(literal) skep_bytes("" literal, sizeof(literal) - 1)

/* Bytes and their length as a skep_str. */
static inline struct skep_str skep_bytes(const void *ptr, size_t len)
{
    struct skep_str s = {(const char *)ptr, len};
    return s;
}

/* Of a terminated string; NULL gives an empty one. */
static inline struct skep_str skep_str(const char *text)
{
    return skep_bytes(text, text ? strlen(text) : 0);
}

/* Byte for byte.  For secrets see below. */
static inline bool skep_str_eq(struct skep_str a, struct skep_str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* Compares in a time that depends on the lengths alone: for passwords, digests and tokens. */
SKEP_EXPORT bool skep_str_eq_secret(struct skep_str a, struct skep_str b);

/* Whether an MQTT topic name matches a topic filter [MQTT 4.7], the rule for `$` included.
 * Both are taken as valid. */
SKEP_EXPORT bool skep_topic_matches(struct skep_str filter, struct skep_str topic);

/* Whether it is a valid topic filter (name: false) or topic name (name: true) [MQTT 4.7]. */
SKEP_EXPORT bool skep_topic_valid(struct skep_str topic, bool name);

/* What functions return when they fail. */
enum skep_error {
    SKEP_OK = 0,
    SKEP_E_INVALID = -1,   /* an argument makes no sense */
    SKEP_E_NOT_FOUND = -2, /* no such client, key, ... */
    SKEP_E_EXISTS = -3,
    SKEP_E_LIMIT = -4,   /* a configured or built-in limit is reached */
    SKEP_E_MEMORY = -5,  /* no memory for it */
    SKEP_E_SYSTEM = -6,  /* the operating system refused; errno says why */
    SKEP_E_STATE = -7,   /* not at this time, or not on this thread */
    SKEP_E_REFUSED = -8, /* the broker does not take it: quota, disk, authorisation */
};

/* One line about an error, for logs. */
SKEP_EXPORT const char *skep_error_text(int err);

/* Reason codes a module may meet or give [MQTT 2.4].  Clients that speak MQTT 3.1.1 get what comes
 * nearest. */
enum skep_reason {
    SKEP_RC_SUCCESS = 0x00,
    SKEP_RC_NO_SUBSCRIBERS = 0x10,
    SKEP_RC_UNSPECIFIED = 0x80,
    SKEP_RC_IMPLEMENTATION = 0x83,
    SKEP_RC_CLIENT_ID_INVALID = 0x85,
    SKEP_RC_BAD_CREDENTIALS = 0x86, /* bad user name or password */
    SKEP_RC_NOT_AUTHORIZED = 0x87,
    SKEP_RC_UNAVAILABLE = 0x88, /* server unavailable */
    SKEP_RC_BUSY = 0x89,
    SKEP_RC_BANNED = 0x8A,
    SKEP_RC_BAD_AUTH_METHOD = 0x8C,
    SKEP_RC_FILTER_INVALID = 0x8F,
    SKEP_RC_TOPIC_INVALID = 0x90,
    SKEP_RC_PACKET_TOO_LARGE = 0x95,
    SKEP_RC_MESSAGE_RATE = 0x96,
    SKEP_RC_QUOTA = 0x97,
    SKEP_RC_ADMINISTRATIVE = 0x98,
    SKEP_RC_PAYLOAD_INVALID = 0x99,
    SKEP_RC_RETAIN_NOT_SUPPORTED = 0x9A,
    SKEP_RC_USE_ANOTHER_SERVER = 0x9C,
    SKEP_RC_SERVER_MOVED = 0x9D,
    SKEP_RC_CONNECTION_RATE = 0x9F,
    SKEP_RC_MAXIMUM_CONNECT_TIME = 0xA0,
};

/* Log lines carry the module's name.  Any thread.  At most a few hundred lines a second of one
 * module are kept; what is left out is counted in a line of its own. */
enum skep_level { SKEP_LOG_DEBUG, SKEP_LOG_INFO, SKEP_LOG_WARN, SKEP_LOG_ERROR };

/* Writes a line, as printf does.  Never a password or token. */
SKEP_EXPORT void skep_log(struct skep_module *m, enum skep_level level, const char *format, ...)
    SKEP_PRINTF(3, 4);

/* Whether lines of that level are written at all: to spare the work of making one. */
SKEP_EXPORT bool skep_log_wanted(enum skep_level level);

SKEP_END
#endif
