/* base/clock.h: time that moves when the test says so. */
#include "base/clock.h"

#include "world.h"

struct world_clock world_clock = {WORLD_BEGIN_MS, WORLD_WALL_MS - WORLD_BEGIN_MS};

void world_clock_reset(void)
{
    world_clock = (struct world_clock){WORLD_BEGIN_MS, WORLD_WALL_MS - WORLD_BEGIN_MS};
}

uint64_t clock_mono_ms(void)
{
    return world_clock.mono_ms;
}

uint64_t clock_mono_ns(void)
{
    return world_clock.mono_ms * 1000000;
}

uint64_t clock_wall_ms(void)
{
    return world_clock.mono_ms + world_clock.wall_offset_ms;
}
