"""A control API on a real directory and ledger, behind a stand-in for the gate."""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
import msgspec
from tests.support.vaults import vault_beside

from hatchpay.access.replay import Standing
from hatchpay.access.routes import RouteTable
from hatchpay.admin.advice import Advice
from hatchpay.admin.business_units import BusinessUnits
from hatchpay.admin.erasures import Erasures
from hatchpay.admin.explain import Explanations
from hatchpay.admin.export_access import ExportAccess
from hatchpay.admin.issuers import Issuers
from hatchpay.admin.keys import Keys
from hatchpay.admin.local import local_actor
from hatchpay.admin.others_tokens import OthersTokens
from hatchpay.admin.permissions import Permissions
from hatchpay.admin.policies import Policies
from hatchpay.admin.rehearse import Rehearsals
from hatchpay.admin.roles import Roles
from hatchpay.admin.signing_keys import Signer
from hatchpay.admin.streams import StreamParts, Streams
from hatchpay.admin.tenants import Tenants
from hatchpay.admin.tokens import Tokens
from hatchpay.audit.export.run import Exporter
from hatchpay.audit.record import Change, Completion, Record
from hatchpay.audit.subject import subject_digest
from hatchpay.clock import wall_us
from hatchpay.control.app import Services, create_control_app
from hatchpay.control.published import PublishedKeys
from hatchpay.control.routes import CONTROL_ROUTES
from hatchpay.gate.reading import GateReading
from hatchpay.identity.authenticator import ApiKeyAuthenticator, Authenticated, Invalid
from hatchpay.identity.ports import Snapshot, Trust
from hatchpay.identity.principal import Principal
from hatchpay.identity.tokens import TokenAuthenticator
from hatchpay.ids import PLATFORM_TENANT_ID, new_id
from hatchpay.store.directory import SqlDirectory
from hatchpay.store.erasure import LedgerErasure
from hatchpay.store.export_walk import LedgerWalk
from hatchpay.store.exports import ExportRegister
from hatchpay.store.feed import LedgerFeed
from hatchpay.store.guarded_http import GuardedHttp
from hatchpay.store.issuer_documents import IssuerDocuments
from hatchpay.store.ledger import Ledger, LedgerReader, create_ledger
from hatchpay.store.log_keys import LogKeys
from hatchpay.store.receipts import LogReceipts
from hatchpay.store.replay import LedgerReplay
from hatchpay.store.sealer import Sealer
from hatchpay.store.seals import SealStore
from hatchpay.store.snapshots import DirectorySnapshots
from hatchpay.store.stream_addresses import StreamAddresses
from hatchpay.store.stream_couriers import StreamCouriers
from hatchpay.store.stream_health import StreamHealths
from hatchpay.store.stream_states import SqlStreamStates
from hatchpay.tokens import apikey
from hatchpay.tokens.digest import Peppers

KEYS = "/v1/api-key/keys"
UNITS = "/v1/business-unit/business-units"
TENANTS = "/v1/tenants"
HISTORY = "/v1/audit-log/history"

URL = "https://auth.test"
"""Where it serves, as far as it knows."""

_PEPPERS = Peppers(1, {1: b"p" * 32})
_KEK = b"k" * 32


@dataclass(frozen=True)
class Admitted:
    """What the gate puts into the scope."""

    request_id: str
    principal: Principal | None
    refused: Callable[[str, bool], None] = lambda reason, denied: None
    client_ip: str | None = "127.0.0.1"
    identified: Callable[[Authenticated | Invalid], None] = lambda outcome: None


@dataclass(frozen=True)
class Tenant:
    """An onboarded tenant: its id, its first admin key's id, and its roles' ids by name."""

    id: str
    admin: str
    roles: dict[str, str]


class World:
    def __init__(self, folder: Path) -> None:
        self.directory = SqlDirectory(folder / "directory.db")
        self._ledger_path = folder / "audit.db"
        vault = vault_beside(self._ledger_path)
        create_ledger(self._ledger_path)
        self.ledger = Ledger(self._ledger_path, "test", vault)
        self.seals = SealStore(folder / "seals.db")
        self.seals.create()
        keys = LogKeys(folder / "secrets", lambda: bool(self.seals.logs()))
        self.sealer = Sealer(self._ledger_path, self.seals, folder / "logs", keys, "log.example", wall_us)
        self.changes = 0
        reader = LedgerReader(self._ledger_path, vault)
        self.tenants = Tenants(self.directory, wall_us, new_id, lambda: _PEPPERS)
        self.snapshots = DirectorySnapshots(self.directory, lambda: _PEPPERS)
        feed = LedgerFeed(self._ledger_path, vault, self.seals)
        self.exports = ExportRegister(folder / "exports.db", feed, wall_us)
        documents = IssuerDocuments(GuardedHttp(insecure=True))
        self.app = create_control_app(
            Services(
                keys=Keys(self.directory, reader, wall_us, new_id, lambda: _PEPPERS),
                roles=Roles(self.directory, wall_us, new_id),
                permissions=Permissions(self.directory),
                explanations=Explanations(
                    self.directory,
                    self._snapshot,
                    lambda: self.snapshots.rules,
                    RouteTable(CONTROL_ROUTES),
                    GateReading(),
                    reader,
                    wall_us,
                ),
                policies=Policies(self.directory, wall_us, new_id),
                units=BusinessUnits(self.directory, wall_us, new_id),
                tenants=self.tenants,
                advice=Advice(
                    self.directory,
                    LedgerReplay(self._ledger_path, vault),
                    reader,
                    wall_us,
                    new_id,
                ),
                issuers=Issuers(
                    self.directory, wall_us, new_id, documents.keys, lambda: self._trust().urls, insecure=True
                ),
                tokens=Tokens(
                    self.directory, Signer(self._trust, wall_us, lambda: _KEK), wall_us, new_id, lambda: URL, 900
                ),
                others_tokens=OthersTokens(self._snapshot, lambda: self.snapshots.rules, wall_us),
                key_authenticator=ApiKeyAuthenticator(self._snapshot, wall_us, lambda *_: None),
                token_authenticator=TokenAuthenticator(self._snapshot, wall_us, lambda _: None, keep_s=86_400),
                published=PublishedKeys(self._trust, wall_us, URL),
                history=reader,
                erasures=Erasures(
                    self.directory,
                    LedgerErasure(self._ledger_path, vault),
                    lambda tenant_id, subject: subject_digest(bytes(32), tenant_id, subject),
                    wall_us,
                    new_id,
                ),
                receipts=LogReceipts(self._ledger_path, vault, self.seals, folder / "logs"),
                rehearsals=Rehearsals(
                    self.directory,
                    LedgerReplay(self._ledger_path, vault),
                    lambda: Standing(self.snapshots.current, self.snapshots.rules),
                    RouteTable(CONTROL_ROUTES),
                    wall_us,
                ),
                exporter=Exporter(
                    LedgerWalk(self._ledger_path, feed), self.exports, wall_us, new_id, version("hatchpay")
                ),
                export_access=ExportAccess(self.directory, self.exports, wall_us),
                streams=Streams(self.directory, wall_us, new_id, self._stream_parts(folder)),
                changed=self._changed,
            )
        )
        platform = local_actor(0, PLATFORM_TENANT_ID, new_id(), self.snapshots.catalogue)
        self.operator = self.tenants.operator_key(platform).view.id
        self.snapshots.refresh()

    def onboard(self, name: str) -> Tenant:
        answer = self.call("POST", TENANTS, key=self.operator, json={"name": name})
        assert answer.status_code == 201, answer.text
        tenant, key = answer.json()["tenant"], answer.json()["api_key"]
        roles = self.call("GET", "/roles", key=key["id"]).json()["data"]
        return Tenant(tenant["id"], key["id"], {role["name"]: role["id"] for role in roles})

    def create(self, tenant: Tenant, *roles: str, **fields: Any) -> str:
        """A key that holds these roles; its id."""
        body = {"name": "Till", **fields}
        key_id = str(self.call("POST", KEYS, key=tenant.admin, json=body).json()["id"])
        if roles:
            self.set_roles(tenant, key_id, *roles)
        return key_id

    def set_roles(self, tenant: Tenant, key_id: str, *roles: str) -> None:
        ids = [tenant.roles[name] for name in roles]
        answer = self.call("PUT", f"{KEYS}/{key_id}/roles", key=tenant.admin, json={"role_ids": ids})
        assert answer.status_code == 200, answer.text

    def principal(self, key_id: str) -> Principal:
        return self.snapshots.current.keys[apikey.encode_id(key_id)].principal

    def call(self, method: str, path: str, *, key: str | None, **more: Any) -> httpx.Response:
        """One request of the key `key`, as the gate would hand it on."""
        return self.late_call(method, path, None if key is None else self.principal(key), **more)

    def late_call(self, method: str, path: str, principal: Principal | None, **more: Any) -> httpx.Response:
        """One request of a caller whom the gate may have let in a while ago."""
        return call(self.app, method, path, Admitted(new_id(), principal), **more)

    def record(self, tenant_id: str, **fields: Any) -> str:
        """Put one completed request into the ledger; its id."""
        values: dict[str, Any] = {
            "method": "GET",
            "url": "/roles",
            "started_us": wall_us(),
            "state": "completed",
        }
        record = Record(tenant_id=tenant_id, **({"request_id": new_id()} | values | fields))
        self.ledger.write([Completion(record)])
        return record.request_id

    def requests_that_changed(self, subject_id: str) -> list[str]:
        """The ids of the requests whose changes to `subject_id` the ledger holds."""
        with closing(sqlite3.connect(self._ledger_path)) as db:
            rows = db.execute("SELECT change FROM changes ORDER BY id").fetchall()
        changes = [msgspec.msgpack.decode(row[0], type=Change) for row in rows]
        return [change.request_id for change in changes if change.subject_id == subject_id]

    def lose_the_ledger(self) -> None:
        self.ledger.close()
        self._ledger_path.unlink()

    def state(self) -> list[str]:
        """All that the directory holds, as text."""
        with self.directory.connection() as connection:
            driver = connection.connection.driver_connection
            assert driver is not None
            return list(driver.iterdump())

    def close(self) -> None:
        self.directory.close()
        self.ledger.close()

    def _stream_parts(self, folder: Path) -> StreamParts:
        feed = LedgerFeed(self._ledger_path, vault_beside(self._ledger_path))
        addresses = StreamAddresses(insecure=True)
        return StreamParts(
            newest=feed.newest,
            healths=StreamHealths(SqlStreamStates(folder / "streams.db"), feed, wall_us),
            check_host=addresses.check,
            send=StreamCouriers(addresses, lambda: _KEK, wall_us, insecure=True, attempt_s=2.0).send,
            kek=lambda: _KEK,
            random=secrets.token_bytes,
            insecure=True,
        )

    def _snapshot(self) -> Snapshot:
        return self.snapshots.current

    def _trust(self) -> Trust:
        return self._snapshot().trust

    async def _changed(self) -> None:
        self.changes += 1
        self.snapshots.refresh()
        outbox = self.directory.outbox()
        self.ledger.write(outbox)
        self.directory.outbox_done(change.id for change in outbox)


def call(app: Any, method: str, path: str, admitted: object = None, **more: Any) -> httpx.Response:
    """One request to `app`, with `admitted` in its scope where it is not None."""

    async def behind_the_gate(scope: Any, receive: Any, send: Any) -> None:
        if admitted is not None:
            scope["hatchpay"] = admitted
        await app(scope, receive, send)

    async def request() -> httpx.Response:
        transport = httpx.ASGITransport(behind_the_gate)
        async with httpx.AsyncClient(transport=transport, base_url="http://control") as client:
            return await client.request(method, path, **more)

    return asyncio.run(request())


def problem_of(response: httpx.Response) -> tuple[int, str, str | None]:
    """Status, code and field of a refusal, which must have the one shape."""
    assert response.headers["content-type"] == "application/problem+json"
    body = msgspec.json.decode(response.content)
    assert {"type", "title", "status", "detail", "code", "request_id"} <= set(body)
    assert set(body) <= {
        "type",
        "title",
        "status",
        "detail",
        "code",
        "request_id",
        "field",
        "permission",
        "line",
        "column",
    }
    assert body["status"] == response.status_code
    assert body["type"] == f"urn:hatchpay:problem:{body['code']}"
    return body["status"], body["code"], body.get("field")
