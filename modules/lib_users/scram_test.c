/* SCRAM-SHA-256, against the exchange printed in RFC 7677 and a client of our own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

#include "base64.h"
#include "scram.h"
#include "scram_keys.h"

/* The exchange of RFC 7677, section 3. */
#define FIRST     "n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
#define OURS      "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define CHALLENGE "r=rOprNGfwEbeRWgbNEkqO" OURS ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
#define UNPROVED  "c=biws,r=rOprNGfwEbeRWgbNEkqO" OURS
#define PROOF     "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
#define ANSWER    "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="

static void verifier_of(struct password_hash *v, const char *password)
{
    *v = (struct password_hash){.kind = PASSWORD_SCRAM, .cost = 4096, .digest_len = 64};
    v->salt_len = (uint8_t)base64_decode(v->salt, sizeof v->salt,
                                         SKEP_STR("W22ZaJ0SNY7soEsUEjb6gQ=="), BASE64_PADDED);
    assert_int_equal(16, v->salt_len);
    assert_int_equal(0, scram_keys(skep_str(password), v->salt, v->salt_len, v->cost, v->digest,
                                   v->digest + SCRAM_KEY));
}

static struct scram *first(const char *message)
{
    struct scram *s;
    const char *wrong = scram_first(&s, skep_str(message));

    if (wrong)
        fail_msg("%s: %s", message, wrong);
    return s;
}

static struct scram *challenged(const char *message, const char *password, bool known)
{
    struct scram *s = first(message);
    struct password_hash v;

    verifier_of(&v, password);
    scram_challenge(s, &v, known, OURS);
    return s;
}

static void the_exchange_of_rfc_7677(void **state)
{
    struct scram *s = first(FIRST);
    struct password_hash v;

    assert_true(skep_str_eq(SKEP_STR("user"), scram_user(s)));
    assert_int_equal(0, scram_authzid(s).len);
    verifier_of(&v, "pencil");
    assert_true(skep_str_eq(SKEP_STR(CHALLENGE), scram_challenge(s, &v, true, OURS)));
    assert_null(scram_final(s, SKEP_STR(UNPROVED ",p=" PROOF)));
    assert_true(skep_str_eq(SKEP_STR(ANSWER), scram_answer(s)));
    scram_free(&s);
}

/* A proof as RFC 5802 defines it, by OpenSSL's own calls. */
static void prove(char *out, const char *password, const char *bare, const char *challenge,
                  const char *unproved)
{
    unsigned char salt[16], salted[32], client[32], stored[32], signature[32];
    char auth[2000];

    snprintf(auth, sizeof auth, "%s,%s,%s", bare, challenge, unproved);
    EVP_DecodeBlock(salted, (const unsigned char *)"W22ZaJ0SNY7soEsUEjb6gQ==", 24);
    memcpy(salt, salted, sizeof salt);
    PKCS5_PBKDF2_HMAC(password, (int)strlen(password), salt, 16, 4096, EVP_sha256(), 32, salted);
    HMAC(EVP_sha256(), salted, 32, (const unsigned char *)"Client Key", 10, client, NULL);
    SHA256(client, 32, stored);
    HMAC(EVP_sha256(), stored, 32, (const unsigned char *)auth, strlen(auth), signature, NULL);
    for (int i = 0; i < 32; i++)
        client[i] ^= signature[i];
    EVP_EncodeBlock((unsigned char *)out, client, 32);
}

static void check_exchange(const char *header, const char *bare, const char *binding,
                           const char *password, bool known, const char *expected)
{
    char message[600], unproved[300], proof[64];
    struct scram *s;
    const char *got;

    snprintf(message, sizeof message, "%s%s", header, bare);
    s = challenged(message, "pencil", known);
    snprintf(unproved, sizeof unproved, "c=%s,r=rOprNGfwEbeRWgbNEkqO%s", binding, OURS);
    prove(proof, password, bare, CHALLENGE, unproved);
    snprintf(message, sizeof message, "%s,p=%s", unproved, proof);
    got = scram_final(s, skep_str(message));
    if (expected ? !got || strcmp(got, expected) != 0 : got != NULL)
        fail_msg("%s%s: %s", header, bare, got ? got : "let in");
    scram_free(&s);
}

static void other_exchanges(void **state)
{
    static const char bare[] = "n=user,r=rOprNGfwEbeRWgbNEkqO";

    check_exchange("n,,", bare, "biws", "pencil", true, NULL);
    check_exchange("y,,", bare, "eSws", "pencil", true, NULL); /* we offer none */
    check_exchange("n,a=user,", bare, "bixhPXVzZXIs", "pencil", true, NULL);
    check_exchange("n,,", "n=user,r=rOprNGfwEbeRWgbNEkqO,x=y", "biws", "pencil", true, NULL);
    check_exchange("n,,", bare, "biws", "pencils", true, "invalid-proof");
    check_exchange("n,,", bare, "biws", "", true, "invalid-proof");
    check_exchange("n,,", bare, "biws", "pencil", false, "invalid-proof");
    check_exchange("n,,", bare, "eSws", "pencil", true, "channel-bindings-dont-match");
    check_exchange("y,,", bare, "biws", "pencil", true, "channel-bindings-dont-match");
    check_exchange("n,a=user,", bare, "biws", "pencil", true, "channel-bindings-dont-match");
}

static void names_are_decoded(void **state)
{
    struct scram *s = first("n,a=x=2Cy,n=a=2Cb=3Dc \xc3\xbc,r=abc");

    assert_true(skep_str_eq(SKEP_STR("a,b=c \xc3\xbc"), scram_user(s)));
    assert_true(skep_str_eq(SKEP_STR("x,y"), scram_authzid(s)));
    scram_free(&s);
}

static void broken_first_messages(void **state)
{
    static const struct {
        const char *message, *error;
    } cases[] = {
        {"", "invalid-encoding"},
        {"n", "invalid-encoding"},
        {"n,", "invalid-encoding"},
        {"n,,", "invalid-encoding"},
        {",,n=user,r=abc", "invalid-encoding"},
        {"p=tls-unique,,n=user,r=abc", "channel-binding-not-supported"},
        {"p=tls-exporter,,n=user,r=abc", "channel-binding-not-supported"},
        {"x,,n=user,r=abc", "invalid-encoding"},
        {"nn,,n=user,r=abc", "invalid-encoding"},
        {"n,b=user,n=user,r=abc", "invalid-encoding"},
        {"n,a=,n=user,r=abc", "invalid-encoding"},
        {"n,,m=ext,n=user,r=abc", "extensions-not-supported"},
        {"n,,r=abc,n=user", "invalid-encoding"},
        {"n,,n=user", "invalid-encoding"},
        {"n,,n=,r=abc", "invalid-username-encoding"},
        {"n,,n=a=b,r=abc", "invalid-username-encoding"},
        {"n,,n=a=2D,r=abc", "invalid-username-encoding"},
        {"n,,n=a=3C,r=abc", "invalid-username-encoding"},
        {"n,,n=a=2,r=abc", "invalid-username-encoding"},
        {"n,,n=a\x01,r=abc", "invalid-username-encoding"},
        {"n,,n=a\xff,r=abc", "invalid-username-encoding"},
        {"n,,n=user,r=", "invalid-encoding"},
        {"n,,n=user,r=a b", "invalid-encoding"},
        {"n,,n=user,r=\xc3\xbc", "invalid-encoding"},
        {"n,,n=user,r=abc,", "invalid-encoding"},
        {"n,,n=user,r=abc,5=x", "invalid-encoding"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct scram *s;
        const char *got = scram_first(&s, skep_str(cases[i].message));

        assert_null(s);
        if (!got || strcmp(got, cases[i].error) != 0)
            fail_msg("%s: %s", cases[i].message, got ? got : "taken");
    }
}

static void broken_final_messages(void **state)
{
    static const struct {
        const char *message, *error;
    } cases[] = {
        {"", "invalid-encoding"},
        {"c=biws", "invalid-encoding"},
        {UNPROVED, "invalid-encoding"},
        {UNPROVED ",p=", "invalid-encoding"},
        {UNPROVED ",p=AAAA", "invalid-encoding"},
        {UNPROVED ",p=" PROOF ",x=1", "invalid-encoding"},
        {UNPROVED ",p=" PROOF "A===", "invalid-encoding"},
        {UNPROVED ",x=1,p=" PROOF, "invalid-proof"}, /* not what was signed */
        {"c=biws,r=rOprNGfwEbeRWgbNEkqO,p=" PROOF, "other-error"},
        {"c=biws,r=" OURS ",p=" PROOF, "other-error"},
        {"r=rOprNGfwEbeRWgbNEkqO" OURS ",c=biws,p=" PROOF, "invalid-encoding"},
        {"c=biw,r=rOprNGfwEbeRWgbNEkqO" OURS ",p=" PROOF, "channel-bindings-dont-match"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct scram *s = challenged(FIRST, "pencil", true);
        const char *got = scram_final(s, skep_str(cases[i].message));

        if (!got || strcmp(got, cases[i].error) != 0)
            fail_msg("%s: %s", cases[i].message, got ? got : "let in");
        scram_free(&s);
    }
}

static void what_is_made_up_stays_the_same_for_a_name(void **state)
{
    static const unsigned char one[32] = "one", two[32] = "two";
    struct password_hash a, b;

    scram_make_up(&a, one, SKEP_STR("nobody"), 4096, 16);
    scram_make_up(&b, one, SKEP_STR("nobody"), 4096, 16);
    assert_int_equal(16, a.salt_len);
    assert_memory_equal(a.salt, b.salt, 16);
    scram_make_up(&b, one, SKEP_STR("nobodys"), 4096, 16);
    assert_memory_not_equal(a.salt, b.salt, 16);
    scram_make_up(&b, two, SKEP_STR("nobody"), 4096, 16);
    assert_memory_not_equal(a.salt, b.salt, 16);
    scram_make_up(&b, one, SKEP_STR("nobody"), 4096, 64);
    assert_int_equal(64, b.salt_len);
    assert_memory_not_equal(b.salt, b.salt + 32, 32);
}

static void messages_are_bounded(void **state)
{
    char *message = malloc(SCRAM_MESSAGE_MAX + 2);
    struct scram *s;

    memset(message, 'a', SCRAM_MESSAGE_MAX + 1);
    memcpy(message, "n,,n=", 5);
    memcpy(message + SCRAM_MESSAGE_MAX - 4, ",r=x", 4);
    assert_null(scram_first(&s, skep_bytes(message, SCRAM_MESSAGE_MAX)));
    scram_free(&s);
    assert_non_null(scram_first(&s, skep_bytes(message, SCRAM_MESSAGE_MAX + 1)));
    free(message);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_exchange_of_rfc_7677),
        cmocka_unit_test(other_exchanges),
        cmocka_unit_test(names_are_decoded),
        cmocka_unit_test(broken_first_messages),
        cmocka_unit_test(broken_final_messages),
        cmocka_unit_test(what_is_made_up_stays_the_same_for_a_name),
        cmocka_unit_test(messages_are_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
