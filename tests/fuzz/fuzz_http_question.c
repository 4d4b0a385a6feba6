/* A question of templates.  Input: URL template, field template and facts, a line each.  What can
 * be asked is one line of URL with the host as configured, and JSON as long as it should be JSON.
 */
#include "fuzz.h"

#include <string.h>

#include "lib_http_decision/question.h"
#include "lib_json/json.h"

enum { LINES = 5 };

static struct skep_str facts[LINES];

static struct skep_str attribute(const void *arg, const char *name)
{
    return facts[4];
}

static void split(const uint8_t *data, size_t size)
{
    const char *at = (const char *)data, *end = at + size;

    for (unsigned i = 0; i < LINES; i++) {
        const char *nl = i < LINES - 1 ? memchr(at, '\n', (size_t)(end - at)) : NULL;
        facts[i] = skep_bytes(at, (size_t)((nl ? nl : end) - at));
        at = nl ? nl + 1 : end;
    }
}

/* Whether a segment of the path is a step up, or none at all. */
static bool climbs(const char *url)
{
    const char *path = strstr(url, "://") + 3;

    path += strcspn(path, "/?");
    size_t len = strcspn(path, "?");
    return memmem(path, len, "/../", 4) || memmem(path, len, "/./", 3) ||
           (len >= 3 && memcmp(path + len - 3, "/..", 3) == 0) ||
           (len >= 2 && memcmp(path + len - 2, "/.", 2) == 0);
}

static void check(const struct rendered *r, int format, const char *origin)
{
    const char *why;

    MUST(strncmp(r->ask.url, origin, strlen(origin)) == 0);
    for (const char *p = r->ask.url; *p; p++)
        MUST((unsigned char)*p > 0x20 && (unsigned char)*p < 0x7f);
    MUST(!climbs(r->ask.url));
    for (const char *p = r->ask.headers[0].value.ptr; *p; p++)
        MUST((unsigned char)*p >= 0x20 && (unsigned char)*p < 0x7f);
    if (format == FORMAT_JSON) {
        cJSON *value = json_parse(r->ask.body, &why);
        MUST(value);
        cJSON_Delete(value);
    }
}

static void ask(const char *url, const char *field, int format)
{
    const char *words[] = {"f", field};
    struct skep_list line = {words, NULL, 2};
    struct question_conf conf = {.url = url,
                                 .format = format,
                                 .fields = {&line, 1},
                                 .headers = {&line, 1},
                                 .allowed = (1 << VAR_COUNT) - 1};
    struct inputs in = {.attribute = attribute};
    const struct skep_place *place;
    const char *why;
    struct rendered r;
    struct question *q = question_new(&conf, &why, &place);

    MUST(!q == (why != NULL));
    if (!q)
        return;
    for (unsigned i = 0; i < VAR_ATTRIBUTE; i++)
        in.values[i] = facts[2 + i % 3];
    if (!question_render(q, &in, &r))
        check(&r, format, "http");
    rendered_fini(&r);
    question_free(&q);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    split(data, size);
    char *url = strndup(facts[0].ptr, facts[0].len), *field = strndup(facts[1].ptr, facts[1].len);

    for (int format = FORMAT_JSON; format <= FORMAT_QUERY; format++)
        ask(url, field, format);
    free(url);
    free(field);
    return 0;
}
