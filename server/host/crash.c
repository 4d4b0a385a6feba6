#include "host/crash.h"

_Thread_local struct blame blame_here;
