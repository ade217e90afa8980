"""What `hatchpay rehearse` prints, and where."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest

from hatchpay.admin.rehearsal_views import (
    DifferenceGroup,
    DifferencesView,
    KeyRoles,
    PolicyText,
    RehearsalView,
    RolePermissions,
)
from hatchpay.cli.errors import run
from hatchpay.cli.ports import Local, Ports
from hatchpay.cli.program import build
from hatchpay.errors import AuditUnavailable, InvalidInput
from hatchpay.settings import Settings

NOTHING = DifferencesView(0, (), 0)


def group(**fields: Any) -> DifferenceGroup:
    values: dict[str, Any] = {
        "principal_id": "k1",
        "key_id": "k1",
        "name": "Till",
        "method": "GET",
        "route": "/orders",
        "permission": "shop.orders.read",
        "count": 3,
        "reason": "permission_missing",
        "missing": "shop.orders.read",
        "samples": ("r1", "r2"),
        "first_at": "2026-01-01T00:00:00.000000Z",
        "last_at": "2026-01-02T00:00:00.000000Z",
    }
    return DifferenceGroup(**(values | fields))


def result(denied: DifferencesView = NOTHING, allowed: DifferencesView = NOTHING, **fields: Any) -> RehearsalView:
    values: dict[str, Any] = {"skipped": {}, "undecided": 0, "undecided_because": {}}
    return RehearsalView(from_="A", to="B", requests=9, denied=denied, allowed=allowed, **(values | fields))


class Stage:
    """Stands in for the data directory; `asked` are the rehearsals that were prepared."""

    def __init__(self, answer: RehearsalView | Exception) -> None:
        self.answer = answer
        self.asked: list[tuple[Any, ...]] = []
        self.done, self.total = 0, 2
        self.rehearsals = self
        self.tenants = SimpleNamespace(find=lambda name: SimpleNamespace(id=f"id of {name}"))
        roles = [SimpleNamespace(name="viewer", id="role-1"), SimpleNamespace(name="second", id="r2")]
        self.roles = SimpleNamespace(list=lambda *_: SimpleNamespace(data=roles, next_cursor=None))

    def reader(self, tenant_id: str) -> str:
        return tenant_id

    def prepare(self, *asked: Any) -> Stage:
        self.asked.append(asked)
        return self

    def steps(self) -> Iterator[None]:
        for self.done in (1, 2):
            yield
        if isinstance(self.answer, Exception):
            raise self.answer

    def result(self) -> RehearsalView:
        assert isinstance(self.answer, RehearsalView) and self.done == 2
        return self.answer


def call(stage: Stage, *arguments: str) -> int:
    @contextmanager
    def open_local(settings: Settings, *, create: bool) -> Iterator[Local]:
        assert not create
        yield cast(Local, stage)

    def nothing(*_: Any) -> Any:
        raise AssertionError("only the data directory is needed")

    program = build(Ports(open_local, nothing, nothing, nothing, nothing, nothing))
    return run(program, ["rehearse", "--tenant", "Demo", *arguments])


CHANGE = ("--key", "k1", "--roles", "viewer")


def test_the_diff_is_by_caller_and_names_what_is_lost_before_what_is_won(capfd: pytest.CaptureFixture[str]) -> None:
    denied = DifferencesView(4, (group(), group(principal_id="user:ada", key_id=None, name=None, count=1)), 0)
    allowed = DifferencesView(1, (group(method="POST", reason="policy_forbids", missing=None, count=1),), 7)
    stage = Stage(result(denied, allowed, undecided=2, undecided_because={"body_not_kept": 2}, skipped={"local": 1}))
    assert call(stage, *CHANGE) == 1
    assert capfd.readouterr().out.splitlines() == [
        "--- as it is, A to B",
        "+++ with the change",
        "@@ Till k1 @@",
        "- GET /orders ×3: permission_missing shop.orders.read, such as r1",
        "+ POST /orders ×1: policy_forbids, such as r1",
        "@@ user:ada @@",
        "- GET /orders ×1: permission_missing shop.orders.read, such as r1",
        "7 more groups would be allowed.",
        "Of 9 requests, 4 would be denied and 1 allowed; 2 are undecided (body_not_kept 2), 1 skipped (local 1).",
    ]


def test_what_strangers_have_named_reaches_no_terminal_as_it_is(capfd: pytest.CaptureFixture[str]) -> None:
    denied = DifferencesView(1, (group(principal_id="user:\x1b[2J", name=None),), 0)
    call(Stage(result(denied)), *CHANGE)
    assert "\x1b" not in capfd.readouterr().out


def test_where_nothing_breaks_it_ends_well_whatever_is_won(capfd: pytest.CaptureFixture[str]) -> None:
    assert call(Stage(result(allowed=DifferencesView(1, (group(),), 0))), *CHANGE) == 0
    assert call(Stage(result()), *CHANGE) == 0
    assert capfd.readouterr().err == ""


def test_a_failure_is_not_taken_for_something_that_would_break(capfd: pytest.CaptureFixture[str]) -> None:
    assert call(Stage(AuditUnavailable("the ledger is gone")), *CHANGE) == 2
    captured = capfd.readouterr()
    assert (captured.out, "audit_unavailable" in captured.err) == ("", True)


@pytest.mark.parametrize(
    ("arguments", "change"),
    [
        (("--key", "k1", "--roles", "viewer, r2"), KeyRoles("k1", ("role-1", "r2"))),
        (("--key", "k1", "--roles", ""), KeyRoles("k1", ())),
        (("--role", "viewer", "--permissions", "a.b.c,d.e.f"), RolePermissions("role-1", ("a.b.c", "d.e.f"))),
        (("--role", "r2", "--permissions", ""), RolePermissions("r2", ())),
    ],
)
def test_the_change_is_as_it_was_asked_for(arguments: tuple[str, ...], change: object) -> None:
    stage = Stage(result())
    assert call(stage, *arguments, "--from", "1970-01-01T00:00:01Z") == 0
    assert stage.asked == [("id of Demo", change, 1_000_000, None)]


@pytest.mark.parametrize(
    "change", [("--key", "k1", "--roles", "viewer,captain"), ("--role", "captain", "--permissions", "")]
)
def test_a_role_that_is_not_there_is_named(change: tuple[str, ...], capfd: pytest.CaptureFixture[str]) -> None:
    assert call(Stage(result()), *change) == 2
    assert "there is no role 'captain' in this tenant; hatchpay roles list shows them" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("refusal", "told"),
    [
        (
            InvalidInput("not Cedar", code="policy_invalid", field="change.policy.text", line=3, column=7),
            "hatchpay: --policy: not Cedar, line 3, column 7 (policy_invalid)\n",
        ),
        (
            InvalidInput("there is no such permission", code="unknown_permission", field="change.permissions"),
            "hatchpay: --permissions: there is no such permission (unknown_permission)\n",
        ),
    ],
)
def test_what_is_wrong_with_a_change_is_told_with_its_place(
    refusal: InvalidInput, told: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert call(Stage(refusal), *CHANGE) == 2
    assert capfd.readouterr().err == told


def test_a_policy_is_read_from_its_file(tmp_path: Any) -> None:
    (tmp_path / "night.cedar").write_text("forbid …", "utf-8")
    stage = Stage(result())
    assert call(stage, "--policy", "night", str(tmp_path / "night.cedar")) == 0
    assert stage.asked[0][1] == PolicyText("night", "forbid …")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_is_shown_how_far_it_is_and_nobody_else(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert call(Stage(result()), *CHANGE, "--json") == 0
    assert "Rehearsing" in terminal.getvalue() and "2/2" in terminal.getvalue()
    assert "Rehearsing" not in capfd.readouterr().out
    monkeypatch.undo()
    assert call(Stage(result()), *CHANGE) == 0
    assert capfd.readouterr().err == ""
