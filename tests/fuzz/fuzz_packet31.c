/* A stream of packets on a connection of MQTT 3.1. */
#include "fuzz.h"

#include "mqtt/packet.h"
#include "packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    packet_stream(data, size, MQTT_31);
    return 0;
}
