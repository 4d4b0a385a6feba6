/* hello: the smallest module that decides something.
 *
 *     load ./hello.so;
 *
 * Lets the user "bee" in, whatever the password, and has no opinion about anybody else. */
#include <skep/module.h>

static enum skep_verdict on_connect(struct skep_request *r, void *self)
{
    (void)self; /* the options, if it had any */
    if (skep_str_eq(skep_connect_username(r), SKEP_STR("bee")))
        return skep_allow(r);
    return SKEP_NEXT;
}

SKEP_MODULE = {
    SKEP_MODULE_HEAD("hello", "1.0", "lets one user in"),
    .on_connect = on_connect,
};
