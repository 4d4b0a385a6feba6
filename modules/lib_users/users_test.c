/* Users files: what is read, what is refused and where, and what a hash may cost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "users.h"

/* Of RFC 7677: the password is "pencil". */
#define SCRAM                                                                                      \
    "$scram-sha-256$4096$W22ZaJ0SNY7soEsUEjb6gQ==$"                                                \
    "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=$"                                                \
    "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="

static struct users *parse(const char *text, struct faults *faults)
{
    *faults = (struct faults){0};
    return users_parse(skep_str(text), faults);
}

static struct users *good(const char *text)
{
    struct faults faults;
    struct users *u = parse(text, &faults);

    if (!u)
        fail_msg("line %u:%u: %s", faults.list[0].line, faults.list[0].column, faults.list[0].text);
    return u;
}

static int check(const struct users *u, const char *name, const char *password)
{
    const struct user *user = users_find(u, skep_str(name));

    assert_non_null(user);
    return password_check(user->password, skep_str(password));
}

/* Lines of a file that the named tools wrote just now. */
static char *written_by(const char *commands)
{
    static char text[4000];
    char path[] = "/tmp/users_testXXXXXX", command[600];
    int fd = mkstemp(path);
    FILE *f;

    assert_true(fd >= 0);
    snprintf(command, sizeof command, "f=%s; %s", path, commands);
    assert_int_equal(0, system(command));
    f = fopen(path, "r");
    assert_non_null(f);
    text[fread(text, 1, sizeof text - 1, f)] = '\0';
    fclose(f);
    close(fd);
    unlink(path);
    return text;
}

static void mosquittos_files_are_read(void **state)
{
    char *text = written_by("mosquitto_passwd -b $f alice secret && "
                            "mosquitto_passwd -H sha512 -b $f bob builder");
    struct faults faults;
    struct users *u = parse(text, &faults);

    assert_non_null(u);
    assert_int_equal(2, users_count(u));
    assert_int_equal(1, check(u, "alice", "secret"));
    assert_int_equal(0, check(u, "alice", "secre"));
    assert_int_equal(0, check(u, "alice", ""));
    assert_int_equal(1, check(u, "bob", "builder"));
    assert_int_equal(0, check(u, "bob", "secret"));
    assert_null(users_find(u, SKEP_STR("carol")));
    assert_int_equal(1, faults.count); /* the weak one is spoken of */
    assert_true(faults.list[0].warning);
    assert_int_equal(2, faults.list[0].line);
    users_free(&u);
}

static void skepctls_files_are_read(void **state)
{
    char *text =
        written_by(SKEPCTL " passwd --password secret -c $f alice 2>/dev/null && " SKEPCTL
                           " passwd --password builder --scram $f bob 2>/dev/null && " SKEPCTL
                           " passwd --password x --hash scram $f carol 2>/dev/null");
    struct users *u = good(text);
    const struct user *bob = users_find(u, SKEP_STR("bob"));

    assert_int_equal(1, check(u, "alice", "secret"));
    assert_null(users_find(u, SKEP_STR("alice"))->scram);
    assert_int_equal(1, check(u, "bob", "builder"));
    assert_int_equal(PASSWORD_ARGON2ID, bob->password->kind);
    assert_int_equal(1, password_check(bob->scram, SKEP_STR("builder")));
    assert_int_equal(0, password_check(bob->scram, SKEP_STR("builde")));
    assert_int_equal(1, check(u, "carol", "x"));
    assert_ptr_equal(users_find(u, SKEP_STR("carol"))->scram,
                     users_find(u, SKEP_STR("carol"))->password);
    users_free(&u);
}

static void the_vector_of_rfc_7677_is_a_verifier(void **state)
{
    struct users *u = good("user:" SCRAM "\n");

    assert_int_equal(1, check(u, "user", "pencil"));
    assert_int_equal(0, check(u, "user", "pencils"));
    assert_int_equal(
        0, password_check(users_find(u, SKEP_STR("user"))->password, SKEP_STR("pencil\0")));
    users_free(&u);
}

static void comments_and_line_ends_do_not_matter(void **state)
{
    struct users *u = good("# alice:nothing\r\n\r\n\nuser:" SCRAM "\r\nal ice:" SCRAM "  \n\t\n"
                           "last:" SCRAM);

    assert_int_equal(3, users_count(u));
    assert_int_equal(4, users_find(u, SKEP_STR("user"))->line);
    assert_non_null(users_find(u, SKEP_STR("al ice")));
    assert_int_equal(7, users_find(u, SKEP_STR("last"))->line);
    assert_null(users_find(u, SKEP_STR("# alice")));
    assert_null(users_find(u, SKEP_STR("")));
    users_free(&u);
}

static void broken_lines_are_told_by_place(void **state)
{
    static const struct {
        const char *text;
        unsigned line, column;
        const char *says;
    } cases[] = {
        {"alice\n", 1, 1, "no colon"},
        {"\n:" SCRAM "\n", 2, 1, "missing"},
        {"alice:\n", 1, 7, "no password hash"},
        {"alice:secret\n", 1, 7, "no password hash"},
        {"alice:$1$abc$def\n", 1, 7, "no password hash"},
        {"# x\nbob:" SCRAM "\nbob:" SCRAM "\n", 3, 1, "in line 2 already"},
        {"bob:" SCRAM ":" SCRAM "\n", 1, 0, "second hash"},
        {"bob:" SCRAM "$more\n", 1, 0, "follows behind"},
        {"bob:$scram-sha-256$4095$W22ZaJ0SNY7soEsUEjb6gQ==$x$y\n", 1, 20, "4096"},
        {"bob:$scram-sha-256$4096$W22ZaJ0SNY7soEsUEjb6gQ==$AAAA$AAAA\n", 1, 50, "stored key"},
        {"bob:$7$0$c2FsdA==$aGFzaA==\n", 1, 8, "iterations"},
        {"bob:$7$101$*$aGFzaA==\n", 1, 12, "salt"},
        {"bob:$7$101$c2FsdA==$aGFzaA==\n", 1, 21, "64 bytes"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct faults faults;
        struct users *u = parse(cases[i].text, &faults);

        if (u)
            fail_msg("taken: %s", cases[i].text);
        assert_int_equal(1, faults.errors);
        assert_int_equal(cases[i].line, faults.list[0].line);
        if (cases[i].column)
            assert_int_equal(cases[i].column, faults.list[0].column);
        if (!strstr(faults.list[0].text, cases[i].says))
            fail_msg("%s: %s", cases[i].text, faults.list[0].text);
    }
}

static void what_a_hash_may_cost_is_bounded(void **state)
{
    static const char *const greedy[] = {
        "$argon2id$v=19$m=4194304,t=1,p=1$c2FsdHNhbHQ$MTIzNDU2Nzg5MDEyMzQ1Ng", /* 4 GiB */
        "$argon2id$v=19$m=262144,t=5,p=1$c2FsdHNhbHQ$MTIzNDU2Nzg5MDEyMzQ1Ng",
        "$argon2id$v=19$m=4294967295,t=4294967295,p=1$c2FsdHNhbHQ$MTIzNDU2Nzg5MDEyMzQ1Ng",
        "$argon2id$v=19$m=99999999999,t=1,p=1$c2FsdHNhbHQ$MTIzNDU2Nzg5MDEyMzQ1Ng",
        "$argon2id$v=19$m=19456,t=2,p=17$c2FsdHNhbHQ$MTIzNDU2Nzg5MDEyMzQ1Ng",
        "$argon2id$v=19$m=8,t=0,p=1$c2FsdHNhbHQ$MTIzNDU2Nzg5MDEyMzQ1Ng",
        "$argon2id$v=16$m=19456,t=2,p=1$c2FsdHNhbHQ$MTIzNDU2Nzg5MDEyMzQ1Ng",
        "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$MTIzNDU2Nzg5MDEyMzQ1Ng", /* short salt */
        "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$MTIz",              /* short digest */
        "$argon2id$v=19$m=19456,t=2,p=1,x=1$c2FsdHNhbHQ$MTIzNDU2Nzg5MDEyMzQ1Ng",
        "$argon2i$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$MTIzNDU2Nzg5MDEyMzQ1Ng",
        "$7$10000001$c2FsdA==$aGFzaA==",
        "$scram-sha-256$10000001$c2FsdA==$aGFzaA==$aGFzaA==",
    };
    struct password_hash hash;
    size_t at;

    for (size_t i = 0; i < sizeof greedy / sizeof greedy[0]; i++) {
        if (!password_parse(&hash, skep_str(greedy[i]), &at))
            fail_msg("taken: %s", greedy[i]);
    }
    assert_null(password_parse(
        &hash, skep_str("$argon2id$v=19$m=262144,t=4,p=16$c2FsdHNhbHQ$MTIzNDU2Nzg5MDEyMzQ1Ng"),
        &at));
}

static void a_decoy_is_what_most_users_have(void **state)
{
#define A "$argon2id$v=19$m=64,t=3,p=1$c2FsdHNhbHQ$MTIzNDU2Nzg5MDEyMzQ1Ng"
    struct users *u = good("a:" A "\nb:" A "\nc:" SCRAM "\n");
    const struct password_hash *decoy = users_decoy(u);
    uint32_t iterations;
    size_t salt_len;

    assert_int_equal(PASSWORD_ARGON2ID, decoy->kind);
    assert_int_equal(64, decoy->memory_kib);
    assert_int_equal(3, decoy->cost);
    assert_int_equal(0, password_check(decoy, SKEP_STR("")));
    users_scram_habit(u, &iterations, &salt_len);
    assert_int_equal(4096, iterations);
    assert_int_equal(16, salt_len);
    users_free(&u);

    u = good(""); /* nobody at all: still something to hash */
    assert_int_equal(19456, users_decoy(u)->memory_kib);
    users_free(&u);
}

static void many_users_are_found(void **state)
{
    enum { COUNT = 20000 };
    char *text = malloc(COUNT * 200), *to = text;
    struct users *u;

    for (int i = 0; i < COUNT; i++)
        to += sprintf(to, "user-%d:%s\n", i, SCRAM);
    u = good(text);
    assert_int_equal(COUNT, users_count(u));
    for (int i = 0; i < COUNT; i++) {
        char name[20];

        sprintf(name, "user-%d", i);
        assert_int_equal(i + 1, users_find(u, skep_str(name))->line);
    }
    assert_null(users_find(u, SKEP_STR("user-20000")));
    users_free(&u);
    free(text);
}

static void complaints_are_bounded(void **state)
{
    char *text = calloc(1, 100 * 8 + 1);
    struct faults faults;

    for (int i = 0; i < 100; i++)
        strcat(text, "broken\n");
    assert_null(parse(text, &faults));
    assert_int_equal(FAULTS_MAX, faults.count);
    assert_int_equal(100, faults.errors);
    assert_int_equal(100 - FAULTS_MAX, faults.more);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mosquittos_files_are_read),
        cmocka_unit_test(skepctls_files_are_read),
        cmocka_unit_test(the_vector_of_rfc_7677_is_a_verifier),
        cmocka_unit_test(comments_and_line_ends_do_not_matter),
        cmocka_unit_test(broken_lines_are_told_by_place),
        cmocka_unit_test(what_a_hash_may_cost_is_bounded),
        cmocka_unit_test(a_decoy_is_what_most_users_have),
        cmocka_unit_test(many_users_are_found),
        cmocka_unit_test(complaints_are_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
