"""Bodies: what is kept of JSON, forms, text and everything else, however they arrive."""

from __future__ import annotations

import hashlib
import hmac
import json

import pytest

from hatchpay.audit.redact import BodyRedactor, RedactedBody
from hatchpay.audit.redact import body as body_module

KEY = b"k" * 32
FORM = "application/x-www-form-urlencoded"


def redact(body: bytes, content_type: str = "application/json", step: int = 0, keep: int = 65_536) -> RedactedBody:
    redactor = BodyRedactor(content_type, KEY, keep)
    for start in range(0, len(body), step or len(body) or 1):
        redactor.feed(body[start : start + (step or len(body))])
    return redactor.finish()


def test_an_empty_body_is_none() -> None:
    assert redact(b"") == RedactedBody(None, 0, None, False)


def test_clean_json_is_kept_byte_for_byte() -> None:
    body = b' {"amount": 10.10, "big":12345678901, "x" : [ true, null, -1e3 ], "n":"Za\xc5\xbc", "e":"a\\n\\u00e9"}\r\n'
    assert redact(body) == RedactedBody(body, len(body), None, False)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"n":4111111111111111,"a":10.10}', b'{"n":"411111******1111","a":10.10}'),
        (b'{"n":"4111 1111 1111 1111"}', b'{"n":"411111******1111"}'),
        (b'{"4111111111111111":1}', b'{"411111******1111":1}'),
        (b'{"n":4111111111111111.0}', b'{"n":"411111******1111.0"}'),
        (b'{"n":4.111111111111111e15}', b'{"n":"411111******1111"}'),
        (b'{"n":"\\u00341111111\\u0031111 1111"}', b'{"n":"411111******1111"}'),
        (b'[[[["x4111111111111111y"]]]]', b'[[[["x411111******1111y"]]]]'),
        (b'"4111111111111111"', b'"411111******1111"'),
        (b"4111111111111111", b'"411111******1111"'),
        (b'{"a":1, "cvv" : 123 ,"b":2}', b'{"a":1, "cvv" : "[removed]" ,"b":2}'),
        (b'{"\\u0063vv":"123"}', b'{"\\u0063vv":"[removed]"}'),
        (b'{"a,cvv":"123","cvv?":"1"}', b'{"a,cvv":"[removed]","cvv?":"[removed]"}'),
        (b'{"cvv,x":"123","nip":"5"}', b'{"cvv,x":"[removed]","nip":"5"}'),
        (b'{"nip":"5","pin":"5"}', b'{"nip":"5","pin":"[removed]"}'),
        (b'{"password":{"a":["]}",{"b":1}]},"c":2}', b'{"password":"[redacted]","c":2}'),
        (b'{"track1":["a","b"],"c":[1]}', b'{"track1":"[removed]","c":[1]}'),
        (b'{"pan":"4111-1111-1111-1111"}', b'{"pan":"411111******1111"}'),
        (b'{"pan":"12345"}', b'{"pan":"[redacted]"}'),
        (b'{"token":null}', b'{"token":"[redacted]"}'),
        (b'{"k":"hp_live_abc"}', b'{"k":"[redacted key]"}'),
        (b'{"p":"{\\"cvv\\":\\"123\\"}"}', b'{"p":"{\\"cvv\\":\\"[removed]\\"}"}'),
        (b'\xef\xbb\xbf{"a":1}', b'{"a":1}'),
    ],
)
def test_json_is_redacted_in_place(body: bytes, value: bytes) -> None:
    assert redact(body).value == value
    assert redact(body, step=1).value == value
    assert redact(value).value == value


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": 4111 1111 1111 1111}',
        b"{'cvv': '98765'}",
        b"{cvv: 98765}",
        b'{"a" "cvv":98765}',
        b'{"cvv" = 98765}',
        b'{"cvv":"98765',
        b'{"cvv":98765',
        b'{"cvv":"98765" 4111111111111111}',
        b'{"a":"4111111111111111',
        b'{"cvv":[98765,"4111111111111111"',
        b'{"cvv":{"a":98765}}}',
        b'{"a":1,, "b":4111111111111111}',
        b'\xff{"cvv":"98765"}',
        b'{"\xff\xffcvv":"98765"}',
        b'{"a":"\xff 4111111111111111"}',
        b"cvv=98765&n=4111111111111111",
        b"-----BEGIN PRIVATE KEY-----\n98765: 4,ENCRYPTED\n98765",
    ],
)
def test_what_is_not_json_is_redacted_as_text(body: bytes) -> None:
    value = redact(body).value
    assert value is not None
    json.loads(value)
    assert b"98765" not in value
    assert b"1111111" not in value
    assert b"1 1111 1" not in value
    assert all(redact(body, step=step).value == value for step in (1, 3))


def test_depth_needs_no_recursion() -> None:
    deep = b"[" * 60_000
    value = redact(deep + b'{"cvv":987}').value
    assert value is not None
    assert b"987" not in value
    assert redact(b'{"pin":' + deep + b"]" * 60_000 + b',"a":1}').value == b'{"pin":"[removed]","a":1}'


@pytest.mark.parametrize("step", [0, 1000, 65_536])
def test_a_string_too_long_to_hold_is_dropped(step: int) -> None:
    long = b'"' + b'a\\"' * 40_000 + b'"'
    assert redact(b"[1," + long + b",2]", step=step).value == b'[1,"[dropped, too long]",2]'
    assert redact(b'{"x":' + long + b"}", step=step).value == b'{"x":"[dropped, too long]"}'
    assert redact(b'{"pin":' + long + b"}", step=step).value == b'{"pin":"[removed]"}'
    assert redact(b"{" + long + b':{"a":1}}', step=step).value == b'{"[dropped, too long]":"[redacted]"}'
    assert redact(b'{"pin":[' + long + b'],"a":1}', step=step).value == b'{"pin":"[removed]","a":1}'


def test_a_long_body_is_cut_and_fingerprinted() -> None:
    item = b'{"a":1,"cvv":"123"},'
    body = b"[" + item * 6000 + b"1]"
    redacted = b"[" + item.replace(b"123", b"[removed]") * 6000 + b"1]"
    result = redact(body, step=5000)
    assert result.truncated
    assert result.size == len(body)
    assert result.digest == hmac.new(KEY, redacted, hashlib.sha256).hexdigest()
    assert json.loads(result.value or b"") == redacted[:65_536].decode()
    assert redact(body, step=777) == result
    assert redact(body) == result
    small = redact(b'{"abc":"defghi"}', keep=10)
    assert small.truncated
    assert small.value == b'"{\\"abc\\":\\"de"'


def test_memory_stays_bounded() -> None:
    for unit, content_type in (
        (b'{"a":[1,2,"x"],"pin":["y"]},', "application/json"),
        (b"a" * 1000, "application/json"),
        (b" ", "application/json"),
        (b'"', "text/plain"),
        (b"x", FORM),
    ):
        redactor = BodyRedactor(content_type, KEY)
        redactor.feed(b"[")
        chunk = (unit * (200_000 // len(unit)))[:200_000]
        for _ in range(5):
            redactor.feed(chunk)
            assert len(redactor._buffer) < 400_000
        redactor.finish()


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"a=1&b=x+y&c=%20", "a=1&b=x+y&c=%20"),
        (b"a=1&cvv=123&b=2", "a=1&cvv=[removed]&b=2"),
        (b"%63vv=123", "%63vv=[removed]"),
        (b"card%5Bcvv%5D=123", "card%5Bcvv%5D=[removed]"),
        (b"card+number=4111+1111+1111+1111", "card+number=411111******1111"),
        (b"x=4111%201111%201111%201111", "x=411111******1111"),
        (b"4111111111111111=x&hp_live_abc", "411111******1111=x&[redacted key]"),
        (b"x=%3B4111111111111111=25121011000012345678%3F", "x=[removed]"),
    ],
)
def test_forms_are_redacted_by_field(body: bytes, value: str) -> None:
    assert json.loads(redact(body, FORM).value or b"") == value
    assert json.loads(redact(body, FORM, step=1).value or b"") == value


def test_text_is_redacted_across_its_segments() -> None:
    line = b"paid by 4111111111111111, cvv: 123\n"
    for step in (0, 999):
        result = redact(line * 8000, "text/plain", step=step)
        assert result.truncated
        assert b"4111111" not in (result.value or b"")
        clean = line.replace(b"4111111111111111", b"411111******1111").replace(b"123", b"[removed]")
        assert result.digest == hmac.new(KEY, clean * 8000, hashlib.sha256).hexdigest()


def test_a_pem_block_is_dropped_across_segments() -> None:
    pem = b"-----BEGIN PRIVATE KEY-----\n" + b"MIIEabc\n" * 20_000 + b"-----END PRIVATE KEY-----\nend\n"
    for step in (0, 999):
        assert redact(b"start\n" + pem, "text/plain", step=step).value == b'"start\\n[redacted PEM]\\nend\\n"'


def test_a_blob_without_a_place_to_cut_is_dropped() -> None:
    for step in (0, 999):
        assert redact(b"x" * 200_000 + b" end", "text/plain", step=step).value == b'"[dropped, too long] end"'


@pytest.mark.parametrize(
    "content_type",
    [
        "image/png",
        "application/octet-stream",
        "",
        "x",
        "multipart/form-data; boundary=x",
        "text/plain; charset=utf-16",
    ],
)
def test_nothing_is_kept_of_what_is_not_text(content_type: str) -> None:
    assert redact(b"cvv=123", content_type) == RedactedBody(b'"[binary, not kept]"', 7, None, False)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_nothing_is_kept_of_undeclared_wide_text(encoding: str) -> None:
    for content_type in ("application/json", "text/plain", FORM):
        value = redact('{"n":"4111111111111111"}'.encode(encoding), content_type).value
        assert value == b'"[redaction failed]"'


@pytest.mark.parametrize(
    "content_type",
    ["application/json; charset=utf-8", "Application/JSON", "application/vnd.x+json", "text/json"],
)
def test_json_is_known_by_its_content_type(content_type: str) -> None:
    assert redact(b'{"cvv":1}', content_type).value == b'{"cvv":"[removed]"}'


def test_finishing_twice_gives_the_same() -> None:
    redactor = BodyRedactor("application/json", KEY)
    redactor.feed(b'{"a":1}')
    first = redactor.finish()
    redactor.feed(b"more")
    assert redactor.finish() is first


def test_a_failure_drops_the_body_and_not_the_record(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("cvv 123")

    monkeypatch.setattr(body_module, "JsonStream", fail)
    assert redact(b'{"cvv":123}') == RedactedBody(b'"[redaction failed]"', 11, None, False)


def test_a_large_body_of_which_little_is_left_is_fingerprinted_all_the_same() -> None:
    redactor = BodyRedactor("application/json", b"k" * 32)
    redactor.feed(b'{"note": "' + b"y" * 70_000 + b'"}')
    body = redactor.finish()
    assert body.value is not None
    assert body.digest == hmac.new(b"k" * 32, body.value, "sha256").hexdigest()
    assert (body.size, body.truncated) == (70_012, False)
