/* skep_publish() in front of the host's, which is called host_skep_publish() in the harness (a
 * definition when its files are compiled): what modules publish is kept for the test. */
#include <skep/message.h>

#include "host/refuse.h"
#include "observe.h"

int host_skep_publish(struct skep_module *m, const struct skep_message *message,
                      struct skep_consumer *as, skep_published_fn *done, void *arg);

int skep_publish(struct skep_module *m, const struct skep_message *message,
                 struct skep_consumer *as, skep_published_fn *done, void *arg)
{
    int err = host_refuses() ? SKEP_E_LIMIT : host_skep_publish(m, message, as, done, arg);

    if (err == 0)
        observe_published(message);
    return err;
}
