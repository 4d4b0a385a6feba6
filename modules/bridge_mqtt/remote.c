/* One connection to the remote broker: its states, deadlines, and what goes over the line.
 *
 *     STOPPED -> WAITING -> RESOLVING -> CONNECTING -> UP
 *                   ^            |            |         |
 *                   +------------+------------+---------+
 */
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>

#include "bridge.h"

static void on_timer(void *arg);
static void on_pace(void *arg);
static const struct line_calls line_calls;

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
    engine_init(&r->engine, &r->engine_conf, &remote_engine_calls, r);
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
        dial_wait(r, 0);
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
    dial_next(r);
    status_update(r->bridge, text);
    if (was_up)
        bridge_changed(r->bridge);
    else
        bridge_tick(r->bridge);
}

static void on_timer(void *arg)
{
    struct remote *r = arg;

    if (r->state == REMOTE_WAITING) {
        dial_now(r);
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
    dial_wait(r, 0);
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
