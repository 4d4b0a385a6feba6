/* Bytes to the socket, and the residue it did not take.
 *
 * No wake-up may be lost between "would block" and `blocked` being seen by the owner,
 * whose edge comes only once.  So the sender stores `blocked` first and then tries again:
 * if the socket drained in between, that second try succeeds; if not, the kernel's next
 * edge comes after the store, and the owner sees it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "net/conn_impl.h"
#include "net/tls.h"
#include "net/ws.h"

enum { CHUNK = 256 }; /* iovecs a system call; the kernel's limit is 1024 */

static unsigned fill(struct iovec *iov, const struct out_vec *v, unsigned n,
                     const struct cursor *at, size_t *total)
{
    unsigned count = 0;
    *total = 0;
    for (unsigned i = at->pos; i < n && count < CHUNK; i++, count++) {
        size_t skip = i == at->pos ? at->skip : 0;
        iov[count].iov_base = (char *)v[i].ptr + skip;
        iov[count].iov_len = v[i].len - skip;
        *total += iov[count].iov_len;
    }
    return count;
}

void cursor_advance(struct cursor *at, const struct out_vec *v, unsigned n, size_t bytes)
{
    at->sent += bytes;
    while (at->pos < n && bytes >= v[at->pos].len - at->skip) {
        bytes -= v[at->pos].len - at->skip;
        at->pos++;
        at->skip = 0;
    }
    at->skip += bytes;
}

static void count_write(ssize_t n)
{
    struct loop *here = loop_current();
    if (!here)
        return;
    counter_add(&here->counters.writes, 1);
    if (n > 0)
        counter_add(&here->counters.bytes_out, (uint64_t)n);
}

static ssize_t send_once(int fd, struct iovec *iov, unsigned count)
{
    ssize_t n;
    do {
        if (count == 1) {
            n = send(fd, iov->iov_base, iov->iov_len, MSG_NOSIGNAL);
        } else {
            struct msghdr msg = {.msg_iov = iov, .msg_iovlen = count};
            n = sendmsg(fd, &msg, MSG_NOSIGNAL);
        }
    } while (n < 0 && errno == EINTR);
    count_write(n);
    return n;
}

enum pushed { PUSH_ALL, PUSH_SOME, PUSH_NONE, PUSH_ERROR };

/* Sends until all is out, or the socket takes less than asked, nothing, or breaks. */
static enum pushed push(int fd, const struct out_vec *v, unsigned n, struct cursor *at)
{
    struct iovec iov[CHUNK];

    while (at->pos < n) {
        size_t total;
        unsigned count = fill(iov, v, n, at, &total);
        if (total == 0) { /* only empty pieces */
            at->pos += count;
            at->skip = 0;
            continue;
        }
        ssize_t sent = send_once(fd, iov, count);
        if (sent < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK ? PUSH_NONE : PUSH_ERROR;
        cursor_advance(at, v, n, (size_t)sent);
        if ((size_t)sent < total)
            return PUSH_SOME;
    }
    return PUSH_ALL;
}

/* Until the kernel says that it would block: only then does it owe an edge. */
static enum pushed push_full(int fd, const struct out_vec *v, unsigned n, struct cursor *at)
{
    enum pushed result;
    do
        result = push(fd, v, n, at);
    while (result == PUSH_SOME);
    return result;
}

/* The socket is beyond use.  Shutting it down wakes the owner, whatever its thread. */
enum conn_result output_fail(struct conn *c)
{
    c->failed = true;
    shutdown(conn_socket(c), SHUT_RDWR);
    return CONN_FAILED;
}

void residue_free(struct residue **rp)
{
    struct residue *r = *rp;
    if (!r)
        return;
    *rp = NULL;
    for (unsigned i = r->pos; i < r->count; i++) {
        if (r->pieces[i].owner)
            refbuf_unref(r->pieces[i].owner);
    }
    free(r);
}

void residue_advance(struct residue *r, const struct cursor *at)
{
    for (unsigned i = r->pos; i < at->pos; i++) {
        if (r->pieces[i].owner)
            refbuf_unref(r->pieces[i].owner);
    }
    r->pos = at->pos;
    r->skip = at->skip;
    r->bytes -= at->sent;
}

struct residue *residue_new(const struct out_vec *v, unsigned n, const struct cursor *at)
{
    size_t copied = 0;
    for (unsigned i = at->pos; i < n; i++)
        copied += v[i].owner ? 0 : v[i].len - (i == at->pos ? at->skip : 0);

    unsigned count = n - at->pos;
    struct residue *r = malloc(sizeof *r + count * sizeof r->pieces[0] + copied);
    if (!r)
        return NULL;
    *r = (struct residue){.count = count};
    char *copy = (char *)(r->pieces + count);
    for (unsigned i = 0; i < count; i++) {
        const struct out_vec *piece = &v[at->pos + i];
        size_t skip = i == 0 ? at->skip : 0;
        struct out_vec *kept = &r->pieces[i];
        *kept = (struct out_vec){(const char *)piece->ptr + skip, piece->len - skip, piece->owner};
        r->bytes += kept->len;
        if (piece->owner) {
            refbuf_ref(piece->owner, 1);
        } else {
            memcpy(copy, kept->ptr, kept->len);
            kept->ptr = copy;
            copy += kept->len;
        }
    }
    return r;
}

enum conn_result output_raw(struct conn *c, const struct out_vec *v, unsigned n)
{
    struct cursor at = {0};

    ASSERT(!c->out);
    if (c->failed)
        return CONN_FAILED;
    enum pushed result = push(conn_socket(c), v, n, &at);
    if (LIKELY(result == PUSH_ALL))
        return CONN_SENT;
    if (result != PUSH_ERROR) {
        atomic_store(&c->blocked, true);
        result = push_full(conn_socket(c), v, n, &at);
    }
    if (result == PUSH_NONE && (c->out = residue_new(v, n, &at)))
        return CONN_BLOCKED;
    atomic_store(&c->blocked, false);
    return result == PUSH_ALL ? CONN_SENT : output_fail(c);
}

enum conn_result output_flush_raw(struct conn *c)
{
    struct residue *r = c->out;

    if (c->failed)
        return CONN_FAILED;
    if (!r)
        return CONN_SENT;
    struct cursor at = {.pos = r->pos, .skip = r->skip};
    enum pushed result = push_full(conn_socket(c), r->pieces, r->count, &at);
    residue_advance(r, &at);
    if (result == PUSH_NONE)
        return CONN_BLOCKED;
    residue_free(&c->out);
    atomic_store(&c->blocked, false);
    return result == PUSH_ALL ? CONN_SENT : output_fail(c);
}

enum conn_result output_below_ws(struct conn *c, const struct out_vec *v, unsigned n)
{
    return c->layer->tls ? tls_send(c, v, n) : output_raw(c, v, n);
}

enum conn_result conn_send(struct conn *c, const struct out_vec *v, unsigned n)
{
    if (LIKELY(!c->layer))
        return output_raw(c, v, n);
    return c->layer->ws ? ws_send(c, v, n) : output_below_ws(c, v, n);
}

enum conn_result conn_flush(struct conn *c)
{
    enum conn_result result = output_flush_raw(c);
    if (result == CONN_SENT && c->layer && c->layer->tls)
        result = tls_flush(c);
    if (result == CONN_SENT && c->layer && c->layer->ws)
        result = ws_flush(c);
    return result;
}

bool conn_blocked(const struct conn *c)
{
    return atomic_load_explicit(&c->blocked, memory_order_relaxed);
}

size_t conn_residue(const struct conn *c)
{
    size_t waiting = c->layer && c->layer->tls ? tls_residue(c) : 0;
    return waiting + (c->out ? c->out->bytes : 0);
}

bool conn_shareable(const struct conn *c)
{
    return !c->layer || !c->layer->tls;
}
