"""The error tree is what its drawing says, and every error becomes the one problem shape."""

from __future__ import annotations

import re
from http import HTTPStatus

import pytest

from hatchpay import errors
from hatchpay.errors import (
    Forbidden,
    HatchPayError,
    InvalidInput,
    MalformedRequest,
    NotFound,
    Unavailable,
    problem,
)

_LINE = re.compile(r"(?P<bars>[│ ]*)(?:[├└]── )(?P<name>\w+) +(?P<rest>.*)")


def _drawn() -> dict[str, tuple[str, str]]:
    """Class name to its parent's name and what is written beside it, read off the docstring."""
    tree: dict[str, tuple[str, str]] = {}
    parents = ["HatchPayError"]
    for line in (errors.__doc__ or "").splitlines():
        match = _LINE.match(line)
        if match:
            depth = len(match["bars"]) // 4 + 1
            tree[match["name"]] = (parents[depth - 1], match["rest"])
            parents[depth:] = [match["name"]]
    return tree


def _classes() -> list[type[HatchPayError]]:
    return [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, HatchPayError)]


def test_the_drawing_is_the_class_tree() -> None:
    real = {cls.__name__: cls.__bases__[0].__name__ for cls in _classes() if cls is not HatchPayError}
    assert {name: parent for name, (parent, _) in _drawn().items()} == real
    assert len(real) == 20


def test_the_module_exports_every_error_and_their_shape() -> None:
    assert set(errors.__all__) == {cls.__name__ for cls in _classes()} | {"problem"}


def test_the_status_that_is_drawn_is_the_status_that_is_sent() -> None:
    drawn = {
        name: {int(number) for number in re.findall(r"\b[45]\d\d\b", rest.partition(":")[0])}
        for name, (_, rest) in _drawn().items()
    }
    for cls in _classes():
        if statuses := drawn.get(cls.__name__):
            assert cls("x").status in statuses, cls
    assert sum(bool(statuses) for statuses in drawn.values()) == 14


def test_every_error_has_a_code_in_snake_case() -> None:
    codes = [cls("x").code for cls in _classes()]
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", code) for code in codes)
    assert len(set(codes)) == len(codes)


def test_an_error_that_nobody_gave_a_status_is_the_servers_fault() -> None:
    assert HatchPayError("x").status == 500


def test_code_and_status_of_one_error_can_be_sharper_than_its_class() -> None:
    error = MalformedRequest("too long", code="body_too_large", status=413)
    assert (error.code, error.status, error.detail, str(error)) == ("body_too_large", 413, "too long", "too long")


def test_a_problem_has_the_members_of_rfc_9457_and_ours() -> None:
    assert problem(NotFound("no such key"), "0190-id") == {
        "type": "urn:hatchpay:problem:not_found",
        "title": "Not Found",
        "status": 404,
        "detail": "no such key",
        "code": "not_found",
        "request_id": "0190-id",
    }


def test_a_problem_names_what_is_to_be_mended() -> None:
    assert problem(InvalidInput("is required", field="name"), None)["field"] == "name"
    assert problem(Forbidden("no", permission="a.b.c"), None)["permission"] == "a.b.c"
    assert not {"field", "permission"} & problem(Unavailable("later"), None).keys()


@pytest.mark.parametrize("cls", _classes())
def test_the_title_of_a_problem_is_the_phrase_of_its_status(cls: type[HatchPayError]) -> None:
    body = problem(cls("x"), None)
    assert body["title"] == HTTPStatus(int(str(body["status"]))).phrase
