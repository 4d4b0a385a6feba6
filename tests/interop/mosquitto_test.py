"""mosquitto_pub and mosquitto_sub against the broker."""
import os
import unittest

from fixture import Broker, Program, PSK_IDENTITY, PSK_KEY, run


def setUpModule():
    global broker
    broker = Broker().start()


def tearDownModule():
    broker.stop()


VERSIONS = ("mqttv31", "mqttv311", "mqttv5")


class Subscriber(Program):
    """mosquitto_sub, subscribed when the constructor returns; messages are lines "MSG ..."."""

    def __init__(self, *words, filter, format="%t %p", link=None, ready="^Subscribed"):
        link = link or ("-p", broker.ports["tcp"])
        super().__init__("stdbuf", "-oL", "mosquitto_sub", "-h", "127.0.0.1", *link, "-d", "-t",
                         filter, "-F", "MSG " + format, *words)
        self.wait_line(ready)

    def message(self):
        return self.wait_line("^MSG ")[4:]


def publish(*words, topic, link=None, data=None, status=0):
    link = link or ("-p", broker.ports["tcp"])
    run("mosquitto_pub", "-h", "127.0.0.1", *link, "-t", topic, *words, data=data, status=status)


class Delivery(unittest.TestCase):
    def test_every_qos_and_version(self):
        for version in VERSIONS:
            for qos in (0, 1, 2):
                with self.subTest(version=version, qos=qos):
                    topic = "qos/%s/%d" % (version, qos)
                    sub = Subscriber("-V", version, "-q", qos, "-C", 100, filter=topic,
                                     format="%q %p")
                    lines = "".join("%d\n" % i for i in range(100)).encode()
                    publish("-V", version, "-q", qos, "-l", topic=topic, data=lines)
                    got = [sub.message() for _ in range(100)]
                    self.assertEqual(got, ["%d %d" % (qos, i) for i in range(100)])
                    sub.finish()

    def test_versions_meet(self):
        for theirs in VERSIONS:
            for ours in VERSIONS:
                with self.subTest(publisher=theirs, subscriber=ours):
                    sub = Subscriber("-V", ours, "-C", 1, filter="meet/+")
                    publish("-V", theirs, "-m", theirs, topic="meet/" + ours)
                    self.assertEqual(sub.message(), "meet/%s %s" % (ours, theirs))
                    sub.finish()

    def test_large_payload(self):
        payload = os.urandom(700000)
        path = broker.file("payload")
        with open(path, "wb") as f:
            f.write(payload)
        sub = Subscriber("-C", 1, "-q", 1, filter="large", format="%x")
        publish("-q", 1, "-f", path, topic="large")
        self.assertEqual(sub.message(), payload.hex())
        sub.finish()


class State(unittest.TestCase):
    def test_retained(self):
        publish("-r", "-q", 1, "-m", "kept", topic="ret/a/b")
        sub = Subscriber("-C", 1, filter="ret/#", format="%r %p")
        self.assertEqual(sub.message(), "1 kept")
        sub.finish()
        publish("-r", "-n", topic="ret/a/b")
        sub = Subscriber("-W", 1, filter="ret/#")
        self.assertFalse([line for line in sub.finish(27) if line.startswith("MSG")])

    def test_will(self):
        watcher = Subscriber("-C", 1, filter="will/+")
        victim = Subscriber("--will-topic", "will/x", "--will-payload", "gone", filter="unused")
        victim.kill()
        self.assertEqual(watcher.message(), "will/x gone")
        watcher.finish()

    def test_persistent_session(self):
        for version, more in (("mqttv311", []), ("mqttv5", ["-x", "100"])):
            with self.subTest(version=version):
                words = ["-V", version, "-q", 1, "-i", "keeper-" + version, "-c", *more]
                Subscriber(*words, "-E", filter="keep/" + version).finish()
                for i in range(5):
                    publish("-V", version, "-q", 1, "-m", i, topic="keep/" + version)
                sub = Subscriber(*words, "-C", 5, filter="keep/" + version, format="%p",
                                 ready="received CONNACK")
                self.assertEqual([sub.message() for _ in range(5)], list("01234"))
                sub.finish()


class Five(unittest.TestCase):
    def test_properties(self):
        sub = Subscriber("-V", "mqttv5", "-C", 1, filter="props", format="%C|%R|%D|%P|%F|%E|%p")
        publish("-V", "mqttv5", "-D", "publish", "content-type", "text/plain", "-D", "publish",
                "response-topic", "answers", "-D", "publish", "correlation-data", "c-1", "-D",
                "publish", "user-property", "k", "v", "-D", "publish",
                "payload-format-indicator", "1", "-D", "publish", "message-expiry-interval",
                "60", "-m", "x", topic="props")
        self.assertRegex(sub.message(), r"^text/plain\|answers\|c-1\|k:v\|1\|(60|59|58)\|x$")
        sub.finish()

    def test_shared(self):
        members = [Subscriber("-V", "mqttv5", "-W", 20, filter="$share/g/shared/+", format="%p")
                   for _ in range(2)]
        publish("-V", "mqttv5", "-q", 1, "-l", topic="shared/x",
                data=b"".join(b"%d\n" % i for i in range(20)))
        publish("-V", "mqttv5", "-q", 1, "-l", topic="shared/end", data=b"end\nend\n")
        got = []
        for member in members:
            member.wait_line("^MSG end")
            member.terminate()
            got += [line[4:] for line in member.finish(None) if line.startswith("MSG ")]
        self.assertEqual(sorted(got), sorted([str(i) for i in range(20)] + ["end"] * 2))

    def test_request_and_response(self):
        server = Subscriber("-V", "mqttv5", "-C", 1, filter="rr/ask", format="%R %D %p")
        asker = Program("mosquitto_rr", "-h", "127.0.0.1", "-p", broker.ports["tcp"], "-V",
                        "mqttv5", "-t", "rr/ask", "-e", "rr/answer", "-D", "publish",
                        "correlation-data", "77", "-m", "ping", "-W", 20)
        reply_to, correlation, payload = server.message().split(" ")
        self.assertEqual((reply_to, correlation, payload), ("rr/answer", "77", "ping"))
        publish("-V", "mqttv5", "-D", "publish", "correlation-data", correlation, "-m", "pong",
                topic=reply_to)
        self.assertEqual(asker.finish(), ["pong"])


class Tls(unittest.TestCase):
    def exchange(self, link):
        sub = Subscriber("-C", 1, "-q", 1, filter="tls/+", link=link)
        publish("-q", 1, "-m", "secret", topic="tls/x", link=link)
        self.assertEqual(sub.message(), "tls/x secret")
        sub.finish()

    def test_certificates(self):
        port, ca = ("-p", broker.ports["tls"]), ("--cafile", broker.file("ca.pem"))
        for version in ("tlsv1.2", "tlsv1.3"):
            with self.subTest(version=version):
                self.exchange(port + ca + ("--tls-version", version))
        self.exchange(port + ca + ("--cert", broker.file("client.pem"), "--key",
                                   broker.file("client.key")))

    def test_unknown_authority_is_refused_by_the_client(self):
        for version in ("tlsv1.2", "tlsv1.3"):
            client = Program("mosquitto_pub", "-h", "127.0.0.1", "-p", broker.ports["tls"],
                             "--cafile", broker.file("other.pem"), "--tls-version", version, "-t",
                             "x", "-m", "x")
            client.wait_line("TLS error")
            client.finish(None)
            self.assertNotEqual(client.process.returncode, 0)

    def test_pre_shared_key(self):
        self.exchange(("-p", broker.ports["psk"], "--psk", PSK_KEY, "--psk-identity",
                       PSK_IDENTITY, "--tls-version", "tlsv1.2"))


class Unix(unittest.TestCase):
    def test_unix_socket(self):
        link = ("--unix", broker.file("mqtt.sock"))
        sub = Subscriber("-C", 1, filter="unix", link=link)
        publish("-m", "here", topic="unix", link=link)
        self.assertEqual(sub.message(), "unix here")
        sub.finish()


if __name__ == "__main__":
    unittest.main(verbosity=2)
