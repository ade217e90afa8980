"""Microseconds to accept a token: for the first time, beside what `cryptography` alone takes, and again.

All of one algorithm run interleaved in one process; medians of the rounds with their spread.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, get_args

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from cryptography.hazmat.primitives.hashes import SHA256

from hatchpay.clock import wall_us
from hatchpay.identity.issuer import ClaimsMapping
from hatchpay.identity.ports import IssuerEntry, KeyEntry, OwnKey, SecretEntry, Snapshot, Trust
from hatchpay.identity.principal import Principal
from hatchpay.identity.tokens import TokenAuthenticator
from hatchpay.ids import new_id
from hatchpay.tokens import apikey, base64url, jwk, jws, signing
from hatchpay.tokens.digest import Peppers
from hatchpay.tokens.jwks import KeySet

URL = "https://auth.bench.test"
ISSUER = "https://idp.bench.test"
PERMISSION = "payment-proxy.transactions.read"
_HASH = SHA256()


def report(rounds: int = 9, times: int = 2_000) -> list[str]:
    """Lines of a Markdown table."""
    lines = [
        "| token | `cryptography` alone | first time | share of it | again |",
        "|---|---|---|---|---|",
    ]
    for name, bare, token, snapshot in _cases():
        warm = _authenticator(snapshot)
        works: tuple[Callable[[], Any], ...] = (
            bare,
            # Making the authenticator costs 0.3 µs, which is counted with the first verification.
            partial(lambda snapshot, token: _authenticator(snapshot).authenticate(token), snapshot, token),
            partial(warm.authenticate, token),
        )
        alone, first, again = zip(*([_time(work, times) for work in works] for _ in range(rounds)), strict=True)
        share = statistics.median(a / b for a, b in zip(alone, first, strict=True))
        lines.append(f"| {name} | {_shown(alone)} | {_shown(first)} | {share:.0%} | {_shown(again)} |")
    return lines


def _authenticator(snapshot: Snapshot) -> TokenAuthenticator:
    return TokenAuthenticator(lambda: snapshot, wall_us, lambda _: None, keep_s=86_400)


def _time(work: Callable[[], Any], times: int) -> float:
    began = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - began) / times * 1e6


def _shown(runs: tuple[float, ...]) -> str:
    return f"{statistics.median(runs):.1f} ({min(runs):.1f}–{max(runs):.1f})"


def _cases() -> Iterator[tuple[str, Callable[[], Any], str, Snapshot]]:
    for algorithm in get_args(signing.SigningAlgorithm):
        own = signing.generate(algorithm)
        snapshot, claims = _own(own)
        token = own.sign(claims)
        yield f"our own, {algorithm}", _bare(algorithm, _public(own.public_jwk), token), token, snapshot
    now = wall_us() // 1_000_000
    claims = {"iss": ISSUER, "aud": URL, "sub": "alice", "iat": now, "exp": now + 3600, "scope": PERMISSION}
    for algorithm in ("EdDSA", "ES256", "RS256", "PS256"):
        private, public = _pair(algorithm)
        token = _signed(algorithm, private, claims)
        yield f"an issuer's, {algorithm}", _bare(algorithm, private.public_key(), token), token, _trusting(public)


def _own(own: signing.SigningKey) -> tuple[Snapshot, dict[str, object]]:
    key = apikey.issue(new_id(), "live")
    tenant = new_id()
    principal = Principal(key.id, "api_key", tenant, key.id, ("viewer",), {PERMISSION: "role:viewer"})
    peppers = Peppers(1, {1: bytes(32)})
    entry = KeyEntry(principal, "enabled", (SecretEntry(1, peppers.digest(key.text), 1, None),))
    published = OwnKey(
        kid=own.kid,
        algorithm=own.algorithm,
        public_jwk=dict(own.public_jwk),
        key=jwk.load(own.public_jwk),
        sealed=b"",
        signs_from_us=0,
        ends_us=None,
    )
    trust = Trust(urls=frozenset({URL}), own={own.kid: published})
    now = wall_us() // 1_000_000
    claims: dict[str, object] = {
        "iss": URL,
        "aud": URL,
        "sub": key.id,
        "client_id": key.id,
        "iat": now,
        "exp": now + 3600,
        "jti": new_id(),
        "tenant": tenant,
        "business_units": None,
        "roles": ["viewer"],
        "permissions": [PERMISSION],
        "scope": PERMISSION,
        "secret_version": 1,
    }
    return Snapshot(1, {key.locator: entry}, peppers, trust), claims


def _trusting(public: dict[str, object]) -> Snapshot:
    entry = IssuerEntry(
        id=new_id(),
        tenant_id=new_id(),
        issuer=ISSUER,
        audience=URL,
        jwks_url=None,
        algorithms=frozenset({"EdDSA", "ES256", "RS256", "PS256"}),
        ceiling=frozenset({PERMISSION}),
        claims=ClaimsMapping(permissions="scope"),
        enabled=True,
        keys=KeySet.load(msgspec.json.encode({"keys": [public]})),
        fetched_us=wall_us(),
        tried_us=wall_us(),
    )
    return Snapshot(1, {}, Peppers(1, {1: bytes(32)}), Trust(issuers={entry.id: entry}))


def _pair(algorithm: str) -> tuple[Any, dict[str, object]]:
    """The private key, and the public one as an issuer publishes it."""
    if algorithm == "EdDSA":
        private: Any = ed25519.Ed25519PrivateKey.generate()
        x = base64url.encode(private.public_key().public_bytes_raw())
        return private, {"kty": "OKP", "crv": "Ed25519", "x": x, "kid": "1"}
    if algorithm == "ES256":
        private = ec.generate_private_key(ec.SECP256R1())
        point = private.public_key().public_numbers()
        coordinates = {name: base64url.encode(getattr(point, name).to_bytes(32, "big")) for name in ("x", "y")}
        return private, {"kty": "EC", "crv": "P-256", "kid": "1", **coordinates}
    private = rsa.generate_private_key(65_537, 2_048)
    modulus = base64url.encode(private.public_key().public_numbers().n.to_bytes(256, "big"))
    return private, {"kty": "RSA", "n": modulus, "e": "AQAB", "kid": "1", "alg": algorithm}


def _signed(algorithm: str, private: Any, claims: dict[str, object]) -> str:
    header = {"alg": algorithm, "kid": "1", "typ": "JWT"}
    signing_input = ".".join(base64url.encode(msgspec.json.encode(part)) for part in (header, claims))
    if algorithm == "EdDSA":
        signature = private.sign(signing_input.encode())
    elif algorithm == "ES256":
        r, s = utils.decode_dss_signature(private.sign(signing_input.encode(), ec.ECDSA(_HASH)))
        signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    else:
        signature = private.sign(signing_input.encode(), _padding(algorithm), _HASH)
    return f"{signing_input}.{base64url.encode(signature)}"


def _padding(algorithm: str) -> Any:
    return padding.PKCS1v15() if algorithm == "RS256" else padding.PSS(padding.MGF1(_HASH), 32)


def _bare(algorithm: str, public: Any, token: str) -> Callable[[], Any]:
    """The primitive and nothing else, on bytes that are ready for it."""
    parsed = jws.parse(token)
    signature, message = parsed.signature, parsed.signing_input
    if algorithm == "EdDSA":
        return lambda: public.verify(signature, message)
    if algorithm == "ES256":
        der = utils.encode_dss_signature(*(int.from_bytes(half, "big") for half in (signature[:32], signature[32:])))
        return lambda: public.verify(der, message, ec.ECDSA(_HASH))
    padded = _padding(algorithm)
    return lambda: public.verify(signature, message, padded, _HASH)


def _public(members: Mapping[str, str]) -> Any:
    """The public key of a JWK, by `cryptography`."""
    number = {name: int.from_bytes(base64url.decode(members[name]), "big") for name in "nexy" if name in members}
    if members["kty"] == "RSA":
        return rsa.RSAPublicNumbers(number["e"], number["n"]).public_key()
    if members["kty"] == "EC":
        return ec.EllipticCurvePublicNumbers(number["x"], number["y"], ec.SECP256R1()).public_key()
    return ed25519.Ed25519PublicKey.from_public_bytes(base64url.decode(members["x"]))
