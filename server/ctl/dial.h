/* What pub and sub have in common: the options that say which broker, how to get there and who
 * we are, and the client_conf they make. */
#ifndef SKEP_CTL_DIAL_H
#define SKEP_CTL_DIAL_H

#include "ctl/arg.h"
#include "ctl/client.h"

struct dial {
    struct client_conf conf; /* made by dial_finish */

    struct link_conf link;
    const char *url, *version_name;
    const char *id, *id_prefix;
    const char *username, *password, *password_file, *password_env;
    bool ask_password, no_clean, no_problem_info, request_response_info;
    uint32_t keep_alive, max_inflight;
    const char *session_expiry;
    uint32_t receive_maximum, maximum_packet_size, topic_alias_maximum;
    struct arg_list user_props;

    const char *will_topic, *will_payload;
    uint32_t will_qos, will_delay, will_expiry;
    bool will_retain, will_utf8;
    const char *will_content_type, *will_response_topic, *will_correlation;
    struct arg_list will_user_props;

    bool debug, quiet;
    /* private: what conf's views point into */
    struct bytes password_bytes, props, will_props;
    char *url_parts, *id_text;
    struct client_memory memory;
};

extern const struct arg_option dial_options[];

/* The defaults; before arg_parse. */
void dial_init(struct dial *d);

/* Checks the options against each other, reads the password, and fills d->conf.  url_topic gets
 * the topic that --url named, or NULL.  0; -1 after arg_error. */
int dial_finish(struct dial *d, const struct arg_command *command, const char **url_topic);
void dial_fini(struct dial *d);

/* A user property "NAME=VALUE" as it stands on the wire, appended.  0, or -1 when there is no =
 * or a part is longer than 65535 bytes. */
int dial_put_user_prop(struct bytes *out, const char *pair);
int dial_put_user_props(struct bytes *out, const struct arg_list *pairs,
                        const struct arg_command *command);

/* "never" or seconds.  0, or -1. */
int dial_expiry(const char *text, uint32_t *out);

/* client_events.on_trace for -d: one line a packet on stderr. */
void dial_trace(bool sent, const struct mqtt_frame *frame);

#endif
