#!/usr/bin/env python3
"""Keys and tokens for stories, by an implementation that is not ours: jwt_kit.py DIR < nothing

DIR/spec.json:
    {"keys": {"a": "RSA"}, "jwks": {"set.json": ["a"]},
     "tokens": {"good": {"key": "a", "alg": "RS256", "claims": {}, "headers": {}}}}

Makes DIR/a.key and DIR/a.pem (kinds: RSA, P-256, P-384, P-521, Ed25519; a key that is there stays),
DIR/set.json, and prints `name token` lines.  A token with "secret" is signed with that text; with
"confuse": "a" by HS256 with the public PEM of a as the secret.  Claims are taken as they are, but
"exp_in", "nbf_in": seconds from now."""
import base64
import hashlib
import hmac
import json
import os
import sys
import time
import jwt
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

DIR = sys.argv[1]
CURVES = {"P-256": (ec.SECP256R1, 32), "P-384": (ec.SECP384R1, 48), "P-521": (ec.SECP521R1, 66)}


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value, size):
    return b64(value.to_bytes(size, "big"))


def generate(kind):
    if kind == "RSA":
        return rsa.generate_private_key(65537, 2048)
    if kind == "Ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    return ec.generate_private_key(CURVES[kind][0]())


def load(name, kind):
    path = f"{DIR}/{name}.key"
    if os.path.exists(path):
        with open(path, "rb") as f:
            return ser.load_pem_private_key(f.read(), None)
    key = generate(kind)
    with open(path, "wb") as f:
        f.write(key.private_bytes(ser.Encoding.PEM, ser.PrivateFormat.PKCS8, ser.NoEncryption()))
    with open(f"{DIR}/{name}.pem", "wb") as f:
        f.write(public_pem(key))
    return key


def public_pem(key):
    return key.public_key().public_bytes(ser.Encoding.PEM, ser.PublicFormat.SubjectPublicKeyInfo)


def jwk(key, name):
    if isinstance(key, rsa.RSAPrivateKey):
        n = key.public_key().public_numbers()
        return {"kty": "RSA", "kid": name, "use": "sig", "n": number(n.n, 256), "e": number(n.e, 3)}
    if isinstance(key, ed25519.Ed25519PrivateKey):
        raw = key.public_key().public_bytes(ser.Encoding.Raw, ser.PublicFormat.Raw)
        return {"kty": "OKP", "crv": "Ed25519", "kid": name, "x": b64(raw)}
    n = key.public_key().public_numbers()
    crv, size = next((c, s) for c, (k, s) in CURVES.items() if k.name == n.curve.name)
    return {"kty": "EC", "crv": crv, "kid": name, "x": number(n.x, size), "y": number(n.y, size)}


def sign(keys, spec):
    claims = dict(spec.get("claims", {}))
    for name in ("exp", "nbf"):
        if name + "_in" in claims:
            claims[name] = int(time.time()) + claims.pop(name + "_in")
    headers = spec.get("headers", {})
    if "confuse" in spec:
        head = b64(json.dumps({"alg": "HS256", **headers}).encode()) + "." + \
            b64(json.dumps(claims).encode())
        secret = public_pem(keys[spec["confuse"]])
        return head + "." + b64(hmac.new(secret, head.encode(), hashlib.sha256).digest())
    if spec["alg"] == "none":
        return jwt.encode(claims, None, "none", headers)
    key = spec["secret"] if "secret" in spec else keys[spec["key"]]
    return jwt.encode(claims, key, spec["alg"], headers)


def main():
    with open(DIR + "/spec.json", encoding="utf-8") as f:
        spec = json.load(f)
    keys = {name: load(name, kind) for name, kind in spec.get("keys", {}).items()}
    for path, names in spec.get("jwks", {}).items():
        with open(f"{DIR}/{path}", "w", encoding="ascii") as f:
            json.dump({"keys": [jwk(keys[n], n) for n in names]}, f)
    for name, token in spec.get("tokens", {}).items():
        print(name, sign(keys, token))


main()
