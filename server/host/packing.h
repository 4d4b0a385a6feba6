/* A module's struct skep_message and MQTT's properties, both ways. */
#ifndef SKEP_HOST_PACKING_H
#define SKEP_HOST_PACKING_H

#include <skep/message.h>

#include "base/str.h"

static inline struct str str_in(struct skep_str s)
{
    return (struct str){s.ptr, s.len};
}

static inline struct skep_str str_out(struct str s)
{
    return (struct skep_str){s.ptr, s.len};
}

/* The message as this host knows it: what an older module lacks is 0.  False: its size, topic, QoS,
 * properties or payload are not what MQTT allows. */
bool message_take(struct skep_message *out, const struct skep_message *in);

/* Bytes of its properties in MQTT 5 form; of a message that message_take() took. */
size_t message_props_size(const struct skep_message *m);
/* Writes them, in those bytes. */
void message_props_write(const struct skep_message *m, char *out);

/* Memory for the user properties of one message at a time. */
struct unpacking {
    struct skep_user_property *items;
    size_t cap;
};

/* Fills in what the properties (MQTT 5 form, accepted before) say; views into them. */
void message_props_read(struct skep_message *m, struct str props, struct unpacking *room);
void unpacking_fini(struct unpacking *room);

#endif
