/* A place's curl multi handle, driven by the loop: its sockets are watches, its clock is a timer,
 * and what it wants at once is a task.  Everything runs inside the loop's turn. */
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "host/http_impl.h"

/* Flights that ended are told one by one: each callback may begin and call off others. */
static void collect(struct host_http *http)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(http->multi, &left))) {
        if (message->msg != CURLMSG_DONE)
            continue;
        CURL *easy = message->easy_handle;
        CURLcode result = message->data.result;
        struct flight *f = NULL;
        curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&f);
        curl_multi_remove_handle(http->multi, easy);
        http_landed(f, result);
    }
}

static void act(struct host_http *http, curl_socket_t fd, int what)
{
    int running;

    curl_multi_socket_action(http->multi, fd, what, &running);
    collect(http);
}

static void on_watch(struct loop *l, int fd, unsigned what, void *http)
{
    act(http, fd,
        (what & LOOP_READ ? CURL_CSELECT_IN : 0) | (what & LOOP_WRITE ? CURL_CSELECT_OUT : 0));
}

static void on_timer(struct host_timer *timer)
{
    act(CONTAINER_OF(timer, struct host_http, timer), CURL_SOCKET_TIMEOUT, 0);
}

static void on_kick(struct loop_task *task, struct loop *l)
{
    struct host_http *http = CONTAINER_OF(task, struct host_http, kick);

    http->kicked = false;
    if (http->stopped)
        free(http);
    else
        act(http, CURL_SOCKET_TIMEOUT, 0);
}

/* -- What curl tells us -- */

static int want_time(CURLM *multi, long ms, void *arg)
{
    struct host_http *http = arg;

    host_timer_cancel(http->place, &http->timer);
    if (ms > 0)
        host_timer_set(http->place, &http->timer, (uint64_t)ms);
    if (ms == 0 && !http->kicked) {
        http->kicked = true;
        loop_post(http->place->loop, &http->kick);
    }
    return 0;
}

static unsigned events_of(int what)
{
    return (what & CURL_POLL_IN ? LOOP_READ : 0) | (what & CURL_POLL_OUT ? LOOP_WRITE : 0);
}

static int want_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
    struct host_http *http = arg;
    struct loop_watch *watch = known;
    int err = 0;

    if (what == CURL_POLL_REMOVE) {
        loop_watch_stop(&watch);
        curl_multi_assign(http->multi, fd, NULL);
    } else if (watch) {
        err = loop_watch_set(watch, events_of(what));
    } else {
        err = loop_watch_start(&watch, http->place->loop, fd, events_of(what), on_watch, http);
        if (err == 0)
            curl_multi_assign(http->multi, fd, watch);
    }
    if (err < 0)
        log_limited(LOG_LEVEL_ERROR, "host", "cannot watch a socket of an HTTP request: %m");
    return 0;
}

/* -- Life -- */

struct host_http *http_place_open(struct host_place *p)
{
    struct host_http *http = xcalloc(1, sizeof *http);

    http->place = p;
    http->timer.fn = on_timer;
    http->kick.run = on_kick;
    http->multi = curl_multi_init();
    ASSERT(http->multi != NULL);
    curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, want_socket);
    curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http);
    curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, want_time);
    curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http);
    curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, (long)HTTP_IDLE_CONNECTIONS);
    return http;
}

bool http_take_off(struct host_http *http, struct flight *f)
{
    return http_easy_new(f) && curl_multi_add_handle(http->multi, f->easy) == CURLM_OK;
}

void http_abort(struct host_http *http, struct flight *f)
{
    curl_multi_remove_handle(http->multi, f->easy);
}

void http_place_close(struct host_http *http)
{
    curl_multi_cleanup(http->multi);
    host_timer_cancel(http->place, &http->timer);
    http->stopped = true;
    if (!http->kicked)
        free(http);
}
