"""Bodies are read so that no two readers could disagree about them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import Any

import pytest
from fastapi import Request

from hatchpay.control.json_body import MAX_BODY, MAX_DEPTH, Body, parse_body, parse_json
from hatchpay.errors import HatchPayError


class Parcel(Body):
    weight: int = 0
    label: str = ""


def request(*chunks: bytes, headers: Iterable[tuple[bytes, bytes]] = (), ends: bool = True) -> Request:
    messages: list[dict[str, Any]] = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    messages.append({"type": "http.request", "body": b""} if ends else {"type": "http.disconnect"})

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    return Request({"type": "http", "method": "POST", "headers": list(headers)}, receive)


def parse(*chunks: bytes, optional: bool = False, **more: Any) -> Parcel:
    return asyncio.run(parse_body(request(*chunks, **more), Parcel, optional=optional))


def refusal(*chunks: bytes, **more: Any) -> tuple[int, str, str | None]:
    with pytest.raises(HatchPayError) as caught:
        parse(*chunks, **more)
    return caught.value.status, caught.value.code, caught.value.field


def test_a_body_may_come_in_pieces() -> None:
    assert parse(b'{"wei', b'ght": 3}') == Parcel(weight=3)


@pytest.mark.parametrize(
    "content_type",
    [
        b"application/json",
        b"Application/JSON",
        b"application/json; charset=utf-8",
        b'application/json;charset="UTF-8"',
    ],
)
def test_json_may_be_declared_in_each_correct_way(content_type: bytes) -> None:
    assert parse(b"{}", headers=[(b"content-type", content_type)]) == Parcel()


def test_json_need_not_be_declared() -> None:
    assert parse(b"{}") == Parcel()


@pytest.mark.parametrize(
    "headers",
    [
        [(b"content-type", b"text/plain")],
        [(b"content-type", b"application/x-www-form-urlencoded")],
        [(b"content-type", b"application/json; charset=utf-16")],
        [(b"content-type", b"application/json-patch+json")],
        [(b"content-type", b"application/json"), (b"content-type", b"application/json")],
        [(b"content-type", b"application/json"), (b"content-encoding", b"gzip")],
    ],
)
def test_another_media_type_or_encoding_is_refused(headers: list[tuple[bytes, bytes]]) -> None:
    assert refusal(b"{}", headers=headers) == (415, "unsupported_media_type", None)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"{}{}",
        b"{'weight': 1}",
        b'{"weight": 1,}',
        b'{"weight": NaN}',
        b'{"weight": Infinity}',
        b'{"weight": -Infinity}',
        b'{"weight": 1e999}',
        b'{"weight": ' + b"9" * 5000 + b"}",
        b'{"label": "\xff"}',
        b'{"label": "\xed\xa0\x80"}',
        b'{"label": "a\nb"}',
        b"\xef\xbb\xbf{}",
        '{"label": "a"}'.encode("utf-16"),
        b"[" * 200_000,
    ],
)
def test_what_is_not_json_is_refused(body: bytes) -> None:
    assert refusal(body) == (400, "invalid_json", None)


def test_nesting_is_bounded() -> None:
    deepest = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH
    assert parse_json(deepest)
    with pytest.raises(HatchPayError, match="nested at most 64"):
        parse_json(b"[" + deepest + b"]")
    assert parse_json(b'{"a":' * MAX_DEPTH + b"1" + b"}" * MAX_DEPTH)
    with pytest.raises(HatchPayError, match="nested at most 64"):
        parse_json(b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1))


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"weight": 1, "weight": 1}', "weight"),
        (b'{"weight": 1, "we\\u0069ght": 2}', "weight"),
        (b'{"label": {"a": [1, {"b": 1, "b": 2}]}}', "label.a.1.b"),
        (b'{"hp_live_x0123456789": 1, "hp_live_x0123456789": 2}', "?"),
    ],
)
def test_a_key_that_stands_twice_is_named(body: bytes, field: str) -> None:
    assert refusal(body) == (400, "duplicate_json_key", field)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"label": "a\\u0000b"}', "label"),
        (b'{"label": ["a", "\\ud800"]}', "label.1"),
        (b'{"a\\u0000": 1}', "?"),
        (b'{"label": {"\\udc00": 1}}', "label.?"),
    ],
)
def test_nul_and_lone_surrogates_are_named(body: bytes, field: str) -> None:
    assert refusal(body) == (422, "invalid_field", field)


@pytest.mark.parametrize("body", [b"[]", b"1", b'"a"', b"null", b"true"])
def test_a_body_is_an_object(body: bytes) -> None:
    assert refusal(body) == (422, "invalid_field", None)


def test_an_unknown_field_is_named() -> None:
    assert refusal(b'{"colour": "red"}') == (422, "unknown_field", "colour")
    assert refusal(b'{"Weight": 1}') == (422, "unknown_field", "Weight")


@pytest.mark.parametrize("value", [b"true", b'"3"', b"3.0", b"3.5", b"null", b"[3]"])
def test_nothing_is_taken_for_a_number_but_a_number(value: bytes) -> None:
    assert refusal(b'{"weight": ' + value + b"}") == (422, "invalid_field", "weight")


def test_an_empty_body_counts_as_nothing_said_only_where_that_is_allowed() -> None:
    assert parse(optional=True) == Parcel()
    assert refusal() == (400, "invalid_json", None)
    assert refusal(b" ", optional=True) == (400, "invalid_json", None)


def test_a_body_that_is_too_large_is_not_read_to_its_end() -> None:
    assert refusal(b" " * MAX_BODY, b"{}", ends=False) == (413, "body_too_large", None)
    assert parse(b"{}" + b" " * (MAX_BODY - 2)) == Parcel()


def test_a_connection_that_ends_within_the_body_is_told_from_an_error() -> None:
    assert refusal(b'{"wei', ends=False) == (400, "body_incomplete", None)


def test_no_refusal_carries_what_was_sent() -> None:
    secret = "hp_live_s3cretS3cret"
    for value in ({"weight": secret}, {secret: 1}, {"label": [secret]}, [secret], secret):
        with pytest.raises(HatchPayError) as caught:
            parse(json.dumps(value).encode())
        error: BaseException | None = caught.value
        while error is not None:
            assert secret not in f"{error!r} {vars(error)}"
            error = error.__cause__ or error.__context__
