/* What stands in `load bridge_mqtt { ... }`. */
#ifndef BRIDGE_CONF_H
#define BRIDGE_CONF_H

#include <openssl/ssl.h>
#include <skep/option.h>

#include "buf.h"

struct tls_conf {
    struct skep_block block;
    const char *ca, *certificate, *key, *server_name;
    struct skep_secret key_password;
    bool verify;
};

enum { STATUS_PLAIN, STATUS_JSON };
enum { STATUS_LOCAL, STATUS_REMOTE, STATUS_BOTH };

struct connection_conf {
    struct skep_block block; /* label: its name */
    struct skep_list address;
    struct tls_conf tls;
    const char *websocket; /* the path */
    int version;           /* 0: 5, 1: 3.1.1 */
    const char *client_id, *username;
    struct skep_secret password;
    uint32_t keep_alive, ping_timeout, connect_timeout;
    bool clean_start;
    uint32_t session_expiry, queue_expiry;
    struct skep_lines topic;
    uint16_t connections, window, window_qos2, receive_window;
    uint64_t max_packet, max_queue0;
    uint64_t backlog_rate;
    uint64_t remote_max_packet;
    bool live_first, retain, loop_guard, try_private;
    uint32_t reconnect_min, reconnect_max;
    const char *status_topic;
    int status_format, status_at;
    uint32_t alarm_after;
};

struct conf {
    struct skep_blocks connection;
};

extern const struct skep_option bridge_options[];

/* The descriptor's check(). */
void conf_check(const void *conf, struct skep_report *report);

/* "host:port" with the port that fits when none is written; unix:/path stays.  To be freed. */
char *conf_address(const struct connection_conf *c, const char *written);
/* The host of such an address, without brackets, in `out`. */
void conf_host(const char *address, char *out, size_t size);

static inline bool conf_has_tls(const struct connection_conf *c)
{
    return c->tls.block.place.file != NULL;
}

/* A client's TLS as configured; NULL, with the reason reported. */
SSL_CTX *conf_tls(const struct connection_conf *c, struct skep_report *report);

/* A digest over all that makes the connection what it is, files named in it included: two that have
 * the same are the same. */
void conf_digest(const struct connection_conf *c, uint8_t out[32]);

#endif
