/* UTF-8 (RFC 3629).  Any thread. */
#ifndef LIB_FILE_UTF8_H
#define LIB_FILE_UTF8_H

#include <skep/base.h>

/* Well-formed: no over-long forms, no surrogates, nothing above U+10FFFF, and no NUL. */
bool text_is_utf8(struct skep_str s);

#endif
