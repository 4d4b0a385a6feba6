/* One instance of auth_jwt.
 *
 *   sources.c   keys that the configuration names, read when it is loaded
 *   fetch.c     keys behind a URL: refreshed, and fetched when a token names one we do not know
 *   attempt.c   one token, from CONNECT or AUTH to the verdict
 *   grant.c     what a good token gives its client */
#ifndef AUTH_JWT_INSTANCE_H
#define AUTH_JWT_INSTANCE_H

#include <pthread.h>
#include <skep/command.h>
#include <skep/metric.h>
#include <skep/module.h>

#include "lib_jwt/claims.h"
#include "lib_jwt/keys.h"
#include "lib_text/template.h"

enum { FROM_PASSWORD, FROM_USERNAME };
enum { ENCODING_TEXT, ENCODING_BASE64 };

enum { FETCH_WAITERS = 10000 };

struct jwt_key_conf {
    struct skep_block block; /* label: the key id */
    const char *file;
    struct skep_secret secret;
    int secret_encoding;
    uint32_t algorithms;
};

struct jwt_conf {
    int from;
    const char *method;
    uint32_t algorithms;
    struct skep_secret secret;
    int secret_encoding;
    const char *public_key, *jwks_file, *jwks_url;
    struct skep_blocks key;
    const char *jwks_ca, *jwks_certificate, *jwks_key;
    struct skep_secret jwks_bearer;
    uint32_t jwks_timeout, jwks_refresh, jwks_pause;
    struct skep_list issuer, audience;
    uint32_t leeway, longest;
    bool require_exp;
    const char *username_claim, *acl_claim;
    struct skep_lines attribute, require;
    bool disconnect_at_expiry;
};

/* A claim that has to be what the client says. */
struct requirement {
    const char *claim;
    struct template *value;
};

enum result { GOOD, BAD_SIGNATURE, UNKNOWN_KEY, BAD_CLAIMS, MALFORMED, RESULT_COUNT };

/* One who waits for keys.  data belongs to the wait. */
struct fetch_waiter {
    uint64_t token;
    void *data;
};

/* Keys behind a URL.  `lock` guards what any loop looks at; the rest is the management loop's. */
struct fetch {
    pthread_mutex_t lock;
    bool under_way, failed;  /* failed: the last one did */
    uint64_t last_forced_ms; /* when an unknown key last had them fetched; 0: never */
    struct fetch_waiter *waiters;
    size_t waiter_count, waiter_cap;
    struct skep_timer *timer;
    struct skep_warm *warm; /* somebody who has to be told */
    unsigned failures;      /* in a row */
    uint64_t fetched_wall_ms;
    size_t key_count;
};

struct jwt {
    struct skep_module *module;
    const struct jwt_conf *conf;
    struct claims_rules rules;
    struct requirement *requirements;
    size_t requirement_count;
    struct keys *configured;
    pthread_mutex_t keys_lock;
    struct keys *keys; /* in force: configured ones and fetched ones */
    struct fetch fetch;
    struct skep_counter *results[RESULT_COUNT], *fetches[2];
};

/* The keys in force, counted. */
struct keys *jwt_keys(struct jwt *j);
/* Takes the set over. */
void jwt_set_keys(struct jwt *j, struct keys *keys);

/* sources.c: everything the configuration names.  NULL: complained. */
struct keys *sources_read(const struct jwt_conf *conf, struct skep_report *report);

/* fetch.c */
void fetch_init(struct fetch *f);
void fetch_fini(struct fetch *f);
/* Begins to fetch, unless that is under way; any thread. */
void fetch_begin(struct jwt *j);
void fetch_start(struct jwt *j);
void fetch_stop(struct jwt *j);
void fetch_warm(struct jwt *j, struct skep_warm *warm);

enum fetch_answer { FETCH_WAIT, FETCH_TOO_SOON, FETCH_FULL };
/* A token names a key we do not know: skep_complete(token, data) once there are newer keys, or
 * none.  On any loop. */
enum fetch_answer fetch_for(struct jwt *j, uint64_t token, void *data);
/* Whether fetch_for() would be too soon. */
bool fetch_is_too_soon(struct jwt *j);
bool fetch_has_failed(struct jwt *j);

/* attempt.c: the whole way of one token. */
enum skep_verdict attempt(struct jwt *j, struct skep_request *r, struct skep_str text);

/* grant.c: the signature is good.  NULL, or why it is refused after all; *error: not the client's
 * fault. */
const char *grant(struct jwt *j, struct skep_request *r, const cJSON *claims, bool *error);

#endif
