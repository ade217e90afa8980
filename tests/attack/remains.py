"""What a server leaves behind, byte by byte and with every disguise taken off, searched for canaries."""

from __future__ import annotations

import html
import re
import sqlite3
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote

import msgspec
from tests.attack.canaries import Canary
from tests.support.vaults import vault_of

from hatchpay.store.feed import LedgerFeed

__all__ = ["WINDOW", "Remains", "of_directory", "of_files", "of_the_record"]

WINDOW = 12
"""Characters of a secret, or digits of a card number, that may stand nowhere in a row."""

_ROUNDS = 3
_RUN = re.compile(rf"[A-Za-z0-9]{{{WINDOW},}}")
_DIGITS = re.compile(rf"\d(?:\W{{0,4}}\d){{{WINDOW - 1},}}")
_HEX_ESCAPES = re.compile(r"(?:\\+x[0-9a-fA-F]{2})+")
_UNICODE_ESCAPE = re.compile(r"\\+u([0-9a-fA-F]{4})")


class Remains:
    """All that was left in one place."""

    def __init__(self, where: str, data: bytes) -> None:
        self.where = where
        self._windows: set[str] = set()
        text = data.decode("utf-8", "replace")
        for _ in range(_ROUNDS):
            self._windows.update(_windows(text))
            plainer = _decode(text)
            if plainer == text:
                break
            text = plainer

    def hold(self, canary: Canary) -> bool:
        """Whether any part of the secret is left."""
        return any(window in self._windows for window in _parts(canary.secret))


def of_directory(data_dir: Path) -> list[Remains]:
    """Every file as it lies there, and every value of a database, since pages of its file tear values apart.

    payments.db is the application's own.
    """
    paths = [path for path in sorted(data_dir.rglob("*")) if path.is_file() and not path.name.startswith("payments.db")]
    found = of_files(*paths)
    for path in paths:
        if path.suffix == ".db":
            found += [Remains(f"{path.name}: {table}", data) for table, data in _tables(path)]
    return found


def of_the_record(data_dir: Path) -> list[Remains]:
    """What is encrypted in the ledger, opened."""
    feed = LedgerFeed(data_dir / "ledger.db", vault_of(data_dir))
    shown = [msgspec.json.encode(kept.flat()) for kept in feed.after(0, 1_000_000)]
    return [Remains("the record, opened", b" ~~~~~ ".join(shown))]


def of_files(*paths: Path) -> list[Remains]:
    return [Remains(path.name, path.read_bytes()) for path in paths]


def _tables(path: Path) -> Iterator[tuple[str, bytes]]:
    db = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    try:
        for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            values: Iterable[object] = (value for row in db.execute(f'SELECT * FROM "{table}"') for value in row)
            known = (value.encode() if isinstance(value, str) else value for value in values)
            yield table, b" ~~~~~ ".join(value for value in known if isinstance(value, bytes))
    finally:
        db.close()


def _windows(text: str) -> Iterator[str]:
    for run in _RUN.findall(text):
        yield from _parts(run)
    for run in _DIGITS.findall(text):
        yield from _parts("".join(str(unicodedata.decimal(letter)) for letter in run if letter.isdecimal()))


def _parts(text: str) -> Iterator[str]:
    return (text[start : start + WINDOW] for start in range(len(text) - WINDOW + 1))


def _decode(text: str) -> str:
    text = _HEX_ESCAPES.sub(lambda found: bytes.fromhex(re.sub(r"\\+x", "", found[0])).decode("utf-8", "replace"), text)
    text = _UNICODE_ESCAPE.sub(lambda found: chr(int(found[1], 16)), text)
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return html.unescape(unquote(text))
