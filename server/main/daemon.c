#include "main/daemon.h"

#include <errno.h>
#include <event2/event.h>
#include <openssl/crypto.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "host/trace.h"
#include "main/daemon_impl.h"
#include "main/notify.h"

enum { TICK_MS = 2000, WARM_MS = 100, DRAIN_MS = 5000, DRAIN_POLL_MS = 20 };

int daemon_check(const struct options *options)
{
    struct settings *s;
    int status;

    settings_load(&s, &options->origin);
    if (settings_ok(s))
        check_tls_files(s);
    complaints_print(&s->complaints, stderr);
    status = settings_ok(s) ? 0 : 1;
    if (status == 0 && options->task == OPTIONS_PRINT)
        show_effective(stdout, &settings_table, s);
    else if (status == 0)
        printf("%s: the configuration is good\n",
               options->origin.path ? options->origin.path : "built-in defaults");
    else
        fprintf(stderr, "skep: %u error%s in the configuration\n", s->complaints.errors,
                s->complaints.errors == 1 ? "" : "s");
    settings_free(&s);
    return status;
}

/* Every thread inherits the mask, so that signals arrive at the descriptor only. */
static int open_signals(void)
{
    sigset_t set;

    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* Everything that may need privileges, then without them, then the loops. */
static int start(struct daemon *d, char *why, size_t why_size)
{
    struct settings *s = d->settings;
    int err;

    if ((err = process_user(&d->user, s, why, why_size)) < 0 ||
        (err = process_log_file(s->log_conf.path, &d->user, why, why_size)) < 0 ||
        (err = process_data_dir(s->data_dir, &d->user, &d->lock_fd, why, why_size)) < 0 ||
        (err = server_open(&d->server, &s->server, why, why_size)) < 0)
        return err;
    if (s->control.socket && (err = control_open(&d->control, s->control.socket, s->control.mode,
                                                 d->user.change ? d->user.uid : (uid_t)-1,
                                                 d->user.change ? d->user.gid : (gid_t)-1,
                                                 answer_control, d, why, why_size)) < 0)
        return err;
    if (s->pid_file) {
        if ((err = process_pid_file(s->pid_file, &d->user, why, why_size)) < 0)
            return err;
        d->pid_file_written = true;
    }
    if ((err = process_drop(&d->user, why, why_size)) < 0)
        return err;
    if ((err = server_restore(d->server, &s->server, why, why_size)) < 0 ||
        (err = daemon_load_modules(d, why, why_size)) < 0)
        return err;
    return server_start(d->server, &s->server, why, why_size);
}

static const char *access_text(const struct settings *s, const char *name)
{
    for (size_t i = 0; i < s->server.listener_count; i++)
        if (strcmp(s->server.listeners[i].listen.name, name) == 0)
            return s->server.listeners[i].anonymous ? "anyone who reaches it may connect"
                                                    : "clients must authenticate";
    return "";
}

/* The first lines of the log answer: which build, where, and what to try now. */
static void greet(const struct daemon *d)
{
    const char *name, *address, *config = d->options->origin.path;

    log_info("main", "Skep %s (libevent %s, OpenSSL %s), %u thread%s, %s%s, data in %s",
             SKEP_VERSION, event_get_version(), OpenSSL_version(OPENSSL_VERSION_STRING),
             d->settings->server.threads, d->settings->server.threads == 1 ? "" : "s",
             config ? "configuration " : "built-in configuration", config ? config : "",
             d->settings->data_dir);
    for (size_t i = 0; server_address(d->server, i, &name, &address); i++)
        log_info("main", "listening: %s on %s, %s", name, address, access_text(d->settings, name));
    if (isatty(STDERR_FILENO))
        log_info("main", "ready; in another terminal try: skepctl sub -t '#' -v; then: skepctl "
                         "pub -t hello -m world");
    else
        log_info("main", "ready");
}

void daemon_stop(struct daemon *d)
{
    if (d->state != DAEMON_RUNNING) {
        d->deadline_ms = 0;
        return;
    }
    reload_cancel(d);
    log_info("main", "stopping: telling %u connections", server_connections(d->server));
    notify_stopping();
    d->state = DAEMON_DRAINING;
    d->deadline_ms = clock_mono_ms() + DRAIN_MS;
    server_drain(d->server);
}

static void take_signals(struct daemon *d)
{
    struct signalfd_siginfo info;
    char why[512];

    while (read(d->signal_fd, &info, sizeof info) == sizeof info) {
        switch (info.ssi_signo) {
        case SIGHUP:
            reload_quietly(d);
            break;
        case SIGUSR1:
            if (log_reopen(why, sizeof why) < 0)
                log_error("main", "%s", why);
            else
                log_info("main", "log opened");
            break;
        default:
            log_info("main", "signal %u (%s)", info.ssi_signo, strsignal((int)info.ssi_signo));
            daemon_stop(d);
        }
    }
}

static void tick(struct daemon *d, uint64_t now)
{
    char status[96];

    reload_tick(d);
    if (now >= d->next_tick_ms) {
        d->next_tick_ms = now + TICK_MS;
        log_tick();
        life_tick(server_host(d->server));
        trace_tick(server_host(d->server), now);
        snprintf(status, sizeof status, "running, %u connections", server_connections(d->server));
        if (d->state == DAEMON_RUNNING)
            notify_status(status);
    }
    if (notify_watchdog_ms() && now >= d->next_watchdog_ms) {
        d->next_watchdog_ms = now + notify_watchdog_ms();
        /* A loop that hangs must look like a process that hangs. */
        if (d->state != DAEMON_RUNNING || server_pulse(d->server))
            notify_watchdog();
        else
            log_error("main", "an event loop has not answered for %llu ms",
                      (unsigned long long)notify_watchdog_ms());
    }
    if (d->state == DAEMON_DRAINING &&
        (server_connections(d->server) == 0 || now >= d->deadline_ms))
        d->state = DAEMON_ENDED;
}

static int sleep_ms(const struct daemon *d, uint64_t now)
{
    uint64_t wake = d->next_tick_ms;

    if (d->state == DAEMON_DRAINING)
        return DRAIN_POLL_MS;
    if (notify_watchdog_ms() && d->next_watchdog_ms < wake)
        wake = d->next_watchdog_ms;
    if (d->reloading && now + WARM_MS < wake)
        wake = now + WARM_MS;
    return wake > now ? (int)(wake - now) : 0;
}

static void serve_modules(struct daemon *d)
{
    struct host *h = server_host(d->server);

    life_tick(h);
    if (d->state == DAEMON_RUNNING && atomic_exchange(&h->reload_wanted, false)) {
        log_info("main", "a module asks for a reload");
        reload_quietly(d);
    }
}

static void serve(struct daemon *d)
{
    struct pollfd fds[CONTROL_CLIENTS + 3];

    while (d->state != DAEMON_ENDED) {
        size_t n = 0;
        fds[0] = (struct pollfd){.fd = d->signal_fd, .events = POLLIN};
        fds[1] = (struct pollfd){.fd = life_wake_fd(server_host(d->server)), .events = POLLIN};
        if (d->control)
            n = control_poll(d->control, fds + 2);
        if (poll(fds, n + 2, sleep_ms(d, clock_mono_ms())) > 0) {
            if (fds[0].revents)
                take_signals(d);
            if (d->control)
                control_serve(d->control, fds + 2, n, clock_mono_ms());
            if (fds[1].revents)
                serve_modules(d);
        }
        tick(d, clock_mono_ms());
    }
}

static void finish(struct daemon *d)
{
    uint32_t left = d->server ? server_connections(d->server) : 0;

    control_close(&d->control);
    if (left)
        log_warn("main", "%u connections did not end in time and are cut", left);
    server_free(&d->server);
    if (d->pid_file_written)
        unlink(d->settings->pid_file);
    if (d->lock_fd >= 0)
        close(d->lock_fd);
    if (d->signal_fd >= 0)
        close(d->signal_fd);
    settings_free(&d->settings);
}

int daemon_run(const struct options *options)
{
    struct daemon d = {.options = options, .lock_fd = -1, .signal_fd = -1};
    char why[512] = "";
    int err;

    settings_load(&d.settings, &options->origin);
    complaints_print(&d.settings->complaints, stderr);
    if (!settings_ok(d.settings)) {
        fprintf(stderr, "skep: not started: %u error%s in the configuration\n",
                d.settings->complaints.errors, d.settings->complaints.errors == 1 ? "" : "s");
        settings_free(&d.settings);
        return 1;
    }
    umask(027);
    notify_init();
    hash_seed();
    d.started_ms = clock_mono_ms();
    d.signal_fd = open_signals();
    process_descriptors(d.settings->limits.max_connections);
    if ((err = log_open(&d.settings->log_conf, why, sizeof why)) < 0 ||
        (err = start(&d, why, sizeof why)) < 0) {
        log_error("main", "not started: %s", why);
    } else {
        d.state = DAEMON_RUNNING;
        greet(&d);
        notify_ready("running");
        serve(&d);
        log_info("main", "stopped");
    }
    finish(&d);
    return err < 0 ? 1 : 0;
}
