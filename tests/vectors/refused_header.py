"""Tokens that are refused for what their header says: algorithm, key, extension, type."""

from __future__ import annotations

from collections.abc import Iterator

from tests.vectors.forge import PRIVATE, b64, claims, compact_json, sealed, signed
from tests.vectors.refused_form import ED, HEADER, Refused, good

SIGNERS = {"attacker-signed": "attacker-ed", "properly-signed": "ed-1"}


def refused_header() -> Iterator[Refused]:
    yield from _none()
    yield from _algorithms()
    yield from _key_sources()
    yield from _extensions()
    yield from _types()
    yield from _kids()


def _none() -> Iterator[Refused]:
    payload = b64(compact_json(claims()).encode())
    spellings = ("none", "None", "NONE", "nOnE", "NonE", " none", "none ", "\tnone\n", "\u00a0none")
    for number, spelling in enumerate(spellings, 1):
        head = b64(compact_json({"alg": spelling, "kid": "ed-1"}).encode())
        yield Refused(f"none-{number}-without-signature", f"{head}.{payload}.", "token_algorithm_none")
        yield Refused(f"none-{number}-with-signature", sealed(ED, "EdDSA", f"{head}.{payload}"), "token_algorithm_none")
    head = b64(b'{"alg":"none"}')
    yield Refused("none-without-kid", f"{head}.{payload}.", "token_algorithm_none")
    yield Refused("none-in-two-parts", f"{head}.{payload}", "token_parts_wrong")
    yield Refused("none-in-fullwidth-letters", good({"alg": "\uff4eone", "kid": "ed-1"}), "token_algorithm_unknown")
    yield Refused("none-behind-a-nul", good({"alg": "\0none", "kid": "ed-1"}), "token_algorithm_unknown")


def _algorithms() -> Iterator[Refused]:
    unknown = ("RS512", "RS384", "PS512", "ES384", "ES512", "ES256K", "HS384", "HS512", "RS1", "Ed25519", "Ed448")
    others = ("eddsa", "rs256", "EdDSA ", " EdDSA", "RSA-OAEP", "dir", "A256GCM", "", "unknown", "HS256\n")
    for number, name in enumerate(unknown + others):
        label = f"{number}-{''.join(filter(str.isalnum, name)).lower() or 'empty'}"
        yield Refused(f"algorithm-{label}", good({"alg": name, "kid": "ed-1"}), "token_algorithm_unknown")
    values: dict[str, object] = {
        "null": None,
        "number": 256,
        "boolean": True,
        "array": ["EdDSA"],
        "object": {"EdDSA": 1},
    }
    for what, value in values.items():
        yield Refused(f"algorithm-as-{what}", good({"alg": value, "kid": "ed-1"}), "token_algorithm_missing")
    yield Refused("algorithm-missing", good({"kid": "ed-1"}), "token_algorithm_missing")
    yield Refused("algorithm-in-capitals-of-its-name", good({"ALG": "EdDSA", "kid": "ed-1"}), "token_algorithm_missing")
    for kid, algorithms in {
        "rsa-1": ("PS256", "ES256", "EdDSA"),
        "rsa-pss": ("ES256", "EdDSA"),
        "ec-1": ("RS256", "PS256", "EdDSA"),
        "ed-1": ("RS256", "PS256", "ES256"),
    }.items():
        for algorithm in algorithms:
            yield Refused(f"{kid}-with-{algorithm.lower()}", _with(kid, algorithm), "token_algorithm_unfit")


def _with(kid: str, algorithm: str) -> str:
    """Under a key of the algorithm: of the issuer's where it is one of RSA, else of the attacker's."""
    key = {"RS256": "rsa-1", "PS256": "rsa-1", "ES256": "attacker-ec", "EdDSA": "attacker-ed"}[algorithm]
    return signed(PRIVATE[key], algorithm, {"alg": algorithm, "kid": kid}, claims())


def _key_sources() -> Iterator[Refused]:
    for how, signer in SIGNERS.items():
        jwk = {name: PRIVATE[signer][name] for name in ("kty", "crv", "x")}
        sources: dict[str, object] = {
            "jwk": jwk,
            "jku": "https://attacker.test/jwks.json",
            "x5u": "https://attacker.test/chain.pem",
            "x5c": ["MIIB"],
        }
        for name, value in sources.items():
            token = signed(PRIVATE[signer], "EdDSA", {**HEADER, name: value}, claims())
            yield Refused(f"{name}-{how}", token, "token_key_in_header")
    for name in ("jwk", "jku", "x5u", "x5c"):
        yield Refused(f"{name}-null", good({**HEADER, name: None}), "token_key_in_header")
    own = {"alg": "EdDSA", "jwk": {name: PRIVATE["attacker-ed"][name] for name in ("kty", "crv", "x")}}
    yield Refused("jwk-without-kid", signed(PRIVATE["attacker-ed"], "EdDSA", own, claims()), "token_key_in_header")


def _extensions() -> Iterator[Refused]:
    crits: dict[str, object] = {
        "unknown": ["https://attacker.test/extension"],
        "of-a-registered-name": ["exp"],
        "empty": [],
        "null": None,
        "as-text": "exp",
        "of-alg": ["alg"],
    }
    for what, value in crits.items():
        yield Refused(f"crit-{what}", good({**HEADER, "crit": value, "exp": 1}), "token_crit_unknown")
    yield Refused("crit-b64-true", good({**HEADER, "crit": ["b64"], "b64": True}), "token_crit_unknown")
    reason = "token_b64_unsupported"
    yield Refused("b64-false", good({**HEADER, "b64": False, "crit": ["b64"]}), reason)
    yield Refused("b64-false-without-crit", good({**HEADER, "b64": False}), reason)
    for what, value in {"text": "false", "null": None, "zero": 0, "one": 1}.items():
        yield Refused(f"b64-as-{what}", good({**HEADER, "b64": value, "crit": ["b64"]}), reason)
    head = b64(compact_json({**HEADER, "b64": False, "crit": ["b64"]}).encode())
    yield Refused("b64-false-with-a-plain-payload", sealed(ED, "EdDSA", f'{head}.{{"iss":"x"}}'), reason)


def _types() -> Iterator[Refused]:
    names = (
        "dpop+jwt",
        "logout+jwt",
        "id_token",
        "JOSE",
        "JWS",
        "secevent+jwt",
        "text/at+jwt",
        "at+jwt ",
        "",
        "application/",
    )
    for number, name in enumerate(names):
        label = f"{number}-{''.join(filter(str.isalnum, name)).lower() or 'empty'}"
        yield Refused(f"typ-{label}", good({**HEADER, "typ": name}), "token_type_wrong")
    values: dict[str, object] = {"number": 1, "null": None, "array": ["JWT"], "boolean": True}
    for what, value in values.items():
        yield Refused(f"typ-as-{what}", good({**HEADER, "typ": value}), "token_type_wrong")


def _kids() -> Iterator[Refused]:
    missing = signed(PRIVATE["rsa-1"], "RS256", {"alg": "RS256"}, claims())
    yield Refused("kid-missing-where-several-fit", missing, "token_kid_missing")
    for what, kid in {
        "unknown": "rsa-2",
        "in-capitals": "ED-1",
        "with-a-space": "ed-1 ",
        "as-a-path": "../../../../dev/null",
        "as-sql": "x' UNION SELECT 'secret",
    }.items():
        yield Refused(f"kid-{what}", good({"alg": "EdDSA", "kid": kid}), "token_kid_unknown")
    values: dict[str, object] = {"number": 1, "null": None, "array": ["ed-1"], "object": {}, "boolean": True}
    for what, value in values.items():
        yield Refused(f"kid-as-{what}", good({"alg": "EdDSA", "kid": value}), "token_kid_invalid")
    yield Refused("kid-empty", good({"alg": "EdDSA", "kid": ""}), "token_kid_invalid")
    yield Refused("kid-of-257-characters", good({"alg": "EdDSA", "kid": "k" * 257}), "token_kid_invalid")
