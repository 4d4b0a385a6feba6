#include "ctl/store_tool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "ctl/owner.h"
#include "ctl/place.h"
#include "ctl/progress.h"

enum { PATH_REST = 64 }; /* for names inside the folder */

const struct arg_option store_tool_options[] = {
    ARG_FIELD(ARG_ON, 0, "json", struct store_tool, json, NULL, "print one JSON object instead"),
    ARG_FIELD(ARG_ON, 'q', "quiet", struct store_tool, quiet, NULL, "show no progress"),
    ARG_LAST,
};

int store_tool_parse(struct store_tool *t, struct arg_command *command, int more, int argc,
                     char **argv)
{
    int status = arg_parse(command, argc, argv);

    if (status != 0)
        return status > 0 ? CTL_OK : CTL_USAGE;
    t->name = command->name;
    if (command->word_count > 1 + more) {
        arg_error(command, "what is '%s'?", command->words[1 + more]);
        return CTL_USAGE;
    }
    if (command->word_count > 0 && strlen(command->words[0]) > PATH_MAX - PATH_REST) {
        arg_error(command, "the name of the folder is too long");
        return CTL_USAGE;
    }
    if (command->word_count > 0)
        snprintf(t->dir, sizeof t->dir, "%s", command->words[0]);
    else
        place_store(t->dir);
    return -1;
}

static bool holds_tables(const char *dir)
{
    char path[PATH_MAX + 32];

    snprintf(path, sizeof path, "%s/state.mdb", dir);
    return access(path, F_OK) == 0;
}

enum ctl_status store_tool_enter(struct store_tool *t, struct fault *fault)
{
    char inside[PATH_MAX + 16];

    if (owner_enter(t->dir, fault) < 0)
        return CTL_FAILED;
    /* What the library logs is told by us, in our words. */
    log_level_set(LOG_LEVEL_ERROR);
    if (holds_tables(t->dir))
        return CTL_OK;
    snprintf(inside, sizeof inside, "%s/store", t->dir);
    if (errno != ENOENT && errno != ENOTDIR) {
        fault_set(fault, "cannot look into %s: %s", t->dir, strerror(errno));
    } else {
        fault_set(fault, "there is no store in %s", t->dir);
        if (holds_tables(inside))
            fault_hint(fault, "but there is one in %s", inside);
        else
            fault_hint(fault, "it is the folder 'store' inside the broker's data_dir");
    }
    return CTL_FAILED;
}

enum ctl_status store_tool_fault(const struct store_tool *t, int err, const char *why,
                                 struct fault *fault)
{
    fault_set(fault, "%s", *why ? why : err_text(err));
    if (err == ERR_EXISTS)
        fault_hint(fault, "a running Skep has it: stop Skep first (skepctl stop)");
    else if (err == ERR_DAMAGED)
        fault_hint(fault, "'skepctl store check %.180s' says what to do about it", t->dir);
    return CTL_FAILED;
}

enum ctl_status store_tool_open(struct store_tool *t, struct store **out, struct fault *fault)
{
    struct store_conf conf = {.dir = t->dir};
    struct progress *progress = progress_start(t->name, NULL, t->quiet);
    char why[512] = "";
    int err = store_open(out, &conf, why, sizeof why);

    progress_stop(&progress);
    return err ? store_tool_fault(t, err, why, fault) : CTL_OK;
}

int store_tool_end(const struct store_tool *t, enum ctl_status status, const struct fault *fault)
{
    owner_leave();
    if (status != CTL_OK && fault->text[0])
        fault_print(fault, t->name);
    return (int)status;
}

void store_tool_print_json(cJSON *object)
{
    char *text = cJSON_PrintUnformatted(object);

    ASSERT(text);
    puts(text);
    cJSON_free(text);
    cJSON_Delete(object);
}

const char *store_tool_size(uint64_t bytes)
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    static char texts[4][32];
    static unsigned at;
    char *text = texts[at++ % 4];
    double size = (double)bytes;
    unsigned unit = 0;

    while (size >= 1024 && unit + 1 < ARRAY_LEN(units)) {
        size /= 1024;
        unit++;
    }
    snprintf(text, sizeof texts[0], unit ? "%.1f %s" : "%.0f %s", size, units[unit]);
    return text;
}

uint64_t store_tool_files(const char *dir, const char *prefix, unsigned *count)
{
    DIR *d = opendir(dir);
    struct dirent *entry;
    uint64_t bytes = 0;
    struct stat st;

    *count = 0;
    while (d && (entry = readdir(d)) != NULL) {
        if (strncmp(entry->d_name, prefix, strlen(prefix)) == 0 &&
            fstatat(dirfd(d), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
            bytes += (uint64_t)st.st_size;
            ++*count;
        }
    }
    if (d)
        closedir(d);
    return bytes;
}

/* -- Interrupts -- */

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
    interrupted = number;
}

void store_tool_catch(void)
{
    struct sigaction catch = {.sa_handler = on_signal}; /* a blocked read ends with EINTR */

    interrupted = 0;
    sigaction(SIGINT, &catch, NULL);
    sigaction(SIGTERM, &catch, NULL);
    sigaction(SIGHUP, &catch, NULL);
}

bool store_tool_interrupted(void)
{
    return interrupted != 0;
}
