"""One password file and one acl file, read by mosquitto and by Skep (auth_file, acl_file): both must
say the same about every client, topic and action."""
import os
import socket
import struct
import subprocess
import unittest

from fixture import Broker, DEADLINE

ACL = """\
# for clients without a user name
topic read open/#
topic write in/+

user alice
topic home/#
topic deny home/safe/#
topic read news/+
topic write cmd
topic readwrite $own/x

user bob smith
topic write home/+/set
topic read  my topic/#
topic deny dev/c9/secret

user root
topic #
topic $own/#

pattern write dev/%c/up
pattern read dev/%c/#
pattern readwrite user/%u/%c
pattern deny dev/%c/private
pattern read all/#
"""

USERS = {"alice": "wonder", "bob smith": "builder", "root": "toor"}

CLIENTS = [("alice", "c1"), ("alice", "+"), ("bob smith", "c9"), ("bob smith", "x#"), (None, "c1"),
           (None, "guest"), ("root", "r")]

TOPICS = ["open", "open/x", "open/x/y", "in/x", "in/x/y", "home", "home/x", "home/safe", "home/safe/x",
          "news/x", "news/x/y", "cmd", "cmd/x", "my topic/x", "dev/c1/up", "dev/c1/down",
          "dev/c1/private", "dev/c9/up", "dev/c9/secret", "user/alice/c1", "user/alice/c2",
          "user//guest", "all/x", "$own/x", "$own/y", "other"]

FILTERS = ["#", "open/#", "home/#", "home/safe/#", "dev/+/up", "other", "$own/#"]

SKEP_CONF = """
data_dir {dir}/data;
listener mqtt {{ bind 127.0.0.1:{tcp}; anonymous allow; }}
load auth_file {{ file users; max_failures 0; slow_down 0s; }}
load acl_file {{ file acl; }}
"""

MOSQUITTO_CONF = """
user root
persistence false
log_type error
listener {tcp} 127.0.0.1
allow_anonymous true
password_file {dir}/users
acl_file {dir}/acl
"""


class Peer(Broker):
    def __init__(self, program, conf):
        super().__init__()
        self.program, self.conf = program, conf

    def start(self):
        open(self.file("users"), "w").close()
        os.chmod(self.file("users"), 0o600)
        for name, password in USERS.items():
            command = ["mosquitto_passwd", "-b", self.file("users"), name, password]
            if name == "root": # mosquitto does not mind the verifier behind the hash
                command = [os.environ["SKEPCTL_BINARY"], "passwd", self.file("users"), name, "-b",
                           password, "--hash", "pbkdf2", "-I", "1000", "--scram"]
            subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        with open(self.file("acl"), "w") as f:
            f.write(ACL)
        with open(self.file("broker.conf"), "w") as f:
            f.write(self.conf.format(dir=self.dir, **self.ports))
        self.log = open(self.file("log"), "wb+")
        self.launch()
        return self


def text(s):
    data = s.encode() if isinstance(s, str) else s
    return struct.pack(">H", len(data)) + data


class Client:
    """As much MQTT 5 as the questions need."""

    def __init__(self, port, user, client_id, password=None):
        self.socket = socket.create_connection(("127.0.0.1", port), DEADLINE)
        self.messages, self.next_id = [], 0
        flags = 2 | (0x80 if user is not None else 0) | (0x40 if password is not None else 0)
        body = text("MQTT") + bytes([5, flags, 0, 0, 0]) + text(client_id)
        body += text(user) if user is not None else b""
        body += text(password) if password is not None else b""
        self.send(0x10, body)
        self.connack = self.wait(2)[1]

    def send(self, first, body):
        length, n = b"", len(body)
        while True:
            length += bytes([n & 0x7f | (0x80 if n > 0x7f else 0)])
            n >>= 7
            if n == 0:
                break
        self.socket.sendall(bytes([first]) + length + body)

    def read(self, n):
        data = b""
        while len(data) < n:
            more = self.socket.recv(n - len(data))
            if not more:
                raise AssertionError("the broker closed the connection")
            data += more
        return data

    def packet(self):
        first, length, shift = self.read(1)[0], 0, 0
        while True:
            byte = self.read(1)[0]
            length |= (byte & 0x7f) << shift
            shift += 7
            if byte < 0x80:
                return first >> 4, self.read(length)

    def wait(self, kind):
        """The next packet of that kind; messages on the way are kept."""
        while True:
            got, body = self.packet()
            if got == kind:
                return body
            if got == 3:
                length = struct.unpack(">H", body[:2])[0]
                self.messages.append(body[2:2 + length].decode())
            else:
                raise AssertionError("packet %d instead of %d" % (got, kind))

    def id(self):
        self.next_id += 1
        return struct.pack(">H", self.next_id)

    def publish(self, topic):
        """QoS 1; whether it was accepted."""
        self.send(0x32, text(topic) + self.id() + b"\0" + topic.encode())
        ack = self.wait(4)
        return len(ack) < 3 or ack[2] < 0x80

    def subscribe(self, topic_filter):
        self.send(0x82, self.id() + b"\0" + text(topic_filter) + b"\0")
        return self.wait(9)[-1] < 0x80

    def ping(self):
        self.send(0xC0, b"")
        self.wait(13)

    def close(self):
        self.socket.close()


def may_connect(port):
    tries = [(u, p) for u in list(USERS) + ["nobody"] for p in ["wonder", "builder", "", None]]
    answers = {}
    for user, password in tries:
        c = Client(port, user, "try", password)
        answers[user, password] = c.connack == 0
        c.close()
    return answers


def may_do(port):
    answers = {}
    root = Client(port, "root", "publisher", "toor")
    for user, client_id in CLIENTS:
        c = Client(port, user, client_id, USERS.get(user))
        if c.connack != 0:
            raise AssertionError("%s is not let in: %02x" % (user, c.connack))
        for topic in TOPICS:
            answers[user, client_id, "publish", topic] = c.publish(topic)
        for topic_filter in FILTERS:
            answers[user, client_id, "subscribe", topic_filter] = c.subscribe(topic_filter)
        c.ping()
        c.messages = []
        for topic in TOPICS:
            root.publish(topic)
        for _ in range(3):
            c.ping()
        for topic in TOPICS:
            answers[user, client_id, "receive", topic] = topic in c.messages
        c.close()
    root.close()
    return answers


class SameFiles(unittest.TestCase):
    def setUp(self):
        self.peers = [Peer("mosquitto", MOSQUITTO_CONF), Peer(os.environ["SKEP_BINARY"], SKEP_CONF)]
        for p in self.peers:
            p.start()
            self.addCleanup(p.stop)

    def compare(self, ask, least):
        theirs, ours = (ask(p.ports["tcp"]) for p in self.peers)
        different = ["%s: mosquitto %s, skep %s" % (k, theirs[k], ours[k])
                     for k in theirs if theirs[k] != ours[k]]
        self.assertEqual(different, [])
        self.assertGreater(sum(theirs.values()), least)
        self.assertGreater(len(theirs) - sum(theirs.values()), least)

    def test_who_may_connect(self):
        self.compare(may_connect, 1)

    def test_who_may_do_what(self):
        self.compare(may_do, 50)


if __name__ == "__main__":
    unittest.main()
