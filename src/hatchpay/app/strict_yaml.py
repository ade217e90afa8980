"""YAML that means one thing only: no aliases, no doubled keys, and texts wherever YAML is known to guess."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar

import yaml

from hatchpay.errors import InvalidInput

__all__ = ["load_yaml", "read_text"]

_BOOLEAN = re.compile(r"(?:true|false)\Z")
_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]{0,17})\Z")


class _Loader(yaml.SafeLoader):
    """An alias can make a file of a kilobyte mean gigabytes, and of two keys that are alike the first is lost."""

    yaml_implicit_resolvers: ClassVar[dict[str, list[tuple[str, re.Pattern[str]]]]] = {  # type: ignore[misc]
        **{letter: [("tag:yaml.org,2002:bool", _BOOLEAN)] for letter in "tf"},
        **{letter: [("tag:yaml.org,2002:int", _WHOLE)] for letter in "-0123456789"},
        "n": [("tag:yaml.org,2002:null", re.compile(r"null\Z"))],
        "": [("tag:yaml.org,2002:null", re.compile(r"\Z"))],
    }

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem="aliases are not taken", problem_mark=mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        keys: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in keys:
                    raise yaml.MarkedYAMLError(problem="a key stands twice", problem_mark=key.start_mark)
                keys.add(key.value)
        return super().construct_mapping(node, deep=deep)


def load_yaml(path: Path, most: int) -> object:
    """The one document in a file of at most `most` bytes. Raises InvalidInput that names the place."""
    text = read_text(path, most)
    place = ""
    try:
        return yaml.load(text, _Loader)  # noqa: S506
    except yaml.MarkedYAMLError as error:
        if error.problem_mark is not None:
            place = f", line {error.problem_mark.line + 1}, column {error.problem_mark.column + 1}"
        problem = error.problem or "is not YAML"
    except (yaml.YAMLError, ValueError, RecursionError):
        problem = "is not YAML"
    raise InvalidInput(f"{path}{place}: {problem}", code="policy_tests_invalid")


def read_text(path: Path, most: int) -> str:
    """A file of at most `most` bytes. Raises InvalidInput where it is larger, not UTF-8, or cannot be read."""
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}", code="policy_tests_invalid") from None
    try:
        if len(data) <= most:
            return data.decode()
    except UnicodeDecodeError:
        pass
    raise InvalidInput(f"{path} is not UTF-8, or larger than {most // 1024} KiB", code="policy_tests_invalid")
