/* Cutting a run of MQTT packets into WebSocket frames, one packet a frame.
 *
 * The standards let one frame hold many packets, and our own decoder takes them.  But clients
 * in wide use (Paho C 1.3, several in browsers) look at the first packet of a frame and lose the
 * rest.  A frame's head costs two to four bytes, and all frames still leave in one write.
 * Pure; any thread. */
#ifndef SKEP_NET_WS_CUT_H
#define SKEP_NET_WS_CUT_H

#include "net/conn.h"

struct ws_cut {
    struct out_vec *v; /* pieces to send: heads and small pieces gathered, owned ones as given */
    unsigned n;
    void *memory; /* behind v and the gathered bytes */
};

/* How many packets begin in the pieces, which begin with a whole one. */
size_t ws_cut_count(const struct out_vec *v, unsigned n);

/* Fills `cut`, which refers to the owned pieces of v.  false when there is no memory.  What
 * follows the last whole packet becomes a frame of its own. */
bool ws_cut_init(struct ws_cut *cut, const struct out_vec *v, unsigned n);
void ws_cut_fini(struct ws_cut *cut);

#endif
