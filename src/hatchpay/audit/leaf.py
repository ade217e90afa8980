"""The entry of the tree that stands for a record or a change.

Frozen format, version 1: RFC 8785 canonical JSON. A request has the members of `RequestLeaf`, a change of the directory
those of `ChangeLeaf`; `commitments` maps each part that the leaf does not show to the base64 of its commitment
(ledger/commitment.py). What happened to the trail itself shows its detail: `ProofLeaf`. Members are in the order of
their names and are all there, null where there is no value; msgspec then writes what RFC 8785 asks for, since there
are neither fractions nor integers beyond 2^53 in them.
"""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Mapping
from typing import Final

import msgspec

from hatchpay.audit.record import Change, Record
from hatchpay.clock import format_time

__all__ = ["PROOF_EVENTS", "change_leaf", "request_leaf"]

PROOF_EVENTS: Final[dict[str, str]] = {
    "audit-log.records.erased": "erasure",
    "audit-log.records.expired": "expiry",
    "audit-log.log-key.rotated": "key",
}
"""Events about the trail itself, and the type of their leaf. Their detail is public, and names no person."""

_encode: Final = msgspec.json.Encoder().encode


class RequestLeaf(msgspec.Struct, frozen=True, gc=False, rename={"leaf_type": "type", "version": "v"}):
    audit_us: int
    auth_us: int
    body_size: int
    business_unit_id: str | None
    claimed_key_id: str | None
    commitments: Mapping[str, str]
    decision: str
    handler_us: int
    issuer_id: str | None
    key_id: str | None
    method: str
    missing: str | None
    permission: str | None
    principal_id: str | None
    reason: str
    request_id: str
    response_size: int
    response_time_us: int
    roles: tuple[str, ...]
    route: str | None
    rule: str | None
    secret_version: int | None
    started_at: str
    state: str
    status: int | None
    tenant_id: str
    token_id: str | None
    leaf_type: str
    version: int


class ChangeLeaf(msgspec.Struct, frozen=True, gc=False, rename={"leaf_type": "type", "version": "v"}):
    actor: str
    at: str
    commitments: Mapping[str, str]
    event: str
    id: str
    request_id: str
    subject_id: str
    tenant_id: str
    leaf_type: str
    version: int


class ProofLeaf(msgspec.Struct, frozen=True, gc=False, rename={"leaf_type": "type", "version": "v"}):
    actor: str
    at: str
    detail: msgspec.Raw
    event: str
    id: str
    request_id: str
    subject_id: str
    tenant_id: str
    leaf_type: str
    version: int


def request_leaf(public: Record, commitments: Mapping[str, bytes]) -> bytes:
    """`public` is the record without its parts, `commitments` those to its parts, by name in order."""
    return _encode(
        RequestLeaf(
            public.audit_us,
            public.auth_us,
            public.body_size,
            public.business_unit_id,
            public.claimed_key_id,
            _shown(commitments),
            public.decision,
            public.handler_us,
            public.issuer_id,
            public.key_id,
            public.method,
            public.missing,
            public.permission,
            public.principal_id,
            public.reason,
            public.request_id,
            public.response_size,
            public.response_time_us,
            public.roles,
            public.route,
            public.rule,
            public.secret_version,
            format_time(public.started_us),
            public.state,
            public.status,
            public.tenant_id,
            public.token_id,
            "request",
            1,
        )
    )


def change_leaf(public: Change, commitments: Mapping[str, bytes]) -> bytes:
    """`public` is the change without its parts; the detail of a proof event is canonical JSON and still in it."""
    at = format_time(public.at_us)
    of = (public.event, public.id, public.request_id, public.subject_id, public.tenant_id)
    kind = PROOF_EVENTS.get(public.event)
    if kind is not None:
        return _encode(ProofLeaf(public.actor, at, msgspec.Raw(public.detail), *of, kind, 1))
    return _encode(ChangeLeaf(public.actor, at, _shown(commitments), *of, "change", 1))


def _shown(commitments: Mapping[str, bytes]) -> dict[str, str]:
    return {name: b2a_base64(digest, newline=False).decode("ascii") for name, digest in commitments.items()}
