"""Secrets that can be told apart wherever they turn up: keys, tokens, card numbers in disguise, and passwords."""

from __future__ import annotations

import base64
import json
import random
import re
import string
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from hatchpay.ids import new_id
from hatchpay.tokens import apikey

__all__ = ["LABELS", "Canary", "card_numbers", "key", "labelled", "pem", "shapes", "word"]


@dataclass(frozen=True)
class Canary:
    """`text` is planted; of `secret`, letters and digits, no WINDOW of characters may be left anywhere."""

    kind: str
    text: str
    secret: str


LABELS = ("cvv", "cvc2", "card_security_code", "pin", "track2", "password", "client_secret", "access_token")
"""Names that say that a value is secret, whatever it looks like."""

_ALNUM = string.ascii_letters + string.digits
_VENDORS = {"sk_live_": 24, "rk_test_": 24, "ghp_": 36, "xoxb-": 30, "npm_": 36, "whsec_": 32, "glpat-": 20}
_ISSUERS = {"4": 16, "4929": 19, "51": 16, "2221": 16, "2720": 16, "34": 15, "37": 15, "6011": 16, "3530": 16}
_ISSUERS |= {"36": 14, "62": 19, "6759": 18, "2200": 16}


def shapes(rng: random.Random) -> Iterator[Canary]:
    """What is known by its shape alone."""
    made_up = apikey.issue(new_id(), "test", rng.randrange).text
    yield key("a made-up key", made_up)
    yield key("a mistyped key", made_up[:50] + ("A" if made_up[50] != "A" else "B") + made_up[51:])
    yield key("a key cut off", made_up[:55])
    yield key("a key with a tail", f"{made_up}_and_more")
    subject, signature = word(rng, 48), word(rng, 43)
    claims = _base64(json.dumps({"sub": subject}).encode())
    head = _base64(json.dumps({"alg": "HS256", "typ": "JWT"}).encode())
    yield Canary("a JWT", f"{head}.{claims}.{signature}", signature)
    yield Canary("a JWT without a signature", f"{head}.{claims}.", claims[10:50])
    for scheme in ("Bearer", "bearer", "DPoP"):
        token = word(rng, 40)
        yield Canary(f"a {scheme} token", f"{scheme} {token}", token)
    packed = _base64(f"user:{word(rng, 30)}".encode())
    yield Canary("a Basic credential", f"Basic {packed}", packed)
    for prefix, length in _VENDORS.items():
        token = word(rng, length)
        yield Canary(f"a key {prefix}", prefix + token, token)
    token = "".join(rng.choices(string.ascii_uppercase + string.digits, k=16))
    yield Canary("a key AKIA", f"AKIA{token}", token)
    password = word(rng)
    yield Canary("a password in a URL", f"https://user:{password}@db.test/x", password)


def key(kind: str, text: str) -> Canary:
    """One of our own. Prefix and id, its first 30 characters, are public, and so are its last four."""
    return Canary(kind, text, text[30:63])


def pem(rng: random.Random) -> Canary:
    line = word(rng, 64)
    text = f"-----BEGIN PRIVATE KEY-----\n{line}\n{line[::-1]}\n-----END PRIVATE KEY-----"
    return Canary("a PEM block", text, line)


def card_numbers(rng: random.Random) -> Iterator[Canary]:
    """One of each issuer, then one in each disguise."""
    for prefix, length in _ISSUERS.items():
        digits = _pan(rng, prefix, length)
        yield Canary(f"a card number {prefix}…", digits, digits)
    for name, disguise in _DISGUISES.items():
        digits = _pan(rng, "4", 16)
        yield Canary(f"a card number {name}", disguise(digits), digits)


def labelled(rng: random.Random, form: str) -> Iterator[Canary]:
    """Secrets that only their label gives away, as `form` puts the two together: `{name}={value}`."""
    for name in LABELS:
        value = word(rng)
        yield Canary(f"a {name}", form.format(name=name, value=value), value)


def word(rng: random.Random, length: int = 24) -> str:
    return "".join(rng.choices(_ALNUM, k=length))


def _in_groups(separator: str) -> Callable[[str], str]:
    return lambda digits: separator.join(re.findall("....", digits))


def _each(form: str, offset: int = 0) -> Callable[[str], str]:
    return lambda digits: "".join(form.format(ord(digit) + offset) for digit in digits)


_DISGUISES: dict[str, Callable[[str], str]] = {
    "with spaces": _in_groups(" "),
    "with dashes": _in_groups("-"),
    "with three spaces": _in_groups("   "),
    "digit by digit": " ".join,
    "with no-break spaces": _in_groups("\u00a0"),
    "with zero-width spaces": "\u200b".join,
    "with soft hyphens": _in_groups("\u00ad"),
    "with long dashes": _in_groups("\u2013"),
    "with encoded spaces": _in_groups("%20"),
    "with plus signs": _in_groups("+"),
    "fullwidth": _each("{:c}", 0xFF10 - ord("0")),
    "in Arabic digits": _each("{:c}", 0x0660 - ord("0")),
    "in mathematical digits": _each("{:c}", 0x1D7CE - ord("0")),
    "percent-encoded": _each("%{:02x}"),
    "percent-encoded twice": _each("%25{:02x}"),
    "in HTML entities": _each("&#{};"),
    "in JavaScript escapes": _each("\\u{:04x}"),
    "in hexadecimal escapes": _each("\\x{:02x}"),
    "in a sentence": "please charge {}, thank you".format,
    "in quotation marks": '"{}"'.format,
    "beside letters": "card{}end".format,
}


def _pan(rng: random.Random, prefix: str, length: int) -> str:
    body = prefix + "".join(rng.choices(string.digits, k=length - len(prefix) - 1))
    doubled = [int(digit) * (2 - index % 2) for index, digit in enumerate(reversed(body))]
    return body + str(-sum(value - 9 if value > 9 else value for value in doubled) % 10)


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
