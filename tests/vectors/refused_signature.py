"""Tokens that are refused for their signature, or for the key that made it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from tests.vectors import forge
from tests.vectors.accepted import KEYS, high_s_twin
from tests.vectors.forge import PRIVATE, b64, claims, compact_json, keyed, signature_of, signed, with_signature
from tests.vectors.refused_form import Refused

Encoding, Format = serialization.Encoding, serialization.PublicFormat


def refused_signature() -> Iterator[Refused]:
    yield from _hmac()
    yield from _changed()
    yield from _es256()
    yield from _rsa()
    yield from _eddsa()
    yield from _weak_keys()


def token_of(kid: str, algorithm: str, signer: str | None = None) -> str:
    return signed(PRIVATE[signer or kid], algorithm, {"alg": algorithm, "kid": kid}, claims())


def _hmac() -> Iterator[Refused]:
    public = forge.rsa_private(PRIVATE["rsa-1"]).public_key()
    jwk = {name: PRIVATE["rsa-1"][name] for name in ("kty", "n", "e")}
    pem = public.public_bytes(Encoding.PEM, Format.SubjectPublicKeyInfo)
    secrets = {
        "pem": pem,
        "pem-without-newline": pem.rstrip(b"\n"),
        "pkcs1-pem": public.public_bytes(Encoding.PEM, Format.PKCS1),
        "der": public.public_bytes(Encoding.DER, Format.SubjectPublicKeyInfo),
        "pkcs1-der": public.public_bytes(Encoding.DER, Format.PKCS1),
        "jwk": compact_json(jwk).encode(),
        "modulus": forge.unb64(jwk["n"]),
        "empty-secret": b"",
        "guessed-secret": b"secret",
    }
    for what, secret in secrets.items():
        token = keyed(secret, {"alg": "HS256", "kid": "rsa-1"}, claims())
        yield Refused(f"hs256-keyed-with-{what}", token, "token_algorithm_hmac")
    for kid in ("rsa-pss", "ec-1", "ed-1"):
        key = PRIVATE[kid]
        secret = forge.unb64(key.get("x", key.get("n", "")))
        yield Refused(f"hs256-of-{kid}", keyed(secret, {"alg": "HS256", "kid": kid}, claims()), "token_algorithm_hmac")
    yield Refused("hs256-without-kid", keyed(pem, {"alg": "HS256"}, claims()), "token_algorithm_hmac")


def _changed() -> Iterator[Refused]:
    reason = "token_signature_invalid"
    attackers = {"RS256": "attacker-rsa", "PS256": "attacker-rsa", "ES256": "attacker-ec", "EdDSA": "attacker-ed"}
    for name, (kid, algorithm) in KEYS.items():
        token = token_of(kid, algorithm)
        head, payload, signature = token.split(".")
        other = b64(compact_json(claims(sub="mallory")).encode())
        retyped = b64(compact_json({"alg": algorithm, "kid": kid, "typ": "JWT"}).encode())
        yield Refused(f"{name}-first-bit-flipped", forge.flipped(token, 0), reason)
        yield Refused(f"{name}-last-bit-flipped", forge.flipped(token, -1), reason)
        yield Refused(f"{name}-bit-in-the-middle-flipped", forge.flipped(token, 263), reason)
        yield Refused(f"{name}-payload-exchanged", f"{head}.{other}.{signature}", reason)
        yield Refused(f"{name}-header-exchanged", f"{retyped}.{payload}.{signature}", reason)
        yield Refused(f"{name}-attacker-signed", token_of(kid, algorithm, attackers[algorithm]), reason)
        yield Refused(f"{name}-all-zero", with_signature(token, bytes(len(signature_of(token)))), reason)
        yield Refused(f"{name}-all-ones", with_signature(token, b"\xff" * len(signature_of(token))), reason)
        yield Refused(f"{name}-too-short", with_signature(token, signature_of(token)[:-1]), "token_signature_length")
        yield Refused(f"{name}-too-long", with_signature(token, signature_of(token) + b"\0"), "token_signature_length")
        yield Refused(
            f"{name}-with-a-zero-before", with_signature(token, b"\0" + signature_of(token)), "token_signature_length"
        )
        yield Refused(f"{name}-of-one-byte", with_signature(token, b"\0"), "token_signature_length")


def _es256() -> Iterator[Refused]:
    token = token_of("ec-1", "ES256")
    data = token.rpartition(".")[0].encode()
    old = signature_of(token)
    r, s = old[:32], old[32:]
    reason = "token_signature_invalid"
    der = forge.der_signature(PRIVATE["ec-1"], data)
    yield Refused("es256-in-der", with_signature(token, der), "token_signature_der")
    smallest = bytes.fromhex("3006020101020101")
    yield Refused("es256-in-the-smallest-der", with_signature(token, smallest), "token_signature_der")
    yield Refused("es256-of-132-bytes", with_signature(token, old + bytes(68)), "token_signature_length")
    yield Refused("es256-r-and-s-exchanged", with_signature(token, s + r), reason)
    order = forge.P256_ORDER.to_bytes(32)
    for what, new in {
        "r-zero": bytes(32) + s,
        "s-zero": r + bytes(32),
        "r-of-the-order": order + s,
        "s-of-the-order": r + order,
    }.items():
        yield Refused(f"es256-{what}", with_signature(token, new), reason)
    yield Refused("es256-high-s-flipped", forge.flipped(high_s_twin(token), -1), reason)


def _rsa() -> Iterator[Refused]:
    reason = "token_signature_invalid"
    for name, (kid, algorithm), swapped in (
        ("rs256", ("rsa-pss", "RS256"), "PS256"),
        ("ps256", ("rsa-pss", "PS256"), "RS256"),
    ):
        token = token_of(kid, algorithm)
        data = token.rpartition(".")[0].encode()
        other = forge.signature(PRIVATE[kid], swapped, data)
        yield Refused(f"{name}-signed-as-{swapped.lower()}", with_signature(token, other), reason)
    token, key = token_of("rsa-1", "RS256"), forge.rsa_private(PRIVATE["rsa-1"])
    data = token.rpartition(".")[0].encode()
    for digest in (hashes.SHA1(), hashes.SHA512()):
        other = key.sign(data, padding.PKCS1v15(), digest)
        yield Refused(f"rs256-over-{digest.name}", with_signature(token, other), reason)
    larger = int.from_bytes(signature_of(token)) + key.public_key().public_numbers().n
    yield Refused(
        "rs256-plus-the-modulus",
        with_signature(token, larger.to_bytes((larger.bit_length() + 7) // 8)),
        reason if larger < 2**2048 else "token_signature_length",
    )
    token = token_of("rsa-pss", "PS256")
    data = token.rpartition(".")[0].encode()
    for length in (0, 20, 31, 33, 64, 222):
        other = forge.pss_signature(PRIVATE["rsa-pss"], data, bytes(range(length)))
        yield Refused(f"ps256-with-a-salt-of-{length}-bytes", with_signature(token, other), reason)
    other = forge.pss_signature(PRIVATE["rsa-pss"], data, bytes(32), hashlib.sha1)
    yield Refused("ps256-with-a-mask-of-sha1", with_signature(token, other), reason)


def _eddsa() -> Iterator[Refused]:
    token = token_of("ed-1", "EdDSA")
    old = signature_of(token)
    s = int.from_bytes(old[32:], "little") + forge.ED25519_ORDER
    yield Refused(
        "eddsa-s-plus-the-order", with_signature(token, old[:32] + s.to_bytes(32, "little")), "token_signature_invalid"
    )
    yield Refused("eddsa-halves-exchanged", with_signature(token, old[32:] + old[:32]), "token_signature_invalid")


def _weak_keys() -> Iterator[Refused]:
    yield Refused("signed-by-rsa-1024", token_of("rsa-1024", "RS256"), "jwk_rsa_too_small")
    unsigned = f"{b64(compact_json({'alg': 'RS256', 'kid': 'rsa-e1'}).encode())}.{b64(compact_json(claims()).encode())}"
    yield Refused(
        "forged-under-the-exponent-1",
        f"{unsigned}.{b64(forge.pkcs1_block(unsigned.encode(), 256))}",
        "jwk_rsa_exponent",
    )
    yield Refused("signed-by-ec-off-curve", token_of("ec-off-curve", "ES256"), "jwk_point_not_on_curve")
    # Under the neutral point, R = [S]B holds for S = 0 and every message: the signature proves nothing.
    token = token_of("ed-weak", "EdDSA", "attacker-ed")
    yield Refused("forged-under-ed-weak", with_signature(token, (1).to_bytes(64, "little")), "jwk_weak_point")
