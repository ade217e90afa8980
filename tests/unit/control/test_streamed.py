"""Answers that take their time tell how far they are, end early for nobody, and never look whole when they are not."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import msgspec
import pytest
from anyio import CapacityLimiter

from hatchpay.control.streamed import StreamedAnswer
from hatchpay.errors import AuditUnavailable, HatchPayError, Unavailable

PATIENCE_S = 10
EVERY_S = 0.02


class Result(msgspec.Struct, frozen=True):
    sum: int


class Work:
    """Three steps. `hold` keeps the second from being taken, `failure` is raised in its place."""

    def __init__(self, *, hold: bool = False, failure: Exception | None = None) -> None:
        self.may_go_on = threading.Event()
        self.held, self.over = threading.Event(), threading.Event()
        if not hold:
            self.may_go_on.set()
        self.failure = failure
        self.done, self.total = 0, 3
        self.thread: int | None = None

    def steps(self) -> Iterator[None]:
        self.thread = threading.get_ident()
        try:
            for number in range(self.total):
                if number == 1:
                    self.held.set()
                    # A step always ends: whoever drives it may stop between two.
                    for _ in range(round(PATIENCE_S / EVERY_S)):
                        if self.may_go_on.wait(EVERY_S):
                            break
                        yield
                    if self.failure is not None:
                        raise self.failure
                self.done = number + 1
                yield
        finally:
            self.over.set()

    def result(self) -> Result:
        return Result(6)


class Client:
    """Takes what is sent. `hangs_up` ends the connection; `on_line` is called with each line."""

    def __init__(self, on_line: Callable[[dict[str, Any]], None] = lambda _: None) -> None:
        self.hangs_up = asyncio.Event()
        self.messages: list[Any] = []
        self.refusals: list[tuple[str, bool]] = []
        self._on_line = on_line
        self.scope: Any = {"type": "http", "hatchpay": self}

    request_id = "the-request"

    def refused(self, reason: str, denied: bool) -> None:
        self.refusals.append((reason, denied))

    async def receive(self) -> Any:
        await self.hangs_up.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.messages.append(message)
        if message["type"] == "http.response.body":
            self._on_line(msgspec.json.decode(message["body"]))

    @property
    def lines(self) -> list[Any]:
        start, *bodies = self.messages
        assert start["type"] == "http.response.start" and start["status"] == 200
        assert dict(start["headers"]) == {b"content-type": b"application/x-ndjson"}
        return [msgspec.json.decode(body["body"]) for body in bodies]


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(main(), PATIENCE_S)

    asyncio.run(bounded())


async def answer(client: Client, work: Work, every_s: float = EVERY_S, limiter: CapacityLimiter | None = None) -> None:
    await StreamedAnswer(work, limiter or CapacityLimiter(1), every_s)(client.scope, client.receive, client.send)


def test_what_is_done_at_once_is_one_line_of_json_and_was_worked_on_beside_the_event_loop() -> None:
    async def main() -> None:
        client, work = Client(), Work()
        await answer(client, work, every_s=PATIENCE_S)
        assert client.lines == [{"sum": 6}]
        assert client.messages[-1]["body"].endswith(b"\n") and not client.messages[-1]["more_body"]
        assert work.thread not in {None, threading.get_ident()}

    run(main)


def test_what_takes_longer_tells_how_far_it_is_before_it_is_done() -> None:
    async def main() -> None:
        work = Work(hold=True)
        client = Client(lambda _: work.may_go_on.set())
        await answer(client, work)
        *before, last = client.lines
        assert before[0] == {"progress": {"done": 1, "total": 3}}
        assert all(line.keys() == {"progress"} for line in before)
        assert last == {"sum": 6}
        assert [message["more_body"] for message in client.messages[1:]] == [True] * len(before) + [False]
        assert client.refusals == []

    run(main)


def test_an_error_before_the_first_line_is_raised_as_it_is() -> None:
    async def main() -> None:
        client = Client()
        with pytest.raises(AuditUnavailable, match="gone"):
            await answer(client, Work(failure=AuditUnavailable("the ledger is gone")), every_s=PATIENCE_S)
        assert client.messages == []

    run(main)


@pytest.mark.parametrize(
    ("failure", "code", "detail"),
    [
        (AuditUnavailable("the ledger at /srv is gone"), "audit_unavailable", "a part of the service is out of order"),
        (Unavailable("not now"), "unavailable", "not now"),
        (ValueError("4111111111111111"), "internal_error", "something went wrong on our side"),
    ],
)
def test_an_error_after_it_is_the_last_line_and_on_the_record_and_looks_like_no_result(
    failure: Exception, code: str, detail: str
) -> None:
    async def main() -> None:
        work = Work(hold=True, failure=failure)
        client = Client(lambda _: work.may_go_on.set())
        await answer(client, work)
        *_, last = client.lines
        assert last.keys() == {"error"}
        assert (last["error"]["code"], last["error"]["detail"]) == (code, detail)
        assert last["error"]["request_id"] == "the-request"
        assert client.refusals == [(code, False)]

    run(main)


@pytest.mark.parametrize("every_s", [EVERY_S, PATIENCE_S], ids=["after a line", "before any"])
def test_a_client_who_hangs_up_ends_the_work_and_is_sent_nothing_more(every_s: float) -> None:
    async def main() -> None:
        work, client = Work(hold=True), Client()
        answering = asyncio.create_task(answer(client, work, every_s))
        await asyncio.to_thread(work.held.wait, PATIENCE_S)
        client.hangs_up.set()
        await answering
        assert work.over.is_set() and work.done == 1
        assert all(message.get("more_body", True) for message in client.messages)

    run(main)


def test_a_server_that_gives_the_request_up_ends_the_work() -> None:
    async def main() -> None:
        work, client = Work(hold=True), Client()
        answering = asyncio.create_task(answer(client, work))
        await asyncio.to_thread(work.held.wait, PATIENCE_S)
        answering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await answering
        assert work.over.is_set() and work.done == 1

    run(main)


def test_no_more_are_worked_on_at_a_time_than_the_limiter_lets_and_who_waits_may_leave() -> None:
    async def main() -> None:
        limiter = CapacityLimiter(1)
        first, second, third = Work(hold=True), Work(), Work()
        clients = [Client() for _ in range(3)]
        tasks = [
            asyncio.create_task(answer(client, work, EVERY_S, limiter))
            for client, work in zip(clients, (first, second, third), strict=True)
        ]
        await asyncio.to_thread(first.held.wait, PATIENCE_S)
        clients[2].hangs_up.set()
        await tasks[2]
        assert (second.thread, third.thread) == (None, None)
        first.may_go_on.set()
        await asyncio.gather(*tasks[:2])
        assert [client.lines[-1] for client in clients[:2]] == [{"sum": 6}] * 2
        assert third.thread is None

    run(main)


def test_what_cannot_be_sent_is_raised_as_it_is() -> None:
    async def main() -> None:
        work, client = Work(hold=True), Client()

        async def send(message: Any) -> None:
            raise HatchPayError("cut off", code="response_aborted")

        client.send = send  # type: ignore[method-assign]
        with pytest.raises(HatchPayError, match="cut off"):
            await answer(client, work)
        assert work.over.is_set()

    run(main)
