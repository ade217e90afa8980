"""The command as a shell sees it: processes of their own, on one data directory."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import sqlite3
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.support.server import HATCHPAY, ROOT, hatchpay, onboard, serving
from tests.support.vaults import vault_of

from hatchpay.app.command import program
from hatchpay.audit.record import Completion, Record
from hatchpay.cli.errors import run
from hatchpay.clock import wall_us
from hatchpay.ids import new_id
from hatchpay.settings import Settings
from hatchpay.store.ledger import Ledger

UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"
KEY = r"hp_(?:live|test)_[0-9A-Za-z]{61}"
ME = f"local:{os.getuid()}"


class Shop:
    """A data directory with one tenant, "Demo", made by the command itself.

    `json`, `table` and `failing` run a command in this process, which is ten times as fast; `shell` in its own.
    """

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.onboarded = onboard(data_dir)
        self.tenant_id: str = self.onboarded["tenant"]["id"]
        self.admin_id: str = self.onboarded["api_key"]["id"]

    def json(self, *arguments: str) -> Any:
        return json.loads(self._printed(0, *arguments, "--json")[0])

    def table(self, *arguments: str) -> list[str]:
        return self._printed(0, *arguments)[0].splitlines()

    def failing(self, code: int, *arguments: str) -> str:
        printed, complaint = self._printed(code, *arguments)
        assert printed == ""
        return complaint

    def shell(self, *arguments: str) -> Any:
        return json.loads(hatchpay(self.data_dir, *arguments, "--json").stdout)

    def _printed(self, code: int, *arguments: str) -> tuple[str, str]:
        out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            ended = run(program(), ["--data-dir", str(self.data_dir), *arguments])
        assert ended == code, err.getvalue()
        out.seek(0)
        return out.read(), err.getvalue()

    def started(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*HATCHPAY, *arguments],
            cwd=ROOT,
            env={**os.environ, "HATCHPAY_DATA_DIR": str(self.data_dir)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Tests may add to it; what one takes away is what it has made."""
    return Shop(tmp_path_factory.mktemp("cli") / "var")


def test_onboarding_prints_the_tenant_and_its_first_key_and_nothing_else(shop: Shop) -> None:
    assert set(shop.onboarded) == {"tenant", "api_key"}
    assert set(shop.onboarded["api_key"]) == {"id", "key"}
    assert re.fullmatch(UUID, shop.onboarded["api_key"]["id"])
    assert re.fullmatch(KEY, shop.onboarded["api_key"]["key"])
    assert shop.onboarded["tenant"]["name"] == "Demo"
    assert "name is taken" in shop.failing(1, "tenants", "onboard", "Demo", "--json")


def test_tenants_are_listed(shop: Shop) -> None:
    assert shop.shell("tenants", "list") == {"data": [shop.onboarded["tenant"]], "next_cursor": None}
    heading, row = shop.table("tenants", "list")
    assert heading.split() == ["id", "name", "created_at"]
    assert row.split()[:2] == [shop.tenant_id, "Demo"]


def test_the_operator_key_is_made_once_unless_it_is_replaced(tmp_path: Path) -> None:
    var = tmp_path / "var"
    first = json.loads(hatchpay(var, "operator", "key", "--json").stdout)
    assert [role["name"] for role in first["roles"]] == ["operator"]
    again = hatchpay(var, "operator", "key", "--json", check=False)
    assert (again.returncode, again.stdout) == (1, "")
    assert "operator_exists" in again.stderr
    second = json.loads(hatchpay(var, "operator", "key", "--replace", "--json").stdout)
    assert second["id"] != first["id"]


def test_a_key_lives_from_its_making_to_its_end(shop: Shop) -> None:
    limits = ["--owner", "me", "--environment", "test", "--expires-at", "2999-01-01T00:00:00Z"]
    limits += ["--cidr", "192.0.2.0/24", "--cidr", "198.51.100.7", "--metadata", "till=4", "--description", "A till"]
    made = shop.shell("keys", "create", "Till", *limits)
    assert re.fullmatch(KEY, made["key"])
    assert (made["name"], made["roles"], made["status"], made["environment"]) == ("Till", [], "enabled", "test")
    assert (made["allowed_cidrs"], made["metadata"]) == (["192.0.2.0/24", "198.51.100.7/32"], {"till": "4"})
    assert made["expires_at"] == "2999-01-01T00:00:00.000000Z"
    key_id = made["id"]

    given = shop.shell("keys", "roles", key_id, "viewer", "gl")
    assert [role["name"] for role in given["roles"]] == ["gl", "viewer"]
    by_id = next(role["id"] for role in given["roles"] if role["name"] == "gl")
    assert [role["name"] for role in shop.shell("keys", "roles", key_id, by_id)["roles"]] == ["gl"]
    assert "there is no role 'captain'" in shop.failing(1, "keys", "roles", key_id, "viewer", "captain")
    assert "stands twice" in shop.failing(2, "keys", "roles", key_id, "viewer", "viewer")
    assert [role["name"] for role in shop.shell("keys", "roles", key_id)["roles"]] == ["gl"]

    rotated = shop.shell("keys", "rotate", key_id, "--grace-seconds", "3600")
    assert rotated["key"] != made["key"]
    assert len(rotated["previous_secrets"]) == 1
    assert shop.shell("keys", "disable", key_id)["status"] == "disabled"
    assert shop.shell("keys", "enable", key_id)["status"] == "enabled"
    assert shop.shell("keys", "roles", key_id, "--none")["roles"] == []

    shown = shop.shell("keys", "show", key_id)
    assert "key" not in shown
    assert shown["last_four"] == rotated["key"][-4:]
    assert key_id in [key["id"] for key in shop.shell("keys", "list")["data"]]

    assert shop.shell("keys", "delete", key_id) == {"id": key_id, "status": "deleted"}
    assert "there is no such API key" in shop.failing(1, "keys", "show", key_id)


def test_tables_show_the_key_once_and_whole_ids(shop: Shop) -> None:
    made = shop.table("keys", "create", "Counter")
    assert re.fullmatch(KEY, made[-1])
    assert made[-2] == "The API key, shown once and kept nowhere:"
    listed = shop.table("keys", "list")
    assert listed[0].split()[:4] == ["id", "name", "roles", "status"]
    assert shop.admin_id in [line.split()[0] for line in listed]
    key_id = next(line.split()[0] for line in listed if "Counter" in line)
    for verb in (["show"], ["roles"], ["disable"], ["enable"]):
        lines = shop.table("keys", verb[0], key_id)
        assert lines[0].split() == ["id", key_id]
        assert made[-1] not in "\n".join(lines)
    assert re.fullmatch(KEY, shop.table("keys", "rotate", key_id)[-1])
    assert shop.table("keys", "delete", key_id) == [f"Deleted {key_id}."]


def test_the_last_administrator_stays(shop: Shop) -> None:
    for command in (["disable"], ["delete"], ["roles", "--none"], ["roles", "viewer"]):
        verb, *rest = command
        assert "last_administrator" in shop.failing(1, "keys", verb, shop.admin_id, *rest)
    assert shop.json("keys", "show", shop.admin_id)["status"] == "enabled"


def test_roles_and_permissions_are_listed(shop: Shop) -> None:
    roles = shop.shell("roles", "list")["data"]
    assert [role["name"] for role in roles] == ["admin", "viewer", "gl"]
    permissions = shop.shell("permissions", "list")["data"]
    assert set(permissions[0]) == {"name", "description", "service", "read_only", "sensitive", "administrative"}
    assert sorted(permission["name"] for permission in permissions) == roles[0]["permissions"]
    assert [line.split()[1] for line in shop.table("roles", "list")[1:]] == ["admin", "viewer", "gl"]
    assert [line.split()[0] for line in shop.table("permissions", "list")[1:]] == roles[0]["permissions"]


def test_what_commands_do_is_in_the_history_with_its_changes(shop: Shop) -> None:
    key_id = shop.json("keys", "create", "Watched")["id"]
    shop.failing(1, "keys", "roles", key_id, "captain")
    shop.json("keys", "roles", key_id, "viewer")
    given, refused, made = shop.shell("audit", "history", "--limit", "3")["data"]
    for record, route in ((given, "keys roles"), (refused, "keys roles"), (made, "keys create")):
        assert (record["method"], record["principal_id"], record["route"]) == ("LOCAL", ME, f"hatchpay {route}")
        assert record["tenant_id"] == shop.tenant_id
    assert (refused["state"], refused["status"], refused["changes"]) == ("refused", 404, [])
    (change,) = given["changes"]
    assert (change["event"], change["subject_id"]) == ("api-key.keys.roles_set", key_id)
    assert change["detail"]["before"] == {"roles": []}
    assert [role["name"] for role in change["detail"]["after"]["roles"]] == ["viewer"]
    assert [change["event"] for change in made["changes"]] == ["api-key.keys.created"]


def test_the_history_is_filtered_and_paged(shop: Shop) -> None:
    for _ in range(2):
        shop.failing(1, "keys", "show", shop.tenant_id)
        shop.failing(1, "keys", "delete", shop.tenant_id)
    first = shop.json("audit", "history", "--limit", "1", "--route", "hatchpay keys delete", "--status", "4xx")
    more = ["--limit", "1", "--route", "hatchpay keys delete", "--cursor", first["next_cursor"]]
    second = shop.json("audit", "history", *more)
    assert first["data"][0]["started_at"] > second["data"][0]["started_at"]
    (one,) = shop.json("audit", "history", "--request-id", first["data"][0]["request_id"])["data"]
    assert one == first["data"][0]
    nothing: list[list[str]] = [
        ["--from", "2999-01-01T00:00:00Z"],
        ["--to", "2000-01-01T00:00:00Z"],
        ["--method", "get"],
        ["--principal-id", "local:999999"],
        ["--client-ip", "192.0.2.1", "--path", "/roles", "--key-id", shop.admin_id],
        ["--min-ms", "3600000"],
    ]
    for conditions in nothing:
        assert shop.json("audit", "history", *conditions) == {"data": [], "next_cursor": None}
    (heading, *_) = shop.table("audit", "history", "--limit", "1")
    assert heading.split()[:4] == ["started_at", "method", "url", "status"]


def test_the_operators_log_is_apart(shop: Shop) -> None:
    routes = [record["route"] for record in shop.json("audit", "history", "--operator")["data"]]
    assert "hatchpay tenants onboard" in routes
    assert "hatchpay keys create" not in routes
    again = [record["route"] for record in shop.json("audit", "history", "--tenant", "platform")["data"]]
    assert again == ["hatchpay audit history", *routes]


def test_a_tail_shows_the_latest_the_newest_last(shop: Shop) -> None:
    newest = shop.json("audit", "history", "--limit", "3")["data"]
    *lines, look = map(json.loads, shop.table("audit", "tail", "-n", "4", "--json"))
    assert lines == newest[::-1]
    # Reading the record is itself recorded.
    assert look["route"] == "hatchpay audit history"
    assert "hatchpay audit tail" in shop.table("audit", "tail", "-n", "1")[0]


def test_a_tail_that_follows_shows_what_comes_until_ctrl_c(shop: Shop) -> None:
    shop.json("keys", "create", "Before")
    tail = shop.started("audit", "tail", "-f", "-n", "1", "--json")
    assert tail.stdout is not None
    before = json.loads(tail.stdout.readline())
    assert json.loads(tail.stdout.readline())["route"] == "hatchpay audit tail"
    made = shop.json("keys", "create", "Followed")
    record = json.loads(tail.stdout.readline())
    assert record["request_id"] > before["request_id"]
    assert record["changes"][0]["subject_id"] == made["id"]
    tail.send_signal(signal.SIGINT)
    assert tail.communicate(timeout=10) == ("", "")
    assert tail.returncode == 130


def test_strangers_cannot_talk_to_the_terminal(shop: Shop) -> None:
    hostile = "/v1/\x1b]0;owned\x07\x1b[31m\x9b2J\r\nforged\u202e[red]x[/red]"
    record = Record(
        new_id(), shop.tenant_id, "GET", hostile, wall_us(), headers={"user-agent": hostile}, state="refused"
    )
    ledger = Ledger(shop.data_dir / "ledger.db", new_id(), vault_of(shop.data_dir))
    ledger.write([Completion(record)])
    ledger.close()
    only = ["--request-id", record.request_id]
    tail = hatchpay(shop.data_dir, "audit", "tail", "-n", "1").stdout
    table = hatchpay(shop.data_dir, "audit", "history", *only).stdout
    document = hatchpay(shop.data_dir, "audit", "history", *only, "--json").stdout
    for printed in (table, tail, document):
        assert printed.replace("\n", "").isprintable()
        assert "[red]x[/red]" in printed
    assert (len(table.splitlines()), len(tail.splitlines())) == (2, 1)
    assert json.loads(document)["data"][0]["headers"] == {"user-agent": hostile}


def test_twenty_commands_at_once_all_succeed(shop: Shop) -> None:
    names = [f"parallel-{number}" for number in range(20)]
    with ThreadPoolExecutor(20) as pool:
        made = list(pool.map(lambda name: shop.shell("keys", "create", name), names))
    assert len({key["id"] for key in made}) == 20
    listed = {key["name"] for key in shop.json("keys", "list")["data"]}
    assert listed >= set(names)
    records = shop.json("audit", "history", "--route", "hatchpay keys create", "--limit", "200")["data"]
    subjects = [change["subject_id"] for record in records for change in record["changes"]]
    assert all(subjects.count(key["id"]) == 1 for key in made)


def test_settings_lists_every_setting_and_shows_no_secret(tmp_path: Path) -> None:
    secret = "c2VjcmV0" * 5
    (tmp_path / "hatchpay.toml").write_text(f'port = 1234\npepper = "{secret}"\n')
    done = subprocess.run(
        [*HATCHPAY, "settings", "--json", "--data-dir", "elsewhere"],
        cwd=tmp_path,
        env={**os.environ, "HATCHPAY_HOST": "::1"},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    settings = {setting["name"]: setting for setting in json.loads(done.stdout)["data"]}
    assert list(settings) == list(Settings.__struct_fields__)
    assert {name: settings[name]["source"] for name in ("data_dir", "host", "port", "tls_key")} == {
        "data_dir": "option",
        "host": "environment",
        "port": "file",
        "tls_key": "default",
    }
    assert (settings["port"]["value"], settings["port"]["variable"]) == ("1234", "HATCHPAY_PORT")
    assert settings["pepper"]["value"] == "(set)"
    assert secret not in done.stdout


def test_without_a_tenant_to_mean_a_command_says_so(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "var")
    other = shop.json("tenants", "onboard", "Other")
    message = shop.failing(2, "keys", "create", "Till")
    assert "--tenant" in message
    assert not re.search(KEY, message)
    assert shop.failing(1, "keys", "list", "--tenant", "Nobody") == "hatchpay: there is no such tenant (not_found)\n"
    for name in ("Other", other["tenant"]["id"]):
        listed = shop.json("keys", "list", "--tenant", name)["data"]
        assert [key["id"] for key in listed] == [other["api_key"]["id"]]
    assert "no such API key" in shop.failing(1, "keys", "show", shop.admin_id, "--tenant", "Other")


def test_reading_begins_no_data_directory(tmp_path: Path) -> None:
    var = tmp_path / "var"
    done = hatchpay(var, "keys", "list", check=False)
    assert (done.returncode, done.stdout, done.stderr) == (
        1,
        "",
        f"hatchpay: there are no HatchPay data in {var}; hatchpay tenants onboard NAME begins there (no_data)\n",
    )
    assert not var.exists()
    hatchpay(var, "operator", "key")
    none = hatchpay(var, "keys", "list", check=False)
    assert (none.returncode, none.stdout) == (1, "")
    assert "there is no tenant yet" in none.stderr


@pytest.mark.parametrize("reader", ["head -1", "true"])
def test_a_reader_that_leaves_early_hears_no_complaint(shop: Shop, reader: str) -> None:
    command = " ".join([*HATCHPAY, "audit", "history", "--json", "--data-dir", str(shop.data_dir)])
    script = f"{command} | {reader}; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert done.stderr == ""
    assert done.returncode in (0, 141)


def test_output_that_cannot_be_written_is_a_failure(shop: Shop) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*HATCHPAY, "keys", "list", "--data-dir", str(shop.data_dir)],
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=30,
            check=False,
        )
    assert (done.returncode, done.stderr) == (
        1,
        "hatchpay: standard output: No space left on device (os_error)\n",
    )


def test_doctor_tells_a_pepper_that_others_can_read(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "var")
    assert shop.shell("doctor")["ok"] is True
    (shop.data_dir / "secrets" / "pepper.json").chmod(0o644)
    done = hatchpay(shop.data_dir, "doctor", "--json", check=False)
    report = json.loads(done.stdout)
    assert (done.returncode, report["ok"]) == (1, False)
    failed = [check["check"] for check in report["checks"] if check["status"] == "failed"]
    assert failed == ["secret_files", "peppers"]
    table = hatchpay(shop.data_dir, "doctor", check=False)
    assert (table.returncode, table.stderr) == (1, "")
    assert "open to others" in table.stdout


def test_doctor_records_what_a_killed_command_left(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "var")
    # What holds the directory makes the command wait between its intent and its change.
    holder = sqlite3.connect(shop.data_dir / "directory.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    command = shop.started("keys", "create", "Till")
    ledger = sqlite3.connect(shop.data_dir / "ledger.db")
    deadline = time.monotonic() + 20
    while not ledger.execute("SELECT count(*) FROM intents").fetchone()[0]:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    command.kill()
    assert command.communicate(timeout=10) == ("", "")
    holder.execute("ROLLBACK")
    holder.close()
    ledger.close()
    report = {check["check"]: check for check in shop.json("doctor")["checks"]}
    assert report["unfinished_requests"]["detail"] == "recovered as indeterminate: 1; in progress: 0"
    (record,) = shop.json("audit", "history")["data"]
    assert (record["state"], record["route"], record["principal_id"]) == ("indeterminate", "hatchpay keys create", ME)
    assert record["changes"] == []


def test_beside_a_running_server_commands_take_effect_there(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "var")
    with serving(shop.data_dir, None) as server, server.client() as client:

        def status(key: str) -> int:
            time.sleep(0.3)
            return client.get("/roles", headers={"X-API-Key": key}).status_code

        made = shop.json("keys", "create", "Till")
        assert status(made["key"]) == 403
        shop.json("keys", "roles", made["id"], "viewer")
        assert status(made["key"]) == 200
        assert shop.json("keys", "show", made["id"])["last_used_ip"] == "127.0.0.1"

        assert shop.shell("pepper", "rotate") == {"version": 2}
        late = shop.json("keys", "create", "Under the new pepper")
        assert status(made["key"]) == 200
        assert status(late["key"]) == 403
        assert "last_administrator" in shop.failing(1, "pepper", "retire", "1")
        assert status(shop.onboarded["api_key"]["key"]) == 200
        assert [entry["secrets"] for entry in shop.json("pepper", "list")["data"]] == [3, 0]
        assert shop.json("pepper", "retire", "1") == {"version": 1, "disabled_key_ids": []}
        assert status(made["key"]) == 200
        assert shop.table("pepper", "list") == ["version  current  secrets", "2        yes      3"]

        shop.json("keys", "disable", made["id"])
        assert status(made["key"]) == 401
        records = shop.json("audit", "history", "--key-id", made["id"], "--status", "200")["data"]
        assert {record["route"] for record in records} == {"/roles"}
