/* The core's directives.  docs/guide/configuration.md and the man page come from here. */
#include "main/settings.h"

#include <stdlib.h>

#include "base/mem.h"
#include "conf/value.h"

#define TLS(member)      DIRECTIVE_FIELD(struct settings_tls, member)
#define LISTENER(member) DIRECTIVE_FIELD(struct settings_listener, member)
#define TOP(member)      DIRECTIVE_FIELD(struct settings, member)
#define TABLE(array, T)                                                                            \
    {                                                                                              \
        .items = array, .count = ARRAY_LEN(array), .size = sizeof(T)                               \
    }

static void check_log_to(const struct directive *d, const struct syntax_node *node,
                         struct directive_context *ctx)
{
    struct str kind = node->words[1].text;
    bool file = str_eq(kind, STR("file"));

    if (!file && !str_eq(kind, STR("stderr")) && !str_eq(kind, STR("syslog")) &&
        !str_eq(kind, STR("journal")))
        complaint_error(ctx->complaints, node->words[1].pos,
                        "it takes stderr, file PATH, syslog or journal", "to: unknown destination");
    else if (file != (node->count == 3))
        complaint_error(ctx->complaints, node->words[1].pos, "for example: to file skep.log;",
                        file ? "to file needs a path" : "only 'to file' takes a path");
}

static void check_proxy(const struct directive *d, const struct syntax_node *node,
                        struct directive_context *ctx)
{
    struct str kind = node->words[1].text;
    bool off = str_eq(kind, STR("off"));

    if (!off && !str_eq(kind, STR("v1")) && !str_eq(kind, STR("v2")) && !str_eq(kind, STR("any")))
        complaint_error(ctx->complaints, node->words[1].pos,
                        "it takes off, v1, v2 or any, then 'from' and addresses",
                        "proxy_protocol: unknown version");
    else if (off ? node->count > 2 : node->count < 4 || !str_eq(node->words[2].text, STR("from")))
        complaint_error(ctx->complaints, node->words[1].pos,
                        "for example: proxy_protocol any from 10.0.0.0/8;",
                        "proxy_protocol needs to know who may send the header");
}

static void check_sync(const struct directive *d, const struct syntax_node *node,
                       struct directive_context *ctx)
{
    struct str kind = node->words[1].text;
    bool interval = str_eq(kind, STR("interval"));
    struct value_error e;
    uint64_t ms;

    if (!interval && !str_eq(kind, STR("always")) && !str_eq(kind, STR("none")))
        complaint_error(ctx->complaints, node->words[1].pos,
                        "it takes always, interval and a duration, or none",
                        "sync: unknown choice");
    else if (interval != (node->count == 3))
        complaint_error(ctx->complaints, node->words[1].pos, "for example: sync interval 50ms;",
                        interval ? "sync interval needs a duration"
                                 : "only 'sync interval' takes a duration");
    else if (interval && value_duration(node->words[2].text, &ms, &e) < 0)
        complaint_error(ctx->complaints, node->words[2].pos, e.hint, "sync: %s", e.message);
    else if (interval && (ms == 0 || ms > SETTINGS_SYNC_INTERVAL_MOST))
        complaint_error(ctx->complaints, node->words[2].pos, "for example: sync interval 50ms;",
                        "sync interval is 1ms to 1h");
}

static void check_mount_point(const struct directive *d, const struct syntax_node *node,
                              struct directive_context *ctx)
{
    if (strpbrk(node->words[1].text.ptr, "+#"))
        complaint_error(ctx->complaints, node->words[1].pos, NULL,
                        "mount_point is the beginning of a topic and holds no + or #");
}

static void check_threads(const struct directive *d, const struct syntax_node *node,
                          struct directive_context *ctx)
{
    unsigned cpus = settings_cpus();

    if ((unsigned)strtoul(node->words[1].text.ptr, NULL, 10) > 2 * cpus)
        complaint_warn(ctx->complaints, node->words[1].pos,
                       "auto is the best choice on most machines",
                       "threads: more than twice the %u CPUs there are", cpus);
}

static const struct directive tls_items[] = {
    {.name = "certificate",
     .type = DIRECTIVE_LIST,
     .item = DIRECTIVE_PATH,
     TLS(certificates),
     .flags = DIRECTIVE_REPEATABLE,
     .syntax = "path",
     .help = "PEM file with the certificate and its chain; give several certificate and key "
             "pairs to serve several host names (SNI)"},
    {.name = "key",
     .type = DIRECTIVE_LIST,
     .item = DIRECTIVE_PATH,
     TLS(keys),
     .flags = DIRECTIVE_REPEATABLE,
     .syntax = "path",
     .help = "PEM file with the private key, one for each certificate in the same order"},
    {.name = "client_ca",
     .type = DIRECTIVE_PATH,
     TLS(client_ca),
     .help = "PEM file with the authorities that sign client certificates"},
    {.name = "client_ca_dir",
     .type = DIRECTIVE_PATH,
     TLS(client_ca_dir),
     .help = "directory of such authorities, as openssl rehash prepares it"},
    {.name = "crl",
     .type = DIRECTIVE_PATH,
     TLS(crl),
     .help = "PEM file with revoked client certificates; read again on reload"},
    {.name = "verify",
     .type = DIRECTIVE_ENUM,
     TLS(verify),
     .choices = "none|optional|require",
     .fallback = "none",
     .help = "whether clients show a certificate"},
    {.name = "username_from",
     .type = DIRECTIVE_ENUM,
     TLS(username_from),
     .choices = "none|cn|subject",
     .fallback = "none",
     .help = "take the user name from the verified client certificate"},
    {.name = "min_version",
     .type = DIRECTIVE_ENUM,
     TLS(min_version),
     .choices = "1.2|1.3",
     .fallback = "1.2",
     .help = "oldest TLS version accepted"},
    {.name = "ciphers",
     .type = DIRECTIVE_STRING,
     TLS(ciphers),
     .help = "TLS 1.2 ciphers in OpenSSL's notation; the default offers forward secrecy only"},
    {.name = "ciphersuites",
     .type = DIRECTIVE_STRING,
     TLS(ciphersuites),
     .help = "TLS 1.3 cipher suites in OpenSSL's notation"},
    {.name = "curves",
     .type = DIRECTIVE_STRING,
     TLS(curves),
     .help = "key exchange groups in OpenSSL's notation"},
    {.name = "alpn",
     .type = DIRECTIVE_LIST,
     .item = DIRECTIVE_STRING,
     TLS(alpn),
     .help = "application protocols offered, for example mqtt"},
    {.name = "tickets",
     .type = DIRECTIVE_BOOL,
     TLS(tickets),
     .fallback = "on",
     .help = "let clients resume a TLS session"},
    {.name = "psk_file",
     .type = DIRECTIVE_PATH,
     TLS(psk_file),
     .help = "file of pre-shared keys, one identity:hexkey a line; read again on reload"},
    {.name = "psk_hint",
     .type = DIRECTIVE_STRING,
     TLS(psk_hint),
     .help = "identity hint sent to TLS 1.2 clients"},
    {.name = "username_from_psk",
     .type = DIRECTIVE_BOOL,
     TLS(username_from_psk),
     .fallback = "on",
     .help = "take the user name from the PSK identity"},
};
static const struct directive_table tls_table = TABLE(tls_items, struct settings_tls);

static const struct directive listener_items[] = {
    {.name = "bind",
     .type = DIRECTIVE_LIST,
     .item = DIRECTIVE_ADDRESS,
     LISTENER(bind),
     .flags = DIRECTIVE_REQUIRED | DIRECTIVE_REPEATABLE,
     .syntax = "address[:port] ...|unix:path",
     .help = "where to listen; [::] means every IPv6 address and not IPv4"},
    {.name = "type",
     .type = DIRECTIVE_ENUM,
     LISTENER(type),
     .choices = "auto|mqtt|mqtts|ws|wss",
     .fallback = "auto",
     .help = "sets the default port (1883, 8883, 8083, 8084), websocket, and whether tls must be "
             "there; auto takes it from the listener's name"},
    {.name = "websocket",
     .type = DIRECTIVE_ENUM,
     LISTENER(websocket),
     .choices = "auto|off|on",
     .fallback = "auto",
     .help = "speak MQTT over WebSocket; auto follows the type"},
    {.name = "path",
     .type = DIRECTIVE_STRING,
     LISTENER(path),
     .fallback = "/mqtt",
     .help = "path that WebSocket clients ask for"},
    {.name = "origins",
     .type = DIRECTIVE_LIST,
     .item = DIRECTIVE_STRING,
     LISTENER(origins),
     .flags = DIRECTIVE_REPEATABLE,
     .help = "web origins that may connect over WebSocket, for example https://example.org; "
             "none given: any"},
    {.name = "proxy_protocol",
     .type = DIRECTIVE_LIST,
     .item = DIRECTIVE_STRING,
     LISTENER(proxy),
     .check = check_proxy,
     .syntax = "off|v1|v2|any from CIDR ...",
     .help = "expect a PROXY header from these addresses and refuse all others"},
    {.name = "anonymous",
     .type = DIRECTIVE_ENUM,
     LISTENER(anonymous),
     .choices = "auto|allow|deny",
     .fallback = "auto",
     .help = "let in clients that nothing authenticates; auto follows the anonymous directive "
             "outside"},
    {.name = "modules",
     .type = DIRECTIVE_LIST,
     .item = DIRECTIVE_STRING,
     LISTENER(modules),
     .syntax = "name ...|none",
     .help = "modules that are asked about this listener's clients, in this order; without it all "
             "that are loaded, in the order of their load lines"},
    {.name = "versions",
     .type = DIRECTIVE_SET,
     LISTENER(versions),
     .choices = "3.1|3.1.1|5",
     .fallback = "3.1 3.1.1 5",
     .help = "MQTT versions accepted"},
    {.name = "mount_point",
     .type = DIRECTIVE_STRING,
     LISTENER(mount_point),
     .check = check_mount_point,
     .help = "prefix put before every topic of this listener's clients, and taken off again"},
    {.name = "max_connections",
     .type = DIRECTIVE_UINT,
     LISTENER(max_connections),
     .word = "none",
     .fallback = "none",
     .min = 1,
     .help = "connections at a time"},
    {.name = "connect_rate",
     .type = DIRECTIVE_RATE,
     LISTENER(connect_rate),
     .word = "none",
     .fallback = "none",
     .min = 1,
     .help = "new connections a second"},
    {.name = "connect_timeout",
     .type = DIRECTIVE_DURATION,
     LISTENER(connect_timeout_ms),
     .word = "auto",
     .fallback = "auto",
     .min = 100,
     .max = 3600000,
     .help = "time from the connection to the whole CONNECT; auto follows limits"},
    {.name = "backlog",
     .type = DIRECTIVE_UINT,
     LISTENER(backlog),
     .fallback = "1024",
     .min = 1,
     .max = 65535,
     .flags = DIRECTIVE_FIXED,
     .help = "connections the system holds before they are accepted"},
    {.name = "mode",
     .type = DIRECTIVE_MODE,
     LISTENER(mode),
     .fallback = "0660",
     .min = 0,
     .max = 0777,
     .flags = DIRECTIVE_FIXED,
     .help = "file mode of a Unix socket"},
    {.name = "owner",
     .type = DIRECTIVE_STRING,
     LISTENER(owner),
     .flags = DIRECTIVE_FIXED,
     .syntax = "user[:group]",
     .help = "owner of a Unix socket"},
    {.name = "tls",
     .type = DIRECTIVE_BLOCK,
     LISTENER(tls),
     .body = &tls_table,
     .flags = DIRECTIVE_HEADED,
     .help = "Serve TLS on this listener"},
};
static const struct directive_table listener_table =
    TABLE(listener_items, struct settings_listener);

static const struct directive log_items[] = {
    {.name = "level",
     .type = DIRECTIVE_ENUM,
     TOP(log.level),
     .choices = "debug|info|warn|error",
     .fallback = "info",
     .help = "least serious lines written"},
    {.name = "format",
     .type = DIRECTIVE_ENUM,
     TOP(log.format),
     .choices = "text|json",
     .fallback = "text",
     .help = "lines for people or JSON objects"},
    {.name = "to",
     .type = DIRECTIVE_LIST,
     .item = DIRECTIVE_STRING,
     TOP(log.to),
     .max = 2,
     .fallback = "stderr",
     .check = check_log_to,
     .syntax = "stderr|file path|syslog|journal",
     .help = "where lines go; a file is opened again on SIGUSR1"},
};
/* Bodies of the small blocks measure from struct settings itself: offset 0. */
static const struct directive_table log_table = TABLE(log_items, struct settings);

static const struct directive control_items[] = {
    {.name = "socket",
     .type = DIRECTIVE_STRING,
     TOP(control.socket),
     .word = "off",
     .fallback = "auto",
     .flags = DIRECTIVE_FIXED,
     .syntax = "auto|path|off",
     .help = "Unix socket that skepctl talks to; auto is control.sock in data_dir"},
    {.name = "mode",
     .type = DIRECTIVE_MODE,
     TOP(control.mode),
     .fallback = "0600",
     .max = 0777,
     .flags = DIRECTIVE_FIXED,
     .help = "file mode of the socket; 0660 admits the group"},
};
static const struct directive_table control_table = TABLE(control_items, struct settings);

static const struct directive sys_items[] = {
    {.name = "interval",
     .type = DIRECTIVE_DURATION,
     TOP(sys_topics.interval_ms),
     .word = "off",
     .fallback = "10s",
     .min = 1000,
     .max = 86400000,
     .help = "how often the $SYS/broker topics are brought up to date"},
};
static const struct directive_table sys_table = TABLE(sys_items, struct settings);

static const struct directive top_items[] = {
    {.name = "threads",
     .type = DIRECTIVE_UINT,
     TOP(threads),
     .word = "auto",
     .fallback = "auto",
     .min = 1,
     .max = 256,
     .flags = DIRECTIVE_FIXED,
     .check = check_threads,
     .help = "event loops; auto is one a CPU"},
    {.name = "data_dir",
     .type = DIRECTIVE_PATH,
     TOP(data_dir),
     .flags = DIRECTIVE_FIXED,
     .help = "directory of everything Skep keeps; the default is /var/lib/skep, or data in the "
             "source tree when started from there"},
    {.name = "store",
     .type = DIRECTIVE_BOOL,
     TOP(store),
     .fallback = "on",
     .flags = DIRECTIVE_FIXED,
     .help = "keep sessions, their queues and retained messages in data_dir/store, so that they "
             "survive; off: in memory only"},
    {.name = "sync",
     .type = DIRECTIVE_LIST,
     .item = DIRECTIVE_STRING,
     TOP(sync),
     .max = 2,
     .fallback = "always",
     .check = check_sync,
     .flags = DIRECTIVE_FIXED,
     .syntax = "always|interval duration|none",
     .help = "when acknowledgements leave: once a power cut would not undo what they say, or once "
             "the end of the process would not (synced every so often, or left to the system)"},
    {.name = "checkpoint_every",
     .type = DIRECTIVE_SIZE,
     TOP(checkpoint_bytes),
     .fallback = "64m",
     .min = 1 << 20,
     .max = (uint64_t)64 << 30,
     .flags = DIRECTIVE_FIXED,
     .help = "bytes of log after which the store's state is brought up to date; a start replays at "
             "most about twice as much"},
    {.name = "user",
     .type = DIRECTIVE_STRING,
     TOP(user),
     .flags = DIRECTIVE_FIXED,
     .help = "user to become when started as root; the default is skep if there is one"},
    {.name = "group",
     .type = DIRECTIVE_STRING,
     TOP(group),
     .flags = DIRECTIVE_FIXED,
     .help = "group to become; the default is the user's own"},
    {.name = "pid_file",
     .type = DIRECTIVE_PATH,
     TOP(pid_file),
     .flags = DIRECTIVE_FIXED,
     .help = "file that holds the process id while Skep runs"},
    {.name = "memory_limit",
     .type = DIRECTIVE_SIZE,
     TOP(limits.memory_limit),
     .word = "none",
     .fallback = "50%",
     .min = 1 << 20,
     .flags = DIRECTIVE_PERCENT,
     .percent_of = settings_memory,
     .help = "messages held in memory; publishers are not read from while it is reached"},
    {.name = "anonymous",
     .type = DIRECTIVE_ENUM,
     TOP(anonymous),
     .choices = "auto|allow|deny",
     .fallback = "auto",
     .help = "let in clients that nothing authenticates; auto allows them on loopback and Unix "
             "listeners only, and nowhere that a module decides who may connect"},
    {.name = "acl_default",
     .type = DIRECTIVE_ENUM,
     TOP(acl_default),
     .choices = "auto|allow|deny",
     .fallback = "auto",
     .help = "may a client publish, subscribe and receive when no module has an opinion; auto: no, "
             "as soon as a module of its listener decides about publishing or subscribing"},
    {.name = "module_path",
     .type = DIRECTIVE_LIST,
     .item = DIRECTIVE_PATH,
     TOP(module_path),
     .flags = DIRECTIVE_REPEATABLE,
     .syntax = "path ...",
     .help = "directories in which load looks for NAME.so; the default is skep/modules in the "
             "library directory of the installation, or the modules of the build tree when "
             "started from there"},
    {.name = "log",
     .type = DIRECTIVE_BLOCK,
     .body = &log_table,
     .help = "What is logged, and where"},
    {.name = "control",
     .type = DIRECTIVE_BLOCK,
     .body = &control_table,
     .help = "The local control socket"},
    {.name = "sys_topics",
     .type = DIRECTIVE_BLOCK,
     .body = &sys_table,
     .help = "The broker's own figures as retained messages"},
    {.name = "limits",
     .type = DIRECTIVE_BLOCK,
     TOP(limits),
     .body = &settings_limits_table,
     .help = "Bounds and switches of the protocol"},
    {.name = "load",
     .type = DIRECTIVE_BLOCKS,
     TOP(loads),
     .find = load_find,
     .body = &bind_host_table,
     .flags = DIRECTIVE_BARE,
     .syntax = "NAME[:INSTANCE]|PATH { ... }",
     .help = "A module, with its own options in the block (skepctl directives NAME); modules are "
             "asked in this order. NAME is looked for in module_path, a PATH has a / in it"},
    {.name = "listener",
     .type = DIRECTIVE_BLOCKS,
     TOP(listeners),
     .body = &listener_table,
     .help = "A place where clients connect; without any, Skep listens on 127.0.0.1:1883 and "
             "[::1]:1883"},
};
const struct directive_table settings_table = TABLE(top_items, struct settings);
