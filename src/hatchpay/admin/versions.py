"""Versions of what can be changed: the entity tag of a row, and the condition that it still is the one that was read.

A view of such a row is a `views.Versioned`, and made with `.tagged(etag(row))`; a use case that changes the row takes
an `expected` and hands it to `work.found`, `Work.key` or `Work.role`, within the transaction that writes.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

import msgspec

from hatchpay.access.directory import IssuerKeys, IssuerRow, KeyRow
from hatchpay.errors import PreconditionFailed

__all__ = ["IfMatch", "check", "etag"]

_encode: Final = msgspec.msgpack.Encoder(order="deterministic").encode


class IfMatch(msgspec.Struct, frozen=True):
    """RFC 9110, section 13.1.1: one of these strong entity tags, without their quotes; None: any (`*`)."""

    tags: frozenset[str] | None


def etag(row: msgspec.Struct) -> str:
    """A digest of all that is stored of `row`, in 32 hexadecimal digits, to be quoted (RFC 9110, section 8.8.3).

    Without the digests of secrets, by which nobody is to guess them, and without what the service itself renews: the
    pepper that a secret is under, the keys last fetched of an issuer.
    """
    return sha256(_encode(_content(row))).hexdigest()[:32]


def check(row: msgspec.Struct, expected: IfMatch | None) -> None:
    """Raises PreconditionFailed where `row` is not as `expected`; None expects nothing."""
    if expected is not None and expected.tags is not None and etag(row) not in expected.tags:
        raise PreconditionFailed("it has changed since it was read; read it again")


def _content(row: msgspec.Struct) -> msgspec.Struct:
    if isinstance(row, KeyRow):
        secrets = (msgspec.structs.replace(secret, digest=b"", pepper_version=0) for secret in row.secrets)
        return msgspec.structs.replace(row, secrets=tuple(secrets))
    if isinstance(row, IssuerRow):
        return msgspec.structs.replace(row, keys=IssuerKeys())
    return row
