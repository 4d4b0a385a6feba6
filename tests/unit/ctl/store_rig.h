/* Running skepctl store as an operator does, on stores that the library makes. */
#ifndef TESTS_CTL_STORE_RIG_H
#define TESTS_CTL_STORE_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <sys/wait.h>
#include <unistd.h>

#include "../store/model.h"
#include "ctl/bytes.h"

enum { DEADLINE_MS = 30000 };

static char scratch[64]; /* a folder of our own, and where we are */

/* -- Running it -- */

static struct {
    char *out, *err; /* what the last one printed */
} said;

static inline char *slurp(const char *path)
{
    struct bytes b = {0};
    FILE *f = fopen(path, "r");

    assert_non_null(f);
    assert_int_equal(bytes_read(&b, f, 1 << 30), 0);
    bytes_add(&b, "", 1);
    fclose(f);
    return (char *)b.ptr;
}

static inline void spill(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

/* Runs "skepctl store WORDS" in a shell; fails the test unless it ends with `status`. */
__attribute__((format(printf, 2, 3))) static inline void run(int status, const char *format, ...)
{
    char words[512], command[2048];
    va_list args;

    va_start(args, format);
    vsnprintf(words, sizeof words, format, args);
    va_end(args);
    if (!strstr(words, " <"))
        strcat(words, " </dev/null");
    snprintf(command, sizeof command, "%s store %s >out 2>err", SKEPCTL, words);
    int result = system(command);
    free(said.out);
    free(said.err);
    said.out = slurp("out");
    said.err = slurp("err");
    if (!WIFEXITED(result) || WEXITSTATUS(result) != status)
        fail_msg("'%s' ended with %d instead of %d:\n%s%s", words, WEXITSTATUS(result), status,
                 said.out, said.err);
}

static inline void says(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("expected '%s' in:\n%s", part, text);
}

static inline bool is_there(const char *path)
{
    return access(path, F_OK) == 0;
}

static inline void scratch_clear(void)
{
    assert_int_equal(system("rm -rf ./*"), 0);
}

/* -- Stores -- */

static inline struct store_conf conf_of(const char *dir)
{
    return (struct store_conf){.dir = dir,
                               .segment_bytes = WAL_SEGMENT_LEAST,
                               .checkpoint_bytes = 64 << 20,
                               .keep_log = true}; /* as a crash would */
}

static inline struct store *must_open(const char *dir)
{
    struct store_conf conf = conf_of(dir);
    struct store *s;
    char why[512] = "";

    if (store_open(&s, &conf, why, sizeof why) < 0)
        fail_msg("%s", why);
    return s;
}

static inline void live_on(struct life *l, const char *dir, unsigned steps)
{
    l->store = must_open(dir);
    for (unsigned i = 0; i < steps; i++)
        life_step(l);
    for (unsigned i = 0; i < M_WORKERS; i++)
        life_submit(l, i);
    assert_int_equal(store_close(&l->store), 0);
}

static inline void make_life(const char *dir, uint64_t seed, unsigned steps)
{
    struct life l;

    life_init(&l, seed);
    live_on(&l, dir, steps);
    life_fini(&l);
}

static inline void is_as_lived(const struct life *l, const char *dir)
{
    struct store *s = must_open(dir);
    struct m_text wanted = {0}, found = {0};
    struct loader loader = m_loader(&found);
    char why[512];

    m_print(&found, " ");
    life_expect(l, UINT64_MAX, SIZE_MAX, &wanted);
    assert_int_equal(store_load(s, &loader, why, sizeof why), 0);
    if (strcmp(wanted.bytes, found.bytes) != 0) {
        size_t i = 0;
        while (wanted.bytes[i] == found.bytes[i])
            i++;
        fail_msg("expected ...%.200s\nfound ...%.200s", wanted.bytes + i, found.bytes + i);
    }
    store_close(&s);
    free(wanted.bytes);
    free(found.bytes);
}

/* A store with one of everything, and bytes that JSON has no words for. */
static inline void make_small(const char *dir)
{
    struct store *s = must_open(dir);
    struct batch b = {0};
    struct record_message m = {.topic = STR("a/\"b\""),
                               .payload = STR("21.5\n"),
                               .props = STR("\x01\x01"),
                               .expires_ms = 1800000000000,
                               .publisher = 1,
                               .qos = 1,
                               .retain = true};
    struct record_message odd = {.topic = STR("bin"), .payload = STR("\0\xff"), .qos = 2};
    struct record_will will = {.number = 2, .delay = 5, .expiry = UINT32_MAX, .message = odd};

    batch_session(&b, &(struct record_session){.number = store_number(s),
                                               .client_id = STR("one"),
                                               .username = STR(""),
                                               .has_username = true,
                                               .expiry = UINT32_MAX,
                                               .version = 5});
    batch_session(&b, &(struct record_session){.number = store_number(s),
                                               .client_id = STR("t\x01wo"),
                                               .expiry = 60,
                                               .realm = 77,
                                               .version = 4});
    batch_sub(&b, &(struct record_sub){1, STR("a/+"), 7, 1, 2});
    batch_sub(&b, &(struct record_sub){2, STR("$share/g/#"), 0, 2, 0});
    batch_received(&b, 1, 9, false);
    batch_pub_begin(&b, &m, RECORD_KEEP, 0, 0);
    batch_pub_target(&b, &(struct record_target){1, 0, 7, 0, 1, true});
    batch_pub_target(&b, &(struct record_target){2, 0, 0, 0, 1, false});
    batch_pub_end(&b);
    batch_pub_begin(&b, &odd, 0, 0, 0);
    batch_pub_target(&b, &(struct record_target){2, 1, 0, 3, 2, false});
    batch_pub_end(&b);
    batch_pub_begin(&b, &odd, 0, 0, 0);
    batch_pub_target(&b, &(struct record_target){1, 1, 0, 0, 2, false});
    batch_pub_end(&b);
    batch_release(&b, 1, 1);
    batch_will(&b, &will);
    batch_away(&b, &(struct record_away){2, 1800000000001, 1700000000000, 1});
    batch_away(&b, &(struct record_away){1, UINT64_MAX, 0, 0});
    store_wait(s, store_submit(s, 0, &b));
    batch_fini(&b);
    assert_int_equal(store_close(&s), 0);
}

/* -- A folder to work in -- */

static inline int in_scratch(void **state)
{
    snprintf(scratch, sizeof scratch, "%s/skep-ctl-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    return mkdtemp(scratch) && chdir(scratch) == 0 ? 0 : -1;
}

static inline int out_of_scratch(void **state)
{
    char command[128];

    free(said.out);
    free(said.err);
    snprintf(command, sizeof command, "rm -rf '%s'", scratch);
    return chdir("/") == 0 && system(command) == 0 ? 0 : -1;
}

#endif
