"""A broker to test against, and programs to test it with.

The broker is the real Skep named by SKEP_BINARY (or, to check a test itself, mosquitto when
INTEROP_PEER=mosquitto), in a folder of its own, on free loopback ports.  It tells that it is ready
as it would tell systemd.  Whatever waits here waits for an event and has a deadline.
"""
import ctypes
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

DEADLINE = 20  # seconds; generous, since sanitizers and busy machines are slow

MOSQUITTO = os.environ.get("INTEROP_PEER") == "mosquitto"

SKEP_CONF = """
threads 2;
data_dir {dir}/data;
log {{ level warn; }}
control {{ socket {dir}/control.sock; }}
listener mqtt {{ bind 127.0.0.1:{tcp}; }}
listener local {{ bind unix:{dir}/mqtt.sock; }}
listener mqtts {{
    bind 127.0.0.1:{tls};
    tls {{ certificate {dir}/server.pem; key {dir}/server.key; client_ca {dir}/ca.pem;
           verify optional; }}
}}
listener psk {{ type mqtts; bind 127.0.0.1:{psk}; tls {{ psk_file {dir}/psk; }} }}
listener ws {{ bind 127.0.0.1:{ws}; }}
listener wss {{
    bind 127.0.0.1:{wss};
    tls {{ certificate {dir}/server.pem; key {dir}/server.key; }}
}}
"""

MOSQUITTO_CONF = """
user root
persistence false
log_type error
per_listener_settings true
listener {tcp} 127.0.0.1
allow_anonymous true
listener 0 {dir}/mqtt.sock
allow_anonymous true
listener {tls} 127.0.0.1
allow_anonymous true
certfile {dir}/server.pem
keyfile {dir}/server.key
cafile {dir}/ca.pem
listener {psk} 127.0.0.1
allow_anonymous true
psk_file {dir}/psk
psk_hint hint
listener {ws} 127.0.0.1
allow_anonymous true
protocol websockets
listener {wss} 127.0.0.1
allow_anonymous true
protocol websockets
certfile {dir}/server.pem
keyfile {dir}/server.key
"""

PSK_IDENTITY, PSK_KEY = "device-1", "00112233445566778899aabbccddeeff"


def die_with_parent():
    """In a child, before exec: a test that is killed leaves nothing behind."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def free_ports(names):
    """A free port for each name; all are held until all are found, so that none comes twice."""
    held = {name: socket.socket() for name in names}
    for s in held.values():
        s.bind(("127.0.0.1", 0))
    ports = {name: s.getsockname()[1] for name, s in held.items()}
    for s in held.values():
        s.close()
    return ports


def openssl(folder, *words):
    subprocess.run(["openssl", *words], cwd=folder, check=True, stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def make_certificates(folder):
    """ca.pem signs server.pem (localhost, 127.0.0.1) and client.pem; other.pem is unrelated."""
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    for name in ("ca", "other"):
        openssl(folder, "req", "-x509", *key, "-keyout", name + ".key", "-out", name + ".pem",
                "-subj", "/CN=Test " + name, "-days", "2")
    for name, extension in (("server", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
                            ("client", "extendedKeyUsage=clientAuth")):
        openssl(folder, "req", *key, "-keyout", name + ".key", "-out", name + ".csr",
                "-subj", "/CN=" + name)
        with open(os.path.join(folder, name + ".ext"), "w") as f:
            f.write(extension + "\n")
        openssl(folder, "x509", "-req", "-in", name + ".csr", "-CA", "ca.pem", "-CAkey", "ca.key",
                "-CAcreateserial", "-days", "2", "-extfile", name + ".ext", "-out", name + ".pem")


class Broker:
    """with Broker() as b: b.ports["tcp"], b.dir ..."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="skep-interop-")
        self.dir = self.folder.name
        os.chmod(self.dir, 0o755)
        self.ports = free_ports(["tcp", "tls", "psk", "ws", "wss"])
        self.program = "mosquitto" if MOSQUITTO else os.environ["SKEP_BINARY"]
        self.process = None

    def file(self, name):
        return os.path.join(self.dir, name)

    def start(self):
        make_certificates(self.dir)
        with open(self.file("psk"), "w") as f:
            f.write("%s:%s\n" % (PSK_IDENTITY, PSK_KEY))
        with open(self.file("broker.conf"), "w") as f:
            f.write((MOSQUITTO_CONF if MOSQUITTO else SKEP_CONF).format(dir=self.dir, **self.ports))
        self.log = open(self.file("log"), "wb+")
        self.launch()
        return self

    def launch(self):
        """Starts the program and waits until it says that it is ready."""
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        notify.bind(self.file("notify"))
        notify.settimeout(DEADLINE)
        self.process = subprocess.Popen([self.program, "-c", self.file("broker.conf")],
                                        env=dict(os.environ, NOTIFY_SOCKET=self.file("notify")),
                                        preexec_fn=die_with_parent,
                                        stdin=subprocess.DEVNULL, stdout=self.log,
                                        stderr=subprocess.STDOUT)
        try:
            while b"READY=1" not in notify.recv(4096):
                pass
        except socket.timeout:
            raise AssertionError("the broker did not get ready:\n" + self.output())
        finally:
            notify.close()
            os.unlink(self.file("notify"))

    def restart(self):
        """Ends it, and starts it again with the same files and ports."""
        status = self.end()
        if status != 0:
            raise AssertionError("the broker ended with status %d:\n%s" % (status, self.output()))
        self.launch()

    def output(self):
        with open(self.file("log"), "rb") as f:
            return f.read().decode("utf-8", "replace")

    def end(self):
        """SIGTERM, and its status; killed when it takes too long."""
        try:
            if self.process.poll() is None:
                self.process.send_signal(signal.SIGTERM)
            return self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def stop(self):
        """Ends the broker; it must end well and in time."""
        if self.process is None:
            return
        status = self.end()
        output = self.output()
        self.process = None
        self.log.close()
        self.folder.cleanup()
        if status != 0 or "Sanitizer" in output or "runtime error" in output:
            raise AssertionError("the broker ended with status %d:\n%s" % (status, output))

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *rest):
        self.stop()

    def environment(self):
        """For test programs that are not Python."""
        e = {"INTEROP_%s_PORT" % k.upper(): str(v) for k, v in self.ports.items()}
        e.update(INTEROP_DIR=self.dir, INTEROP_PEER="mosquitto" if MOSQUITTO else "skep")
        return dict(os.environ, **e)


class Program:
    """A client program whose lines can be waited for."""

    def __init__(self, *words, env=None):
        self.words = [str(w) for w in words]
        self.lines = []
        self.seen = 0
        self.queue = queue.Queue()
        self.process = subprocess.Popen(self.words, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env,
                                        preexec_fn=die_with_parent)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.queue.put(line.decode("utf-8", "replace").rstrip("\n"))
        self.queue.put(None)

    def wait_line(self, pattern):
        """The first line not yet waited for that matches."""
        deadline = time.monotonic() + DEADLINE
        while True:
            while self.seen < len(self.lines):
                line = self.lines[self.seen]
                self.seen += 1
                if re.search(pattern, line):
                    return line
            self._next(deadline, "no line matches '%s'" % pattern)

    def _next(self, deadline, complaint):
        try:
            line = self.queue.get(timeout=max(0, deadline - time.monotonic()))
        except queue.Empty:
            line = None
        if line is None:
            self.kill()
            raise AssertionError("%s: %s\n%s" % (" ".join(self.words), complaint,
                                                 "\n".join(self.lines)))
        self.lines.append(line)

    def finish(self, status=0):
        """Waits for the end, which must be with that status; all lines."""
        deadline = time.monotonic() + DEADLINE
        try:
            while (line := self.queue.get(timeout=max(0, deadline - time.monotonic()))) is not None:
                self.lines.append(line)
            got = self.process.wait(DEADLINE)
            self.process.stdout.close()
        except (queue.Empty, subprocess.TimeoutExpired):
            self.kill()
            raise AssertionError("%s: did not end\n%s" % (" ".join(self.words),
                                                          "\n".join(self.lines)))
        if status is not None and got != status:
            raise AssertionError("%s: status %d, not %d\n%s" % (" ".join(self.words), got, status,
                                                                "\n".join(self.lines)))
        return self.lines

    def terminate(self, sig=signal.SIGTERM):
        self.process.send_signal(sig)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


def run(*words, status=0, data=None, env=None):
    """Runs a program to its end; its standard output."""
    words = [str(w) for w in words]
    done = subprocess.run(words, input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=DEADLINE * 3, env=env,
                          stdin=subprocess.DEVNULL if data is None else None)
    if done.returncode != status:
        raise AssertionError("%s: status %d, not %d\n%s%s" % (
            " ".join(words), done.returncode, status, done.stdout.decode("utf-8", "replace"),
            done.stderr.decode("utf-8", "replace")))
    return done.stdout


def main():
    """fixture.py PROGRAM ...: runs it with a broker; its status is ours."""
    with Broker() as broker:
        status = subprocess.call(sys.argv[1:], env=broker.environment(), timeout=240,
                                 preexec_fn=die_with_parent)
    sys.exit(status)


if __name__ == "__main__":
    main()
