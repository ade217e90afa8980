"""Work: what a hostile body may cost is bounded by its length, and ends the same way however it arrives."""

from __future__ import annotations

import json
import time

import pytest

from hatchpay.audit.redact import BodyRedactor, RedactedBody, redact_text, redact_url
from hatchpay.audit.redact import names as names_module
from hatchpay.audit.redact.body import TOO_COSTLY
from hatchpay.audit.redact.cards import is_card, mask_cards
from hatchpay.audit.redact.effort import Effort, Exhausted
from hatchpay.audit.redact.names import is_telling
from hatchpay.audit.redact.views import views

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
TEXT = "text/plain"


def redact(body: bytes, content_type: str, step: int = 65_536) -> RedactedBody:
    redactor = BodyRedactor(content_type, b"key")
    for start in range(0, len(body), step):
        redactor.feed(body[start : start + step])
    return redactor.finish()


def filled(unit: str, size: int) -> str:
    return (unit * (size // len(unit) + 1))[:size]


def cost(body: bytes, content_type: str) -> float:
    """The least processor time of three runs."""
    spent: list[float] = []
    for _ in range(3):
        start = time.process_time()
        redact(body, content_type)
        spent.append(time.process_time() - start)
    return min(spent)


UNITS = [
    "\\",
    "\\u0025",
    "%5c",
    "%2525",
    "&amp;#52;",
    "4",
    "6 ",
    "66-",
    "4" * 32 + ",",
    "1.",
    "12345678901e",
    "eyJ",
    "eyJa..",
    "ewo",
    "hp_live_",
    "Bearer ",
    "-----BEGIN ",
    "-",
    "://",
    "12345678 ^",
    "password:",
    "cvv 123 ",
    "a: ",
    "a:\n",
    "<pin>",
    "<a ",
    '"',
    '{"a":',
    "[",
    "\x01",
    "\uff14",
]


@pytest.mark.parametrize("unit", UNITS)
def test_four_times_the_body_is_not_sixteen_times_the_work(unit: str) -> None:
    for content_type, frame in ((TEXT, "{}"), (FORM, "x={}"), (JSON, "{}"), (JSON, '["{}"]')):
        before, after = frame.split("{}")
        short, long = ((before + filled(unit, size) + after).encode() for size in (10_000, 40_000))
        assert cost(long, content_type) < 10 * cost(short, content_type) + 0.01


HOSTILE = [
    (TEXT, "cvv:1,"),
    (TEXT, "6 6 6 6 6 6 6 6 6 6 6 6,"),
    (FORM, "x=%5cu0025&"),
    (JSON, '["' + "4" * 32 + '"],'),
    (JSON, '{"a":"\\\\u0034%2534"},'),
]


@pytest.mark.parametrize(("content_type", "unit"), HOSTILE)
def test_a_body_that_costs_too_much_is_dropped_from_there_on(content_type: str, unit: str) -> None:
    body = filled(unit, 400_000).encode() + b"4111111111111111"
    first = redact(body, content_type)
    assert first.size == len(body)
    kept = json.loads(first.value or b"")
    assert first.truncated or kept.endswith(TOO_COSTLY)
    assert "4111111" not in kept
    for step in (400_016, 40_001):
        assert redact(body, content_type, step) == first


def test_how_it_ends_does_not_depend_on_what_was_seen_before() -> None:
    body = "".join(f'{{"cvv{chr(97 + i % 26)}{chr(97 + i // 26 % 26)}":"a%20b"}},' for i in range(30_000)).encode()
    names_module._remembered_kind.cache_clear()
    assert redact(body, JSON) == redact(body, JSON)


def test_records_full_of_secrets_are_redacted_to_their_end() -> None:
    record = {
        "id": 7,
        "mail": "a@b.pl",
        "card": "4111 1111 1111 1111",
        "cvv": "123",
        "token": "eyJhbGciOiJIUzI1NiJ9.e30.x",
    }
    body = json.dumps([record] * 500).encode()
    value = json.loads(redact(body, JSON).value or b"")
    assert len(value) == 500
    assert value[499] == {**record, "card": "411111******1111", "cvv": "[removed]", "token": "[redacted]"}


def test_text_in_another_alphabet_is_not_dropped() -> None:
    body = json.dumps([{"name": "Zażółć gęślą jaźń", "city": "北京市", "note": 'a "b" \n c'}] * 500).encode()
    assert redact(body, JSON).value == body


def test_a_text_that_costs_too_much_is_dropped_whole() -> None:
    assert redact_text(filled("cvv:1,a=%20", 300_000)) == "[redacted]"
    with pytest.raises(Exhausted):
        redact_text("cvv: 123", Effort(3))


def test_a_name_of_a_card_and_of_a_secret_is_that_of_a_secret() -> None:
    assert redact_text("pan of the secret id: x") == "pan of the secret id: [redacted]"


def test_backslashes_are_decoded_at_once() -> None:
    for count in (1, 2, 3, 1000):
        assert list(views("\\" * count + "u0034"))[-1] == "4"
        assert list(views("\\" * count + "a")) == ([] if count == 1 else ["\\a"])


def test_every_rule_about_names_passes_the_first_look() -> None:
    words = (
        names_module._REMOVED_WORDS
        | names_module._REMOVED_ENDS
        | names_module._CARD_WORDS
        | names_module._SECRET_WORDS
        | names_module._SECRET_ENDS
    )
    assert all(is_telling(word) and is_telling(f"X-{word.upper()}") for word in words)
    assert not any(map(is_telling, ("amount", "currency", "name", "description", "created_at", "public_key")))


def test_digits_in_groups_are_searched_as_one_by_one() -> None:
    for text in ("6 " * 30, "4 1" * 11, "60 11 1 1111 111 11 111 7 2", "5555 5555 5555 4444 4111 1111 1111 1111"):
        digits = text.replace(" ", "")
        ends = [i for i in range(len(text) + 1) if i in (0, len(text)) or " " in text[i - 1 : i + 1]]
        spans = {(len(text[:a].replace(" ", "")), len(text[:b].replace(" ", ""))) for a in ends for b in ends if a < b}
        hits = [digits[a:b] for a, b in spans if is_card(digits[a:b])]
        assert ("*" in mask_cards(text)) == bool(hits)


def test_too_many_digits_in_a_row_are_not_searched() -> None:
    assert mask_cards("1 " * 200) == "[redacted digits] "
    assert mask_cards("x" + "12-" * 100 + "y") == "x[redacted digits]-y"


def test_a_query_that_costs_too_much_is_dropped() -> None:
    query = "&".join(["4 " * 60 + "%2534=1"] * 256).encode()
    assert redact_url(b"/p", query) == "/p?[redaction failed]"
    assert redact_url(b"/p", b"&".join([b"a%20b=1"] * 200)).count("a%20b=[dropped]") == 200
