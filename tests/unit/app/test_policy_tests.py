"""`hatchpay policies test`: what counts as passed, and every way in which a file can be wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.server import ROOT

from hatchpay.app.policy_tests import run_cases
from hatchpay.cli.ports import PolicyText
from hatchpay.errors import InvalidInput

PAY = "shop.payments.create"
LIMIT = f"""forbid(principal, action == Action::"{PAY}", resource)
when {{ context.body.amount.greaterThan(decimal("500.00")) }};"""
HEAD = f"fields: {{{PAY}: {{amount: decimal, count: long, note: string}}}}\n"
CASE = f"""cases:
  - name: one
    principal: {{type: ApiKey, id: k, roles: [r]}}
    action: {PAY}
    body: {{amount: 500.01}}
    expect: deny
"""
ROUTES = f"""
[[permissions]]
name = "{PAY}"
description = "Pay"
[[routes]]
method = "POST"
path = "/payments"
permission = "{PAY}"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "amounts.cedar").write_text(LIMIT)
    (tmp_path / "routes.toml").write_text(ROUTES)
    return tmp_path


def outcomes(folder: Path, text: str) -> list[tuple[str, bool, str | None, str | None]]:
    (folder / "tests.yaml").write_text(text)
    found = run_cases(folder / "tests.yaml", None, None)
    return [(one.decision, one.passed, one.policy, one.reason) for one in found]


def refusal(folder: Path, text: str) -> str:
    (folder / "tests.yaml").write_text(text)
    with pytest.raises(InvalidInput) as caught:
        run_cases(folder / "tests.yaml", None, None)
    return caught.value.detail.replace(f"{folder}/", "")


def test_the_examples_that_ship_pass() -> None:
    found = run_cases(ROOT / "examples/policies/tests.yaml", None, None)
    assert [one for one in found if not one.passed] == []
    denying = {one.policy for one in found if one.decision == "deny"}
    assert denying == {path.stem for path in (ROOT / "examples/policies").glob("*.cedar")}


@pytest.mark.parametrize(
    ("more", "passed"),
    [
        ("", True),
        ("    policy: amounts\n", True),
        ("    policy: others\n", False),
        ("    reason: policy_forbids\n", True),
        ("    reason: policy_error\n", False),
    ],
)
def test_a_case_passes_where_all_that_it_expects_is_so(folder: Path, more: str, passed: bool) -> None:
    assert outcomes(folder, HEAD + CASE + more) == [("deny", passed, "amounts", "policy_forbids")]


def test_a_case_that_expects_the_contrary_fails(folder: Path) -> None:
    assert outcomes(folder, HEAD + CASE.replace("deny", "allow")) == [("deny", False, "amounts", "policy_forbids")]
    allowed = HEAD + CASE.replace("500.01", "500")
    assert outcomes(folder, allowed) == [("allow", False, None, None)]


@pytest.mark.parametrize(
    ("written", "arrives"),
    [("amount: 500.10", "500.10"), ("amount: 12", "12"), ("amount: 1_0", None), ("amount: .5", None)],
)
def test_decimals_are_taken_as_they_are_written(folder: Path, written: str, arrives: str | None) -> None:
    exactly = "" if arrives is None else f'unless {{ context.body.amount == decimal("{float(arrives):.2f}") }}'
    (folder / "amounts.cedar").write_text(f"forbid(principal, action, resource) {exactly};")
    text = HEAD + CASE.replace("amount: 500.01", written)
    assert outcomes(folder, text)[0][0] == ("deny" if arrives is None else "allow")


def test_policies_may_be_files_or_stored_ones(folder: Path) -> None:
    (folder / "other").mkdir()
    (folder / "other" / "strict.cedar").write_text("forbid(principal, action, resource);")
    named = f"policies: [other/strict.cedar, amounts.cedar]\n{HEAD}{CASE}"
    assert outcomes(folder, named) == [("deny", True, "strict", "policy_forbids")]
    file = folder / "tests.yaml"
    assert run_cases(file, folder / "other", None)[0].policy == "strict"
    assert run_cases(file, None, [PolicyText("Stored", "forbid(principal, action, resource);")])[0].policy == "Stored"
    assert run_cases(file, None, [])[0].decision == "allow"


def test_with_routes_policies_are_checked_as_a_server_would(folder: Path) -> None:
    assert outcomes(folder, "routes: routes.toml\n" + HEAD + CASE)[0][0] == "deny"
    (folder / "amounts.cedar").write_text("\n" + LIMIT.replace(PAY, "shop.payments.fly"))
    text = "routes: routes.toml\n" + HEAD + CASE
    assert refusal(folder, text).startswith("amounts.cedar, line 2, column 29: unrecognized action")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "tests.yaml"),
        ("cases: []", "tests.yaml"),
        ("[]", "tests.yaml"),
        (HEAD + CASE + CASE.partition("\n")[2], "a name of its own"),
        (HEAD + CASE + CASE, "line 8, column 1"),
        (HEAD + CASE.replace("expect: deny", "expect: maybe"), "$.cases[0].expect"),
        (HEAD + CASE.replace("expect: deny", "expected: deny"), "expected"),
        (HEAD + CASE.replace("type: ApiKey", "type: Robot"), "$.cases[0].principal.type"),
        (HEAD + CASE.replace("id: k", "id: 7"), "$.cases[0].principal.id"),
        (HEAD + CASE.replace("amount: 500.01", "amonut: 1.0"), "cases[0].body.amonut"),
        (HEAD + CASE.replace("amount: 500.01", "amount: null"), "$.cases[0].body"),
        (HEAD + CASE + "    context: {client_ip: nowhere}\n", "cases[0].context.client_ip"),
        (HEAD + CASE + "    context: {time: 2026-11-23}\n", "cases[0]"),
        (HEAD + CASE + "    context: {time: tomorrow}\n", "cases[0]"),
        (HEAD + CASE + "    context: {clientip: 192.0.2.1}\n", "$.cases[0].context"),
        (HEAD + CASE + "    business_unit: {id: u, timezone: Mars/Olympus}\n", "cases[0]"),
        (HEAD + CASE.replace(f"action: {PAY}", "action: pay"), "cases[0]"),
        (HEAD.replace("decimal", "money") + CASE, "$.fields"),
        ("routes: nothing.toml\n" + HEAD + CASE, "nothing.toml"),
        ("routes: routes.toml\n" + HEAD + CASE.replace(f"action: {PAY}", "action: a.b.c"), "cases[0].action"),
        ("policies: nothing.cedar\n" + HEAD + CASE, "nothing.cedar"),
        ("policies: [amounts.cedar, ./amounts.cedar]\n" + HEAD + CASE, "a name of its own"),
        ("polices: .\n" + HEAD + CASE, "polices"),
        (HEAD + CASE + "    expect: allow\n", "line 8, column 5: a key stands twice"),
        ("a: &x [1]\nb: *x\n", "line 2, column 4: aliases are not taken"),
        ("<<: {a: 1}\n" + HEAD + CASE, "<<"),
        ("cases: !!python/object/apply:os.getcwd []", "line 1, column 8"),
        ("cases: [\n  {", "line 2"),
        ("[" * 10_000, "not YAML"),
        ("cases: 99999999999999999999", "cases"),
        ("--- 1\n--- 2\n", "line 2"),
        ("cases: \x00", "not YAML"),
    ],
)
def test_a_wrong_file_is_refused_by_the_place(folder: Path, text: str, named: str) -> None:
    assert named in refusal(folder, text)


def test_files_have_a_largest_size_and_are_utf_8(folder: Path) -> None:
    assert "larger than 1024 KiB" in refusal(folder, "#" + "x" * 1024 * 1024)
    (folder / "amounts.cedar").write_bytes(b"// \xff")
    assert refusal(folder, HEAD + CASE).startswith("amounts.cedar is not UTF-8")
    (folder / "amounts.cedar").write_text("permit(principal, action, resource);")
    assert refusal(folder, HEAD + CASE).startswith("amounts.cedar, line 1, column 1: policies only forbid")
