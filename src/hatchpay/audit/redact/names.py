"""Field names that say their value is a secret."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, Literal

from hatchpay.audit.redact.views import views

__all__ = ["MARKERS", "Kind", "all_harmless", "all_harmless_backward", "is_telling", "kind_of"]

Kind = Literal["removed", "redacted", "card"]
"""What becomes of a value: nothing may be kept of it, it is replaced, or masked if it is a card number."""

MARKERS: Final[dict[Kind, str]] = {"removed": "[removed]", "redacted": "[redacted]", "card": "[redacted]"}

_MARKS: Final = re.compile(r"[^A-Za-z0-9]+")
_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")

# Each rule looks at words anywhere or at the end of a name, never at its beginning: more words before an
# ending must not turn a secret into something harmless, since a name in prose begins nobody knows where.
_REMOVED_WORDS: Final = frozenset({"cvv", "cvc", "csc", "cvn", "cav", "pin", "pins"})
_REMOVED_ENDS: Final = frozenset({"cid", "track"})
_REMOVED: Final = re.compile(
    r"cvv|cvc|securitycode|cardverification|verificationvalue|pinblock|pincode|pinnumber|(?:card|new|old|user|atm)pin"
    r"|track[123](?![0-9])|trackdata|magstripe|magneticstripe|magstrip|emvdata|iccdata"
)
_CARD_WORDS: Final = frozenset({"pan", "pans"})
_CARD: Final = re.compile(r"cardnumber|cardnum|cardno$|ccnumber|ccnum|ccno$|primaryaccountnumber|fullpan|cardpan")
_SECRET_WORDS: Final = frozenset({"token", "tokens", "pwd", "jwt", "otp", "iban", "totp", "bearer"})
_SECRET_ENDS: Final = frozenset({"pass"})
_SECRET: Final = re.compile(
    r"passw(?:or)?d|passphrase|passcode|secret(?!ar)|credential|connectionstring|sessionid|sessid"
    r"|(?:api|private|access|signing|signature|encryption|decryption|session|master|shared|auth|service|hmac|ssh)key"
    r"|a(?:ccoun|cc)t(?:number|num|no$)"
    r"|(?:pwd|token|tokens|signature|cookie|cookies|authorization|authorizationcode|verificationcode|jwt|iban)$"
)
# Every name that any rule above knows holds one of these, once it is letters and digits alone.
_TELLING: Final = re.compile(
    "c(?:v[vcn]|sc|av|id|ard(?:verification|n(?:um|o))|cn(?:um|o)|redential|onnectionstring|ookie)"
    "|p(?:in|an|wd|ass|rimaryaccount)|t(?:rack|oken|otp)|se(?:curitycode|cret|ssid|ssionid)"
    "|verification(?:value|code)|mag(?:netic)?strip|emvdata|iccdata|jwt|otp|iban|bearer"
    "|(?:api|private|access|signing|signature|encryption|decryption|session|master|shared|auth|service|hmac|ssh)key"
    "|accountn|acctn|signature|authorization"
)
_HARMLESS_ENDS: Final = frozenset(
    {
        "type",
        "types",
        "id",
        "ids",
        "at",
        "count",
        "expiry",
        "ttl",
        "policy",
        "required",
        "enabled",
        "version",
        "status",
    }
)
_ID_IS_SECRET: Final = re.compile(r"secret|session|sessid|passw")
_HARMLESS_CARD: Final = re.compile(r"(?:last4|lastfour|type|brand|id|ids)$")

_LONG_NAME: Final = 128
_REMEMBERED: Final = 4096
_MEMORABLE: Final = re.compile(r"[0-9]{0,2}[A-Za-z _.\-/]{0,64}[0-9]{0,2}")
_DISGUISED: Final = re.compile(r"[%\\&]|[^\n -~]")
_BETWEEN: Final = re.compile(r"[^A-Za-z0-9\n]+")
_NAMING: Final = re.compile(r"[A-Za-z]{3}|[%\\&]|[^ -~]")


class _Seen:
    """Names seen before, in one direction of spelling; bounded, and never holding a number."""

    def __init__(self, direction: int) -> None:
        self._direction = direction
        self._harmless: set[str] = set()
        self._secret: set[str] = set()

    def all_harmless(self, names: list[str]) -> bool:
        distinct = set(names)
        if not self._secret.isdisjoint(distinct):
            return False
        unknown = distinct - self._harmless
        if not unknown:
            return True
        if self._may_tell(unknown):
            for name in unknown:
                if _NAMING.search(name) is not None and kind_of(name[:: self._direction]) is not None:
                    self._remember(self._secret, {name})
                    return False
        self._remember(self._harmless, unknown)
        return True

    def _may_tell(self, names: set[str]) -> bool:
        # All at once is ten times as fast as one by one.
        together = "\n".join(names)[:: self._direction]
        return (
            together.count("\n") >= len(names)
            or _DISGUISED.search(together) is not None
            or _TELLING.search(_BETWEEN.sub("", together).lower()) is not None
        )

    @staticmethod
    def _remember(known: set[str], names: set[str]) -> None:
        # Begun anew when full: a flood of names must not shut out the common ones.
        if len(known) >= _REMEMBERED:
            known.clear()
        known.update(name for name in names if _MEMORABLE.fullmatch(name) is not None)


_forward: Final = _Seen(1)
# Apart from the others: "nip" is a tax number, but the other way round a PIN.
_backward: Final = _Seen(-1)


def is_telling(name: str) -> bool:
    """Whether a closer look at a name in plain letters is due."""
    return _TELLING.search(_MARKS.sub("", name).lower()) is not None


def kind_of(name: str) -> Kind | None:
    """What becomes of a value under `name`, or None for a name that says nothing; encoded names count too."""
    return _remembered_kind(name) if len(name) <= _LONG_NAME else _kind(name)


def all_harmless(names: list[str]) -> bool:
    """Whether none of these names is that of a secret; fast for names seen before."""
    return _forward.all_harmless(names)


def all_harmless_backward(names: list[str]) -> bool:
    """The same for names that are spelt backwards."""
    return _backward.all_harmless(names)


def _kind(name: str) -> Kind | None:
    kind = _plain_kind(name)
    if kind is None:
        for view in views(name):
            kind = _plain_kind(view)
            if kind is not None:
                break
    return kind


_remembered_kind = lru_cache(maxsize=2048)(_kind)


def _plain_kind(name: str) -> Kind | None:
    if not is_telling(name):
        return None
    flat = _MARKS.sub("", name).lower()
    words = [word.lower() for word in _WORD.findall(name)]
    if not _REMOVED_WORDS.isdisjoint(words) or words[-1] in _REMOVED_ENDS or _REMOVED.search(flat):
        return "removed"
    if (not _CARD_WORDS.isdisjoint(words) or _CARD.search(flat)) and not _HARMLESS_CARD.search(flat):
        return "card"
    if not _SECRET_WORDS.isdisjoint(words) or words[-1] in _SECRET_ENDS or _SECRET.search(flat):
        return None if _only_describes(words, flat) else "redacted"
    return None


def _only_describes(words: list[str], flat: str) -> bool:
    """Whether the name is of something about a secret, as `token_type` or `access_token_expires_in`."""
    if words[-1] in {"id", "ids"}:
        return _ID_IS_SECRET.search(flat) is None
    return words[-1] in _HARMLESS_ENDS or words[-2:] == ["expires", "in"]
