/* How sub (and pub --request) print a message: the payload alone, with its topic, as hexadecimal
 * digits, as one JSON object a line, or by a template in the manner of mosquitto_sub -F. */
#ifndef SKEP_CTL_FORMAT_H
#define SKEP_CTL_FORMAT_H

#include <stdio.h>

#include "ctl/arg.h"
#include "mqtt/packet.h"

struct format {
    bool verbose, no_newline, json, hex;
    const char *template;
};

extern const struct arg_option format_options[];

/* Whether the template holds only what we know, and the options agree.  0; -1 after arg_error. */
int format_check(const struct format *f, const struct arg_command *command);

/* Prints one message, line end included. */
void format_message(FILE *out, const struct format *f, const struct mqtt_publish *message);

/* Text in quotes as JSON has it.  The bytes must be UTF-8. */
void format_json_string(FILE *out, struct str text);

#endif
