#include "host/refuse.h"

bool host_refuses(void)
{
    return false;
}
