/* What the test looks at: log lines, what modules published, what they left behind, metrics. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "harness.h"
#include "host/instance.h"
#include "host/services.h"
#include "observe.h"
#include "world.h"

enum { LOG_MOST = 1 << 20 };

static struct {
    char *log;
    size_t log_len;
    struct skep_message *published;
    size_t published_count;
    unsigned leftovers;
} seen;

/* -- The log -- */

static void on_line(enum log_level level, struct str line, void *arg)
{
    if (seen.log_len + line.len + 2 > LOG_MOST)
        return;
    seen.log = xrealloc(seen.log, seen.log_len + line.len + 2);
    memcpy(seen.log + seen.log_len, line.ptr, line.len);
    seen.log_len += line.len;
    seen.log[seen.log_len++] = '\n';
    seen.log[seen.log_len] = 0;
}

const char *skep_test_log(const struct skep_test *t)
{
    return seen.log ? seen.log : "";
}

static void reset(void)
{
    free(seen.log);
    for (size_t i = 0; i < seen.published_count; i++)
        message_free(&seen.published[i]);
    free(seen.published);
    memset(&seen, 0, sizeof seen);
}

void observe_begin(void)
{
    reset();
    log_level_set(LOG_LEVEL_DEBUG);
    log_capture(on_line, NULL);
}

void observe_end(void)
{
    log_capture(NULL, NULL);
    log_level_set(LOG_LEVEL_INFO);
    reset();
}

/* -- Messages -- */

static struct skep_str copy(struct skep_str s)
{
    return s.ptr ? skep_bytes(str_dup((struct str){s.ptr, s.len}), s.len) : s;
}

void message_copy(struct skep_message *out, const struct skep_message *message)
{
    struct skep_user_property *properties =
        xcalloc(message->user_property_count + 1, sizeof *properties);

    *out = *message;
    out->size = sizeof *out;
    out->topic = copy(message->topic);
    out->payload = copy(message->payload);
    out->content_type = copy(message->content_type);
    out->response_topic = copy(message->response_topic);
    out->correlation_data = copy(message->correlation_data);
    for (size_t i = 0; i < message->user_property_count; i++)
        properties[i] = (struct skep_user_property){copy(message->user_properties[i].name),
                                                    copy(message->user_properties[i].value)};
    out->user_properties = properties;
}

void message_free(struct skep_message *message)
{
    for (size_t i = 0; i < message->user_property_count; i++) {
        free((void *)message->user_properties[i].name.ptr);
        free((void *)message->user_properties[i].value.ptr);
    }
    free((void *)message->user_properties);
    free((void *)message->topic.ptr);
    free((void *)message->payload.ptr);
    free((void *)message->content_type.ptr);
    free((void *)message->response_topic.ptr);
    free((void *)message->correlation_data.ptr);
}

void observe_published(const struct skep_message *message)
{
    struct skep_message whole = {0};
    size_t size = message->size < sizeof whole ? message->size : sizeof whole;

    memcpy(&whole, message, size);
    seen.published = xrealloc(seen.published, (seen.published_count + 1) * sizeof *seen.published);
    message_copy(&seen.published[seen.published_count++], &whole);
}

const struct skep_message *skep_test_published(const struct skep_test *t, size_t i)
{
    return i < seen.published_count ? &seen.published[i] : NULL;
}

/* -- Leftovers: services_forget() passes through here (--wrap) -- */

unsigned __real_services_forget(struct skep_module *m);
unsigned __wrap_services_forget(struct skep_module *m);

unsigned __wrap_services_forget(struct skep_module *m)
{
    unsigned count = __real_services_forget(m);

    seen.leftovers += count;
    return count;
}

unsigned observe_leftovers(void)
{
    return seen.leftovers;
}
