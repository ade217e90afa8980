"""The gate before the detectors: proves in about a microsecond that a text holds nothing for any of them."""

from __future__ import annotations

import re
from typing import Final

from hatchpay.audit.redact.cards import mask_cards
from hatchpay.audit.redact.fields import NAME_END, SPOKEN
from hatchpay.audit.redact.names import all_harmless, all_harmless_backward
from hatchpay.audit.redact.views import PLAIN_LETTERS

__all__ = ["is_plain", "is_plain_json", "is_quiet"]

_DIGITS: Final = re.compile(r"[0-9][0-9 \-+.]{11}")
_MANY_DIGITS: Final = re.compile(r"[0-9](?:[ \-+.]{0,3}[0-9]){11}")
_TRACK: Final = re.compile(r"[0-9]{12}[=Dd][0-9]{4}|\^")
_FOREIGN: Final = re.compile(rf"[^\x00-\x7f{PLAIN_LETTERS}]")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_USERINFO: Final = re.compile(r"://[^\s/?#\"'<>\\]*@")
_AMPERSAND: Final = re.compile(r"&[#A-Za-z]")
_TAG_NAME: Final = re.compile(r"<([A-Za-z_][\w:.\-]*+)")
_KEY: Final = re.compile(r"\"([^\"]*+)\"[ \t\r\n]*+:")
# Read backwards, a name follows its colon, and `re` can skip to the colons instead of trying every word.
_BACKWARD_NAME: Final = re.compile(rf"[:=]\s*+[\"']?+([^{NAME_END}]++)")


def is_plain(text: str) -> bool:
    """Whether `text` provably holds nothing to redact and nothing encoded."""
    if "%" in text or "\\" in text:
        return False
    if "&" in text and _AMPERSAND.search(text) is not None:
        return False
    if not text.isascii() and _FOREIGN.search(text) is not None:
        return False
    if not text.isprintable() and _CONTROL.search(text) is not None:
        return False
    return is_quiet(text)


def is_quiet(text: str) -> bool:
    """Whether no detector would fire on `text` as it stands, encoded or not."""
    # A chain of `in` runs at the speed of memchr; one regular expression for all took twenty times as long.
    if _DIGITS.search(text) is not None and _MANY_DIGITS.search(text) is not None and _has_digits(text):
        return False
    if "ey" in text and ("eyJ" in text or "eyI" in text or "eyA" in text):
        return False
    if "ew" in text and ("ewo" in text or "ew0" in text or "ewk" in text):
        return False
    if "IA" in text or "AIza" in text or "SG." in text or "EAA" in text or "^" in text:
        return False
    lowered = text.lower()
    if "-" in text and _has_dashed_prefix(lowered):
        return False
    if "_" in text and _has_key_prefix(lowered):
        return False
    if "bearer" in lowered or "basic" in lowered or "dpop" in lowered:
        return False
    if ("cv" in lowered or "pin" in lowered) and SPOKEN.search(text) is not None:
        return False
    if "<" in text and not all_harmless(_TAG_NAME.findall(text)):
        return False
    if "=" not in text and ":" not in text:
        return True
    if "://" in text and _USERINFO.search(text) is not None:
        return False
    return all_harmless_backward(_BACKWARD_NAME.findall(text[::-1]))


def is_plain_json(text: str) -> bool:
    """Whether the same holds for a piece of JSON, its keys included, whatever marks stand in them."""
    return is_plain(text) and all_harmless(_KEY.findall(text))


def _has_digits(text: str) -> bool:
    return _TRACK.search(text) is not None or mask_cards(text) != text


def _has_dashed_prefix(lowered: str) -> bool:
    return "----" in lowered or "xox" in lowered or "glpat-" in lowered or "sk-" in lowered or "key-" in lowered


def _has_key_prefix(lowered: str) -> bool:
    return (
        "live_" in lowered
        or "test_" in lowered
        or "pat_" in lowered
        or "ghp_" in lowered
        or "gho_" in lowered
        or "ghs_" in lowered
        or "ghu_" in lowered
        or "ghr_" in lowered
        or "npm_" in lowered
        or "whsec_" in lowered
        or ("shp" in lowered)
    )
