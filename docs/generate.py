"""Writes docs/reference.md from the code: `python -m docs.generate`. A test fails where the two differ."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from hatchpay.access.permission import CONTROL_PERMISSIONS, PLATFORM_PERMISSIONS, Permission
from hatchpay.access.role import BUILTIN_DESCRIPTIONS, BUILTIN_ROLES, builtin_permissions
from hatchpay.control.routes import CONTROL_ROUTES
from hatchpay.identity.ports import KeyState
from hatchpay.settings import Settings, describe

_CODE_KEYWORDS = {"code", "reason", "unknown"}
_CODE_CALLS = {"Decision", "Invalid", "_no_client", "distinct"}
_CODE = re.compile(r"[a-z]+(?:_[a-z]+)+")
ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "docs" / "reference.md"


def reference() -> str:
    sections = [
        "# Reference\n\nGenerated from the code by `python -m docs.generate`; a test keeps the two alike.",
        "## Calls\n\n" + _table(("method", "path", "permission"), _calls()),
        "## Permissions\n\nThose of the served API join them; see its `routes.toml`.\n\n"
        + _table(
            ("name", "read-only", "sensitive", "administrative", "allows to"), map(_permission, CONTROL_PERMISSIONS)
        ),
        "The platform operator's besides; no tenant's role can hold them:\n\n"
        + _table(
            ("name", "read-only", "sensitive", "administrative", "allows to"), map(_permission, PLATFORM_PERMISSIONS)
        ),
        "## Built-in roles\n\n" + _table(("role", "holds", "of HatchPay's own permissions"), _roles()),
        "## Settings\n\nFrom a command's option, else the variable, else `hatchpay.toml` (or `HATCHPAY_CONFIG`), else "
        "the default.\n\n" + _table(("name", "variable", "default", "what it is"), _settings()),
        "## Codes\n\nThe `code` of a problem, or the `reason` of a record. Compare these, never texts.\n\n"
        + "\n".join(f"- `{code}`" for code in codes()),
    ]
    return "\n\n".join(sections) + "\n"


def codes() -> list[str]:
    """Every stable code that stands in the source: `code=…`, `default_code`, and the reasons of decisions."""
    found: set[str] = set()
    for file in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            found.update(_codes(node))
    return sorted(found - {""})


def _codes(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Call):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        yield from (_text(keyword.value) for keyword in node.keywords if keyword.arg in _CODE_KEYWORDS)
        if name in _CODE_CALLS:
            yield from filter(_CODE.fullmatch, map(_text, node.args))
    elif isinstance(node, ast.Assign) and [getattr(target, "id", "") for target in node.targets] == ["default_code"]:
        yield _text(node.value)
    elif isinstance(node, ast.JoinedStr) and ast.unparse(node) == "f'key_{entry.state}'":
        yield from (f"key_{state}" for state in get_args(KeyState) if state != "enabled")


def _text(node: ast.expr) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _calls() -> Iterator[tuple[str, ...]]:
    for route in sorted(CONTROL_ROUTES, key=lambda route: (route.template, route.method)):
        yield route.method, f"`{route.template}`", f"`{route.permission}`" if route.permission else route.access


def _permission(permission: Permission) -> tuple[str, ...]:
    marks = ["yes" if mark else "" for mark in (permission.read_only, permission.sensitive, permission.administrative)]
    return (f"`{permission.name}`", *marks, permission.description)


def _roles() -> Iterator[tuple[str, ...]]:
    for role in BUILTIN_ROLES:
        names = sorted(builtin_permissions(role, CONTROL_PERMISSIONS))
        shown = "all" if len(names) == len(CONTROL_PERMISSIONS) else ", ".join(f"`{name}`" for name in names)
        yield role, BUILTIN_DESCRIPTIONS[role], shown


def _settings() -> Iterator[tuple[str, ...]]:
    for setting in describe(Settings(), dict.fromkeys(Settings.__struct_fields__, "default")):
        yield (
            f"`{setting.name}`",
            f"`{setting.variable}`",
            f"`{setting.default}`" if setting.default else "",
            setting.description,
        )


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]] | map[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    REFERENCE.write_text(reference())
