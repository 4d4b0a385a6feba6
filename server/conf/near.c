#include "conf/near.h"

#include <limits.h>

enum { NAME_MAX_BYTES = 64 };

void near_init(struct near *n, struct str wanted)
{
    *n = (struct near){.wanted = wanted, .distance = UINT_MAX};
}

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

static char folded(char c)
{
    if (c >= 'A' && c <= 'Z')
        return (char)(c - 'A' + 'a');
    return c == '-' ? '_' : c; /* max-packet is max_packet to most people */
}

/* Optimal string alignment: three rows of the usual table are enough. */
unsigned near_distance(struct str a, struct str b)
{
    unsigned rows[3][NAME_MAX_BYTES + 1];

    if (a.len > NAME_MAX_BYTES || b.len > NAME_MAX_BYTES)
        return UINT_MAX;
    for (size_t j = 0; j <= b.len; j++)
        rows[0][j] = (unsigned)j;
    for (size_t i = 1; i <= a.len; i++) {
        unsigned *row = rows[i % 3], *above = rows[(i - 1) % 3], *above2 = rows[(i + 1) % 3];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b.len; j++) {
            char x = folded(a.ptr[i - 1]), y = folded(b.ptr[j - 1]);
            row[j] = least(least(above[j] + 1, row[j - 1] + 1), above[j - 1] + (x != y));
            if (i > 1 && j > 1 && x == folded(b.ptr[j - 2]) && folded(a.ptr[i - 2]) == y)
                row[j] = least(row[j], above2[j - 2] + 1);
        }
    }
    return rows[a.len % 3][b.len];
}

void near_offer(struct near *n, struct str name)
{
    unsigned distance = near_distance(n->wanted, name);

    if (distance < n->distance) {
        n->distance = distance;
        n->best = name;
    }
}

struct str near_best(const struct near *n)
{
    size_t allowed = n->wanted.len <= 3 ? 1 : n->wanted.len <= 6 ? 2 : n->wanted.len / 3;
    return n->distance <= allowed ? n->best : STR_NONE;
}
