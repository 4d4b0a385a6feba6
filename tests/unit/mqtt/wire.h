/* Packets as hand-written bytes: "30 05 | 00 01 't' 'hi'" style strings become
 * heap blocks of exactly that size, so that AddressSanitizer sees the first byte
 * read behind them.  Hex pairs, 'text' in quotes, blanks and | as separators. */
#ifndef TESTS_UNIT_MQTT_WIRE_H
#define TESTS_UNIT_MQTT_WIRE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "mqtt/packet.h"

struct wire {
    uint8_t *ptr;
    size_t len;
};

static inline struct wire wire_copy(const void *bytes, size_t len)
{
    struct wire w = {malloc(len ? len : 1), len};
    if (len)
        memcpy(w.ptr, bytes, len);
    return w;
}

static inline void wire_free(struct wire *w)
{
    free(w->ptr);
    *w = (struct wire){NULL, 0};
}

static inline struct wire wire_of(const char *text)
{
    uint8_t bytes[4096];
    size_t len = 0;

    for (const char *p = text; *p;) {
        if (*p == ' ' || *p == '|') {
            p++;
        } else if (*p == '\'') {
            for (p++; *p != '\''; p++)
                bytes[len++] = (uint8_t)*p;
            p++;
        } else {
            unsigned byte;
            if (sscanf(p, "%2x", &byte) != 1)
                fail_msg("not hex: %s", p);
            bytes[len++] = (uint8_t)byte;
            p += 2;
        }
    }
    return wire_copy(bytes, len);
}

/* The frame of a whole packet; fails the test if it is not exactly one. */
static inline struct mqtt_frame wire_frame(const struct wire *w)
{
    struct mqtt_frame frame;

    assert_int_equal(mqtt_frame_peek(w->ptr, w->len, &frame), 1);
    assert_int_equal(frame.size, w->len);
    return frame;
}

/* A body cut or made by hand, with the length the frame says. */
static inline struct mqtt_frame wire_body(uint8_t first, const struct wire *body)
{
    return (struct mqtt_frame){.type = first >> 4,
                               .flags = first & 15,
                               .size = (uint32_t)body->len + 2,
                               .body = {(const char *)body->ptr, body->len}};
}

/* The frame of a packet whose block lives until the next call. */
static struct wire wire_kept;

static inline struct mqtt_frame wire_keep(const char *text)
{
    wire_free(&wire_kept);
    wire_kept = wire_of(text);
    return wire_frame(&wire_kept);
}

/* Group teardown of tests that use wire_keep. */
static inline int wire_drop(void **state)
{
    wire_free(&wire_kept);
    return 0;
}

/* As hex, so that a difference can be read. */
static inline void assert_bytes(const uint8_t *got, size_t len, const char *want)
{
    struct wire w = wire_of(want);

    if (len != w.len || memcmp(got, w.ptr, len) != 0) {
        for (size_t i = 0; i < len; i++)
            fprintf(stderr, "%02X%s", got[i], i + 1 < len ? " " : "\n");
        fail_msg("want %s", want);
    }
    wire_free(&w);
}

static inline void assert_str(struct str got, const char *want)
{
    if (got.len != strlen(want) || memcmp(got.ptr, want, got.len) != 0)
        fail_msg("got '%.*s', want '%s'", STR_ARG(got), want);
}

#endif
