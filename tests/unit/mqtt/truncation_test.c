/* Every kind of packet of every version, cut at every byte and with every bit turned:
 * AddressSanitizer sees a read behind the block, the test sees a cut that passes for
 * a whole packet.
 *
 * In a sample, ! marks a place where the packet may also end, ~ one from which on it
 * may end anywhere (a payload, return codes). */
#include "wire.h"

#define ALL  "345"
#define OLD  "34"
#define NEW  "5"
#define USER "26 00 01 'k' 00 01 'v'"

static const struct {
    const char *versions;
    const char *first;
    const char *body;
} samples[] = {
    {"3", "10", "00 06 'MQIsdp' 03 C6 00 3C 00 02 'id' 00 01 'w' 00 02 'xx' 00 01 'u' 00 01 'p'"},
    {"4", "10", "00 04 'MQTT' 04 C6 00 3C 00 02 'id' 00 01 'w' 00 02 'xx' 00 01 'u' 00 01 'p'"},
    {"5", "10",
     "00 04 'MQTT' 05 C6 00 3C 11 11 00 00 00 05 21 00 05 15 00 01 'm' 16 00 02 'dd' 00 02 'id' "
     "0C 18 00 00 00 05 " USER " 00 01 'w' 00 02 'xx' 00 01 'u' 00 01 'p'"},
    {"34", "20", "01 00"},
    {NEW, "20", "01 00 0F 21 00 05 12 00 02 'id' " USER},
    {OLD, "30", "00 03 'a/b' ~ 'payload'"},
    {OLD, "3C", "00 03 'a/b' 00 01 ~ 'payload'"},
    {NEW, "30", "00 03 'a/b' 00 ~ 'payload'"},
    {NEW, "32", "00 03 'a/b' 00 01 0C 02 00 00 00 05 " USER " ~ 'payload'"},
    {OLD, "40", "00 01"},
    {OLD, "50", "00 01"},
    {OLD, "62", "00 01"},
    {OLD, "70", "00 01"},
    {NEW, "40", "00 01 ! 10 ! 0C 1F 00 02 'rr' " USER},
    {NEW, "50", "00 01 ! 80 ! 0C 1F 00 02 'rr' " USER},
    {NEW, "62", "00 01 ! 92 ! 0C 1F 00 02 'rr' " USER},
    {NEW, "70", "00 01 ! 92 ! 0C 1F 00 02 'rr' " USER},
    {OLD, "82", "00 01 00 03 'a/b' 01 ! 00 01 '#' 02"},
    {NEW, "82", "00 01 09 0B 05 " USER " 00 03 'a/b' 01 ! 00 01 '#' 2E"},
    {OLD, "90", "00 01 00 ~ 01 80"},
    {NEW, "90", "00 01 0C 1F 00 02 'rr' " USER " 00 ~ 01 87"},
    {OLD, "A2", "00 01 00 03 'a/b' ! 00 01 '#'"},
    {NEW, "A2", "00 01 07 " USER " 00 03 'a/b' ! 00 01 '#'"},
    {OLD, "B0", "00 01"},
    {NEW, "B0", "00 01 0C 1F 00 02 'rr' " USER " 00 ~ 11"},
    {ALL, "C0", ""},
    {ALL, "D0", ""},
    {OLD, "E0", ""},
    {NEW, "E0", "! 04 ! 11 11 00 00 00 05 1F 00 02 'rr' " USER},
    {NEW, "F0", "! 18 10 15 00 01 'm' 16 00 02 'dd' " USER},
};

static int decode(const struct mqtt_frame *frame, uint8_t version)
{
    union {
        struct mqtt_connect connect;
        struct mqtt_connack connack;
        struct mqtt_publish publish;
        struct mqtt_ack ack;
        struct mqtt_subscribe subscribe;
        struct mqtt_suback suback;
        struct mqtt_disconnect disconnect;
        struct mqtt_auth auth;
    } out;

    switch (frame->type) {
    case MQTT_CONNECT:
        return mqtt_decode_connect(frame, &out.connect);
    case MQTT_CONNACK:
        return mqtt_decode_connack(frame, version, &out.connack);
    case MQTT_PUBLISH:
        return mqtt_decode_publish(frame, version, false, &out.publish);
    case MQTT_SUBSCRIBE:
        return mqtt_decode_subscribe(frame, version, &out.subscribe);
    case MQTT_UNSUBSCRIBE:
        return mqtt_decode_unsubscribe(frame, version, &out.subscribe);
    case MQTT_SUBACK:
    case MQTT_UNSUBACK:
        return mqtt_decode_suback(frame, version, &out.suback);
    case MQTT_PINGREQ:
    case MQTT_PINGRESP:
        return mqtt_decode_ping(frame);
    case MQTT_DISCONNECT:
        return mqtt_decode_disconnect(frame, version, &out.disconnect);
    case MQTT_AUTH:
        return mqtt_decode_auth(frame, &out.auth);
    default:
        return mqtt_decode_ack(frame, version, &out.ack);
    }
}

/* The bytes of a sample without its marks; may_end[n]: it may end after n bytes. */
static struct wire sample_read(const char *text, bool *may_end)
{
    char plain[1024];
    size_t used = 0, len;
    struct wire w;

    memset(may_end, 0, 256 * sizeof *may_end);
    for (const char *p = text;; p++) {
        if (*p && *p != '!' && *p != '~') {
            plain[used++] = *p;
            continue;
        }
        plain[used] = '\0';
        w = wire_of(plain);
        len = w.len;
        may_end[len] = true;
        if (*p == '\0')
            break;
        for (size_t i = len; *p == '~' && i < 256; i++)
            may_end[i] = true;
        wire_free(&w);
    }
    return w;
}

static void cut_at_every_byte(void **state)
{
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        uint8_t first = (uint8_t)strtoul(samples[i].first, NULL, 16);
        bool may_end[256];
        struct wire whole = sample_read(samples[i].body, may_end);
        for (const char *v = samples[i].versions; *v; v++) {
            for (size_t len = 0; len <= whole.len; len++) {
                struct wire part = wire_copy(whole.ptr, len);
                struct mqtt_frame frame = wire_body(first, &part);
                bool accepted = decode(&frame, (uint8_t)(*v - '0')) == 0;
                if (accepted != may_end[len])
                    fail_msg("%s %s, MQTT %c, cut to %zu bytes: %d", samples[i].first,
                             samples[i].body, *v, len, accepted);
                wire_free(&part);
            }
        }
        wire_free(&whole);
    }
}

/* Nothing is asserted but that no byte outside is read and no answer is invented. */
static void turn_every_bit(void **state)
{
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        uint8_t first = (uint8_t)strtoul(samples[i].first, NULL, 16);
        bool may_end[256];
        struct wire whole = sample_read(samples[i].body, may_end);
        for (size_t bit = 0; bit < whole.len * 8; bit++) {
            struct mqtt_frame frame = wire_body(first, &whole);
            whole.ptr[bit / 8] ^= (uint8_t)(1u << bit % 8);
            for (uint8_t version = MQTT_31; version <= MQTT_50; version++) {
                int fault = decode(&frame, version);
                assert_true(fault == 0 || (fault >= 0x80 && fault <= 0xA2));
            }
            whole.ptr[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        wire_free(&whole);
    }
}

/* A byte more than the packet needs: malformed wherever nothing open-ended follows. */
static void one_byte_more(void **state)
{
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        uint8_t first = (uint8_t)strtoul(samples[i].first, NULL, 16);
        bool may_end[256];
        struct wire whole = sample_read(samples[i].body, may_end);
        struct wire more = {calloc(1, whole.len + 1), whole.len + 1};
        memcpy(more.ptr, whole.ptr, whole.len);
        for (const char *v = samples[i].versions; *v; v++) {
            struct mqtt_frame frame = wire_body(first, &more);
            bool open = may_end[whole.len + 1];
            assert_int_equal(decode(&frame, (uint8_t)(*v - '0')) == 0, open);
        }
        wire_free(&more);
        wire_free(&whole);
    }
}

/* A decoder asked about a packet of another type refuses, whatever the body. */
static void wrong_type(void **state)
{
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        bool may_end[256];
        struct wire whole = sample_read(samples[i].body, may_end);
        uint8_t own = (uint8_t)strtoul(samples[i].first, NULL, 16) >> 4;
        uint8_t version = (uint8_t)(samples[i].versions[0] - '0');
        struct mqtt_subscribe subscribe;
        struct mqtt_ack ack;
        struct mqtt_suback suback;
        struct mqtt_connect connect;
        struct mqtt_connack connack;
        struct mqtt_disconnect disconnect;
        struct mqtt_auth auth;
        /* the flags that the most decoders would take */
        for (int flags = 0; flags <= 2; flags += 2) {
            struct mqtt_frame f = wire_body((uint8_t)(own << 4 | flags), &whole);
            assert_true(own == MQTT_CONNECT || mqtt_decode_connect(&f, &connect));
            assert_true(own == MQTT_CONNACK || mqtt_decode_connack(&f, version, &connack));
            assert_true((own >= MQTT_PUBACK && own <= MQTT_PUBCOMP) ||
                        mqtt_decode_ack(&f, version, &ack));
            assert_true(own == MQTT_SUBSCRIBE || mqtt_decode_subscribe(&f, version, &subscribe));
            assert_true(own == MQTT_UNSUBSCRIBE ||
                        mqtt_decode_unsubscribe(&f, version, &subscribe));
            assert_true(own == MQTT_SUBACK || own == MQTT_UNSUBACK ||
                        mqtt_decode_suback(&f, version, &suback));
            assert_true(own == MQTT_DISCONNECT || mqtt_decode_disconnect(&f, version, &disconnect));
            assert_true(own == MQTT_AUTH || mqtt_decode_auth(&f, &auth));
            assert_true(own == MQTT_PINGREQ || own == MQTT_PINGRESP || mqtt_decode_ping(&f));
        }
        wire_free(&whole);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cut_at_every_byte),
        cmocka_unit_test(turn_every_bit),
        cmocka_unit_test(one_byte_more),
        cmocka_unit_test(wrong_type),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
