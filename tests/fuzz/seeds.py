#!/usr/bin/env python3
"""Writes the hand-made seeds of the MQTT fuzz targets into corpus/.

Packets are spelt byte by byte here, on purpose without Skep's own encoder.  Run it
again after adding one; seeds are named, what fuzzing found is named by its hash.
"""
import os
import struct
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


def varint(n):
    out = b""
    while n >= 128:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def text(s):
    s = s.encode() if isinstance(s, str) else s
    return len(s).to_bytes(2, "big") + s


def u16(n):
    return n.to_bytes(2, "big")


def u32(n):
    return n.to_bytes(4, "big")


def packet(first, body=b""):
    return bytes([first]) + varint(len(body)) + body


def props(*items):
    block = b"".join(items)
    return varint(len(block)) + block


def user(name, value):
    return b"\x26" + text(name) + text(value)


CONNECT_PROPS = [b"\x11" + u32(60), b"\x21" + u16(10), b"\x27" + u32(1000), b"\x22" + u16(5), b"\x19\x01", b"\x17\x00",
                 user("k", "v"), b"\x15" + text("SCRAM"), b"\x16" + text(b"\0\1")]
WILL_PROPS = [b"\x18" + u32(5), b"\x01\x01", b"\x02" + u32(9), b"\x03" + text("text"), b"\x08" + text("r/t"),
              b"\x09" + text(b"\xff\0"), user("a", "b")]
PUBLISH_PROPS = [b"\x01\x01", b"\x02" + u32(30), b"\x23" + u16(7), b"\x08" + text("reply/to"), b"\x09" + text(b"\0c"),
                 user("one", "1"), user("one", "2"), b"\x03" + text("json")]
CONNACK_PROPS = [b"\x11" + u32(1), b"\x21" + u16(9), b"\x24\x01", b"\x25\x00", b"\x27" + u32(99), b"\x12" + text("id"),
                 b"\x22" + u16(3), b"\x1f" + text("why"), b"\x28\x00", b"\x29\x00", b"\x2a\x00", b"\x13" + u16(30),
                 b"\x1a" + text("i"), b"\x1c" + text("s"), b"\x15" + text("m"), b"\x16" + text("d"), user("u", "")]


def connects(version):
    name, level = ("MQIsdp", 3) if version == 31 else ("MQTT", 4 if version == 311 else 5)
    five = version == 50
    head = text(name) + bytes([level])
    none, full = (props() if five else b""), (props(*CONNECT_PROPS) if five else b"")
    will = (props(*WILL_PROPS) if five else b"") + text("will/topic") + text(b"bye\0")
    return {
        "connect": packet(0x10, head + b"\x02" + u16(60) + none + text("c")),
        "connect-all": packet(0x10, head + b"\xee" + u16(1) + full + text("client") + will + text("user") + text(b"p\0w")),
        "connect-bridge": packet(0x10, text(name) + bytes([level | 128]) + b"\x02" + u16(0) + none + text("b")),
    }


def packets(version):
    five = version == 50
    none = props() if five else b""
    reason = props(b"\x1f" + text("no"), user("x", "y"))
    out = dict(connects(version))
    out.update({
        "publish-0": packet(0x30, text("a/b") + none + b"hello"),
        "publish-1": packet(0x33, text("a/b") + u16(1) + none + b"x"),
        "publish-2-dup": packet(0x3c, text("a") + u16(65535) + none),
        "subscribe": packet(0x82, u16(2) + none + text("a/#") + b"\x01" + text("+/b") + b"\x02"),
        "unsubscribe": packet(0xa2, u16(3) + none + text("a/#") + text("x")),
        "puback": packet(0x40, u16(9)), "pubrec": packet(0x50, u16(9)),
        "pubrel": packet(0x62, u16(9)), "pubcomp": packet(0x70, u16(9)),
        "connack": packet(0x20, b"\x01\x00" + none), "suback": packet(0x90, u16(2) + none + b"\x00\x01\x80"),
        "unsuback": packet(0xb0, u16(2) + none + (b"\x00\x11" if five else b"")),
        "pings": packet(0xc0) + packet(0xd0), "disconnect": packet(0xe0),
    })
    if five:
        out.update({
            "publish-props": packet(0x34, text("t") + u16(5) + props(*PUBLISH_PROPS) + b"payload"),
            "publish-alias": packet(0x30, text("") + props(b"\x23" + u16(1)) + b"p"),
            "publish-ids": packet(0x30, text("t") + props(b"\x0b\x01", b"\x0b\xff\x7f") + b"p"),
            "subscribe-props": packet(0x82, u16(2) + props(b"\x0b\x80\x01", user("a", "b")) + text("$share/g/#") + b"\x29"),
            "puback-reason": packet(0x40, u16(1) + b"\x10"), "pubrec-props": packet(0x50, u16(1) + b"\x97" + reason),
            "pubrel-reason": packet(0x62, u16(1) + b"\x92" + reason),
            "connack-all": packet(0x20, b"\x00\x00" + props(*CONNACK_PROPS)),
            "suback-props": packet(0x90, u16(1) + reason + b"\x9e\xa2"),
            "disconnect-reason": packet(0xe0, b"\x04"),
            "disconnect-props": packet(0xe0, b"\x9d" + props(b"\x11" + u32(0), b"\x1c" + text("other"), user("a", ""))),
            "auth": packet(0xf0), "auth-data": packet(0xf0, b"\x18" + props(b"\x15" + text("m"), b"\x16" + text("d"))),
        })
    else:
        out["pubrel-dup"] = packet(0x6a, u16(9))
        out["subscribe-dup"] = packet(0x8a, u16(2) + text("a") + b"\x00")
    out["session"] = out["connect"] + out["subscribe"] + out["publish-1"] + out["puback"] + out["disconnect"]
    return out


TOPICS = {
    "plain": "a/b\na/b", "hash": "#\na", "parent": "a/#\na", "plus": "a/+/c\na//c", "share": "$share/g/a/#\na/b",
    "dollar": "+/x\n$SYS/x", "dollar-plain": "$SYS/#\n$SYS/a", "slashes": "//\n//", "bad-hash": "a/#/b\na", "bad-plus": "a+\na+",
    "bad-share": "$share/+/a\na", "depth": "a/b/c/d/e/f\na/b/c/d/e/f", "long": "abcdefghijklmnopqrstuvwxyz/+\nabcdefghijklmnopqrstuvwxyz/0",
    "unicode": "é/温度/😀\né/温度/😀", "bom": "\ufeffa\n\ufeffa", "nul": "a\0\nb\0",
}


def topics():
    out = {name: s.encode() for name, s in TOPICS.items()}
    out["surrogate"] = b"a/\xed\xa0\x80\n\xc0\xaf"
    return out


def blocks():
    sets = {1: CONNECT_PROPS, 2: CONNACK_PROPS, 3: PUBLISH_PROPS, 16: WILL_PROPS, 8: [b"\x0b\x07", user("", "")],
            4: [b"\x1f" + text("r")], 14: [b"\x11" + u32(1), b"\x1c" + text("s")], 15: [b"\x15" + text("m")],
            17: PUBLISH_PROPS + [b"\x0b\x01", b"\x0b\xff\xff\xff\x7f"]}
    out = {"place-%d" % where: bytes([where]) + props(*items) for where, items in sets.items()}
    out["empty"] = b"\x03\x00"
    out["twice"] = b"\x03" + props(b"\x01\x00", b"\x01\x00")
    out["alias-0"] = b"\x03" + props(b"\x23\x00\x00")
    out["unknown"] = b"\x03" + props(b"\x04\x00")
    return out


def stored_message(topic, payload=b"", more=b"", qos=1, retain=0, expires=0):
    return struct.pack("<QQIIHBB", expires, 7, len(payload), len(more), len(topic), qos, retain) + topic + payload + more


def records():
    """type, flags, body: see server/store/record.h"""
    message, target = stored_message(b"a/b", b"hello", b"\x01\x01"), struct.pack("<QQIHBB", 5, 9, 1, 0, 1, 0)
    session = struct.pack("<QIIBBHH", 5, 60, 7, 5, 1, 2, 1) + b"idu"
    sub = struct.pack("<QIBBH", 5, 1, 2, 0, 3) + b"a/#"
    out = {
        "commit": b"\x01\x00" + struct.pack("<QQQ", 9, 1700000000000, 1700000000000),
        "pub": b"\x02\x00" + struct.pack("<QIHH", 0, 2, 0, 0) + message + target * 2,
        "pub-keep": b"\x02\x01" + struct.pack("<QIHH", 0, 0, 0, 0) + stored_message(b"t", retain=1),
        "pub-inbound": b"\x02\x02" + struct.pack("<QIHH", 5, 1, 77, 0) + message + target,
        "pub-more": b"\x02\x41" + struct.pack("<QIHH", 0, 1, 0, 0) + message + target,
        "ack": b"\x03\x00" + struct.pack("<QQI", 5, 9, 3), "release": b"\x04\x00" + struct.pack("<QQI", 5, 9, 1),
        "received": b"\x05\x00" + struct.pack("<QH", 5, 1), "session": b"\x06\x00" + session,
        "end": b"\x07\x00" + struct.pack("<Q", 5), "away": b"\x08\x00" + struct.pack("<QQQQ", 5, 1, 2, 3),
        "sub": b"\x09\x00" + sub, "unsub": b"\x0a\x00" + sub, "will": b"\x0b\x00" + struct.pack("<QII", 5, 1, 2) + message,
        "will-gone": b"\x0b\x01" + struct.pack("<QII", 5, 0, 0), "unknown": b"\xff\x80abc",
    }
    out["pub-lie"] = out["pub"][:10] + b"\xff\xff\xff\xff" + out["pub"][14:]
    return out


def main():
    sets = {"packet%d" % v: packets(v) for v in (31, 311, 50)}
    sets["topic"] = topics()
    sets["store_record"] = records()
    sets["prop"] = blocks()
    for target, seeds in sets.items():
        folder = os.path.join(HERE, "corpus", target)
        os.makedirs(folder, exist_ok=True)
        for name, data in seeds.items():
            with open(os.path.join(folder, "seed-" + name), "wb") as f:
                f.write(data)
        print("%s: %d seeds" % (target, len(seeds)))


if __name__ == "__main__":
    sys.exit(main())
