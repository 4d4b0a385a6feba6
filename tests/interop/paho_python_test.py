"""Debian's python3-paho-mqtt against the broker."""
import queue
import ssl
import unittest

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from fixture import Broker, DEADLINE


def setUpModule():
    global broker
    broker = Broker().start()


def tearDownModule():
    broker.stop()


class Client:
    """A paho client on its own thread; what happens to it can be waited for."""

    def __init__(self, version=mqtt.MQTTv5, transport="tcp", port="tcp", setup=None, props=None,
                 clean=True, **more):
        self.messages, self.events = queue.Queue(), queue.Queue()
        self.c = mqtt.Client(protocol=version, transport=transport, **more)
        self.c.on_message = lambda c, u, m: self.messages.put(m)
        self.c.on_connect = lambda c, u, flags, rc, *p: self.events.put(("connect", flags, rc, p))
        self.c.on_disconnect = lambda c, u, rc, *p: self.events.put(("disconnect", rc, p))
        self.c.on_subscribe = lambda c, u, mid, codes, *p: self.events.put(("suback", codes))
        self.c.on_publish = lambda c, u, mid: self.events.put(("published", mid))
        if setup:
            setup(self.c)
        five = {"properties": props, "clean_start": clean} if version == mqtt.MQTTv5 else {}
        self.c.connect("127.0.0.1", broker.ports[port], keepalive=60, **five)
        self.c.loop_start()
        self.connack = self.wait("connect")

    def wait(self, kind):
        while True:
            event = self.events.get(timeout=DEADLINE)
            if event[0] == kind:
                return event

    def subscribe(self, *words, **more):
        self.c.subscribe(*words, **more)
        return self.wait("suback")[1]

    def publish(self, *words, **more):
        self.c.publish(*words, **more).wait_for_publish(DEADLINE)

    def message(self):
        return self.messages.get(timeout=DEADLINE)

    def close(self):
        self.c.disconnect()
        self.wait("disconnect")
        self.c.loop_stop()


class Paho(unittest.TestCase):
    def exchange(self, version, **more):
        a, b = Client(version, **more), Client(version, **more)
        a.subscribe("paho/#", qos=2)
        for qos in (0, 1, 2):
            for i in range(20):
                b.publish("paho/%d" % qos, b"%d" % i, qos=qos)
            for i in range(20):
                m = a.message()
                self.assertEqual((m.topic, m.payload, m.qos), ("paho/%d" % qos, b"%d" % i, qos))
        a.close()
        b.close()

    def test_31(self):
        self.exchange(mqtt.MQTTv31)

    def test_311(self):
        self.exchange(mqtt.MQTTv311)

    def test_5(self):
        self.exchange(mqtt.MQTTv5)

    def test_tls(self):
        self.exchange(mqtt.MQTTv311, port="tls",
                      setup=lambda c: c.tls_set(broker.file("ca.pem")))

    def test_client_certificate(self):
        self.exchange(mqtt.MQTTv5, port="tls", setup=lambda c: c.tls_set(
            broker.file("ca.pem"), broker.file("client.pem"), broker.file("client.key")))

    def test_unknown_authority(self):
        with self.assertRaises(ssl.SSLError):
            Client(port="tls", setup=lambda c: c.tls_set(broker.file("other.pem")))

    def test_websocket(self):
        self.exchange(mqtt.MQTTv311, transport="websockets", port="ws",
                      setup=lambda c: c.ws_set_options(path="/mqtt"))

    def test_secure_websocket(self):
        def setup(c):
            c.ws_set_options(path="/mqtt")
            c.tls_set(broker.file("ca.pem"))
        self.exchange(mqtt.MQTTv5, transport="websockets", port="wss", setup=setup)

    def test_large_messages(self):
        a, b = Client(), Client(mqtt.MQTTv311)
        a.subscribe("large", qos=1)
        payload = bytes(range(256)) * 3000
        b.publish("large", payload, qos=1)
        self.assertEqual(a.message().payload, payload)
        a.close()
        b.close()

    def test_retained_and_its_options(self):
        a = Client()
        a.publish("keep/x", b"1", qos=1, retain=True)
        a.subscribe("keep/#", options=SubscribeOptions(qos=1, retainAsPublished=True))
        m = a.message()
        self.assertTrue(m.retain)
        a.publish("keep/x", b"2", qos=1, retain=True)
        m = a.message()
        self.assertEqual((m.payload, bool(m.retain)), (b"2", True))
        a.publish("keep/x", b"", retain=True)
        a.close()

    def test_no_local(self):
        a, b = Client(), Client()
        a.subscribe("nl", options=SubscribeOptions(qos=1, noLocal=True))
        a.publish("nl", b"mine", qos=1)
        b.publish("nl", b"theirs", qos=1)
        self.assertEqual(a.message().payload, b"theirs")
        a.close()
        b.close()

    def test_properties_travel(self):
        a, b = Client(), Client()
        ids = Properties(PacketTypes.SUBSCRIBE)
        ids.SubscriptionIdentifier = 268435455
        a.subscribe("props/+", options=SubscribeOptions(qos=1), properties=ids)
        p = Properties(PacketTypes.PUBLISH)
        p.ContentType, p.ResponseTopic, p.CorrelationData = "text/ü", "re", b"\0\1\2"
        p.UserProperty = [("a", "1"), ("b", ""), ("a", "2")]
        p.PayloadFormatIndicator = 1
        b.publish("props/x", "é", qos=1, properties=p)
        got = a.message().properties
        self.assertEqual(got.ContentType, "text/ü")
        self.assertEqual(got.ResponseTopic, "re")
        self.assertEqual(got.CorrelationData, b"\0\1\2")
        self.assertEqual(got.UserProperty, [("a", "1"), ("b", ""), ("a", "2")])
        self.assertEqual(got.SubscriptionIdentifier, [268435455])
        a.close()
        b.close()

    def test_session_is_resumed(self):
        p = Properties(PacketTypes.CONNECT)
        p.SessionExpiryInterval = 60
        a = Client(client_id="paho-resume", props=p)
        a.subscribe("resume", qos=2)
        a.close()
        b = Client()
        for i in range(10):
            b.publish("resume", b"%d" % i, qos=2)
        b.close()
        a = Client(client_id="paho-resume", props=p, clean=False)
        self.assertEqual(a.connack[1]["session present"], 1)
        self.assertEqual([a.message().payload for _ in range(10)], [b"%d" % i for i in range(10)])
        a.close()

    def test_takeover(self):
        a = Client(client_id="paho-twin")
        a.c.reconnect_delay_set(100, 100)
        b = Client(client_id="paho-twin")
        gone = a.wait("disconnect")
        self.assertNotEqual(gone[1], 0)
        a.c.loop_stop()
        b.close()

    def test_will_by_disconnect(self):
        watcher = Client(mqtt.MQTTv311)
        watcher.subscribe("will/paho")
        a = Client(setup=lambda c: c.will_set("will/paho", b"bye", qos=1))
        a.c._sock_close()
        self.assertEqual(watcher.message().payload, b"bye")
        a.c.loop_stop()
        watcher.close()


if __name__ == "__main__":
    unittest.main(verbosity=2)
