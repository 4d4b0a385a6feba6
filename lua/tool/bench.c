/* skep-lua bench: what one message costs in a script, beside the same message without it. */
#include <skep/test.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tool.h"

enum { ROUNDS = 5 };

struct bench {
    const char *script, *topic, *payload;
    unsigned long count;
};

static double cpu_seconds(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static double run(struct skep_test_client *c, const struct bench *b, const char *topic)
{
    double begin = cpu_seconds();

    for (unsigned long i = 0; i < b->count; i++)
        skep_test_publish(c, topic, b->payload, 0, false);
    return (cpu_seconds() - begin) * 1e6 / (double)b->count;
}

/* The best of some rounds: what disturbs only makes it slower. */
static double best(struct skep_test_client *c, const struct bench *b, const char *topic)
{
    double least = run(c, b, topic);

    for (int i = 1; i < ROUNDS; i++) {
        double us = run(c, b, topic);
        if (us < least)
            least = us;
    }
    return least;
}

static bool parse(struct bench *b, int argc, char **argv)
{
    *b = (struct bench){.payload = "", .count = 100000};
    for (int i = 0; i < argc; i++) {
        bool more = i + 1 < argc;
        if (strcmp(argv[i], "--topic") == 0 && more)
            b->topic = argv[++i];
        else if (strcmp(argv[i], "--payload") == 0 && more)
            b->payload = argv[++i];
        else if (strcmp(argv[i], "--count") == 0 && more)
            b->count = strtoul(argv[++i], NULL, 10);
        else if (argv[i][0] != '-' && !b->script)
            b->script = argv[i];
        else
            return false;
    }
    return b->script && b->topic && b->count > 0;
}

int tool_bench(int argc, char **argv)
{
    struct bench b;
    char options[4200];
    char *path;

    if (!parse(&b, argc, argv)) {
        fputs("usage: skepctl lua bench SCRIPT --topic TOPIC [--payload TEXT] [--count N]\n",
              stderr);
        return 2;
    }
    path = realpath(b.script, NULL);
    if (!path) {
        fprintf(stderr, "skep-lua bench: %s: no such file\n", b.script);
        return 1;
    }
    snprintf(options, sizeof options, "script \"%s\";", path);
    free(path);
    struct skep_test *t = skep_test_load(NULL, options);
    struct skep_test_client *c = skep_test_client(t, "bench", NULL, NULL);
    skep_test_connect(c);
    double scripted = best(c, &b, b.topic);
    double plain = best(c, &b, "$bench/nobody/scripts/this");
    printf("%s: %.2f us a message more than one nobody scripts (%.2f us)\n", b.topic,
           scripted - plain, plain);
    skep_test_free(&t);
    return 0;
}
