#include "users.h"

#include <stdlib.h>

#include <openssl/rand.h>

#include "lib_file/map.h"

enum { NAME_MAX_BYTES = 65535, HABITS = 32 };

/* How many hashes of one kind and cost there are. */
struct habit {
    struct password_hash like;
    size_t count;
};

struct habits {
    struct habit list[HABITS];
    unsigned count;
};

struct users {
    struct region region;
    struct map names;
    struct password_hash decoy;
    uint32_t scram_iterations;
    size_t scram_salt;
};

const struct user *users_find(const struct users *u, struct skep_str name)
{
    return map_get(&u->names, name);
}

size_t users_count(const struct users *u)
{
    return u->names.count;
}

/* -- Decoys -- */

static bool alike(const struct password_hash *a, const struct password_hash *b)
{
    return a->kind == b->kind && a->cost == b->cost && a->memory_kib == b->memory_kib &&
           a->lanes == b->lanes && a->salt_len == b->salt_len && a->digest_len == b->digest_len;
}

static void habit_note(struct habits *h, const struct password_hash *hash)
{
    for (unsigned i = 0; i < h->count; i++) {
        if (alike(&h->list[i].like, hash)) {
            h->list[i].count++;
            return;
        }
    }
    if (h->count < HABITS)
        h->list[h->count++] = (struct habit){*hash, 1};
}

static const struct password_hash *habit_most(const struct habits *h)
{
    const struct habit *most = NULL;

    for (unsigned i = 0; i < h->count; i++) {
        if (!most || h->list[i].count > most->count)
            most = &h->list[i];
    }
    return most ? &most->like : NULL;
}

static void decoys_make(struct users *u, const struct habits *passwords, const struct habits *scram)
{
    static const struct password_hash usual = {.kind = PASSWORD_ARGON2ID,
                                               .cost = 2,
                                               .memory_kib = 19456,
                                               .lanes = 1,
                                               .salt_len = 16,
                                               .digest_len = 32};
    const struct password_hash *most = habit_most(passwords), *most_scram = habit_most(scram);

    u->decoy = most ? *most : usual;
    /* Nobody's digest: no password belongs to it. */
    if (RAND_bytes(u->decoy.salt, sizeof u->decoy.salt) != 1 ||
        RAND_bytes(u->decoy.digest, sizeof u->decoy.digest) != 1)
        abort();
    u->scram_iterations = most_scram ? most_scram->cost : 65536;
    u->scram_salt = most_scram ? most_scram->salt_len : 16;
}

const struct password_hash *users_decoy(const struct users *u)
{
    return &u->decoy;
}

void users_scram_habit(const struct users *u, uint32_t *iterations, size_t *salt_len)
{
    *iterations = u->scram_iterations;
    *salt_len = u->scram_salt;
}

/* -- Lines -- */

struct parser {
    struct users *users;
    struct faults *faults;
    struct habits passwords, scram;
    unsigned line;
    const char *start; /* of the line */
    unsigned weak, weak_line;
};

static void wrong(struct parser *p, const char *at, const char *hint, const char *text)
{
    faults_error(p->faults, p->line, (unsigned)(at - p->start) + 1, hint, "%s", text);
}

static bool hash_add(struct parser *p, struct user *user, struct skep_str text)
{
    struct password_hash hash;
    const struct password_hash **place;
    struct password_hash *copy;
    size_t at;
    const char *why = password_parse(&hash, text, &at);

    if (why) {
        wrong(p, text.ptr + at, "`skepctl passwd` writes lines that are right", why);
        return false;
    }
    place = hash.kind == PASSWORD_SCRAM ? &user->scram : &user->password;
    if (*place) {
        wrong(p, text.ptr, NULL, "a second hash of that kind for one user");
        return false;
    }
    copy = REGION_NEW(&p->users->region, struct password_hash);
    *copy = hash;
    *place = copy;
    return true;
}

static void notice(struct parser *p, const struct user *user)
{
    habit_note(&p->passwords, user->password);
    if (user->scram)
        habit_note(&p->scram, user->scram);
    if (user->password->kind == PASSWORD_SHA512 && p->weak++ == 0)
        p->weak_line = p->line;
}

static void user_add(struct parser *p, struct skep_str name, struct skep_str hashes)
{
    struct user user = {.line = p->line}, *copy;
    const struct user *twin = users_find(p->users, name);
    char shown[80];

    if (twin) {
        faults_error(p->faults, p->line, 1, "take one of the two lines out",
                     "the user '%s' is in line %u already", printable(shown, sizeof shown, name),
                     twin->line);
        return;
    }
    do {
        const char *colon = hashes.len ? memchr(hashes.ptr, ':', hashes.len) : NULL;
        size_t len = colon ? (size_t)(colon - hashes.ptr) : hashes.len;

        if (!hash_add(p, &user, skep_bytes(hashes.ptr, len)))
            return;
        hashes = skep_bytes(hashes.ptr + len + (colon != NULL), hashes.len - len - (colon != NULL));
    } while (hashes.len);
    if (!user.password)
        user.password = user.scram;
    user.name = region_copy(&p->users->region, name);
    notice(p, &user);
    copy = REGION_NEW(&p->users->region, struct user);
    *copy = user;
    *map_put(&p->users->names, &p->users->region, user.name) = copy;
}

static void line_parse(struct parser *p, struct skep_str line)
{
    const char *colon;

    while (line.len && strchr(" \t\r", line.ptr[line.len - 1]) && line.ptr[line.len - 1])
        line.len--;
    if (line.len == 0 || line.ptr[0] == '#')
        return;
    colon = memchr(line.ptr, ':', line.len);
    if (!colon)
        wrong(p, line.ptr, NULL, "a line is NAME:HASH; there is no colon");
    else if (colon == line.ptr)
        wrong(p, line.ptr, NULL, "a name in front of the colon is missing");
    else if (colon - line.ptr > NAME_MAX_BYTES)
        wrong(p, line.ptr, NULL, "a name of more than 65535 bytes");
    else
        user_add(p, skep_bytes(line.ptr, (size_t)(colon - line.ptr)),
                 skep_bytes(colon + 1, (size_t)(line.ptr + line.len - colon - 1)));
}

struct users *users_parse(struct skep_str text, struct faults *faults)
{
    struct users *u = calloc(1, sizeof *u);
    struct parser p = {.users = u, .faults = faults};
    unsigned before = faults->errors;

    if (!u)
        abort();
    while (text.len) {
        const char *end = memchr(text.ptr, '\n', text.len);
        size_t len = end ? (size_t)(end - text.ptr) : text.len;

        p.line++;
        p.start = text.ptr;
        line_parse(&p, skep_bytes(text.ptr, len));
        text = skep_bytes(text.ptr + len + (end != NULL), text.len - len - (end != NULL));
    }
    if (p.weak)
        faults_warn(faults, p.weak_line, 1, "set these passwords anew with `skepctl passwd`",
                    "%u hashes are one round of SHA-512 ($6$), which is guessed quickly", p.weak);
    decoys_make(u, &p.passwords, &p.scram);
    if (faults->errors > before)
        users_free(&u);
    return u;
}

void users_free(struct users **u)
{
    if (*u) {
        region_fini(&(*u)->region);
        free(*u);
    }
    *u = NULL;
}
