#!/usr/bin/env python3
"""Writes the hand-made seeds of the fuzz targets of net into corpus/.

Spelt byte by byte, on purpose without Skep's own code.  Run it again after adding one;
seeds are named, what fuzzing found is named by its hash.
"""
import os

HERE = os.path.dirname(os.path.abspath(__file__))
MASK = bytes([0x37, 0xFA, 0x21, 0x3D])


def save(target, name, data):
    folder = os.path.join(HERE, "corpus", target)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name), "wb") as f:
        f.write(data)


def frame(first, payload=b"", length=None):
    n = len(payload)
    if length is None:
        length = bytes([0x80 | n]) if n < 126 else b"\xfe" + n.to_bytes(2, "big")
    return bytes([first]) + length + MASK + bytes(b ^ MASK[i % 4] for i, b in enumerate(payload))


def frames():
    cut = b"\x03"
    save("ws_frame", "one", cut + frame(0x82, b"\x10\x0c\x00\x04MQTT"))
    save("ws_frame", "medium", b"\x40" + frame(0x82, b"x" * 300))
    save("ws_frame", "fragments", cut + frame(0x02, b"one") + frame(0x89, b"ping")
         + frame(0x00, b"two") + frame(0x80, b"three"))
    save("ws_frame", "control", cut + frame(0x89, b"a" * 125) + frame(0x8A) + frame(0x89))
    save("ws_frame", "close", cut + frame(0x88, b"\x03\xe8bye") + frame(0x82, b"late"))
    save("ws_frame", "close_empty", cut + frame(0x88))
    save("ws_frame", "close_utf8", cut + frame(0x88, b"\x03\xe8\xff"))
    save("ws_frame", "text", cut + frame(0x81, b"{}"))
    save("ws_frame", "unmasked", cut + b"\x82\x01x")
    save("ws_frame", "huge", cut + frame(0x82, b"abc", b"\xff" + (2**63 - 1).to_bytes(8, "big")))
    save("ws_frame", "over", cut + frame(0x82, b"abc", b"\xff" + (2**64 - 1).to_bytes(8, "big")))
    save("ws_frame", "padded", cut + frame(0x82, b"abc", b"\xfe\x00\x03"))


def heads():
    def request(first="GET /mqtt HTTP/1.1", **change):
        lines = {
            "Host": "localhost:8083", "Upgrade": "websocket", "Connection": "keep-alive, Upgrade",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Protocol": "mqttv3.1, mqtt", "Origin": "https://one.test",
        }
        lines.update({k.replace("_", "-"): v for k, v in change.items()})
        text = first + "\r\n"
        text += "".join(f"{k}: {v}\r\n" for k, v in lines.items() if v is not None)
        return text.encode() + b"\r\n"

    save("ws_head", "good", request())
    save("ws_head", "query", request("GET /mqtt?a=b HTTP/1.1"))
    save("ws_head", "post", request("POST /mqtt HTTP/1.1"))
    save("ws_head", "http10", request("GET /mqtt HTTP/1.0"))
    save("ws_head", "path", request("GET / HTTP/1.1"))
    save("ws_head", "version8", request(Sec_WebSocket_Version="8"))
    save("ws_head", "no_protocol", request(Sec_WebSocket_Protocol=None))
    save("ws_head", "old_protocol", request(Sec_WebSocket_Protocol="mqttv3.1"))
    save("ws_head", "bad_key", request(Sec_WebSocket_Key="AAAA"))
    save("ws_head", "origin", request(Origin="https://evil.test"))
    save("ws_head", "body", request(Content_Length="5") + b"hello")
    save("ws_head", "chunked", request(Transfer_Encoding="chunked"))
    save("ws_head", "folded", request(Host="a\r\n b"))
    save("ws_head", "twice", request(Host="a\r\nHost: b"))
    save("ws_head", "frame_behind", request() + frame(0x82, b"hello"))
    save("ws_head", "curl", b"GET / HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n")


def proxies():
    signature = b"\r\n\r\n\0\r\nQUIT\n"
    v4 = bytes([192, 0, 2, 1, 198, 51, 100, 2]) + b"\xdc\x04\x07\x5b"

    def tlv(kind, value):
        return bytes([kind]) + len(value).to_bytes(2, "big") + value

    def v2(command, family, body):
        return signature + bytes([command, family]) + len(body).to_bytes(2, "big") + body

    save("proxy", "v1_tcp4", b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 1883\r\n")
    save("proxy", "v1_tcp6", b"PROXY TCP6 2001:db8::1 ::1 1 65535\r\nrest")
    save("proxy", "v1_unknown", b"PROXY UNKNOWN\r\n")
    save("proxy", "v1_bad_port", b"PROXY TCP4 192.0.2.1 198.51.100.2 99999 1\r\n")
    save("proxy", "v2_tcp4", v2(0x21, 0x11, v4))
    save("proxy", "v2_tcp6", v2(0x21, 0x21, bytes(36)))
    save("proxy", "v2_unix", v2(0x21, 0x31, bytes(216)))
    save("proxy", "v2_local", v2(0x20, 0x00, b""))
    save("proxy", "v2_udp", v2(0x21, 0x12, v4))
    ssl = b"\x07\0\0\0\0" + tlv(0x21, b"TLSv1.3") + tlv(0x22, b"sensor 7") + tlv(0x23, b"X")
    save("proxy", "v2_ssl", v2(0x21, 0x11, v4 + tlv(2, b"one.test") + tlv(0x20, ssl)))
    save("proxy", "v2_crc", v2(0x21, 0x11, v4 + tlv(3, b"\0\0\0\0")))
    save("proxy", "v2_torn", v2(0x21, 0x11, v4 + b"\x20\x00\xff"))
    save("proxy", "mqtt", b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00")


frames()
heads()
proxies()
