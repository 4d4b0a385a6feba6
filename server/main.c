/* skep: an MQTT broker.  The command line decides; main/ does the work. */
#include <stdio.h>

#include "host/crash.h"
#include "main/daemon.h"
#include "main/inspect.h"
#include "main/options.h"

int main(int argc, char **argv)
{
    static struct options options; /* holds paths: too large for the stack's taste */

    crash_install();
    options_parse(&options, argc, argv);
    switch (options.task) {
    case OPTIONS_RUN:
        return daemon_run(&options);
    case OPTIONS_CHECK:
    case OPTIONS_PRINT:
        return daemon_check(&options);
    case OPTIONS_DIRECTIVES:
        return inspect_directives(&options);
    case OPTIONS_MODULE:
        return inspect_check(&options);
    case OPTIONS_DONE:
        return 0;
    case OPTIONS_WRONG:
        break;
    }
    return 2;
}
