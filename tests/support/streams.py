"""Streams of a directory and a ledger of their own, shipped to real receivers, by a clock that tests move."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from tests.support.directory import START, World, fresh_directory
from tests.support.vaults import vault_beside

from hatchpay.audit.ports import Kept
from hatchpay.audit.record import Change, Completion, Record
from hatchpay.audit.stream.pace import Pace
from hatchpay.audit.stream.ports import StreamState
from hatchpay.audit.stream.row import StreamRow, StreamSecret, seal_headers, seal_secret
from hatchpay.audit.stream.shipper import Shipper
from hatchpay.ids import new_id
from hatchpay.store.feed import LedgerFeed
from hatchpay.store.ledger import Ledger, create_ledger
from hatchpay.store.stream_addresses import StreamAddresses
from hatchpay.store.stream_couriers import StreamCouriers
from hatchpay.store.stream_source import DirectoryStreams
from hatchpay.store.stream_states import SqlStreamStates

__all__ = ["KEK", "SECRET", "StreamWorld", "kept", "record"]

KEK = b"\x07" * 32
SECRET = b"\x09" * 32
"""Of every webhook that `StreamWorld.stream` makes."""

PACE = Pace()


def record(**fields: Any) -> Record:
    """A completed request, without what is given otherwise."""
    values: dict[str, Any] = {
        "request_id": new_id(),
        "tenant_id": "019ab3c3-ffe0-7a10-8b2c-4d5e6f708192",
        "method": "GET",
        "url": "/v1/payment-proxy/transactions",
        "started_us": START,
        "decision": "allow",
        "reason": "role_grants",
        "permission": "payment-proxy.transactions.read",
        "route": "/v1/payment-proxy/transactions",
        "status": 200,
        "state": "completed",
    }
    return Record(**(values | fields))


def kept(seq: int = 1, changes: list[str] | None = None, **fields: Any) -> Kept:
    shown: list[dict[str, object]] = [{"event": event, "detail": msgspec.Raw(b"{}")} for event in changes or []]
    return Kept(seq=seq, record=record(**fields), changes=shown)


class StreamWorld:
    """`step` ships all that there is; `clock` is World's. A try may take half a second."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.world = World(fresh_directory())
        self.clock = self.world.clock
        self.directory = self.world.directory
        path = folder / "ledger.db"
        vault = vault_beside(path)
        create_ledger(path)
        self.ledger = Ledger(path, "test", vault)
        self.feed = LedgerFeed(path, vault)
        self.states = SqlStreamStates(folder / "streams.db")
        self.tenant_id = self.world.onboard("Demo").tenant.id
        self.gone: list[str] = []
        self.resolve_to: list[Any] | None = None
        self.random = 0.5

    def stream(self, kind: Any, url: str, *, headers: dict[str, str] | None = None, **fields: Any) -> StreamRow:
        made = StreamRow(
            id=new_id(),
            tenant_id=self.tenant_id,
            name=new_id(),
            kind=kind,
            destination_url=url,
            start_seq=0,
            created_us=START,
            updated_us=START,
        )
        if kind == "webhook":
            sealed = seal_secret(SECRET, KEK, b"n" * 12, made.id, 1)
            made = msgspec.structs.replace(made, secrets=(StreamSecret(version=1, sealed=sealed, created_us=START),))
        if headers:
            origin = url.replace("tls:", "https:").split("/in")[0]
            sealed = seal_headers(headers, KEK, b"n" * 12, made.id, origin)
            made = msgspec.structs.replace(made, header_names=tuple(headers), sealed_headers=sealed)
        row = msgspec.structs.replace(made, **fields)
        with self.directory.transaction() as transaction:
            transaction.add_stream(row)
        return row

    def write(self, count: int = 1, **fields: Any) -> list[str]:
        """Records of the tenant; their ids."""
        made = [record(**({"tenant_id": self.tenant_id} | fields)) for _ in range(count)]
        self.ledger.write([Completion(one) for one in made])
        return [one.request_id for one in made]

    def change(self, request_id: str, event: str) -> None:
        self.ledger.write([Change(new_id(), request_id, self.tenant_id, START, "x", event, "y", b"{}")])

    def couriers(self, *, insecure: bool = True, **more: Any) -> StreamCouriers:
        resolve = {} if self.resolve_to is None else {"resolve": lambda _: self.resolve_to}
        addresses = StreamAddresses(insecure=insecure, **resolve)
        return StreamCouriers(
            addresses, lambda: KEK, self.clock, insecure=insecure, **({"attempt_s": 0.5, "connect_s": 0.3} | more)
        )

    def shipper(self, pace: Pace = PACE, **more: Any) -> Shipper:
        return Shipper(
            self.feed,
            DirectoryStreams(self.directory),
            self.states,
            self.couriers(**more).courier_for,
            lambda row: self.gone.append(row.id),
            self.clock,
            hostname="gate.test",
            pace=pace,
            random=lambda: self.random,
        )

    def state(self, row: StreamRow) -> StreamState:
        return self.states.load()[row.id]

    def close(self) -> None:
        self.states.close()
        self.ledger.close()
        self.world.close()
