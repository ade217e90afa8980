"""Microseconds that each stage of the gate adds to a read, in one process, without network or disk."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from hatchpay.access.decision import decide
from hatchpay.access.routes import Route, RouteTable
from hatchpay.audit.record import Completion, Record
from hatchpay.audit.redact import BodyRedactor, redact_headers, redact_url
from hatchpay.clock import wall_us
from hatchpay.gate.addresses import Proxies
from hatchpay.gate.admission import Admission
from hatchpay.gate.allowance import Meter
from hatchpay.gate.request import RequestHead
from hatchpay.identity.authenticator import ApiKeyAuthenticator
from hatchpay.identity.buckets import buckets_of_key
from hatchpay.identity.ports import KeyEntry, SecretEntry, Snapshot
from hatchpay.identity.principal import Bucket, Principal, RateLimit
from hatchpay.ids import new_id
from hatchpay.store.counters import FileCounters
from hatchpay.tokens import apikey
from hatchpay.tokens.digest import Peppers

from .ledger import BODY, _record

TEMPLATE = "/v1/payment-proxy/transactions/{id}"
PERMISSION = "payment-proxy.transactions.read"


def report(rounds: int = 7, times: int = 20_000) -> list[str]:
    """Lines of a Markdown table, medians of `rounds`."""
    lines = ["| stage | µs (median, min–max) |", "|---|---|"]
    for name, stage in _stages().items():
        runs = [_time(stage, times) for _ in range(rounds)]
        lines.append(f"| {name} | {statistics.median(runs):.2f} ({min(runs):.2f}–{max(runs):.2f}) |")
    return lines


def _time(stage: Callable[[], Any], times: int) -> float:
    began = time.process_time()
    for _ in range(times):
        stage()
    return (time.process_time() - began) / times * 1e6


def _stages() -> dict[str, Callable[[], Any]]:
    key = apikey.issue(new_id(), "live")
    peppers = Peppers(1, {1: bytes(32)})
    principal = Principal(key.id, "api_key", new_id(), key.id, ("viewer",), {PERMISSION: "role:viewer"})
    secret = SecretEntry(1, peppers.digest(key.text), 1, None)
    snapshot = Snapshot(1, {key.locator: KeyEntry(principal, "enabled", (secret,))}, peppers)
    authenticator = ApiKeyAuthenticator(lambda: snapshot, wall_us, lambda *_: None)
    table = RouteTable(
        [Route(method="GET", template=TEMPLATE, permission=PERMISSION)]
        + [Route(method="GET", template=f"/v1/service-{n}/{{id}}/items", permission=PERMISSION) for n in range(1_000)]
    )
    path = TEMPLATE.replace("{id}", new_id())
    headers = [
        (b"host", b"127.0.0.1:8400"),
        (b"user-agent", b"bench/1"),
        (b"accept", b"*/*"),
        (b"x-api-key", key.text.encode()),
    ]
    scope = {
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": headers,
        "client": ("127.0.0.1", 50_000),
    }
    head = RequestHead(scope)
    admission = Admission([authenticator], table, Proxies(()))
    limits = (RateLimit(1_000_000_000, 60), RateLimit(1_000_000_000, 86_400))
    buckets = buckets_of_key(principal.tenant_id, key.id, limits, ())
    counted = {count: _counted(snapshot, key.locator, table, buckets[:count]) for count in (1, 2)}
    match = table.match("GET", path)
    record: Record = _record()
    encode = msgspec.msgpack.Encoder().encode

    def body() -> Any:
        redactor = BodyRedactor("application/json", bytes(32))
        redactor.feed(BODY)
        return redactor.finish()

    return {
        "request id": new_id,
        "read the head": lambda: RequestHead(scope),
        "check head and path": head.check,
        "authenticate, first time (checksum and HMAC)": lambda: (
            apikey.parse(key.text),
            peppers.verify(key.text, secret.digest, 1),
        ),
        "authenticate, repeated": lambda: authenticator.authenticate(key.text),
        "match the route among 1,001": lambda: table.match("GET", path),
        "decide": lambda: decide(principal, match),
        "all of admission": lambda: admission.judge(head),
        "all of admission, counted by one limit": lambda: counted[1].judge(head),
        "all of admission, counted by two limits": lambda: counted[2].judge(head),
        "redact URL": lambda: redact_url(path.encode(), b""),
        "redact headers": lambda: redact_headers(headers),
        "redact a JSON body of 330 bytes": body,
        "encode the record": lambda: encode(Completion(record)),
    }


def _counted(snapshot: Snapshot, locator: str, table: RouteTable, buckets: tuple[Bucket, ...]) -> Admission:
    """As without limits, for the same key with these buckets."""
    entry = snapshot.keys[locator]
    limited = msgspec.structs.replace(entry, principal=msgspec.structs.replace(entry.principal, buckets=buckets))
    known = msgspec.structs.replace(snapshot, keys={locator: limited})
    authenticator = ApiKeyAuthenticator(lambda: known, wall_us, lambda *_: None)
    meter = Meter(FileCounters(Path(tempfile.mkdtemp(), "limits")))
    return Admission([authenticator], table, Proxies(()), meter=meter)
