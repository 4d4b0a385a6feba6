#include "fake_net.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/qsbr.h"
#include "base/wheel.h"
#include "net/conn.h"
#include "net/loop.h"

/* The wall clock at the monotonic clock's 0. */
#define WALL_BEGIN_MS UINT64_C(1700000000000)

struct bytes {
    uint8_t *ptr;
    size_t len, cap;
};

/* Both ends.  Freed when both have let go. */
struct conn {
    struct loop *loop;
    struct conn *next; /* in the loop */
    const struct conn_handler *handler;
    void *user, *owner;
    bool up, shareable, paused, blocked, dying, closed, failed, again, drain_due;
    bool hung_up, reset; /* the client's end */
    bool client_gone;    /* nobody holds the wire any more */
    enum conn_cause cause;
    bool linger;
    size_t expect, chunk, window;
    struct bytes in;      /* from the client, not handed up or not used yet */
    struct bytes out;     /* to the client, not read yet */
    struct bytes residue; /* what the window did not take */
    size_t seen;          /* bytes of `in` that were handed up before */
    uint64_t heard_ms, closed_ms;
};

struct wire {
    struct conn conn;
};

struct loop {
    unsigned index;
    const struct fake_clock *clock;
    void (*turn_end)(struct loop *l, void *user);
    void *user;
    uint64_t now_ms;
    struct wheel wheel;
    struct qsbr_slot qsbr;
    struct loop_task *inbox, **inbox_last;
    struct conn *conns, **conns_last;
    bool again;
};

static struct loop *current;

static void bytes_add(struct bytes *b, const void *ptr, size_t len)
{
    if (b->len + len > b->cap) {
        b->cap = (b->len + len) * 2;
        b->ptr = xrealloc(b->ptr, b->cap);
    }
    if (len)
        memcpy(b->ptr + b->len, ptr, len);
    b->len += len;
}

static void bytes_take(struct bytes *b, size_t len)
{
    ASSERT(len <= b->len);
    if (len)
        memmove(b->ptr, b->ptr + len, b->len - len);
    b->len -= len;
}

/* -- net/loop.h -- */

struct loop *loop_current(void)
{
    return current;
}

unsigned loop_index(const struct loop *l)
{
    return l->index;
}

void *loop_user(const struct loop *l)
{
    return l->user;
}

uint64_t loop_wall_ms(const struct loop *l)
{
    return WALL_BEGIN_MS + l->clock->now_ms;
}

uint64_t loop_now_ms(const struct loop *l)
{
    return l->now_ms;
}

struct wheel *loop_wheel(struct loop *l)
{
    return &l->wheel;
}

struct qsbr_slot *loop_qsbr(struct loop *l)
{
    return &l->qsbr;
}

void loop_again(struct loop *l)
{
    l->again = true;
}

void loop_post(struct loop *l, struct loop_task *task)
{
    task->next = NULL;
    *l->inbox_last = task;
    l->inbox_last = &task->next;
}

void loop_each_owner(struct loop *l, void (*fn)(void *owner, void *arg), void *arg)
{
    for (struct conn *c = l->conns; c; c = c->next) {
        if (c->owner && !c->dying && !c->closed)
            fn(c->owner, arg);
    }
}

/* -- net/conn.h -- */

const char *conn_cause_text(enum conn_cause cause)
{
    return "closed";
}

void conn_expect(struct conn *c, size_t total)
{
    c->expect = total;
}

void conn_again(struct conn *c)
{
    c->again = true;
}

void conn_pause(struct conn *c)
{
    c->paused = true;
}

void conn_resume(struct conn *c)
{
    c->paused = false;
    c->again = true;
}

bool conn_paused(const struct conn *c)
{
    return c->paused;
}

bool conn_blocked(const struct conn *c)
{
    return c->blocked;
}

bool conn_shareable(const struct conn *c)
{
    return c->shareable;
}

bool conn_dying(const struct conn *c)
{
    return c->dying;
}

struct loop *conn_loop(const struct conn *c)
{
    return c->loop;
}

const char *conn_peer(const struct conn *c, char out[CONN_ADDR_MAX])
{
    return strcpy(out, "sim");
}

void conn_facts(const struct conn *c, struct conn_facts *out)
{
    *out = (struct conn_facts){0};
}

/* Who may send on it is the whole point of `shareable`. */
static void check_sender(const struct conn *c)
{
    ASSERT(!c->closed);
    ASSERT(c->shareable || current == c->loop);
}

static size_t conn_room(const struct conn *c)
{
    return c->window > c->out.len ? c->window - c->out.len : 0;
}

enum conn_result conn_send(struct conn *c, const struct out_vec *v, unsigned n)
{
    check_sender(c);
    ASSERT(!c->blocked);
    if (c->reset || c->failed) {
        c->failed = true;
        return CONN_FAILED;
    }
    for (unsigned i = 0; i < n; i++) {
        size_t room = c->residue.len ? 0 : conn_room(c);
        size_t now = v[i].len < room ? v[i].len : room;
        bytes_add(&c->out, v[i].ptr, now);
        bytes_add(&c->residue, (const uint8_t *)v[i].ptr + now, v[i].len - now);
    }
    c->blocked = c->residue.len > 0;
    return c->blocked ? CONN_BLOCKED : CONN_SENT;
}

enum conn_result conn_flush(struct conn *c)
{
    check_sender(c);
    if (c->reset || c->failed)
        return CONN_FAILED;
    size_t room = conn_room(c), now = c->residue.len < room ? c->residue.len : room;
    bytes_add(&c->out, c->residue.ptr, now);
    bytes_take(&c->residue, now);
    c->blocked = c->residue.len > 0;
    return c->blocked ? CONN_BLOCKED : CONN_SENT;
}

void conn_kill(struct conn *c, enum conn_cause cause)
{
    if (c->dying)
        return;
    c->dying = true;
    c->cause = cause;
}

void conn_kill_later(struct conn *c, enum conn_cause cause, unsigned linger_ms)
{
    conn_kill(c, cause);
    c->linger = true;
}

/* -- A turn -- */

static void conn_free(struct conn *c)
{
    free(c->in.ptr);
    free(c->out.ptr);
    free(c->residue.ptr);
    free(CONTAINER_OF(c, struct wire, conn));
}

static void input_run(struct conn *c)
{
    size_t len = c->in.len;

    if (c->paused || c->dying)
        return;
    if (c->chunk && len > c->seen + c->chunk)
        len = c->seen + c->chunk;
    bool fresh = len > c->seen;
    if (len > 0 && len >= c->expect && (fresh || c->again)) {
        uint8_t *copy = xmalloc(len); /* of that very size, for ASan to watch over */
        memcpy(copy, c->in.ptr, len);
        c->expect = 0;
        c->again = false;
        size_t used = c->handler->data(c, c->owner, copy, len);
        ASSERT(used <= len);
        free(copy);
        bytes_take(&c->in, used);
        c->seen = len - used;
    } else {
        c->seen = len;
        c->again = false;
    }
    if (fresh)
        c->heard_ms = c->loop->now_ms;
    if (c->hung_up && !c->paused && !c->again && c->seen == c->in.len)
        conn_kill(c, CONN_PEER_CLOSED);
}

static void conn_run(struct conn *c)
{
    if (!c->up) {
        c->up = true;
        c->owner = c->handler->up(c, c->user);
        if (!c->owner) {
            c->closed = true;
            c->closed_ms = c->loop->now_ms;
            return;
        }
    }
    if (c->closed)
        return;
    if (c->reset || c->failed)
        conn_kill(c, CONN_RESET);
    if (c->blocked && conn_room(c) > 0 && !c->dying)
        c->handler->writable(c, c->owner);
    input_run(c);
}

/* closed() is the point of detachment; then the last try at the residue. */
static void reap(struct conn *c)
{
    c->handler->closed(c, c->owner, c->cause);
    c->closed = true;
    c->closed_ms = c->loop->now_ms;
    if (!c->reset && !c->failed) {
        size_t now = c->linger || c->residue.len < conn_room(c) ? c->residue.len : conn_room(c);
        bytes_add(&c->out, c->residue.ptr, now);
    }
}

static bool reap_all(struct loop *l)
{
    bool any = false;

    for (struct conn *c = l->conns; c; c = c->next) {
        if (c->dying && !c->closed) {
            reap(c);
            any = true;
        }
    }
    return any;
}

static void forget_closed(struct loop *l)
{
    struct conn **p = &l->conns;

    while (*p) {
        struct conn *c = *p;
        if (c->closed && c->client_gone) {
            *p = c->next;
            conn_free(c);
        } else {
            p = &c->next;
        }
    }
    l->conns_last = p;
}

static void run_inbox(struct loop *l)
{
    struct loop_task *task = l->inbox, *next;

    l->inbox = NULL;
    l->inbox_last = &l->inbox;
    for (; task; task = next) {
        next = task->next;
        task->run(task, l);
    }
}

void fake_loop_turn(struct loop *l)
{
    current = l;
    qsbr_online(&l->qsbr);
    l->now_ms = l->clock->now_ms;
    l->again = false;
    for (struct conn *c = l->conns; c; c = c->next)
        conn_run(c);
    run_inbox(l);
    wheel_advance(&l->wheel, l->now_ms, 4096);
    do
        l->turn_end(l, l->user);
    while (reap_all(l));
    qsbr_quiescent(&l->qsbr);
    qsbr_offline(&l->qsbr);
    forget_closed(l);
    current = NULL;
}

static bool conn_idle(const struct conn *c)
{
    if (c->closed)
        return !c->client_gone;
    if (!c->up || c->dying || c->reset || c->failed)
        return false;
    if (c->blocked && conn_room(c) > 0)
        return false;
    return c->paused || (c->seen >= c->in.len && !(c->again && c->in.len) && !c->hung_up);
}

bool fake_loop_idle(struct loop *l)
{
    if (l->inbox || l->again || wheel_next_due_ms(&l->wheel) <= l->clock->now_ms)
        return false;
    for (struct conn *c = l->conns; c; c = c->next) {
        if (!conn_idle(c))
            return false;
    }
    return true;
}

struct loop *fake_loop_new(unsigned index, const struct fake_clock *clock,
                           void (*turn_end)(struct loop *l, void *user), void *user)
{
    struct loop *l = xcalloc(1, sizeof *l);

    l->index = index;
    l->clock = clock;
    l->turn_end = turn_end;
    l->user = user;
    l->now_ms = clock->now_ms;
    l->inbox_last = &l->inbox;
    l->conns_last = &l->conns;
    wheel_init(&l->wheel, clock->now_ms);
    qsbr_join(&l->qsbr);
    qsbr_offline(&l->qsbr);
    return l;
}

void fake_loop_free(struct loop **l)
{
    ASSERT(!(*l)->conns && !(*l)->inbox);
    qsbr_online(&(*l)->qsbr);
    qsbr_leave(&(*l)->qsbr);
    free(*l);
    *l = NULL;
}

/* -- The other end -- */

struct wire *wire_dial(struct loop *l, const struct conn_handler *handler, void *user,
                       bool shareable, size_t window)
{
    struct wire *w = xcalloc(1, sizeof *w);

    w->conn = (struct conn){
        .loop = l, .handler = handler, .user = user, .shareable = shareable, .window = window};
    *l->conns_last = &w->conn;
    l->conns_last = &w->conn.next;
    return w;
}

void wire_write(struct wire *w, const void *bytes, size_t len)
{
    if (!w->conn.closed)
        bytes_add(&w->conn.in, bytes, len);
}

void wire_chunk(struct wire *w, size_t chunk)
{
    w->conn.chunk = chunk;
}

size_t wire_read(struct wire *w, const uint8_t **bytes)
{
    *bytes = w->conn.out.ptr;
    return w->conn.out.len;
}

void wire_consume(struct wire *w, size_t len)
{
    bytes_take(&w->conn.out, len);
}

void wire_window(struct wire *w, size_t window)
{
    w->conn.window = window;
}

bool wire_ended(const struct wire *w)
{
    return w->conn.closed && w->conn.out.len == 0;
}

uint64_t wire_heard_ms(const struct wire *w)
{
    return w->conn.heard_ms;
}

uint64_t wire_closed_ms(const struct wire *w)
{
    return w->conn.closed_ms;
}

void wire_hang_up(struct wire **wire, bool reset)
{
    struct conn *c = &(*wire)->conn;

    *wire = NULL;
    c->client_gone = true;
    c->hung_up = true;
    if (reset) {
        c->reset = true;
        c->in.len = c->seen = 0;
    }
    c->window = SIZE_MAX; /* nobody reads: let the broker not wait for it */
}
