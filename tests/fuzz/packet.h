/* The body of the targets packet31, packet311 and packet50: a stream of packets, each
 * decoded by all that could be asked to, whatever the peer; what is accepted is
 * written again and must read the same. */
#ifndef TESTS_FUZZ_PACKET_H
#define TESTS_FUZZ_PACKET_H

#include <stddef.h>
#include <stdint.h>

void packet_stream(const uint8_t *data, size_t size, uint8_t version);

#endif
