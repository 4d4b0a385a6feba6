/* The way in: parse, open, run the scenario, print. */
#include "bench.h"

#include "scenario.h"

#include <signal.h>
#include <stdio.h>

static bool scenario_run(struct turn *t, struct report *r)
{
    switch (t->plan->scenario) {
    case PLAN_FILTERS:
        return filters_run(t, r);
    case PLAN_STORM:
        return storm_run(t, r);
    case PLAN_IDLE:
        return idle_run(t, r);
    case PLAN_RETAINED:
        return retained_run(t, r);
    case PLAN_OFFLINE:
        return offline_run(t, r);
    case PLAN_READY:
        return ready_run(t, r);
    default:
        return traffic_run(t, r);
    }
}

int bench_main(int argc, char **argv)
{
    struct plan plan;
    struct turn turn;
    struct report report = {0};

    int parsed = plan_parse(&plan, argc, argv);
    if (parsed != 0)
        return parsed < 0;
    signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without MSG_NOSIGNAL */
    bool ran = turn_open(&turn, &plan) == 0 && scenario_run(&turn, &report);
    if (ran)
        report_print(&report, &plan);
    else
        fprintf(stderr, "%s %s: %s\n", argv[0], plan.scenario_name, turn.failure);
    turn_close(&turn);
    return !ran ? 1 : report.verdict ? 2 : 0;
}
