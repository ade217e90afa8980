"""Texts of options become values, or a usage error that says what is expected."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import typer

from hatchpay.cli import options


@pytest.mark.parametrize(
    ("parse", "given", "value"),
    [
        (options.moment, "1970-01-01T00:00:01Z", 1_000_000),
        (options.moment, "1970-01-01T01:00:00+01:00", 0),
        (options.method, "get", "GET"),
        (options.method, "LOCAL", "LOCAL"),
        (options.status, "403", (403, 403)),
        (options.status, "4xx", (400, 499)),
        (options.address, "192.0.2.1", "192.0.2.1"),
        (options.address, "2001:DB8::0:1", "2001:db8::1"),
        (options.microseconds, "1.5", 1500),
        (options.microseconds, "0.001", 1),
        (options.sequence, "17", 17),
        (options.pairs, ["a=b", "c=d=e", "f="], {"a": "b", "c": "d=e", "f": ""}),
    ],
)
def test_a_text_means_a_value(parse: Callable[[object], object], given: object, value: object) -> None:
    assert parse(given) == value


@pytest.mark.parametrize(
    ("parse", "given"),
    [
        (options.moment, "tomorrow"),
        (options.moment, "2026-01-31"),
        (options.moment, "2026-01-31T09:30:00"),
        (options.method, "GET /"),
        (options.method, "GET\n"),
        (options.status, "999"),
        (options.status, "4x"),
        (options.status, "404\n"),
        (options.address, "localhost"),
        (options.microseconds, "-1"),
        (options.microseconds, "1e3"),
        (options.microseconds, "NaN"),
        (options.sequence, "0"),
        (options.sequence, "-1"),
        (options.sequence, "1" * 30),
        (options.pairs, ["a"]),
        (options.pairs, ["=b"]),
        (options.pairs, ["a=1", "a=2"]),
    ],
)
def test_anything_else_is_a_usage_error(parse: Callable[[object], object], given: object) -> None:
    with pytest.raises(typer.BadParameter):
        parse(given)
