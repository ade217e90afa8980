"""The fields of an exported record, the same and in the same order in every flat format."""

from __future__ import annotations

from typing import Final, Literal

from hatchpay.audit.ports import Kept

__all__ = ["FIELDS", "Kind", "flat_line"]

Kind = Literal["text", "number", "time", "json"]

FIELDS: Final[dict[str, Kind]] = {
    "seq": "number",
    "leaf_index": "number",
    "leaf_hash": "text",
    "request_id": "text",
    "tenant_id": "text",
    "business_unit_id": "text",
    "principal_id": "text",
    "key_id": "text",
    "claimed_key_id": "text",
    "token_id": "text",
    "issuer_id": "text",
    "roles": "json",
    "decision": "text",
    "reason": "text",
    "rule": "text",
    "missing": "text",
    "method": "text",
    "url": "text",
    "route": "text",
    "permission": "text",
    "client_ip": "text",
    "headers": "json",
    "body": "json",
    "body_size": "number",
    "body_hmac": "text",
    "status": "number",
    "response_size": "number",
    "response_time_us": "number",
    "auth_us": "number",
    "handler_us": "number",
    "audit_us": "number",
    "started_at": "time",
    "state": "text",
    "correlation_id": "text",
    "payload": "text",
    "changes": "json",
}
"""Frozen: readers of CSV and Parquet files rely on the names and their order. New fields are added at the end."""


def flat_line(kept: Kept) -> dict[str, object]:
    """The record as the history shows it, behind its place in the ledger and in the tenant's tree."""
    leaf = kept.leaf
    return {
        "seq": kept.seq,
        "leaf_index": None if leaf is None else leaf.index,
        "leaf_hash": None if leaf is None else leaf.hash.hex(),
        **kept.flat(),
    }
