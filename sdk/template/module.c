/* @NAME@: decides who may connect.
 *
 *     load @NAME@ { username bee; password file:/etc/skep/@NAME@.secret; }
 *
 * Lets that user in with that password and refuses it with another; whoever comes under another
 * name, or under none, is left to the next module in the chain.
 *
 * Made by `skepctl module new`: replace what is here by what you need.  <skep/module.h> says what
 * else a module can do. */
#include <skep/module.h>

/* The options of the load block.  The host fills it in: defaults, ranges and messages with the
 * place in the file come from the table below. */
struct conf {
    const char *username;
    struct skep_secret password; /* never printed, never logged */
};

static const struct skep_option options[] = {
    SKEP_STRING(struct conf, username, "bee", .help = "the user that may come in"),
    SKEP_SECRET(struct conf, password, SKEP_REQUIRED, .help = "with this password"),
    {0},
};

/* What the types of the options cannot tell.  Also run by `skep -t`. */
static void check(const void *self, struct skep_report *report)
{
    const struct conf *conf = self;

    if (conf->username[0] == 0)
        skep_report(report, NULL, "name one, or leave the option out", "the user name is empty");
}

/* Called for each CONNECT, on the client's loop: it must not block.  What takes time is awaited
 * with skep_wait_http(), skep_wait_job() and the like. */
static enum skep_verdict on_connect(struct skep_request *r, void *self)
{
    const struct conf *conf = self;

    if (!skep_str_eq(skep_connect_username(r), skep_str(conf->username)))
        return SKEP_NEXT;
    if (!skep_str_eq_secret(skep_connect_password(r), conf->password.value))
        return skep_deny(r, SKEP_RC_BAD_CREDENTIALS, "wrong password");
    return skep_allow(r);
}

SKEP_MODULE = {
    SKEP_MODULE_HEAD("@NAME@", "0.1", "lets one user in"),
    .conf_size = sizeof(struct conf),
    .options = options,
    .check = check,
    .on_connect = on_connect,
};
