"""How long it takes to try a change of roles on recorded requests, and how much of that is reading the record."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import msgspec
from tests.support.vaults import vault_of

from hatchpay.access.catalogue import dump
from hatchpay.access.permission import Permission
from hatchpay.access.routes import Route
from hatchpay.admin.rehearsal_views import RolePermissions
from hatchpay.admin.views import Actor, NewKey, RoleDraft
from hatchpay.app.local import Local, open_local
from hatchpay.audit.record import Completion, Record
from hatchpay.clock import wall_us
from hatchpay.ids import PLATFORM_TENANT_ID, new_id
from hatchpay.settings import Settings
from hatchpay.store.directory import SqlDirectory
from hatchpay.store.ledger import Ledger
from hatchpay.store.replay import LedgerReplay

from .ledger import _record

KEYS = 100
ROUTES = 50
"""How many keys have called, and how many routes. One role lets them; without it half of the routes break."""

PERMISSIONS = [Permission(name=f"bench.things-{n}.read", description="Read") for n in range(ROUTES)]
TABLE = [
    Route(method="GET", template=f"/v1/things-{n}/{{id}}", permission=permission.name)
    for n, permission in enumerate(PERMISSIONS)
]


def report(requests: int = 100_000, rounds: int = 5) -> list[str]:
    """Lines of a Markdown table, medians and ranges of `rounds`."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder) / "var", routes=Path(folder) / "routes.toml")
        Path(folder, "routes.toml").write_text(dump(PERMISSIONS, TABLE))
        with open_local(settings) as local:
            actor, change = _prepared(local, settings, requests)
            whole = sorted(_rehearsed(local, actor, change, requests) for _ in range(rounds))
            read = sorted(_read(settings, actor, requests) for _ in range(rounds))
    took, reading = whole[rounds // 2], read[rounds // 2]
    return [
        "| recorded requests | seconds | requests /s | of it, only reading the record |",
        "|---|---|---|---|",
        f"| {requests:,} | {took:.2f} ({whole[0]:.2f}–{whole[-1]:.2f}) | {requests / took:,.0f} "
        f"| {reading:.2f} ({read[0]:.2f}–{read[-1]:.2f}) |",
    ]


def _prepared(local: Local, settings: Settings, requests: int) -> tuple[Actor, RolePermissions]:
    SqlDirectory(settings.data_dir / "directory.db").sync_permissions(PERMISSIONS)
    tenant = local.tenants.onboard(local.reader(PLATFORM_TENANT_ID), "Bench").tenant
    actor = local.reader(tenant.id)
    names = tuple(permission.name for permission in PERMISSIONS)
    role = local.roles.create(actor, RoleDraft(name="reader", permissions=names))
    keys = [local.keys.create(actor, NewKey(name=f"key {n}")).view.id for n in range(KEYS)]
    for key_id in keys:
        local.keys.set_roles(actor, key_id, (role.id,))
    ledger = Ledger(settings.data_dir / "ledger.db", "bench", vault_of(settings.data_dir))
    for start in range(0, requests, 1_000):
        ledger.write([Completion(_request(tenant.id, keys, n)) for n in range(start, start + 1_000)])
    ledger.close()
    return actor, RolePermissions(role.id, names[::2])


def _request(tenant_id: str, keys: list[str], number: int) -> Record:
    key_id, route = keys[number % KEYS], TABLE[number // KEYS % ROUTES]
    return msgspec.structs.replace(
        _record(),
        request_id=new_id(),
        tenant_id=tenant_id,
        principal_id=key_id,
        key_id=key_id,
        business_unit_id=None,
        roles=("reader",),
        rule="role:reader",
        method=route.method,
        route=route.template,
        permission=route.permission,
    )


def _rehearsed(local: Local, actor: Actor, change: RolePermissions, requests: int) -> float:
    began = time.perf_counter()
    rehearsal = local.rehearsals.prepare(actor, change)
    for _ in rehearsal.steps():
        pass
    result = rehearsal.result()
    took = time.perf_counter() - began
    assert (result.requests, result.denied.count) == (requests, requests // 2)
    return took


def _read(settings: Settings, actor: Actor, requests: int) -> float:
    began = time.perf_counter()
    span = (actor.principal.tenant_id, 0, wall_us())
    replay = LedgerReplay(settings.data_dir / "ledger.db", vault_of(settings.data_dir))
    assert replay.count(*span) == sum(map(len, replay.records(*span))) == requests
    return time.perf_counter() - began
