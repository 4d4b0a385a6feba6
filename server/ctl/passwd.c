/* skepctl passwd: files of users, for auth_file and for mosquitto alike. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "ctl/arg.h"
#include "ctl/command.h"
#include "ctl/prompt.h"
#include "ctl/secret.h"
#include "ctl/userfile.h"

struct passwd {
    bool create, remove, verify, list, batch, scram, no_scram;
    const char *kind_name, *password, *password_file;
    uint32_t cost;

    enum secret_kind kind;
    const struct arg_command *command;
    struct userfile users;
};

#define P(kind, key, name, field, value, help)                                                     \
    ARG_FIELD(kind, key, name, struct passwd, field, value, help)

static const struct arg_option passwd_options[] = {
    ARG_HEADING("What to do (without one of these: add USER or change the password)"),
    P(ARG_ON, 'D', "delete", remove, NULL, "remove USER"),
    P(ARG_ON, 0, "verify", verify, NULL,
      "check a password: exit status 0 when it is right, 1 else"),
    P(ARG_ON, 'l', "list", list, NULL, "print the names and the kinds of their hashes"),
    P(ARG_ON, 0, "batch", batch, NULL,
      "add or change all users on standard input, a line each: NAME:PASSWORD"),
    P(ARG_ON, 'c', "create", create, NULL, "make FILE if it is not there (it is never emptied)"),
    ARG_HEADING("The password (without one of these: ask for it, twice)"),
    P(ARG_TEXT, 0, "password-file", password_file, "FILE", "its first line; - is standard input"),
    P(ARG_TEXT, 'b', "password", password, "PASSWORD",
      "for tests only: the command line is seen by others and kept by shells"),
    ARG_HEADING("The hash"),
    P(ARG_TEXT, 0, "hash", kind_name, "KIND",
      "argon2id (default), pbkdf2 as mosquitto 2.0 reads it, or scram: a SCRAM verifier alone"),
    P(ARG_ON, 0, "scram", scram, NULL,
      "add a SCRAM-SHA-256 verifier, for clients that prove the password without sending it "
      "(one that is there already is made anew with each password)"),
    P(ARG_ON, 0, "no-scram", no_scram, NULL, "leave the verifier out that USER has"),
    ARG_RANGE(
        ARG_NUMBER, 'I', "iterations", struct passwd, cost, "COUNT", 1, 100000000,
        "iterations of pbkdf2 (default 210000) or scram (default 65536, which the client has to "
        "compute), or passes of argon2id (default 2)"),
    ARG_LAST,
};

#undef P

static int passwd_fail(const struct fault *fault)
{
    fault_print(fault, "skepctl passwd");
    return CTL_FAILED;
}

/* -- Getting the password -- */

/* Asks twice, unless it is only to be compared. */
static int password_ask(const struct passwd *p, struct bytes *out, struct fault *fault)
{
    struct bytes again = {0};
    int err = prompt_password(out, "Password: ", fault);

    if (err < 0)
        return fault_hint(fault, "--password-file - reads it from standard input");
    if (p->verify)
        return 0;
    err = prompt_password(&again, "Again: ", fault);
    if (err == 0 && !str_eq(bytes_str(out), bytes_str(&again)))
        err = fault_set(fault, "the two are not the same; nothing was changed");
    if (again.ptr)
        explicit_bzero(again.ptr, again.cap);
    bytes_fini(&again);
    return err;
}

static int password_get(const struct passwd *p, struct bytes *out, struct fault *fault)
{
    int err = 0;

    if (p->password) {
        fputs("skepctl passwd: warning: a password on the command line can be seen by others "
              "(ps, shell history)\n",
              stderr);
        bytes_add(out, p->password, strlen(p->password) + 1);
    } else if (p->password_file) {
        err = prompt_first_line(out, p->password_file, fault);
    } else {
        err = password_ask(p, out, fault);
    }
    if (err == 0)
        out->len--; /* the NUL */
    if (err == 0 && out->len == 0 && !p->verify)
        err = fault_set(fault, "an empty password is none; nothing was changed");
    return err;
}

/* -- Actions -- */

/* A verifier of the password of before would let that one in still: it never stays as it is. */
static bool wants_scram(const struct passwd *p, struct str name)
{
    struct str rest, hash;

    if (p->kind == SECRET_SCRAM || p->no_scram)
        return false; /* it is the hash itself, or not wanted */
    if (p->scram)
        return true;
    if (!userfile_find(&p->users, name, &rest))
        return false;
    while (secret_next(&rest, &hash)) {
        if (strcmp(secret_kind_text(hash), "scram-sha-256") == 0)
            return true;
    }
    return false;
}

static int hashes_make(struct passwd *p, struct bytes *out, bool scram, struct str password)
{
    if (secret_hash(out, p->kind, p->cost, password) < 0)
        return -1;
    if (!scram)
        return 0;
    bytes_add(out, ":", 1);
    return secret_hash(out, SECRET_SCRAM, 0, password);
}

static int user_set(struct passwd *p, struct str name, struct str password, struct fault *fault)
{
    const char *name_fault = userfile_name_fault(name);
    bool scram = wants_scram(p, name);
    struct bytes hashes = {0};

    if (name_fault)
        return fault_set(fault, "the name '%.*s' cannot be used: %s", STR_ARG(name), name_fault);
    if ((scram || p->kind == SECRET_SCRAM) && !secret_fits_scram(password)) {
        fault_set(fault, "with SCRAM a password is of printable ASCII characters, for clients do "
                         "not agree on the bytes of others");
        return fault_hint(fault, p->scram || p->kind == SECRET_SCRAM
                                     ? "choose another one, or none with SCRAM"
                                     : "--no-scram takes the user's verifier out");
    }
    if (hashes_make(p, &hashes, scram, password) < 0) {
        bytes_fini(&hashes);
        return fault_set(fault, "the password cannot be hashed (memory?)");
    }
    userfile_put(&p->users, name, bytes_str(&hashes));
    bytes_fini(&hashes);
    return 0;
}

static int do_set(struct passwd *p, struct str name)
{
    struct bytes password = {0};
    struct fault fault = {0};
    int err = password_get(p, &password, &fault);

    if (err == 0)
        err = user_set(p, name, bytes_str(&password), &fault);
    if (err == 0)
        err = userfile_save(&p->users, &fault);
    if (password.ptr)
        explicit_bzero(password.ptr, password.cap);
    bytes_fini(&password);
    return err < 0 ? passwd_fail(&fault) : CTL_OK;
}

/* 1: it belongs to all of them, 0: to none, 2: to some; -1: there is something we do not know. */
static int hashes_verify(struct str rest, struct str password)
{
    unsigned right = 0, count = 0;
    struct str hash;

    while (secret_next(&rest, &hash)) {
        int one = secret_verify(hash, password);

        if (one < 0)
            return -1;
        right += (unsigned)one;
        count++;
    }
    return count == 0 ? -1 : right == 0 ? 0 : right == count ? 1 : 2;
}

static int do_verify(struct passwd *p, struct str name)
{
    static const char *const answers[] = {
        "wrong", "right", "the hash and the SCRAM verifier are not of one password"};
    struct bytes password = {0};
    struct fault fault = {0};
    struct str hashes;
    int right;

    if (!userfile_find(&p->users, name, &hashes)) {
        fault_set(&fault, "there is no user '%.*s'", STR_ARG(name));
        return passwd_fail(&fault);
    }
    if (password_get(p, &password, &fault) < 0)
        return passwd_fail(&fault);
    right = hashes_verify(hashes, bytes_str(&password));
    explicit_bzero(password.ptr, password.cap);
    bytes_fini(&password);
    if (right < 0) {
        fault_set(&fault, "the hash of '%.*s' is of no kind that we know", STR_ARG(name));
        return passwd_fail(&fault);
    }
    puts(answers[right]);
    return right == 1 ? CTL_OK : CTL_FAILED;
}

static int do_remove(struct passwd *p, struct str name)
{
    struct fault fault = {0};

    if (!userfile_remove(&p->users, name)) {
        fault_set(&fault, "there is no user '%.*s'", STR_ARG(name));
        return passwd_fail(&fault);
    }
    return userfile_save(&p->users, &fault) < 0 ? passwd_fail(&fault) : CTL_OK;
}

static int do_list(struct passwd *p)
{
    size_t at = 0;
    struct str name, rest, hash;

    while (userfile_next(&p->users, &at, &name, &rest)) {
        printf("%-30.*s ", STR_ARG(name));
        if (rest.len == 0)
            fputs("not a hash", stdout);
        for (unsigned i = 0; secret_next(&rest, &hash); i++)
            printf("%s%s", i ? ", " : "", secret_kind_text(hash));
        putchar('\n');
    }
    return CTL_OK;
}

/* All or nothing: the file is written after the last line proved right. */
static int do_batch(struct passwd *p)
{
    struct fault fault = {0};
    char *line = NULL;
    size_t size = 0, number = 0;
    ssize_t len;
    int err = 0;

    while (err == 0 && (len = getline(&line, &size, stdin)) >= 0) {
        char *colon = memchr(line, ':', (size_t)len);

        number++;
        while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r'))
            len--;
        if (len == 0)
            continue;
        if (!colon || colon + 1 >= line + len) {
            err = fault_set(&fault, "line %zu is not NAME:PASSWORD; nothing was changed", number);
            break;
        }
        err = user_set(p, (struct str){line, (size_t)(colon - line)},
                       (struct str){colon + 1, (size_t)(line + len - colon - 1)}, &fault);
    }
    if (line)
        explicit_bzero(line, size);
    free(line);
    if (err == 0)
        err = userfile_save(&p->users, &fault);
    if (err == 0)
        fprintf(stderr, "%zu lines read\n", number);
    return err < 0 ? passwd_fail(&fault) : CTL_OK;
}

/* -- The command line -- */

static int passwd_check(struct passwd *p)
{
    const struct arg_command *command = p->command;
    bool alone = p->batch || p->list;

    if (p->remove + p->verify + p->list + p->batch > 1)
        return arg_error(command, "give only one of --delete, --verify, --list and --batch");
    if (p->password && p->password_file)
        return arg_error(command, "give either --password or --password-file");
    if (command->word_count == 0)
        return arg_error(command, "which file?  Give FILE%s", alone ? "" : " and USER");
    if (command->word_count != (alone ? 1 : 2))
        return arg_error(command, alone ? "give FILE and no USER"
                                        : "give FILE and USER (the password is asked for)");
    if (!p->kind_name || strcmp(p->kind_name, "argon2id") == 0)
        p->kind = SECRET_ARGON2ID;
    else if (strcmp(p->kind_name, "pbkdf2") == 0)
        p->kind = SECRET_PBKDF2;
    else if (strcmp(p->kind_name, "scram") == 0)
        p->kind = SECRET_SCRAM;
    else
        return arg_error(command, "--hash: '%s' is none of argon2id, pbkdf2 and scram",
                         p->kind_name);
    if (p->kind == SECRET_SCRAM && p->cost && p->cost < SECRET_SCRAM_ITERATIONS_MIN)
        return arg_error(command, "--iterations: SCRAM wants at least %u",
                         SECRET_SCRAM_ITERATIONS_MIN);
    if (p->scram && p->no_scram)
        return arg_error(command, "give either --scram or --no-scram");
    return 0;
}

static int passwd_run(struct passwd *p)
{
    struct str name = str_of(p->command->word_count > 1 ? p->command->words[1] : NULL);

    if (p->list)
        return do_list(p);
    if (p->batch)
        return do_batch(p);
    if (p->verify)
        return do_verify(p, name);
    return p->remove ? do_remove(p, name) : do_set(p, name);
}

int passwd_command(int argc, char **argv)
{
    struct passwd p = {0};
    struct fault fault = {0};
    struct arg_command command = {
        .name = "skepctl passwd",
        .usage = "FILE USER [OPTIONS]",
        .summary = "Keeps a file of users and their password hashes.  The file is replaced in one "
                   "step; nobody but its owner can read it.",
        .after = "Examples:\n"
                 "  skepctl passwd -c users.conf alice\n"
                 "  skepctl passwd users.conf alice --scram\n"
                 "  skepctl passwd users.conf alice --delete\n"
                 "  skepctl passwd users.conf --batch < list\n",
        .sets = {{passwd_options, &p}},
    };
    int status = arg_parse(&command, argc, argv);

    if (status != 0)
        return status > 0 ? CTL_OK : CTL_USAGE;
    p.command = &command;
    if (passwd_check(&p) < 0)
        return CTL_USAGE;
    if (userfile_open(&p.users, command.words[0], p.create, &fault) < 0)
        return passwd_fail(&fault);
    status = passwd_run(&p);
    userfile_close(&p.users);
    return status;
}
