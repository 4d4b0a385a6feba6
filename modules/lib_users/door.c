#include "door.h"

#include <skep/loop.h>
#include <skep/metric.h>
#include <stdlib.h>

#include "door_impl.h"
#include "lib_file/net.h"

/* -- Configuration -- */

static void *parse(struct skep_str text, const void *settings, struct faults *faults)
{
    return users_parse(text, faults);
}

static void parsed_free(void *parsed)
{
    struct users *u = parsed;

    users_free(&u);
}

static void changed(void *parsed, void *arg)
{
    const struct door *d = arg;

    skep_gauge_set(d->known, (double)users_count(parsed));
}

static struct live_kind kind_of(const struct door_conf *conf)
{
    return (struct live_kind){
        .noun = "users file",
        .hint = "skepctl passwd -c FILE NAME makes one",
        .alarm = "users_file",
        .max_size = (size_t)conf->max_size,
        .secret = true,
        .parse = parse,
        .free = parsed_free,
        .changed = changed,
    };
}

static bool trusted_parse(struct net *out, const struct skep_list *list, struct skep_report *report)
{
    bool good = true;

    for (size_t i = 0; i < list->count; i++) {
        struct net net;

        if (!net_parse(skep_str(list->items[i]), out ? &out[i] : &net)) {
            skep_report(report, &list->places[i], "such as 192.0.2.0/24 or 2001:db8::/32",
                        "'%s' is no network", list->items[i]);
            good = false;
        }
    }
    return good;
}

void door_check(const struct door_conf *conf, struct skep_report *report)
{
    struct live_kind kind = kind_of(conf);

    trusted_parse(NULL, &conf->trusted, report);
    live_check(conf->file, &kind, report);
}

/* -- Life -- */

static void metrics_make(struct door *d)
{
    d->logins = skep_counter(d->m, "logins_total", NULL, "passwords that were right");
    d->failures = skep_counter(d->m, "failures_total", NULL, "passwords that were wrong");
    d->bans = skep_counter(d->m, "bans_total", NULL, "bans that began");
    d->barred = skep_counter(d->m, "barred_total", NULL, "refused because of a ban");
    d->known = skep_gauge(d->m, "users", NULL, "users in the users file");
}

struct door *door_open(struct skep_module *m, const struct door_conf *conf,
                       struct skep_report *report)
{
    struct door *d = calloc(1, sizeof *d);

    if (!d)
        abort();
    d->m = m;
    d->conf = conf;
    d->kind = kind_of(conf);
    d->trusted = calloc(conf->trusted.count + 1, sizeof *d->trusted);
    if (!d->trusted)
        abort();
    if (!trusted_parse(d->trusted, &conf->trusted, report) ||
        !(d->file = live_open(m, conf->file, &d->kind, d, report))) {
        door_close(&d);
        return NULL;
    }
    metrics_make(d);
    changed((void *)live_now(d->file), d);
    d->own_guard = guard_new(conf->max_tracked);
    atomic_init(&d->guard, d->own_guard);
    return d;
}

void door_start(struct door *d, struct door *previous)
{
    /* One table for both, while the old instance still has answers to give. */
    if (previous && guard_size(previous->own_guard) == guard_size(d->own_guard)) {
        d->shared_guard = guard_ref(atomic_load(&previous->guard));
        atomic_store(&d->guard, d->shared_guard);
    }
    if (d->conf->watch)
        live_start(d->file);
}

void door_stop(struct door *d)
{
    live_stop(d->file);
}

void door_close(struct door **d)
{
    if (*d) {
        guard_unref(&(*d)->own_guard);
        guard_unref(&(*d)->shared_guard);
        live_free(&(*d)->file);
        free((*d)->trusted);
        free(*d);
    }
    *d = NULL;
}

const struct users *door_users(const struct door *d)
{
    return live_now(d->file);
}

/* -- Deciding -- */

static struct skep_str host_of(const struct skep_request *r)
{
    return skep_client_host(skep_request_client(r));
}

static bool is_trusted(const struct door *d, struct skep_str host)
{
    struct net_address a;

    if (!net_address_parse(host, &a))
        return false;
    for (size_t i = 0; i < d->conf->trusted.count; i++) {
        if (net_holds(&d->trusted[i], &a))
            return true;
    }
    return false;
}

bool door_is_barred(struct door *d, struct skep_request *r, struct skep_str user,
                    enum skep_verdict *verdict)
{
    if (!guard_is_banned(atomic_load(&d->guard), skep_now_ms(), host_of(r), user))
        return false;
    if (!skep_request_is_dry(r))
        skep_counter_add(d->barred, 1);
    skep_note(r, d->conf->file, 0, "banned after wrong passwords");
    *verdict = skep_deny(r, SKEP_RC_BANNED, "too many wrong passwords; try again later");
    return true;
}

enum skep_verdict door_let_in(struct door *d, struct skep_request *r, struct skep_str user,
                              const char *how)
{
    const struct user *found = users_find(door_users(d), user);

    if (!skep_request_is_dry(r)) {
        guard_success(atomic_load(&d->guard), host_of(r), user);
        skep_counter_add(d->logins, 1);
    }
    skep_note(r, d->conf->file, found ? found->line : 0, how);
    return skep_allow(r);
}

static void say(const struct door *d, struct skep_str host, struct skep_str user, const char *why,
                const struct guard_blow *blow)
{
    char name[80], address[64];

    printable(name, sizeof name, user);
    printable(address, sizeof address, host);
    skep_log(d->m, SKEP_LOG_WARN, "user '%s' from %s was refused: %s (failure %u)", name, address,
             why, blow->failures);
    if (blow->banned_pair)
        skep_log(d->m, SKEP_LOG_WARN, "user '%s' is banned from %s for %llu s", name, address,
                 (unsigned long long)d->conf->ban_time / 1000);
    if (blow->banned_address)
        skep_log(d->m, SKEP_LOG_WARN, "address %s is banned for %llu s", address,
                 (unsigned long long)d->conf->ban_time / 1000);
}

static struct guard_policy policy_of(const struct door_conf *conf)
{
    return (struct guard_policy){
        .max_failures = conf->max_failures,
        .max_address_failures = conf->max_address_failures,
        .window_ms = conf->failure_window,
        .ban_ms = conf->ban_time,
        .delay_ms = conf->slow_down,
        .delay_max_ms = conf->slow_down_max,
    };
}

enum skep_verdict door_refuse(struct door *d, struct skep_request *r, struct skep_str user,
                              const char *why, skep_then_fn *then)
{
    struct guard_policy policy = policy_of(d->conf);
    struct skep_str host = host_of(r);
    struct guard_blow blow;

    skep_note(r, d->conf->file, 0, why);
    if (skep_request_is_dry(r))
        return door_refused(r);
    blow = guard_failure(atomic_load(&d->guard), &policy, skep_now_ms(), host, user,
                         is_trusted(d, host));
    skep_counter_add(d->failures, 1);
    skep_counter_add(d->bans, (uint64_t)blow.banned_pair + blow.banned_address);
    say(d, host, user, why, &blow);
    return blow.delay_ms ? skep_wait_ms(r, (uint32_t)blow.delay_ms, then) : door_refused(r);
}

enum skep_verdict door_refused(struct skep_request *r)
{
    return skep_deny(r, SKEP_RC_BAD_CREDENTIALS, "the user name or the password is wrong");
}
