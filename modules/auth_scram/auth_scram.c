/* auth_scram: SCRAM-SHA-256 in the enhanced authentication of MQTT 5.
 *
 *     load auth_scram { file users.conf; }
 *
 * The password is never sent and not in the file: both sides prove that they know it.  Users are
 * those of auth_file, with a verifier that `skepctl passwd --scram` writes.  For a user who is not
 * there a challenge is made up, always the same for one name, so that nobody learns who is. */
#include <pthread.h>
#include <skep/loop.h>
#include <skep/module.h>
#include <skep/storage.h>
#include <stdlib.h>

#include <openssl/rand.h>

#include "lib_users/base64.h"
#include "lib_users/door.h"
#include "lib_users/scram.h"

struct conf {
    struct door_conf door;
};

static const struct skep_option options[] = {
    DOOR_OPTIONS(struct conf),
    {0},
};

struct auth {
    struct skep_module *m;
    struct door *door;
    unsigned char secret[32]; /* of what is made up */
    bool secret_is_new;
};

/* -- Life -- */

static void check(const void *conf, struct skep_report *report)
{
    door_check(&((const struct conf *)conf)->door, report);
}

/* Where nothing can be stored, a reload at least must not change it. */
static unsigned char process_secret[32];
static pthread_once_t process_secret_once = PTHREAD_ONCE_INIT;

static void process_secret_make(void)
{
    if (RAND_bytes(process_secret, sizeof process_secret) != 1)
        abort();
}

static void secret_get(struct auth *a)
{
    int64_t n = skep_storage_get(a->m, SKEP_STR("challenge secret"), a->secret, sizeof a->secret);

    if (n == sizeof a->secret)
        return;
    pthread_once(&process_secret_once, process_secret_make);
    memcpy(a->secret, process_secret, sizeof a->secret);
    a->secret_is_new = true;
}

static int load(struct skep_module *m, void *conf, void **self, struct skep_report *report)
{
    struct auth *a = calloc(1, sizeof *a);

    if (!a)
        return SKEP_E_MEMORY;
    a->m = m;
    a->door = door_open(m, &((struct conf *)conf)->door, report);
    if (!a->door) {
        free(a);
        return SKEP_E_INVALID;
    }
    secret_get(a);
    *self = a;
    return 0;
}

static void start(void *self, void *previous)
{
    struct auth *a = self;

    if (a->secret_is_new)
        skep_storage_set(a->m, SKEP_STR("challenge secret"),
                         skep_bytes(a->secret, sizeof a->secret), NULL, NULL);
    door_start(a->door, previous ? ((struct auth *)previous)->door : NULL);
}

static void stop(void *self)
{
    door_stop(((struct auth *)self)->door);
}

static void unload(void *self)
{
    struct auth *a = self;

    door_close(&a->door);
    free(a);
}

/* -- The exchange -- */

static enum skep_verdict malformed(struct skep_request *r, const char *why)
{
    skep_note(r, NULL, 0, "the SCRAM message was refused");
    return skep_deny(r, SKEP_RC_NOT_AUTHORIZED, why);
}

/* What else the client says about who it is must agree. */
static const char *name_conflict(const struct skep_request *r, const struct scram *s)
{
    struct skep_str user = scram_user(s), authzid = scram_authzid(s);

    if (authzid.len && !skep_str_eq(authzid, user))
        return "to act for another user is not supported";
    if (skep_auth_is_reauth(r))
        return skep_str_eq(skep_client_username(skep_request_client(r)), user)
                   ? NULL
                   : "a re-authentication is for the same user";
    if (skep_connect_has_username(r) && !skep_str_eq(skep_connect_username(r), user))
        return "the user name of CONNECT is another one";
    return NULL;
}

static void state_drop(void *state)
{
    struct scram *s = state;

    scram_free(&s);
}

static enum skep_verdict challenge(const struct auth *a, struct skep_request *r, struct scram *s)
{
    const struct users *users = door_users(a->door);
    const struct user *user = users_find(users, scram_user(s));
    unsigned char random[18];
    char nonce[BASE64_LEN(sizeof random) + 1];
    struct password_hash made_up;
    uint32_t iterations;
    size_t salt_len;

    if (RAND_bytes(random, sizeof random) != 1)
        return SKEP_ERROR;
    base64_encode(nonce, random, sizeof random);
    users_scram_habit(users, &iterations, &salt_len);
    scram_make_up(&made_up, a->secret, scram_user(s), iterations, salt_len);
    if (user && user->scram)
        skep_auth_reply(r, scram_challenge(s, user->scram, true, nonce));
    else
        skep_auth_reply(r, scram_challenge(s, &made_up, false, nonce));
    return SKEP_CONTINUE;
}

static enum skep_verdict begin(struct auth *a, struct skep_request *r)
{
    enum skep_verdict verdict;
    struct scram *s;
    const char *wrong = scram_first(&s, skep_auth_data(r));

    if (wrong)
        return malformed(r, wrong);
    skep_auth_set_state(r, s, state_drop);
    wrong = name_conflict(r, s);
    if (wrong)
        return malformed(r, wrong);
    if (door_is_barred(a->door, r, scram_user(s), &verdict))
        return verdict;
    return challenge(a, r, s);
}

static enum skep_verdict after_delay(struct skep_request *r, void *self)
{
    return door_refused(r);
}

static enum skep_verdict finish(struct auth *a, struct skep_request *r, struct scram *s)
{
    enum skep_verdict verdict;
    const char *wrong = scram_final(s, skep_auth_data(r));

    if (door_is_barred(a->door, r, scram_user(s), &verdict))
        return verdict;
    if (wrong && strcmp(wrong, "invalid-proof") != 0)
        return malformed(r, wrong);
    if (wrong)
        return door_refuse(a->door, r, scram_user(s), "wrong password, or no verifier of that user",
                           after_delay);
    if (!skep_auth_is_reauth(r))
        skep_connect_set_username(r, scram_user(s));
    skep_auth_reply(r, scram_answer(s));
    return door_let_in(a->door, r, scram_user(s), "the proof is right");
}

static enum skep_verdict on_auth(struct skep_request *r, void *self)
{
    struct scram *s = skep_auth_state(r);

    if (!skep_str_eq(skep_auth_method(r), SKEP_STR("SCRAM-SHA-256")))
        return SKEP_NEXT;
    if (skep_auth_round(r) == 0)
        return begin(self, r);
    if (skep_auth_round(r) == 1 && s)
        return finish(self, r, s);
    return malformed(r, "other-error");
}

static void on_command(struct skep_command *command, void *self)
{
    door_command(((struct auth *)self)->door, command);
}

SKEP_MODULE = {
    SKEP_MODULE_HEAD("auth_scram", "1.0", "SCRAM-SHA-256 for MQTT 5 clients"),
    .flags = SKEP_KEEP,
    .conf_size = sizeof(struct conf),
    .options = options,
    .check = check,
    .load = load,
    .start = start,
    .stop = stop,
    .unload = unload,
    .on_auth = on_auth,
    .on_command = on_command,
};
