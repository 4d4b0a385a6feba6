/* skepctl bridge: the commands of the module bridge_mqtt. */
#include "base/mem.h"
#include "ctl/ask.h"
#include "ctl/command.h"
#include "ctl/fault.h"
#include "ctl/module.h"

struct bridge_conf {
    struct control_conf control;
    const char *module;
};

static const struct arg_option options[] = {
    ARG_FIELD(ARG_ON, 0, "json", struct bridge_conf, control.json, NULL, "the answer as it came"),
    ARG_FIELD(ARG_TEXT, 0, "module", struct bridge_conf, module, "NAME",
              "another instance than bridge_mqtt, such as bridge_mqtt:cloud"),
    ARG_LAST,
};

int bridge_command(int argc, char **argv)
{
    struct bridge_conf conf = {.control = {.timeout_ms = CONTROL_TIMEOUT_MS},
                               .module = "bridge_mqtt"};
    struct arg_command command = {
        .name = "skepctl bridge",
        .usage = "[OPTIONS] status|pause|resume|reconnect [CONNECTION]",
        .summary = "Tells how the bridges to other brokers are doing, or has one of them (all of "
                   "them, without a name) pause, resume or connect anew.",
        .sets = {{options, &conf}, {control_options, &conf.control}},
    };
    int status = arg_parse(&command, argc, argv);

    if (status != 0)
        return status > 0 ? CTL_OK : CTL_USAGE;
    if (command.word_count == 0 || command.word_count > 2) {
        arg_error(&command, "status, pause, resume or reconnect, and perhaps a connection");
        return CTL_USAGE;
    }
    return module_call(command.name, conf.module, &conf.control, (const char *const *)command.words,
                       (size_t)command.word_count);
}
