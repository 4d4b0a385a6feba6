/* Single values of a configuration: text to number and back.
 *
 *     size      64k 1m 1g 512 (bytes; k is 1024)
 *     duration  500ms 30s 5m 1h 7d, also 1h30m; 0 needs no unit
 *     rate      100/s, and for bytes 64k/s
 *     bool      on off (allow deny, yes no, true false)
 *     mode      0660
 *     address   192.0.2.1:1883 [2001:db8::1]:1883 192.0.2.1 2001:db8::1 unix:/path
 *
 * A parser returns 0, or ERR_SYNTAX with a message and perhaps a hint in `e`. */
#ifndef SKEP_CONF_VALUE_H
#define SKEP_CONF_VALUE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"

struct value_error {
    char message[160];
    char hint[160]; /* may be empty */
};

int value_uint(struct str s, uint64_t *out, struct value_error *e);
int value_size(struct str s, uint64_t *bytes, struct value_error *e);
int value_duration(struct str s, uint64_t *ms, struct value_error *e);
int value_rate(struct str s, uint64_t *per_second, struct value_error *e);
int value_bool(struct str s, bool *out, struct value_error *e);
int value_mode(struct str s, uint64_t *mode, struct value_error *e);

/* Where `s` stands in "first|second|third". */
int value_choice(struct str s, const char *choices, uint64_t *index, struct value_error *e);
/* The index-th of the choices; empty behind the last. */
struct str value_choice_name(const char *choices, uint64_t index);

struct value_address {
    bool is_unix, is_v6, is_loopback;
    bool has_port;
    uint16_t port;
    struct str host; /* without brackets; of a Unix socket the path */
};

/* The strings of `out` point into `s`. */
int value_address(struct str s, struct value_address *out, struct value_error *e);

/* Canonical text, such as the parsers read; in the arena. */
const char *value_print_size(struct arena *a, uint64_t bytes);
const char *value_print_duration(struct arena *a, uint64_t ms);

/* As it would be written: quoted where need be.  Control characters are escaped. */
const char *value_quote(struct arena *a, struct str s);

#endif
