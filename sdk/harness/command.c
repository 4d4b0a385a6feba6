/* `skepctl module call`, without skepctl: words to the first module, its answer to the test. */
#include "host/command.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "harness.h"
#include "world.h"

enum { WORDS_MOST = 64 };

static struct {
    char *answer; /* of the last command; the test has a pointer to it */
    bool ended;
} call;

static void ended(void *arg, uint64_t ticket, const char *json, const char *error)
{
    struct str text = str_of(json ? json : error);

    call.ended = true;
    call.answer = xmalloc(text.len + 8);
    sprintf(call.answer, "%s%.*s", json ? "" : "error: ", STR_ARG(text));
}

static size_t split(char *words, const char **out)
{
    size_t count = 0;
    char *rest = words, *word;

    while (count < WORDS_MOST && (word = strtok_r(rest, " ", &rest)))
        out[count++] = word;
    return count;
}

const char *skep_test_command(struct skep_test *t, const char *words)
{
    const char *list[WORDS_MOST];
    char *copy = str_dup(str_of(words));
    size_t count = split(copy, list);
    uint64_t deadline = clock_mono_ms() + COMMAND_MS + 1000;

    free(call.answer);
    call.answer = NULL;
    call.ended = false;
    command_run(t->module, list, count, ended, NULL, 1);
    rig_settle(t);
    while (!call.ended && clock_mono_ms() < deadline) {
        world_pass(clock_mono_ms() + 100);
        rig_settle(t);
    }
    free(copy);
    if (!call.ended)
        test_fault("the module has not answered the command '%s'", words);
    test_check();
    return call.answer;
}
