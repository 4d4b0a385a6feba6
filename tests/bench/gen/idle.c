#include "scenario.h"
bool idle_run(struct turn *t, struct report *r)
{
    turn_fail(t, "not yet");
    return r->count > 100;
}
