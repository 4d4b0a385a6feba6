/* What the commands of `skepctl store` share.  All but backup work on a store that no broker has
 * open, as the user who owns it (ctl/owner.h). */
#ifndef SKEP_CTL_STORE_TOOL_H
#define SKEP_CTL_STORE_TOOL_H

#include <cjson/cJSON.h>

#include <limits.h>

#include "ctl/arg.h"
#include "ctl/fault.h"
#include "store/check.h"
#include "store/store.h"

struct store_tool {
    const char *name; /* "skepctl store check" */
    char dir[PATH_MAX];
    bool json, quiet;
};

extern const struct arg_option store_tool_options[]; /* of struct store_tool */

/* One function a command; argv[0] is its name. */
int store_check_command(int argc, char **argv);
int store_stat_command(int argc, char **argv);
int store_compact_command(int argc, char **argv);
int store_export_command(int argc, char **argv);
int store_import_command(int argc, char **argv);
int store_repair_command(int argc, char **argv);
int store_backup_command(int argc, char **argv); /* the one that asks a running Skep */

/* Parses the command line: DIR first, then at most `more` words.  -1: go on, else the exit
 * status.  *more_words: where those begin. */
int store_tool_parse(struct store_tool *t, struct arg_command *command, int more, int argc,
                     char **argv);

/* The folder DIR or by default the customary one: there is a store in it.  From here on the
 * process acts as its owner.  CTL_OK, or a status with fault. */
enum ctl_status store_tool_enter(struct store_tool *t, struct fault *fault);

/* Opens the store as a start of the broker would: what the log has goes into the tables. */
enum ctl_status store_tool_open(struct store_tool *t, struct store **out, struct fault *fault);

/* Words for what the library said, with what to do about it. */
enum ctl_status store_tool_fault(const struct store_tool *t, int err, const char *why,
                                 struct fault *fault);

/* Prints the fault, or nothing when status is CTL_OK; back to who we were.  Returns status. */
int store_tool_end(const struct store_tool *t, enum ctl_status status, const struct fault *fault);

/* Prints it in one line and frees it. */
void store_tool_print_json(cJSON *object);

/* "1.5 MiB", valid until the fourth call after it. */
const char *store_tool_size(uint64_t bytes);

/* Bytes of the folder's files whose names begin with `prefix`, and how many there are. */
uint64_t store_tool_files(const char *dir, const char *prefix, unsigned *count);

/* From here on an interrupt only sets a flag, so that what was begun can be taken back. */
void store_tool_catch(void);
bool store_tool_interrupted(void);

#endif
