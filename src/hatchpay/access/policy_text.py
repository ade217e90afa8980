"""The text of a policy as words and statements: where something stands, and whether Cedar may look at it at all.

Cedar's messages carry no positions, and its parser ends the process where an expression is nested deeper than the
stack: on a stack of 512 KiB, at 37 parentheses. So a text is cut into statements here, and bounded, before Cedar sees
one. What a statement means is never decided here: that is Cedar's own reading of each one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from hatchpay.errors import InvalidInput

__all__ = [
    "MAX_STATEMENT_BYTES",
    "Place",
    "Statement",
    "Token",
    "check_shape",
    "invalid",
    "locate",
    "place_of",
    "split",
    "tokens",
]

MAX_STATEMENT_BYTES: Final = 64 * 1024
_DEEPEST: Final = 20
_MOST_IFS: Final = 20
_MOST_OPERATORS: Final = 500
_MOST_CLAUSES: Final = 100
_LONGEST_DETAIL: Final = 300
_OPEN: Final = frozenset("([{")
_CLOSE: Final = frozenset(")]}")
_OPERATORS: Final = frozenset(
    {"&&", "||", "==", "!=", "<", "<=", ">", ">=", "+", "-", "*", "!", ".", "[", "in", "has", "like", "is"}
)
# Cedar ends a comment at a carriage return as well.
_TOKEN: Final = re.compile(
    r"""\s+|//[^\n\r]*|(?P<token>[A-Za-z_][A-Za-z0-9_]*|[0-9]+|"(?:[^"\\]|\\.)*"?|::|==|!=|<=|>=|&&|\|\||.)""",
    re.DOTALL,
)


class Token(NamedTuple):
    """A word, number, string or sign. `start` counts characters from the beginning of the whole text."""

    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)


class Place(NamedTuple):
    """Both count from 1; a column is a character."""

    line: int
    column: int


class Statement(NamedTuple):
    """One statement with its `;`, if it has one, without the comments before it."""

    text: str
    words: Sequence[Token]

    @property
    def start(self) -> int:
        return self.words[0].start

    def until(self, count: int) -> str:
        """The first `count` words, as they stand."""
        return self.text[: self.words[count - 1].end - self.start]


def tokens(text: str) -> Iterator[Token]:
    """Whatever stands there is in some token: a sign that means nothing is one of its own."""
    for match in _TOKEN.finditer(text):
        if match.lastgroup is not None:
            yield Token(match["token"], match.start())


def split(text: str) -> list[Statement]:
    """A `;` ends a statement wherever it stands outside of strings and comments: Cedar has no other use for it."""
    found: list[Statement] = []
    words: list[Token] = []
    for token in tokens(text):
        words.append(token)
        if token.text == ";":
            found.append(_statement(text, words))
            words = []
    if words:
        found.append(_statement(text, words))
    return found


def _statement(text: str, words: list[Token]) -> Statement:
    return Statement(text[words[0].start : words[-1].end], words)


def place_of(text: str, offset: int) -> Place:
    before = text[:offset]
    return Place(before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1)


def locate(statement: Statement, name: str) -> int:
    """The offset at which `name`, quoted from a message, stands in the statement; else that of its beginning."""
    wanted = [token.text for token in tokens(name)]
    have = [token.text for token in statement.words]
    for spelling in (wanted, [f'"{name}"']):
        for index in range(len(have) - len(spelling) + 1):
            if spelling and have[index : index + len(spelling)] == spelling:
                return statement.words[index].start
    return next((token.start for token in statement.words if name and name in token.text), statement.start)


def invalid(text: str, offset: int, complaint: str) -> InvalidInput:
    """The refusal of a policy's text, for what stands at `offset`."""
    place = place_of(text, offset)
    said = " ".join(complaint.split())
    detail = said if len(said) <= _LONGEST_DETAIL else said[: _LONGEST_DETAIL - 1] + "…"
    return InvalidInput(detail, code="policy_invalid", field="text", line=place.line, column=place.column)


def check_shape(text: str, statement: Statement) -> None:
    """Raises InvalidInput for a statement that is larger, or more deeply nested, than Cedar is to be given."""
    if len(statement.text.encode()) > MAX_STATEMENT_BYTES:
        raise invalid(text, statement.start, f"a statement holds at most {MAX_STATEMENT_BYTES // 1024} KiB")
    depth = ifs = operators = clauses = 0
    for word in statement.words:
        if word.text in _OPEN:
            depth += 1
        elif word.text in _CLOSE:
            depth -= 1
            if word.text == "}" and depth <= 0:
                ifs = operators = 0
                clauses += 1
        ifs += word.text == "if"
        operators += word.text in _OPERATORS
        if depth > _DEEPEST or ifs > _MOST_IFS:
            raise invalid(text, word.start, f"nested more than {_DEEPEST} deep")
        if operators > _MOST_OPERATORS:
            raise invalid(text, word.start, f"more than {_MOST_OPERATORS} operators in one when or unless clause")
        if clauses > _MOST_CLAUSES:
            raise invalid(text, word.start, f"more than {_MOST_CLAUSES} when and unless clauses in one statement")
