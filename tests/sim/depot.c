#include "depot.h"

#include <sched.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "../unit/store/sim_disk.h"
#include "base/clock.h"
#include "store/record.h"
#include "store/store.h"

enum {
    NOBODY = WAL_WORKERS_MAX - 1, /* the worker in whose name padding is handed over */
    PADDING = 200,                /* a record that no version knows, and may skip */
    SPARE = 2,                    /* segments the log keeps ready */
    DEADLINE_MS = 60000,
    PATH_ROOM = 80,
};

/* The committer arrives, and waits until it has been let through as often. */
struct gate {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    uint64_t arrived, allowed;
    bool open;
    /* Faults, for whoever passes. */
    unsigned syncs;
    bool write;
    int error;
};

struct depot {
    struct sim *sim, *left; /* in use; what a crash leaves */
    struct store *store;
    struct gate gate;
    void (*settled)(void *arg, unsigned worker);
    void *arg;
    char dir[40];
    bool closing;
    bool cut_wanted; /* by depot_checkpoint() */
    enum depot_loss loss;
    uint64_t seed;
};

/* -- Time: of the one world there is -- */

static const struct fake_clock *mono;
static uint64_t wall_ahead_ms;

static uint64_t mono_now(void)
{
    return mono->now_ms;
}

static uint64_t wall_now(void)
{
    return mono->now_ms + wall_ahead_ms;
}

static const struct store_clock clock_of_the_world = {mono_now, wall_now};

uint64_t depot_wall_ms(const struct depot *d)
{
    return wall_now();
}

void depot_pass(struct depot *d, uint64_t ms)
{
    wall_ahead_ms += ms;
}

void depot_clock_set(struct depot *d, uint64_t before_ms)
{
    wall_ahead_ms += before_ms - mono->now_ms;
}

/* -- The gate -- */

static void gate_wait(struct gate *g, const uint64_t *what, uint64_t until)
{
    struct timespec deadline;

    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += DEADLINE_MS / 1000;
    while (*what < until)
        ASSERT(pthread_cond_timedwait(&g->changed, &g->mutex, &deadline) == 0);
}

static void gate_pass(struct gate *g)
{
    pthread_mutex_lock(&g->mutex);
    g->arrived++;
    pthread_cond_broadcast(&g->changed);
    while (!g->open && g->allowed < g->arrived)
        pthread_cond_wait(&g->changed, &g->mutex);
    pthread_mutex_unlock(&g->mutex);
}

/* Segments that are being made have another name: they come and go as they like. */
static bool is_log(struct sim *sim, int fd)
{
    pthread_mutex_lock(&sim->mutex);
    bool log = strstr(sim->files[fd].name, "/log-") != NULL;
    pthread_mutex_unlock(&sim->mutex);
    return log;
}

static int before(struct sim *sim, enum sim_kind kind, int fd)
{
    struct depot *d = sim->before_arg;
    struct gate *g = &d->gate;

    if (!is_log(sim, fd))
        return 0;
    if (kind == SIM_SYNC)
        gate_pass(g);
    pthread_mutex_lock(&g->mutex);
    bool fails = !g->open && (kind == SIM_SYNC ? g->syncs > 0 : g->write);
    if (fails && kind == SIM_SYNC)
        g->syncs--;
    else if (fails)
        g->write = false;
    pthread_mutex_unlock(&g->mutex);
    return fails ? g->error : 0;
}

static void gate_open(struct gate *g, bool open)
{
    pthread_mutex_lock(&g->mutex);
    g->open = open;
    pthread_cond_broadcast(&g->changed);
    pthread_mutex_unlock(&g->mutex);
}

/* -- Steps -- */

/* What the maker does beside is the same however fast it is, once it is done. */
static void maker_rests(struct depot *d)
{
    uint64_t deadline = clock_mono_ms() + DEADLINE_MS;

    while (store_stats(d->store).log.free < SPARE) {
        ASSERT(clock_mono_ms() < deadline);
        sched_yield();
    }
}

static void hand_over_padding(struct depot *d)
{
    struct batch b = {0};

    batch_raw(&b, PADDING, RECORD_SKIPPABLE, STR("the committer waits here"));
    store_submit(d->store, NOBODY, &b);
    batch_fini(&b);
}

/* The committer runs, or has nothing to do: it writes the padding and stops behind it. */
static void stop_committer(struct depot *d)
{
    struct gate *g = &d->gate;

    gate_open(g, false);
    uint64_t next = g->arrived + 1;
    hand_over_padding(d);
    pthread_mutex_lock(&g->mutex);
    gate_wait(g, &g->arrived, next);
    pthread_mutex_unlock(&g->mutex);
    maker_rests(d);
}

void depot_unattended(struct depot *d, void (*fn)(void *arg), void *arg)
{
    maker_rests(d);
    hand_over_padding(d);
    gate_open(&d->gate, true);
    store_wait(d->store, store_stats(d->store).log.end);
    fn(arg);
    stop_committer(d);
}

void depot_step(struct depot *d)
{
    struct gate *g = &d->gate;

    maker_rests(d);
    hand_over_padding(d);
    pthread_mutex_lock(&g->mutex);
    uint64_t next = g->arrived + 1;
    g->allowed = g->arrived;
    pthread_cond_broadcast(&g->changed);
    gate_wait(g, &g->arrived, next);
    pthread_mutex_unlock(&g->mutex);
    maker_rests(d);
}

void depot_fault(struct depot *d, unsigned syncs, bool write, int error)
{
    pthread_mutex_lock(&d->gate.mutex);
    d->gate.syncs = syncs;
    d->gate.write = write;
    d->gate.error = error;
    pthread_mutex_unlock(&d->gate.mutex);
}

void depot_short_writes(struct depot *d, unsigned bytes)
{
    SIM_SET(d->sim, short_writes, bytes);
}

/* -- Crashes -- */

static void path_in(const struct depot *d, const char *name, char *path, size_t size)
{
    snprintf(path, size, "%s/%s", d->dir, name);
}

static enum sim_loss sim_loss_of(enum depot_loss loss)
{
    static const enum sim_loss of[] = {[DEPOT_LOSE_ALL] = SIM_LOSE_ALL,
                                       [DEPOT_LOSE_NONE] = SIM_LOSE_NONE,
                                       [DEPOT_LOSE_SOME] = SIM_LOSE_SECTORS};
    return of[loss];
}

/* LMDB sees to itself that its file is as of the last transaction. */
static void note_what_is_left(struct depot *d)
{
    char path[PATH_ROOM];

    path_in(d, "left.mdb", path, sizeof path);
    ASSERT(tables_copy(store_tables(d->store), path) == 0);
    d->left = sim_cut_now(d->sim, sim_loss_of(d->loss), d->seed);
}

void depot_cut(struct depot *d, enum depot_loss loss, uint64_t seed)
{
    if (d->left || loss == DEPOT_LOSE_NOTHING)
        return;
    maker_rests(d);
    d->loss = loss;
    d->seed = seed;
    note_what_is_left(d);
}

static void on_checkpointed(void *arg, uint64_t applied)
{
    struct depot *d = arg;

    if (d->cut_wanted && !d->left)
        note_what_is_left(d);
}

bool depot_checkpoint(struct depot *d, bool cut, enum depot_loss loss, uint64_t seed)
{
    maker_rests(d);
    d->cut_wanted = cut;
    d->loss = loss;
    d->seed = seed;
    ASSERT(store_checkpoint(d->store) == 0);
    d->cut_wanted = false;
    return d->left != NULL;
}

/* -- Life -- */

static void on_settled(void *arg, unsigned worker)
{
    struct depot *d = arg;

    if (worker != NOBODY && !d->closing) /* then the desks are gone */
        d->settled(d->arg, worker);
}

struct depot *depot_new(const struct fake_clock *clock, void (*settled)(void *arg, unsigned worker),
                        void *arg)
{
    struct depot *d = xcalloc(1, sizeof *d);

    mono = clock;
    wall_ahead_ms = 1700000000000;
    d->settled = settled;
    d->arg = arg;
    d->sim = sim_new();
    pthread_mutex_init(&d->gate.mutex, NULL);
    pthread_cond_init(&d->gate.changed, NULL);
    snprintf(d->dir, sizeof d->dir, "%s/skep-sim-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    ASSERT(mkdtemp(d->dir) != NULL);
    return d;
}

struct store *depot_open(struct depot *d)
{
    char why[512] = "";
    struct store_conf conf = {
        .dir = d->dir,
        .disk = &d->sim->disk,
        .segment_bytes = WAL_SEGMENT_LEAST,
        .checkpoint_bytes = UINT64_C(1) << 40, /* when told, and not before */
        .map_bytes = 1 << 20,
        .retry_ms = 1,
        .clock_check_ms = UINT32_MAX, /* no record by itself */
        .clock = &clock_of_the_world,
        .settled = on_settled,
        .checkpointed = on_checkpointed,
        .arg = d,
    };

    ASSERT(!d->store);
    d->gate.open = true;
    d->sim->before_arg = d;
    d->sim->before = before;
    if (store_open(&d->store, &conf, why, sizeof why) < 0) {
        fprintf(stderr, "skep-sim: the store does not open: %s\n", why);
        abort();
    }
    stop_committer(d);
    return d->store;
}

void depot_close(struct depot *d)
{
    char left[PATH_ROOM], path[PATH_ROOM];

    d->closing = true;
    gate_open(&d->gate, true);
    ASSERT(store_close(&d->store) == 0);
    d->closing = false;
    d->sim->before = NULL;
    d->gate.syncs = 0;
    d->gate.write = false;
    if (d->left) {
        path_in(d, "left.mdb", left, sizeof left);
        path_in(d, "state.mdb", path, sizeof path);
        ASSERT(rename(left, path) == 0);
        path_in(d, "state.mdb-lock", path, sizeof path);
        unlink(path);
        sim_free(&d->sim);
        d->sim = d->left;
        d->left = NULL;
    }
}

void depot_free(struct depot **depot)
{
    static const char *const files[] = {"state.mdb", "state.mdb-lock", "lock"};
    struct depot *d = *depot;
    char path[PATH_ROOM];

    ASSERT(!d->store);
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        path_in(d, files[i], path, sizeof path);
        unlink(path);
    }
    ASSERT(rmdir(d->dir) == 0);
    sim_free(&d->sim);
    pthread_mutex_destroy(&d->gate.mutex);
    pthread_cond_destroy(&d->gate.changed);
    free(d);
    *depot = NULL;
}
