/* skep-store-bench [DIR [MESSAGES]]: reading long queues back, and starts.
 *
 * So many messages are queued for one session, as many topics retained.  First all of that is
 * in the log, as a broker that was killed leaves it, then in the tables.  One line a figure. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/store.h"

enum { PAYLOAD = 64, EACH_TURN = 500, OTHERS = 100 };

static unsigned long messages = 1000000;
static char why[512];

static void must(int err)
{
    if (err) {
        fprintf(stderr, "%s\n", why);
        exit(1);
    }
}

static double since(uint64_t begin_ns)
{
    return (double)(clock_mono_ns() - begin_ns) / 1e9;
}

static void add(struct batch *b, const char *topic, unsigned flags, uint64_t session,
                uint64_t counter)
{
    static char payload[PAYLOAD];
    struct record_message m = {.topic = str_of(topic), .payload = {payload, PAYLOAD}, .qos = 1};

    batch_pub_begin(b, &m, flags, 0, 0);
    if (session)
        batch_pub_target(b, &(struct record_target){session, counter, 0, 0, 1, false});
    batch_pub_end(b);
}

static void fill(struct store *s)
{
    struct batch b = {0};
    char topic[64];
    uint64_t end = 0, begin = clock_mono_ns();

    for (unsigned i = 0; i < OTHERS; i++) /* so that there are neighbours */
        batch_session(&b, &(struct record_session){.number = store_number(s), .expiry = 1});
    for (unsigned long i = 0; i < messages; i++) {
        snprintf(topic, sizeof topic, "bench/retained/%lu", i);
        add(&b, topic, RECORD_KEEP, 0, 0);
        add(&b, "bench/queue", 0, OTHERS / 2, i);
        add(&b, "bench/other", 0, 1 + i % OTHERS, messages + i);
        batch_ack(&b, 1 + i % OTHERS, messages + i, 0);
        if (i % EACH_TURN == 0) {
            end = store_submit(s, 0, &b);
            if (i % (EACH_TURN * 20) == 0)
                store_wait(s, end);
        }
    }
    store_wait(s, store_submit(s, 0, &b));
    batch_fini(&b);
    printf("written: %.1f MB in %.2f s\n", (double)store_stats(s).log.end / 1e6, since(begin));
}

static int count_entry(void *arg, const struct load_entry *e)
{
    ++*(uint64_t *)arg;
    return 0;
}

static int count_retained(void *arg, const struct record_message *m)
{
    ++*(uint64_t *)arg;
    return 0;
}

static void start(const struct store_conf *conf, struct store **s, const char *what)
{
    uint64_t count = 0, begin = clock_mono_ns();
    struct loader loader = {.entry = count_entry, .retained = count_retained, .arg = &count};

    must(store_open(s, conf, why, sizeof why));
    double opened = since(begin);
    must(store_load(*s, &loader, why, sizeof why));
    printf("start, %s: open %.2f s (%llu records), load %.2f s, %llu messages\n", what, opened,
           (unsigned long long)store_stats(*s).replayed, since(begin) - opened,
           (unsigned long long)count);
}

static void read_queue(struct store *s, uint32_t most)
{
    uint64_t count = 0, next = 0, before = 0, begin = clock_mono_ns();

    do {
        before = count;
        must(store_queue_read(s, OTHERS / 2, next, most, SIZE_MAX, count_entry, &count, &next));
    } while (count > before);
    printf("queue read, %u at a time: %.0f entries/s\n", most, (double)count / since(begin));
}

int main(int argc, char **argv)
{
    char template[] = "/tmp/skep-store-XXXXXX", command[4200];
    const char *dir = argc > 1 ? argv[1] : mkdtemp(template);
    struct store_conf conf = {.dir = dir, .checkpoint_bytes = 1ull << 40, .keep_log = true};
    struct store *s;

    if (argc > 2)
        messages = strtoul(argv[2], NULL, 10);
    log_level_set(LOG_LEVEL_WARN);
    must(store_open(&s, &conf, why, sizeof why));
    fill(s);
    store_close(&s);
    conf.checkpoint_bytes = 0;
    conf.keep_log = false;
    start(&conf, &s, "all in the log");
    read_queue(s, 10);
    read_queue(s, 100);
    read_queue(s, 1000);
    store_close(&s);
    start(&conf, &s, "after a clean end");
    store_close(&s);
    snprintf(command, sizeof command, "rm -r '%s'", dir);
    return argc > 1 ? 0 : system(command);
}
