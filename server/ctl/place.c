#include "ctl/place.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

bool place_tree_data(char out[PATH_MAX])
{
    char probe[PATH_MAX + 32], tree[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", tree, sizeof tree - 1);

    if (n <= 0)
        return false;
    tree[n] = '\0';
    for (int up = 0; up < 4; up++) {
        char *slash = strrchr(tree, '/');

        if (!slash)
            return false;
        *slash = '\0';
    }
    snprintf(probe, sizeof probe, "%s/server/LAYERS", tree);
    snprintf(out, PATH_MAX, "%.*s/data", PATH_MAX - 32, tree);
    return access(probe, R_OK) == 0;
}

bool place_store(char out[PATH_MAX])
{
    char data[PATH_MAX];

    if (place_tree_data(data)) {
        snprintf(out, PATH_MAX, "%.*s/store", PATH_MAX - 32, data);
        if (access(out, F_OK) == 0)
            return true;
    }
    snprintf(out, PATH_MAX, "/var/lib/skep/store");
    return access(out, F_OK) == 0;
}

bool place_program(char out[PATH_MAX], const char *name)
{
    static const char *const places[] = {"", "../sbin/", "../bin/", "../libexec/skep/"};
    char folder[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", folder, sizeof folder - 64);

    if (n <= 0)
        return false;
    folder[n] = '\0';
    *strrchr(folder, '/') = '\0';
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        snprintf(out, PATH_MAX, "%.*s/%s%.24s", PATH_MAX - 64, folder, places[i], name);
        if (access(out, X_OK) == 0)
            return true;
    }
    return false;
}

bool place_skep(char out[PATH_MAX])
{
    return place_program(out, "skep");
}
