#!/usr/bin/env python3
"""What a slow auth_http backend costs whom.

    tests/bench/auth_http.py [--build build/release] [--clients 1000] [--delay 0.2]
                             [--connections 64] [--rounds 5]

A backend answers in 200 ms, as many at once as it is asked.  Measured are:
  - the backend's own time: all questions asked directly, over as many connections as the broker has
    (`connections` on each of its loops);
  - the broker's time: all clients connect at once, until the last CONNACK;
  - latency of an established pair (QoS 0, 500 messages a second, a process of its own): quiet, during
    those rounds, and as a control at a broker without the module while the same clients connect and
    the same questions are asked by this script.  The control tells what the clients, the
    backend and this script themselves cost on the machine.
Wanted: broker / backend <= 3, and the pair's p99 as in the control."""
import argparse
import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LOOPS = 2


def string(text):
    data = text.encode()
    return len(data).to_bytes(2, "big") + data


def packet(kind, body):
    size, out = len(body), b""
    while True:
        size, digit = divmod(size, 128)
        out += bytes([digit | (128 if size else 0)])
        if not size:
            return bytes([kind]) + out + body


def connect(client_id, user):
    return packet(0x10, string("MQTT") + b"\x04\xc2\x00\x3c" + string(client_id) + string(user) +
                  string("x"))


def percentile(values, p):
    return sorted(values)[min(len(values) - 1, int(len(values) * p / 100))]


# -- The established pair: `auth_http.py --pair PORT`, one line of seconds for each message --

def pair(port):
    sub, pub = (socket.create_connection(("127.0.0.1", port)) for _ in range(2))
    for name, s in (("sub", sub), ("pub", pub)):
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        s.sendall(connect("bench-" + name, "pair"))
        assert s.recv(4) == b"\x20\x02\x00\x00"
    sub.sendall(packet(0x82, b"\0\1" + string("bench") + b"\0"))
    assert sub.recv(5)[0] == 0x90
    message = packet(0x30, string("bench") + b"payload")
    print("ready", flush=True)
    due = time.monotonic()
    while True:
        due += 0.002
        time.sleep(max(0, due - time.monotonic()))
        began = time.monotonic()
        pub.sendall(message)
        left = len(message)
        while left:
            left -= len(sub.recv(left))
        print(f"{began:.6f} {time.monotonic() - began:.6f}", flush=True)


class Pair:
    def __init__(self, port):
        self.proc = subprocess.Popen([sys.executable, __file__, "--pair", str(port)],
                                     stdout=subprocess.PIPE, text=True)
        assert self.proc.stdout.readline() == "ready\n"
        self.samples = []
        threading.Thread(target=self.collect, daemon=True).start()

    def collect(self):
        for line in self.proc.stdout:
            began, took = line.split()
            self.samples.append((float(began), float(took) * 1000))

    def between(self, begin, end):
        return [took for began, took in list(self.samples) if begin <= began < end]


# -- Rounds --

async def ask_directly(port, count, connections):
    body = json.dumps({"username": "u"}).encode()
    request = b"POST /auth HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    left = count

    async def one():
        nonlocal left
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while left > 0:
            left -= 1
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(size)
        writer.close()

    began = time.monotonic()
    await asyncio.gather(*(one() for _ in range(connections)))
    return time.monotonic() - began


async def connect_all(port, count, number):
    async def open_one():
        return await asyncio.open_connection("127.0.0.1", port)

    async def one(streams, i):
        reader, writer = streams
        writer.write(connect(f"c{number}-{i}", f"u{number}-{i}"))
        assert await reader.readexactly(4) == b"\x20\x02\x00\x00"

    streams = []
    for at in range(0, count, 200):  # the connections are there before; CONNECTs come at once
        streams += await asyncio.gather(*(open_one() for _ in range(min(200, count - at))))
    began = time.monotonic()
    await asyncio.gather(*(one(s, i) for i, s in enumerate(streams)))
    took = time.monotonic() - began
    for _, writer in streams:
        writer.write(b"\xe0\x00")
        writer.close()
    return began, took


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def start_broker(options, directory, name, text):
    port = free_port()
    path = f"{directory}/{name}.conf"
    with open(path, "w", encoding="ascii") as f:
        f.write(f"data_dir {directory}/{name};\nthreads {LOOPS};\nlog {{ level error; }}\n"
                f"listener mqtt {{ bind 127.0.0.1:{port}; }}\n{text}\n")
    broker = subprocess.Popen([f"{options.build}/bin/skep", "-c", path])
    for _ in range(500):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return broker, port
        except ConnectionRefusedError:
            time.sleep(0.02)
    raise SystemExit("the broker does not listen")


def start(options, directory):
    answer = {"by": "username", "body": '{"result":"allow"}', "delay": options.delay,
              "cases": {"pair": {"delay": 0}}}
    with open(directory + "/answers.json", "w", encoding="ascii") as f:
        json.dump({"/auth": answer}, f)
    backend = subprocess.Popen([sys.executable, ROOT + "/tests/scenario/lib/backend.py", directory],
                               stdout=subprocess.PIPE, text=True)
    backend_port = int(backend.stdout.readline())
    asking = (f"load auth_http {{ url http://127.0.0.1:{backend_port}/auth; field username %u;"
              f" connections {options.connections}; decision_timeout 60s; timeout 30s; }}")
    brokers = [start_broker(options, directory, "asking", asking),
               start_broker(options, directory, "control", "anonymous allow;")]
    return backend, backend_port, brokers


async def control_round(options, backend_port, port, number):
    began = time.monotonic()
    await asyncio.gather(connect_all(port, options.clients, number),
                         ask_directly(backend_port, options.clients,
                                      options.connections * LOOPS))
    return began, time.monotonic() - began


def processor_time(pid):
    """Of all threads, in seconds."""
    total = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/schedstat", encoding="ascii") as f:
            total += int(f.read().split()[0])
    return total / 1e9


def rounds(options, port, one_round):
    """Latencies quiet and in the rounds, and how long those took."""
    couple = Pair(port)
    time.sleep(1)
    begin = time.monotonic()
    time.sleep(5)
    quiet, storm, times = couple.between(begin, time.monotonic()), [], []
    for number in range(options.rounds):
        began, took = asyncio.run(one_round(number))
        times.append(took)
        storm += couple.between(began, began + took)
        time.sleep(0.5)
    couple.proc.kill()
    return quiet, storm, times


def measure(options, backend_port, brokers):
    (asking_broker, asking), (_, control) = brokers
    own = [asyncio.run(ask_directly(backend_port, options.clients, options.connections * LOOPS))
           for _ in range(options.rounds)]
    _, noise, _ = rounds(options, control,
                         lambda n: control_round(options, backend_port, control, n))
    before = processor_time(asking_broker.pid)
    quiet, storm, times = rounds(options, asking, lambda n: connect_all(asking, options.clients, n))
    used = processor_time(asking_broker.pid) - before
    print(f"broker's processor time for a client: {used / options.clients / options.rounds * 1e6:.0f} "
          "us, the pair's traffic included")
    return own, times, quiet, noise, storm


def report(options, own, times, quiet, noise, storm):
    ratio = statistics.median(times) / statistics.median(own)
    print(f"{options.clients} clients, backend {options.delay * 1000:.0f} ms, "
          f"{options.connections} connections on each of {LOOPS} loops, {options.rounds} rounds")
    print(f"backend's own time   {statistics.median(own):.2f} s (median)")
    print(f"all clients are in   {statistics.median(times):.2f} s, slowest {max(times):.2f} s")
    print(f"ratio                {ratio:.2f}")
    for name, values in (("quiet", quiet), ("control", noise), ("during the rounds", storm)):
        print(f"pair, {name + ':':19} p50 {percentile(values, 50):.2f} ms, p99 "
              f"{percentile(values, 99):.2f} ms, {len(values)} messages")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default=ROOT + "/build/release")
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--delay", type=float, default=0.2)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pair", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.pair:
        pair(options.pair)
    with tempfile.TemporaryDirectory() as directory:
        backend, backend_port, brokers = start(options, directory)
        try:
            report(options, *measure(options, backend_port, brokers))
        finally:
            for broker, _ in brokers:
                broker.terminate()
                broker.wait()
            backend.kill()


main()
