/* Topics of one side, and what they are called on the other.
 *
 *     topic out sensors/# qos 1 local_prefix plant/ remote_prefix site7/;
 *
 * The pattern is the same on both sides; each side puts its prefix in front.  Here
 * `plant/sensors/a` goes out as `site7/sensors/a`.  An empty pattern ("") maps one topic to one
 * topic. */
#ifndef BRIDGE_ROUTE_H
#define BRIDGE_ROUTE_H

#include <skep/option.h>

#include "buf.h"

enum route_way { ROUTE_OUT = 1, ROUTE_IN = 2, ROUTE_BOTH = 3 };

struct route {
    enum route_way way;
    uint8_t qos;
    struct skep_str local_prefix, remote_prefix; /* of the words it was read from */
    char *local_filter, *remote_filter;          /* whole */
    char *subscribed; /* remote_filter, or $share/GROUP/remote_filter; NULL: not `in` */
};

struct routes {
    struct route *items;
    size_t count;
};

/* Reads the `topic` lines; NULL for report: they were checked already.  0, or -1 with what is wrong
 * reported.  The lines have to live as long as the routes. */
int routes_read(struct routes *out, const struct skep_lines *lines, struct skep_report *report);
void routes_fini(struct routes *r);

/* The first route that takes this local topic out (remote topic in), or NULL; *topic gets the
 * other side's name for it, which may be too long or empty: then NULL, too. */
const struct route *route_out(const struct routes *r, struct skep_str local, struct buf *topic);
const struct route *route_in(const struct routes *r, struct skep_str remote, struct buf *topic);

#endif
