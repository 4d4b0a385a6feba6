/* A users file in memory: one NAME:HASH[:HASH] a line, as mosquitto_passwd and `skepctl passwd`
 * write it; # begins a comment line.  A user has a hash of his password, a SCRAM verifier, or both.
 * Immutable once parsed. */
#ifndef LIB_USERS_USERS_H
#define LIB_USERS_USERS_H

#include "lib_file/fault.h"
#include "password.h"

struct users;

struct user {
    struct skep_str name;
    unsigned line;
    const struct password_hash *password; /* never NULL: the SCRAM verifier also checks passwords */
    const struct password_hash *scram;    /* NULL: none */
};

/* NULL when a line is broken (faults says which). */
struct users *users_parse(struct skep_str text, struct faults *faults);
void users_free(struct users **u); /* accepts NULL */

/* NULL: no such user. */
const struct user *users_find(const struct users *u, struct skep_str name);
size_t users_count(const struct users *u);

/* A hash of no password, as costly as most in the file: for names that are not there. */
const struct password_hash *users_decoy(const struct users *u);
/* What most SCRAM verifiers have: for a made-up challenge. */
void users_scram_habit(const struct users *u, uint32_t *iterations, size_t *salt_len);

#endif
