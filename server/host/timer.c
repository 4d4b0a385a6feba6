#include "host/timer.h"

#include "base/mem.h"
#include "net/loop.h"

static void fired(void *place, struct wheel_timer *wheel)
{
    struct host_timer *timer = CONTAINER_OF(wheel, struct host_timer, wheel);
    timer->fn(timer);
}

void host_timer_register(struct host_place *p)
{
    wheel_kind(loop_wheel(p->loop), HOST_TIMER_KIND, fired, p);
}

void host_timer_set(struct host_place *p, struct host_timer *timer, uint64_t ms)
{
    timer->wheel.kind = HOST_TIMER_KIND;
    wheel_add(loop_wheel(p->loop), &timer->wheel, loop_now_ms(p->loop) + ms);
}

void host_timer_cancel(struct host_place *p, struct host_timer *timer)
{
    wheel_cancel(loop_wheel(p->loop), &timer->wheel);
}
