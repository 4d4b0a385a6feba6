/* Made by vectors.py; the keys exist for this test only. */
#ifndef LIB_JWT_VECTORS_H
#define LIB_JWT_VECTORS_H

#define VECTOR_SECRET "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define VECTOR_JWKS                                                                                \
    "{\"keys\": [{\"kty\": \"RSA\", \"n\": "                                                       \
    "\"qW3uM9iieb4qdcDr_Ss3g-"                                                                     \
    "OFirdc5y0lFJPrEmgxkscabkLD86lzf56YCAUNNrRaarmJwcVugFcfThIF4xwmyw3vWA9sjGJzqYMsoS4yCVQWooQ5P6" \
    "jmbFrl-TnYMIyDT8rrBdpjM3y9lhJ3I4G9rDJ1Zqo2ERchel6nhdAo23vr6hWWatgdyVAtYvTFpBBqthm_m-"         \
    "qrNl6Wg5PyWtVPJFuXXlut5ZT06M8berV0a6muuQ28OnVJJit4HODBhXJiyKlHsIJ1uM4tI7Rh6B-UC_Y_"           \
    "Yynra5TwfTxbSCBImZRK8AXTA09MWMohvIcc4D5MloZhrX7Q1NdjF_37DCSdEw\", \"e\": \"AQAB\", \"kid\": " \
    "\"rsa\"}, {\"kty\": \"EC\", \"crv\": \"P-256\", \"x\": "                                      \
    "\"SRCsDtgthhP8uWnT4_30xjn9OcZdPoyeQwFw3pLhBhg\", \"y\": "                                     \
    "\"UXCNErbf2gPnwo7hOFt9YHXqDwLi4dbG3jk0bm8j7x8\", \"kid\": \"p256\"}, {\"kty\": \"EC\", "      \
    "\"crv\": \"P-384\", \"x\": "                                                                  \
    "\"ujuxizDJ_2Bufii486mbV7BhOyM458kPLnZ8oA-Jv6bhkZfPuiTW-FSPejwXZBEu\", \"y\": "                \
    "\"ctOAC0cke9OgWvIHQWwll5sBNhSYyFdYpvplkwpcyIalv_uhGxRd9MrS7fLUAibo\", \"kid\": \"p384\"}, "   \
    "{\"kty\": \"EC\", \"crv\": \"P-521\", \"x\": "                                                \
    "\"AVizrTMs_GV1do2WaAmY6zuUzLHkUmuWLzE0577uuAcAaFLWT5eiUCVR-"                                  \
    "BU664yPMLQ63kOwKffERhS9TTTUmJIu\", \"y\": "                                                   \
    "\"AT4eFO-dLRDAnYekDIgaDpdu5E5FPeyrgfUG__XhE7NjLjTNfN1MT2rd9cKW_Jj3ID5_"                       \
    "KDKWJogqeq0zsSErGh3q\", \"kid\": \"p521\"}, {\"x\": "                                         \
    "\"4lzBrnEZdLuJ0SJ1iG6V-PTVIgPbM8obysRAr5cv_WI\", \"kty\": \"OKP\", \"crv\": \"Ed25519\", "    \
    "\"kid\": \"ed\"}]}"
#define VECTOR_WEAK_PEM                                                                            \
    "-----BEGIN PUBLIC "                                                                           \
    "KEY-----\nMIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQC4NilwhEjrsOhvdUxqMq+"                        \
    "ZBeZi\nVKQISIHF9ONSe9hLVTZWdPdfffdnvYlZrf5NIbR2bEvrgHcxd/"                                    \
    "OMvduEh829giKz\nQY+A0Vh63oLPCXNj3XE+h2e/f61wdBcl1I/"                                          \
    "9JVwnBufWSf7FA4dLZRlTZpKLRLU1\ncVXy39iseZotqoVM9QIDAQAB\n-----END PUBLIC KEY-----\n"
#define VECTOR_OTHER_PEM                                                                           \
    "-----BEGIN PUBLIC "                                                                           \
    "KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAnT7nzTQQbTJlRn2v4JBI\nnNA+"             \
    "vJM1oE7EqahTKNKt8wgZ8ddea0s1e1tcjLynQVJc1TaJ6uoNVJL1kciZb4ou\nKs/"                            \
    "aS1istHnhgYiQMQLSZuZDpLQZzIwtYxoIOCtRZvr5h0AoU6cXwY8uqIBVY7Zn\nwxofaosPer7CY7IbmyU32oqRag25+" \
    "jKzVs+wmvi0Ac90dlLBGgHT2x7sFwVU1WkW\nqx4d+T3qJIuPROc/HB1HOKfyf36Rp0W4B/TIOme2ZV/"             \
    "uaP9ADtJB+"                                                                                   \
    "NZnd8DvDjKB\n3XKUDJrrUJzMW6ICRTSAtzaSTo9DVdYZwIolVvhFw7LfjOgf2dBqhicLFHhp4Ylx\niQIDAQAB\n---" \
    "--END PUBLIC KEY-----\n"
#define VECTOR_WEAK_JWK                                                                            \
    "{\"kty\": \"RSA\", \"n\": "                                                                   \
    "\"uDYpcIRI67Dob3VMajKvmQXmYlSkCEiBxfTjUnvYS1U2VnT3X333Z72JWa3-"                               \
    "TSG0dmxL64B3MXfzjL3bhIfNvYIis0GPgNFYet6CzwlzY91xPodnv3-tcHQXJdSP_SVcJwbn1kn-"                 \
    "xQOHS2UZU2aSi0S1NXFV8t_YrHmaLaqFTPU\", \"e\": \"AQAB\", \"kid\": \"weak\"}"
#define VECTOR_RSA_PEM                                                                             \
    "-----BEGIN PUBLIC "                                                                           \
    "KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAqW3uM9iieb4qdcDr/"                      \
    "Ss3\ng+"                                                                                      \
    "OFirdc5y0lFJPrEmgxkscabkLD86lzf56YCAUNNrRaarmJwcVugFcfThIF4xwm\nyw3vWA9sjGJzqYMsoS4yCVQWooQ5" \
    "P6jmbFrl+TnYMIyDT8rrBdpjM3y9lhJ3I4G9\nrDJ1Zqo2ERchel6nhdAo23vr6hWWatgdyVAtYvTFpBBqthm/"       \
    "m+qrNl6Wg5PyWtVP\nJFuXXlut5ZT06M8berV0a6muuQ28OnVJJit4HODBhXJiyKlHsIJ1uM4tI7Rh6B+U\nC/Y/"     \
    "Yynra5TwfTxbSCBImZRK8AXTA09MWMohvIcc4D5MloZhrX7Q1NdjF/37DCSd\nEwIDAQAB\n-----END PUBLIC "     \
    "KEY-----\n"
#define VECTOR_P256_PEM                                                                            \
    "-----BEGIN PUBLIC "                                                                           \
    "KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAESRCsDtgthhP8uWnT4/"                             \
    "30xjn9OcZd\nPoyeQwFw3pLhBhhRcI0Stt/aA+fCjuE4W31gdeoPAuLh1sbeOTRubyPvHw==\n-----END PUBLIC "   \
    "KEY-----\n"
#define VECTOR_P384_PEM                                                                            \
    "-----BEGIN PUBLIC "                                                                           \
    "KEY-----\nMHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEujuxizDJ/"                                          \
    "2Bufii486mbV7BhOyM458kP\nLnZ8oA+Jv6bhkZfPuiTW+"                                               \
    "FSPejwXZBEuctOAC0cke9OgWvIHQWwll5sBNhSYyFdY\npvplkwpcyIalv/uhGxRd9MrS7fLUAibo\n-----END "     \
    "PUBLIC KEY-----\n"
#define VECTOR_P521_PEM                                                                            \
    "-----BEGIN PUBLIC "                                                                           \
    "KEY-----"                                                                                     \
    "\nMIGbMBAGByqGSM49AgEGBSuBBAAjA4GGAAQBWLOtMyz8ZXV2jZZoCZjrO5TMseRS\na5YvMTTnvu64BwBoUtZPl6JQ" \
    "JVH4FTrrjI8wtDreQ7Ap98RGFL1NNNSYki4BPh4U\n750tEMCdh6QMiBoOl27kTkU97KuB9Qb/"                   \
    "9eETs2MuNM183UxPat31wpb8mPcgPn8o\nMpYmiCp6rTOxISsaHeo=\n-----END PUBLIC KEY-----\n"
#define VECTOR_ED_PEM                                                                              \
    "-----BEGIN PUBLIC "                                                                           \
    "KEY-----\nMCowBQYDK2VwAyEA4lzBrnEZdLuJ0SJ1iG6V+PTVIgPbM8obysRAr5cv/WI=\n-----END PUBLIC "     \
    "KEY-----\n"

static const struct {
    const char *algorithm, *pem, *token;
} vectors[] = {
    {"HS256", NULL,
     "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJiZWUiLCJleHAiOjQxMDI0NDQ4MDB9."
     "MZ39hJ0yYFGz9DAkADH1h5xuhaCOQSijZkhcSNQW4f4"},
    {"HS384", NULL,
     "eyJhbGciOiJIUzM4NCIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJiZWUiLCJleHAiOjQxMDI0NDQ4MDB9."
     "accvqmT6cZG1j4m8g7F2dtcgaPbqwKaf8OxTGU4cqm9CtyPTjAYLFZVFHEG59Y8u"},
    {"HS512", NULL,
     "eyJhbGciOiJIUzUxMiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJiZWUiLCJleHAiOjQxMDI0NDQ4MDB9."
     "V5W6jR8r4twklfrNb6If-HXSbvT3oYUBpB41HXsowI_Zri4eLJRbndqFtrmwfo_0Cf7P_DILFDBFUlUlQkWAXg"},
    {"RS256", VECTOR_RSA_PEM,
     "eyJhbGciOiJSUzI1NiIsImtpZCI6InJzYSIsInR5cCI6IkpXVCJ9."
     "eyJzdWIiOiJiZWUiLCJleHAiOjQxMDI0NDQ4MDB9.iLRgt2Gm3HlnbcUIiNsPQkPOHEzk2WPVIrYnFKg-"
     "WDezn5URC2ul8cgRcKWhO9xwY51RW0Kk9JYCWQEpWanq5wnAsYC5IFrw4q5dZ78VvvPYEzp4hp6KByxqKfJcZIRhOhWC2"
     "Gr2AlME2Xwysgak2M2Aid1NaanS_"
     "nqrv7HqxFrzGwRujqfK5gsVv1v2fevoQC4iOufEAALyiMt9TV8ROJTzaGiqOJwJN6sQNIcddV5V-"
     "sNr8N6Ilbu4vDt05FrV570p2b-A8JQnh3FZ33HXQJwTkmQkEyLuR3jO6Mk3whA_"
     "25WOCRrbgpdBtQn1jn5nUSiV6IFHROYFZt6o3Vlt_g"},
    {"RS384", VECTOR_RSA_PEM,
     "eyJhbGciOiJSUzM4NCIsImtpZCI6InJzYSIsInR5cCI6IkpXVCJ9."
     "eyJzdWIiOiJiZWUiLCJleHAiOjQxMDI0NDQ4MDB9."
     "RSFzNny00czMDadgkGdZAvCU5hkNi6Vnm605jdhDkwDfOs0lb7Fdnnf6sm1D83oDtRYr4ZDw06y8VT9xsLYqbAfw-"
     "A6Zvo6ySf6u0mdVEJccMvSwr73XUynB1a3t-D-dakPEo6edpUJi47I7sbiOBYQBsdBT8PwUOoIvThte-"
     "CGVXRQQayWPnF4av-2P2PRfCXIEWIPI_OqUwNCqkVEBo-rinYEjneG5fXuqa6-gtp1_"
     "tfrWDF3FAFT4uIYyjvuqE0wpqutTM7fOU0_"
     "1zU5bAMWvJYvMYHbiQA3Xc4I8yU4EXFBqZ0XoLQhZL9CfqoqY7cSv8wqqqKzu0YuVzHVVrA"},
    {"RS512", VECTOR_RSA_PEM,
     "eyJhbGciOiJSUzUxMiIsImtpZCI6InJzYSIsInR5cCI6IkpXVCJ9."
     "eyJzdWIiOiJiZWUiLCJleHAiOjQxMDI0NDQ4MDB9.mTl76k_SJzaT2x0FiysVemzYjwwsxZeUFiC1tdy8aagOK2BayYD_"
     "tj0z6Jv-HhMR8CskBQ5ASsSideY9aYHU83emGYDAkboicGsJhSKT8_zOjDs3IPgK-iTtVq16xX4Lod-"
     "NxrxtyjOkffBtzJfQeyR1OFmXZL-5Uizd5sf-_4J5jXEbN3Ey4VlQHZNV4a6UEp7OYqj9OeSHgZYDI2JzJEpJ_"
     "ZZnryVs_tYzMIIFOKNxUl8Pw45aIL5Rx0u1gz780Lmth4S1pi26wBkXqsPKuYssuS_iYO-KqJKXlLiYkJvd-"
     "UJw7fE2scmcU1D2DkIrSRFpQhspsZ16_GRcArfHNA"},
    {"PS256", VECTOR_RSA_PEM,
     "eyJhbGciOiJQUzI1NiIsImtpZCI6InJzYSIsInR5cCI6IkpXVCJ9."
     "eyJzdWIiOiJiZWUiLCJleHAiOjQxMDI0NDQ4MDB9.JWRAY0TZX4bZPcoCxUwVhafpbBpkEIZcS_jVGex7opH-"
     "Sd0f0GR6rDmzyX6ytZ6SzVpGDlGXKVayMHkd7c6zDks3mDO57HJnbd7cHSuAsX2X35FPnLUKqV-"
     "ZtfTX36DU35QNfFMgyAogsCyoqtOhqEIztGR2395LGOYIasoYmm738thELaXujDGdpg3G6XMoBnuju82L_"
     "FoAbiXGL52nWEdKqlqgOpoy0CTfl2TjSZMaLlrdgs_CT0U4F_3GoMXALNxmzpo4vThlpDC_"
     "XoPqlCDYoXmKHgqURQE3Pzuw2waB41-zSVsqMRO_Jpo_Aw_CQvemFOXnHvwSVWY3uGxHow"},
    {"PS384", VECTOR_RSA_PEM,
     "eyJhbGciOiJQUzM4NCIsImtpZCI6InJzYSIsInR5cCI6IkpXVCJ9."
     "eyJzdWIiOiJiZWUiLCJleHAiOjQxMDI0NDQ4MDB9."
     "A90UbTgrrDQHnnuQPMOp60HdL5DT1cYQ0sQ0WYl4Bnpbrr3hBi4eSCiYR0s9HrnFSh8HkUKLJ1eYwchiwRH9zCrynIhp0"
     "2oY6ZRdLuV4PID4bYeHLBD75rQP-nq4JbGOJ31ZJMoTMh2GmoKkE5dN40_"
     "YbGqExW4XGdeIigbH4ngDaLpkeWyutMZrKCupgrZscu-KWZ58Z6FWt-Y0X0IR4fpgIl0fHNOBkqixcdKyUk88-"
     "VdlHtZIJarp4sCGoutLTXDfvY9DZEdcOnRVvNC_--piR5tSG9aBNRWjEkGEY2WK7fbrgGsigvd2evmwx_"
     "W7bAanIJajrwfdZjtbmHQkKw"},
    {"PS512", VECTOR_RSA_PEM,
     "eyJhbGciOiJQUzUxMiIsImtpZCI6InJzYSIsInR5cCI6IkpXVCJ9."
     "eyJzdWIiOiJiZWUiLCJleHAiOjQxMDI0NDQ4MDB9.GAjnNtkSBhEZaBpJBZDqkM4lqI7WYDnuY0Azx-ajUPqQdTx_"
     "asF2U2Qa0-zZKilVhhlY-AbQatDIvZT4O95xglY54kShDFNec4-KrdfCjU43onWgq2n6_7O_wCDk9-"
     "4zzKXX1Zdtmh322fDhWc7Hc1DcY9w1A_p4IZyxSR_mFH_"
     "GMGHtBciVXR2A1C6Q1e5GeWjiz0hvHt6MOPklYrVDMmyLKMClPmDfDEQ9LVynU_-VTO2oloeuHM1S8szNORwcs6ySf2m-"
     "BdrbkKe8RxWf5gFkWLwRTuvvpjr9BSLqz4t1cnopet_YDOjgG0EMRjj7XSDmsah6jwXO5_hNmsh9BA"},
    {"ES256", VECTOR_P256_PEM,
     "eyJhbGciOiJFUzI1NiIsImtpZCI6InAyNTYiLCJ0eXAiOiJKV1QifQ."
     "eyJzdWIiOiJiZWUiLCJleHAiOjQxMDI0NDQ4MDB9.ELPiedPIeya7kL25T4RH2-"
     "xvAJKWVy2EqtsZVqpcIznqz581aa6X1FFFx8ylOo8JoSf_QOCglZdzGRR5ZmXVQA"},
    {"ES384", VECTOR_P384_PEM,
     "eyJhbGciOiJFUzM4NCIsImtpZCI6InAzODQiLCJ0eXAiOiJKV1QifQ."
     "eyJzdWIiOiJiZWUiLCJleHAiOjQxMDI0NDQ4MDB9.P0wuoOwmW4HPQIsNaR-lWuYSjdgvJRGYxC1-"
     "GdHYIHc8CutorvpG9Rt89yRarPNzWkHqAELyAMpWQjwuTXboK-"
     "NsSE51mIVvsXRGnkzYYcz7PgzMuhJLmVc1L0g7Wmo7"},
    {"ES512", VECTOR_P521_PEM,
     "eyJhbGciOiJFUzUxMiIsImtpZCI6InA1MjEiLCJ0eXAiOiJKV1QifQ."
     "eyJzdWIiOiJiZWUiLCJleHAiOjQxMDI0NDQ4MDB9.AaMwCUttsksTJSORv-QYfGWvI31xVkaspxiZeC0_"
     "3nxwcIaqRAV28DQxhMj7sLxTQghd0EK0aY6bcGFeo3GaovfNATL9BlgV3j6peeFQxY9zO-"
     "bIfdTiW456vnSiiRPwM5g2kxndt6hflGKqXLt4gXVpsuymVoDS0BZkQZa4E4f8MShK"},
    {"EdDSA", VECTOR_ED_PEM,
     "eyJhbGciOiJFZERTQSIsImtpZCI6ImVkIiwidHlwIjoiSldUIn0.eyJzdWIiOiJiZWUiLCJleHAiOjQxMDI0NDQ4MDB9."
     "jdVYzC92Eji5wZCOwrfalH-nX9CF6z9vo5Rdtvb52Hh1TGvQqeYM-CrDwVXySE-orK-BN73ObD7HkAQ0DvyTCQ"},
};

/* HS256 with the public RSA key as its secret */
#define VECTOR_CONFUSED                                                                            \
    "eyJhbGciOiJIUzI1NiIsImtpZCI6InJzYSJ9.eyJzdWIiOiAiYmVlIiwgImV4cCI6IDQxMDI0NDQ4MDB9.7LfQhZ-"    \
    "hOgeHS7eDJX_0bd0tuNCKyqdvnKpRZT_Hg1w"
#define VECTOR_NONE "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJzdWIiOiJiZWUiLCJleHAiOjQxMDI0NDQ4MDB9."

#endif
