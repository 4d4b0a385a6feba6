/* Files of users, against mosquitto_passwd's own work. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "ctl/secret.h"
#include "ctl/userfile.h"

static char folder[] = "/tmp/userfile_testXXXXXX";
static char path[sizeof folder + 10];

static int setup(void **state)
{
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/users", folder);
    return 0;
}

static int teardown(void **state)
{
    unlink(path);
    return rmdir(folder);
}

static void write_file(const char *text, mode_t mode)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    chmod(path, mode);
}

static void expect_file(const char *text)
{
    char got[1000] = "";
    FILE *f = fopen(path, "r");

    assert_non_null(f);
    got[fread(got, 1, sizeof got - 1, f)] = '\0';
    fclose(f);
    assert_string_equal(text, got);
}

static void open_file(struct userfile *u)
{
    struct fault fault = {0};

    if (userfile_open(u, path, true, &fault) < 0)
        fail_msg("%s", fault.text);
}

static void save_file(struct userfile *u)
{
    struct fault fault = {0};

    if (userfile_save(u, &fault) < 0)
        fail_msg("%s", fault.text);
    userfile_close(u);
}

static unsigned file_mode(void)
{
    struct stat st;

    assert_int_equal(0, stat(path, &st));
    return st.st_mode & 0777;
}

static void a_new_file_is_for_its_owner_alone(void **state)
{
    struct userfile u;

    unlink(path);
    open_file(&u);
    userfile_put(&u, STR("alice"), STR("H1"));
    save_file(&u);
    expect_file("alice:H1\n");
    assert_int_equal(0600, file_mode());
}

static void a_missing_file_is_made_only_on_request(void **state)
{
    struct userfile u;
    struct fault fault = {0};

    unlink(path);
    assert_int_equal(-1, userfile_open(&u, path, false, &fault));
    assert_non_null(strstr(fault.text, "no such file"));
    assert_non_null(strstr(fault.hint, "--create"));
}

static void other_lines_stay_as_they_are(void **state)
{
    struct userfile u;

    write_file("# people\nalice:A\n\nbob:B\r\ncarol:C", 0644);
    open_file(&u);
    userfile_put(&u, STR("bob"), STR("new and longer"));
    userfile_put(&u, STR("dave"), STR("D"));
    assert_true(userfile_remove(&u, STR("alice")));
    assert_false(userfile_remove(&u, STR("nobody")));
    save_file(&u);
    expect_file("# people\n\nbob:new and longer\ncarol:C\ndave:D\n");
    assert_int_equal(0640, file_mode()); /* others lose what they had */
}

static void names_match_whole(void **state)
{
    struct userfile u;
    struct str hash;

    write_file("al:1\nalice:2\n#bob:3\nali:4\n", 0600);
    open_file(&u);
    assert_true(userfile_find(&u, STR("ali"), &hash));
    assert_true(str_eq(STR("4"), hash));
    assert_true(userfile_find(&u, STR("al"), &hash));
    assert_true(str_eq(STR("1"), hash));
    assert_false(userfile_find(&u, STR("alic"), &hash));
    assert_false(userfile_find(&u, STR("bob"), &hash));
    assert_false(userfile_find(&u, STR("#bob"), &hash));
    assert_false(userfile_find(&u, STR(""), &hash));
    userfile_close(&u);
}

static void names_that_would_break_the_file_are_refused(void **state)
{
    assert_null(userfile_name_fault(STR("al ice/+#")));
    assert_null(userfile_name_fault(STR("\xc3\xbc")));
    assert_non_null(userfile_name_fault(STR("")));
    assert_non_null(userfile_name_fault(STR("a:b")));
    assert_non_null(userfile_name_fault(STR("a\nb")));
    assert_non_null(userfile_name_fault(STR("a\0b")));
    assert_non_null(userfile_name_fault(STR("#a")));
    assert_non_null(userfile_name_fault(STR("\xff")));
}

/* -- Hashes -- */

static void hashes_belong_to_their_password(void **state)
{
    static const struct {
        enum secret_kind kind;
        uint32_t cost;
    } kinds[] = {{SECRET_ARGON2ID, 3}, {SECRET_PBKDF2, 3}, {SECRET_SCRAM, 4096}};

    for (size_t i = 0; i < 3; i++) {
        struct bytes one = {0}, two = {0};
        struct str password = STR("p\0ss w\xc3\xb6rd"); /* a NUL is a byte of a password */

        assert_int_equal(0, secret_hash(&one, kinds[i].kind, kinds[i].cost, password));
        assert_int_equal(0, secret_hash(&two, kinds[i].kind, kinds[i].cost, password));
        assert_false(str_eq(bytes_str(&one), bytes_str(&two))); /* salted */
        assert_int_equal(1, secret_verify(bytes_str(&one), password));
        assert_int_equal(0, secret_verify(bytes_str(&one), STR("p")));
        assert_int_equal(0, secret_verify(bytes_str(&one), STR("")));
        bytes_fini(&one);
        bytes_fini(&two);
    }
}

static void wrong_hashes_are_no_hashes(void **state)
{
    static const char *const wrong[] = {"",
                                        "$",
                                        "plain",
                                        "$7$",
                                        "$7$101$",
                                        "$7$0$c2FsdHNhbHQ=$aGFzaA==",
                                        "$7$x$c2FsdA==$aGFzaA==",
                                        "$7$101$c2FsdHNhbHQ=$aGFzaA==",
                                        "$6$c2FsdA==$",
                                        "$argon2id$v=19$m=19456",
                                        "$5$a$b",
                                        "$scram-sha-256$4096$c2FsdA==$AAAA$AAAA",
                                        "$scram-sha-256$x$c2FsdA==$AAAA$AAAA",
                                        "$7$99999999999$c2FsdA==$aGFzaA=="};

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        if (secret_verify(str_of(wrong[i]), STR("x")) != -1)
            fail_msg("taken for a hash: %s", wrong[i]);
    }
}

/* The verifier of RFC 7677's user, whose password is "pencil". */
static void a_verifier_is_what_the_rfc_says(void **state)
{
    struct str verifier = STR("$scram-sha-256$4096$W22ZaJ0SNY7soEsUEjb6gQ==$"
                              "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=$"
                              "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=");

    assert_int_equal(1, secret_verify(verifier, STR("pencil")));
    assert_int_equal(0, secret_verify(verifier, STR("pencils")));
    assert_true(secret_fits_scram(STR("pencil ~!")));
    assert_false(secret_fits_scram(STR("p\xc3\xa9ncil")));
    assert_false(secret_fits_scram(STR("pen\tcil")));
}

static void hashes_of_a_user_stand_behind_each_other(void **state)
{
    struct str rest = STR("$7$1$a$b:$scram-sha-256$2"), hash;

    assert_true(secret_next(&rest, &hash));
    assert_true(str_eq(STR("$7$1$a$b"), hash));
    assert_string_equal("pbkdf2", secret_kind_text(hash));
    assert_true(secret_next(&rest, &hash));
    assert_string_equal("scram-sha-256", secret_kind_text(hash));
    assert_false(secret_next(&rest, &hash));
}

/* Runs a command made of trusted parts; the tools are named in ./dev. */
static void run(const char *format, ...)
{
    char command[400];
    va_list ap;

    va_start(ap, format);
    vsnprintf(command, sizeof command, format, ap);
    va_end(ap);
    if (system(command) != 0)
        fail_msg("failed: %s", command);
}

static void mosquittos_hashes_are_read(void **state)
{
    struct userfile u;
    struct str hash;

    write_file("", 0600);
    run("mosquitto_passwd -b %s alice secret", path);
    run("mosquitto_passwd -H sha512 -b %s bob builder", path);
    open_file(&u);
    assert_true(userfile_find(&u, STR("alice"), &hash));
    assert_true(str_starts(hash, STR("$7$")));
    assert_int_equal(1, secret_verify(hash, STR("secret")));
    assert_int_equal(0, secret_verify(hash, STR("Secret")));
    assert_true(userfile_find(&u, STR("bob"), &hash));
    assert_true(str_starts(hash, STR("$6$")));
    assert_int_equal(1, secret_verify(hash, STR("builder")));
    assert_int_equal(0, secret_verify(hash, STR("builde")));
    userfile_close(&u);
}

/* What `skepctl passwd` does with a verifier. */
static void a_new_password_renews_the_verifier(void **state)
{
    struct userfile u;
    struct str rest, hash;

    write_file("", 0600);
    run(SKEPCTL " passwd %s -b one --scram alice 2>/dev/null", path);
    run(SKEPCTL " passwd %s -b two alice 2>/dev/null", path);
    open_file(&u);
    assert_true(userfile_find(&u, STR("alice"), &rest));
    for (int i = 0; i < 2; i++) {
        assert_true(secret_next(&rest, &hash));
        assert_int_equal(1, secret_verify(hash, STR("two")));
        assert_int_equal(0, secret_verify(hash, STR("one")));
    }
    userfile_close(&u);
    run(SKEPCTL " passwd %s -b two --verify alice 2>/dev/null >/dev/null", path);
    run("! " SKEPCTL " passwd %s -b one --verify alice 2>/dev/null >/dev/null", path);
    run(SKEPCTL " passwd %s --list | grep -q 'alice *argon2id, scram-sha-256$'", path);
    run("! " SKEPCTL " passwd %s -b n\xc3\xb6 alice 2>/dev/null", path);
    run(SKEPCTL " passwd %s -b n\xc3\xb6 --no-scram alice 2>/dev/null", path);
    run(SKEPCTL " passwd %s --list | grep -q 'alice *argon2id$'", path);
    run(SKEPCTL " passwd %s -b three --hash scram alice 2>/dev/null", path);
    run(SKEPCTL " passwd %s --list | grep -q 'alice *scram-sha-256$'", path);
    run("! " SKEPCTL " passwd %s -b x --hash scram -I 4095 alice 2>/dev/null", path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_file_is_for_its_owner_alone),
        cmocka_unit_test(a_missing_file_is_made_only_on_request),
        cmocka_unit_test(other_lines_stay_as_they_are),
        cmocka_unit_test(names_match_whole),
        cmocka_unit_test(names_that_would_break_the_file_are_refused),
        cmocka_unit_test(hashes_belong_to_their_password),
        cmocka_unit_test(wrong_hashes_are_no_hashes),
        cmocka_unit_test(mosquittos_hashes_are_read),
        cmocka_unit_test(a_verifier_is_what_the_rfc_says),
        cmocka_unit_test(hashes_of_a_user_stand_behind_each_other),
        cmocka_unit_test(a_new_password_renews_the_verifier),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
