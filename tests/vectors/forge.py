"""Compact tokens of any kind, well-formed or not, made without the code that is to judge them.

Every signature is deterministic: ES256 after RFC 6979, PS256 with a salt that is the hash of what is signed.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

FOLDER = Path(__file__).parent
ISSUER = "https://idp.vectors.test"
AUDIENCE = "https://api.vectors.test"
FAR = 9_000_000_000

Jwk = dict[str, str]
PRIVATE: dict[str, Jwk] = json.loads((FOLDER / "keys.json").read_text())

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def number(text: str) -> int:
    return int.from_bytes(unb64(text))


def compact_json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def claims(**changes: object) -> dict[str, object]:
    """The claims of a good token; None takes one away."""
    good: dict[str, object] = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "alice",
        "iat": 1_700_000_000,
        "exp": FAR,
        "scope": "payments:read",
        "roles": ["viewer"],
    }
    return {name: value for name, value in (good | changes).items() if value is not None}


def raw_claims(name: str, json_text: str) -> str:
    """The claims of a good token as JSON, with one member written as it stands."""
    others = compact_json({key: value for key, value in claims().items() if key != name})
    return f'{others[:-1]},"{name}":{json_text}}}'


def signed(jwk: Jwk, algorithm: str, header: object, payload: object) -> str:
    """Header and payload: a str is the text itself, bytes too, all else becomes JSON."""
    return sealed(jwk, algorithm, f"{_part(header)}.{_part(payload)}")


def sealed(jwk: Jwk, algorithm: str, signing_input: str) -> str:
    return f"{signing_input}.{b64(signature(jwk, algorithm, signing_input.encode()))}"


def keyed(secret: bytes, header: object, payload: object) -> str:
    """An HS256 token."""
    signing_input = f"{_part(header)}.{_part(payload)}"
    return f"{signing_input}.{b64(hmac.digest(secret, signing_input.encode(), 'sha256'))}"


def _part(value: object) -> str:
    if isinstance(value, bytes):
        return b64(value)
    return b64((value if isinstance(value, str) else compact_json(value)).encode())


def signature(jwk: Jwk, algorithm: str, data: bytes) -> bytes:
    match algorithm:
        case "EdDSA":
            return ed25519.Ed25519PrivateKey.from_private_bytes(unb64(jwk["d"])).sign(data)
        case "ES256":
            r, s = utils.decode_dss_signature(der_signature(jwk, data))
            return r.to_bytes(32) + s.to_bytes(32)
        case "RS256":
            return rsa_private(jwk).sign(data, padding.PKCS1v15(), hashes.SHA256())
        case "PS256":
            return pss_signature(jwk, data, hashlib.sha256(data).digest())
    raise ValueError(algorithm)


def der_signature(jwk: Jwk, data: bytes) -> bytes:
    key = ec.derive_private_key(number(jwk["d"]), ec.SECP256R1())
    return key.sign(data, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))


def rsa_private(jwk: Jwk) -> rsa.RSAPrivateKey:
    return _rsa_private(*(number(jwk[name]) for name in ("n", "e", "d")))


@functools.cache
def _rsa_private(n: int, e: int, d: int) -> rsa.RSAPrivateKey:
    p, q = rsa.rsa_recover_prime_factors(n, e, d)
    public = rsa.RSAPublicNumbers(e, n)
    return rsa.RSAPrivateNumbers(
        p, q, d, rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q), public
    ).private_key()


def pss_signature(jwk: Jwk, data: bytes, salt: bytes, mask_hash: Any = hashlib.sha256) -> bytes:
    """RFC 8017 section 8.1.1, for a modulus of a whole number of bytes."""
    n, d = number(jwk["n"]), number(jwk["d"])
    length = n.bit_length() // 8
    digest = hashlib.sha256(bytes(8) + hashlib.sha256(data).digest() + salt).digest()
    block = (b"\x01" + salt).rjust(length - len(digest) - 1, b"\0")
    mask = b"".join(mask_hash(digest + counter.to_bytes(4)).digest() for counter in range(length // 20 + 1))
    masked = bytearray(left ^ right for left, right in zip(block, mask, strict=False))
    masked[0] &= 0x7F
    return pow(int.from_bytes(bytes(masked) + digest + b"\xbc"), d, n).to_bytes(length)


def pkcs1_block(data: bytes, length: int) -> bytes:
    """RFC 8017 section 9.2 for SHA-256: what a signature under the exponent 1 is."""
    info = bytes.fromhex("3031300d060960864801650304020105000420") + hashlib.sha256(data).digest()
    return b"\0\1" + b"\xff" * (length - len(info) - 3) + b"\0" + info


def with_signature(token: str, new: bytes) -> str:
    return f"{token.rpartition('.')[0]}.{b64(new)}"


def signature_of(token: str) -> bytes:
    return unb64(token.rpartition(".")[2])


def flipped(token: str, bit: int) -> str:
    """The token with one bit of its signature turned; 0 is the first, -1 the last."""
    old = bytearray(signature_of(token))
    old[bit // 8] ^= 0x80 >> bit % 8
    return with_signature(token, bytes(old))
