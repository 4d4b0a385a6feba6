/* Reading the histogram. */
#include "hdr.h"

/* The largest value that falls in a bucket. */
static uint64_t bucket_top(unsigned at)
{
    if (at < 2 * HDR_STEPS)
        return at;
    unsigned shift = at / HDR_STEPS - 1;
    return ((uint64_t)(at % HDR_STEPS + HDR_STEPS + 1) << shift) - 1;
}

uint64_t hdr_at(const struct hdr *h, double share)
{
    uint64_t seen = 0, want = (uint64_t)(share * (double)h->count + 0.5);

    if (want < 1)
        want = 1;
    for (unsigned i = 0; i < HDR_BUCKETS && h->count; i++) {
        seen += h->buckets[i];
        if (seen >= want)
            return bucket_top(i) < h->most ? bucket_top(i) : h->most;
    }
    return 0;
}
