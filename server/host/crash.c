/* The report of a crash.  Everything below runs in a signal handler, on a process that is broken:
 * no allocation, no lock, no stdio; only write(). */
#include "host/crash.h"

#include <execinfo.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "host/instance.h"

_Thread_local struct blame blame_here;

enum { KNOWN_MAX = 128, FRAMES_MAX = 48, LINE_MAX_BYTES = 512 };

/* -- Where code is -- */

static struct known {
    _Atomic(const void *) key; /* NULL: free; set last */
    uintptr_t base, end;
    const char *file;
} known[KNOWN_MAX];
static uintptr_t program_base;

void crash_know(const void *key, uintptr_t base, uintptr_t end, const char *file)
{
    for (size_t i = 0; i < KNOWN_MAX; i++) {
        struct known *k = &known[i];
        if (atomic_load(&k->key))
            continue;
        k->base = base;
        k->end = end;
        k->file = file;
        atomic_store(&k->key, key);
        return;
    }
}

void crash_unknow(const void *key)
{
    for (size_t i = 0; i < KNOWN_MAX; i++)
        if (atomic_load(&known[i].key) == key)
            atomic_store(&known[i].key, NULL);
}

/* -- A line -- */

struct line {
    char bytes[LINE_MAX_BYTES];
    size_t len;
};

static void put(struct line *l, const char *text)
{
    while (text && *text && l->len < sizeof l->bytes - 1)
        l->bytes[l->len++] = *text++;
}

static void put_hex(struct line *l, uintptr_t n)
{
    char digits[2 + 2 * sizeof n + 1];
    char *at = digits + sizeof digits - 1;

    *at = '\0';
    do {
        *--at = "0123456789abcdef"[n % 16];
        n /= 16;
    } while (n);
    *--at = 'x';
    *--at = '0';
    put(l, at);
}

static void end_line(struct line *l)
{
    l->bytes[l->len++] = '\n';
    log_emergency(l->bytes, l->len);
    l->len = 0;
}

/* -- The report -- */

static const char *signal_name(int sig)
{
    return sig == SIGSEGV   ? "SIGSEGV (bad memory access)"
           : sig == SIGBUS  ? "SIGBUS (bad memory access)"
           : sig == SIGFPE  ? "SIGFPE (bad arithmetic)"
           : sig == SIGILL  ? "SIGILL (bad instruction)"
           : sig == SIGABRT ? "SIGABRT (gave up)"
                            : "a fatal signal";
}

static void say_who(struct line *l, int sig, uintptr_t address)
{
    const struct host_place *p = host_here;
    struct blame b = p ? (struct blame){p->asked, p->hook} : blame_here;

    put(l, "skep: crashed: ");
    put(l, signal_name(sig));
    if (sig == SIGSEGV || sig == SIGBUS) {
        put(l, " at ");
        put_hex(l, address);
    }
    if (b.asked && b.asked->magic == SKEP_MODULE_MAGIC) {
        put(l, ", in module ");
        put(l, b.asked->name);
        put(l, ", hook ");
        put(l, b.hook);
    } else {
        put(l, ", outside of any module");
    }
    end_line(l);
}

static void say_frame(struct line *l, uintptr_t at)
{
    const struct known *k = NULL;

    for (size_t i = 0; i < KNOWN_MAX && !k; i++)
        if (atomic_load(&known[i].key) && at >= known[i].base && at < known[i].end)
            k = &known[i];
    put(l, "skep:   ");
    put_hex(l, at);
    put(l, k ? " = " : "");
    if (k) {
        put(l, k->file);
        put(l, " + ");
        put_hex(l, at - k->base);
    }
    end_line(l);
}

static void say_frames(struct line *l)
{
    void *frames[FRAMES_MAX];
    int count = backtrace(frames, FRAMES_MAX);

    put(l, "skep: where, innermost first (addr2line -e FILE OFFSET; skep itself begins at ");
    put_hex(l, program_base);
    put(l, "):");
    end_line(l);
    for (int i = 0; i < count; i++)
        say_frame(l, (uintptr_t)frames[i]);
}

static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
static struct sigaction before[ARRAY_LEN(signals)];

/* Others crash, too, when the first does; one report is enough. */
static void take_course(int sig, const siginfo_t *info)
{
    for (size_t i = 0; i < ARRAY_LEN(signals); i++)
        sigaction(signals[i], &before[i], NULL);
    if (sig == SIGABRT || info->si_code <= 0)
        raise(sig); /* else the instruction is tried once more, and fails as it did */
}

static void on_crash(int sig, siginfo_t *info, void *context)
{
    static atomic_flag told = ATOMIC_FLAG_INIT;
    static struct line line; /* the stack may be what has run out */

    if (!atomic_flag_test_and_set(&told)) {
        say_who(&line, sig, (uintptr_t)info->si_addr);
        say_frames(&line);
        take_course(sig, info);
    } else {
        pause();
    }
}

static int first_object(struct dl_phdr_info *info, size_t size, void *arg)
{
    program_base = info->dlpi_addr;
    return 1;
}

/* -- Stacks for the handler -- */

enum { STACK_BYTES = 64 << 10 };

static pthread_key_t stack_key;
static pthread_once_t stack_once = PTHREAD_ONCE_INIT;

static void stack_free(void *stack)
{
    const stack_t none = {.ss_flags = SS_DISABLE};

    sigaltstack(&none, NULL);
    munmap(stack, STACK_BYTES);
}

static void stack_key_make(void)
{
    ASSERT(pthread_key_create(&stack_key, stack_free) == 0);
}

void crash_thread(void)
{
    stack_t stack = {.ss_size = STACK_BYTES}, old;

    if (sigaltstack(NULL, &old) < 0 || !(old.ss_flags & SS_DISABLE))
        return; /* a sanitizer has given it one */
    pthread_once(&stack_once, stack_key_make);
    stack.ss_sp =
        mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (stack.ss_sp == MAP_FAILED)
        return;
    sigaltstack(&stack, NULL);
    pthread_setspecific(stack_key, stack.ss_sp);
}

void crash_install(void)
{
    struct sigaction act = {.sa_sigaction = on_crash, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    void *warm[1];

    crash_thread();
    backtrace(warm, 1); /* loads its library now, not in the handler */
    dl_iterate_phdr(first_object, NULL);
    sigemptyset(&act.sa_mask);
    for (size_t i = 0; i < ARRAY_LEN(signals); i++)
        sigaction(signals[i], &act, &before[i]);
}
