#include "store/moment.h"

#include "base/clock.h"

const struct store_clock store_clock_system = {clock_mono_ms, clock_wall_ms};

int64_t moment_offset_ms(const struct store_clock *clock, struct moment last)
{
    uint64_t wall = clock->wall_ms(), now = last.store_ms;

    if (wall > last.wall_ms)
        now += wall - last.wall_ms;
    return (int64_t)(now - clock->mono_ms());
}

struct moment moment_now(const struct store_clock *clock, int64_t offset_ms)
{
    return (struct moment){clock->wall_ms(), clock->mono_ms() + (uint64_t)offset_ms};
}
