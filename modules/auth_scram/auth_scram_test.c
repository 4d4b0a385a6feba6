/* auth_scram in the host's dispatcher: rounds, made-up challenges, bans, clients that leave. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <skep/client.h>
#include <skep/test.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

#include "lib_users/base64.h"

#define HASH                                                                                       \
    "$scram-sha-256$4096$W22ZaJ0SNY7soEsUEjb6gQ==$"                                                \
    "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=$"                                                \
    "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="

static char folder[] = "/tmp/auth_scram_testXXXXXX";
static char path[sizeof folder + 10];

static int folder_make(void **state)
{
    FILE *f;

    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/users", folder);
    f = fopen(path, "w");
    if (!f)
        return -1;
    fputs("alice:" HASH "\n", f);
    fclose(f);
    return chmod(path, 0600);
}

static int folder_remove(void **state)
{
    unlink(path);
    return rmdir(folder);
}

static struct skep_test *load(const char *more)
{
    char options[300];

    snprintf(options, sizeof options, "file %s; slow_down 0s; %s", path, more);
    return skep_test_load(NULL, options);
}

static enum skep_verdict first(struct skep_test_client *c, const char *user)
{
    char message[200];

    snprintf(message, sizeof message, "n,,n=%s,r=fyko+d2lbbFgONRv9qkxdawL", user);
    return skep_test_auth(c, "SCRAM-SHA-256", skep_str(message));
}

static struct skep_test_client *client(struct skep_test *t)
{
    return skep_test_client(t, "c", NULL, NULL);
}

/* The answer to the challenge, with this password. */
static const char * final(const struct skep_test_client *c, const char *user, const char *password)
{
    static char message[600];
    struct skep_str challenge = skep_test_auth_data(c);
    unsigned char salt[64], salted[32], client_key[32], stored[32], signature[32];
    char auth[1500], nonce[200], salt_text[100], unproved[300], proof[64];
    int count, salt_len;

    snprintf(auth, sizeof auth, "%.*s", (int)challenge.len, challenge.ptr);
    assert_int_equal(3, sscanf(auth, "r=%199[^,],s=%99[^,],i=%d", nonce, salt_text, &count));
    salt_len = base64_decode(salt, sizeof salt, skep_str(salt_text), BASE64_PADDED);
    assert_int_equal(16, salt_len);
    snprintf(unproved, sizeof unproved, "c=biws,r=%s", nonce);
    snprintf(auth, sizeof auth, "n=%s,r=fyko+d2lbbFgONRv9qkxdawL,%.*s,%s", user, (int)challenge.len,
             challenge.ptr, unproved);
    PKCS5_PBKDF2_HMAC(password, (int)strlen(password), salt, salt_len, count, EVP_sha256(), 32,
                      salted);
    HMAC(EVP_sha256(), salted, 32, (const unsigned char *)"Client Key", 10, client_key, NULL);
    SHA256(client_key, 32, stored);
    HMAC(EVP_sha256(), stored, 32, (const unsigned char *)auth, strlen(auth), signature, NULL);
    for (int i = 0; i < 32; i++)
        client_key[i] ^= signature[i];
    base64_encode(proof, client_key, 32);
    snprintf(message, sizeof message, "%s,p=%s", unproved, proof);
    return message;
}

static enum skep_verdict exchange(struct skep_test_client *c, const char *user,
                                  const char *password)
{
    assert_int_equal(SKEP_CONTINUE, first(c, user));
    return skep_test_auth(c, NULL, skep_str(final(c, user, password)));
}

static void the_right_password_lets_in(void **state)
{
    struct skep_test *t = load("");
    struct skep_test_client *c = client(t);

    assert_int_equal(SKEP_ALLOW, exchange(c, "alice", "pencil"));
    assert_memory_equal("v=", skep_test_auth_data(c).ptr, 2);
    assert_true(skep_str_eq(SKEP_STR("alice"), skep_client_username(skep_test_identity(c))));
    assert_non_null(strstr(skep_test_where(c), "users:1"));
    skep_test_free(&t);
}

static void anything_else_does_not(void **state)
{
    struct skep_test *t = load("max_failures 0;");
    struct skep_test_client *c = client(t);

    assert_int_equal(SKEP_DENY, exchange(c, "alice", "pencils"));
    assert_int_equal(SKEP_RC_BAD_CREDENTIALS, skep_test_reason(c));
    c = client(t);
    assert_int_equal(SKEP_DENY, exchange(c, "nobody", "pencil"));
    assert_int_equal(SKEP_RC_BAD_CREDENTIALS, skep_test_reason(c));
    c = client(t);
    assert_int_equal(SKEP_DENY, skep_test_auth(c, "SCRAM-SHA-256", SKEP_STR("n,,nonsense")));
    assert_true(skep_test_metric(t, "failures_total", NULL) == 2);
    skep_test_free(&t);
}

static void other_methods_are_not_ours(void **state)
{
    struct skep_test *t = load("");
    struct skep_test_client *c = client(t);

    assert_int_not_equal(SKEP_CONTINUE, skep_test_auth(c, "SCRAM-SHA-1", SKEP_STR("n,,n=a,r=b")));
    assert_true(skep_test_metric(t, "failures_total", NULL) == 0);
    skep_test_free(&t);
}

static void guesses_are_banned(void **state)
{
    struct skep_test *t = load("max_failures 1; ban_time 1m;");
    struct skep_test_client *c = client(t);

    assert_int_equal(SKEP_DENY, exchange(c, "alice", "guess"));
    c = client(t);
    assert_int_equal(SKEP_DENY, first(c, "alice"));
    assert_int_equal(SKEP_RC_BANNED, skep_test_reason(c));
    skep_test_pass_ms(t, 60100);
    c = client(t);
    assert_int_equal(SKEP_ALLOW, exchange(c, "alice", "pencil"));
    skep_test_free(&t);
}

static void clients_leave_in_the_middle(void **state)
{
    struct skep_test *t = load("");
    struct skep_test_client *c = client(t);

    assert_int_equal(SKEP_CONTINUE, first(c, "alice"));
    skep_test_leave(c);
    skep_test_run(t);
    skep_test_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_right_password_lets_in),  cmocka_unit_test(anything_else_does_not),
        cmocka_unit_test(other_methods_are_not_ours),  cmocka_unit_test(guesses_are_banned),
        cmocka_unit_test(clients_leave_in_the_middle),
    };

    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
