/* auth_http: an HTTP service decides who may connect.
 *
 *     load auth_http { url https://auth.internal/mqtt; bearer env:AUTH_TOKEN; }
 *
 * All the work is in lib_http_decision; here is what an answer means for a CONNECT. */
#include <skep/module.h>

#include "lib_http_decision/ask.h"

enum { REST_DENY, REST_CHAIN };

static const struct skep_option options[] = {
    ASK_OPTIONS,
    SKEP_DURATION(struct ask_conf, cache_allow, "0s", .help = "how long an allow is remembered"),
    SKEP_DURATION(struct ask_conf, cache_deny, "0s",
                  .help = "how long a deny or ignore is remembered"),
    SKEP_ENUM(struct ask_conf, acl_rest, "deny", .choices = "deny|chain",
              .help = "what the rules of an answer leave out"),
    SKEP_BOOL(struct ask_conf, superuser, "on", .help = "whether `is_superuser` is obeyed"),
    {0},
};

static const char *const fields[][2] = {
    {"clientid", "%c"}, {"username", "%u"}, {"password", "%P"}, {"peerhost", "%a"}, {NULL, NULL}};

static int give_all_rights(struct skep_request *r)
{
    static const unsigned everything =
        SKEP_MAY_PUBLISH | SKEP_MAY_SUBSCRIBE | SKEP_MAY_RECEIVE | SKEP_MAY_RETAIN;
    int err = skep_connect_add_rule(r, true, everything, SKEP_STR("#"));

    return err < 0 ? err : skep_connect_add_rule(r, true, everything, SKEP_STR("$SYS/#"));
}

static int give_quotas(struct skep_request *r, const struct answer *a)
{
    int err = 0;

    for (unsigned i = 0; i < ANSWER_QUOTAS && err >= 0; i++) {
        if (a->quotas_given >> i & 1)
            err = skep_connect_set_quota(r, (enum skep_quota)i, a->quotas[i]);
    }
    return err;
}

static int give(struct skep_request *r, const struct answer *a, const struct ask_conf *conf)
{
    int err;

    for (size_t i = 0; i < a->attribute_count; i++) {
        err =
            skep_connect_set_attribute(r, a->attributes[i].name, skep_str(a->attributes[i].value));
        if (err < 0)
            return err;
    }
    if ((err = give_quotas(r, a)) < 0)
        return err;
    if (a->superuser && conf->superuser)
        return give_all_rights(r);
    return rules_apply(&a->rules, conf->acl_rest == REST_DENY, r);
}

/* All of it or nothing: rights that could not be given must not be missing in silence. */
static enum skep_verdict apply(struct skep_request *r, const struct answer *a,
                               const struct ask_conf *conf)
{
    if (give(r, a, conf) < 0) {
        skep_log(skep_request_module(r), SKEP_LOG_WARN,
                 "the backend's answer gives a client what cannot be given: an attribute, a quota "
                 "or a rule");
        return SKEP_ERROR;
    }
    if (a->username)
        skep_connect_set_username(r, skep_str(a->username));
    if (a->expires_wall_ms)
        skep_connect_set_expiry(r, a->expires_wall_ms);
    return skep_allow(r);
}

static const struct ask_kind kind = {
    .fields = fields,
    .allowed = 1 << VAR_CLIENT_ID | 1 << VAR_USERNAME | 1 << VAR_PASSWORD | 1 << VAR_ADDRESS |
               1 << VAR_LISTENER | 1 << VAR_PROTOCOL | 1 << VAR_CERT_CN | 1 << VAR_CERT_SUBJECT |
               1 << VAR_ATTRIBUTE,
    .apply = apply,
};

static enum skep_verdict on_connect(struct skep_request *r, void *self)
{
    struct inputs in = ask_inputs(skep_request_client(r));

    in.values[VAR_CLIENT_ID] = skep_connect_client_id(r);
    in.values[VAR_USERNAME] = skep_connect_username(r);
    in.values[VAR_PASSWORD] = skep_connect_password(r);
    return ask_decide(self, r, &in);
}

static void check(const void *conf, struct skep_report *report)
{
    ask_check(conf, &kind, report);
}

static int load(struct skep_module *m, void *conf, void **self, struct skep_report *report)
{
    *self = ask_new(m, conf, &kind, report);
    return *self ? 0 : SKEP_E_INVALID;
}

static void start(void *self, void *previous)
{
    ask_start(self, previous);
}

static void unload(void *self)
{
    struct ask *a = self;
    ask_free(&a);
}

static void on_command(struct skep_command *command, void *self)
{
    ask_command(self, command);
}

SKEP_MODULE = {
    SKEP_MODULE_HEAD("auth_http", "1.0", "asks an HTTP service who may connect"),
    .flags = SKEP_KEEP,
    .conf_size = sizeof(struct ask_conf),
    .options = options,
    .check = check,
    .load = load,
    .start = start,
    .unload = unload,
    .on_connect = on_connect,
    .on_command = on_command,
};
