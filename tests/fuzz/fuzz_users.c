/* A users file.  Every user that is taken can be found, has a hash within bounds, and has what the
 * line says he has. */
#include "fuzz.h"

#include <string.h>

#include "lib_users/users.h"

static void check_hash(const struct password_hash *h)
{
    MUST(h->salt_len > 0 && h->salt_len <= PASSWORD_SALT_MAX);
    MUST(h->digest_len >= 16 && h->digest_len <= PASSWORD_DIGEST_MAX);
    switch (h->kind) {
    case PASSWORD_ARGON2ID:
        MUST(h->memory_kib <= ARGON2_MEMORY_MAX_KIB && h->lanes <= ARGON2_LANES_MAX);
        MUST(h->cost > 0 && (uint64_t)h->cost * h->memory_kib <= ARGON2_WORK_MAX_KIB);
        break;
    case PASSWORD_PBKDF2:
        MUST(h->cost > 0 && h->cost <= PBKDF2_ITERATIONS_MAX);
        break;
    case PASSWORD_SCRAM:
        MUST(h->cost >= SCRAM_ITERATIONS_MIN && h->cost <= SCRAM_ITERATIONS_MAX);
        MUST(h->digest_len == 2 * SCRAM_KEY);
        break;
    default:
        MUST(h->kind == PASSWORD_SHA512);
    }
}

static size_t check_lines(const struct users *u, struct skep_str text)
{
    size_t found = 0;

    while (text.len) {
        const char *end = memchr(text.ptr, '\n', text.len);
        size_t len = end ? (size_t)(end - text.ptr) : text.len;
        const char *colon = memchr(text.ptr, ':', len);

        if (colon && text.ptr[0] != '#') {
            const struct user *user =
                users_find(u, skep_bytes(text.ptr, (size_t)(colon - text.ptr)));

            MUST(user);
            check_hash(user->password);
            MUST(!user->scram || user->scram->kind == PASSWORD_SCRAM);
            MUST(user->password->kind != PASSWORD_SCRAM || user->scram == user->password);
            found++;
        }
        text = skep_bytes(text.ptr + len + (end != NULL), text.len - len - (end != NULL));
    }
    return found;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct faults faults = {0};
    struct skep_str text = skep_bytes(data, size);
    struct users *u = users_parse(text, &faults);
    uint32_t iterations;
    size_t salt_len;

    MUST(!u == (faults.errors > 0));
    if (!u)
        return 0;
    MUST(check_lines(u, text) == users_count(u));
    check_hash(users_decoy(u));
    users_scram_habit(u, &iterations, &salt_len);
    MUST(iterations >= SCRAM_ITERATIONS_MIN && salt_len > 0 && salt_len <= PASSWORD_SALT_MAX);
    users_free(&u);
    return 0;
}
