"""What a caller may ask of the history, and what their own limits add."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hatchpay.audit.ports import HistoryFilter
from hatchpay.clock import parse_time
from hatchpay.control.history_query import HistoryQuery, decode_cursor, encode_cursor
from hatchpay.control.query import parse_query
from hatchpay.errors import HatchPayError, InvalidInput
from hatchpay.identity.principal import Limits, Principal

TENANT = "019ab3c3-ffe0-7a10-8b2c-4d5e6f708192"
KEY = "019ab3c4-0d1e-7f20-8a3b-5c6d7e8f9012"
UNIT = "019ab3c4-2f40-7b41-9c5d-7e8f90123456"


def filter_of(raw: str, *, units: frozenset[str] | None = None) -> HistoryFilter:
    principal = Principal(KEY, "api_key", TENANT, KEY, ("admin",), {}, Limits(business_unit_ids=units))
    return parse_query(raw.encode(), HistoryQuery).filter_for(principal)


def test_without_conditions_it_is_the_whole_tenant() -> None:
    assert filter_of("") == HistoryFilter(tenant_id=TENANT)


def test_a_caller_of_chosen_units_sees_theirs_only() -> None:
    assert filter_of("", units=frozenset({UNIT})) == HistoryFilter(
        tenant_id=TENANT, business_unit_ids=frozenset({UNIT})
    )


def test_another_tenant_cannot_be_asked_for() -> None:
    with pytest.raises(InvalidInput) as caught:
        filter_of(f"tenant_id={KEY}")
    assert caught.value.code == "unknown_parameter"


def test_every_condition_reaches_the_filter() -> None:
    wanted = filter_of(
        "from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00%2B01:00&method=post&path=/roles&route=/roles/{id}&status=403"
        f"&principal_id=local:1000&key_id={KEY}&business_unit_id={UNIT}&request_id={KEY}&client_ip=2001:DB8::0:1"
        f"&min_ms=1.25&limit=7&cursor={encode_cursor(42)}"
    )
    assert wanted == HistoryFilter(
        tenant_id=TENANT,
        from_us=parse_time("2026-01-01T00:00:00Z"),
        to_us=parse_time("2026-01-01T23:00:00Z"),
        method="POST",
        path="/roles",
        route="/roles/{id}",
        status=(403, 403),
        principal_id="local:1000",
        key_id=KEY,
        business_unit_id=UNIT,
        request_id=KEY,
        client_ip="2001:db8::1",
        min_us=1250,
        before=42,
    )


@pytest.mark.parametrize(("text", "wanted"), [("4xx", (400, 499)), ("5xx", (500, 599)), ("200", (200, 200))])
def test_a_status_may_be_a_class(text: str, wanted: tuple[int, int]) -> None:
    assert filter_of(f"status={text}").status == wanted


@pytest.mark.parametrize(("text", "us"), [("0", 0), ("5", 5000), ("0.001", 1), ("999999999", 999_999_999_000)])
def test_milliseconds_may_be_fractions(text: str, us: int) -> None:
    assert filter_of(f"min_ms={text}").min_us == us


def test_an_ipv4_address_within_ipv6_is_the_ipv4_address() -> None:
    assert filter_of("client_ip=::ffff:192.0.2.7").client_ip == "192.0.2.7"


@pytest.mark.parametrize(
    ("raw", "status", "code", "field"),
    [
        ("from=yesterday", 422, "invalid_field", "from"),
        ("from=2026-01-01T00:00:00+01:00", 422, "invalid_field", "from"),
        ("to=2026-01-01T00:00:00", 422, "invalid_field", "to"),
        ("method=GET%20", 422, "invalid_field", "method"),
        ("path=", 422, "invalid_field", "path"),
        ("path=/" + "a" * 2000, 422, "invalid_field", "path"),
        ("status=4XX", 422, "invalid_field", "status"),
        ("status=600", 422, "invalid_field", "status"),
        ("status=403%0A", 422, "invalid_field", "status"),
        ("key_id=1", 422, "invalid_uuid", "key_id"),
        ("business_unit_id=1", 422, "invalid_uuid", "business_unit_id"),
        ("request_id=1", 422, "invalid_uuid", "request_id"),
        ("client_ip=300.0.0.1", 422, "invalid_field", "client_ip"),
        ("client_ip=fe80::1%25eth0", 422, "invalid_field", "client_ip"),
        ("min_ms=-1", 422, "invalid_field", "min_ms"),
        ("min_ms=NaN", 422, "invalid_field", "min_ms"),
        ("min_ms=1e3", 422, "invalid_field", "min_ms"),
        ("from_=2026-01-01T00:00:00Z", 422, "unknown_parameter", "?"),
        ("cursor=!", 400, "invalid_cursor", "cursor"),
        ("cursor=abc", 400, "invalid_cursor", "cursor"),
    ],
)
def test_a_condition_that_cannot_be_meant_is_named(raw: str, status: int, code: str, field: str) -> None:
    with pytest.raises(HatchPayError) as caught:
        filter_of(raw)
    assert (caught.value.status, caught.value.code, caught.value.field) == (status, code, field)


@given(st.integers(1, 2**63 - 1))
def test_a_cursor_leads_back_to_its_place(sequence: int) -> None:
    assert decode_cursor(encode_cursor(sequence)) == sequence


@given(st.text("ABCDwxyz0123456789_-", max_size=40))
def test_a_cursor_is_only_taken_as_we_give_it(text: str) -> None:
    try:
        sequence = decode_cursor(text)
    except InvalidInput as error:
        assert error.code == "invalid_cursor"
    else:
        assert encode_cursor(sequence) == text


@pytest.mark.parametrize("sequence", [0, -1, 2**63])
def test_a_cursor_beyond_the_ledger_is_refused(sequence: int) -> None:
    with pytest.raises(InvalidInput):
        decode_cursor(encode_cursor(sequence))
