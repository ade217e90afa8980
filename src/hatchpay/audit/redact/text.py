"""Redaction of one text: a cheap gate that proves most plain, then the detectors on it and on its views."""

from __future__ import annotations

from typing import Final

from hatchpay.audit.redact.cards import mask_cards
from hatchpay.audit.redact.effort import UNBOUNDED, Effort, Exhausted
from hatchpay.audit.redact.fields import redact_fields
from hatchpay.audit.redact.gate import has_many_digits, has_track_data, is_disguised, is_plain, is_quiet_but_for_digits
from hatchpay.audit.redact.shapes import redact_shapes
from hatchpay.audit.redact.views import views

__all__ = ["FAILED", "redact_text"]

FAILED: Final = "[redaction failed]"

_REDACTED: Final = "[redacted]"
_PASSES: Final = 4
_ALLOWED: Final = 3_000


def redact_text(text: str, effort: Effort | None = None) -> str:
    """`text` with every secret and card number replaced; what shows only once decoded is replaced decoded.

    A text that takes more than the given `effort` raises `Exhausted`; with none given it is dropped then.
    """
    if effort is None and is_plain(text):
        return text
    try:
        return _redact(text, effort or Effort(_ALLOWED + len(text) / 4))
    except Exhausted:
        if effort is not None:
            raise
        return _REDACTED
    except Exception:  # what cannot be redacted is dropped, never kept and never raised
        return FAILED


def _redact(text: str, effort: Effort = UNBOUNDED) -> str:
    once = _once if is_disguised(text) else _detect
    # A replaced text is looked at again, so that redacting twice is redacting once.
    for _ in range(_PASSES):
        redacted = once(text, effort)
        if redacted == text:
            return text
        text = redacted
    return _REDACTED


def _once(text: str, effort: Effort) -> str:
    redacted = _detect(text, effort)
    found, deepest, seen = None, text, redacted
    for view in views(text, effort):
        deepest = view
        seen = _detect(view, effort)
        if seen != view:
            found = seen
    if found is None or redacted == text:
        return redacted if found is None else found
    # Both the text and a view show something. The text's own redaction will do if decoding it shows no more;
    # else the view shows the secret better, unless decoding has destroyed what the text showed.
    if _deepest(redacted, effort) == seen:
        return redacted
    return _REDACTED if "\ufffd" in deepest and "\ufffd" not in text else found


def _deepest(text: str, effort: Effort) -> str:
    for view in views(text, effort):
        text = view
    return text


def _detect(text: str, effort: Effort) -> str:
    effort.spend(3 + len(text) / 60)
    digits = has_many_digits(text)
    if not is_quiet_but_for_digits(text) or (digits and has_track_data(text)):
        effort.spend(5 + len(text) / 60)
        text = redact_fields(redact_shapes(text, effort), effort)
    return mask_cards(text, effort) if digits else text
