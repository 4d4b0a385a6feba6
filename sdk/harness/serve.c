/* What a module serves: requests of the test to skep_http_serve(). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "harness.h"
#include "world.h"

enum { ANSWER_MS = 30000 };

static char *answer; /* of the last request, whole */

static unsigned status_of(const char *text)
{
    unsigned status = 0;

    return sscanf(text, "HTTP/1.1 %u", &status) == 1 ? status : 0;
}

unsigned skep_test_request(struct skep_test *t, const char *method, const char *path,
                           const char *body)
{
    char *request = NULL;
    int len = asprintf(&request, "%s %s HTTP/1.1\r\nHost: test\r\nContent-Length: %zu\r\n\r\n%s",
                       method, path, body ? strlen(body) : 0, body ? body : "");

    ASSERT(len >= 0);
    free(answer);
    answer = world_request(request, (size_t)len, ANSWER_MS);
    free(request);
    rig_settle(t);
    if (!answer)
        test_fail("the module serves no HTTP");
    test_check();
    return status_of(answer);
}

const char *skep_test_answer(const struct skep_test *t)
{
    const char *end = answer ? strstr(answer, "\r\n\r\n") : NULL;

    return end ? end + 4 : "";
}
