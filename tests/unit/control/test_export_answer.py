"""An export leaves as fast as its client takes it, ends with its client, and never looks whole when it is not."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Generator
from typing import Any, cast

import pytest

from hatchpay.audit.export.ports import Format
from hatchpay.audit.export.run import Export, Order, Part
from hatchpay.audit.ports import HistoryFilter
from hatchpay.control.caller import HEAD_KEY
from hatchpay.control.export_answer import ExportAnswer, ExportSlots
from hatchpay.errors import AuditUnavailable, Forbidden, HatchPayError, RateLimited, Unavailable

PATIENCE_S = 10


class Source:
    """Stands in for an export of `count` parts of one byte each."""

    media_type = "text/csv; charset=utf-8; header=present"
    id, after, upto = "the-export", 3, 9

    def __init__(
        self, count: int = 3, failure: Exception | None = None, wanted: Format = "csv", tenant: str = "t"
    ) -> None:
        everything = HistoryFilter(tenant_id=tenant)
        self.order = Order(wanted=everything, format=wanted, request_id="r", principal_id="p")
        self.count = count
        self.failure = failure
        self.taken = 0
        self.closed = threading.Event()
        self.threads: set[int] = set()

    def parts(self) -> Generator[Part, None, None]:
        try:
            for number in range(self.count):
                self.threads.add(threading.get_ident())
                self.taken += 1
                yield Part(b"x" if number % 2 == 0 else b"", number, number)
            if self.failure is not None:
                raise self.failure
        finally:
            self.closed.set()


class Client:
    def __init__(self) -> None:
        self.hangs_up = asyncio.Event()
        self.takes = asyncio.Event()
        self.takes.set()
        self.messages: list[Any] = []
        self.refusals: list[tuple[str, bool]] = []
        self.scope: Any = {"type": "http", "hatchpay": self}

    request_id = "the-request"

    def refused(self, reason: str, denied: bool) -> None:
        self.refusals.append((reason, denied))

    async def receive(self) -> Any:
        await self.hangs_up.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        await self.takes.wait()
        self.messages.append(message)

    @property
    def is_whole(self) -> bool:
        return bool(self.messages) and self.messages[-1].get("more_body") is False

    @property
    def body(self) -> bytes:
        return b"".join(message["body"] for message in self.messages if message["type"] == "http.response.body")


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(main(), PATIENCE_S)

    asyncio.run(bounded())


async def answer(client: Client, source: Source, slots: ExportSlots | None = None, **more: Any) -> None:
    more = {"demand": lambda: None} | more
    await ExportAnswer(cast(Export, source), slots or ExportSlots(), **more)(client.scope, client.receive, client.send)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.005)


def test_it_says_what_it_is_and_is_read_beside_the_event_loop() -> None:
    async def main() -> None:
        client, source = Client(), Source()
        await answer(client, source)
        assert client.messages[0]["status"] == 200
        assert dict(client.messages[0]["headers"]) == {
            b"content-type": b"text/csv; charset=utf-8; header=present",
            b"content-disposition": b'attachment; filename="hatchpay-audit-9.csv"',
            b"hatchpay-export-id": b"the-export",
            b"hatchpay-export-after": b"3",
            b"hatchpay-export-upto": b"9",
        }
        assert (client.body, client.is_whole) == (b"xx", True)
        assert threading.get_ident() not in source.threads
        assert source.closed.is_set()

    run(main)


@pytest.mark.parametrize(
    ("wanted", "name"),
    [("jsonl", "9.jsonl"), ("parquet", "9.parquet"), ("ocsf", "9.ocsf.jsonl")],
)
def test_a_file_has_the_name_of_its_format(wanted: Format, name: str) -> None:
    made = ExportAnswer(cast(Export, Source(wanted=wanted)), ExportSlots(), lambda: None)
    assert made.headers["content-disposition"] == f'attachment; filename="hatchpay-audit-{name}"'


def test_no_part_is_read_before_the_one_before_it_was_taken() -> None:
    async def main() -> None:
        client, source = Client(), Source(count=1_000)
        client.takes.clear()
        running = asyncio.create_task(answer(client, source))
        await until(lambda: source.taken == 1)
        await asyncio.sleep(0.05)
        assert source.taken == 1
        client.takes.set()
        await running
        assert client.is_whole and len(client.body) == 500

    run(main)


def test_a_client_that_hangs_up_ends_it_and_frees_its_place() -> None:
    async def main() -> None:
        client, source, slots = Client(), Source(count=10**9), ExportSlots(per_tenant=1)
        running = asyncio.create_task(answer(client, source, slots))
        await until(lambda: source.taken > 5)
        client.hangs_up.set()
        await running
        assert source.closed.is_set() and not client.is_whole
        await answer(again := Client(), Source(), slots)
        assert again.is_whole

    run(main)


def test_a_client_that_takes_nothing_is_waited_for_only_so_long() -> None:
    async def main() -> None:
        client, source = Client(), Source()
        client.takes.clear()
        with pytest.raises(Unavailable) as caught:
            await answer(client, source, patience_s=0.05)
        assert caught.value.code == "client_too_slow"
        assert source.closed.is_set() and not client.is_whole

    run(main)


def test_whoever_loses_the_right_to_it_loses_the_rest_of_it() -> None:
    async def main() -> None:
        client, source = Client(), Source(count=10**9)
        allowed = 3

        def demand() -> None:
            nonlocal allowed
            allowed -= 1
            if not allowed:
                raise Forbidden("not any more")

        with pytest.raises(Forbidden):
            await answer(client, source, demand=demand, demand_every_s=0)
        assert source.taken == 3 and not client.is_whole
        assert client.refusals == [("permission_missing", True)]

    run(main)


def test_what_fails_before_the_first_byte_is_answered_and_later_cut_off() -> None:
    async def main() -> None:
        for count, begun in ((0, False), (3, True)):
            client = Client()
            with pytest.raises(AuditUnavailable):
                await answer(client, Source(count, AuditUnavailable("gone")))
            assert bool(client.messages) == begun and not client.is_whole
            # Who answers the first tells the record by itself.
            assert bool(client.refusals) == begun

    run(main)


def test_of_a_head_nothing_is_read() -> None:
    async def main() -> None:
        client, source = Client(), Source()
        client.scope[HEAD_KEY] = True
        await answer(client, source)
        assert source.taken == 0 and client.is_whole and client.body == b""

    run(main)


def test_so_many_run_at_a_time_of_one_tenant_and_in_all() -> None:
    slots = ExportSlots(per_tenant=2, in_all=3)
    with slots.taken("a"), slots.taken("a"):
        for tenant in ("a", "a"):
            with pytest.raises(RateLimited) as caught, slots.taken(tenant):
                pass
        assert (caught.value.code, caught.value.status, caught.value.retry_after_s) == ("too_many_exports", 429, 5)
        with slots.taken("b"):
            with pytest.raises(HatchPayError), slots.taken("c"):
                pass
        with slots.taken("c"):
            pass
    with slots.taken("a"), slots.taken("a"), slots.taken("b"):
        pass
