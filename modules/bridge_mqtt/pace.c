#include "pace.h"

void backoff_init(struct backoff *b, uint32_t least_ms, uint32_t most_ms, uint64_t seed)
{
    *b = (struct backoff){
        .least_ms = least_ms, .most_ms = most_ms, .step_ms = least_ms, .seed = seed | 1};
}

static uint32_t draw(struct backoff *b, uint32_t below)
{
    b->seed ^= b->seed << 13;
    b->seed ^= b->seed >> 7;
    b->seed ^= b->seed << 17;
    return below ? (uint32_t)(b->seed >> 33) % below : 0;
}

uint32_t backoff_next(struct backoff *b)
{
    uint32_t half = b->step_ms / 2;
    uint32_t wait = b->step_ms - half + draw(b, half + 1);

    b->step_ms = b->step_ms > b->most_ms / 2 ? b->most_ms : b->step_ms * 2;
    return wait;
}

void backoff_reset(struct backoff *b)
{
    b->step_ms = b->least_ms;
}

static double burst(const struct bucket *b)
{
    return b->rate < 10 ? 1 : b->rate / 10;
}

void bucket_init(struct bucket *b, double rate, uint64_t now_ms)
{
    *b = (struct bucket){.rate = rate, .at_ms = now_ms};
    b->tokens = burst(b);
}

bool bucket_take(struct bucket *b, uint64_t now_ms, uint64_t *wait_ms)
{
    if (b->rate <= 0)
        return true;
    b->tokens += b->rate * (double)(now_ms - b->at_ms) / 1000;
    b->at_ms = now_ms;
    if (b->tokens > burst(b))
        b->tokens = burst(b);
    if (b->tokens >= 1) {
        b->tokens -= 1;
        return true;
    }
    *wait_ms = 1 + (uint64_t)((1 - b->tokens) * 1000 / b->rate);
    return false;
}
