"""What commands print: a table for people, or one JSON document for programs.

Much of what is shown was written by strangers (the URL and the user agent of a recorded request). A terminal obeys
some characters, so none but printable ones reach it: the others are shown as escapes, in JSON as JSON's own.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, TypeVar

import msgspec
import typer

from hatchpay.admin.views import CreatedKey, RateLimitView, RoleReference

__all__ = ["BROKEN_PIPE", "Output", "printable", "write", "write_bytes"]

BROKEN_PIPE: Final = 141
"""What a shell shows for a program that SIGPIPE has ended."""

# No terminal is that wide: Rich is to cut nothing, and to fold nothing.
_UNBOUNDED: Final = 1_000_000
_GAP: Final = 3

Item = TypeVar("Item")


class Output:
    """`as_json` chooses between the two."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json

    def listing(
        self,
        items: Sequence[Item],
        columns: Mapping[str, Callable[[Item], object]],
        next_cursor: str | None = None,
    ) -> None:
        """A table with a row per item, or the envelope that the API's lists have."""
        if self.as_json:
            self.document({"data": items, "next_cursor": next_cursor})
            return
        _table(list(columns), ([text(of(item)) for of in columns.values()] for item in items))
        if next_cursor is not None:
            self.line(f"More: --cursor {next_cursor}")

    def one(self, item: msgspec.Struct) -> None:
        if self.as_json:
            self.document(item)
            return
        _table([], ([name, text(getattr(item, name))] for name in item.__struct_fields__))

    def issued(self, created: CreatedKey) -> None:
        """A key with its text, which no other call shows."""
        if self.as_json:
            self.document({**msgspec.to_builtins(created.view), "key": created.key})
            return
        self.one(created.view)
        self.secret(created)

    def secret(self, created: CreatedKey) -> None:
        self.line("")
        self.line("The API key, shown once and kept nowhere:")
        self.line(created.key)

    def document(self, value: object) -> None:
        encoded = msgspec.json.format(msgspec.json.encode(value), indent=2)
        write(_inert_json(encoded.decode()) + "\n")

    def json_line(self, value: object) -> None:
        write(_inert_json(msgspec.json.encode(value).decode()) + "\n")

    def line(self, text: str) -> None:
        write(printable(text) + "\n")


def printable(text: str) -> str:
    r"""`text` in which a terminal finds nothing to obey: ESC, for one, becomes the four characters `\x1b`."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def text(value: object) -> str:
    """One cell of a table."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case RoleReference():
            units = value.business_unit_ids
            return value.name if units is None else f"{value.name} (in {' and '.join(units) or 'no business unit'})"
        case RateLimitView():
            return f"{value.requests} per {value.window_seconds} s"
        case tuple() | list():
            return ", ".join(map(text, value)) or "-"
        case dict():
            return ", ".join(f"{name}={text(item)}" for name, item in value.items()) or "-"
        case msgspec.Struct():
            return ", ".join(f"{name} {text(getattr(value, name))}" for name in value.__struct_fields__)
        case _:
            return str(value)


def write(content: str) -> None:
    """To standard output, at once. Ends the program quietly where nobody reads it any more."""
    write_bytes(content.encode())


def write_bytes(content: bytes) -> None:
    """As `write`, for what is no text, or is not meant for a terminal."""
    try:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # The interpreter flushes once more at its end, and would complain there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(BROKEN_PIPE) from None
    except OSError as error:
        raise OSError(error.errno, error.strerror, "standard output") from None


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Nothing is cut or folded: whoever looks for an id wants to copy it."""
    # Rich takes as long to import as everything else of a small command.
    from rich.box import SIMPLE_HEAD
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    seen = sys.stdout.isatty()
    buffer = io.StringIO()
    console = Console(
        file=buffer,
        force_terminal=seen,
        color_system="auto" if seen else None,
        width=_UNBOUNDED,
        legacy_windows=False,
    )
    inert = [[printable(cell) for cell in row] for row in rows]
    tables = [(headings, inert)]
    widths = [max(map(cell_len, column)) + _GAP for column in zip(headings, *inert, strict=True)] if headings else []
    if seen and sum(widths) > shutil.get_terminal_size().columns:
        # Too wide for this terminal: one block for each row, a line for each cell.
        tables = [((), [list(pair) for pair in zip(headings, row, strict=True)]) for row in inert]
    for names, lines in tables:
        table = Table(box=SIMPLE_HEAD if seen and names else None, show_header=bool(names), pad_edge=False)
        for name in names or ("", ""):
            table.add_column(name, no_wrap=True, overflow="ignore")
        for line in lines:
            table.add_row(*map(Text, line))
        console.print(table, soft_wrap=True)
        if len(tables) > 1:
            console.print()
    write("".join(f"{line.rstrip()}\n" for line in buffer.getvalue().splitlines()))


def _escaped(char: str) -> str:
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")


def _inert_json(document: str) -> str:
    """Characters that are not printable stand in strings only, where JSON lets any be written as an escape."""
    if document.isprintable():
        return document
    return "".join(char if char.isprintable() or char == "\n" else _json_escaped(char) for char in document)


def _json_escaped(char: str) -> str:
    return json.dumps(char)[1:-1]
