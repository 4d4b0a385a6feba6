#include "scram_keys.h"

#include <limits.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

void scram_hmac(unsigned char out[32], const void *key, size_t key_len, struct skep_str text)
{
    unsigned len = 32;

    if (!HMAC(EVP_sha256(), key, (int)key_len, (const unsigned char *)text.ptr, text.len, out,
              &len))
        OPENSSL_die("HMAC-SHA-256 failed", __FILE__, __LINE__);
}

int scram_keys(struct skep_str password, const unsigned char *salt, size_t salt_len,
               uint32_t iterations, unsigned char *stored, unsigned char *server)
{
    unsigned char salted[32], client[32];

    if (password.len > INT_MAX ||
        !PKCS5_PBKDF2_HMAC(password.len ? password.ptr : "", (int)password.len, salt, (int)salt_len,
                           (int)iterations, EVP_sha256(), sizeof salted, salted))
        return -1;
    scram_hmac(client, salted, sizeof salted, SKEP_STR("Client Key"));
    scram_hmac(server, salted, sizeof salted, SKEP_STR("Server Key"));
    SHA256(client, sizeof client, stored);
    OPENSSL_cleanse(salted, sizeof salted);
    OPENSSL_cleanse(client, sizeof client);
    return 0;
}
