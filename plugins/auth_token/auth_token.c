/* auth_token: let an HTTP service decide who may connect.
 *
 *     load auth_token { url https://auth.internal/check; timeout 2s; }
 *
 * The client's MQTT password travels as a bearer token.  Status 200 lets the client in, any other
 * status refuses it, silence counts as "server unavailable".  A client without a password is left
 * to the next module. */
#include <skep/http.h>
#include <skep/module.h>

struct conf {
    const char *url;
    uint32_t timeout; /* milliseconds */
};

static const struct skep_option options[] = {
    SKEP_STRING(struct conf, url, SKEP_REQUIRED, .help = "where to ask: http: or https:"),
    SKEP_DURATION(struct conf, timeout, "2s", .help = "how long to wait for an answer"),
    {0},
};

static void check(const void *self, struct skep_report *report)
{
    const struct conf *conf = self;

    if (strncmp(conf->url, "http://", 7) != 0 && strncmp(conf->url, "https://", 8) != 0)
        skep_report(report, NULL, "write https://HOST/PATH", "url is neither http: nor https:");
}

static enum skep_verdict on_answer(struct skep_request *r, const struct skep_http_reply *reply,
                                   void *self)
{
    (void)self;
    if (reply->error)
        return skep_deny(r, SKEP_RC_UNAVAILABLE, "the token service does not answer");
    if (reply->status == 200)
        return skep_allow(r);
    return skep_deny(r, SKEP_RC_BAD_CREDENTIALS, "token refused");
}

static enum skep_verdict on_connect(struct skep_request *r, void *self)
{
    const struct conf *conf = self;
    struct skep_http_request ask = {
        .size = sizeof ask,
        .url = conf->url,
        .timeout_ms = conf->timeout,
        .bearer = skep_connect_password(r),
    };

    if (ask.bearer.len == 0)
        return SKEP_NEXT; /* no opinion: the next module in the chain decides */
    return skep_wait_http(r, &ask, on_answer); /* SKEP_PENDING, until on_answer */
}

SKEP_MODULE = {
    SKEP_MODULE_HEAD("auth_token", "1.0", "asks an HTTP service about each CONNECT"),
    .conf_size = sizeof(struct conf),
    .options = options,
    .check = check,
    .on_connect = on_connect,
};
