/* Who guesses passwords: failures counted for each address together with a user, for each address,
 * and for each user; bounded, forgetful, and kept over a reload.
 *
 * - Too many failures of one user from one address ban that pair: a guesser cannot lock the real
 *   user out who comes from elsewhere.
 * - Too many failures from one address, whatever the user, ban the address.
 * - Failures of a user from everywhere only make the answer to the next wrong one slower.
 *
 * IPv6 addresses count by their /64.  What comes through a Unix socket has no address of its own:
 * there only pairs are banned.  When the table is full the oldest without a ban goes first.
 * Any thread. */
#ifndef LIB_USERS_GUARD_H
#define LIB_USERS_GUARD_H

#include <skep/base.h>

struct guard;

struct guard_policy {
    uint32_t max_failures;         /* of a pair; 0: no bans of pairs */
    uint32_t max_address_failures; /* 0: no bans of addresses */
    uint64_t window_ms;            /* failures older than that are forgotten */
    uint64_t ban_ms;
    uint64_t delay_ms, delay_max_ms; /* of the answer to a failure; doubled for each one more */
};

struct guard_blow {
    uint32_t failures; /* of the pair, this one included */
    uint64_t delay_ms; /* hold the answer back so long */
    bool banned_pair, banned_address;
};

/* Room for about so many entries, of some 200 bytes each. */
struct guard *guard_new(size_t entries);
struct guard *guard_ref(struct guard *g);
void guard_unref(struct guard **g); /* accepts NULL */
size_t guard_size(const struct guard *g);

/* Whether the address, or the user at that address, is banned. */
bool guard_is_banned(struct guard *g, uint64_t now_ms, struct skep_str host, struct skep_str user);

/* trusted: the address as such is not counted (a NAT, a proxy). */
struct guard_blow guard_failure(struct guard *g, const struct guard_policy *policy, uint64_t now_ms,
                                struct skep_str host, struct skep_str user, bool trusted);
/* The pair's failures are forgotten. */
void guard_success(struct guard *g, struct skep_str host, struct skep_str user);

struct guard_entry {
    const char *host; /* "192.0.2.1", "2001:db8::/64"; empty: the user everywhere */
    const char *user; /* the beginning of a long name; empty: the address for all users */
    uint32_t failures;
    uint64_t banned_for_ms; /* 0: not banned */
};

/* Calls each for what is in force, under the guard's lock. */
void guard_each(struct guard *g, uint64_t now_ms,
                void (*each)(const struct guard_entry *e, void *arg), void *arg);
/* Forgets what is known of that address or user ("*": of everybody); how many bans ended. */
unsigned guard_forget(struct guard *g, uint64_t now_ms, struct skep_str word);

#endif
