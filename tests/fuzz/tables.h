/* A directive table with one of each kind, for fuzz_conf: the core's own tables are in
 * main, which fuzz targets do not link. */
#ifndef TESTS_FUZZ_TABLES_H
#define TESTS_FUZZ_TABLES_H

#include "conf/directive.h"

struct fuzz_inner {
    struct directive_block block;
    bool on;
    const char *file;
};

struct fuzz_item {
    struct directive_block block;
    uint16_t port;
    struct directive_list bind;
    struct fuzz_inner inner;
};

struct fuzz_top {
    uint8_t small;
    uint32_t size, seconds, ms;
    uint64_t rate;
    unsigned mode, set, color;
    const char *name, *path;
    char text[8];
    struct directive_list list;
    struct fuzz_inner inner;
    struct directive_lines lines;
    struct directive_blocks items, loads;
};

extern const struct directive_table fuzz_table;

#endif
