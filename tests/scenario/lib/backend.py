#!/usr/bin/env python3
"""An HTTP(S) server that a story programs: backend.py DIR [PORT [CERTIFICATE KEY]]

DIR/answers.json says what to answer, by path (without the query); it is read anew for each request,
so that a story changes it by putting another file in its place:

    {"/auth": {"status": 200, "body": "...", "type": "application/json", "headers": {"X": "y"},
               "by": "username", "cases": {"maja": {...}}}}

`by` names a field of the JSON, form or query that chooses among the cases.  Ways to misbehave:
"delay": seconds, "hold": true (no answer until that changes), "half": n (all but n bytes, then the
end), "close": true (no answer at all).  Each request is a line of DIR/log, written as a Lua table;
`now` is how many are under way with it.  The port is the first line on standard output."""
import asyncio
import json
import os
import ssl
import sys
from urllib.parse import parse_qsl, urlsplit

DIR = sys.argv[1]
under_way = 0
cached = (None, {})


def answers():
    global cached
    try:
        stat = os.stat(DIR + "/answers.json")
    except FileNotFoundError:
        return {}
    mark = (stat.st_mtime_ns, stat.st_ino)
    if cached[0] != mark:
        with open(DIR + "/answers.json", encoding="utf-8") as f:
            cached = (mark, json.load(f))
    return cached[1]


def lua(value):
    if isinstance(value, dict):
        return "{" + ",".join(f"[{lua(k)}]={lua(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (int, float)):
        return str(value)
    raw = value if isinstance(value, bytes) else str(value).encode()
    return '"' + "".join(chr(b) if 32 <= b < 127 and b not in (34, 92) else f"\\{b:03d}"
                         for b in raw) + '"'


def fields(url, body):
    found = dict(parse_qsl(url.query, keep_blank_values=True, encoding="latin-1"))
    try:
        more = json.loads(body)
        found.update(more if isinstance(more, dict) else {})
    except ValueError:
        found.update(parse_qsl(body.decode("latin-1"), keep_blank_values=True))
    return found


def choose(path, url, body):
    rule = answers().get(path, {"status": 404})
    if "by" in rule:
        value = str(fields(url, body).get(rule["by"], ""))
        rule = {**rule, **rule.get("cases", {}).get(value, {})}
    return rule


async def read_request(reader):
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    method, target, _ = lines[0].split(" ", 2)
    headers = {}
    for line in lines[1:]:
        if line:
            name, value = line.split(":", 1)
            headers[name.lower()] = value.strip()
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return method, target, headers, body


def reply(rule):
    body = rule.get("body", "")
    body = (body if isinstance(body, str) else json.dumps(body)).encode()
    head = f"HTTP/1.1 {rule.get('status', 200)} X\r\nContent-Length: {len(body)}\r\n"
    if body:
        head += f"Content-Type: {rule.get('type', 'application/json')}\r\n"
    for name, value in rule.get("headers", {}).items():
        head += f"{name}: {value}\r\n"
    return head.encode() + b"\r\n" + body


async def answer(writer, method, target, headers, body):
    """False: the connection is at its end."""
    url = urlsplit(target)
    with open(DIR + "/log", "a", encoding="ascii") as log:
        log.write("return " + lua({"method": method, "path": url.path, "query": url.query,
                                   "headers": headers, "body": body, "now": under_way}) + "\n")
    rule = choose(url.path, url, body)
    if "delay" in rule:
        await asyncio.sleep(rule["delay"])
    while rule.get("hold"):
        await asyncio.sleep(0.01)
        rule = choose(url.path, url, body)
    if rule.get("close"):
        return False
    data = reply(rule)
    half = rule.get("half", 0)
    writer.write(data[:len(data) - half] if half else data)
    await writer.drain()
    return not half


async def serve(reader, writer):
    global under_way
    try:
        more = True
        while more:
            request = await read_request(reader)
            under_way += 1
            try:
                more = await answer(writer, *request)
            finally:
                under_way -= 1
    except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
        pass
    finally:
        writer.close()


async def main():
    port = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    tls = None
    if len(sys.argv) > 4:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(sys.argv[3], sys.argv[4])
        if len(sys.argv) > 5:  # clients show a certificate of this authority
            tls.verify_mode = ssl.CERT_REQUIRED
            tls.load_verify_locations(sys.argv[5])
    server = await asyncio.start_server(serve, "127.0.0.1", port, ssl=tls, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
