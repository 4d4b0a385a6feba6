/* crash-cut: builds the folder that a power cut would have left at one moment of a traced run.
 *
 *     crash-cut TRACE BASE OUT EVENTS drop|keep|torn SEED
 *
 * TRACE is the shim's, BASE the folder as it was before (may be empty), OUT an empty folder.  The
 * first EVENTS events have happened.  What was synced by then is there.  Of what was written
 * since, `drop` leaves nothing, `keep` everything, and `torn`, by the dice, each sector as it was
 * before or after any of the writes to it; of the changes of names that were not synced, a
 * first part.
 *
 * A sector is the smallest thing a disk writes whole. */
#include "../shim/shim.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SECTOR = 512, FILES = 8192, NAME = 256 };

enum mode { DROP, KEEP, TORN };

struct pending {
    const struct trace_event *event;
    uint64_t number;
};

struct file {
    uint8_t *stable;
    size_t size, cap;
    struct pending *writes; /* and changes of size, in their order */
    size_t count, room;
};

struct entry {
    char name[NAME];
    uint32_t file;
    bool there;
};

struct names {
    struct entry entries[FILES];
    size_t count;
};

static struct file files[FILES];
static uint32_t file_count;
static struct names names; /* those that are on the disk */
static struct pending renames[FILES];
static size_t rename_count;

static _Noreturn void fail(const char *what, const char *which)
{
    fprintf(stderr, "crash-cut: %s: ", which);
    perror(what);
    exit(1);
}

static void *grown(void *p, size_t count, size_t size)
{
    p = realloc(p, count * size);
    if (!p)
        fail("realloc", "memory");
    return p;
}

static uint8_t *slurp(const char *path, size_t *size)
{
    int fd = open(path, O_RDONLY);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        fail("open", path);
    uint8_t *bytes = grown(NULL, (size_t)st.st_size + 1, 1);
    for (size_t got = 0; got < (size_t)st.st_size;) {
        ssize_t n = read(fd, bytes + got, (size_t)st.st_size - got);
        if (n <= 0)
            fail("read", path);
        got += (size_t)n;
    }
    close(fd);
    *size = (size_t)st.st_size;
    return bytes;
}

/* -- Files -- */

static void resize(struct file *f, size_t size)
{
    if (size > f->cap) {
        f->cap = size * 2;
        f->stable = grown(f->stable, f->cap, 1);
    }
    if (size > f->size)
        memset(f->stable + f->size, 0, size - f->size);
    f->size = size;
}

static const uint8_t *body(const struct trace_event *e)
{
    return (const uint8_t *)(e + 1);
}

static void apply_part(struct file *f, const struct trace_event *e, uint64_t from, uint64_t to)
{
    if (to > f->size)
        resize(f, to);
    memcpy(f->stable + from, body(e) + (from - e->at), to - from);
}

static void apply(struct file *f, const struct trace_event *e)
{
    if (e->kind == TRACE_SIZE)
        resize(f, e->at);
    else
        apply_part(f, e, e->at, e->at + e->len);
}

static void file_synced(struct file *f, uint64_t began)
{
    size_t kept = 0;

    for (size_t i = 0; i < f->count; i++) {
        if (f->writes[i].number < began)
            apply(f, f->writes[i].event);
        else
            f->writes[kept++] = f->writes[i];
    }
    f->count = kept;
}

static void file_wrote(struct file *f, const struct trace_event *e, uint64_t number)
{
    if (f->count == f->room) {
        f->room = f->room ? f->room * 2 : 16;
        f->writes = grown(f->writes, f->room, sizeof *f->writes);
    }
    f->writes[f->count++] = (struct pending){e, number};
}

/* -- Names -- */

static struct entry *names_find(struct names *n, const char *name)
{
    for (size_t i = 0; i < n->count; i++) {
        if (n->entries[i].there && strcmp(n->entries[i].name, name) == 0)
            return &n->entries[i];
    }
    return NULL;
}

static void names_put(struct names *n, const char *name, uint32_t file)
{
    struct entry *e = names_find(n, name);

    if (!e)
        e = &n->entries[n->count++];
    snprintf(e->name, sizeof e->name, "%s", name);
    e->file = file;
    e->there = true;
}

static void names_apply(const struct trace_event *e)
{
    char text[2 * NAME] = {0};

    memcpy(text, body(e), e->len < sizeof text ? e->len : sizeof text - 1);
    struct entry *entry = names_find(&names, text);
    if (e->kind == TRACE_CREATED) {
        names_put(&names, text, e->file);
    } else if (entry) {
        entry->there = false;
        if (e->kind == TRACE_RENAME)
            names_put(&names, text + strlen(text) + 1, entry->file);
    }
}

static void names_synced(uint64_t began)
{
    size_t kept = 0;

    for (size_t i = 0; i < rename_count; i++) {
        if (renames[i].number < began)
            names_apply(renames[i].event);
        else
            renames[kept++] = renames[i];
    }
    rename_count = kept;
}

/* -- The run -- */

static void found(const char *base, const struct trace_event *e)
{
    struct file *f = &files[e->file];
    char name[NAME] = {0}, path[4096];

    memcpy(name, body(e), e->len < NAME ? e->len : NAME - 1);
    snprintf(path, sizeof path, "%s/%s", base, name);
    f->stable = slurp(path, &f->size);
    f->cap = f->size;
    names_put(&names, name, e->file);
}

static void step(const char *base, const struct trace_event *e, uint64_t number)
{
    if (e->file >= file_count && e->kind <= TRACE_SIZE)
        file_count = e->file + 1;
    switch (e->kind) {
    case TRACE_FOUND:
        found(base, e);
        break;
    case TRACE_WRITE:
    case TRACE_SIZE:
        file_wrote(&files[e->file], e, number);
        break;
    case TRACE_SYNCED:
        file_synced(&files[e->file], e->at);
        break;
    case TRACE_CREATED:
    case TRACE_RENAME:
    case TRACE_UNLINK:
        renames[rename_count++] = (struct pending){e, number};
        break;
    case TRACE_DIR_SYNCED:
        names_synced(e->at);
        break;
    default: /* TRACE_ACCEPTED, TRACE_SENT: the driver's */
        break;
    }
}

static void play(const uint8_t *bytes, size_t size, const char *base, uint64_t events)
{
    size_t at = 0;

    for (uint64_t i = 0; i < events && at + sizeof(struct trace_event) <= size; i++) {
        const struct trace_event *e = (const struct trace_event *)(bytes + at);
        at += sizeof *e + (e->kind == TRACE_SENT ? 0 : (e->len + 7) & ~(uint64_t)7);
        if (at <= size)
            step(base, e, i);
    }
}

/* -- The cut -- */

static uint64_t dice(uint64_t seed, uint64_t a, uint64_t b)
{
    uint64_t x = seed ^ a * 0x9e3779b97f4a7c15ull ^ (b + 1) * 0xbf58476d1ce4e5b9ull;

    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ x >> 27) * 0x94d049bb133111ebull;
    return x ^ x >> 31;
}

/* How many of the n writes reached this sector: often none or all, which are the usual ends. */
static uint64_t reached(enum mode mode, uint64_t n, uint64_t luck)
{
    if (mode == DROP || mode == KEEP)
        return mode == DROP ? 0 : n;
    return luck % 4 == 0 ? 0 : luck % 4 == 1 ? n : (luck >> 8) % (n + 1);
}

static void tear(struct file *f, uint32_t number, enum mode mode, uint64_t seed)
{
    for (size_t i = 0; i < f->count; i++) {
        const struct trace_event *e = f->writes[i].event;
        if (e->kind == TRACE_SIZE) {
            if (reached(mode, f->count, dice(seed, number, UINT64_MAX)) > i)
                resize(f, e->at);
            continue;
        }
        for (uint64_t at = e->at; at < e->at + e->len;) {
            uint64_t sector = at / SECTOR, to = (sector + 1) * SECTOR;
            to = to < e->at + e->len ? to : e->at + e->len;
            if (reached(mode, f->count, dice(seed, number, sector)) > i)
                apply_part(f, e, at, to);
            at = to;
        }
    }
}

static void leave(const struct file *f, const char *dir, const char *name)
{
    char path[4096];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (fd < 0)
        fail("open", path);
    for (size_t done = 0; done < f->size;) {
        ssize_t n = write(fd, f->stable + done, f->size - done);
        if (n <= 0)
            fail("write", path);
        done += (size_t)n;
    }
    close(fd);
}

int main(int argc, char **argv)
{
    size_t size;

    if (argc != 7) {
        fprintf(stderr, "usage: crash-cut TRACE BASE OUT EVENTS drop|keep|torn SEED\n");
        return 2;
    }
    enum mode mode = argv[5][0] == 'd' ? DROP : argv[5][0] == 'k' ? KEEP : TORN;
    uint64_t seed = strtoull(argv[6], NULL, 10);
    uint8_t *bytes = slurp(argv[1], &size);
    play(bytes, size, argv[2], strtoull(argv[4], NULL, 10));
    size_t renamed = reached(mode, rename_count, dice(seed, FILES, 0));
    for (size_t i = 0; i < renamed; i++)
        names_apply(renames[i].event);
    for (uint32_t i = 0; i < file_count; i++)
        tear(&files[i], i, mode, seed);
    for (size_t i = 0; i < names.count; i++) {
        if (names.entries[i].there)
            leave(&files[names.entries[i].file], argv[3], names.entries[i].name);
    }
    return 0;
}
