"""`hatchpay advise`: what it prints of a role, and which of its options go together."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import pytest
from tests.support.vaults import vault_of

from hatchpay.admin.views import NewKey, RoleDraft
from hatchpay.app.command import program
from hatchpay.app.local import open_local
from hatchpay.audit.record import Completion, Record
from hatchpay.cli.errors import run
from hatchpay.clock import wall_us
from hatchpay.ids import PLATFORM_TENANT_ID, new_id
from hatchpay.settings import Settings
from hatchpay.store.ledger import Ledger

ROLES = "access.roles.read"


def hatchpay(data_dir: Path, *arguments: str) -> tuple[int, str, str]:
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        ended = run(program(), ["--data-dir", str(data_dir), "advise", *arguments])
    out.seek(0)
    return ended, out.read(), err.getvalue()


@pytest.fixture
def role_id(tmp_path: Path) -> str:
    """A role with two permissions, one of which a key has used."""
    with open_local(Settings(data_dir=tmp_path)) as local:
        demo = local.act("tenants onboard", PLATFORM_TENANT_ID, lambda actor: local.tenants.onboard(actor, "Demo"))
        actor = local.reader(demo.tenant.id)
        draft = RoleDraft(name="two", permissions=(ROLES, "access.permissions.read"))
        made = local.roles.create(actor, draft)
        made_for = local.keys.create(actor, NewKey(name="Till")).view
        local.keys.set_roles(actor, made_for.id, (made.id,))
    ledger = Ledger(tmp_path / "ledger.db", "test", vault_of(tmp_path))
    use = {"key_id": made_for.id, "permission": ROLES, "decision": "allow"}
    record = Record(new_id(), demo.tenant.id, "GET", "/roles", wall_us() - 1_000_000, **use)
    ledger.write([Completion(record)])
    ledger.close()
    return made.id


def test_a_role_is_shown_with_the_evidence_and_reduced(tmp_path: Path, role_id: str) -> None:
    ended, printed, _ = hatchpay(tmp_path, "--role", role_id)
    assert ended == 0
    lines = [" ".join(line.split()) for line in printed.splitlines()]
    assert lines[0] == "two: 1 requests in 0 days, confidence low"
    assert lines[2] == "permission count first_used_at last_used_at used_only_by"
    assert lines[3] == "access.permissions.read 0 - - -"
    assert lines[4].startswith("access.roles.read 1 ")
    assert lines[4].endswith("Z Till")
    assert "Proposed role: two: access.roles.read" in lines
    assert hatchpay(tmp_path, "--role", "two")[0] == 0
    ended, printed, complaint = hatchpay(tmp_path, "--role", "two", "--apply")
    assert (ended, printed) == (1, "")
    assert "1 requests in 0 days, of at least 20 in 7; --force applies it anyway (observation_too_short)" in complaint
    assert "there is no role 'three'" in hatchpay(tmp_path, "--role", "three", "--apply")[2]
    ended, printed, _ = hatchpay(tmp_path, "--role", "two", "--apply", "--force", "--json")
    assert (ended, json.loads(printed)["removed"]) == (0, ["access.permissions.read"])
    ended, printed, complaint = hatchpay(tmp_path, "--role", role_id, "--apply", "--force")
    assert (ended, printed) == (1, "")
    assert "nothing_to_apply" in complaint


@pytest.mark.parametrize(
    "arguments",
    [
        ("--force",),
        ("--apply",),
        ("--key", new_id(), "--role", new_id()),
        ("--days", "0"),
        ("--days", "366"),
        ("--key", "1"),
    ],
)
def test_options_that_do_not_go_together_are_usage_errors(
    tmp_path: Path, role_id: str, arguments: tuple[str, ...]
) -> None:
    ended, printed, _ = hatchpay(tmp_path, *arguments)
    assert (ended, printed) == (2, "")
