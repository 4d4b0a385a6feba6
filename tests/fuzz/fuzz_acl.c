/* An access file in either syntax.  Whatever is taken is then asked: the index and the search
 * through all rules must agree, and what covers a filter also touches it. */
#include "fuzz.h"

#include <string.h>

#include "lib_acl/acl.h"

static struct skep_str attribute(const void *arg, const char *name)
{
    return skep_str(name); /* each has its own name as value */
}

static void ask_all(const struct acl *acl, const struct acl_who *who, struct skep_str topic)
{
    static const enum action actions[] = {MAY_PUBLISH, MAY_SUBSCRIBE, MAY_RECEIVE};

    for (unsigned i = 0; i < 9; i++) {
        struct ask ask = {.who = who,
                          .action = actions[i % 3],
                          .topic = topic,
                          .qos = i / 3,
                          .retain = i / 3 == 1};
        struct acl_answer fast = acl_decide(acl, &ask), slow = acl_decide_slowly(acl, &ask);

        MUST(fast.rule == slow.rule && fast.granted_unseen == slow.granted_unseen);
        MUST(!fast.rule || rule_fits(fast.rule, &ask));
    }
}

/* Names and topics from the file itself are the likeliest to hit. */
static void ask_words(const struct acl *acl, struct skep_str text)
{
    struct acl_who who = {.client = SKEP_STR("c"),
                          .host = SKEP_STR("192.0.2.1"),
                          .listener = SKEP_STR("mqtt"),
                          .attribute = attribute};
    unsigned words = 0;

    for (size_t at = 0; at < text.len && words < 200; words++) {
        size_t len = strcspn(text.ptr + at, " \t\r\n;{}\"'");
        struct skep_str word = skep_bytes(text.ptr + at, len);

        ask_all(acl, &who, word);
        who.client = who.user;
        who.user = word;
        who.has_user = words % 5 != 0;
        ask_all(acl, &who, word);
        at += len + 1;
    }
    ask_all(acl, &who, SKEP_STR("#"));
    ask_all(acl, &who, SKEP_STR("+/+"));
    ask_all(acl, &who, SKEP_STR("$SYS/#"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct acl_options options;
    struct faults faults = {0};
    struct acl *acl;
    char *text;

    if (size < 1 || size > 65536)
        return 0;
    options = (struct acl_options){.format = data[0] % 3, .overlap = data[0] / 3 % 3};
    text = malloc(size); /* the first byte's place holds the NUL behind the text */
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    acl = acl_parse(skep_bytes(text, size - 1), &options, &faults);
    MUST(!acl == (faults.errors > 0));
    MUST(faults.count <= FAULTS_MAX);
    for (unsigned i = 0; i < faults.count; i++)
        MUST(faults.list[i].text[0] && faults.list[i].line > 0);
    if (acl)
        ask_words(acl, skep_bytes(text, strlen(text)));
    acl_free(&acl);
    free(text);
    return 0;
}
