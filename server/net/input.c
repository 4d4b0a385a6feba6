/* Bytes from the socket to data().
 *
 * The common case copies nothing: one recv into the loop's buffer, one data() call.
 * What data() leaves is kept in an inbuf of exactly that size.  When its packet's length
 * was announced, later reads go straight into the inbuf (which at most doubles with what
 * has arrived) and what lies behind the packet into the loop's buffer.  A short remainder
 * without an announcement is laid in front of the next read instead. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "net/conn_impl.h"

enum {
    GROW_MIN = 4096,
    DIRECT_MAX = 256 * 1024, /* one read of a large packet; more would be unfair to others */
};

void input_free(struct conn *c)
{
    free(c->in);
    c->in = NULL;
}

/* Room for `more` bytes.  The size follows what has arrived, not what was announced. */
static bool inbuf_reserve(struct conn *c, size_t more)
{
    struct inbuf *in = c->in;
    size_t need = (in ? in->len : 0) + more;

    if (in && need <= in->cap)
        return true;
    size_t cap = need;
    if (in && in->expect > need) {
        if (cap < 2 * in->len)
            cap = 2 * in->len;
        if (cap < GROW_MIN)
            cap = GROW_MIN;
        if (cap > in->expect)
            cap = in->expect;
    }
    struct inbuf *grown = realloc(in, sizeof *in + cap);
    if (!grown) {
        conn_kill(c, CONN_MEMORY);
        return false;
    }
    if (!in)
        grown->len = grown->expect = 0;
    grown->cap = cap;
    c->in = grown;
    return true;
}

static bool inbuf_append(struct conn *c, const uint8_t *bytes, size_t len)
{
    if (!inbuf_reserve(c, len))
        return false;
    memcpy(c->in->bytes + c->in->len, bytes, len);
    c->in->len += len;
    return true;
}

void conn_expect(struct conn *c, size_t total)
{
    conn_home(c)->expect = total;
}

void conn_again(struct conn *c)
{
    conn_home(c)->more = true;
}

static size_t call_data(struct conn *c, uint8_t *buf, size_t len)
{
    struct loop *l = conn_home(c);

    l->expect = 0;
    l->more = false;
    size_t used = conn_handler_of(c)->data(c, c->owner, buf, len);
    ASSERT(used <= len);
    if (l->more)
        c->flags |= CONN_MORE;
    return used;
}

/* Adds to the inbuf, under what data() or the inbuf itself expects. */
static void keep(struct conn *c, const uint8_t *bytes, size_t len)
{
    if ((c->flags & CONN_DYING) || len == 0)
        return;
    if (inbuf_append(c, bytes, len))
        c->in->expect = conn_home(c)->expect;
}

/* Hands up what the inbuf holds.  False if something stays in it. */
static bool deliver_kept(struct conn *c)
{
    struct inbuf *in = c->in;
    size_t used = call_data(c, in->bytes, in->len);

    if (used == in->len || (c->flags & CONN_DYING)) {
        input_free(c);
        return true;
    }
    in->len -= used;
    in->expect = conn_home(c)->expect;
    memmove(in->bytes, in->bytes + used, in->len);
    return false;
}

/* Moves bytes from the read behind the kept ones; true if the inbuf is done with and the
 * rest of the read (*buf, *len) may be handed up by itself. */
static bool join_kept(struct conn *c, uint8_t **buf, size_t *len)
{
    struct inbuf *in = c->in;

    if (in->expect > in->len) {
        size_t missing = in->expect - in->len;
        size_t take = *len < missing ? *len : missing;
        if (!inbuf_append(c, *buf, take))
            return false;
        *buf += take;
        *len -= take;
        if (c->in->len < c->in->expect || deliver_kept(c))
            return c->in == NULL;
    } else if (in->len <= LOOP_HEADROOM) {
        *buf -= in->len;
        *len += in->len;
        memcpy(*buf, in->bytes, in->len);
        input_free(c);
        return true;
    } else if (inbuf_append(c, *buf, *len)) {
        *len = 0;
        return deliver_kept(c);
    }
    return false;
}

void input_deliver(struct conn *c, uint8_t *buf, size_t len)
{
    if (c->flags & (CONN_PAUSED | CONN_MORE)) { /* since this read began: it waits */
        conn_home(c)->expect = c->in ? c->in->expect : 0;
        keep(c, buf, len);
        return;
    }
    if (c->in && !join_kept(c, &buf, &len)) {
        if (len > 0 && c->in)
            keep(c, buf, len);
        return;
    }
    if (len == 0 || (c->flags & CONN_DYING))
        return;
    size_t used = call_data(c, buf, len);
    keep(c, buf + used, len - used);
}

static enum conn_cause cause_of(int error)
{
    if (error == ECONNRESET || error == EPIPE)
        return CONN_RESET;
    if (error == ETIMEDOUT || error == EHOSTUNREACH)
        return CONN_TIMED_OUT;
    return CONN_ERROR;
}

/* A short read emptied the socket (more would raise a new edge), unless the peer has
 * closed: then the end of file is still to be read. */
static size_t note_read(struct conn *c, ssize_t n, size_t asked)
{
    struct loop_counters *counters = &conn_home(c)->counters;

    if (n > 0) {
        if ((size_t)n < asked && !(c->flags & CONN_HANGUP)) {
            c->flags &= (uint16_t)~CONN_READABLE;
            if (!(c->flags & CONN_SUSPECT))
                sweep_mark(c);
        }
        counter_add(&counters->reads, 1);
        counter_add(&counters->bytes_in, (uint64_t)n);
        return (size_t)n;
    }
    c->flags &= (uint16_t)~CONN_READABLE;
    if (n == 0)
        conn_kill(c, CONN_PEER_CLOSED);
    else if (errno == EINTR)
        c->flags |= CONN_READABLE;
    else if (errno != EAGAIN && errno != EWOULDBLOCK)
        conn_kill(c, cause_of(errno));
    return 0;
}

size_t input_recv(struct conn *c, uint8_t *buf, size_t cap)
{
    return note_read(c, recv(conn_socket(c), buf, cap, 0), cap);
}

/* The read of a connection that collects an announced packet. */
static void read_into_kept(struct conn *c)
{
    struct loop *l = conn_home(c);
    uint8_t *buf = l->buffer + LOOP_HEADROOM;
    size_t missing = c->in->expect - c->in->len;
    size_t step = c->in->len > GROW_MIN ? c->in->len : GROW_MIN;

    if (step > DIRECT_MAX)
        step = DIRECT_MAX;
    if (step > missing)
        step = missing;
    if (c->in->cap - c->in->len < step && !inbuf_reserve(c, step))
        return;
    struct iovec iov[2] = {{c->in->bytes + c->in->len, step}, {buf, LOOP_READ_SIZE}};
    size_t n = note_read(c, readv(conn_socket(c), iov, 2), step + LOOP_READ_SIZE);
    if (n == 0)
        return;
    size_t direct = n < step ? n : step;
    c->in->len += direct;
    if (c->in->len < c->in->expect) {
        if (n > direct)
            input_deliver(c, buf, n - direct);
        return;
    }
    bool done = deliver_kept(c);
    if (n == direct || (c->flags & CONN_DYING))
        return;
    if (done)
        input_deliver(c, buf, n - direct);
    else
        inbuf_append(c, buf, n - direct);
}

static void read_plain(struct conn *c)
{
    uint8_t *buf = conn_home(c)->buffer + LOOP_HEADROOM;

    if (c->in && c->in->expect > c->in->len) {
        read_into_kept(c);
        return;
    }
    size_t n = input_recv(c, buf, LOOP_READ_SIZE);
    if (n > 0)
        input_deliver(c, buf, n);
}

/* data() asked for another turn: it gets what is left before anything is read. */
static void run_more(struct conn *c)
{
    uint8_t none = 0;

    c->flags &= (uint16_t)~CONN_MORE;
    if (c->in)
        deliver_kept(c);
    else
        keep(c, &none, call_data(c, &none, 0));
}

void input_run(struct conn *c)
{
    if (c->flags & CONN_MORE)
        run_more(c);
    else if (c->layer)
        phase_read(c);
    else
        read_plain(c);
    if (!(c->flags & CONN_PAUSED) && (c->flags & (CONN_READABLE | CONN_MORE)))
        conn_make_ready(c);
}
