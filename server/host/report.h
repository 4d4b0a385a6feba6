/* The SDK's struct skep_report: where a module's complaints go. */
#ifndef SKEP_HOST_REPORT_H
#define SKEP_HOST_REPORT_H

#include <skep/option.h>

#include "conf/complaint.h"

struct skep_report {
    struct complaints *complaints;
    struct text_pos pos; /* of the load line */
};

#endif
