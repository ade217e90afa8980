"""Card numbers in text: found by issuer range, length and Luhn, masked to first six and last four."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from functools import partial
from itertools import accumulate
from typing import Final

from hatchpay.audit.redact.effort import UNBOUNDED, Effort

__all__ = ["LONGEST", "is_card", "mask", "mask_cards", "may_hold_cards"]

_ISSUERS: Final = re.compile(
    "|".join(
        (
            r"4(?:\d{12}|\d{15}|\d{17,18})",  # Visa 13, 16, 18, 19
            r"(?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}",  # Mastercard 16
            r"3[47]\d{13}",  # American Express 15
            r"(?:30[0-5]\d|3095|3[689]\d\d)\d{10,15}",  # Diners Club 14-19
            r"35(?:2[89]|[3-8]\d)\d{12,15}",  # JCB 16-19
            r"(?:1800|2131)\d{11}",  # JCB 15
            r"(?:50|5[6-9]|6\d)\d{10,17}",  # Maestro 12-19; spans Discover, UnionPay, Verve, Elo, RuPay
            r"220[0-4]\d{12,15}",  # Mir 16-19
            r"8[12]\d{14}",  # RuPay 16
        )
    ),
    re.ASCII,
)
_BEGINS: Final = re.compile(r"4|5[0-9]|6|3[04-9]|2(?:2[0-9]|[3-7]|131)|8[12]|1800")
_SHORTEST: Final = 12
LONGEST: Final = 19
_DOUBLED: Final = bytes.maketrans(b"0123456789", bytes((0, 2, 4, 6, 8, 1, 3, 5, 7, 9)))
_VALUE: Final = bytes.maketrans(b"0123456789", bytes(range(10)))
_LONGEST_SEARCHED: Final = 32
_MOST_SEARCHED: Final = 128
_TOO_LONG: Final = "[redacted digits]"

_SEPARATED: Final = r"[0-9](?:[ \-+]{0,3}+[0-9]){11,}+"
_HEX: Final = "[0-9A-Fa-f]"
_UUID: Final = rf"(?<!{_HEX}){_HEX}{{8}}(?:-{_HEX}{{4}}){{3}}-{_HEX}{{12}}(?!{_HEX})"
_RUN: Final = re.compile(rf"({_SEPARATED})")
# A UUID is consumed before its digits can be taken for a card's.
_CANDIDATE: Final = re.compile(rf"{_UUID}|({_SEPARATED})")
_GROUP: Final = re.compile(r"[0-9]+")
_EXPONENT: Final = re.compile(r"[0-9](?<![0-9.][0-9])[0-9.]{9,40}[eE][+-]?[0-9]{1,2}(?![0-9])")


def is_card(digits: str) -> bool:
    """Whether ASCII digits are a possible card number."""
    if _ISSUERS.fullmatch(digits) is None:
        return False
    data = digits.encode("ascii")
    plain = data[-1::-2]
    return (sum(plain) - 48 * len(plain) + sum(data[-2::-2].translate(_DOUBLED))) % 10 == 0


def mask(digits: str) -> str:
    """`411111******1111`: the first six and the last four."""
    return f"{digits[:6]}{'*' * (len(digits) - 10)}{digits[-4:]}"


def may_hold_cards(text: str) -> bool:
    """Whether `text` may hold a card number, without the search that digits in groups need."""
    if ("e" in text or "E" in text) and _EXPONENT.search(text) is not None:
        return True
    runs: list[str] = (_CANDIDATE if "-" in text else _RUN).findall(text)
    return any(run and (not run.isdigit() or len(run) > LONGEST or is_card(run)) for run in runs)


def mask_cards(text: str, effort: Effort = UNBOUNDED) -> str:
    """Replace every card number in `text`, written plainly, in groups or as a decimal with an exponent."""
    if "e" in text or "E" in text:
        text = _EXPONENT.sub(partial(_mask_exponent, effort), text)
    if _RUN.search(text) is None:
        return text
    return (_CANDIDATE if "-" in text else _RUN).sub(partial(_mask_run, effort), text)


def _mask_exponent(effort: Effort, match: re.Match[str]) -> str:
    effort.spend(3)
    try:
        value = Decimal(match[0])
    except InvalidOperation:
        return match[0]
    if value.adjusted() >= LONGEST:
        return match[0]
    digits = format(value, "f").partition(".")[0]
    return mask(digits) if is_card(digits) else match[0]


def _mask_run(effort: Effort, match: re.Match[str]) -> str:
    run = match[1]
    if run is None:
        return match[0]
    effort.spend(2.5)
    if run.isdigit() and len(run) <= LONGEST:
        return mask(run) if is_card(run) else run
    if len(run) > 4 * _MOST_SEARCHED:
        return _TOO_LONG
    groups = [found.span() for found in _GROUP.finditer(run)]
    lengths = [end - start for start, end in groups]
    if max(lengths) > _LONGEST_SEARCHED or sum(lengths) > _MOST_SEARCHED:
        # Almost certain to hold a card's digits by chance, and costly to search.
        return _TOO_LONG
    effort.spend(1.5 * len(lengths) + sum(length for length in lengths if length > LONGEST))
    digits = "".join(run[start:end] for start, end in groups)
    hits = _search(digits, lengths)
    if not hits:
        return run
    effort.spend(len(hits))
    return _blank(run, groups, digits, hits)


def _search(digits: str, lengths: list[int]) -> list[tuple[int, int]]:
    """Where cards stand in `digits`: at group boundaries, and anywhere in a group longer than a card."""
    sums = _luhn_sums(digits)
    hits: list[tuple[int, int]] = []
    begin = 0
    for index, first in enumerate(lengths):
        if first > LONGEST:
            for start in range(begin, begin + first - _SHORTEST + 1):
                hits += _cards_from(digits, start, range(start + 1, begin + first + 1), sums)
        else:
            hits += _cards_from(digits, begin, accumulate(lengths[index : index + LONGEST], initial=begin), sums)
        begin += first
    return hits


def _luhn_sums(digits: str) -> tuple[list[int], list[int]]:
    """Running Luhn sums, for numbers whose last digit stands at an even index and at an odd one.

    A span is a Luhn number if the sums at its two ends differ by a multiple of ten, whatever its length.
    """
    data = digits.encode("ascii")
    plain, doubled = data.translate(_VALUE), data.translate(_DOUBLED)
    even, odd = bytearray(plain), bytearray(doubled)
    even[1::2], odd[1::2] = doubled[1::2], plain[1::2]
    return [*accumulate(even, initial=0)], [*accumulate(odd, initial=0)]


def _cards_from(
    digits: str, begin: int, ends: Iterable[int], sums: tuple[list[int], list[int]]
) -> list[tuple[int, int]]:
    if _BEGINS.match(digits, begin) is None:
        return []
    return [
        (begin, end)
        for end in ends
        if _SHORTEST <= end - begin <= LONGEST
        and (sums[1 - end % 2][end] - sums[1 - end % 2][begin]) % 10 == 0
        and _ISSUERS.fullmatch(digits, begin, end) is not None
    ]


def _blank(run: str, groups: list[tuple[int, int]], digits: str, hits: list[tuple[int, int]]) -> str:
    # A digit survives only if each overlapping hit may show it: whichever is the real card is safe.
    masked = list(digits)
    joined: set[int] = set()
    for start, stop in hits:
        masked[start + 6 : stop - 4] = "*" * (stop - start - 10)
        joined.update(range(start + 1, stop))
    out: list[str] = []
    position = 0
    last_end = 0
    for begin, end in groups:
        if position not in joined:
            out.append(run[last_end:begin])
        out += masked[position : position + end - begin]
        position += end - begin
        last_end = end
    return "".join(out)
