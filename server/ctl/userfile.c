#include "ctl/userfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/utf8.h"

enum { FILE_MAX = 256 * 1024 * 1024 };

/* -- Opening -- */

static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    if (!slash)
        return str_dup(STR("."));
    return str_dup((struct str){path, slash == path ? 1 : (size_t)(slash - path)});
}

/* Two at once would lose one's changes: the folder's lock lets them take turns. */
static int folder_lock(struct userfile *u, struct fault *fault)
{
    char *name = folder_of(u->path);

    u->folder = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (u->folder < 0)
        fault_set(fault, "%s: %s", name, strerror(errno));
    else if (flock(u->folder, LOCK_EX) < 0)
        fault_set(fault, "%s cannot be locked: %s", name, strerror(errno));
    else
        errno = 0;
    free(name);
    return errno ? -1 : 0;
}

static int file_load(struct userfile *u, struct fault *fault)
{
    FILE *file = fopen(u->path, "re");
    struct stat st;
    int err;

    if (!file)
        return errno == ENOENT ? 0 : fault_set(fault, "%s: %s", u->path, strerror(errno));
    u->existed = true;
    err = fstat(fileno(file), &st) < 0 ? -1 : bytes_read(&u->text, file, FILE_MAX);
    if (err < 0)
        fault_set(fault, "%s: %s", u->path, strerror(errno));
    else if (!S_ISREG(st.st_mode))
        err = fault_set(fault, "%s is not a regular file", u->path);
    u->mode = st.st_mode & 0777;
    u->uid = st.st_uid;
    u->gid = st.st_gid;
    fclose(file);
    if (u->text.len && u->text.ptr[u->text.len - 1] != '\n')
        bytes_add(&u->text, "\n", 1);
    return err;
}

int userfile_open(struct userfile *u, const char *path, bool create, struct fault *fault)
{
    *u = (struct userfile){.folder = -1, .path = realpath(path, NULL)};
    if (!u->path)
        u->path = str_dup(str_of(path));
    if (folder_lock(u, fault) < 0 || file_load(u, fault) < 0)
        goto fail;
    if (!u->existed && !create) {
        fault_set(fault, "%s: there is no such file", path);
        fault_hint(fault, "--create makes a new one");
        goto fail;
    }
    return 0;
fail:
    userfile_close(u);
    return -1;
}

void userfile_close(struct userfile *u)
{
    if (u->folder >= 0)
        close(u->folder);
    u->folder = -1;
    free(u->path);
    u->path = NULL;
    bytes_fini(&u->text);
}

/* -- Lines -- */

const char *userfile_name_fault(struct str name)
{
    if (name.len == 0)
        return "it is empty";
    if (name.len > 65535)
        return "it is longer than 65535 bytes";
    if (!utf8_is_text(name))
        return "it is not UTF-8";
    if (memchr(name.ptr, ':', name.len))
        return "it holds a colon, which ends the name in the file";
    if (memchr(name.ptr, '\n', name.len) || memchr(name.ptr, '\r', name.len))
        return "it holds a line end";
    if (name.ptr[0] == '#')
        return "it begins with #, which begins a comment in the file";
    return NULL;
}

/* The line at *at with its end; false at the end of the text. */
static bool next_line(const struct userfile *u, size_t *at, struct str *line)
{
    const char *start = (const char *)u->text.ptr + *at, *end;

    if (*at >= u->text.len)
        return false;
    end = memchr(start, '\n', u->text.len - *at);
    *line = (struct str){start, end ? (size_t)(end - start) + 1 : u->text.len - *at};
    *at += line->len;
    return true;
}

bool userfile_next(const struct userfile *u, size_t *at, struct str *name, struct str *hash)
{
    struct str line;

    while (next_line(u, at, &line)) {
        const char *colon = memchr(line.ptr, ':', line.len);

        if (line.ptr[0] == '#' || !colon)
            continue;
        *name = (struct str){line.ptr, (size_t)(colon - line.ptr)};
        *hash = (struct str){colon + 1, line.len - name->len - 1};
        while (hash->len && (hash->ptr[hash->len - 1] == '\n' || hash->ptr[hash->len - 1] == '\r'))
            hash->len--;
        return true;
    }
    return false;
}

bool userfile_find(const struct userfile *u, struct str name, struct str *hash)
{
    size_t at = 0;
    struct str found;

    while (userfile_next(u, &at, &found, hash)) {
        if (str_eq(found, name))
            return true;
    }
    return false;
}

/* Replaces text[from, to) by `with`. */
static void text_splice(struct bytes *text, size_t from, size_t to, const struct bytes *with)
{
    size_t tail = text->len - to;

    bytes_room(text, with->len);
    memmove(text->ptr + from + with->len, text->ptr + to, tail);
    if (with->len)
        memcpy(text->ptr + from, with->ptr, with->len);
    text->len = from + with->len + tail;
}

/* Puts `line` in the place of the user's line, or at the end. */
static bool replace(struct userfile *u, struct str name, const struct bytes *line)
{
    size_t at = 0;
    struct str found, hash;

    while (userfile_next(u, &at, &found, &hash)) {
        if (str_eq(found, name)) {
            size_t from = (size_t)(found.ptr - (const char *)u->text.ptr);

            text_splice(&u->text, from, at, line);
            return true;
        }
    }
    bytes_add(&u->text, line->ptr, line->len);
    return false;
}

void userfile_put(struct userfile *u, struct str name, struct str hash)
{
    struct bytes line = {0};

    bytes_add(&line, name.ptr, name.len);
    bytes_add(&line, ":", 1);
    bytes_add(&line, hash.ptr, hash.len);
    bytes_add(&line, "\n", 1);
    replace(u, name, &line);
    bytes_fini(&line);
}

bool userfile_remove(struct userfile *u, struct str name)
{
    struct bytes nothing = {0};

    return replace(u, name, &nothing);
}

/* -- Saving -- */

static int write_all(int fd, const struct bytes *text)
{
    size_t done = 0;

    while (done < text->len) {
        ssize_t n = write(fd, text->ptr + done, text->len - done);

        if (n < 0 && errno != EINTR)
            return -1;
        done += n > 0 ? (size_t)n : 0;
    }
    return fsync(fd);
}

int userfile_save(const struct userfile *u, struct fault *fault)
{
    char *fresh;
    int fd, err;

    if (asprintf(&fresh, "%s.XXXXXX", u->path) < 0)
        return fault_set(fault, "out of memory");
    fd = mkostemp(fresh, O_CLOEXEC); /* mode 0600 */
    if (fd < 0) {
        fault_set(fault, "%s: %s", fresh, strerror(errno));
        free(fresh);
        return -1;
    }
    /* Only root can give it away; others own the old one already, or make it theirs. */
    if (u->existed && fchown(fd, u->uid, u->gid) == 0)
        fchmod(fd, u->mode & 0640);
    err = write_all(fd, &u->text);
    if (err == 0 && (err = rename(fresh, u->path)) == 0)
        fsync(u->folder);
    if (err < 0) {
        fault_set(fault, "%s: %s", u->path, strerror(errno));
        unlink(fresh);
    }
    close(fd);
    free(fresh);
    return err;
}
