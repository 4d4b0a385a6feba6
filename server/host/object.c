#include "host/object.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "host/bind.h"
#include "host/crash.h"

static struct object *objects;

/* -- Bytes -- */

static int fail(char *why, size_t why_size, const char *text)
{
    snprintf(why, why_size, "%s", text);
    return ERR_SYSTEM;
}

/* Copies the rest of `from` into `to`. */
static int copy(int from, int to)
{
    char *buf = xmalloc(1 << 16);
    ssize_t n;

    while ((n = read(from, buf, 1 << 16)) > 0 || (n < 0 && errno == EINTR)) {
        for (ssize_t at = 0; at < n;) {
            ssize_t w = write(to, buf + at, (size_t)(n - at));
            if (w < 0)
                goto out;
            at += w;
        }
    }
out:
    free(buf);
    return n == 0 ? 0 : ERR_SYSTEM;
}

static void hash_memory(int fd, size_t size, unsigned char out[32])
{
    void *bytes = size ? mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;

    memset(out, 0, 32);
    if (bytes == MAP_FAILED)
        return;
    EVP_Digest(bytes, size, out, NULL, EVP_sha256(), NULL);
    munmap(bytes, size);
}

void object_hash_file(const char *path, unsigned char out[32])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct stat st;

    memset(out, 0, 32);
    if (fd < 0)
        return;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size <= OBJECT_FILE_MAX) {
        hash_memory(fd, (size_t)st.st_size, out);
    } else {
        uint64_t facts[4] = {st.st_mode, (uint64_t)st.st_size, (uint64_t)st.st_mtim.tv_sec,
                             (uint64_t)st.st_mtim.tv_nsec};
        memcpy(out, facts, sizeof facts);
    }
    close(fd);
}

/* The file as memory, with its size and hash. */
static int take_file(const char *path, int *memory, unsigned char hash[32], char *why, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), mem = -1;
    struct stat st = {0};
    int err = ERR_SYSTEM;

    if (fd < 0 || fstat(fd, &st) < 0)
        fail(why, size, strerror(errno));
    else if (!S_ISREG(st.st_mode))
        fail(why, size, "it is no file");
    else if (st.st_size > OBJECT_FILE_MAX)
        fail(why, size, "it is too large for a module");
    else if ((mem = memfd_create("skep-module", MFD_CLOEXEC)) < 0 || copy(fd, mem) < 0 ||
             fstat(mem, &st) < 0)
        fail(why, size, strerror(errno));
    else
        err = 0;
    if (fd >= 0)
        close(fd);
    if (err < 0 && mem >= 0)
        close(mem);
    else if (err == 0)
        hash_memory(mem, (size_t)st.st_size, hash);
    *memory = mem;
    return err;
}

/* -- Code -- */

/* dlerror() names our path below /proc, which helps nobody. */
static void explain(char *why, size_t why_size)
{
    const char *text = dlerror(), *symbol = text ? strstr(text, "undefined symbol: ") : NULL;
    const char *colon = text ? strstr(text, ": ") : NULL;

    if (!symbol) {
        snprintf(why, why_size, "%s", colon ? colon + 2 : text ? text : "cannot be loaded");
        return;
    }
    symbol += strlen("undefined symbol: ");
    int len = (int)strcspn(symbol, " ,");
    if (strncmp(symbol, "skep_", 5) == 0)
        snprintf(why, why_size,
                 "it needs %.*s, which this Skep (SDK %d.%d) does not have: it was made for a "
                 "newer SDK",
                 len, symbol, SKEP_ABI_MAJOR, SKEP_ABI_MINOR);
    else
        snprintf(why, why_size, "it needs %.*s, which no library it is linked to defines", len,
                 symbol);
}

/* Copies as much as both sides know. */
static int take_descriptor(struct object *o, char *why, size_t why_size)
{
    const struct skep_descriptor *d = dlsym(o->handle, "skep_module_descriptor");

    if (!d)
        return fail(why, why_size, "it is no Skep module: it exports no skep_module_descriptor");
    if (d->abi_major != SKEP_ABI_MAJOR) {
        snprintf(why, why_size, "it was made for SDK %u.%u; this Skep takes modules of SDK %d.x",
                 d->abi_major, d->abi_minor, SKEP_ABI_MAJOR);
        return ERR_INVALID;
    }
    if (d->size < offsetof(struct skep_descriptor, on_connect))
        return fail(why, why_size, "its descriptor is cut short: is .size missing?");
    snprintf(o->sdk, sizeof o->sdk, "%u.%u", d->abi_major, d->abi_minor);
    memcpy(&o->d, d, d->size < sizeof o->d ? d->size : sizeof o->d);
    return 0;
}

static int note_range(struct dl_phdr_info *info, size_t size, void *object)
{
    struct object *o = object;
    const struct link_map *map = o->handle;

    if (info->dlpi_addr != map->l_addr)
        return 0;
    o->base = info->dlpi_addr;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        uintptr_t end = info->dlpi_addr + p->p_vaddr + p->p_memsz;
        if (p->p_type == PT_LOAD && end > o->end)
            o->end = end;
    }
    return 1;
}

static int load_code(struct object *o, char *why, size_t why_size)
{
    char path[64];
    int err;

    snprintf(path, sizeof path, "/proc/self/fd/%d", o->memory);
    o->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!o->handle) {
        explain(why, why_size);
        return ERR_SYSTEM;
    }
    dl_iterate_phdr(note_range, o);
    crash_know(o, o->base, o->end, o->path);
    if ((err = take_descriptor(o, why, why_size)) < 0)
        return err;
    return bind_object(o, why, why_size);
}

/* glibc finds loaded code by the name it was opened under: as long as it does not let go (a library
 * may ask for that), the descriptor's number must not name another module. */
static void unload_code(struct object *o)
{
    char path[64];
    void *still;

    snprintf(path, sizeof path, "/proc/self/fd/%d", o->memory);
    crash_unknow(o);
    if (o->handle)
        dlclose(o->handle);
    still = o->handle ? dlopen(path, RTLD_NOW | RTLD_NOLOAD) : NULL;
    if (still)
        dlclose(still);
    else
        close(o->memory);
}

static void object_free(struct object *o)
{
    unload_code(o);
    arena_fini(&o->arena);
    free(o->path);
    free(o);
}

static struct object *find(const char *path, const unsigned char hash[32])
{
    for (struct object *o = objects; o; o = o->next)
        if (strcmp(o->path, path) == 0 && memcmp(o->hash, hash, 32) == 0)
            return o;
    return NULL;
}

int object_open(struct object **out, const char *path, char *why, size_t why_size)
{
    unsigned char hash[32];
    struct object *o;
    int memory, err = take_file(path, &memory, hash, why, why_size);

    if (err < 0)
        return err;
    if ((o = find(path, hash)) != NULL) {
        close(memory);
        *out = object_ref(o);
        return 0;
    }
    o = xcalloc(1, sizeof *o);
    o->refs = 1;
    o->path = str_dup(str_of(path));
    o->memory = memory;
    memcpy(o->hash, hash, sizeof hash);
    if ((err = load_code(o, why, why_size)) < 0) {
        object_free(o);
        return err;
    }
    o->next = objects;
    objects = o;
    *out = o;
    return 0;
}

struct object *object_ref(struct object *o)
{
    o->refs++;
    return o;
}

void object_unref(struct object **object)
{
    struct object *o = *object;
    struct object **at = &objects;

    *object = NULL;
    if (!o || --o->refs > 0)
        return;
    while (*at && *at != o)
        at = &(*at)->next;
    if (*at)
        *at = o->next;
    object_free(o);
}
