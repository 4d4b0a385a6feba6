/* What is remembered about a backend, shared by loops and handed on over reloads. */
#ifndef LIB_HTTP_DECISION_MEMORY_H
#define LIB_HTTP_DECISION_MEMORY_H

#include "lib_http_decision/ask.h"
#include "lib_http_decision/breaker.h"
#include "lib_http_decision/cache.h"

struct memory {
    _Atomic unsigned refs;
    unsigned char print[32]; /* of the options it depends on */
    EVP_MAC_CTX *keyed;      /* for question_key(), with a secret of this process */
    struct cache *cache;
    struct breaker breaker;
};

/* NULL: no memory, or no random bytes. */
struct memory *memory_new(const struct ask_conf *conf);
struct memory *memory_ref(struct memory *m);
void memory_unref(struct memory *m); /* accepts NULL */

#endif
