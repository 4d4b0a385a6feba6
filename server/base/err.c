#include "base/err.h"

const char *err_text(int err)
{
    switch (err) {
    case ERR_OK:
        return "ok";
#define ERR_TEXT(name, text)                                                                       \
    case name:                                                                                     \
        return text;
        ERR_LIST(ERR_TEXT)
#undef ERR_TEXT
    default:
        return "unknown error";
    }
}
