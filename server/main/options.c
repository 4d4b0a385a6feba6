#include "main/options.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
    "skep " SKEP_VERSION ", an MQTT broker\n"
    "\n"
    "usage: skep [-c FILE] [-D 'directive value;']... [-t | -T]\n"
    "\n"
    "  -c, --config FILE   configuration; without it conf/skep.conf of the source tree skep\n"
    "                      was built in, else /etc/skep/skep.conf, else built-in defaults\n"
    "  -D, --define TEXT   directives that override the file's, for example\n"
    "                      -D 'limits { max_packet 2m; }'\n"
    "  -t, --test          check the configuration and end\n"
    "  -T, --print         check it, print it with all defaults, and end\n"
    "      --directives    describe every directive; also =json, =markdown, =man\n"
    "      --json          with --directives: as JSON\n"
    "      --module NAME   with --directives: those of a module\n"
    "      --check-module FILE.so\n"
    "                      tell what a module is, as JSON, and whether it would load\n"
    "  -V, -v, --version   print the version\n"
    "  -h, --help          print this\n"
    "\n"
    "signals: HUP reloads the configuration, USR1 opens the log file again,\n"
    "         TERM and INT tell the clients and end\n";

enum { OPT_DIRECTIVES = 256, OPT_JSON, OPT_MODULE, OPT_CHECK_MODULE };

static const struct option long_options[] = {
    {"config", required_argument, NULL, 'c'},
    {"define", required_argument, NULL, 'D'},
    {"test", no_argument, NULL, 't'},
    {"print", no_argument, NULL, 'T'},
    {"version", no_argument, NULL, 'V'},
    {"help", no_argument, NULL, 'h'},
    {"json", no_argument, NULL, OPT_JSON},
    {"module", required_argument, NULL, OPT_MODULE},
    {"check-module", required_argument, NULL, OPT_CHECK_MODULE},
    {"directives", optional_argument, NULL, OPT_DIRECTIVES},
    {NULL, 0, NULL, 0},
};

/* The source tree the running binary was built in (TREE/build/PRESET/bin/skep), if any. */
static bool find_tree(char tree[PATH_MAX])
{
    char probe[PATH_MAX + 32];
    ssize_t n = readlink("/proc/self/exe", tree, PATH_MAX - 1);

    if (n <= 0)
        return false;
    tree[n] = '\0';
    for (int up = 0; up < 4; up++) {
        char *slash = strrchr(tree, '/');
        if (!slash)
            return false;
        *slash = '\0';
    }
    snprintf(probe, sizeof probe, "%s/server/LAYERS", tree);
    return access(probe, R_OK) == 0;
}

static void find_files(struct options *o, const char *given)
{
    char tree[PATH_MAX];
    bool in_tree = find_tree(tree) && strlen(tree) < PATH_MAX - 32;

    if (given)
        snprintf(o->conf_path, sizeof o->conf_path, "%s", given);
    else if (in_tree)
        snprintf(o->conf_path, sizeof o->conf_path, "%.*s/conf/skep.conf", PATH_MAX - 32, tree);
    else
        snprintf(o->conf_path, sizeof o->conf_path, "/etc/skep/skep.conf");
    /* Only a file that was asked for must be there. */
    if (given || access(o->conf_path, F_OK) == 0)
        o->origin.path = o->conf_path;
    if (in_tree)
        snprintf(o->data_dir, sizeof o->data_dir, "%.*s/data", PATH_MAX - 32, tree);
    else
        snprintf(o->data_dir, sizeof o->data_dir, "/var/lib/skep");
    o->origin.data_dir = o->data_dir;
}

static bool reference_named(const char *name, enum reference_format *format)
{
    static const char *const names[] = {"text", "json", "markdown", "man"};

    for (size_t i = 0; name && i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0) {
            *format = (enum reference_format)i;
            return true;
        }
    return !name;
}

static void wrong(struct options *o, const char *message)
{
    fprintf(stderr, "skep: %s; see skep --help\n", message);
    o->task = OPTIONS_WRONG;
}

static void take_option(struct options *o, int c, const char **given)
{
    switch (c) {
    case 'c':
        *given = optarg;
        break;
    case 'D':
        if (o->origin.override_count == OPTIONS_OVERRIDES)
            wrong(o, "too many -D");
        else
            o->overrides[o->origin.override_count++] = optarg;
        break;
    case 't':
        o->task = OPTIONS_CHECK;
        break;
    case 'T':
        o->task = OPTIONS_PRINT;
        break;
    case OPT_DIRECTIVES:
        o->task = OPTIONS_DIRECTIVES;
        if (!reference_named(optarg, &o->format))
            wrong(o, "--directives takes text, json, markdown or man");
        break;
    case OPT_JSON:
        o->format = REFERENCE_JSON;
        break;
    case OPT_MODULE:
        o->module = optarg;
        break;
    case OPT_CHECK_MODULE:
        o->task = OPTIONS_MODULE;
        o->module = optarg;
        break;
    case 'V':
    case 'v':
        printf("skep %s\n", SKEP_VERSION);
        o->task = OPTIONS_DONE;
        break;
    case 'h':
        fputs(help, stdout);
        o->task = OPTIONS_DONE;
        break;
    default: /* getopt has said what is wrong */
        fprintf(stderr, "see skep --help\n");
        o->task = OPTIONS_WRONG;
    }
}

void options_parse(struct options *o, int argc, char **argv)
{
    const char *given = NULL;
    int c;

    *o = (struct options){.task = OPTIONS_RUN};
    o->origin.overrides = o->overrides;
    while (o->task != OPTIONS_WRONG && o->task != OPTIONS_DONE &&
           (c = getopt_long(argc, argv, "c:D:tTVvh", long_options, NULL)) != -1)
        take_option(o, c, &given);
    if (o->task != OPTIONS_WRONG && o->task != OPTIONS_DONE && optind < argc)
        wrong(o, "there are no plain arguments");
    find_files(o, given);
}
