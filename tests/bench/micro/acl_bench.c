/* skep-acl-bench [RULES...]: nanoseconds of one decision of acl_file, for files of 10 to 100,000
 * rules of several shapes.  One thread; users and topics are drawn in random order, once from a
 * hundred (what some busy clients do: their rules stay in the caches) and once from all. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib_acl/acl.h"

enum { LOOKUPS = 400000, NAME = 48 };

static uint64_t rng = 88172645463325252u;

static uint64_t random_u64(void)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return rng;
}

static double cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* A file, and what is asked of it: %u is a number below the count of rules. */
struct shape {
    const char *name, *rule, *user, *topic;
    enum action action;
};

static const struct shape shapes[] = {
    {"a rule for each user", "allow user u%u publish site/%u/#;\n", "u%u", "site/%u/temp/x",
     MAY_PUBLISH},
    {"a topic in each rule, for all users", "allow * publish site/%u/+/x;\n", "u%u",
     "site/%u/temp/x", MAY_PUBLISH},
    {"the same, and nothing applies", "allow * publish site/%u/+/x;\n", "u%u", "site/%u/temp/y",
     MAY_PUBLISH},
    {"denies, and a subscription to be covered", "deny * subscribe site/%u/secret/#;\n", "u%u",
     "site/%u/open/#", MAY_SUBSCRIBE},
    {"a rule for each user, and what he receives", "allow user u%u subscribe site/%u/#;\n", "u%u",
     "site/%u/temp/x", MAY_RECEIVE},
};

static struct acl *build(const struct shape *s, unsigned count)
{
    static const char common[] = "allow * publish own/%u/#;\nallow * subscribe site/# own/%u/#;\n";
    char *text = malloc((size_t)count * 80 + sizeof common), *to = text;
    struct acl_options options = {.format = FORMAT_SKEP};
    struct faults faults = {0};
    struct acl *acl;

    for (unsigned i = 0; i + 3 < count; i++)
        to += sprintf(to, s->rule, i, i);
    strcpy(to, common);
    acl = acl_parse(skep_str(text), &options, &faults);
    free(text);
    if (!acl) {
        fprintf(stderr, "line %u: %s\n", faults.list[0].line, faults.list[0].text);
        exit(1);
    }
    return acl;
}

/* Questions made beforehand: printing them is not what is measured. */
static void names_make(char (*names)[NAME], const char *format, const uint32_t *numbers)
{
    for (unsigned i = 0; i < LOOKUPS; i++)
        snprintf(names[i], NAME, format, numbers[i]);
}

/* Numbers below `count`, no more than `busy` different ones. */
static double measure(const struct acl *acl, const struct shape *s, unsigned count, unsigned busy,
                      unsigned *decided)
{
    static char users[LOOKUPS][NAME], topics[LOOKUPS][NAME];
    static uint32_t numbers[LOOKUPS];
    double began;

    for (unsigned i = 0; i < LOOKUPS; i++)
        numbers[i] = (uint32_t)(random_u64() % busy * 7919 % count);
    names_make(users, s->user, numbers);
    names_make(topics, s->topic, numbers);
    *decided = 0;
    began = cpu_ns();
    for (unsigned i = 0; i < LOOKUPS; i++) {
        struct acl_who who = {
            .user = skep_str(users[i]), .has_user = true, .client = SKEP_STR("client")};
        struct ask ask = {.who = &who, .action = s->action, .topic = skep_str(topics[i])};

        *decided += acl_decide(acl, &ask).rule != NULL;
    }
    return (cpu_ns() - began) / LOOKUPS;
}

static void measure_shape(const struct shape *s, unsigned count)
{
    double began = cpu_ns(), built;
    struct acl *acl = build(s, count);
    unsigned decided;
    double few, all;

    built = (cpu_ns() - began) / 1e6;
    few = measure(acl, s, count - 3, count < 103 ? count - 3 : 100, &decided);
    all = measure(acl, s, count - 3, count - 3, &decided);
    printf("%-44s %7u rules %5.0f ns (of a hundred) %5.0f ns (of all) %7.1f ms to read %6.1f MB "
           "%3u%% decided\n",
           s->name, count, few, all, built, (double)acl_bytes(acl) / 1e6,
           decided / (LOOKUPS / 100));
    fflush(stdout);
    acl_free(&acl);
}

int main(int argc, char **argv)
{
    static const char *const usual[] = {"10", "1000", "100000"};

    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        for (int j = 0; j < (argc > 1 ? argc - 1 : 3); j++) {
            unsigned count = (unsigned)atoi(argc > 1 ? argv[j + 1] : usual[j]);

            measure_shape(&shapes[i], count < 4 ? 4 : count);
        }
    }
    return 0;
}
