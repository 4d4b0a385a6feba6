/* Which address is tried next, and when.
 *
 * A round tries every address of the configuration, and of each name every address it has, without
 * a pause; then it waits.  A new round begins with the first. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "bridge.h"

void dial_wait(struct remote *r, uint64_t ms)
{
    r->state = REMOTE_WAITING;
    skep_timer_set(r->timer, ms);
}

void dial_next(struct remote *r)
{
    if (r->resolved_next < r->resolved_count) {
        dial_wait(r, 0);
        return;
    }
    r->resolved_count = r->resolved_next = 0;
    if (++r->address < r->bridge->conf->address.count) {
        dial_wait(r, 0);
        return;
    }
    r->address = 0;
    dial_wait(r, backoff_next(&r->backoff));
}

static void open_line(struct remote *r)
{
    const struct connection_conf *c = r->bridge->conf;
    size_t i = r->resolved_next++;
    struct line_conf conf = {.tls = r->bridge->tls,
                             .name = c->tls.server_name ? c->tls.server_name : r->host,
                             .path = c->websocket,
                             .verify = c->tls.verify};

    r->state = REMOTE_CONNECTING;
    skep_timer_set(r->timer, c->connect_timeout);
    if (line_open(&r->line, r->bridge->m, &conf, skep_bytes(r->resolved[i], r->resolved_len[i])))
        remote_fail(r, r->line.why);
}

struct lookup {
    struct remote *r;
    uint64_t generation;
};

static void on_resolved(void *arg, const struct skep_str *addresses, size_t count,
                        const char *error)
{
    struct lookup *lookup = arg;
    struct remote *r = lookup->r;
    bool mine = r->generation == lookup->generation && r->state == REMOTE_RESOLVING;

    free(lookup);
    if (mine && count == 0) {
        r->resolved_count = r->resolved_next = 0;
        remote_fail(r, error ? error : "the name has no address");
    } else if (mine) {
        r->resolved_count = count < BRIDGE_ADDRESSES ? count : BRIDGE_ADDRESSES;
        r->resolved_next = 0;
        for (size_t i = 0; i < r->resolved_count; i++) {
            r->resolved_len[i] =
                addresses[i].len < sizeof r->resolved[i] ? addresses[i].len : sizeof r->resolved[i];
            memcpy(r->resolved[i], addresses[i].ptr, r->resolved_len[i]);
        }
        open_line(r);
    }
    remote_unref(r);
}

static void use_unix(struct remote *r, const char *path)
{
    struct sockaddr_un *to = (void *)r->resolved[0];

    *to = (struct sockaddr_un){.sun_family = AF_UNIX};
    snprintf(to->sun_path, sizeof to->sun_path, "%s", path);
    r->resolved_len[0] = sizeof *to;
    r->resolved_count = 1;
    r->resolved_next = 0;
    open_line(r);
}

static void resolve(struct remote *r, const char *address)
{
    struct lookup *lookup = bridge_alloc(sizeof *lookup);

    *lookup = (struct lookup){r, r->generation};
    r->state = REMOTE_RESOLVING;
    skep_timer_set(r->timer, r->bridge->conf->connect_timeout);
    r->refs++;
    if (skep_resolve(r->bridge->m, address, on_resolved, lookup) == 0)
        return;
    free(lookup);
    r->refs--;
    remote_fail(r, "its name cannot be looked up now");
}

void dial_now(struct remote *r)
{
    const struct connection_conf *c = r->bridge->conf;
    char host[256];

    if (r->resolved_next < r->resolved_count) {
        open_line(r);
        return;
    }
    char *address = conf_address(c, c->address.items[r->address]);
    conf_host(address, host, sizeof host);
    free(r->host);
    r->host = bridge_strdup(skep_str(strncmp(address, "unix:", 5) ? host : "localhost"));
    if (strncmp(address, "unix:", 5) == 0)
        use_unix(r, address + 5);
    else
        resolve(r, address);
    free(address);
}
