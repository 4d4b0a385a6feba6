#include "conf/source.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static size_t read_all(int fd, char *out, size_t size)
{
    size_t len = 0;

    while (len < size) {
        ssize_t n = read(fd, out + len, size - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    return len;
}

static void file_read(void *arg, const char *path, size_t max_bytes, struct arena *arena,
                      struct str *out, const char **why)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct stat st;
    char *text;

    *out = STR_NONE;
    if (fd < 0 || fstat(fd, &st) < 0) {
        *why = strerror(errno);
    } else if (S_ISDIR(st.st_mode)) {
        *why = "it is a directory";
    } else if (st.st_size > (off_t)max_bytes) {
        *why = "it is too long for a configuration";
    } else {
        /* Pipes and /dev/stdin tell no size: leave them the maximum. */
        size_t room = S_ISREG(st.st_mode) ? (size_t)st.st_size : max_bytes;
        text = arena_alloc(arena, room + 1);
        *out = (struct str){text, read_all(fd, text, room)};
    }
    if (fd >= 0)
        close(fd);
}

static const char **file_glob(void *arg, const char *pattern, struct arena *arena, size_t *count)
{
    const char **paths = NULL;
    glob_t found;

    *count = 0;
    if (glob(pattern, 0, NULL, &found) != 0)
        return NULL;
    paths = ARENA_ARRAY(arena, const char *, found.gl_pathc);
    for (size_t i = 0; i < found.gl_pathc; i++)
        paths[i] = arena_cstr(arena, str_of(found.gl_pathv[i]));
    *count = found.gl_pathc;
    globfree(&found);
    return paths;
}

const struct source source_files = {.read = file_read, .glob = file_glob};

const char *source_relative(struct arena *arena, const char *file, struct str path)
{
    const char *slash = file ? strrchr(file, '/') : NULL;

    if (!slash || (path.len && path.ptr[0] == '/'))
        return arena_cstr(arena, path);
    return arena_printf(arena, "%.*s/%.*s", (int)(slash - file), file, STR_ARG(path));
}
