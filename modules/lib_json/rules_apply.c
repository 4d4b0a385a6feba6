#include <skep/decide.h>

#include "lib_json/rules.h"

int rules_apply(const struct rules *rules, bool end, struct skep_request *r)
{
    static const unsigned everything =
        SKEP_MAY_PUBLISH | SKEP_MAY_SUBSCRIBE | SKEP_MAY_RECEIVE | SKEP_MAY_RETAIN;
    int err;

    for (size_t i = 0; i < rules->count; i++) {
        const struct rule *rule = &rules->items[i];
        if ((err = skep_connect_add_rule(r, rule->allow, rule->actions, skep_str(rule->filter))) <
            0)
            return err;
    }
    if (!end || !rules->given)
        return 0;
    return skep_connect_add_rule(r, false, everything, SKEP_STR("#"));
}
