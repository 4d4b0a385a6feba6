/* Names of skep_resolve(): getaddrinfo() passes through here (--wrap), for a test asks no name
 * server. Addresses are what they are, names below .test are this machine, all others are not
 * known. */
#include <netdb.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

int __real_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                       struct addrinfo **out);
int __wrap_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                       struct addrinfo **out);

static bool is_below_test(const char *name)
{
    size_t len = strlen(name);

    return len > 5 && strcmp(name + len - 5, ".test") == 0;
}

int __wrap_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                       struct addrinfo **out)
{
    struct addrinfo numeric = hints ? *hints : (struct addrinfo){0};

    numeric.ai_flags |= AI_NUMERICHOST;
    if (node && is_below_test(node))
        node = "127.0.0.1";
    return __real_getaddrinfo(node, service, &numeric, out);
}
