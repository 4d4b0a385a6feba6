/* From `listener NAME { }` blocks to the server's listeners: one for each address, with
 * defaults that depend on the type, and the rules that no single directive can check. */
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "conf/value.h"
#include "main/settings.h"
#include "net/addr.h"

static const struct {
    uint16_t port;
    bool tls, websocket;
} types[] = {
    [TYPE_MQTT] = {1883, false, false},
    [TYPE_MQTTS] = {8883, true, false},
    [TYPE_WS] = {8083, false, true},
    [TYPE_WSS] = {8084, true, true},
};

static void error_at(struct settings *s, struct text_pos pos, const char *hint, const char *message)
{
    complaint_error(&s->complaints, pos, hint, "%s", message);
}

/* A listener called "wss" or "wss-public" is of that type, any other name says nothing. */
static enum settings_type type_of(const struct settings_listener *l)
{
    size_t n = strcspn(l->block.label, "-_.0123456789");
    struct str name = {l->block.label, n};
    struct value_error unused;
    uint64_t index;

    if (l->type != TYPE_AUTO)
        return l->type;
    if (value_choice(name, "mqtt|mqtts|ws|wss", &index, &unused) == 0)
        return (enum settings_type)(index + 1);
    return l->tls.block.table ? TYPE_MQTTS : TYPE_MQTT;
}

static void resolve_type(struct settings *s, struct settings_listener *l)
{
    bool tls = l->tls.block.table != NULL;

    l->type = type_of(l);
    if (types[l->type].tls && !tls)
        error_at(s, l->block.pos, "add tls { certificate FILE; key FILE; }, or give another type",
                 arena_printf(&s->arena, "listener %s needs tls", l->block.label));
    if (!types[l->type].tls && tls)
        l->type = l->type == TYPE_WS ? TYPE_WSS : TYPE_MQTTS;
    if (l->websocket == SWITCH_AUTO)
        l->websocket = types[l->type].websocket ? SWITCH_ON : SWITCH_OFF;
    if (l->path[0] != '/')
        error_at(s, l->block.pos, "for example /mqtt", "the path of a listener begins with /");
}

static void check_tls(struct settings *s, const struct settings_tls *t)
{
    struct text_pos pos = t->block.pos;
    bool ca = t->client_ca || t->client_ca_dir;

    if (t->certificates.count != t->keys.count)
        error_at(s, pos, "give them in pairs", "as many keys as certificates are needed");
    if (t->certificates.count == 0 && !t->psk_file)
        error_at(s, pos, "add certificate and key, or psk_file", "tls has nothing to serve with");
    if (t->verify != LISTEN_VERIFY_NONE && !ca)
        error_at(s, pos, "add client_ca FILE;",
                 "verify needs to know who signs client certificates");
    if (t->verify == LISTEN_VERIFY_NONE && t->username_from != USERNAME_NONE)
        error_at(s, pos, "add verify require; (or optional)",
                 "username_from needs a verified certificate");
    if (t->verify == LISTEN_VERIFY_NONE && (ca || t->crl))
        complaint_warn(&s->complaints, pos, "verify is none",
                       "client_ca and crl have no effect here");
}

static struct listen_strings strings(const struct directive_list *list, size_t skip)
{
    if (list->count <= skip)
        return (struct listen_strings){0};
    return (struct listen_strings){list->items + skip, list->count - skip};
}

static void fill_tls(struct settings *s, const struct settings_tls *t, struct listen_conf *out)
{
    size_t pairs = t->keys.count < t->certificates.count ? t->keys.count : t->certificates.count;
    struct listen_cert *certs = ARENA_ARRAY(&s->arena, struct listen_cert, pairs);

    for (size_t i = 0; i < pairs; i++)
        certs[i] = (struct listen_cert){t->certificates.items[i], t->keys.items[i]};
    out->tls = true;
    out->tls_conf = (struct listen_tls){
        .certs = certs,
        .cert_count = pairs,
        .client_ca_file = t->client_ca,
        .client_ca_dir = t->client_ca_dir,
        .crl_file = t->crl,
        .verify = t->verify,
        .min_version = t->min_version,
        .ciphers = t->ciphers,
        .ciphersuites = t->ciphersuites,
        .curves = t->curves,
        .alpn = strings(&t->alpn, 0),
        .tickets = t->tickets,
        .psk_file = t->psk_file,
        .psk_hint = t->psk_hint,
    };
}

/* "user", "user:group" or ":group" to numbers. */
static void fill_owner(struct settings *s, const struct settings_listener *l,
                       struct listen_conf *out)
{
    const char *colon = l->owner ? strchr(l->owner, ':') : NULL;
    const char *user;

    out->unix_uid = (uid_t)-1;
    out->unix_gid = (gid_t)-1;
    if (!l->owner)
        return;
    user = arena_cstr(
        &s->arena, (struct str){l->owner, colon ? (size_t)(colon - l->owner) : strlen(l->owner)});
    struct passwd *pw = *user ? getpwnam(user) : NULL;
    if (pw)
        out->unix_uid = pw->pw_uid;
    else if (*user)
        error_at(s, l->block.pos, NULL, arena_printf(&s->arena, "there is no user %s", user));
    struct group *gr = colon ? getgrnam(colon + 1) : NULL;
    if (gr)
        out->unix_gid = gr->gr_gid;
    else if (colon)
        error_at(s, l->block.pos, NULL, arena_printf(&s->arena, "there is no group %s", colon + 1));
}

static void fill_proxy(struct settings *s, const struct settings_listener *l,
                       struct listen_conf *out)
{
    static const char *const names[] = {"off", "v1", "v2", "any"};
    struct cidr unused;

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (l->proxy.count && strcmp(l->proxy.items[0], names[i]) == 0)
            out->proxy = (enum listen_proxy)i;
    if (out->proxy == LISTEN_PROXY_OFF)
        return;
    out->proxy_sources = strings(&l->proxy, 2);
    for (size_t i = 2; i < l->proxy.count; i++)
        if (cidr_parse(&unused, l->proxy.items[i]) < 0)
            error_at(s, l->proxy.pos[i], "write 10.0.0.0/8, 2001:db8::/32 or one address",
                     arena_printf(&s->arena, "proxy_protocol: %s is not an address block",
                                  value_quote(&s->arena, str_of(l->proxy.items[i]))));
}

/* What all addresses of one block share. */
static struct server_listener common(struct settings *s, const struct settings_listener *l)
{
    struct server_listener out = {
        .versions = l->versions,
        .mount_point = l->mount_point,
        .username_from = l->tls.username_from,
        .username_from_psk = l->tls.psk_file && l->tls.username_from_psk,
        .connect_timeout_ms =
            l->connect_timeout_ms ? l->connect_timeout_ms : s->limits.connect_timeout_ms,
    };
    struct listen_conf *listen = &out.listen;

    listen->name = l->block.label;
    listen->unix_mode = l->mode;
    listen->websocket = l->websocket == SWITCH_ON;
    listen->ws_path = l->path;
    listen->ws_origins = strings(&l->origins, 0);
    listen->max_connections = l->max_connections;
    listen->connect_rate = l->connect_rate;
    listen->backlog = (int)l->backlog;
    listen->handshake_timeout_ms = out.connect_timeout_ms;
    listen->keepalive = true;
    listen->v6_only = true; /* a listener binds exactly what it says */
    fill_owner(s, l, listen);
    fill_proxy(s, l, listen);
    if (l->tls.block.table)
        fill_tls(s, &l->tls, listen);
    return out;
}

/* Can anything tell who a client of this listener is? */
static bool authenticates(const struct settings *s, const struct settings_listener *l)
{
    const struct settings_tls *t = &l->tls;

    if (settings_authenticates(s, l))
        return true;
    return t->block.table &&
           ((t->psk_file && t->username_from_psk) ||
            (t->verify == LISTEN_VERIFY_REQUIRE && t->username_from != USERNAME_NONE));
}

/* Anonymous access and promise S1: what is reachable from outside says so or knows its
 * clients.  Behind a PROXY header loopback is outside too. */
static void decide_anonymous(struct settings *s, struct settings_listener *l, bool reachable,
                             struct text_pos pos, struct server_listener *out)
{
    enum settings_anonymous said = l->anonymous != ANONYMOUS_AUTO ? l->anonymous : s->anonymous;

    out->anonymous = said == ANONYMOUS_ALLOW ||
                     (said == ANONYMOUS_AUTO && !reachable && !settings_authenticates(s, l));
    if (out->anonymous || authenticates(s, l) || s->opened.failed)
        return;
    if (said == ANONYMOUS_DENY)
        complaint_warn(&s->complaints, pos, "nothing authenticates its clients",
                       "nobody can connect to listener %s", l->block.label);
    else
        complaint_error(
            &s->complaints, pos,
            "write 'anonymous allow;' in it if everybody may come in, or bind 127.0.0.1",
            "listener %s is reachable from other machines and nothing authenticates "
            "its clients",
            l->block.label);
}

static const char *full_address(struct settings *s, const struct settings_listener *l,
                                const char *written, struct value_address *a)
{
    struct value_error unused;

    if (value_address(str_of(written), a, &unused) < 0 || a->is_unix)
        return written;
    if (!a->has_port)
        a->port = types[l->type].port;
    return arena_printf(&s->arena, a->is_v6 ? "[%.*s]:%u" : "%.*s:%u", STR_ARG(a->host), a->port);
}

static void check_clash(struct settings *s, size_t count, const char *address, bool any_port,
                        struct text_pos pos)
{
    for (size_t i = 0; i < count && !any_port; i++)
        if (strcmp(s->server.listeners[i].listen.address, address) == 0)
            complaint_error(&s->complaints, pos,
                            arena_printf(&s->arena, "listener %s has it at %s:%u",
                                         s->server.listeners[i].listen.name,
                                         s->listener_pos[i].file, s->listener_pos[i].line),
                            "%s is bound twice", address);
}

/* Browsers let any page of any site open a WebSocket to this machine; only the Origin
 * tells them apart. */
static void check_origins(struct settings *s, const struct settings_listener *l, size_t open)
{
    if (l->websocket == SWITCH_ON && l->origins.count == 0 && open > 0)
        complaint_warn(&s->complaints, l->block.pos,
                       "name the sites that may: origins https://app.example.org;",
                       "listener %s admits every web page that a browser on its network shows",
                       l->block.label);
}

static void expand(struct settings *s, struct settings_listener *l, struct server_listener *out)
{
    bool proxied = l->proxy.count && strcmp(l->proxy.items[0], "off") != 0;
    struct server_listener base;
    size_t open = 0;

    resolve_type(s, l);
    if (l->tls.block.table)
        check_tls(s, &l->tls);
    base = common(s, l);
    for (size_t i = 0; i < l->bind.count; i++) {
        struct server_listener *one = &out[s->server.listener_count];
        struct text_pos pos = l->bind.pos[i];
        struct value_address a;
        const char *address = full_address(s, l, l->bind.items[i], &a);

        check_clash(s, s->server.listener_count, address, !a.is_unix && a.port == 0, pos);
        *one = base;
        one->listen.address = address;
        decide_anonymous(s, l, !a.is_loopback || proxied, pos, one);
        open += one->anonymous;
        s->listener_pos[s->server.listener_count++] = pos;
    }
    check_origins(s, l, open);
    if (open == l->bind.count) /* decided now, so that -T shows it */
        l->anonymous = ANONYMOUS_ALLOW;
    else if (open == 0)
        l->anonymous = ANONYMOUS_DENY;
}

void settings_listeners(struct settings *s)
{
    struct server_listener *out;
    size_t total = 0;

    for (size_t i = 0; i < s->listeners.count; i++)
        total += ((struct settings_listener *)s->listeners.items[i])->bind.count;
    out = ARENA_ARRAY(&s->arena, struct server_listener, total);
    s->listener_pos = ARENA_ARRAY(&s->arena, struct text_pos, total);
    s->server.listeners = out;
    for (size_t i = 0; i < s->listeners.count; i++)
        expand(s, s->listeners.items[i], out);
}
