/* skepctl module new: the first files of a module, out of sdk/template. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "ctl/arg.h"
#include "ctl/fault.h"
#include "ctl/module.h"
#include "ctl/template.h"

enum { NAME_LONGEST = 32 };

struct project {
    const char *name, *dir;
    char own_dir[NAME_LONGEST + 3];
};

static const struct arg_option project_options[] = {
    ARG_FIELD(ARG_TEXT, 'd', "dir", struct project, dir, "DIR",
              "the folder to make, or an empty one that is there (default: ./NAME)"),
    ARG_LAST,
};

/* -- The name: of a file, a CMake target and a word in skep.conf -- */

static const char *const reserved[] = {"all",  "clean",   "edit_cache",    "help", "install",
                                       "list", "package", "rebuild_cache", "skep", "test"};

static bool is_reserved(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(reserved); i++) {
        if (strcmp(name, reserved[i]) == 0)
            return true;
    }
    return false;
}

static int name_check(const char *name, struct fault *fault)
{
    size_t len = strlen(name);

    if (len == 0 || len > NAME_LONGEST ||
        name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_")] || name[0] < 'a') {
        fault_set(fault, "'%s' cannot be the name of a module", name);
        return fault_hint(fault, "a letter, then letters, digits and _; all small, at most %d",
                          NAME_LONGEST);
    }
    if (is_reserved(name))
        return fault_set(fault, "'%s' means something to CMake or Skep already", name);
    return 0;
}

/* -- The folder -- */

static bool is_empty(const char *dir)
{
    DIR *d = opendir(dir);
    const struct dirent *e;
    bool empty = d;

    while (d && (e = readdir(d))) {
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            empty = false;
    }
    if (d)
        closedir(d);
    return empty;
}

/* An empty folder that is there is as good as a new one: `mkdir x; cd x; ... --dir .` */
static int folder_make(const char *dir, struct fault *fault)
{
    if (mkdir(dir, 0777) == 0)
        return 0;
    if (errno != EEXIST)
        return fault_set(fault, "cannot make %s: %s", dir, strerror(errno));
    if (is_empty(dir))
        return 0;
    fault_set(fault, "%s is there already, and is not an empty folder", dir);
    return fault_hint(fault, "nothing was written; --dir names another place");
}

/* -- The files -- */

/* "module_test.c" becomes "NAME_test.c". */
static int file_path(const struct project *p, const char *name, char out[PATH_MAX],
                     struct fault *fault)
{
    bool named = strncmp(name, "module", 6) == 0;
    int len = snprintf(out, PATH_MAX, "%s/%s%s", p->dir, named ? p->name : "", name + 6 * named);

    return len < PATH_MAX ? 0 : fault_set(fault, "the path of %s is too long", p->dir);
}

static void text_write(FILE *out, const char *text, const char *name)
{
    const char *mark;

    while ((mark = strstr(text, "@NAME@"))) {
        fwrite(text, 1, (size_t)(mark - text), out);
        fputs(name, out);
        text = mark + 6;
    }
    fputs(text, out);
}

static int file_write(const struct project *p, const struct template_file *file,
                      struct fault *fault)
{
    char path[PATH_MAX];

    if (file_path(p, file->name, path, fault) < 0)
        return -1;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    FILE *out = fd < 0 ? NULL : fdopen(fd, "w");
    if (!out) {
        fault_set(fault, "cannot write %s: %s", path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return -1;
    }
    text_write(out, file->text, p->name);
    bool whole = !ferror(out);
    if (fclose(out) != 0 || !whole)
        return fault_set(fault, "cannot write %s: %s", path, strerror(errno));
    return 0;
}

static int project_write(const struct project *p, struct fault *fault)
{
    for (unsigned i = 0; i < template_file_count; i++) {
        if (file_write(p, &template_files[i], fault) < 0)
            return -1;
    }
    return 0;
}

static void say_what_next(const struct project *p)
{
    printf("%s is in %s.  Next:\n\n"
           "  cd %s\n"
           "  cmake -B build && cmake --build build\n"
           "  ctest --test-dir build --output-on-failure\n"
           "  skep -c example.conf\n\n"
           "%s/README.md says more.\n",
           p->name, p->dir, p->dir, p->dir);
}

int module_new_command(int argc, char **argv)
{
    struct project p = {0};
    struct fault fault = {0};
    struct arg_command command = {
        .name = "skepctl module new",
        .usage = "NAME [--dir DIR]",
        .summary = "Begins a module: a folder with a module that decides about CONNECT, its test, "
                   "an example configuration and a README.  Nothing is overwritten.",
        .after = "Example:\n"
                 "  skepctl module new my_auth\n",
        .sets = {{project_options, &p}},
    };
    int status = arg_parse(&command, argc, argv);

    if (status != 0)
        return status > 0 ? CTL_OK : CTL_USAGE;
    if (command.word_count != 1) {
        arg_error(&command, command.word_count ? "give one NAME" : "which name?  Give NAME");
        return CTL_USAGE;
    }
    p.name = command.words[0];
    if (name_check(p.name, &fault) < 0) {
        fault_print(&fault, command.name);
        return CTL_USAGE;
    }
    snprintf(p.own_dir, sizeof p.own_dir, "./%s", p.name);
    if (!p.dir)
        p.dir = p.own_dir;
    if (folder_make(p.dir, &fault) < 0 || project_write(&p, &fault) < 0) {
        fault_print(&fault, command.name);
        return CTL_FAILED;
    }
    say_what_next(&p);
    return CTL_OK;
}
