#!/usr/bin/env python3
"""Writes vectors.h: keys and tokens for jwt_test.c, made by an implementation that shares no
line with ours (PyJWT and cryptography).  Run it by hand; its output is kept in the tree."""
import json
import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

CLAIMS = {"sub": "bee", "exp": 4102444800}
SECRET = "0123456789abcdef" * 4


def pem(key):
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def jwk(maker, key, kid):
    out = json.loads(maker.to_jwk(key.public_key()))
    out.pop("key_ops", None)
    out["kid"] = kid
    return out


def ec_jwk(key, crv, size, kid):
    import base64
    n = key.public_key().public_numbers()
    enc = lambda v: base64.urlsafe_b64encode(v.to_bytes(size, "big")).rstrip(b"=").decode()
    return {"kty": "EC", "crv": crv, "x": enc(n.x), "y": enc(n.y), "kid": kid}


def text(value):
    return json.dumps(value, ensure_ascii=True)


def main():
    keys = {
        "rsa": rsa.generate_private_key(65537, 2048),
        "p256": ec.generate_private_key(ec.SECP256R1()),
        "p384": ec.generate_private_key(ec.SECP384R1()),
        "p521": ec.generate_private_key(ec.SECP521R1()),
        "ed": ed25519.Ed25519PrivateKey.generate(),
    }
    weak = rsa.generate_private_key(65537, 1024)
    other = rsa.generate_private_key(65537, 2048)
    jwks = {"keys": [
        jwk(RSAAlgorithm, keys["rsa"], "rsa"),
        ec_jwk(keys["p256"], "P-256", 32, "p256"),
        ec_jwk(keys["p384"], "P-384", 48, "p384"),
        ec_jwk(keys["p521"], "P-521", 66, "p521"),
        jwk(OKPAlgorithm, keys["ed"], "ed"),
    ]}
    uses = {"RS256": "rsa", "RS384": "rsa", "RS512": "rsa", "PS256": "rsa", "PS384": "rsa",
            "PS512": "rsa", "ES256": "p256", "ES384": "p384", "ES512": "p521", "EdDSA": "ed"}
    print("/* Made by vectors.py; the keys exist for this test only. */")
    print("#ifndef LIB_JWT_VECTORS_H\n#define AUTH_JWT_VECTORS_H\n")
    print(f"#define VECTOR_SECRET {text(SECRET)}")
    print(f"#define VECTOR_JWKS {text(json.dumps(jwks))}")
    print(f"#define VECTOR_WEAK_PEM {text(pem(weak))}")
    print(f"#define VECTOR_OTHER_PEM {text(pem(other))}")
    print(f"#define VECTOR_WEAK_JWK {text(json.dumps(jwk(RSAAlgorithm, weak, 'weak')))}")
    for name in ("rsa", "p256", "p384", "p521", "ed"):
        print(f"#define VECTOR_{name.upper()}_PEM {text(pem(keys[name]))}")
    print("\nstatic const struct {\n    const char *algorithm, *pem, *token;\n} vectors[] = {")
    for alg in ("HS256", "HS384", "HS512"):
        print(f'    {{"{alg}", NULL, {text(jwt.encode(CLAIMS, SECRET, alg))}}},')
    for alg, name in uses.items():
        token = jwt.encode(CLAIMS, keys[name], alg, headers={"kid": name})
        print(f'    {{"{alg}", VECTOR_{name.upper()}_PEM, {text(token)}}},')
    print("};\n")
    import base64, hashlib, hmac
    b64 = lambda b: base64.urlsafe_b64encode(b).rstrip(b"=").decode()
    head = b64(b'{"alg":"HS256","kid":"rsa"}') + "." + b64(json.dumps(CLAIMS).encode())
    mac = hmac.new(pem(keys["rsa"]).encode(), head.encode(), hashlib.sha256).digest()
    print("/* HS256 with the public RSA key as its secret */")
    print(f"#define VECTOR_CONFUSED {text(head + '.' + b64(mac))}")
    print(f"#define VECTOR_NONE {text(jwt.encode(CLAIMS, None, 'none'))}")
    print("\n#endif")


if __name__ == "__main__":
    main()
