"""What the use cases ask of the directory's storage.

Whatever takes a `tenant_id` answers as if other tenants did not exist. Every call raises DirectoryUnavailable
where storage cannot serve it.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Protocol

from hatchpay.access.directory import (
    IssuerKeys,
    IssuerRow,
    KeyRow,
    PolicyRow,
    RoleRow,
    SigningKeyRow,
    TenantRow,
    UnitRow,
)
from hatchpay.access.permission import Permission
from hatchpay.audit.record import Change
from hatchpay.audit.stream.row import StreamRow

__all__ = ["Directory", "DirectoryTransaction", "DirectoryView"]


class DirectoryView(Protocol):
    """One consistent state. Deleted keys are not in it."""

    def catalogue(self) -> tuple[Permission, ...]:
        """The permissions that tenants' roles can hold, by name; never the platform's."""
        ...

    def tenant(self, tenant_id: str) -> TenantRow | None: ...

    def tenant_named(self, name: str) -> TenantRow | None: ...

    def tenants(self, limit: int, before: str | None) -> list[TenantRow]:
        """Newest first, by id, without the platform's own."""
        ...

    def key(self, tenant_id: str, key_id: str) -> KeyRow | None: ...

    def key_of_any_tenant(self, key_id: str) -> KeyRow | None: ...

    def keys(self, tenant_id: str, limit: int, before: str | None) -> list[KeyRow]:
        """Newest first, by id."""
        ...

    def keys_by_id(self, tenant_id: str, key_ids: Iterable[str]) -> dict[str, KeyRow]:
        """Those among `key_ids` that exist."""
        ...

    def keys_holding(self, role_ids: Iterable[str]) -> list[KeyRow]: ...

    def keys_under(self, pepper_version: int) -> list[KeyRow]:
        """The keys that have a secret under this pepper, ended ones included."""
        ...

    def secrets_per_pepper(self, now: int) -> dict[int, int]:
        """How many secrets that have not ended are under each pepper version."""
        ...

    def administrators(self, tenant_id: str) -> int:
        """How many keys are enabled, live, unexpiring, unrestricted, of no limited rate, and hold built-in admin,
        tenant-wide.
        """
        ...

    def administrator_keys(self, tenant_id: str) -> list[KeyRow]:
        """Those that `administrators` counts."""
        ...

    def role(self, tenant_id: str, role_id: str) -> RoleRow | None: ...

    def role_named(self, tenant_id: str, name: str) -> RoleRow | None: ...

    def roles(self, tenant_id: str, limit: int, after: str | None) -> list[RoleRow]:
        """Oldest first, by id."""
        ...

    def roles_named(self, tenant_id: str, names: Iterable[str]) -> list[RoleRow]:
        """Those among `names` that exist."""
        ...

    def roles_by_id(self, tenant_id: str, role_ids: Iterable[str]) -> dict[str, RoleRow]:
        """Those among `role_ids` that exist."""
        ...

    def unit(self, tenant_id: str, unit_id: str) -> UnitRow | None: ...

    def units(self, tenant_id: str, limit: int, before: str | None) -> list[UnitRow]:
        """Newest first, by id."""
        ...

    def known_units(self, tenant_id: str, unit_ids: Iterable[str]) -> dict[str, UnitRow]:
        """Those among `unit_ids` that exist, archived ones included."""
        ...

    def policy(self, tenant_id: str, policy_id: str) -> PolicyRow | None: ...

    def policies(self, tenant_id: str, limit: int | None = None, before: str | None = None) -> list[PolicyRow]:
        """Newest first, by id; all without a `limit`."""
        ...

    def signing_keys(self) -> list[SigningKeyRow]:
        """In the order in which they sign, retired ones included."""
        ...

    def issuer(self, tenant_id: str, issuer_id: str) -> IssuerRow | None: ...

    def issuers(self, tenant_id: str, limit: int | None = None, before: str | None = None) -> list[IssuerRow]:
        """Newest first, by id; all without a `limit`."""
        ...

    def issuer_count(self, tenant_id: str) -> int: ...

    def load_issuers(self, issuer_ids: Iterable[str] | None) -> list[IssuerRow]:
        """Of every tenant, by id; all for None."""
        ...

    def stream(self, tenant_id: str, stream_id: str) -> StreamRow | None: ...

    def streams(self, tenant_id: str, limit: int | None = None, before: str | None = None) -> list[StreamRow]:
        """Newest first, by id; all without a `limit`."""
        ...

    def stream_count(self, tenant_id: str) -> int: ...

    def is_revoked(self, token_id: str) -> bool: ...

    def served_urls(self) -> list[str]:
        """The last one that was served first."""
        ...


class DirectoryTransaction(DirectoryView, Protocol):
    """Sees its own writes; no other transaction writes until it has ended. Each write is named in the change
    feed.

    Whatever takes a named value raises Conflict (`already_exists`) where the name is taken.
    """

    def add_tenant(self, tenant: TenantRow) -> None: ...

    def add_unit(self, unit: UnitRow) -> None: ...

    def save_unit(self, unit: UnitRow) -> None: ...

    def add_policy(self, policy: PolicyRow) -> None: ...

    def save_policy(self, policy: PolicyRow) -> None: ...

    def remove_policy(self, policy: PolicyRow) -> None: ...

    def add_role(self, role: RoleRow) -> None: ...

    def save_role(self, role: RoleRow) -> None: ...

    def remove_role(self, role: RoleRow) -> None: ...

    def add_key(self, key: KeyRow) -> None: ...

    def save_key(self, key: KeyRow) -> None:
        """Replace what is stored, roles and secrets included."""
        ...

    def add_signing_key(self, key: SigningKeyRow) -> None: ...

    def save_signing_key(self, key: SigningKeyRow) -> None: ...

    def add_issuer(self, issuer: IssuerRow) -> None:
        """Raises Conflict (`issuer_exists`) where some tenant trusts this issuer for this audience already."""
        ...

    def save_issuer(self, issuer: IssuerRow) -> None:
        """Replace what is stored, keys included. Raises Conflict as `add_issuer` does."""
        ...

    def save_issuer_keys(self, issuer_id: str, keys: IssuerKeys) -> None: ...

    def remove_issuer(self, issuer: IssuerRow) -> None: ...

    def add_stream(self, stream: StreamRow) -> None: ...

    def save_stream(self, stream: StreamRow) -> None:
        """Replace what is stored, secrets included."""
        ...

    def remove_stream(self, stream: StreamRow) -> None: ...

    def revoke_token(self, token_id: str, tenant_id: str, ends_us: int, now: int) -> None: ...

    def serve_url(self, url: str, now: int) -> None: ...

    def announce_peppers(self) -> None: ...

    def record(self, change: Change) -> None:
        """Put an audit event into the outbox."""
        ...


class Directory(Protocol):
    def read(self) -> AbstractContextManager[DirectoryView]: ...

    def transaction(self) -> AbstractContextManager[DirectoryTransaction]:
        """All changes of the block, or none where it raises."""
        ...
