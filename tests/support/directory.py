"""A directory with its use cases, a clock that stands still, and short ways to say what tests say often."""

from __future__ import annotations

import sqlite3
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from hatchpay.access.permission import Permission
from hatchpay.admin.business_units import BusinessUnits
from hatchpay.admin.keys import Keys
from hatchpay.admin.local import local_actor
from hatchpay.admin.peppers import PepperAdmin
from hatchpay.admin.permissions import Permissions
from hatchpay.admin.roles import Roles
from hatchpay.admin.tenants import Tenants
from hatchpay.admin.views import Actor, CreatedKey, NewKey, Onboarded, RoleDraft, RoleView
from hatchpay.audit.ports import KeyUsage
from hatchpay.audit.record import Change
from hatchpay.identity.principal import Principal
from hatchpay.ids import PLATFORM_TENANT_ID, new_id
from hatchpay.store.directory import SqlDirectory
from hatchpay.store.snapshots import DirectorySnapshots
from hatchpay.tokens.digest import Peppers

__all__ = ["HOUR", "SERVED", "START", "FakeClock", "FakeUsage", "UnsyncedDirectory", "World", "fresh_directory"]

START = 1_790_000_000_000_000
HOUR = 3_600_000_000

SERVED = (
    Permission(name="shop.orders.read", description="Read orders", read_only=True),
    Permission(name="shop.customers.read", description="Read customers", read_only=True, sensitive=True),
    Permission(name="shop.orders.create", description="Create orders"),
)


class FakeClock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now


class FakeUsage:
    def __init__(self) -> None:
        self.uses: dict[str, list[KeyUsage]] = {}

    def usage(self, key_ids: list[str]) -> dict[str, list[KeyUsage]]:
        return {key_id: self.uses[key_id] for key_id in key_ids if key_id in self.uses}


class UnsyncedDirectory(SqlDirectory):
    """As the real one, but does not wait for the disk: tests of rules need no durability."""

    def _connect(self) -> sqlite3.Connection:
        connection = super()._connect()
        connection.execute("PRAGMA synchronous = OFF")
        return connection


@cache
def _shared() -> tuple[TemporaryDirectory[str], UnsyncedDirectory, bytes]:
    folder = TemporaryDirectory()
    path = Path(folder.name, "directory.db")
    directory = UnsyncedDirectory(path)
    directory.sync_permissions(SERVED)
    directory.close()
    return folder, directory, path.read_bytes()


def fresh_directory() -> SqlDirectory:
    """An empty directory. There is one at a time: making another anew costs more than most tests do."""
    _, directory, pristine = _shared()
    directory.close()
    path = directory.path
    for companion in ("-wal", "-shm"):
        path.with_name(path.name + companion).unlink(missing_ok=True)
    path.write_bytes(pristine)
    return directory


class World:
    """Everything around one directory. `peppers` may be replaced, as `pepper rotate` replaces the file."""

    def __init__(self, directory: SqlDirectory) -> None:
        self.directory = directory
        self.directory.sync_permissions(SERVED)
        self.clock = FakeClock()
        self.usage = FakeUsage()
        self.peppers = Peppers(1, {1: b"\x01" * 32})
        self.snapshots = DirectorySnapshots(self.directory, lambda: self.peppers)
        self.keys = Keys(self.directory, self.usage, self.clock, new_id, lambda: self.peppers)
        self.roles = Roles(self.directory, self.clock, new_id)
        self.units = BusinessUnits(self.directory, self.clock, new_id)
        self.permissions = Permissions(self.directory)
        self.tenants = Tenants(self.directory, self.clock, new_id, lambda: self.peppers)
        self.pepper_admin = PepperAdmin(self.directory, self.clock, new_id, lambda: self.peppers)

    def close(self) -> None:
        self.directory.close()

    def local(self, tenant_id: str = PLATFORM_TENANT_ID) -> Actor:
        with self.directory.read() as view:
            return local_actor(1000, tenant_id, new_id(), view.catalogue())

    def onboard(self, name: str = "Demo") -> Onboarded:
        return self.tenants.onboard(self.local(), name)

    def actor(self, key: CreatedKey, tenant_id: str) -> Actor:
        """Whoever calls with `key`. The use cases read from the directory what it may do."""
        principal = Principal(
            id=key.view.id, kind="api_key", tenant_id=tenant_id, key_id=key.view.id, roles=(), grants={}
        )
        return Actor(principal, new_id())

    def admin(self, onboarded: Onboarded) -> Actor:
        return self.actor(onboarded.api_key, onboarded.tenant.id)

    def role_id(self, actor: Actor, name: str) -> str:
        return next(role.id for role in self.roles.list(actor, 200).data if role.name == name)

    def role(self, actor: Actor, name: str, *permissions: str) -> RoleView:
        return self.roles.create(actor, RoleDraft(name=name, permissions=permissions))

    def key(self, actor: Actor, *role_ids: str, **limits: object) -> CreatedKey:
        """A key with these roles, made by `actor`."""
        wanted = msgspec.structs.replace(NewKey(name="some key"), **limits)
        created = self.keys.create(actor, wanted)
        if not role_ids:
            return created
        return CreatedKey(self.keys.set_roles(actor, created.view.id, role_ids), created.key)

    def changes(self) -> list[Change]:
        return self.directory.outbox()

    def last_change(self) -> Change:
        return self.changes()[-1]
