#include "ctl/owner.h"

#include <errno.h>
#include <grp.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

enum { GROUPS_MOST = 64 };

static gid_t own_groups[GROUPS_MOST];
static int own_group_count = -1; /* -1: not entered */

/* The path, or if it is not there the nearest folder above that is. */
static int nearest(const char *path, struct stat *st)
{
    char name[PATH_MAX];

    if (stat(path, st) == 0)
        return 0;
    snprintf(name, sizeof name, "%s", path);
    return stat(dirname(name), st);
}

int owner_enter(const char *path, struct fault *fault)
{
    struct stat st;
    int count;

    if (geteuid() != 0 || nearest(path, &st) < 0 || st.st_uid == 0)
        return 0; /* what is wrong with the path is said by who opens it */
    if ((count = getgroups(GROUPS_MOST, own_groups)) < 0 || setgroups(0, NULL) < 0 ||
        setegid(st.st_gid) < 0 || seteuid(st.st_uid) < 0)
        return fault_set(fault, "cannot act as the owner of %s: %s", path, strerror(errno));
    own_group_count = count;
    return 0;
}

void owner_leave(void)
{
    if (own_group_count < 0)
        return;
    ASSERT(seteuid(0) == 0 && setegid(getgid()) == 0 &&
           setgroups((size_t)own_group_count, own_groups) == 0);
    own_group_count = -1;
}
