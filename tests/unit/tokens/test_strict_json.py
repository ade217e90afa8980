"""JSON objects from strangers: whatever could be read in two ways is refused."""

from __future__ import annotations

import sys

import pytest

from hatchpay.errors import InvalidToken
from hatchpay.tokens.strict_json import load_object


def code_of(data: bytes) -> str:
    with pytest.raises(InvalidToken) as caught:
        load_object(data)
    return caught.value.code


def nested(levels: int) -> bytes:
    """An object with `levels` levels, itself counted."""
    return b'{"a":' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"


def test_an_object_is_read_as_it_stands() -> None:
    text = ' {"a":1,"b":[true,false,null,-0.5,"\\u00e9\\ud83d\\ude00é😀"],"c":{"a":1e3},"":""}\r\n'
    assert load_object(text.encode()) == {"a": 1, "b": [True, False, None, -0.5, "é😀é😀"], "c": {"a": 1000.0}, "": ""}


def test_integers_stay_exact() -> None:
    assert load_object(b'{"a":9007199254740993,"b":-1}') == {"a": 2**53 + 1, "b": -1}
    assert type(load_object(b'{"a":1}')["a"]) is int
    assert type(load_object(b'{"a":1.0}')["a"]) is float


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" ",
        b"{",
        b"}",
        b'{"a":1}x',
        b'{"a":1}{"a":1}',
        b'{"a":1,}',
        b"{'a':1}",
        b"{a:1}",
        b'{"a":01}',
        b'{"a":+1}',
        b'{"a":.5}',
        b'{"a":1.}',
        b'{"a":0x1}',
        b'{"a":nan}',
        b'{"a":inf}',
        b'{"a":True}',
        b'{"a":"\n"}',
        b'{"a":"\\x"}',
        b'{"a":"\\u12"}',
        b'{"a":"',
        b'{"a":1}//',
        b'{"a":1}\0',
        b"\xc2\xa0{}",
        b'{"a":"\xff"}',
        b'{"a":"\xc0\xaf"}',
        b'{"a":"\xed\xa0\x80"}',
        b"\xef\xbb\xbf{}",
        '{"a":1}'.encode("utf-16"),
        '{"a":1}'.encode("utf-32-be"),
        b'{"a":"\\ud800"}',
        b'{"a":["\\udc00\\ud800"]}',
        b'{"\\udfff":1}',
        '{"a":٣}'.encode(),
    ],
)
def test_what_is_no_json_in_utf8_is_refused(data: bytes) -> None:
    assert code_of(data) == "token_json_invalid"


@pytest.mark.parametrize("data", [b"[]", b'"a"', b"1", b"1.5", b"true", b"null", b"[{}]"])
def test_what_is_no_object_is_refused(data: bytes) -> None:
    assert code_of(data) == "token_json_not_object"


@pytest.mark.parametrize(
    "data",
    [
        b'{"a":1,"a":1}',
        b'{"a":1,"b":2,"a":3}',
        b'{"a":1,"\\u0061":2}',
        b'{"x":[[{"a":1,"a":1}]]}',
        b'{"x":{"y":{"a":null,"a":null}}}',
        b'{"":1,"":1}',
    ],
)
def test_a_name_twice_in_one_object_is_refused_at_any_depth(data: bytes) -> None:
    assert code_of(data) == "token_duplicate_member"


def test_a_name_may_come_back_in_another_object_or_another_case() -> None:
    assert load_object(b'{"a":{"a":1},"A":[{"a":1},{"a":2}]}') == {"a": {"a": 1}, "A": [{"a": 1}, {"a": 2}]}


@pytest.mark.parametrize(
    "number", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e999", b"1E+400", b"9" * 400 + b".0"]
)
@pytest.mark.parametrize("around", [b'{"a":%s}', b'{"x":[1,{"a":[%s]}]}'])
def test_a_number_that_is_not_finite_is_refused_at_any_depth(number: bytes, around: bytes) -> None:
    assert code_of(around % number) == "token_number_not_finite"


def test_the_largest_and_the_smallest_floats_are_read() -> None:
    assert load_object(b'{"a":1.7976931348623157e308,"b":1e-999}') == {"a": sys.float_info.max, "b": 0.0}


def test_an_integer_may_have_4300_digits_and_no_more() -> None:
    assert load_object(b'{"a":-%s}' % (b"9" * 4_300)) == {"a": 1 - 10**4_300}
    assert code_of(b'{"a":%s}' % (b"9" * 4_301)) == "token_json_invalid"


def test_the_limit_of_digits_does_not_hang_on_the_interpreter() -> None:
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        assert code_of(b'{"a":%s}' % (b"9" * 4_301)) == "token_json_invalid"
    finally:
        sys.set_int_max_str_digits(before)


def test_thirty_two_levels_are_read_and_thirty_three_are_not() -> None:
    assert load_object(nested(32))
    assert code_of(nested(33)) == "token_json_too_deep"
    assert code_of(b'{"a":' * 33 + b"1" + b"}" * 33) == "token_json_too_deep"


@pytest.mark.parametrize("levels", [1_000, 100_000])
@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'{"a":['])
def test_any_depth_is_refused_without_being_followed(levels: int, opening: bytes) -> None:
    assert code_of(opening * levels) == "token_json_too_deep"
    assert code_of(b'{"a":' + b"[" * levels + b"]" * levels + b"}") == "token_json_too_deep"


def test_closing_brackets_before_do_not_hide_the_depth_behind_them() -> None:
    assert code_of(b"]" * 100_000 + b"[" * 100_000) in {"token_json_invalid", "token_json_too_deep"}
    assert code_of(b'{"a":' + b"[]," * 50 + b"[" * 100_000) == "token_json_too_deep"


def test_brackets_in_strings_are_not_levels() -> None:
    text = '[{\\"[\\\\'
    assert load_object(f'{{"a":"{text * 20_000}","b":[]}}'.encode())["b"] == []


def test_many_neighbours_are_not_levels() -> None:
    assert load_object(b'{"a":[' + b"[],{}," * 5_000 + b"1]}")


def test_strings_that_never_end_are_refused_in_linear_time() -> None:
    for data in (b'{"a":' + b'"\\"' * 200_000 + b"[" * 33, b'"' + b"\\" * 400_001 + b"[" * 33):
        with pytest.raises(InvalidToken):
            load_object(data)


def test_a_refusal_holds_nothing_of_the_text() -> None:
    for data in (b'{"secret":"\xff"}', b'{"secret":1,}', b'{"secret":1,"secret":2}', b'{"secret":NaN}', b'["secret"]'):
        with pytest.raises(InvalidToken) as caught:
            load_object(data)
        assert "secret" not in repr(caught.value)
        assert caught.value.__context__ is None
