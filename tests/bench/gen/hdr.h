/* A latency histogram with a fixed relative error: 64 steps for each power of two (under 1.6%).
 *
 * Any nanosecond value from 0 to 2^63 has a bucket, so nothing is ever clipped.
 */
#ifndef SKEP_BENCH_HDR_H
#define SKEP_BENCH_HDR_H

#include <stdint.h>

enum { HDR_STEPS = 64, HDR_BUCKETS = 59 * HDR_STEPS };

struct hdr {
    uint64_t count, most;
    uint64_t buckets[HDR_BUCKETS];
};

static inline void hdr_add(struct hdr *h, uint64_t ns)
{
    unsigned at = (unsigned)ns;
    if (ns >= HDR_STEPS) {
        unsigned shift = 57 - (unsigned)__builtin_clzll(ns); /* leaves 64..127 */
        at = shift * HDR_STEPS + (unsigned)(ns >> shift);
    }
    h->buckets[at]++;
    h->count++;
    if (ns > h->most)
        h->most = ns;
}

/* The smallest value that a share of all (0.99, say) does not exceed; 0 when empty. */
uint64_t hdr_at(const struct hdr *h, double share);

#endif
