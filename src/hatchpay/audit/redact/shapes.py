"""Secrets known by their shape alone: keys, tokens, PEM blocks, track data and passwords in URLs."""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections.abc import Callable
from typing import Final, NamedTuple

from hatchpay.audit.redact.effort import UNBOUNDED, Effort

__all__ = ["PEM_BEGIN", "PEM_END", "redact_shapes"]

PEM_BEGIN: Final = r"-{4,5} ?BEGIN[ A-Z0-9]{0,60}-{2,5}"
PEM_END: Final = r"-{4,5} ?END[ A-Z0-9]{0,60}-{2,5}"


class _Shape(NamedTuple):
    needles: tuple[str, ...]
    """One of these stands in the lower-cased text wherever the pattern matches: a cheap test first."""
    pattern: re.Pattern[str]
    replacement: str | Callable[[re.Match[str]], str]


def _basic(match: re.Match[str]) -> str:
    # "Basic plan" is English; base64 with a colon inside is a credential.
    value = match[2]
    try:
        colon = b":" in b64decode(value + "=" * (-len(value) % 4), altchars=b"-_")
    except (binascii.Error, ValueError):
        colon = False
    if colon or value.endswith("=") or (any(c.isdigit() for c in value) and any(c.isalpha() for c in value)):
        return f"{match[1]}[redacted]"
    return match[0]


_SHAPES: Final = (
    _Shape(
        ("begin",),
        re.compile(rf"{PEM_BEGIN}.*?(?:{PEM_END}|\Z)", re.DOTALL | re.IGNORECASE),
        "[redacted PEM]",
    ),
    _Shape(
        ("hp_live_", "hp_test_"),
        re.compile(r"hp_(?:live|test)_[0-9A-Za-z][0-9A-Za-z_\-]*", re.IGNORECASE),
        "[redacted key]",
    ),
    _Shape(
        ("eyj", "eya", "ewo", "ew0", "ewk", "eyi"),
        re.compile(
            r"ey[IJ][\w\-+/=]{2,}+(?:\.[\w\-+/=]*+)++|ey[IJ][\w\-+/=]{12,}+"
            r"|(?<![\w\-])(?:eyA|ewo|ew0|ewk)[\w\-]{6,}+(?:\.[\w\-]*+){2,}+",
            re.ASCII,
        ),
        "[redacted JWT]",
    ),
    _Shape(
        ("bearer", "dpop"),
        re.compile(r"((?:bearer|dpop)[ \t+]+)[\w\-.~+/=:]+", re.IGNORECASE | re.ASCII),
        r"\1[redacted]",
    ),
    _Shape(("basic",), re.compile(r"(basic[ \t+]+)([\w+/\-]{4,}={0,2})", re.IGNORECASE | re.ASCII), _basic),
    _Shape(("://",), re.compile(r"://[^\s/?#\"'<>\\]*@"), "://[redacted]@"),
    _Shape(
        ("_live_", "_test_", "whsec_", "sk-"),
        re.compile(r"(?:[srp]k_(?:live|test)_|whsec_)[0-9A-Za-z]+|sk-[\w\-]{20,}", re.ASCII),
        "[redacted key]",
    ),
    _Shape(("akia", "asia"), re.compile(r"A[KS]IA[A-Z0-9]{12,}"), "[redacted key]"),
    _Shape(
        ("ghp_", "gho_", "ghs_", "ghu_", "ghr_", "github_pat_"),
        re.compile(r"(?:gh[opsur]_|github_pat_)[0-9A-Za-z_]{10,}"),
        "[redacted key]",
    ),
    _Shape(
        ("xox", "aiza", "glpat-", "npm_", "shp", "age-secret-key-"),
        re.compile(
            r"xox[abeoprs]-[\w\-]{8,}|AIza[\w\-]{20,}|glpat-[\w\-]{10,}|npm_[0-9A-Za-z]{20,}"
            r"|shp(?:at|ca|pa|ss)_[0-9A-Za-z]{10,}|(?i:AGE-SECRET-KEY-)[0-9A-Za-z]+",
            re.ASCII,
        ),
        "[redacted key]",
    ),
    _Shape(("sg.",), re.compile(r"SG\.[\w\-]{16,}(?:\.[\w\-]+)*", re.ASCII), "[redacted key]"),
    _Shape(("eaa",), re.compile(r"EAA[0-9A-Za-z]{20,}"), "[redacted key]"),
    _Shape(("^",), re.compile(r"%?[A-Za-z]?[0-9 ]{8,23}+\^[^\^?\n]{0,64}+(?:\^[^?\s]*)?\??"), "[removed]"),
)
_TRACK: Final = re.compile(r";?(?<![0-9])[0-9]{12,19}[=Dd][0-9]{4,}[^?\s\"'&<,]*\??")
_HAS_TRACK: Final = re.compile(r"[0-9]{12}[=Dd][0-9]{4}")


def redact_shapes(text: str, effort: Effort = UNBOUNDED) -> str:
    """Replace every secret in `text` that its shape gives away."""
    lowered = text.lower()
    for needles, pattern, replacement in _SHAPES:
        for needle in needles:
            if needle in lowered:
                text, count = pattern.subn(replacement, text)
                effort.spend(1 + 2 * count + len(text) / 100)
                break
    if ("=" in lowered or "d" in lowered) and _HAS_TRACK.search(text) is not None:
        text = _TRACK.sub("[removed]", text)
    return text
