"""`hatchpay keys`: roles for chosen business units, and rate limits."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import pytest

from hatchpay.admin.business_units import BusinessUnits
from hatchpay.admin.views import NewKey
from hatchpay.app.command import program
from hatchpay.app.local import open_local
from hatchpay.app.paths import DataDirectory
from hatchpay.cli.errors import run
from hatchpay.clock import wall_us
from hatchpay.ids import PLATFORM_TENANT_ID, new_id
from hatchpay.settings import Settings
from hatchpay.store.directory import SqlDirectory


class Shop:
    """A tenant with two business units and a key that holds the role `viewer` in the first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with open_local(Settings(data_dir=folder)) as local:
            demo = local.act("tenants onboard", PLATFORM_TENANT_ID, lambda actor: local.tenants.onboard(actor, "Demo"))
            actor = local.reader(demo.tenant.id)
            directory = SqlDirectory(DataDirectory(folder).directory)
            units = BusinessUnits(directory, wall_us, new_id)
            self.units = [units.create(actor, name, "Europe/Zurich").id for name in ("north", "south")]
            directory.close()
            self.key_id = local.keys.create(actor, NewKey(name="Till")).view.id
        self.json("roles", self.key_id, "viewer", "--business-unit", self.units[0])

    def run(self, *arguments: str) -> tuple[int, str, str]:
        out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            ended = run(program(), ["--data-dir", str(self.folder), "keys", *arguments])
        out.seek(0)
        return ended, out.read(), err.getvalue()

    def json(self, *arguments: str) -> Any:
        ended, printed, complaint = self.run(*arguments, "--json")
        assert (ended, complaint) == (0, "")
        return json.loads(printed)

    def roles(self, *arguments: str) -> dict[str, list[str] | None]:
        shown = self.json("roles", self.key_id, *arguments)
        return {role["name"]: role["business_unit_ids"] for role in shown["roles"]}


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def test_a_role_of_chosen_units_becomes_one_of_the_whole_tenant_only_where_that_is_said(shop: Shop) -> None:
    before = shop.roles()
    assert before == {"viewer": [shop.units[0]]}
    ended, printed, complaint = shop.run("roles", shop.key_id, "gl", "viewer")
    assert (ended, printed) == (2, "")
    assert "holds role 'viewer' for chosen business units only" in complaint
    assert "--whole-tenant" in complaint
    assert shop.roles() == before
    assert shop.roles("gl") == {"gl": None}
    shop.roles("viewer", "--business-unit", shop.units[0])
    assert shop.roles("viewer", "--whole-tenant") == {"viewer": None}


def test_units_are_given_to_all_roles_that_are_named_and_shown_by_id(shop: Shop) -> None:
    both = ("--business-unit", shop.units[0], "--business-unit", shop.units[1])
    assert shop.roles("viewer", "gl", *both) == {"viewer": shop.units, "gl": shop.units}
    ended, printed, _ = shop.run("roles", shop.key_id)
    assert ended == 0
    assert f"viewer (in {shop.units[0]} and {shop.units[1]})" in printed


@pytest.mark.parametrize("given", [("viewer", "--whole-tenant"), (), ("--none",)])
def test_units_go_with_roles_and_not_with_the_whole_tenant(shop: Shop, given: tuple[str, ...]) -> None:
    ended, printed, _ = shop.run("roles", shop.key_id, *given, "--business-unit", shop.units[0])
    assert (ended, printed) == (2, "")


def test_rate_limits_are_set_and_lifted(shop: Shop) -> None:
    made = shop.json("create", "Fast", "--rate-limit", "1000/3600", "--rate-limit", "100/60")
    two = [{"requests": 100, "window_seconds": 60}, {"requests": 1000, "window_seconds": 3600}]
    assert made["rate_limits"] == two
    assert "100 per 60 s, 1000 per 3600 s" in shop.run("show", made["id"])[1]
    assert shop.json("limit", made["id"], "--rate-limit", "5/1")["rate_limits"] == [
        {"requests": 5, "window_seconds": 1}
    ]
    assert shop.json("limit", made["id"], "--none")["rate_limits"] == []


@pytest.mark.parametrize(
    "given", [(), ("--none", "--rate-limit", "1/1"), ("--rate-limit", "0/1"), ("--rate-limit", "9")]
)
def test_what_is_no_rate_limit_is_a_usage_error(shop: Shop, given: tuple[str, ...]) -> None:
    assert shop.run("limit", shop.key_id, *given)[:2] == (2, "")
