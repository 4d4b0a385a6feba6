/* The configuration of one generation, as values: what the tables of settings_table.c
 * filled in, and the server_conf made from it.
 *
 * Built whole beside the one in force, checked, and only then used (start, reload).
 * Everything lives in its own arena and dies with it: when it is no longer in force and the last
 * module that was loaded with it is gone.  Main thread. */
#ifndef SKEP_MAIN_SETTINGS_H
#define SKEP_MAIN_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"
#include "conf/complaint.h"
#include "conf/directive.h"
#include "front/server.h"
#include "host/life.h"

/* The order of the choices in the table. */
enum settings_anonymous { ANONYMOUS_AUTO, ANONYMOUS_ALLOW, ANONYMOUS_DENY };
enum settings_type { TYPE_AUTO, TYPE_MQTT, TYPE_MQTTS, TYPE_WS, TYPE_WSS };
enum { SETTINGS_SYNC_INTERVAL_MOST = 3600000 }; /* ms */

enum settings_switch { SWITCH_AUTO, SWITCH_OFF, SWITCH_ON };

struct settings_tls {
    struct directive_block block; /* block.table NULL: no TLS */
    struct directive_list certificates, keys, alpn;
    const char *client_ca, *client_ca_dir, *crl;
    enum listen_verify verify;
    enum listen_tls_version min_version;
    const char *ciphers, *ciphersuites, *curves;
    bool tickets;
    const char *psk_file, *psk_hint;
    enum username_from username_from;
    bool username_from_psk;
};

struct settings_listener {
    struct directive_block block;
    enum settings_type type;
    struct directive_list bind;
    struct settings_tls tls;
    enum settings_switch websocket;
    const char *path;
    struct directive_list origins;
    struct directive_list proxy; /* words of proxy_protocol */
    uint32_t max_connections, connect_rate, connect_timeout_ms, backlog;
    unsigned versions;
    enum settings_anonymous anonymous;
    const char *mount_point;
    struct directive_list modules; /* their names, or "none"; count 0: all */
    mode_t mode;
    const char *owner;
};

struct settings {
    uint32_t threads; /* 0: auto */
    const char *data_dir, *user, *group, *pid_file;
    bool store;
    struct directive_list sync; /* always | interval DURATION | none */
    uint64_t checkpoint_bytes;
    enum settings_anonymous anonymous;
    enum life_acl acl_default;
    struct directive_list module_path;
    struct {
        enum log_level level;
        enum log_format format;
        struct directive_list to;
    } log;
    struct {
        const char *socket; /* NULL: off */
        mode_t mode;
    } control;
    struct {
        uint32_t interval_ms; /* 0: off */
    } sys_topics;
    struct limits limits;
    struct directive_blocks listeners; /* struct settings_listener */
    struct directive_blocks loads;     /* struct load_block */

    /* Made from the above. */
    struct log_conf log_conf;
    struct server_conf server;
    struct life_conf life;
    struct load_context opened;
    unsigned refs;
    struct text_pos *listener_pos; /* of server.listeners[i]: its bind */
    struct complaints complaints;
    struct arena arena;
};

extern const struct directive_table settings_table, settings_limits_table;

struct settings_origin {
    const char *path;             /* NULL: only defaults */
    const char *data_dir;         /* where data goes when no directive says so */
    const char *const *overrides; /* -D texts */
    size_t override_count;
};

/* Always gives a generation; it may be used only if settings_ok(). */
void settings_load(struct settings **out, const struct settings_origin *origin);
void settings_free(struct settings **s); /* drops the caller's reference */

bool settings_ok(const struct settings *s);

/* Fills s->server.listeners from the listener blocks and applies the rules across them:
 * who may come in, which addresses clash, what TLS needs.  Called by settings_load. */
void settings_listeners(struct settings *s);

/* Before the directives are read: where modules are looked for. */
struct syntax_node;
void settings_module_path(struct settings *s, const struct syntax_node *nodes);
/* Fills s->life from loads and listeners, with the checks across them and those of the modules. */
void settings_modules(struct settings *s);
/* Does any module of this listener decide who may connect? */
bool settings_authenticates(const struct settings *s, const struct settings_listener *l);

/* CPUs this process may use; the memory this machine (or its cgroup) has. */
unsigned settings_cpus(void);
uint64_t settings_memory(void);

#endif
