"""Redaction of one text: a cheap gate that proves most plain, then the detectors on it and on its views."""

from __future__ import annotations

from typing import Final

from hatchpay.audit.redact.cards import mask_cards
from hatchpay.audit.redact.fields import redact_fields
from hatchpay.audit.redact.gate import is_plain, is_quiet
from hatchpay.audit.redact.shapes import redact_shapes
from hatchpay.audit.redact.views import views

__all__ = ["FAILED", "redact_text"]

FAILED: Final = "[redaction failed]"

_REDACTED: Final = "[redacted]"
_PASSES: Final = 4


def redact_text(text: str) -> str:
    """`text` with every secret and card number replaced; what shows only once decoded is replaced decoded."""
    if is_plain(text):
        return text
    try:
        return _redact(text)
    except Exception:  # what cannot be redacted is dropped, never kept and never raised
        return FAILED


def _redact(text: str) -> str:
    # A replaced text is looked at again, so that redacting twice is redacting once.
    for _ in range(_PASSES):
        redacted = _once(text)
        if redacted == text:
            return text
        text = redacted
    return _REDACTED


def _once(text: str) -> str:
    redacted = _detect(text)
    found, deepest = None, text
    for view in views(text):
        deepest = view
        seen = _detect(view)
        if seen != view:
            found = seen
    if found is None or redacted == text:
        return redacted if found is None else found
    # Both the text and a view show something. The text's own redaction will do if decoding it shows no more;
    # else the view shows the secret better, unless decoding has destroyed what the text showed.
    if _deepest(redacted) == _detect(deepest):
        return redacted
    return _REDACTED if "\ufffd" in deepest and "\ufffd" not in text else found


def _deepest(text: str) -> str:
    for view in views(text):
        text = view
    return text


def _detect(text: str) -> str:
    return text if is_quiet(text) else mask_cards(redact_fields(redact_shapes(text)))
