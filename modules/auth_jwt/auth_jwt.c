/* auth_jwt: clients show a JSON Web Token [RFC 7519].
 *
 *     load auth_jwt { jwks_url https://id.example.com/jwks.json; audience mqtt; require sub %u; }
 *
 * The token is the password (or the user name), or the data of MQTT 5's enhanced authentication.
 * This file holds the options and the life of an instance; see instance.h for the rest. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "auth_jwt/instance.h"

static const struct skep_option key_options[] = {
    SKEP_PATH(struct jwt_key_conf, file, NULL, .help = "public key or certificate in PEM"),
    SKEP_SECRET(struct jwt_key_conf, secret, NULL, .help = "for HS256, HS384, HS512"),
    SKEP_ENUM(struct jwt_key_conf, secret_encoding, "text", .choices = "text|base64",
              .help = "how the secret is written"),
    SKEP_SET(struct jwt_key_conf, algorithms, NULL, .choices = ALGORITHM_CHOICES,
             .help = "that it may be used with; default: all that fit it"),
    {0},
};

static const struct skep_option options[] = {
    SKEP_ENUM(struct jwt_conf, from, "password", .choices = "password|username",
              .help = "where the token is"),
    SKEP_STRING(struct jwt_conf, method, "JWT",
                .help = "of enhanced authentication, with the token as its data"),
    SKEP_SET(struct jwt_conf, algorithms, NULL, .choices = ALGORITHM_CHOICES,
             .help = "that are accepted; default: all that fit the keys"),
    SKEP_SECRET(struct jwt_conf, secret, NULL, .help = "for HS256, HS384, HS512"),
    SKEP_ENUM(struct jwt_conf, secret_encoding, "text", .choices = "text|base64",
              .help = "how the secret is written"),
    SKEP_PATH(struct jwt_conf, public_key, NULL, .help = "public keys or certificates in PEM"),
    SKEP_PATH(struct jwt_conf, jwks_file, NULL, .help = "a JWK set"),
    SKEP_STRING(struct jwt_conf, jwks_url, NULL, .help = "a JWK set to fetch"),
    SKEP_BLOCKS(struct jwt_conf, key, key_options, struct jwt_key_conf,
                .help = "one key, for tokens with this key id"),
    SKEP_PATH(struct jwt_conf, jwks_ca, NULL, .help = "authorities of that server's certificate"),
    SKEP_PATH(struct jwt_conf, jwks_certificate, NULL, .help = "to show to that server"),
    SKEP_PATH(struct jwt_conf, jwks_key, NULL, .help = "of that certificate"),
    SKEP_SECRET(struct jwt_conf, jwks_bearer, NULL, .help = "token for that server"),
    SKEP_DURATION(struct jwt_conf, jwks_timeout, "4s", .min = 1, .max = 9000,
                  .help = "of one fetch"),
    SKEP_DURATION(struct jwt_conf, jwks_refresh, "15m", .min = 1000,
                  .help = "how often the keys are fetched"),
    SKEP_DURATION(struct jwt_conf, jwks_pause, "10s", .min = 1,
                  .help = "tokens with unknown keys have them fetched at most this often"),
    SKEP_LIST(struct jwt_conf, issuer, NULL, .help = "`iss` must be one of them"),
    SKEP_LIST(struct jwt_conf, audience, NULL, .help = "`aud` must hold one of them; *: any"),
    SKEP_DURATION(struct jwt_conf, leeway, "10s", .max = 3600000,
                  .help = "how far clocks may differ"),
    SKEP_BOOL(struct jwt_conf, require_exp, "on", .help = "tokens without `exp` are refused"),
    SKEP_DURATION(struct jwt_conf, longest, "0s", .help = "`exp` may lie so far ahead; 0: any"),
    SKEP_STRING(struct jwt_conf, username_claim, NULL, .help = "becomes the user name"),
    SKEP_LINES(struct jwt_conf, attribute, NULL, .syntax = "NAME from CLAIM",
               .help = "a claim becomes an attribute of the client"),
    SKEP_LINES(struct jwt_conf, require, NULL, .syntax = "CLAIM VALUE",
               .help = "the claim must be (or hold) this, %c and %u for client id and user name"),
    SKEP_STRING(struct jwt_conf, acl_claim, NULL,
                .help = "holds rules; what they do not name is denied"),
    SKEP_BOOL(struct jwt_conf, disconnect_at_expiry, "on",
              .help = "unless the client authenticates again"),
    {0},
};

enum {
    REQUIRE_VARIABLES = 1 << VAR_CLIENT_ID | 1 << VAR_USERNAME | 1 << VAR_ADDRESS |
                        1 << VAR_LISTENER | 1 << VAR_CERT_CN | 1 << VAR_CERT_SUBJECT,
};

/* -- Keys in force -- */

struct keys *jwt_keys(struct jwt *j)
{
    pthread_mutex_lock(&j->keys_lock);
    struct keys *k = keys_ref(j->keys);
    pthread_mutex_unlock(&j->keys_lock);
    return k;
}

void jwt_set_keys(struct jwt *j, struct keys *keys)
{
    pthread_mutex_lock(&j->keys_lock);
    struct keys *old = j->keys;
    j->keys = keys;
    pthread_mutex_unlock(&j->keys_lock);
    keys_unref(old);
}

/* -- Configuration -- */

static void check_lines(const struct jwt_conf *c, struct skep_report *report)
{
    for (size_t i = 0; i < c->attribute.count; i++) {
        const struct skep_list *line = &c->attribute.items[i];
        if (line->count != 3 || strcmp(line->items[1], "from") != 0)
            skep_report(report, &line->places[0], NULL, "expects `attribute NAME from CLAIM`");
    }
    for (size_t i = 0; i < c->require.count; i++) {
        const struct skep_list *line = &c->require.items[i];
        const char *why = NULL;
        struct template *t = NULL;
        if (line->count != 2)
            why = "expects `require CLAIM VALUE`";
        else
            t = template_new(line->items[1], REQUIRE_VARIABLES, &why);
        if (why)
            skep_report(report, &line->places[0], NULL, "%s", why);
        template_free(&t);
    }
}

static void check_file(const char *option, const char *path, struct skep_report *report)
{
    if (path && access(path, R_OK) != 0)
        skep_report(report, NULL, NULL, "%s: %s: %s", option, path, strerror(errno));
}

static void check(const void *conf, struct skep_report *report)
{
    const struct jwt_conf *c = conf;

    keys_unref(sources_read(c, report));
    check_lines(c, report);
    check_file("jwks_ca", c->jwks_ca, report);
    check_file("jwks_certificate", c->jwks_certificate, report);
    check_file("jwks_key", c->jwks_key, report);
    if (c->jwks_url && strncmp(c->jwks_url, "http://", 7) != 0 &&
        strncmp(c->jwks_url, "https://", 8) != 0)
        skep_report(report, NULL, NULL, "jwks_url: expects http:// or https://");
    else if (c->jwks_url && c->jwks_url[4] == ':')
        skep_report_warning(report, NULL, "use https",
                            "jwks_url: anybody in between can replace the keys");
    if (!c->jwks_certificate != !c->jwks_key)
        skep_report(report, NULL, NULL, "`jwks_certificate` and `jwks_key` need each other");
    if (c->from == FROM_USERNAME && !c->username_claim)
        skep_report(report, NULL, "for example `username_claim sub`",
                    "`from username` leaves the client without a user name");
}

static bool make_requirements(struct jwt *j)
{
    const struct skep_lines *lines = &j->conf->require;
    const char *why;

    j->requirements = calloc(lines->count + 1, sizeof *j->requirements);
    for (size_t i = 0; j->requirements && i < lines->count; i++) {
        const struct skep_list *line = &lines->items[i];
        struct template *t = template_new(line->items[1], REQUIRE_VARIABLES, &why);
        if (!t)
            return false;
        j->requirements[j->requirement_count++] = (struct requirement){line->items[0], t};
    }
    return j->requirements;
}

static void make_metrics(struct jwt *j)
{
    static const char *const results[RESULT_COUNT] = {
        [GOOD] = "result=\"good\"",
        [BAD_SIGNATURE] = "result=\"bad_signature\"",
        [UNKNOWN_KEY] = "result=\"unknown_key\"",
        [BAD_CLAIMS] = "result=\"claims\"",
        [MALFORMED] = "result=\"malformed\"",
    };

    for (unsigned i = 0; i < RESULT_COUNT; i++)
        j->results[i] = skep_counter(j->module, "tokens_total", results[i],
                                     "Tokens, by what was found about them");
    j->fetches[0] =
        skep_counter(j->module, "jwks_fetches_total", "result=\"good\"", "Fetches of the key set");
    j->fetches[1] = skep_counter(j->module, "jwks_fetches_total", "result=\"failed\"",
                                 "Fetches of the key set");
}

static void jwt_free(struct jwt *j)
{
    for (size_t i = 0; i < j->requirement_count; i++)
        template_free(&j->requirements[i].value);
    free(j->requirements);
    keys_unref(j->configured);
    keys_unref(j->keys);
    fetch_fini(&j->fetch);
    pthread_mutex_destroy(&j->keys_lock);
    free(j);
}

static int load(struct skep_module *m, void *conf, void **self, struct skep_report *report)
{
    const struct jwt_conf *c = conf;
    struct jwt *j = calloc(1, sizeof *j);

    if (!j)
        return SKEP_E_MEMORY;
    j->module = m;
    j->conf = c;
    pthread_mutex_init(&j->keys_lock, NULL);
    fetch_init(&j->fetch);
    j->rules = (struct claims_rules){
        .issuers = c->issuer.items,
        .issuer_count = c->issuer.count,
        .audiences = c->audience.items,
        .audience_count = c->audience.count,
        .leeway_s = c->leeway / 1000.0,
        .require_exp = c->require_exp,
        .longest_s = c->longest / 1000.0,
    };
    j->configured = sources_read(c, report);
    if (!j->configured || !make_requirements(j)) {
        jwt_free(j);
        return SKEP_E_INVALID;
    }
    j->keys = keys_ref(j->configured);
    make_metrics(j);
    *self = j;
    return 0;
}

static void warm(void *self, struct skep_warm *warm)
{
    struct jwt *j = self;

    if (j->conf->jwks_url)
        fetch_warm(j, warm);
    else
        skep_warm_done(warm, NULL);
}

static void start(void *self, void *previous)
{
    struct jwt *j = self;

    if (j->conf->jwks_url)
        fetch_start(j);
}

static void stop(void *self)
{
    struct jwt *j = self;

    if (j->conf->jwks_url)
        fetch_stop(j);
}

static void unload(void *self)
{
    jwt_free(self);
}

/* -- Hooks -- */

static enum skep_verdict on_connect(struct skep_request *r, void *self)
{
    struct jwt *j = self;
    struct skep_str text =
        j->conf->from == FROM_PASSWORD ? skep_connect_password(r) : skep_connect_username(r);

    return token_is_likely(text) ? attempt(j, r, text) : SKEP_NEXT;
}

static enum skep_verdict on_auth(struct skep_request *r, void *self)
{
    struct jwt *j = self;

    if (!*j->conf->method || !skep_str_eq(skep_auth_method(r), skep_str(j->conf->method)))
        return SKEP_NEXT;
    return attempt(j, r, skep_auth_data(r));
}

static void tell_status(struct jwt *j, struct skep_command *command)
{
    char text[512];
    struct keys *keys = jwt_keys(j);
    int len = snprintf(text, sizeof text,
                       "{\"keys\":%zu,\"fetched_keys\":%zu,\"fetched_at\":%llu,\"fetch_failures\":"
                       "%u,\"good\":%llu,\"bad_signature\":%llu,\"unknown_key\":%llu,\"claims\":"
                       "%llu,\"malformed\":%llu}",
                       keys_count(keys), j->fetch.key_count,
                       (unsigned long long)(j->fetch.fetched_wall_ms / 1000), j->fetch.failures,
                       (unsigned long long)skep_counter_value(j->results[GOOD]),
                       (unsigned long long)skep_counter_value(j->results[BAD_SIGNATURE]),
                       (unsigned long long)skep_counter_value(j->results[UNKNOWN_KEY]),
                       (unsigned long long)skep_counter_value(j->results[BAD_CLAIMS]),
                       (unsigned long long)skep_counter_value(j->results[MALFORMED]));

    keys_unref(keys);
    skep_command_answer(command, skep_bytes(text, (size_t)len));
}

static void on_command(struct skep_command *command, void *self)
{
    struct jwt *j = self;
    struct skep_str word = skep_command_word(command, 0);

    if (skep_str_eq(word, SKEP_STR("status"))) {
        tell_status(j, command);
    } else if (skep_str_eq(word, SKEP_STR("refresh")) && j->conf->jwks_url) {
        fetch_begin(j);
        skep_command_answer(command, SKEP_STR("{\"fetching\":true}"));
    } else {
        skep_command_fail(command, "knows: status, refresh (with jwks_url)");
    }
}

SKEP_MODULE = {
    SKEP_MODULE_HEAD("auth_jwt", "1.0", "lets clients in that show a JSON Web Token"),
    .flags = SKEP_KEEP,
    .conf_size = sizeof(struct jwt_conf),
    .options = options,
    .check = check,
    .load = load,
    .warm = warm,
    .start = start,
    .stop = stop,
    .unload = unload,
    .on_connect = on_connect,
    .on_auth = on_auth,
    .on_command = on_command,
};
