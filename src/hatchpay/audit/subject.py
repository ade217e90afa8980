"""Whom a record is about, as a keyed digest: what was kept of somebody can be found and erased, but not listed."""

from __future__ import annotations

import hmac

__all__ = ["subject_digest"]


def subject_digest(key: bytes, tenant_id: str, subject: str) -> str:
    """HMAC-SHA-256 in hex, under the installation's fingerprint key; of each tenant another one."""
    return hmac.digest(key, f"hatchpay subject v1\0{tenant_id}\0{subject}".encode(), "sha256").hex()
