/* A file that is written whole or not at all: under a name of its own beside the final one, which
 * it takes when it is complete and on the disk.  Readable for its owner only. */
#ifndef SKEP_CTL_OUTFILE_H
#define SKEP_CTL_OUTFILE_H

#include <limits.h>
#include <stdio.h>

#include "ctl/fault.h"

struct outfile {
    FILE *stream;
    const char *path;        /* borrowed */
    char building[PATH_MAX]; /* empty: written in place (standard output, a device, a pipe) */
};

/* "-" is standard output.  0, or -1 with fault. */
int outfile_open(struct outfile *f, const char *path, struct fault *fault);
/* 0 when every byte is there, -1 with fault; then nothing is left. */
int outfile_finish(struct outfile *f, struct fault *fault);
/* Leaves what was at the path before.  Nothing to do after finish. */
void outfile_abort(struct outfile *f);

#endif
