/* Files as they lie on the disk: read whole and bounded, and looked at to see whether they changed.
 * Any thread; may block. */
#ifndef LIB_FILE_TEXT_H
#define LIB_FILE_TEXT_H

#include <skep/base.h>

/* How a file looked.  Two equal marks: nobody has written to it or put another in its place. */
struct file_mark {
    bool there;
    uint64_t device, inode, size;
    int64_t modified_ns, changed_ns;
    unsigned mode;
};

void file_look(const char *path, struct file_mark *mark);
bool file_mark_eq(const struct file_mark *a, const struct file_mark *b);

/* Reads a regular file of at most max bytes; *text is allocated, with a NUL behind it, and freed
 * with file_forget().  0; or -1 and a few words in why, such as "Permission denied". */
int file_read(const char *path, size_t max, struct skep_str *text, struct file_mark *mark,
              char *why, size_t why_cap);

/* Wipes and frees it. */
void file_forget(struct skep_str *text);

#endif
