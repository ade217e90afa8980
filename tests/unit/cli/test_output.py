"""What commands print: whole ids, valid JSON, and nothing that a terminal would obey."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hatchpay.admin.views import RateLimitView, RoleReference
from hatchpay.cli.output import Output, printable, text

HOSTILE = ["\x1b[2J\x1b]0;owned\x07", "\x9b31m", "\r\nforged line", "a\u202eb", "\u2028", "\ud800", "\x00\x7f", "\t"]


@given(st.text())
def test_a_terminal_finds_nothing_to_obey_in_what_is_shown(content: str) -> None:
    assert printable(content).isprintable()


@given(st.text(st.characters(categories=["L", "N", "P", "S"])))
def test_text_that_is_harmless_is_shown_as_it_is(content: str) -> None:
    assert printable(content) == content


def test_escapes_are_visible_instead_of_lost() -> None:
    assert printable("\x1b[31mred") == r"\x1b[31mred"


@pytest.mark.parametrize("hostile", [value for value in HOSTILE if value != "\ud800"])
@pytest.mark.parametrize("form", ["document", "json_line"])
def test_json_is_printable_and_means_the_same(hostile: str, form: str, capfd: pytest.CaptureFixture[str]) -> None:
    getattr(Output(as_json=True), form)({"url": hostile, "name": "Müller \U0001f375"})
    printed = capfd.readouterr().out
    assert printed.replace("\n", "").isprintable()
    assert json.loads(printed) == {"url": hostile, "name": "Müller \U0001f375"}
    assert printed.endswith("\n")


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_table_shows_hostile_text_inert_and_on_its_own_row(hostile: str, capfd: pytest.CaptureFixture[str]) -> None:
    Output(as_json=False).listing([hostile, "next"], {"url": lambda item: item, "n": len})
    lines = capfd.readouterr().out.splitlines()
    assert len(lines) == 3
    assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize("markup", ["[red]x[/red]", "[bold]", ":tea:", "[link=http://x]y[/link]", "[/]"])
def test_markup_in_data_is_data(markup: str, capfd: pytest.CaptureFixture[str]) -> None:
    Output(as_json=False).listing([markup], {"name": lambda item: item})
    assert capfd.readouterr().out.splitlines() == ["name", markup]


def test_what_goes_to_a_pipe_is_neither_cut_nor_coloured(capfd: pytest.CaptureFixture[str]) -> None:
    long = "x" * 20_000
    columns: dict[str, Callable[[str], object]] = {f"column {number}": lambda item: item for number in range(3)}
    Output(as_json=False).listing([long], columns)
    assert capfd.readouterr().out.splitlines()[1].split() == [long] * 3


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Makes standard output seem to be a terminal of so many columns."""

    def seem(columns: int) -> None:
        monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("TERM", "xterm")

    return seem


ID = "01a20b74-ad32-76f3-b8e2-56580ae4835b"
COLUMNS: dict[str, Callable[[str], object]] = {"id": lambda item: item, "copy": lambda item: item}


def lines_of(printed: str) -> list[str]:
    """Without what makes headings bold."""
    return [line.strip() for line in re.sub(r"\x1b\[\d*m", "", printed).splitlines() if line.strip()]


def test_a_wide_terminal_gets_a_table(terminal: Callable[[int], None], capfd: pytest.CaptureFixture[str]) -> None:
    terminal(100)
    Output(as_json=False).listing([ID, ID], COLUMNS)
    heading, rule, *rows = lines_of(capfd.readouterr().out)
    assert heading.split() == ["id", "copy"]
    assert set(rule) == {"─"}
    assert [row.split() for row in rows] == [[ID, ID]] * 2


@pytest.mark.parametrize("columns", [20, 60])
def test_a_narrow_terminal_gets_a_block_for_each_row_with_whole_ids(
    columns: int, terminal: Callable[[int], None], capfd: pytest.CaptureFixture[str]
) -> None:
    terminal(columns)
    Output(as_json=False).listing([ID, ID], COLUMNS)
    assert [line.split() for line in lines_of(capfd.readouterr().out)] == [["id", ID], ["copy", ID]] * 2


def test_one_thing_is_shown_as_a_line_for_each_field(capfd: pytest.CaptureFixture[str]) -> None:
    Output(as_json=False).one(RoleReference(ID, "admin"))
    assert [line.split() for line in lines_of(capfd.readouterr().out)] == [
        ["id", ID],
        ["name", "admin"],
        ["business_unit_ids", "-"],
    ]


def test_a_list_has_the_envelope_of_the_api(capfd: pytest.CaptureFixture[str]) -> None:
    Output(as_json=True).listing([RoleReference("i", "admin")], {}, "17")
    shown = {"id": "i", "name": "admin", "business_unit_ids": None}
    assert json.loads(capfd.readouterr().out) == {"data": [shown], "next_cursor": "17"}


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (None, "-"),
        (True, "yes"),
        (False, "no"),
        (0, "0"),
        ((), "-"),
        ((RoleReference("i", "admin"), RoleReference("j", "gl")), "admin, gl"),
        ((RateLimitView(100, 60), RateLimitView(1, 1)), "100 per 60 s, 1 per 1 s"),
        (RoleReference("i", "admin", ("u", "v")), "admin (in u and v)"),
        ({"a": "b"}, "a=b"),
    ],
)
def test_a_cell_reads_well(value: object, cell: str) -> None:
    assert text(value) == cell
