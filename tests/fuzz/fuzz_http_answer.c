/* A backend's answer.  Input: a byte that chooses the status, then the body.  An answer is an allow
 * only with a status that says so, and never half of one. */
#include "fuzz.h"

#include <string.h>

#include "lib_http_decision/answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const unsigned statuses[] = {200, 200, 200, 200, 204, 401, 403, 500};

    if (size == 0)
        return 0;
    unsigned status = statuses[data[0] % 8];
    struct skep_str body = skep_bytes(data + 1, size - 1);
    struct answer *a = answer_new(status, body, "application/json", ANSWER_JSON, 1000);

    MUST(a->verdict == SKEP_ALLOW || a->verdict == SKEP_DENY || a->verdict == SKEP_NEXT ||
         a->verdict == SKEP_ERROR);
    MUST((a->verdict == SKEP_ERROR) == (a->error != NULL));
    if (a->verdict == SKEP_ALLOW)
        MUST(status == 204 || (status == 200 && body.len >= strlen("{\"result\":\"allow\"}")));
    if (status == 401 || status == 403)
        MUST(a->verdict == SKEP_DENY && a->reason >= 0x80);
    MUST(a->attribute_count <= ANSWER_ATTRIBUTES && a->rules.count <= RULES_MAX);
    for (size_t i = 0; i < a->attribute_count; i++)
        MUST(json_is_text(skep_str(a->attributes[i].value)));
    answer_unref(a);
    return 0;
}
