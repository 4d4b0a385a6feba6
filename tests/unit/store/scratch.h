/* A folder of its own for tests of the whole store, which is "d" in there.  Include behind
 * cmocka.h. */
#ifndef TESTS_STORE_SCRATCH_H
#define TESTS_STORE_SCRATCH_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "store/store.h"

static char scratch[64]; /* a folder of our own, and where we are */

static inline void scratch_clear(void)
{
    assert_int_equal(system("rm -rf ./d"), 0);
}

static inline struct store_conf conf_of(struct disk *disk)
{
    return (struct store_conf){.dir = "d",
                               .disk = disk,
                               .segment_bytes = WAL_SEGMENT_LEAST,
                               .checkpoint_bytes = WAL_SEGMENT_LEAST * 2,
                               .map_bytes = 256 << 10, /* so small that it has to grow */
                               .retry_ms = 1};
}

static inline void must_open(struct store **s, const struct store_conf *conf)
{
    char why[512] = "";

    if (store_open(s, conf, why, sizeof why) < 0)
        fail_msg("%s", why);
}

static inline void must_fold(struct store *s, uint64_t lsn)
{
    char why[512] = "";

    if (store_fold(s, lsn, why, sizeof why) < 0)
        fail_msg("%s", why);
}

static inline int in_scratch(void **state)
{
    snprintf(scratch, sizeof scratch, "%s/skep-store-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    return mkdtemp(scratch) && chdir(scratch) == 0 ? 0 : -1;
}

static inline int out_of_scratch(void **state)
{
    char command[128];

    snprintf(command, sizeof command, "rm -rf '%s'", scratch);
    return chdir("/") == 0 && system(command) == 0 ? 0 : -1;
}

#endif
