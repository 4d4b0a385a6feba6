/* One connection to the remote broker: addresses, tries, deadlines.
 *
 *     STOPPED -> WAITING -> RESOLVING -> CONNECTING -> UP
 *                   ^            |            |         |
 *                   +------------+------------+---------+
 *
 * A round tries every address of the configuration, and of each name every address it has, without
 * a pause; then it waits.  A new round begins with the first. */
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "bridge.h"

static void on_timer(void *arg);
static void on_pace(void *arg);
static const struct line_calls line_calls;
static const struct engine_calls engine_calls;

/* -- Life -- */

static char *client_id(const struct bridge *b, unsigned index)
{
    struct buf text = {0};
    const char *own = b->conf->client_id;
    char number[16] = "";

    if (!own) {
        buf_put(&text, "skep-", 5);
        buf_put(&text, b->broker_id, strlen(b->broker_id));
        buf_put(&text, "-", 1);
        own = b->conf->block.label;
    }
    buf_put(&text, own, strlen(own));
    if (index)
        snprintf(number, sizeof number, "-%u", index);
    buf_put(&text, number, strlen(number) + 1);
    return (char *)text.ptr;
}

static void set_will(struct remote *r)
{
    static const char down_json[] = "{\"state\":\"down\"}";
    const struct connection_conf *c = r->bridge->conf;
    const char *payload = c->status_format == STATUS_JSON ? down_json : "0";

    if (!c->status_topic || c->status_at == STATUS_LOCAL || r->index)
        return;
    r->will = (struct wire_will){skep_str(c->status_topic), skep_str(payload), 0, true};
    r->engine_conf.connect.will = &r->will;
}

static void configure(struct remote *r)
{
    const struct connection_conf *c = r->bridge->conf;

    r->engine_conf = (struct engine_conf){
        .connect = {.version = c->version ? WIRE_311 : WIRE_5,
                    .clean = c->clean_start,
                    .keep_alive_s = (uint16_t)((c->keep_alive + 999) / 1000),
                    .client_id = skep_str(r->client_id),
                    .has_username = c->username != NULL,
                    .username = skep_str(c->username),
                    .has_password = c->password.value.ptr != NULL && c->password.value.len,
                    .password = c->password.value,
                    .session_expiry_s = c->clean_start ? 0 : c->session_expiry / 1000,
                    .maximum_packet = (uint32_t)c->max_packet,
                    .receive_maximum = c->receive_window},
        .ping_timeout_ms = c->ping_timeout,
        .window = c->window,
        .window2 = c->version ? c->window_qos2 : c->window,
        .q0_bytes = c->max_queue0,
        .most_out = (uint32_t)c->remote_max_packet,
    };
    set_will(r);
}

struct remote *remote_new(struct bridge *b, unsigned index)
{
    struct remote *r = bridge_alloc(sizeof *r);
    uint64_t seed;

    RAND_bytes((unsigned char *)&seed, sizeof seed);
    r->bridge = b;
    r->index = index;
    r->refs = 1;
    r->client_id = client_id(b, index);
    configure(r);
    engine_init(&r->engine, &r->engine_conf, &engine_calls, r);
    line_init(&r->line, &line_calls, r);
    backoff_init(&r->backoff, b->conf->reconnect_min, b->conf->reconnect_max, seed);
    r->timer = skep_timer_new(b->m, on_timer, r);
    r->pace_timer = skep_timer_new(b->m, on_pace, r);
    return r;
}

void remote_unref(struct remote *r)
{
    if (--r->refs)
        return;
    free(r->client_id);
    free(r->host);
    free(r->subscribed);
    free(r->known);
    free(r);
}

static void end(struct remote *r)
{
    engine_lost(&r->engine);
    line_close(&r->line);
    r->generation++;
    r->state = REMOTE_STOPPED;
}

void remote_free(struct remote *r)
{
    end(r);
    skep_timer_free(r->timer);
    skep_timer_free(r->pace_timer);
    r->timer = r->pace_timer = NULL;
    engine_fini(&r->engine);
    remote_unref(r);
}

/* Timers and watches belong to an instance of the module; all else moves as it is. */
void remote_adopt(struct remote *r, struct bridge *b)
{
    r->bridge = b;
    configure(r);
    skep_timer_free(r->timer);
    skep_timer_free(r->pace_timer);
    r->timer = skep_timer_new(b->m, on_timer, r);
    r->pace_timer = skep_timer_new(b->m, on_pace, r);
    if (r->state != REMOTE_UP) {
        end(r); /* it was not there yet; it tries again when the queue is open */
        return;
    }
    skep_timer_set(r->timer, BRIDGE_TICK_MS);
    line_adopt(&r->line, b->m);
    line_pause(&r->line, true); /* until the queue is open */
    remote_flush_soon(r);
}

/* -- Sending -- */

static void send_now(struct remote *r)
{
    struct engine *e = &r->engine;
    uint64_t now = skep_now_ms();

    if (r->line.state != LINE_UP)
        return;
    do {
        if (!line_full(&r->line))
            engine_pump(e, now);
        size_t len = buf_len(&e->out);
        if (len == 0)
            break;
        line_write(&r->line, buf_data(&e->out), len);
        buf_clear(&e->out);
    } while (!line_full(&r->line));
    if (e->retry_ms)
        skep_timer_set(r->pace_timer, e->retry_ms > now ? e->retry_ms - now : 0);
}

static void flush_task(void *arg)
{
    struct remote *r = arg;

    r->flush_due = false;
    if (r->timer)
        send_now(r);
    remote_unref(r);
}

static void flush_drop(void *arg)
{
    struct remote *r = arg;

    r->flush_due = false;
    remote_unref(r);
}

void remote_flush_soon(struct remote *r)
{
    if (r->flush_due)
        return;
    r->flush_due = true;
    r->refs++;
    skep_post(r->bridge->m, r->bridge->loop, flush_task, r, flush_drop);
}

static void on_pace(void *arg)
{
    send_now(arg);
}

/* -- Trying -- */

static void try_address(struct remote *r);

static void wait_for(struct remote *r, uint64_t ms)
{
    r->state = REMOTE_WAITING;
    skep_timer_set(r->timer, ms);
}

/* The next address at once, or a pause before the first. */
static void next_try(struct remote *r)
{
    if (r->resolved_next < r->resolved_count) {
        wait_for(r, 0);
        return;
    }
    r->resolved_count = r->resolved_next = 0;
    if (++r->address < r->bridge->conf->address.count) {
        wait_for(r, 0);
        return;
    }
    r->address = 0;
    wait_for(r, backoff_next(&r->backoff));
}

/* Once for each outage, and again when there is another reason. */
static void say(struct remote *r, bool was_up, const char *why)
{
    struct bridge *b = r->bridge;
    bool again = !was_up && strcmp(r->told, why) == 0;

    snprintf(r->told, sizeof r->told, "%s", why);
    skep_log(b->m, again ? SKEP_LOG_DEBUG : SKEP_LOG_WARN, "%s: %s: %s%s", b->conf->block.label,
             b->conf->address.items[r->address], was_up ? "connection lost: " : "", why);
}

void remote_fail(struct remote *r, const char *why)
{
    bool was_up = r->state == REMOTE_UP;
    bool asked = r->engine.state == ENGINE_ASKED;
    char text[256];

    if (r->state == REMOTE_STOPPED || r->state == REMOTE_WAITING)
        return;
    snprintf(text, sizeof text, "%s", why);
    if (asked && r->bridge->conf->version && r->bridge->conf->try_private && !r->plain_level &&
        (r->engine.reason == 1 || !r->engine.reason)) {
        r->plain_level = true; /* again, as any client */
        end(r);
        r->resolved_next = r->resolved_next ? r->resolved_next - 1 : 0;
        wait_for(r, 0);
        return;
    }
    say(r, was_up, text);
    end(r);
    if (was_up) {
        if (skep_now_ms() - r->up_since_ms > r->bridge->conf->reconnect_min)
            backoff_reset(&r->backoff);
        r->address = r->bridge->conf->address.count - 1; /* this round is over */
        r->resolved_next = r->resolved_count;
    }
    next_try(r);
    status_update(r->bridge, text);
    if (was_up)
        bridge_changed(r->bridge);
    else
        bridge_tick(r->bridge);
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

static void try_address(struct remote *r)
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

static void on_timer(void *arg)
{
    struct remote *r = arg;

    if (r->state == REMOTE_WAITING) {
        try_address(r);
    } else if (r->state == REMOTE_UP) {
        skep_timer_set(r->timer, BRIDGE_TICK_MS);
        if (engine_tick(&r->engine, skep_now_ms())) {
            remote_fail(r, r->engine.why);
            return;
        }
        if (r->engine.waiting)
            remote_input(r, NULL, 0);
        send_now(r);
        bridge_tick(r->bridge);
        status_update(r->bridge, NULL);
    } else if (r->state != REMOTE_STOPPED) {
        remote_fail(r, "no answer in time");
    }
}

void remote_start(struct remote *r)
{
    if (r->state != REMOTE_STOPPED)
        return;
    r->address = r->resolved_count = r->resolved_next = 0;
    wait_for(r, 0);
}

void remote_stop(struct remote *r)
{
    char text[256];

    if (r->state == REMOTE_UP) {
        if (r->engine_conf.connect.will) { /* DISCONNECT takes the will away */
            struct skep_message m = {.size = sizeof m,
                                     .retain = r->engine.retain,
                                     .topic = r->will.topic,
                                     .payload = status_text(r->bridge, 0, text)};
            wire_publish(&r->engine.out, r->engine_conf.connect.version, &m, 0, false);
        }
        engine_leave(&r->engine);
        line_write(&r->line, buf_data(&r->engine.out), buf_len(&r->engine.out));
    }
    skep_timer_cancel(r->timer);
    skep_timer_cancel(r->pace_timer);
    end(r);
}

void remote_reconnect(struct remote *r)
{
    if (r->state == REMOTE_STOPPED)
        return;
    remote_stop(r);
    backoff_reset(&r->backoff);
    remote_start(r);
}

/* -- What the line tells -- */

static void line_is_up(void *arg)
{
    struct remote *r = arg;

    r->generation++;
    engine_open(&r->engine, skep_now_ms(), r->bridge->conf->try_private && !r->plain_level);
    send_now(r);
}

void remote_input(struct remote *r, const uint8_t *data, size_t len)
{
    if (!len)
        engine_resume(&r->engine);
    if (engine_input(&r->engine, data, len, skep_now_ms())) {
        send_now(r); /* what we had to say before */
        remote_fail(r, r->engine.why);
        return;
    }
    if (r->state == REMOTE_STOPPED || r->state == REMOTE_WAITING)
        return;
    line_pause(&r->line, r->engine.waiting);
    remote_flush_soon(r);
}

static void line_data(void *arg, const uint8_t *data, size_t len)
{
    remote_input(arg, data, len);
}

static void line_down(void *arg, const char *why)
{
    remote_fail(arg, why);
}

static void line_room(void *arg)
{
    send_now(arg);
}

static const struct line_calls line_calls = {line_is_up, line_data, line_down, line_room};

/* -- What the engine tells -- */

static void engine_is_up(void *arg, bool session)
{
    struct remote *r = arg;

    if (!session)
        inward_begin(r);
    notes_subscriptions(r, session);
}

static void engine_is_live(void *arg)
{
    struct remote *r = arg;
    struct bridge *b = r->bridge;
    uint64_t share = bridge_backlog(b) / b->count;

    r->state = REMOTE_UP;
    r->up_since_ms = skep_now_ms();
    skep_timer_set(r->timer, BRIDGE_TICK_MS);
    notes_subscribed(r);
    engine_pace(&r->engine, (double)b->conf->backlog_rate / b->count,
                b->conf->live_first ? 0 : share, skep_now_ms());
    skep_log(b->m, SKEP_LOG_INFO, "%s: connected to %s as %s", b->conf->block.label,
             b->conf->address.items[r->address], r->client_id);
    if (r->ever_up)
        skep_counter_add(b->meters.reconnects, 1);
    r->ever_up = true;
    bridge_changed(b);
    remote_flush_soon(r);
}

static void engine_refused(void *arg, struct skep_str filter, unsigned reason)
{
    struct remote *r = arg;

    skep_log(r->bridge->m, SKEP_LOG_WARN,
             "%s: the remote broker refuses a subscription to %.*s: %s",
             r->bridge->conf->block.label, (int)filter.len, filter.ptr,
             wire_reason_text(r->engine_conf.connect.version, WIRE_SUBACK, reason));
}

static void engine_left(void *arg, const struct item *item, enum outcome outcome, unsigned reason)
{
    struct remote *r = arg;
    struct bridge *b = r->bridge;
    const struct meters *m = &b->meters;

    if (outcome == OUTCOME_DONE) {
        skep_counter_add(m->out_messages, 1);
        skep_counter_add(m->out_bytes, item->m.payload.len);
    } else {
        skep_counter_add(outcome == OUTCOME_REFUSED     ? m->dropped_refused
                         : outcome == OUTCOME_EXPIRED   ? m->dropped_expired
                         : outcome == OUTCOME_TOO_LARGE ? m->dropped_large
                                                        : m->dropped_overflow,
                         1);
    }
    if (outcome == OUTCOME_REFUSED)
        skep_log(b->m, SKEP_LOG_WARN, "%s: the remote broker refuses a message to %.*s: %s",
                 b->conf->block.label, (int)item->m.topic.len, item->m.topic.ptr,
                 wire_reason_text(WIRE_5, WIRE_PUBACK, reason));
    bridge_ack(b, item->id);
}

static const struct engine_calls engine_calls = {
    .up = engine_is_up,
    .live = engine_is_live,
    .refused = engine_refused,
    .message = inward_message,
    .forget = inward_forget,
    .note = notes_note,
    .clear = notes_clear,
    .left = engine_left,
};
