/* skep-decide-bench: nanoseconds of asking about one message, with modules that answer at once. One
 * thread; the best of many short rounds, so that it means something on a busy machine. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/hash.h"
#include "base/mem.h"
#include "core/broker.h"
#include "host/decide.h"
#include "host/guard.h"
#include "net/loop.h"

enum { ROUNDS = 200, MESSAGES = 20000, MODULES = 4 };

static enum skep_verdict allows(struct skep_request *r, void *self)
{
    return skep_allow(r);
}

static enum skep_verdict remembers(struct skep_request *r, void *self)
{
    skep_cacheable(r);
    return skep_allow(r);
}

static enum skep_verdict passes(struct skep_request *r, void *self)
{
    return SKEP_NEXT;
}

static const struct skep_descriptor allow = {
    .size = sizeof allow, .name = "allow", .on_publish = allows};
static const struct skep_descriptor cacheable = {
    .size = sizeof cacheable, .name = "cacheable", .on_publish = remembers};
static const struct skep_descriptor pass = {
    .size = sizeof pass, .name = "pass", .on_publish = passes};

static struct skep_module *module_new(struct host *h, const struct skep_descriptor *d)
{
    struct skep_module *m = xcalloc(1, sizeof *m);

    m->magic = SKEP_MODULE_MAGIC;
    m->host = h;
    m->name = str_dup(str_of(d->name));
    m->d = d;
    m->stats = xcalloc(h->loop_count + 1, sizeof *m->stats);
    return m;
}

static struct skep_client *identity(void *owner)
{
    return identity_new(&(struct identity_facts){.id = STR("bench"), .address = STR("unix")}, NULL);
}

static double cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static double measure(struct host_client *hc, struct chain_slot *slot)
{
    struct asked_message m = {
        .topic = STR("bench/pairs/17"), .payload = STR("0123456789abcdef"), .expiry = UINT32_MAX};
    double best = 1e9;
    unsigned allowed = 0;

    for (unsigned round = 0; round < ROUNDS; round++) {
        double begin = cpu_ns();
        for (unsigned i = 0; i < MESSAGES; i++) {
            if (host_asks_publish(slot, hc, m.topic)) {
                struct skep_request *r = ask_publish(hc, &m);
                allowed += r->verdict == SKEP_ALLOW && request_is_plain(r);
                request_end(&r);
            } else {
                allowed++;
            }
            __asm__ volatile("" : "+m"(m));
        }
        double each = (cpu_ns() - begin) / MESSAGES;
        best = each < best ? each : best;
    }
    if (allowed != ROUNDS * MESSAGES)
        abort();
    return best;
}

int main(void)
{
    static const struct {
        const char *name;
        const struct skep_descriptor *modules[MODULES];
    } chains[] = {
        {"no module", {NULL}},
        {"one that allows", {&allow}},
        {"one whose verdict is remembered", {&cacheable}},
        {"three that pass, one that allows", {&pass, &pass, &pass, &allow}},
    };
    static const struct host_client_ops ops = {.identity = identity};
    struct limits limits;
    struct loop *loop;
    struct worker *worker;

    hash_seed_set(1);
    limits_default(&limits);
    struct broker *broker = broker_new(&limits, NULL, NULL);
    if (loop_open(&loop, 0, &(struct loop_hooks){0}, NULL) < 0)
        return 1;
    worker = worker_new(broker, loop_qsbr(loop), 0);
    struct host *h = host_new(broker, &loop, &worker, 1, NULL);
    struct chain_slot *slot = chain_slot(h, "bench");
    host_enter(h, 0);
    struct host_client *hc = host_client_new(h, slot, &ops, NULL);
    for (size_t i = 0; i < ARRAY_LEN(chains); i++) {
        struct skep_module *modules[MODULES];
        size_t count = 0;
        while (count < MODULES && chains[i].modules[count]) {
            modules[count] = module_new(h, chains[i].modules[count]);
            count++;
        }
        qsbr_online(&h->main_slot);
        chain_swap(h, slot, chain_new(modules, count, true));
        qsbr_quiescent(&h->main_slot);
        qsbr_offline(&h->main_slot);
        printf("%-34s %6.1f ns\n", chains[i].name, measure(hc, slot));
    }
    return 0; /* the process ends, and everything with it */
}
