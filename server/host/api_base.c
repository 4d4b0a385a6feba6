/* The functions of sdk/include/skep/base.h, but for skep_log. */
#include <openssl/crypto.h>
#include <skep/base.h>

#include "base/mem.h"
#include "base/str.h"
#include "mqtt/topic.h"

bool skep_str_eq_secret(struct skep_str a, struct skep_str b)
{
    return a.len == b.len && (a.len == 0 || CRYPTO_memcmp(a.ptr, b.ptr, a.len) == 0);
}

const char *skep_error_text(int err)
{
    static const char *const texts[] = {
        [-SKEP_OK] = "no error",
        [-SKEP_E_INVALID] = "an argument makes no sense",
        [-SKEP_E_NOT_FOUND] = "not found",
        [-SKEP_E_EXISTS] = "exists already",
        [-SKEP_E_LIMIT] = "a limit is reached",
        [-SKEP_E_MEMORY] = "no memory for it",
        [-SKEP_E_SYSTEM] = "the operating system refused",
        [-SKEP_E_STATE] = "not at this time, or not on this thread",
        [-SKEP_E_REFUSED] = "the broker does not take it",
    };

    if (err > 0 || (size_t) - (long)err >= ARRAY_LEN(texts))
        return "unknown error";
    return texts[-err];
}

bool skep_topic_matches(struct skep_str filter, struct skep_str topic)
{
    return topic_matches((struct str){filter.ptr, filter.len}, (struct str){topic.ptr, topic.len});
}

bool skep_topic_valid(struct skep_str topic, bool name)
{
    struct str s = {topic.ptr, topic.len};

    return (name ? topic_name_check(s, 0) : topic_filter_check(s, 0)) == TOPIC_OK;
}
