/* Sixteen bytes at a time, never a byte outside the topic: a short tail is put
 * together from two overlapping loads.  Included by mqtt/scan.h only. */
#ifndef SKEP_MQTT_SCAN_SSE2_H
#define SKEP_MQTT_SCAN_SSE2_H

#include <emmintrin.h>

#include "base/str.h"

/* 1 to 15 bytes as the low end of two words, zeros above. */
static inline __m128i scan_load_short(const char *p, size_t len)
{
    uint64_t low, high = 0;

    if (len >= 8) {
        memcpy(&low, p, 8);
        if (len > 8) {
            memcpy(&high, p + len - 8, 8);
            high >>= 8 * (16 - len); /* drop what `low` has already */
        }
    } else if (len >= 4) {
        uint32_t a, b;
        memcpy(&a, p, 4);
        memcpy(&b, p + len - 4, 4);
        /* the bytes both loads see are equal, so or-ing them changes nothing */
        low = a | (uint64_t)b << (8 * (len - 4));
    } else {
        low = (uint64_t)(uint8_t)p[0] | (uint64_t)(uint8_t)p[len / 2] << (8 * (len / 2)) |
              (uint64_t)(uint8_t)p[len - 1] << (8 * (len - 1));
    }
    return _mm_set_epi64x((long long)high, (long long)low);
}

/* What the blocks hold together; a byte counts by its sign bit. */
struct scan_sums {
    __m128i nul, wild, high;
    __m128i slashes; /* two 64-bit sums */
};

static inline void scan_block(struct scan_sums *sums, __m128i v, __m128i slashes)
{
    __m128i zero = _mm_setzero_si128();

    sums->nul = _mm_or_si128(sums->nul, _mm_cmpeq_epi8(v, zero));
    sums->wild = _mm_or_si128(sums->wild, _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('+')),
                                                       _mm_cmpeq_epi8(v, _mm_set1_epi8('#'))));
    sums->high = _mm_or_si128(sums->high, v);
    /* 0 - (-1) is 1 for each slash; psadbw adds the bytes up */
    sums->slashes = _mm_add_epi64(sums->slashes, _mm_sad_epu8(_mm_sub_epi8(zero, slashes), zero));
}

static inline __m128i scan_slashes(__m128i v)
{
    return _mm_cmpeq_epi8(v, _mm_set1_epi8('/'));
}

/* The last 1 to 15 bytes of a topic of 16 or more: the last 16 once more, the slashes
 * of those seen before left out. */
static inline void scan_tail(struct scan_sums *sums, const char *end, size_t fresh)
{
    static const uint8_t window[32] = {[16] = 255, 255, 255, 255, 255, 255, 255, 255,
                                       255,        255, 255, 255, 255, 255, 255, 255};
    __m128i v = _mm_loadu_si128((const __m128i *)(end - 16));
    __m128i mask = _mm_loadu_si128((const __m128i *)(window + fresh));

    scan_block(sums, v, _mm_and_si128(scan_slashes(v), mask));
}

static inline struct scan scan_topic_sse2(struct str topic)
{
    __m128i zero = _mm_setzero_si128();
    struct scan_sums sums = {zero, zero, zero, zero};
    const char *p = topic.ptr, *end = topic.ptr + topic.len;
    uint32_t inside = 0xFFFF; /* bytes of the blocks that are the topic's */
    struct scan s;

    if (topic.len >= 16) {
        for (; end - p >= 16; p += 16) {
            __m128i v = _mm_loadu_si128((const __m128i *)p);
            scan_block(&sums, v, scan_slashes(v));
        }
        if (p < end)
            scan_tail(&sums, end, (size_t)(end - p));
    } else if (topic.len > 0) {
        __m128i v = scan_load_short(p, topic.len);
        scan_block(&sums, v, scan_slashes(v));
        inside = (1u << topic.len) - 1; /* the rest is padding, and zero */
    }
    s.seen = (uint32_t)_mm_movemask_epi8(sums.nul) & inside ? SCAN_NUL : 0;
    s.seen |= _mm_movemask_epi8(sums.wild) ? SCAN_WILD : 0;
    s.seen |= _mm_movemask_epi8(sums.high) ? SCAN_HIGH : 0;
    s.slashes = (uint32_t)(_mm_cvtsi128_si32(sums.slashes) +
                           _mm_cvtsi128_si32(_mm_srli_si128(sums.slashes, 8)));
    return s;
}

#endif
