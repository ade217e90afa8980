"""A request's body on its way in: passed on as it comes, limited, and redacted for the record."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from hatchpay.gate.body import READ_AHEAD, Intake
from hatchpay.gate.problems import Message
from hatchpay.gate.request import RequestHead

CARD = "4111111111111111"
MIB = 1024 * 1024


def chunk(body: bytes, more: bool = False) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


GONE: Message = {"type": "http.disconnect"}


class Server:
    """Gives the messages one by one; asking for more than there are is a mistake."""

    def __init__(self, *messages: Message) -> None:
        self.left = list(messages)

    async def receive(self) -> Message:
        return self.left.pop(0)


def intake(server: Server, length: int | None = None, content_type: bytes = b"application/json") -> Intake:
    """`length` None: the body comes in chunks of unknown number."""
    said = (b"transfer-encoding", b"chunked") if length is None else (b"content-length", str(length).encode())
    head = RequestHead(
        {
            "method": "POST",
            "path": "/x",
            "raw_path": b"/x",
            "headers": [(b"content-type", content_type), said],
        }
    )
    head.check()
    return Intake(server.receive, head, b"k" * 32)


def receive(taken: Intake, times: int) -> list[Message]:
    async def ask() -> list[Message]:
        return [await taken.receive() for _ in range(times)]

    return asyncio.run(ask())


def read_ahead(taken: Intake, whole: bool = False) -> None:
    asyncio.run(taken.read_ahead(whole=whole))


def test_the_application_gets_the_messages_as_they_came() -> None:
    messages = [chunk(b"a", True), chunk(b"", True), chunk(b"bc"), GONE]
    taken = intake(Server(*messages))
    assert receive(taken, 4) == messages
    assert (taken.size, taken.refusal, taken.disconnected) == (3, None, True)


def test_nothing_is_read_before_the_application_asks() -> None:
    server = Server(chunk(b"{}"))
    taken = intake(server, READ_AHEAD + 1)
    read_ahead(taken)
    assert len(server.left) == 1
    assert taken.redacted(final=True) is None


def test_a_small_body_is_read_before_and_given_to_the_application_unchanged() -> None:
    messages = [chunk(b'{"a"', True), chunk(b": 1}")]
    server = Server(*messages)
    taken = intake(server, 8)
    read_ahead(taken)
    assert server.left == []
    assert taken.ahead() == b'{"a": 1}'
    assert receive(taken, 2) == messages


@pytest.mark.parametrize(
    ("length", "is_read"), [(READ_AHEAD, True), (READ_AHEAD + 1, False), (None, False), (0, False)]
)
def test_only_a_body_that_is_declared_to_be_small_is_read_before(length: int | None, is_read: bool) -> None:
    server = Server(chunk(b"x"))
    read_ahead(intake(server, length))
    assert (server.left == []) is is_read


@pytest.mark.parametrize("length", [None, READ_AHEAD + 1])
def test_where_the_body_decides_all_of_it_is_read_before(length: int | None) -> None:
    taken = intake(Server(chunk(b"a", True), chunk(b"b", True), chunk(b"c")), length)
    read_ahead(taken, whole=True)
    assert taken.ahead() == b"abc"


def test_after_the_body_the_application_learns_when_the_client_goes() -> None:
    taken = intake(Server(chunk(b"a"), GONE), 1)
    read_ahead(taken)
    assert receive(taken, 2) == [chunk(b"a"), GONE]


def test_a_client_that_goes_in_the_middle_is_noticed_while_reading_before() -> None:
    taken = intake(Server(chunk(b"a", True), GONE), 5)
    read_ahead(taken)
    assert taken.disconnected
    assert receive(taken, 2) == [chunk(b"a", True), GONE]


def test_16_mib_pass_and_one_byte_more_does_not() -> None:
    exact = intake(Server(chunk(b"x" * 16 * MIB)), content_type=b"application/octet-stream")
    assert receive(exact, 1)[0]["type"] == "http.request"
    assert exact.refusal is None
    over = intake(Server(chunk(b"x" * 16 * MIB, True), chunk(b"x", True)), content_type=b"application/octet-stream")
    assert [message["type"] for message in receive(over, 2)] == ["http.request", "http.disconnect"]
    assert over.refusal is not None
    assert (over.refusal.code, over.refusal.status) == ("body_too_large", 413)


def test_of_a_body_that_grew_too_large_the_application_never_sees_more() -> None:
    server = Server(chunk(b"x" * 17 * MIB, True), chunk(b"secret", True), chunk(b"end"))
    taken = intake(server, content_type=b"application/octet-stream")
    assert receive(taken, 3) == [GONE, GONE, GONE]


def test_a_body_that_grows_too_large_ends_the_reading_before() -> None:
    server = Server(chunk(b"x" * 17 * MIB, True), chunk(b"x"))
    taken = intake(server, content_type=b"application/octet-stream")
    read_ahead(taken, whole=True)
    assert taken.refusal is not None
    assert len(server.left) == 1


def test_the_record_gets_the_body_redacted_and_its_size() -> None:
    body = json.dumps({"note": f"card {CARD}", "amount": "1.00"}).encode()
    taken = intake(Server(chunk(body[:20], True), chunk(body[20:])), len(body))
    read_ahead(taken)
    redacted = taken.redacted(final=False)
    assert redacted is not None
    assert redacted.size == len(body)
    assert redacted.value is not None
    assert CARD.encode() not in redacted.value
    kept: dict[str, Any] = json.loads(redacted.value)
    assert kept["amount"] == "1.00"


def test_the_record_never_gets_a_body_that_is_still_under_way() -> None:
    taken = intake(Server(chunk(b'{"a": ', True), chunk(b"1}")))
    receive(taken, 1)
    assert taken.redacted(final=False) is None
    receive(taken, 1)
    assert taken.redacted(final=False) is not None


def test_at_the_end_the_record_gets_what_came_even_of_half_a_body() -> None:
    taken = intake(Server(chunk(b'{"a": 1, ', True), GONE))
    receive(taken, 2)
    redacted = taken.redacted(final=True)
    assert redacted is not None
    assert redacted.size == 9


def test_without_a_body_there_is_none_in_the_record() -> None:
    taken = intake(Server(chunk(b"")), 0)
    receive(taken, 1)
    assert taken.redacted(final=True) is None
