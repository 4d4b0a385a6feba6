/* auth_file: user names and passwords from a file.
 *
 *     load auth_file { file users.conf; }
 *
 * A CONNECT without a user name is none of its business.  A password is hashed in the job pool and
 * compared in constant time; a user that is not there costs the same.  Wrong ones are answered more
 * and more slowly, and then not at all for a while (lib_users/guard.h). */
#include <skep/loop.h>
#include <skep/module.h>
#include <stdlib.h>

#include <openssl/crypto.h>

#include "lib_users/door.h"
#include "lib_users/recall.h"

enum unknown { UNKNOWN_DENY, UNKNOWN_NEXT };

struct conf {
    struct door_conf door;
    int unknown;
    uint64_t remember;
};

static const struct skep_option options[] = {
    DOOR_OPTIONS(struct conf),
    SKEP_ENUM(struct conf, unknown, "deny", .choices = "deny|next",
              .help = "users who are not in the file: refuse them, or ask the next module"),
    SKEP_DURATION(struct conf, remember, "0s", .max = 3600000,
                  .help = "how long a right password is not hashed again; 0: never"),
    {0},
};

struct auth {
    const struct conf *conf;
    struct door *door;
    struct recall *recall; /* NULL: off */
};

/* -- Life -- */

static void check(const void *conf, struct skep_report *report)
{
    door_check(&((const struct conf *)conf)->door, report);
}

static int load(struct skep_module *m, void *conf, void **self, struct skep_report *report)
{
    struct auth *a = calloc(1, sizeof *a);

    if (!a)
        return SKEP_E_MEMORY;
    a->conf = conf;
    a->door = door_open(m, &a->conf->door, report);
    if (!a->door) {
        free(a);
        return SKEP_E_INVALID;
    }
    if (a->conf->remember)
        a->recall = recall_new();
    *self = a;
    return 0;
}

static void start(void *self, void *previous)
{
    door_start(((struct auth *)self)->door, previous ? ((struct auth *)previous)->door : NULL);
}

static void stop(void *self)
{
    door_stop(((struct auth *)self)->door);
}

static void unload(void *self)
{
    struct auth *a = self;

    door_close(&a->door);
    recall_free(&a->recall);
    free(a);
}

/* -- A check in the job pool -- */

struct job {
    struct password_hash hash;
    bool known; /* else the hash is a decoy */
    int result;
    size_t password_len;
    char password[];
};

static void job_work(void *data)
{
    struct job *job = data;

    job->result = password_check(&job->hash, skep_bytes(job->password, job->password_len));
}

static void job_drop(void *data)
{
    struct job *job = data;

    OPENSSL_cleanse(job, sizeof *job + job->password_len);
    free(job);
}

static struct job *job_new(const struct user *user, const struct users *users,
                           struct skep_str password)
{
    struct job *job = malloc(sizeof *job + password.len + 1);

    if (!job)
        return NULL;
    *job = (struct job){
        .hash = *(user ? user->password : users_decoy(users)),
        .known = user != NULL,
        .password_len = password.len,
    };
    if (password.len)
        memcpy(job->password, password.ptr, password.len);
    return job;
}

/* -- Deciding -- */

static enum skep_verdict after_delay(struct skep_request *r, void *self)
{
    return door_refused(r);
}

static void remember(struct auth *a, struct skep_request *r, const struct job *job)
{
    struct recall_key key;

    if (!a->recall)
        return;
    recall_key(a->recall, &key, skep_connect_username(r), &job->hash, skep_connect_password(r));
    recall_note(a->recall, &key, skep_now_ms() + a->conf->remember);
}

static enum skep_verdict after_job(struct skep_request *r, void *self)
{
    struct auth *a = self;
    const struct job *job = *skep_request_data(r);
    struct skep_str user = skep_connect_username(r);
    enum skep_verdict verdict;

    if (job->result < 0)
        return SKEP_ERROR;
    /* Who tries many at once must not get more answers than one after another. */
    if (door_is_barred(a->door, r, user, &verdict))
        return verdict;
    if (job->result && job->known) {
        remember(a, r, job);
        return door_let_in(a->door, r, user, "the password is right");
    }
    return door_refuse(a->door, r, user, job->known ? "wrong password" : "no such user",
                       after_delay);
}

static bool is_remembered(struct auth *a, struct skep_request *r, const struct user *user)
{
    struct recall_key key;

    if (!a->recall || !user)
        return false;
    recall_key(a->recall, &key, user->name, user->password, skep_connect_password(r));
    return recall_knows(a->recall, &key, skep_now_ms());
}

static enum skep_verdict on_connect(struct skep_request *r, void *self)
{
    struct auth *a = self;
    struct skep_str name = skep_connect_username(r);
    const struct users *users = door_users(a->door);
    const struct user *user = users_find(users, name);
    enum skep_verdict verdict;
    struct job *job;

    if (!skep_connect_has_username(r) || (!user && a->conf->unknown == UNKNOWN_NEXT))
        return SKEP_NEXT;
    if (door_is_barred(a->door, r, name, &verdict))
        return verdict;
    if (!skep_connect_has_password(r))
        return door_refuse(a->door, r, name, "no password", after_delay);
    if (is_remembered(a, r, user))
        return door_let_in(a->door, r, name, "the password was right a moment ago");
    job = job_new(user, users, skep_connect_password(r));
    if (!job)
        return SKEP_ERROR;
    *skep_request_data(r) = job;
    return skep_wait_job(r, job_work, job, job_drop, after_job);
}

static void on_command(struct skep_command *command, void *self)
{
    door_command(((struct auth *)self)->door, command);
}

SKEP_MODULE = {
    SKEP_MODULE_HEAD("auth_file", "1.0", "user names and passwords from a file"),
    .flags = SKEP_KEEP,
    .conf_size = sizeof(struct conf),
    .options = options,
    .check = check,
    .load = load,
    .start = start,
    .stop = stop,
    .unload = unload,
    .on_connect = on_connect,
    .on_command = on_command,
};
