/* crash-cut: builds the folder that a power cut would have left at one moment of a traced run.
 *
 *     crash-cut OUT EVENTS drop|keep|torn SEED TRACE...
 *
 * The traces are the shim's, of one life of the broker each, the first on an empty folder; what a
 * killed one had not synced stays so in the next.  OUT is made.  The first EVENTS events of all
 * have happened.  What was synced by then is there.  Of what was written since, `drop` leaves
 * nothing, `keep` everything, and `torn`, by the dice, each sector as it was before or after any of
 * the writes to it; of the changes of names that were not synced, a first part.
 *
 * A sector is the smallest thing a disk writes whole. */
#include "../shim/shim.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SECTOR = 512, FILES = 8192, NAME = 256, LIVES = 16 };

enum mode { DROP, KEEP, TORN };

struct pending {
    const struct trace_event *event;
    uint64_t number;
    uint32_t file;
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
static struct names now, stable;  /* as the broker sees them; as they are on the disk */
static uint32_t number_of[FILES]; /* this life's numbers of files -> ours */
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
    f->writes[f->count++] = (struct pending){e, number, 0};
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

/* The names in an event, ended by a NUL each. */
static void text_of(const struct trace_event *e, char text[2 * NAME])
{
    memset(text, 0, 2 * NAME);
    memcpy(text, body(e), e->len < 2 * NAME - 1 ? e->len : 2 * NAME - 1);
}

static void names_apply(struct names *n, const struct pending *p)
{
    char text[2 * NAME];

    text_of(p->event, text);
    struct entry *entry = names_find(n, text);
    if (p->event->kind == TRACE_CREATED) {
        names_put(n, text, p->file);
    } else if (entry) {
        uint32_t file = entry->file;
        entry->there = false;
        if (p->event->kind == TRACE_RENAME)
            names_put(n, text + strlen(text) + 1, file);
    }
}

static void names_synced(uint64_t began)
{
    size_t kept = 0;

    for (size_t i = 0; i < rename_count; i++) {
        if (renames[i].number < began)
            names_apply(&stable, &renames[i]);
        else
            renames[kept++] = renames[i];
    }
    rename_count = kept;
}

/* -- The run -- */

static uint32_t fresh(const struct trace_event *e)
{
    if (file_count == FILES || e->file >= FILES || rename_count == FILES) {
        fprintf(stderr, "crash-cut: the trace is too long\n");
        exit(1);
    }
    return number_of[e->file] = file_count++;
}

static void renamed(const struct trace_event *e, uint64_t number, uint32_t file)
{
    renames[rename_count++] = (struct pending){e, number, file};
    names_apply(&now, &renames[rename_count - 1]);
}

/* An earlier life's file; one that no trace saw made is not to be. */
static void found(const struct trace_event *e)
{
    char text[2 * NAME];

    text_of(e, text);
    const struct entry *entry = names_find(&now, text);
    if (!entry) {
        fprintf(stderr, "crash-cut: %s was there before\n", text);
        exit(1);
    }
    number_of[e->file] = entry->file;
}

/* `first`: the number of this life's first event. */
static void step(const struct trace_event *e, uint64_t number, uint64_t first)
{
    switch (e->kind) {
    case TRACE_FOUND:
        found(e);
        break;
    case TRACE_WRITE:
    case TRACE_SIZE:
        file_wrote(&files[number_of[e->file]], e, number);
        break;
    case TRACE_SYNCED:
        file_synced(&files[number_of[e->file]], first + e->at);
        break;
    case TRACE_CREATED:
        renamed(e, number, fresh(e));
        break;
    case TRACE_RENAME:
    case TRACE_UNLINK:
        renamed(e, number, 0);
        break;
    case TRACE_DIR_SYNCED:
        names_synced(first + e->at);
        break;
    default: /* TRACE_ACCEPTED, TRACE_SENT: the driver's */
        break;
    }
}

/* One life, up to `events` over all; the number of events by its end. */
static uint64_t play(const uint8_t *bytes, size_t size, uint64_t first, uint64_t events)
{
    size_t at = 0;
    uint64_t number = first;

    for (; number < events && at + sizeof(struct trace_event) <= size; number++) {
        const struct trace_event *e = (const struct trace_event *)(bytes + at);
        at += sizeof *e + (e->kind == TRACE_SENT ? 0 : (e->len + 7) & ~(uint64_t)7);
        if (at > size) /* the process ended within this entry */
            break;
        step(e, number, first);
    }
    return number;
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

/* With the folders above it. */
static void make_dir(char *path)
{
    for (char *slash = strchr(path + 1, '/');; slash = strchr(slash + 1, '/')) {
        if (slash)
            *slash = 0;
        if (mkdir(path, 0700) < 0 && errno != EEXIST)
            fail("mkdir", path);
        if (!slash)
            return;
        *slash = '/';
    }
}

static void cut(enum mode mode, uint64_t seed)
{
    size_t kept = reached(mode, rename_count, dice(seed, FILES, 0));

    for (size_t i = 0; i < kept; i++)
        names_apply(&stable, &renames[i]);
    for (uint32_t i = 0; i < file_count; i++)
        tear(&files[i], i, mode, seed);
}

static void leave_all(char *dir)
{
    make_dir(dir);
    for (size_t i = 0; i < stable.count; i++) {
        if (stable.entries[i].there)
            leave(&files[stable.entries[i].file], dir, stable.entries[i].name);
    }
    for (uint32_t i = 0; i < file_count; i++) {
        free(files[i].stable);
        free(files[i].writes);
    }
}

int main(int argc, char **argv)
{
    uint8_t *lives[LIVES];

    if (argc < 6 || argc > 5 + LIVES) {
        fprintf(stderr, "usage: crash-cut OUT EVENTS drop|keep|torn SEED TRACE...\n");
        return 2;
    }
    enum mode mode = argv[3][0] == 'd' ? DROP : argv[3][0] == 'k' ? KEEP : TORN;
    uint64_t seed = strtoull(argv[4], NULL, 10), events = strtoull(argv[2], NULL, 10), played = 0;
    for (int i = 5; i < argc; i++) {
        size_t size;
        lives[i - 5] = slurp(argv[i], &size);
        played = play(lives[i - 5], size, played, events);
    }
    cut(mode, seed);
    leave_all(argv[1]);
    for (int i = 5; i < argc; i++)
        free(lives[i - 5]);
    return 0;
}
