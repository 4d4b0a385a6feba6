#include "ctl/outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int open_failed(const char *path, struct fault *fault)
{
    return fault_set(fault, "cannot write %s: %s", path, strerror(errno));
}

int outfile_open(struct outfile *f, const char *path, struct fault *fault)
{
    struct stat st;
    int fd;

    *f = (struct outfile){.path = path};
    if (strcmp(path, "-") == 0) {
        f->stream = stdout;
        return 0;
    }
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
        f->stream = fopen(path, "we");
        return f->stream ? 0 : open_failed(path, fault);
    }
    if (snprintf(f->building, sizeof f->building, "%s.new", path) >= PATH_MAX)
        return fault_set(fault, "the name %.200s... is too long", path);
    fd = open(f->building, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || !(f->stream = fdopen(fd, "w"))) {
        open_failed(f->building, fault);
        if (fd >= 0)
            close(fd);
        return -1;
    }
    return 0;
}

int outfile_finish(struct outfile *f, struct fault *fault)
{
    FILE *stream = f->stream;
    int err = fflush(stream) != 0 || ferror(stream) ? -1 : 0;

    if (!err && f->building[0] && fsync(fileno(stream)) < 0)
        err = -1;
    if (err < 0)
        open_failed(f->path, fault);
    if (stream != stdout && fclose(stream) != 0 && !err)
        err = open_failed(f->path, fault);
    f->stream = NULL;
    if (!f->building[0])
        return err;
    if (!err && rename(f->building, f->path) < 0)
        err = open_failed(f->path, fault);
    if (err)
        unlink(f->building);
    return err;
}

void outfile_abort(struct outfile *f)
{
    if (f->stream && f->stream != stdout)
        fclose(f->stream);
    if (f->stream && f->building[0])
        unlink(f->building);
    f->stream = NULL;
}
