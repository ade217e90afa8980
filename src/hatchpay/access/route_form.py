"""How a route says where its business unit and its body fields stand: alike in TOML and in OpenAPI extensions.

business_unit = ["path:id", "body:business_unit_id"]         # or one of them, or "handler"
body_fields = { amount = { pointer = "/transaction/amount", type = "decimal" } }
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from hatchpay.access.routes import BodyField, FieldType, Route, UnitSource
from hatchpay.errors import SettingsError

__all__ = ["FieldEntry", "check_fields", "dump_fields", "dump_unit", "parse_fields", "parse_unit", "toml_text"]


class FieldEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A body field, without its name."""

    pointer: str
    type: FieldType
    times: str | None = None


def parse_unit(value: object, where: str) -> tuple[UnitSource, ...]:
    """`value` is a source, a list of them, or None. Raises SettingsError that says `where` it is wrong."""
    if value is None:
        return ()
    texts = value if isinstance(value, list) and value else [value]
    if not all(isinstance(text, str) for text in texts):
        raise SettingsError(f"{where} is neither a text nor a list of texts")
    return tuple(map(UnitSource.parse, texts))


def parse_fields(value: object, where: str) -> tuple[BodyField, ...]:
    """`value` maps each field's name to its entry, or is None. Raises SettingsError that says `where` it is wrong."""
    if value is None:
        return ()
    try:
        entries = msgspec.convert(value, dict[str, FieldEntry])
    except msgspec.ValidationError as error:
        raise SettingsError(f"{where} is wrong: {error}") from None
    return tuple(BodyField(name, entry.type, entry.pointer, entry.times) for name, entry in entries.items())


def dump_unit(sources: tuple[UnitSource, ...]) -> str:
    """The TOML value that `parse_unit` reads."""
    texts = [toml_text(source.text) for source in sources]
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"


def dump_fields(fields: tuple[BodyField, ...]) -> str:
    """The TOML value that `parse_fields` reads."""
    return f"{{ {', '.join(f'{field.name} = {_entry(field)}' for field in fields)} }}"


def check_fields(routes: Iterable[Route]) -> None:
    """Raises SettingsError where a permission's routes declare one field with two types: policies see it as one."""
    known: dict[tuple[str | None, str], FieldType] = {}
    for route in routes:
        for field in route.fields:
            if known.setdefault((route.permission, field.name), field.type) != field.type:
                raise SettingsError(f"the body field {field.name} of {route.permission} has two types")


def toml_text(text: str) -> str:
    """A basic string: JSON's escapes are among TOML's, and DEL is the one character that only TOML must escape."""
    return msgspec.json.encode(text).decode().replace("\x7f", "\\u007f")


_MEMBERS: Final = ("pointer", "type", "times")


def _entry(field: BodyField) -> str:
    given: Mapping[str, str | None] = {name: getattr(field, name) for name in _MEMBERS}
    return f"{{ {', '.join(f'{name} = {toml_text(value)}' for name, value in given.items() if value is not None)} }}"
