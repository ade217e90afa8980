# ruff: noqa: SIM905, PLW0108 (look-alikes are what is tested here)
"""Whatever is planted in a request, and however it is disguised, does not come out."""

from __future__ import annotations

import html
import json
import unicodedata
import urllib.parse
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hatchpay.audit.redact import BodyRedactor, RedactedBody, redact_headers, redact_text, redact_url
from hatchpay.audit.redact import body as body_module
from hatchpay.audit.redact import json_stream as json_stream_module
from hatchpay.audit.redact.gate import is_plain, is_quiet
from hatchpay.audit.redact.text import _redact

FORM = "application/x-www-form-urlencoded"
fast = settings(deadline=None, derandomize=True, max_examples=80)


def with_check_digit(body: str) -> str:
    total = 0
    for index, char in enumerate(reversed(body)):
        digit = int(char) * (2 if index % 2 == 0 else 1)
        total += digit - 9 if digit > 9 else digit
    return body + str(-total % 10)


ISSUERS = [
    (prefix, int(length))
    for prefix, *lengths in map(
        str.split,
        """4 13 16 18 19
        51 16
        55 16
        2221 16
        2720 16
        34 15
        37 15
        6011 16 19
        65 16
        644 16
        300 14
        36 14 19
        3528 16
        3589 16
        62 16 19
        50 12
        67 18
        2200 16""".splitlines(),
    )
    for length in lengths
]


@st.composite
def cards(draw: st.DrawFn) -> str:
    prefix, length = draw(st.sampled_from(ISSUERS))
    # No zeros inside, so that what is hidden is never found in the surroundings by chance.
    rest = draw(st.text("3456789", min_size=length - 1 - len(prefix), max_size=length - 1 - len(prefix)))
    return with_check_digit(prefix + rest)


BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
keys = st.builds(
    lambda env, rest: f"hp_{env}_{rest}",
    st.sampled_from(["live", "test"]),
    st.text(BASE62, min_size=20, max_size=61),
)
jwts = st.builds(
    lambda a, b, c: f"eyJ{a}.{b}.{c}",
    st.text(BASE62 + "-_", min_size=16, max_size=40),
    st.text(BASE62 + "-_", max_size=40),
    st.text(BASE62 + "-_", max_size=40),
)

disguises = st.sampled_from(
    [
        lambda s: s,
        lambda s: "".join(f"%{ord(c):02x}" for c in s),
        lambda s: "".join(f"%25{ord(c):02X}" for c in s),
        lambda s: f"%{ord(s[0]):02x}{s[1:]}",
        lambda s: "".join(f"\\u{ord(c):04x}" for c in s),
        lambda s: "".join(f"&#{ord(c)};" for c in s),
        lambda s: html.escape("".join(f"&#x{ord(c):x};" for c in s)),
        lambda s: "".join(chr(ord(c) + 0xFEE0) for c in s),
        lambda s: "\u200b".join(s),
        lambda s: "\u00ad".join(s),
        lambda s: urllib.parse.quote("".join(f"&#{ord(c)};" for c in s)),
    ]
)
groupings = st.sampled_from(["", " ", "-", "\u00a0", "–", "+"])
# Digits are left out of the surroundings: next to a card they make it another number.
words = st.text(st.sampled_from("abcxyz .,-_/()!?żé漢#@"), max_size=12)


def stretched(card: str, separator: str) -> str:
    return separator.join(card[i : i + 4] for i in range(0, len(card), 4))


def normal(text: str) -> str:
    for _ in range(6):
        text = html.unescape(urllib.parse.unquote(text))
        if "\\u" in text:
            head, *rest = text.split("\\u")
            text = head + "".join(chr(int(p[:4], 16)) + p[4:] if len(p) >= 4 and p[:4].isalnum() else p for p in rest)
    text = unicodedata.normalize("NFKC", text)
    return "".join(c for c in text if unicodedata.category(c) not in {"Cf", "Mn", "Zs", "Pd"} and c != "+")


def assert_hidden(output: str, secret: str) -> None:
    """More than the first six and last four of `secret` is not in any view of the output."""
    for view in (output, normal(output)):
        assert secret[: 7 if secret.isdigit() else 16] not in view.replace(" ", "").replace("-", "")
        assert secret[-8:] not in view.replace(" ", "").replace("-", "")


def redact(body: bytes, content_type: str = "application/json", cuts: list[int] | None = None) -> RedactedBody:
    redactor = BodyRedactor(content_type, b"key")
    last = 0
    for cut in sorted({c % (len(body) + 1) for c in cuts or []}):
        redactor.feed(body[last:cut])
        last = cut
    redactor.feed(body[last:])
    return redactor.finish()


splits = st.lists(st.integers(0, 10_000), max_size=8)


@st.composite
def planted(draw: st.DrawFn) -> tuple[str, str]:
    """A text, and the secret in it."""
    card = draw(st.booleans())
    secret = draw(cards()) if card else draw(keys | jwts)
    shown = stretched(secret, draw(groupings)) if card else secret
    disguised = draw(disguises)(shown)
    return draw(words) + disguised + draw(words), secret


scalars = st.none() | st.booleans() | st.integers(-9999, 9999) | words | st.just(10.1)
documents = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4),
    max_leaves=12,
)


def plant(document: Any, draw: st.DrawFn, text: str, as_key: bool) -> Any:
    if isinstance(document, list) and document and draw(st.booleans()):
        index = draw(st.integers(0, len(document) - 1))
        return [*document[:index], plant(document[index], draw, text, as_key), *document[index + 1 :]]
    if isinstance(document, dict) and document and draw(st.booleans()):
        key = draw(st.sampled_from(sorted(document)))
        return {**document, key: plant(document[key], draw, text, as_key)}
    return {text: document} if as_key else [document, text]


@given(planted())
@settings(fast, max_examples=250)
def test_nothing_planted_in_a_text_comes_out(case: tuple[str, str]) -> None:
    text, secret = case
    assert_hidden(redact_text(text), secret)


@given(planted(), words)
@fast
def test_nothing_planted_in_a_target_comes_out(case: tuple[str, str], word: str) -> None:
    text, secret = case
    raw = text.replace("&", "%26").replace("?", "").encode()
    assert_hidden(redact_url(b"/v1/" + raw, b""), secret)
    assert_hidden(redact_url(b"/v1/" + raw + b"/x", word.encode()), secret)
    for query in (raw + b"=1&a=b", b"q=" + raw, b"from=" + raw, raw):
        assert_hidden(redact_url(b"/v1", query), secret)


@given(planted())
@fast
def test_nothing_planted_in_a_header_comes_out(case: tuple[str, str]) -> None:
    text, secret = case
    value = text.encode("latin-1", "ignore")
    names = [
        b"user-agent",
        b"accept",
        b"idempotency-key",
        b"authorization",
        b"cookie",
        b"x-api-key",
        b"x-other",
    ]
    headers = redact_headers([(name, value) for name in names])
    assert set(headers) <= {"user-agent", "accept", "idempotency-key", "authorization", "cookie", "x-api-key"}
    for shown in headers.values():
        assert_hidden(shown, secret)


@given(st.data(), planted(), documents, st.booleans(), st.booleans(), splits)
@settings(fast, max_examples=150)
def test_nothing_planted_in_json_comes_out(
    data: st.DataObject, case: tuple[str, str], document: Any, as_key: bool, ascii_only: bool, cuts: list[int]
) -> None:
    text, secret = case
    body = json.dumps(plant(document, data.draw, text, as_key), ensure_ascii=ascii_only).encode()
    result = redact(body, cuts=cuts)
    value = (result.value or b"").decode()
    assert_hidden(json.dumps(json.loads(value), ensure_ascii=False), secret)
    assert result == redact(body)
    # Cut off behind the secret it is no longer JSON, and still nothing comes out.
    encoded = json.dumps(text, ensure_ascii=ascii_only)[1:-1].encode()
    end = body.index(encoded) + len(encoded)
    broken = redact(body[: data.draw(st.integers(end, len(body)))]).value or b""
    assert_hidden(json.dumps(json.loads(broken), ensure_ascii=False), secret)


@given(cards(), documents)
@fast
def test_a_card_as_a_json_number_comes_out_masked(card: str, document: Any) -> None:
    for number in (card, f"{card}.0", f"{card[0]}.{card[1:]}e{len(card) - 1}"):
        value = redact(b'{"a":%b,"b":%b}' % (json.dumps(document).encode(), number.encode())).value
        assert value is not None
        assert json.loads(value)["b"].startswith(card[:6] + "*")
        assert_hidden(value.decode(), card)


SENSITIVE = st.sampled_from(
    [
        "cvv",
        "CVV2",
        "card_cvc",
        "pin",
        "pinBlock",
        "track2",
        "password",
        "clientSecret",
        "access_token",
        "apiKey",
    ]
)


@given(st.data(), SENSITIVE, st.text("QWX", min_size=6, max_size=9), documents, splits)
@settings(fast, max_examples=100)
def test_nothing_under_a_sensitive_name_comes_out(
    data: st.DataObject, name: str, secret: str, document: Any, cuts: list[int]
) -> None:
    under: Any = data.draw(st.sampled_from([secret, [secret], {"x": [1, {"y": secret}]}, [[], "]}", secret]]))
    body = json.dumps([document, {"a": 1, name: under, "b": document}, document]).encode()
    value = redact(body, cuts=cuts).value or b""
    assert secret.encode() not in value
    assert json.loads(value)[0] == json.loads(value)[2] == document
    assert secret not in str(redact(body[:-1], cuts=cuts).value)
    form = urllib.parse.urlencode({"a": "1", name: secret, "b": "2"}).encode()
    assert secret.encode() not in (redact(form, FORM, cuts).value or b"")
    assert secret not in redact_text(f"<a><{name}>{secret}</{name}></a>")
    assert secret not in redact_text(f"a: b, {name}: {secret}")


@given(documents, st.booleans(), splits)
@fast
def test_a_clean_document_is_kept_byte_for_byte(document: Any, ascii_only: bool, cuts: list[int]) -> None:
    body = json.dumps(document, ensure_ascii=ascii_only, indent=None if ascii_only else 1).encode()
    assert redact(body, cuts=cuts) == RedactedBody(body, len(body), None, False)


PIECES = """ " { } [ ] : , = & % ; < > / ? 4111 4111111111111111 1111 cvv pin password token 12 - + . e 15 eyJ
hp_live_ abc -----BEGIN ----- END ４ %34 &#52; Bearer Basic null true x ÿ ż 漢 ^ @ :// 0""".split(" ")
fragments = st.lists(st.sampled_from([*PIECES, " ", "\\", "\n", "\t", "\u200b", "\\u0034"]), max_size=24).map("".join)
CONTENT_TYPES = st.sampled_from(["application/json", FORM, "text/plain", "text/xml", "image/png", "", ";;=", "a+json"])


@given(fragments.map(str.encode) | st.binary(max_size=60), CONTENT_TYPES, splits)
@settings(fast, max_examples=300)
def test_any_bytes_give_valid_json_however_they_are_split(body: bytes, content_type: str, cuts: list[int]) -> None:
    result = redact(body, content_type, cuts)
    assert result == redact(body, content_type)
    assert result.size == len(body)
    if result.value is None:
        assert not body
    else:
        json.loads(result.value)


@given(st.lists(fragments, max_size=30).map(" ,\n".join), CONTENT_TYPES, splits, st.integers(0, 400))
@settings(fast, max_examples=150)
def test_a_body_ends_the_same_way_where_its_effort_ends(
    text: str, content_type: str, cuts: list[int], most: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(body_module, "_EFFORT", most)
        patch.setattr(body_module, "_STEP", 64)
        patch.setattr(json_stream_module, "_BLOCK", 256)
        patch.setattr(json_stream_module, "_PART", 64)
        body = f'[1,{{"a":"{text}"}},"cvv",{text}'.encode()
        result = redact(body, content_type, cuts)
        assert result == redact(body, content_type)
        json.loads(result.value or b"")


@given(fragments)
@settings(fast, max_examples=300)
def test_redacting_twice_is_redacting_once(text: str) -> None:
    once = redact_text(text)
    assert redact_text(once) == once


@given(fragments)
@settings(fast, max_examples=300)
def test_what_the_gate_lets_through_has_nothing_to_redact(text: str) -> None:
    from hatchpay.audit.redact.cards import mask_cards
    from hatchpay.audit.redact.fields import redact_fields
    from hatchpay.audit.redact.shapes import redact_shapes

    if is_quiet(text):
        assert mask_cards(redact_fields(redact_shapes(text))) == text
    if is_plain(text):
        assert _redact(text) == text


@given(st.lists(st.tuples(st.binary(max_size=12), st.binary(max_size=40)), max_size=6), st.binary(), st.binary())
@fast
def test_no_request_makes_it_raise(headers: list[tuple[bytes, bytes]], path: bytes, query: bytes) -> None:
    redact_headers(headers)
    redact_url(path, query).encode()
