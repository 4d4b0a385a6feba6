/* The ways a call inside Skep can fail that a caller may want to tell apart.
 * Functions return 0 or a negative `enum err`; the place that knows the context
 * logs.  What a peer did wrong is an MQTT reason code instead (mqtt/reason.h). */
#ifndef SKEP_BASE_ERR_H
#define SKEP_BASE_ERR_H

#define ERR_LIST(X)                                                                                \
    X(ERR_INVALID, "invalid value")                                                                \
    X(ERR_NOT_FOUND, "not found")                                                                  \
    X(ERR_EXISTS, "exists already")                                                                \
    X(ERR_LIMIT, "a limit is reached")                                                             \
    X(ERR_MEMORY, "memory budget exceeded")                                                        \
    X(ERR_SYNTAX, "syntax error")                                                                  \
    X(ERR_SYSTEM, "the system refused (see errno)")                                                \
    X(ERR_TLS, "TLS failed")                                                                       \
    X(ERR_CLOSED, "closed")                                                                        \
    X(ERR_AGAIN, "would block")                                                                    \
    X(ERR_DENIED, "not permitted")                                                                 \
    X(ERR_PROTOCOL, "the peer broke the protocol")                                                 \
    X(ERR_DAMAGED, "stored data is damaged")

#define ERR_ORDINAL(name, text) name##_ORDINAL,
enum err_ordinal { ERR_OK_ORDINAL, ERR_LIST(ERR_ORDINAL) };
#undef ERR_ORDINAL

#define ERR_VALUE(name, text) name = -(int)name##_ORDINAL,
enum err { ERR_OK = 0, ERR_LIST(ERR_VALUE) };
#undef ERR_VALUE

/* One line of plain English; never NULL. */
const char *err_text(int err);

#endif
