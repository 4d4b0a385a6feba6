/* The question put to the backend: a request made of templates. */
#ifndef LIB_HTTP_DECISION_QUESTION_H
#define LIB_HTTP_DECISION_QUESTION_H

#include <openssl/evp.h>
#include <skep/http.h>
#include <skep/option.h>

#include "lib_text/template.h"

enum format { FORMAT_JSON, FORMAT_FORM, FORMAT_QUERY };

enum { QUESTION_BYTES = 256 * 1024, QUESTION_KEY = 32 }; /* at most; of the digest */

/* As the options say it; the strings live as long as the question. */
struct question_conf {
    const char *url, *method, *body, *content_type;
    int format; /* enum format */
    struct skep_lines fields, headers;
    const char *const (*default_fields)[2]; /* {name, template}, ends with {NULL} */
    unsigned allowed;                       /* set of (1 << VAR_*) */
};

struct question;

/* NULL: *why, and *place where that can be told (else NULL). */
struct question *question_new(const struct question_conf *conf, const char **why,
                              const struct skep_place **place);
void question_free(struct question **q);

/* One request.  Owns its bytes. */
struct rendered {
    struct buffer bytes;
    struct skep_http_header *headers;
    struct skep_http_request ask; /* url, method, body, content_type and headers are filled in */
};

/* NULL, or why these facts cannot be asked about.  rendered_fini() in any case. */
const char *question_render(const struct question *q, const struct inputs *in,
                            struct rendered *out);
void rendered_fini(struct rendered *r);

/* A digest of all facts that the request would be made of (HMAC-SHA256): equal for equal questions,
 * and of no use to who finds it.  keyed: from question_keyed(); any thread may use it.  False: no
 * memory. */
bool question_key(const struct question *q, const struct inputs *in, const EVP_MAC_CTX *keyed,
                  unsigned char key[QUESTION_KEY]);
/* To be freed with EVP_MAC_CTX_free(). */
EVP_MAC_CTX *question_keyed(const unsigned char secret[QUESTION_KEY]);

#endif
