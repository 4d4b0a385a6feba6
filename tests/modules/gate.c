/* Lets in who gives the right password, and crashes where that is asked for. */
#include <skep/module.h>

struct conf {
    struct skep_secret password;
};

static const struct skep_option options[] = {
    SKEP_SECRET(struct conf, password, SKEP_REQUIRED, .help = "what everybody has to know"),
    {0},
};

static enum skep_verdict on_connect(struct skep_request *r, void *self)
{
    const struct conf *c = self;

    if (!skep_connect_has_password(r))
        return SKEP_NEXT;
    if (skep_str_eq(skep_connect_password(r), SKEP_STR("crash")))
        __builtin_trap();
    if (skep_str_eq_secret(skep_connect_password(r), c->password.value))
        return skep_allow(r);
    return skep_deny(r, SKEP_RC_BAD_CREDENTIALS, "wrong password");
}

SKEP_MODULE = {
    SKEP_MODULE_HEAD("gate", "1", "asks for a password"),
    .conf_size = sizeof(struct conf),
    .options = options,
    .on_connect = on_connect,
};
