/* What the command line asks for, and where the configuration is. */
#ifndef SKEP_MAIN_OPTIONS_H
#define SKEP_MAIN_OPTIONS_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "conf/reference.h"
#include "main/settings.h"

enum options_task {
    OPTIONS_RUN,
    OPTIONS_CHECK,      /* -t */
    OPTIONS_PRINT,      /* -T */
    OPTIONS_DIRECTIVES, /* --directives */
    OPTIONS_MODULE,     /* --check-module */
    OPTIONS_DONE,       /* --help, --version: printed already */
    OPTIONS_WRONG,      /* complained about already */
};

enum { OPTIONS_OVERRIDES = 32 };

struct options {
    enum options_task task;
    enum reference_format format;
    const char *module; /* whose directives, or the file to check; NULL: none */
    const char *overrides[OPTIONS_OVERRIDES];
    struct settings_origin origin; /* points into this struct and argv */
    char conf_path[PATH_MAX], data_dir[PATH_MAX];
};

void options_parse(struct options *o, int argc, char **argv);

#endif
