/* Answers of the control socket that have files of their own. */
#ifndef SKEP_MAIN_ANSWER_H
#define SKEP_MAIN_ANSWER_H

#include "main/daemon_impl.h"

void answer_clients(struct daemon *d, const cJSON *request, cJSON *answer);
void answer_client(struct daemon *d, const cJSON *request, cJSON *answer);
void answer_kick(struct daemon *d, const cJSON *request, cJSON *answer);
void answer_explain(struct daemon *d, const cJSON *request, cJSON *answer);
void answer_trace(struct daemon *d, const cJSON *request, cJSON *answer);
void answer_module(struct daemon *d, const cJSON *request, cJSON *answer);
/* What a reload does to modules, as changes. */
void add_module_steps(cJSON *list, const struct reload *r, bool plan);
/* "alarms": what modules raised. */
void add_alarms(struct daemon *d, cJSON *answer);

#endif
