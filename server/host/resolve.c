/* <skep/loop.h>: names to addresses, in the job pool. */
#include <errno.h>
#include <netdb.h>
#include <skep/loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "host/jobs.h"
#include "host/services.h"

enum { ADDRESSES_MAX = 8, HOST_MAX = 255 };

struct lookup {
    struct job job;
    char host[HOST_MAX + 1];
    char port[6];
    struct addrinfo *found;
    int failed; /* EAI_* */
    int system_error;
    void (*done)(void *arg, const struct skep_str *addresses, size_t count, const char *error);
    void *arg;
};

static bool port_valid(const char *port)
{
    size_t digits = strspn(port, "0123456789");
    return digits > 0 && digits <= 5 && port[digits] == '\0' && atoi(port) <= 65535;
}

/* "host:port" or "[v6]:port" into its two parts. */
static bool split(struct lookup *l, const char *text)
{
    bool bracketed = text[0] == '[';
    const char *host = bracketed ? text + 1 : text;
    const char *end = strchr(host, bracketed ? ']' : ':');

    if (!end || end == host || end - host > HOST_MAX)
        return false;
    const char *colon = bracketed ? end + 1 : end;
    if (*colon != ':' || !port_valid(colon + 1))
        return false;
    memcpy(l->host, host, (size_t)(end - host));
    strcpy(l->port, colon + 1);
    return true;
}

static void look_up(struct job *j)
{
    struct lookup *l = CONTAINER_OF(j, struct lookup, job);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};

    l->failed = getaddrinfo(l->host, l->port, &hints, &l->found);
    l->system_error = errno;
}

static const char *reason(const struct lookup *l)
{
    return l->failed == EAI_SYSTEM ? strerror(l->system_error) : gai_strerror(l->failed);
}

static void looked_up(struct job *j)
{
    struct lookup *l = CONTAINER_OF(j, struct lookup, job);
    struct skep_str addresses[ADDRESSES_MAX];
    size_t count = 0;
    struct blame before = blame_begin(j->module, "resolve");

    for (struct addrinfo *a = l->found; a && count < ADDRESSES_MAX; a = a->ai_next)
        addresses[count++] = skep_bytes(a->ai_addr, a->ai_addrlen);
    l->done(l->arg, addresses, count, l->failed ? reason(l) : NULL);
    blame_end(before);
    if (l->found)
        freeaddrinfo(l->found);
    free(l);
}

int skep_resolve(struct skep_module *m, const char *host_and_port,
                 void (*done)(void *arg, const struct skep_str *addresses, size_t count,
                              const char *error),
                 void *arg)
{
    struct lookup *l = xcalloc(1, sizeof *l);
    int err = SKEP_E_INVALID;

    l->job.work = look_up;
    l->job.done = looked_up;
    l->done = done;
    l->arg = arg;
    if (split(l, host_and_port)) {
        if (jobs_submit(m->host, m, &l->job) == 0)
            return 0;
        err = SKEP_E_LIMIT;
    }
    free(l);
    return err;
}
