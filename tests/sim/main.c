/* skep-sim: runs stories from seeds.
 *
 *     skep-sim [--story NAME] [--seed N] [--count N] [--seconds S]
 *
 * Without arguments: what the test run can afford.  A failure prints the story and the seed
 * that lead to it again. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "stories.h"
#include "world.h"

struct story {
    const char *name;
    void (*run)(uint64_t seed);
    unsigned count; /* seeds in a test run */
};

enum { TWICE = 10 }; /* so many of the seeds of a run */

static const struct story stories[] = {
    {"reliable", story_reliable, 120},
    {"wild", story_wild, 100},
    {"clocks", story_clocks, 60},
    {"durable", story_durable, 200},
};

static char where[128];

static void say_where(int sig)
{
    ssize_t n = write(STDERR_FILENO, where, strlen(where));
    (void)n;
    signal(sig, SIG_DFL);
    raise(sig);
}

#if defined(__SANITIZE_ADDRESS__)
void __asan_on_error(void);
void __asan_on_error(void)
{
    ssize_t n = write(STDERR_FILENO, where, strlen(where));
    (void)n;
}
#endif

/* A seed leads to the same run again, or a failure could not be looked into. */
static void run_again(const struct story *story, uint64_t seed)
{
    uint64_t first = world_fingerprint();

    story->run(seed);
    ASSERT(world_fingerprint() == first);
}

static void run(const struct story *story, uint64_t seed, uint64_t count, uint64_t until_ms)
{
    uint64_t done = 0;

    while (until_ms ? clock_mono_ms() < until_ms : done < count) {
        snprintf(where, sizeof where, "skep-sim: failed in --story %s --seed %llu\n", story->name,
                 (unsigned long long)(seed + done));
        world_fingerprint();
        story->run(seed + done);
        if (done < TWICE)
            run_again(story, seed + done);
        done++;
    }
    printf("%s: %llu seeds from %llu\n", story->name, (unsigned long long)done,
           (unsigned long long)seed);
    fflush(stdout);
}

static uint64_t number(char **argv, int at)
{
    return argv[at + 1] ? strtoull(argv[at + 1], NULL, 0) : 0;
}

int main(int argc, char **argv)
{
    const char *only = NULL;
    uint64_t seed = 1, count = 0, seconds = 0;

    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--story") == 0)
            only = argv[i + 1];
        else if (strcmp(argv[i], "--seed") == 0)
            seed = number(argv, i), count = count ? count : 1;
        else if (strcmp(argv[i], "--count") == 0)
            count = number(argv, i);
        else if (strcmp(argv[i], "--seconds") == 0)
            seconds = number(argv, i);
        else
            return fprintf(stderr, "skep-sim: what is %s?\n", argv[i]), 2;
    }
    log_level_set(LOG_LEVEL_ERROR + 1); /* disks fail here, and say so */
    signal(SIGABRT, say_where);
    signal(SIGSEGV, say_where);
    for (size_t i = 0; i < ARRAY_LEN(stories); i++) {
        if (only && strcmp(only, stories[i].name) != 0)
            continue;
        run(&stories[i], seed, count ? count : stories[i].count,
            seconds ? clock_mono_ms() + seconds * 1000 : 0);
    }
    return 0;
}
