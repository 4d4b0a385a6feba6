/* pool.h for builds with sanitizers: every object comes from malloc with its exact size and
 * goes back at once, so that overruns and uses after free are reported. */
#include "base/pool.h"

#include <stdlib.h>

#include "base/pool_class.h"

void *pool_alloc(size_t size, uint8_t *size_class)
{
    *size_class = pool_class(size);
    return malloc(size);
}

void pool_free(void *object, uint8_t size_class)
{
    free(object);
}

uint8_t pool_class(size_t size)
{
    return size > POOL_MAX ? POOL_LARGE : (uint8_t)pool_class_of(size);
}

size_t pool_class_size(uint8_t size_class)
{
    return size_class == POOL_LARGE ? 0 : pool_size_of(size_class);
}

size_t pool_kept_bytes(void)
{
    return 0;
}

void pool_trim(void)
{
}
