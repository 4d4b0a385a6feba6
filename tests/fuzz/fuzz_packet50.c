/* A stream of packets on a connection of MQTT 5.0. */
#include "fuzz.h"

#include "mqtt/packet.h"
#include "packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    packet_stream(data, size, MQTT_50);
    return 0;
}
