#include "ctl/control.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "ctl/link.h"
#include "ctl/place.h"

enum { ANSWER_MAX = 64 * 1024 * 1024 };

const struct arg_option control_options[] = {
    ARG_FIELD(ARG_TEXT, 'S', "socket", struct control_conf, socket, "PATH",
              "control socket of the broker (default: $SKEP_CONTROL, else control.sock in the data "
              "folder of this source tree, in /run/skep or in /var/lib/skep)"),
    ARG_FIELD(ARG_SECONDS, 'W', "timeout", struct control_conf, timeout_ms, "SECONDS",
              "wait this long for the answer (default 30)"),
    ARG_LAST,
};

struct control_link {
    struct link *link;
    struct bytes in;
    uint32_t timeout_ms;
};

/* The first place where there is a socket; out is the last one looked at when there is none. */
static bool socket_find(char out[PATH_MAX])
{
    static const char *const places[] = {"/run/skep/control.sock", "/var/lib/skep/control.sock"};
    char data[PATH_MAX];

    if (place_tree_data(data)) {
        snprintf(out, PATH_MAX, "%.*s/control.sock", PATH_MAX - 32, data);
        if (access(out, F_OK) == 0)
            return true;
    }
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        snprintf(out, PATH_MAX, "%s", places[i]);
        if (access(out, F_OK) == 0)
            return true;
    }
    return false;
}

enum ctl_status control_connect(struct control_link **out, const struct control_conf *conf,
                                struct fault *fault)
{
    const char *given = conf->socket ? conf->socket : getenv("SKEP_CONTROL");
    struct link_conf link = {.timeout_ms = conf->timeout_ms};
    struct control_link *c;
    char found[PATH_MAX];

    if (!given && !socket_find(found)) {
        fault_set(fault, "no running Skep was found on this machine");
        fault_hint(fault, "start it, or say where its control socket is with --socket PATH");
        return CTL_UNREACHABLE;
    }
    c = xcalloc(1, sizeof *c);
    c->timeout_ms = conf->timeout_ms;
    link.unix_path = given ? given : found;
    if (link_open(&c->link, &link, fault) < 0) {
        fault_hint(fault,
                   "is Skep running, and may this user ask it?  (root and its own user may)");
        control_free(&c);
        return CTL_UNREACHABLE;
    }
    *out = c;
    return CTL_OK;
}

void control_free(struct control_link **cp)
{
    struct control_link *c = *cp;

    if (!c)
        return;
    link_free(&c->link);
    bytes_fini(&c->in);
    free(c);
    *cp = NULL;
}

/* Reads up to a whole line; CTL_OK when there is one in c->in. */
static enum ctl_status line_read(struct control_link *c, struct fault *fault)
{
    uint64_t deadline = clock_mono_ms() + c->timeout_ms;

    while (c->in.len == 0 || !memchr(c->in.ptr, '\n', c->in.len)) {
        uint64_t now = clock_mono_ms();

        if (now >= deadline) {
            fault_set(fault, "Skep did not answer within %u s", c->timeout_ms / 1000);
            return CTL_TIMEOUT;
        }
        link_wait(c->link, -1, (int)(deadline - now));
        if (link_flush(c->link, fault) < 0 || link_read(c->link, &c->in, fault) < 0)
            return CTL_LOST;
        if (c->in.len > ANSWER_MAX) {
            fault_set(fault, "the answer is larger than 64 MiB");
            return CTL_FAILED;
        }
    }
    return CTL_OK;
}

static void request_send(struct control_link *c, cJSON *request)
{
    char *text = cJSON_PrintUnformatted(request);

    ASSERT(text);
    link_write(c->link, text, strlen(text));
    link_write(c->link, "\n", 1);
    cJSON_free(text);
    cJSON_Delete(request);
}

enum ctl_status control_ask(struct control_link *c, cJSON *request, cJSON **answer,
                            struct fault *fault)
{
    enum ctl_status status;
    const char *end, *error;

    *answer = NULL;
    request_send(c, request);
    if (link_flush(c->link, fault) < 0)
        return CTL_LOST;
    status = line_read(c, fault);
    if (status != CTL_OK)
        return status;
    end = memchr(c->in.ptr, '\n', c->in.len);
    *answer =
        cJSON_ParseWithLength((const char *)c->in.ptr, (size_t)(end - (const char *)c->in.ptr));
    bytes_take(&c->in, (size_t)(end - (const char *)c->in.ptr) + 1);
    if (!*answer) {
        fault_set(fault, "the answer is not JSON; is this the control socket of a Skep?");
        return CTL_FAILED;
    }
    if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(*answer, "ok")))
        return CTL_OK;
    error = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(*answer, "error"));
    fault_set(fault, "%s", error ? error : "Skep refused without a reason");
    return CTL_FAILED;
}

bool control_wait_end(struct control_link *c, unsigned wait_ms)
{
    uint64_t deadline = clock_mono_ms() + wait_ms, now;
    struct fault ignored;

    while ((now = clock_mono_ms()) < deadline) {
        link_wait(c->link, -1, (int)(deadline - now));
        if (link_read(c->link, &c->in, &ignored) < 0)
            return true;
        c->in.len = 0;
    }
    return false;
}
