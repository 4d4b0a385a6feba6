/* Saying no where the host may: host/refuse.h, which the broker answers with "never". */
#include "host/refuse.h"

#include "world.h"

static unsigned countdown;

void world_refuse(unsigned n)
{
    countdown = n;
}

bool host_refuses(void)
{
    return countdown > 0 && --countdown == 0;
}
