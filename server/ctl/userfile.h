/* A file of users: one "NAME:HASH" a line, # begins a comment; mosquitto_passwd's format.
 * Loaded whole, changed in memory with every other line left as it is, and put back in one step
 * (a new file renamed over the old one), so that a reader sees either the old or the new one. */
#ifndef SKEP_CTL_USERFILE_H
#define SKEP_CTL_USERFILE_H

#include "ctl/bytes.h"
#include "ctl/fault.h"

struct userfile {
    char *path; /* symbolic links resolved */
    struct bytes text;
    int folder; /* descriptor, locked against another skepctl */
    bool existed;
    unsigned mode; /* of the old file */
    unsigned uid, gid;
};

/* Loads and locks.  `create`: it may be missing.  0, or -1 with fault. */
int userfile_open(struct userfile *u, const char *path, bool create, struct fault *fault);
void userfile_close(struct userfile *u);

/* Why a name cannot stand in the file, or NULL. */
const char *userfile_name_fault(struct str name);

/* The hash of a user (a view until the next change); false when there is none. */
bool userfile_find(const struct userfile *u, struct str name, struct str *hash);
/* Adds or replaces. */
void userfile_put(struct userfile *u, struct str name, struct str hash);
/* False when there is no such user. */
bool userfile_remove(struct userfile *u, struct str name);
/* The next user's name and hash, *at counting from 0; false at the end. */
bool userfile_next(const struct userfile *u, size_t *at, struct str *name, struct str *hash);

/* Writes the file: mode 0600 when new (an old one keeps owner, group and the group's right to
 * read, and loses everything for others).  0, or -1 with fault. */
int userfile_save(const struct userfile *u, struct fault *fault);

#endif
