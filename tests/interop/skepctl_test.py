"""skepctl as its users call it, against the broker."""
import json
import os
import pty
import signal
import unittest

from fixture import Broker, DEADLINE, MOSQUITTO, Program, PSK_IDENTITY, PSK_KEY, run

SKEPCTL = os.environ["SKEPCTL_BINARY"]


def setUpModule():
    global broker
    broker = Broker().start()


def tearDownModule():
    broker.stop()


def link(name="tcp"):
    """The options that reach the listener of that name."""
    port = ("-p", broker.ports[name]) if name in broker.ports else ()
    ca = ("--cafile", broker.file("ca.pem"))
    return {
        "tcp": port,
        "tls": port + ca,
        "psk": port + ("--psk", PSK_KEY, "--psk-identity", PSK_IDENTITY),
        "ws": port + ("--ws",),
        "wss": port + ("--ws",) + ca,
        "unix": ("--unix", broker.file("mqtt.sock")),
    }[name]


class Subscriber(Program):
    """skepctl sub, subscribed when the constructor returns."""

    def __init__(self, *words, filter, over="tcp", ready="^received SUBACK"):
        super().__init__(SKEPCTL, "sub", *link(over), "-d", "-t", filter, *words)
        self.wait_line(ready)

    def results(self, status=0):
        return [line for line in self.finish(status)
                if not line.startswith(("sent ", "received "))]


def publish(*words, topic, over="tcp", **more):
    return run(SKEPCTL, "pub", *link(over), "-t", topic, *words, **more)


class Links(unittest.TestCase):
    def test_every_link(self):
        for over in ("tcp", "tls", "psk", "ws", "wss", "unix"):
            for version in ("5", "311", "31"):
                with self.subTest(over=over, version=version):
                    sub = Subscriber("-C", 1, "-v", "-V", version, filter="link/+", over=over)
                    publish("-V", version, "-m", over, "-q", 1, topic="link/x", over=over)
                    self.assertEqual(sub.results(), ["link/x " + over])

    def test_client_certificate(self):
        sub = Subscriber("-C", 1, "--cert", broker.file("client.pem"), "--key",
                         broker.file("client.key"), filter="cert", over="tls")
        publish("-m", "x", topic="cert", over="tls")
        self.assertEqual(sub.results(), ["x"])

    def test_url(self):
        url = "mqtt://127.0.0.1:%d/from%%20url" % broker.ports["tcp"]
        sub = Program(SKEPCTL, "sub", "-L", url, "-d", "-C", 1, "-F", "%t=%p")
        sub.wait_line("received SUBACK")
        run(SKEPCTL, "pub", "-L", url, "-m", "x")
        self.assertIn("from url=x", sub.finish())

    def test_untrusted_certificate(self):
        for words in (("--cafile", broker.file("other.pem")), ("--tls",)):
            p = Program(SKEPCTL, "pub", "-p", broker.ports["tls"], *words, "-t", "x", "-m", "x")
            self.assertRegex("\n".join(p.finish(3)), "certificate is not accepted.*\n.*--insecure")
        publish("-m", "x", "--insecure", topic="x", over="tls")

    def test_name_in_certificate(self):
        p = Program(SKEPCTL, "pub", *link("tls"), "--server-name", "elsewhere", "-t", "x", "-m", "x")
        self.assertRegex("\n".join(p.finish(3)), "--server-name")
        publish("-m", "x", "--server-name", "localhost", topic="x", over="tls")

    def test_wrong_kind_of_port(self):
        for words, hint in ((("--tls",), "TLS"), (("--ws",), "WebSocket")):
            p = Program(SKEPCTL, "pub", "-p", broker.ports["tcp"], *words, "-t", "x", "-m", "x")
            self.assertRegex("\n".join(p.finish(3)), hint)
        p = Program(SKEPCTL, "pub", "-p", broker.ports["tls"], "--connect-timeout", 5, "-t", "x",
                    "-m", "x")
        p.finish(None)
        self.assertIn(p.process.returncode, (3, 5))

    def test_wrong_websocket_path(self):
        if MOSQUITTO:
            self.skipTest("mosquitto takes any path")
        p = Program(SKEPCTL, "pub", *link("ws"), "--ws-path", "/other", "-t", "x", "-m", "x")
        self.assertRegex("\n".join(p.finish(3)), "refused.*404.*\n.*--ws-path")


class Delivery(unittest.TestCase):
    def test_lines_in_order(self):
        for version in ("5", "311", "31"):
            for qos in (0, 1, 2):
                with self.subTest(version=version, qos=qos):
                    topic = "lines/%s/%d" % (version, qos)
                    sub = Subscriber("-V", version, "-q", qos, "-C", 500, filter=topic)
                    publish("-V", version, "-q", qos, "-l", topic=topic,
                            data=b"".join(b"%d\n" % i for i in range(500)))
                    self.assertEqual(sub.results(), [str(i) for i in range(500)])

    def test_payloads(self):
        path = broker.file("payload")
        for payload in (b"", b"\0", os.urandom(100000), os.urandom(900000)):
            with open(path, "wb") as f:
                f.write(payload)
            for over in ("tcp", "wss"):
                # Only -d's lines come through the pipe, the payloads go to a file.
                sub = Program("sh", "-c", 'exec "$0" "$@" >"$OUT"', SKEPCTL, "sub", *link(over),
                              "-d", "-C", 2, "-N", "-q", 1, "-t", "bin",
                              env=dict(os.environ, OUT=broker.file("out")))
                sub.wait_line("^received SUBACK")
                publish("-q", 1, "-f", path, topic="bin", over=over)
                publish("-q", 1, "-s", topic="bin", over=over, data=payload)
                sub.finish()
                with open(broker.file("out"), "rb") as f:
                    self.assertEqual(f.read(), payload * 2)

    def test_repeat_with_alias(self):
        sub = Subscriber("-C", 5, "-v", filter="again/#")
        publish("-m", "x", "--repeat", 5, "--repeat-delay", "5ms", "--topic-alias", 1, "-q", 1,
                topic="again/and/again")
        self.assertEqual(sub.results(), ["again/and/again x"] * 5)

    def test_count_leaves_the_rest_unacknowledged(self):
        words = ("-i", "careful", "-c", "-x", "never", "-q", 1)
        Subscriber(*words, "-E", filter="careful").finish()
        publish("-q", 1, "-l", topic="careful", data=b"1\n2\n3\n4\n5\n")
        ready = "^received CONNACK"
        first = Subscriber(*words, "-C", 2, filter="careful", ready=ready).results()
        rest = Subscriber(*words, "-C", 3, filter="careful", ready=ready).results()
        self.assertEqual((first, rest), (["1", "2"], ["3", "4", "5"]))


class Messages(unittest.TestCase):
    def test_json_has_every_property(self):
        sub = Subscriber("-C", 1, "--json", "--subscription-id", 77, "-q", 2, filter="json/+")
        publish("-m", '{"a":"ü"}', "-q", 2, "--content-type", "application/json", "--utf8",
                "--message-expiry", 60, "--response-topic", "re/ply", "--correlation-data", "c-1",
                "--property", "k=v", "-D", "publish", "user-property", "k", "w", topic="json/x")
        m = json.loads(sub.results()[0])
        expiry = m["properties"].pop("message-expiry-interval")
        self.assertTrue(58 <= expiry <= 60)
        m["properties"].pop("topic-alias", None)  # the broker may use one
        self.assertEqual(m["properties"], {
            "payload-format-indicator": 1, "content-type": "application/json",
            "response-topic": "re/ply", "correlation-data": "c-1",
            "subscription-identifiers": [77], "user-properties": [{"k": "v"}, {"k": "w"}]})
        self.assertEqual((m["topic"], m["payload"], m["qos"], m["payloadlen"]),
                         ("json/x", '{"a":"ü"}', 2, 10))

    def test_filters_of_what_is_shown(self):
        publish("-r", "-q", 1, "-m", "old", topic="show/old")
        sub = Subscriber("-R", "-T", "show/secret/#", "-v", "-C", 1, filter="show/#")
        publish("-m", "1", topic="show/secret/x")
        publish("-m", "2", topic="show/open")
        self.assertEqual(sub.results(), ["show/open 2"])
        sub = Subscriber("--retained-only", "-v", filter="show/#", ready="^show/old old")
        publish("-m", "3", topic="show/open")
        self.assertEqual(sub.results(), ["show/old old"])
        self.assertEqual(Subscriber("--remove-retained", "-C", 1, filter="show/#",
                                    ready="CONNACK").results(), ["old"])
        self.assertEqual(Subscriber("-W", "0.5", filter="show/#").results(27), [])

    def test_shared(self):
        members = [Subscriber("--share", "g", "-q", 1, filter="jobs/+") for _ in range(2)]
        publish("-q", 1, "-l", topic="jobs/x", data=b"".join(b"%d\n" % i for i in range(20)))
        publish("-q", 1, "-l", topic="jobs/end", data=b"end\nend\n")
        got = []
        for member in members:
            member.wait_line("^end$")
            member.terminate(signal.SIGINT)
            got += member.results()
        self.assertEqual(sorted(got), sorted([str(i) for i in range(20)] + ["end"] * 2))

    def test_request(self):
        server = Subscriber("-C", 1, "-F", "%R %D", filter="time/now")
        asker = Program(SKEPCTL, "pub", *link(), "-t", "time/now", "--request", "-m", "?", "-W", 20)
        reply_to, correlation = server.results()[0].split(" ")
        publish("-m", "noise", "--correlation-data", "other", topic=reply_to)
        publish("-m", "noon", "--correlation-data", correlation, topic=reply_to)
        self.assertEqual(asker.finish(), ["noon"])

    def test_will(self):
        watcher = Subscriber("-C", 1, "-v", filter="gone/+")
        victim = Subscriber("--will-topic", "gone/v", "--will-payload", "bye", "--will-qos", 1,
                            filter="unused")
        victim.kill()
        self.assertEqual(watcher.results(), ["gone/v bye"])

    def test_no_will_after_interrupt(self):
        watcher = Subscriber("-C", 1, "-v", filter="calm/+")
        victim = Subscriber("--will-topic", "calm/v", "--will-payload", "bye", filter="unused")
        victim.terminate(signal.SIGTERM)
        victim.finish(0)
        publish("-m", "first", topic="calm/after")
        self.assertEqual(watcher.results(), ["calm/after first"])


class Endings(unittest.TestCase):
    def test_statuses(self):
        run(SKEPCTL, "sub", *link(), "-t", "none", "-W", "0.3", status=27)
        run(SKEPCTL, "pub", "-p", 1, "-t", "x", "-m", "x", status=3)
        run(SKEPCTL, "pub", *link(), "-t", "a/#", "-m", "x", status=2)
        run(SKEPCTL, "pub", *link(), "-t", "x", "--request", "-m", "?", "-W", "0.3", status=27)

    def test_taken_over(self):
        a = Subscriber("-i", "twin", "--no-reconnect", filter="x")
        b = Subscriber("-i", "twin", filter="x")
        if not MOSQUITTO:
            a.wait_line("session taken over")
        a.finish(5)
        b.terminate()
        b.finish(0)

    def test_reconnects(self):
        with Broker() as other:
            words = ("-p", other.ports["tcp"])
            sub = Program(SKEPCTL, "sub", *words, "-d", "-t", "again", "-C", 2)
            sub.wait_line("received SUBACK")
            run(SKEPCTL, "pub", *words, "-t", "again", "-m", "one")
            sub.wait_line("^one$")
            # The same broker on the same port, a moment later.
            other.restart()
            sub.wait_line("trying again")
            sub.wait_line("received SUBACK")
            run(SKEPCTL, "pub", *words, "-t", "again", "-m", "two")
            self.assertIn("two", sub.finish())

    def test_closed_pipe(self):
        # Standard output is a pipe whose reader has gone; standard error is what we read.
        sub = Program("sh", "-c", '{ "$0" sub -p "$1" -d -t pipe 2>&3 | true; } 3>&1', SKEPCTL,
                      broker.ports["tcp"])
        sub.wait_line("received SUBACK")
        publish("-m", "x", topic="pipe")
        self.assertRegex("\n".join(sub.finish()), "cannot write")


class Passwords(unittest.TestCase):
    def test_prompt_shows_nothing(self):
        path = broker.file("users")
        pid, terminal = pty.fork()
        if pid == 0:
            os.execv(SKEPCTL, [SKEPCTL, "passwd", "-c", path, "alice"])
        seen = b""
        for question in (b"Password: ", b"Again: "):
            while question not in seen:
                seen += os.read(terminal, 1000)
            os.write(terminal, b"open sesame\n")
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        try:
            seen += os.read(terminal, 1000)
        except OSError:
            pass
        os.close(terminal)
        self.assertEqual(status, 0, seen)
        self.assertNotIn(b"sesame", seen)
        run(SKEPCTL, "passwd", path, "alice", "--verify", "--password-file", "-",
            data=b"open sesame\n")
        run(SKEPCTL, "passwd", path, "alice", "--verify", "--password-file", "-", data=b"close\n",
            status=1)
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)

    def test_batch_is_all_or_nothing(self):
        path = broker.file("batch")
        run(SKEPCTL, "passwd", "-c", path, "--batch", "--hash", "pbkdf2", "-I", 100,
            data=b"a:1\nb:2:3\n")
        before = open(path).read()
        run(SKEPCTL, "passwd", path, "--batch", data=b"c:3\nbroken\n", status=1)
        self.assertEqual(open(path).read(), before)
        self.assertEqual(run(SKEPCTL, "passwd", path, "-l").split(), [b"a", b"pbkdf2", b"b",
                                                                      b"pbkdf2"])
        run(SKEPCTL, "passwd", path, "b", "--verify", "--password-file", "-", data=b"2:3\n")
        run(SKEPCTL, "passwd", path, "a", "-D")
        run(SKEPCTL, "passwd", path, "a", "-D", status=1)


@unittest.skipIf(MOSQUITTO, "mosquitto has no control socket")
class Control(unittest.TestCase):
    def ctl(self, *words, status=0):
        return run(SKEPCTL, *words, "--socket", broker.file("control.sock"), status=status).decode()

    def test_status(self):
        sub = Subscriber("-W", DEADLINE, filter="status/#")
        status = json.loads(self.ctl("status", "--json"))
        self.assertEqual(status["pid"], broker.process.pid)
        self.assertGreaterEqual(status["connections"], 1)
        self.assertGreaterEqual(status["subscriptions"], 1)
        text = self.ctl("status")
        self.assertRegex(text, r"listener mqtt +127\.0\.0\.1:%d" % broker.ports["tcp"])
        self.assertRegex(text, r"(?m)^connections +%d$" % status["connections"])
        sub.terminate()
        sub.finish()

    def test_log_level(self):
        self.assertEqual(self.ctl("log-level"), "warn\n")
        self.assertEqual(self.ctl("log-level", "debug"), "debug\n")
        self.assertEqual(self.ctl("log-level", "warn"), "warn\n")
        self.ctl("log-level", "loud", status=1)

    def test_config(self):
        self.assertIn("max_packet", self.ctl("config"))

    def test_reload(self):
        with Broker() as other:
            def ctl(*words, status=0):
                return run(SKEPCTL, *words, "-S", other.file("control.sock"),
                           status=status).decode()
            self.assertIn("nothing would change", ctl("reload", "--plan"))
            with open(other.file("broker.conf"), "a") as f:
                f.write("limits { max_packet 2m; }\n")
            self.assertRegex(ctl("reload", "--plan"), r"max_packet.*2m(.|\n)*this was the plan")
            self.assertNotIn("max_packet 2m", ctl("config"))
            self.assertRegex(ctl("reload"), r"max_packet.*2m(.|\n)*reloaded")
            self.assertRegex(ctl("config"), r"max_packet +2m")
            with open(other.file("broker.conf"), "a") as f:
                f.write("limits { max_paket 3m; }\n")
            p = Program(SKEPCTL, "reload", "-S", other.file("control.sock"))
            self.assertRegex("\n".join(p.finish(1)), r"broker.conf:\d+:\d+: .*max_pa")
            self.assertRegex(ctl("config"), r"max_packet +2m")
            ctl("stop")
            self.assertEqual(other.process.wait(DEADLINE), 0)

    def test_no_broker(self):
        p = Program(SKEPCTL, "status", "--socket", broker.file("nothing.sock"))
        self.assertRegex("\n".join(p.finish(3)), "is Skep running")

    def test_directives(self):
        out = run(SKEPCTL, "directives").decode()
        self.assertRegex(out, "max_packet")
        json.loads(run(SKEPCTL, "directives", "json"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
