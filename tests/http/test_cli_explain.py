"""`hatchpay explain`: the answer for people and for programs, and the exit code for scripts."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import pytest
from tests.support.server import ROOT, hatchpay, onboard

from hatchpay.app.command import program
from hatchpay.app.files import read_catalogue
from hatchpay.cli.errors import run
from hatchpay.store.directory import SqlDirectory

ROUTES = ROOT / "examples" / "payments_api" / "routes.toml"
TRANSACTIONS = "/v1/payment-proxy/transactions"
UNIT = "017f22e2-79b0-7cc3-98c4-dc0c0c073911"


class Machine:
    """A data directory with one tenant, whose server has served the sample API once."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.admin: str = onboard(data_dir)["api_key"]["id"]
        directory = SqlDirectory(data_dir / "directory.db")
        directory.sync_permissions(read_catalogue(ROUTES).permissions)
        directory.close()
        self.viewer: str = json.loads(self.run("keys", "create", "Reports", "--json")[1])["id"]
        self.run("keys", "roles", self.viewer, "viewer")

    def run(self, *arguments: str, sent: bytes = b"") -> tuple[int, str, str]:
        """Exit code, standard output, standard error."""
        out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            patch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(sent)))
            ended = run(program(), ["--data-dir", str(self.data_dir), *arguments])
        out.seek(0)
        return ended, out.read(), err.getvalue()

    def explain(self, *arguments: str, sent: bytes = b"") -> tuple[int, str, str]:
        return self.run("explain", *arguments, "--routes", str(ROUTES), sent=sent)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    return Machine(tmp_path_factory.mktemp("explain") / "var")


def test_what_is_allowed_names_the_role_and_ends_with_0(machine: Machine) -> None:
    code, printed, _ = machine.explain(machine.viewer, "get", TRANSACTIONS)
    assert code == 0
    first, _, heading, *steps = printed.splitlines()
    assert first == "allow: role_grants, by role:viewer"
    assert heading.split() == ["check", "outcome", "detail", "facts"]
    assert [step.split()[0] for step in steps] == ["route", "credential", "role", "network", "business_unit", "policy"]


def test_what_is_denied_names_what_is_missing_and_who_has_it_and_ends_with_1(machine: Machine) -> None:
    code, printed, _ = machine.explain(machine.viewer, "POST", TRANSACTIONS)
    assert code == 1
    first, missing, granted, *_ = printed.splitlines()
    assert (first, missing) == ("deny: permission_missing", "missing payment-proxy.transactions.create")
    assert granted.startswith("granted by gl (")


def test_json_is_the_answer_of_the_api(machine: Machine) -> None:
    code, printed, _ = machine.explain(machine.viewer, "POST", TRANSACTIONS, "--json")
    answer = json.loads(printed)
    assert code == 1
    assert list(answer) == ["decision", "reason", "rule", "missing", "roles_that_grant", "trace"]
    assert (answer["decision"], answer["reason"]) == ("deny", "permission_missing")


def test_the_body_is_read_from_a_file_or_from_standard_input(machine: Machine, tmp_path: Path) -> None:
    file = tmp_path / "body.json"
    file.write_text(json.dumps({"business_unit_id": UNIT}))
    for body, sent in ((str(file), b""), ("-", file.read_bytes())):
        code, printed, _ = machine.explain(machine.admin, "POST", TRANSACTIONS, "--body", body, "--json", sent=sent)
        unit = next(step for step in json.loads(printed)["trace"] if step["check"] == "business_unit")
        assert (code, unit["reason"], unit["business_unit_id"]) == (1, "business_unit_unknown", UNIT)


def test_address_and_time_are_what_is_said(machine: Machine) -> None:
    made = machine.run(
        "keys", "create", "Bound", "--cidr", "192.0.2.0/24", "--expires-at", "2999-01-01T00:00:00Z", "--json"
    )
    key = json.loads(made[1])["id"]
    machine.run("keys", "roles", key, "viewer")
    for options, reason in (
        ((), "network_not_allowed"),
        (("--ip", "192.0.2.9"), "role_grants"),
        (("--ip", "192.0.2.9", "--time", "2999-01-01T00:00:00Z"), "key_expired"),
        (("--ip", "192.0.2.9", "--time", "2999-01-01T00:00:00Z", "--method-of-auth", "token"), "token_key_ended"),
        (("--ip", "192.0.2.9", "--method-of-auth", "token", "--token-age", "43200"), "token_expired"),
    ):
        assert json.loads(machine.explain(key, "GET", TRANSACTIONS, *options, "--json")[1])["reason"] == reason


@pytest.mark.parametrize(
    "arguments",
    [
        ("nobody", "GET", "/roles"),
        (UNIT, "GET", "/roles"),
        ("VIEWER", "GET", "/roles/../permissions"),
        ("VIEWER", "GET", "/roles?api_key=x"),
        ("VIEWER", "G3T", "/roles"),
        ("VIEWER", "GET", "/roles", "--ip", "localhost"),
        ("VIEWER", "GET", "/roles", "--time", "tomorrow"),
        ("VIEWER", "GET", "/roles", "--method-of-auth", "password"),
        ("VIEWER", "GET", "/roles", "--role", "viewer"),
        ("VIEWER", "GET", "/roles", "--body", "-"),
    ],
)
def test_a_wrong_question_ends_with_2_and_prints_no_answer(machine: Machine, arguments: tuple[str, ...]) -> None:
    named = [machine.viewer if one == "VIEWER" else one for one in arguments]
    code, printed, complaint = machine.explain(*named, sent=b"{")
    assert (code, printed) == (2, "")
    assert complaint


def test_whom_nobody_knows_is_neither_a_key_nor_a_user(machine: Machine) -> None:
    code, printed, complaint = machine.explain("nobody", "GET", "/roles")
    assert (code, printed) == (2, "")
    assert "there is no key of this id, and no user of this id has called; for a user, say --role and --issuer-id." in (
        complaint
    )
    complaint = machine.explain("user:nobody", "GET", "/roles")[2]
    assert "no user of this id has called" in complaint
    assert "no key" not in complaint


def test_without_the_apis_route_table_only_hatchpays_own_calls_are_explained(machine: Machine) -> None:
    assert machine.run("explain", machine.viewer, "GET", "/roles")[0] == 0
    code, printed, complaint = machine.run("explain", machine.viewer, "GET", TRANSACTIONS)
    assert (code, printed) == (2, "")
    assert "--routes" in complaint


def test_a_table_that_no_server_has_served_is_not_explained_wrongly(machine: Machine, tmp_path: Path) -> None:
    table = tmp_path / "routes.toml"
    table.write_text(
        '[[permissions]]\nname = "new.api.read"\ndescription = "New"\n'
        '[[routes]]\nmethod = "GET"\npath = "/new"\npermission = "new.api.read"\n'
    )
    code, printed, complaint = machine.run("explain", machine.admin, "GET", "/new", "--routes", str(table))
    assert (code, printed) == (2, "")
    assert "unknown_permission" in complaint


def test_asking_at_the_machine_is_not_recorded(machine: Machine) -> None:
    def record() -> list[str]:
        found = json.loads(machine.run("audit", "history", "--json")[1])["data"]
        # Looking is recorded.
        return [one["request_id"] for one in found if one["route"] != "hatchpay audit history"]

    before = record()
    machine.explain(machine.viewer, "GET", TRANSACTIONS)
    assert record() == before


def test_it_runs_as_a_command_of_its_own(machine: Machine) -> None:
    done = hatchpay(machine.data_dir, "explain", machine.viewer, "GET", "/roles", "--json")
    assert json.loads(done.stdout)["rule"] == "role:viewer"
