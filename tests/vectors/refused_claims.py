"""Tokens that are properly signed and refused for what they claim."""

from __future__ import annotations

from collections.abc import Iterator

from tests.vectors.forge import claims, raw_claims
from tests.vectors.refused_form import Refused, good

OTHER_TENANT = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"
TIMES = {"exp": "token_expiry_invalid", "nbf": "token_not_before_invalid", "iat": "token_issued_at_invalid"}
NOT_A_TIME = {
    "a-string": '"1700000000"',
    "an-empty-string": '""',
    "a-date": '"2023-11-14T22:13:20Z"',
    "a-float-with-a-fraction": "1700000000.5",
    "a-boolean": "true",
    "false": "false",
    "null": "null",
    "an-array": "[1700000000]",
    "an-object": "{}",
    "negative": "-1",
    "past-the-year-9999": "253402300800",
    "milliseconds-past-the-year-9999": "1700000000000000",
    "of-four-thousand-digits": "9" * 4_000,
    "a-huge-float": "1e300",
}
NOT_FINITE = {"nan": "NaN", "infinity": "Infinity", "minus-infinity": "-Infinity", "1e999": "1e999"}


def refused_claims() -> Iterator[Refused]:
    yield from _times()
    yield from _issuer()
    yield from _audience()
    other = good(payload=claims(tenant=OTHER_TENANT))
    yield Refused("tenant-of-another", other, "token_tenant_wrong")


def _times() -> Iterator[Refused]:
    for name, reason in TIMES.items():
        for what, text in NOT_A_TIME.items():
            yield Refused(f"{name}-{what}", good(payload=raw_claims(name, text)), reason)
        for what, text in NOT_FINITE.items():
            yield Refused(f"{name}-{what}", good(payload=raw_claims(name, text)), "token_number_not_finite")
    yield Refused("exp-missing", good(payload=claims(exp=None)), "token_expiry_missing")
    yield Refused("exp-in-the-past", good(payload=claims(exp=1_700_000_001)), "token_expired")
    yield Refused("exp-at-the-epoch", good(payload=claims(exp=0)), "token_expired")
    yield Refused("nbf-in-the-far-future", good(payload=claims(nbf=8_000_000_000)), "token_not_yet_valid")
    yield Refused("iat-in-the-far-future", good(payload=claims(iat=8_000_000_000)), "token_issued_in_future")


def _issuer() -> Iterator[Refused]:
    yield Refused("iss-missing", good(payload=claims(iss=None)), "token_issuer_missing")
    values: dict[str, object] = {
        "number": 1,
        "array": ["https://idp.vectors.test"],
        "boolean": True,
        "object": {},
        "empty": "",
    }
    for what, value in values.items():
        yield Refused(f"iss-{what}", good(payload=claims(iss=value)), "token_issuer_invalid")
    yield Refused("iss-null", good(payload=raw_claims("iss", "null")), "token_issuer_invalid")
    yield Refused("iss-of-2049-characters", good(payload=claims(iss="https://" + "i" * 2_041)), "token_issuer_invalid")
    for what, value in {
        "wrong": "https://attacker.test",
        "with-a-slash-at-its-end": "https://idp.vectors.test/",
        "in-capitals": "https://IDP.vectors.test",
        "with-a-space": "https://idp.vectors.test ",
        "without-its-scheme": "idp.vectors.test",
        "as-a-prefix": "https://idp.vectors.test.attacker.test",
    }.items():
        yield Refused(f"iss-{what}", good(payload=claims(iss=value)), "token_issuer_unknown")


def _audience() -> Iterator[Refused]:
    yield Refused("aud-missing", good(payload=claims(aud=None)), "token_audience_missing")
    audience = "https://api.vectors.test"
    values: dict[str, object] = {
        "number": 1,
        "boolean": True,
        "object": {audience: 1},
        "empty": "",
        "empty-array": [],
        "array-with-a-number": [audience, 1],
        "array-in-an-array": [[audience]],
    }
    for what, value in values.items():
        yield Refused(f"aud-{what}", good(payload=claims(aud=value)), "token_audience_invalid")
    yield Refused("aud-null", good(payload=raw_claims("aud", "null")), "token_audience_invalid")
    wrong: dict[str, object] = {
        "wrong": "https://other.test",
        "wrong-in-an-array": ["https://other.test", "https://third.test"],
        "with-a-slash-at-its-end": f"{audience}/",
        "as-one-of-two-in-a-text": f"{audience} https://other.test",
        "as-a-prefix": f"{audience}.attacker.test",
    }
    for what, value in wrong.items():
        yield Refused(f"aud-{what}", good(payload=claims(aud=value)), "token_audience_wrong")
