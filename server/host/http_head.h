/* A header in a block of header lines, by name without regard to case; the last of that name, empty
 * when there is none.  What is returned points into the block. */
#ifndef SKEP_HOST_HTTP_HEAD_H
#define SKEP_HOST_HTTP_HEAD_H

#include <skep/base.h>

struct skep_str http_head_find(struct skep_str head, const char *name);

#endif
