"""The fields of a body that policies can ask for: exactly what is there, of the declared type, or left out."""

from __future__ import annotations

import json
import tomllib
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hatchpay.access import catalogue
from hatchpay.access.routes import BodyField, FieldType
from hatchpay.access.rules import FieldValue
from hatchpay.errors import MalformedRequest
from hatchpay.gate.fields import MOST_BYTES, MOST_ELEMENTS, fields_in_body
from hatchpay.gate.json_members import elements

JSON = "application/json"


def read(kind: FieldType, pointer: str, body: str, times: str | None = None) -> FieldValue | None:
    return fields_in_body([BodyField("x", kind, pointer, times)], JSON, body.encode()).get("x")


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("500", "500.00"),
        ("500.00", "500.00"),
        ('"500.00"', "500.00"),
        ("500.0", "500.00"),
        ("0.1", "0.10"),
        ("0.1250", "0.125"),
        ("-12.3456", "-12.3456"),
        ('"007"', "7.00"),
        ("-0.0", "0.00"),
        ("0", "0.00"),
        # The nearest double is 1000000000000.0699462890625: read by way of a float it would have too many digits.
        ("1000000000000.07", "1000000000000.07"),
        ("922337203685477.5807", "922337203685477.5807"),
        ("-922337203685477.5807", "-922337203685477.5807"),
        ("922337203685477.5808", None),
        ("-922337203685477.5808", None),
        ("9" * 40, None),
        ("9" * 5000, None),
        ("1e2", None),
        ("1E2", None),
        ("1.5e0", None),
        ("0.12345", None),
        ("0.10000", None),
        ('"1e2"', None),
        ('"+1"', None),
        ('" 1"', None),
        ('"1."', None),
        ('".5"', None),
        ('"1,000"', None),
        ('"\u0661"', None),
        ('"1\\n"', None),
        ('""', None),
        ("null", None),
        ("true", None),
        ("[1]", None),
        ('{"a": 1}', None),
    ],
)
def test_a_decimal_is_a_number_or_its_text_that_cedar_can_hold_exactly(written: str, value: str | None) -> None:
    assert read("decimal", "/amount", f'{{"amount": {written}}}') == value


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("0", 0),
        ("-0", 0),
        ("42", 42),
        ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775808", -(2**63)),
        ("9223372036854775808", None),
        ("-9223372036854775809", None),
        ("1.0", None),
        ("1e3", None),
        ('"42"', None),
        ("true", None),
        ("null", None),
    ],
)
def test_a_long_is_an_integer_of_64_bits(written: str, value: int | None) -> None:
    assert read("long", "/n", f'{{"n": {written}}}') == value


@pytest.mark.parametrize(
    ("kind", "written", "value"),
    [
        ("string", '"USD"', "USD"),
        ("string", '""', ""),
        ("string", '"\\u0055SD"', "USD"),
        ("string", "5", None),
        ("string", "null", None),
        ("string", "true", None),
        ("string", '["USD"]', None),
        ("boolean", "true", True),
        ("boolean", "false", False),
        ("boolean", '"true"', None),
        ("boolean", "1", None),
        ("boolean", "null", None),
    ],
)
def test_strings_and_booleans_are_those_of_json(kind: FieldType, written: str, value: FieldValue | None) -> None:
    found = read(kind, "/v", f'{{"v": {written}}}')
    assert found == value
    assert type(found) is type(value)


# RFC 6901, section 5: the example document, and what its pointers evaluate to.
RFC = (
    '{"foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4, '
    r'"i\\j": 5, "k\"l": 6, " ": 7, "m~n": 8}'
)


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("/", 0),
        ("/a~1b", 1),
        ("/c%d", 2),
        ("/e^f", 3),
        ("/g|h", 4),
        ("/i\\j", 5),
        ('/k"l', 6),
        ("/ ", 7),
        ("/m~0n", 8),
    ],
)
def test_a_pointer_means_what_rfc_6901_says(pointer: str, value: int) -> None:
    assert read("long", pointer, RFC) == value


@pytest.mark.parametrize(
    ("pointer", "value"),
    [("/foo/0", "bar"), ("/foo/1", "baz"), ("/foo/2", None), ("/foo/01", None), ("/foo/-", None), ("/foo/x", None)],
)
def test_an_element_has_its_number(pointer: str, value: str | None) -> None:
    assert read("string", pointer, RFC) == value


@pytest.mark.parametrize("pointer", ["/b", "/a/b/c", "/n/a", "/s/0", "/a/0"])
def test_where_nothing_is_there_is_no_field(pointer: str) -> None:
    assert read("string", pointer, '{"a": {"b": "c"}, "n": 1, "s": "text"}') is None


ITEMS = '{"t": {"items": [{"amount": "12.50", "quantity": 2}, {"amount": 7.05, "quantity": 1}]}}'


def test_a_sum_goes_over_all_elements() -> None:
    # 12.50 + 7.05 = 19.55; 12.50 * 2 + 7.05 * 1 = 32.05
    assert read("decimal", "/t/items/*/amount", ITEMS) == "19.55"
    assert read("decimal", "/t/items/*/amount", ITEMS, "quantity") == "32.05"
    assert read("long", "/t/items/*/quantity", ITEMS) == 3
    assert read("long", "/*", '{"a": 1}') is None
    assert read("long", "/n/*", '{"n": [1, 2, -5]}') == -2
    assert read("decimal", "/n/*", '{"n": []}') == "0.00"
    assert read("decimal", "/n/*/a/b", '{"n": [{"a": {"b": 1, "q": 3}}]}', "q") == "3.00"


@pytest.mark.parametrize(
    "items",
    [
        '{"amount": 1, "quantity": 1}',
        "null",
        "[[]]",
        "[1]",
        '[{"amount": 1}]',
        '[{"quantity": 1}]',
        '[{"amount": 1, "quantity": 1}, {"amount": null, "quantity": 1}]',
        '[{"amount": 1, "quantity": "x"}]',
        '[{"amount": 1e3, "quantity": 1}]',
        '[{"amount": 922337203685477, "quantity": 2}]',
        # 0.0001 * 0.1 has five digits behind the point.
        '[{"amount": 0.0001, "quantity": 0.1}]',
    ],
)
def test_a_sum_of_which_any_part_is_missing_or_of_another_type_is_none(items: str) -> None:
    assert read("decimal", "/items/*/amount", f'{{"items": {items}}}', "quantity") is None


def test_a_sum_is_exact_whatever_stands_between() -> None:
    large = "9" * 40
    items = [f'{{"a": {a}, "q": {q}}}' for a, q in ((large, large), ("0.01", 1), (f"-{large}", large))]
    assert read("decimal", "/items/*/a", f'{{"items": [{", ".join(items)}]}}', "q") == "0.01"


def test_a_sum_over_too_many_elements_is_none() -> None:
    assert read("long", "/n/*", json.dumps({"n": [1] * MOST_ELEMENTS})) == MOST_ELEMENTS
    assert read("long", "/n/*", json.dumps({"n": [1] * (MOST_ELEMENTS + 1)})) is None


@pytest.mark.parametrize(
    "body",
    [
        '{"t": {"amount": 1, "amount": 1000}}',
        '{"t": {"amount": 1}, "t": {"amount": 1000}}',
        '{"t": {"amount": 1, "\\u0061mount": 1000}}',
        '{"t": {"amount": 1, "Amount": 1000}}',
        '{"t": {"amount": 1}, "T": {"amount": 1000}}',
        '{"t": {"Amount": 1000}}',
        '{"t": {"amount": "\\ud800"}}',
        '{"t": {"amount": 1, "amount\\u0000": 1000}}',
        '{"t": {"amount": 1, "amount\\u0000x": 1000}}',
        '{"t": {"amount": 1}, "t\\u0000": {"amount": 1000}}',
        '{"t": {"amount": 1, "amount\\n": 1000}}',
        '{"t": {"amount": 1, "amount\x7f": 1000}}',
        '{"t": {"amount": 1}',
        '[{"t": {"amount": 1}}]',
        "t.amount=1",
        "\ufeff{}",
    ],
)
def test_a_body_that_could_be_read_in_two_ways_is_refused(body: str) -> None:
    with pytest.raises(MalformedRequest) as refused:
        read("decimal", "/t/amount", body)
    assert (refused.value.code, refused.value.status) == ("body_unclear", 400)


def test_an_item_that_could_be_read_in_two_ways_is_refused() -> None:
    with pytest.raises(MalformedRequest):
        read("decimal", "/items/*/amount", '{"items": [{"amount": 1, "amount": 1000, "quantity": 1}]}', "quantity")
    with pytest.raises(MalformedRequest):
        read("decimal", "/items/*/amount", '{"items": [{"amount": 1, "quantity": 1, "quantity": 9}]}', "quantity")


def test_a_text_may_hold_what_a_name_may_not() -> None:
    assert read("string", "/t", '{"t": "a\\n\\u0000b"}') == "a\n\x00b"


def test_a_body_of_more_than_a_mebibyte_is_refused() -> None:
    body = json.dumps({"n": 1, "x": ""})
    padded = body[:-2] + "y" * (MOST_BYTES - len(body)) + body[-2:]
    assert len(padded) == 1024 * 1024
    assert read("long", "/n", padded) == 1
    with pytest.raises(MalformedRequest) as refused:
        read("long", "/n", padded + " ")
    assert (refused.value.code, refused.value.status) == ("body_unclear", 400)


def test_an_array_is_taken_apart_once_for_all_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bytes] = []

    def counted(document: bytes, most: int) -> list[bytes] | None:
        seen.append(document)
        return elements(document, most)

    monkeypatch.setattr("hatchpay.gate.fields.elements", counted)
    pointers = ("/n/*/a", "/n/*/b", "/n/0/a", "/n/1/b")
    fields = [BodyField(f"x{number}", "long", pointer) for number, pointer in enumerate(pointers)]
    body = b'{"n": [{"a": 1, "b": 2}, {"a": 3, "b": 4}]}'
    assert fields_in_body(fields, JSON, body) == {"x0": 4, "x1": 6, "x2": 1, "x3": 4}
    assert len(seen) == 1


@pytest.mark.parametrize("count", [9, 10])
def test_members_on_the_way_are_counted_over_all_elements(count: int) -> None:
    item = {f"m{number}": 1 for number in range(count)}
    body = json.dumps({"n": [item] * 1000})
    if count == 9:
        assert read("long", "/n/*/m0", body) == 1000
        return
    with pytest.raises(MalformedRequest):
        read("long", "/n/*/m0", body)


@pytest.mark.parametrize("count", [4, 5])
def test_numbers_of_elements_are_counted_over_all_sums(count: int) -> None:
    fields = [BodyField(f"x{number}", "long", "/n/*") for number in range(count)]
    body = json.dumps({"n": [1] * 1000}).encode()
    if count == 4:
        assert len(fields_in_body(fields, JSON, body)) == 4
        return
    with pytest.raises(MalformedRequest):
        fields_in_body(fields, JSON, body)


def test_a_body_that_is_not_declared_as_json_is_refused() -> None:
    fields = [BodyField("x", "string", "/a")]
    for content_type in ("", "text/plain", "application/json; charset=utf-16"):
        with pytest.raises(MalformedRequest):
            fields_in_body(fields, content_type, b"{}")


def test_without_a_body_there_are_no_fields() -> None:
    assert fields_in_body([BodyField("x", "string", "/a")], "", b"") == {}


def test_each_field_stands_for_itself() -> None:
    fields = [
        BodyField("amount", "decimal", "/t/amount"),
        BodyField("currency", "string", "/t/currency"),
        BodyField("capture", "boolean", "/capture"),
        BodyField("missing", "long", "/t/missing"),
    ]
    body = b'{"t": {"amount": "3.5", "currency": "USD"}, "capture": "yes"}'
    assert fields_in_body(fields, JSON, body) == {"amount": "3.50", "currency": "USD"}


def test_the_sample_declares_what_its_transactions_cost() -> None:
    sample = Path(__file__).parents[3] / "examples" / "payments_api"
    table = catalogue.parse(tomllib.loads((sample / "routes.toml").read_text("utf-8"))).routes
    match = table.match("POST", "/v1/payment-proxy/transactions")
    assert match is not None
    # 2 * 12.50 + 7.05
    assert fields_in_body(match.route.fields, JSON, (sample / "transaction.json").read_bytes()) == {
        "amount": "32.05",
        "merchant_id": "merchant-1",
        "payment_method": "CREDIT_CARD",
        "capture": True,
    }


amounts = st.decimals(-1000, 1000, places=4)


@settings(deadline=None)
@given(st.lists(st.tuples(amounts, st.integers(-5, 5)), max_size=5), st.booleans())
@example([(Decimal("0.0005"), 2)], True)
def test_a_sum_is_what_exact_arithmetic_says(items: list[tuple[Decimal, int]], as_text: bool) -> None:
    written = [f'{{"a": {json.dumps(f"{a:f}") if as_text else f"{a:f}"}, "q": {q}}}' for a, q in items]
    value = read("decimal", "/items/*/a", f'{{"items": [{", ".join(written)}]}}', "q")
    # In ten-thousandths, with integers alone.
    expected = sum(int(a.scaleb(4)) * q for a, q in items)
    assert isinstance(value, str)
    assert int(Decimal(value).scaleb(4)) == expected
    assert 2 <= len(value.partition(".")[2]) <= 4
