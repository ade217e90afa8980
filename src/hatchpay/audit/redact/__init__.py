"""Redaction: what may be kept of a request's target, headers and body, and of any text. Pure, without I/O."""

from __future__ import annotations

from hatchpay.audit.redact.body import BodyRedactor, RedactedBody
from hatchpay.audit.redact.headers import redact_headers
from hatchpay.audit.redact.text import redact_text
from hatchpay.audit.redact.url import redact_url

__all__ = ["BodyRedactor", "RedactedBody", "redact_headers", "redact_text", "redact_url"]
