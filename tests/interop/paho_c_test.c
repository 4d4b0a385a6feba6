/* Debian's Paho C client against the broker: every QoS and version over TCP, TLS and WebSocket, an
 * MQTT 5 exchange with properties, a retained message and a continued session.  Started by
 * fixture.py, which says where the broker is. */
#include <MQTTClient.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TIMEOUT_MS = 20000, COUNT = 5 };

static int failures;

#define CHECK(condition, ...)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            printf("%s:%d: ", __FILE__, __LINE__);                                                 \
            printf(__VA_ARGS__);                                                                   \
            printf(" (%s)\n", #condition);                                                         \
            failures++;                                                                            \
        }                                                                                          \
    } while (0)

static MQTTClient client_new(const char *link, const char *port, const char *id, int version)
{
    MQTTClient_createOptions options = MQTTClient_createOptions_initializer;
    MQTTClient client = NULL;
    char uri[200];
    int rc;

    options.MQTTVersion = version == MQTTVERSION_5 ? MQTTVERSION_5 : MQTTVERSION_DEFAULT;
    snprintf(uri, sizeof uri, "%s://127.0.0.1:%s%s", link, getenv(port),
             strncmp(link, "ws", 2) == 0 ? "/mqtt" : "");
    rc =
        MQTTClient_createWithOptions(&client, uri, id, MQTTCLIENT_PERSISTENCE_NONE, NULL, &options);
    if (rc != MQTTCLIENT_SUCCESS) {
        printf("create %s: %d\n", uri, rc);
        exit(1);
    }
    return client;
}

/* Connects; 1 when the broker continued a session, 0 when not, -1 on failure. */
static int client_connect(MQTTClient client, int version, int clean, int expiry)
{
    MQTTClient_connectOptions three = MQTTClient_connectOptions_initializer;
    MQTTClient_connectOptions five = MQTTClient_connectOptions_initializer5;
    MQTTClient_connectOptions *options = version == MQTTVERSION_5 ? &five : &three;
    MQTTClient_SSLOptions ssl = MQTTClient_SSLOptions_initializer;
    MQTTProperties props = MQTTProperties_initializer;
    MQTTProperty property = {.identifier = MQTTPROPERTY_CODE_SESSION_EXPIRY_INTERVAL};
    MQTTResponse response = MQTTResponse_initializer;
    char trust[300];
    int present, rc;

    snprintf(trust, sizeof trust, "%s/ca.pem", getenv("INTEROP_DIR"));
    ssl.trustStore = trust;
    ssl.verify = 1;
    options->ssl = &ssl;
    options->MQTTVersion = version;
    if (version != MQTTVERSION_5) {
        options->cleansession = clean;
        rc = MQTTClient_connect(client, options);
        return rc == MQTTCLIENT_SUCCESS ? options->returned.sessionPresent : -1;
    }
    options->cleanstart = clean;
    property.value.integer4 = (unsigned)expiry;
    MQTTProperties_add(&props, &property);
    response = MQTTClient_connect5(client, options, &props, NULL);
    rc = (int)response.reasonCode;
    present = options->returned.sessionPresent;
    MQTTResponse_free(response);
    MQTTProperties_free(&props);
    return rc == MQTTREASONCODE_SUCCESS ? present : -1;
}

static void client_end(MQTTClient *client, int version)
{
    if (version == MQTTVERSION_5)
        MQTTClient_disconnect5(*client, 0, MQTTREASONCODE_SUCCESS, NULL);
    else
        MQTTClient_disconnect(*client, 0);
    MQTTClient_destroy(client);
}

static int subscribe(MQTTClient client, int version, const char *filter, int qos)
{
    MQTTResponse response;
    int code;

    if (version != MQTTVERSION_5)
        return MQTTClient_subscribe(client, filter, qos);
    response = MQTTClient_subscribe5(client, filter, qos, NULL, NULL);
    code = (int)response.reasonCode == qos ? 0 : (int)response.reasonCode;
    MQTTResponse_free(response);
    return code;
}

static int publish(MQTTClient client, int version, const char *topic, const char *text, int qos,
                   int retained, MQTTProperties *props)
{
    MQTTClient_message message = MQTTClient_message_initializer;
    MQTTClient_deliveryToken token = 0;
    int rc;

    message.payload = (void *)text;
    message.payloadlen = (int)strlen(text);
    message.qos = qos;
    message.retained = retained;
    if (props)
        message.properties = *props;
    if (version == MQTTVERSION_5) {
        MQTTResponse response = MQTTClient_publishMessage5(client, topic, &message, &token);

        rc = (int)response.reasonCode;
        MQTTResponse_free(response);
    } else {
        rc = MQTTClient_publishMessage(client, topic, &message, &token);
    }
    return rc == MQTTCLIENT_SUCCESS ? MQTTClient_waitForCompletion(client, token, TIMEOUT_MS) : rc;
}

/* Expects a message with this payload; returns it for a closer look, or NULL. */
static MQTTClient_message *expect(MQTTClient client, const char *topic, const char *text, int qos)
{
    MQTTClient_message *message = NULL;
    char *name = NULL;
    int len = 0, rc = MQTTClient_receive(client, &name, &len, &message, TIMEOUT_MS);

    CHECK(rc == MQTTCLIENT_SUCCESS && message, "%s: nothing received, want '%s'", topic, text);
    if (!message)
        return NULL;
    CHECK(strcmp(name, topic) == 0, "topic '%s', want '%s'", name, topic);
    CHECK(message->qos == qos, "%s: QoS %d, want %d", topic, message->qos, qos);
    CHECK(message->payloadlen == (int)strlen(text) &&
              memcmp(message->payload, text, strlen(text)) == 0,
          "%s: payload '%.*s', want '%s'", topic, message->payloadlen, (char *)message->payload,
          text);
    MQTTClient_free(name);
    return message;
}

static void expect_only(MQTTClient client, const char *topic, const char *text, int qos)
{
    MQTTClient_message *message = expect(client, topic, text, qos);

    if (message)
        MQTTClient_freeMessage(&message);
}

static void every_qos(const char *link, const char *port, int version)
{
    MQTTClient a = client_new(link, port, "paho-c-a", version);
    MQTTClient b = client_new(link, port, "paho-c-b", version);
    char topic[100], text[20];

    printf("%s, version %d: every QoS\n", link, version);
    CHECK(client_connect(a, version, 1, 0) == 0, "connect %s", link);
    CHECK(client_connect(b, version, 1, 0) == 0, "connect %s", link);
    for (int qos = 0; qos <= 2; qos++) {
        snprintf(topic, sizeof topic, "paho-c/%d", qos);
        CHECK(subscribe(a, version, topic, qos) == 0, "subscribe %s", topic);
        for (int i = 0; i < COUNT; i++) {
            snprintf(text, sizeof text, "message %d", i);
            CHECK(publish(b, version, topic, text, qos, 0, NULL) == 0, "publish %s", topic);
        }
        for (int i = 0; i < COUNT; i++) {
            snprintf(text, sizeof text, "message %d", i);
            expect_only(a, topic, text, qos);
        }
    }
    client_end(&a, version);
    client_end(&b, version);
}

static void properties_travel(void)
{
    MQTTClient a = client_new("tcp", "INTEROP_TCP_PORT", "paho-c-props", MQTTVERSION_5);
    MQTTProperties props = MQTTProperties_initializer;
    MQTTProperty type = {.identifier = MQTTPROPERTY_CODE_CONTENT_TYPE};
    MQTTProperty user = {.identifier = MQTTPROPERTY_CODE_USER_PROPERTY};
    MQTTClient_message *m;

    printf("properties\n");
    type.value.data = (MQTTLenString){10, (char *)"text/plain"};
    user.value.data = (MQTTLenString){3, (char *)"key"};
    user.value.value = (MQTTLenString){5, (char *)"value"};
    MQTTProperties_add(&props, &type);
    MQTTProperties_add(&props, &user);
    CHECK(client_connect(a, MQTTVERSION_5, 1, 0) == 0, "connect");
    CHECK(subscribe(a, MQTTVERSION_5, "paho-c/props", 1) == 0, "subscribe");
    CHECK(publish(a, MQTTVERSION_5, "paho-c/props", "x", 1, 0, &props) == 0, "publish");
    m = expect(a, "paho-c/props", "x", 1);
    if (m) {
        MQTTProperty *got =
            MQTTProperties_getProperty(&m->properties, MQTTPROPERTY_CODE_USER_PROPERTY);

        CHECK(MQTTProperties_hasProperty(&m->properties, MQTTPROPERTY_CODE_CONTENT_TYPE),
              "no content type");
        CHECK(got && got->value.value.len == 5 && memcmp(got->value.value.data, "value", 5) == 0,
              "no user property");
        MQTTClient_freeMessage(&m);
    }
    MQTTProperties_free(&props);
    client_end(&a, MQTTVERSION_5);
}

static void retained(int version)
{
    MQTTClient a = client_new("tcp", "INTEROP_TCP_PORT", "paho-c-retained", version);
    MQTTClient_message *m;

    printf("version %d: retained\n", version);
    CHECK(client_connect(a, version, 1, 0) == 0, "connect");
    CHECK(publish(a, version, "paho-c/kept", "kept", 1, 1, NULL) == 0, "publish");
    CHECK(subscribe(a, version, "paho-c/kept", 1) == 0, "subscribe");
    m = expect(a, "paho-c/kept", "kept", 1);
    if (m) {
        CHECK(m->retained, "not marked as retained");
        MQTTClient_freeMessage(&m);
    }
    CHECK(publish(a, version, "paho-c/kept", "", 1, 1, NULL) == 0, "publish");
    client_end(&a, version);
}

static void session_continues(int version)
{
    MQTTClient a = client_new("tcp", "INTEROP_TCP_PORT", "paho-c-stay", version);
    MQTTClient b = client_new("ssl", "INTEROP_TLS_PORT", "paho-c-other", version);

    printf("version %d: a session continues\n", version);
    CHECK(client_connect(a, version, 1, 60) == 0, "connect"); /* whatever was there is gone */
    client_end(&a, version);
    a = client_new("tcp", "INTEROP_TCP_PORT", "paho-c-stay", version);
    CHECK(client_connect(a, version, 0, 60) >= 0, "connect");
    CHECK(subscribe(a, version, "paho-c/stay", 2) == 0, "subscribe");
    client_end(&a, version);
    CHECK(client_connect(b, version, 1, 0) == 0, "connect over TLS");
    CHECK(publish(b, version, "paho-c/stay", "while away", 2, 0, NULL) == 0, "publish");
    a = client_new("tcp", "INTEROP_TCP_PORT", "paho-c-stay", version);
    /* 3.1 has no such flag, and this library does not hand on that of 5.0 */
    CHECK(client_connect(a, version, 0, 60) == (version == MQTTVERSION_3_1_1), "session present");
    expect_only(a, "paho-c/stay", "while away", 2);
    client_end(&a, version);
    client_end(&b, version);
}

int main(void)
{
    static const int versions[] = {MQTTVERSION_3_1, MQTTVERSION_3_1_1, MQTTVERSION_5};
    MQTTClient_init_options init = MQTTClient_init_options_initializer;

    setvbuf(stdout, NULL, _IOLBF, 0);
    init.do_openssl_init = 1;
    MQTTClient_global_init(&init);
    for (size_t i = 0; i < sizeof versions / sizeof versions[0]; i++) {
        every_qos("tcp", "INTEROP_TCP_PORT", versions[i]);
        every_qos("ssl", "INTEROP_TLS_PORT", versions[i]);
        every_qos("ws", "INTEROP_WS_PORT", versions[i]);
        every_qos("wss", "INTEROP_WSS_PORT", versions[i]);
        retained(versions[i]);
        session_continues(versions[i]);
    }
    properties_travel();
    printf("%d failures\n", failures);
    return failures ? 1 : 0;
}
